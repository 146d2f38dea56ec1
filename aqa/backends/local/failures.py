"""What a library raises while a model trains or writes, as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from aqa.backends.local.memory import is_out_of_memory
from aqa.backends.model_errors import RAISED, said_by
from aqa.errors import AqaError, ModelError


@contextmanager
def explained_work(spec: str, work: str) -> Iterator[None]:
    """Turn what fails within a model of that name into a ModelError; `work` is what it was doing.

    Raises:
        ModelError: the libraries raised something.
    """
    try:
        yield
    except AqaError:
        raise
    except RAISED as error:
        if is_out_of_memory(error):
            raise ModelError(
                f"{spec}: out of memory while {work}; lower"
                " training.per_device_train_batch_size or backend.max_seq_length, or set"
                " training.gradient_checkpointing=true"
            ) from error
        raise ModelError(
            f"{spec}: this model failed while {work}, in a way that aqa does not know"
            f" ({type(error).__name__}: {said_by(error)}); try other options under backend, such as"
            " attn_implementation=eager or quantization=none, or another model"
        ) from error
