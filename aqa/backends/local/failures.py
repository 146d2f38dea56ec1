"""Turn library exceptions during training or generation into one-sentence errors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aqa.backends.model_errors import RAISED, is_out_of_memory, message_of
from aqa.errors import AqaError, ModelError, RunError
from aqa.processes import process_count, process_rank

# Messages of Gloo and NCCL if another process is gone.
_LOST = ("closed by peer", "reset by peer", "Broken pipe", "remote process exited", "NCCL error")

# Messages of PyTorch's RuntimeErrors about a file that it can't write or read.
_OF_FILES = ("PytorchStream", "inline_container.cc")

WRITING = "writing answers"


@contextmanager
def explained_work(spec: str, work: str) -> Iterator[None]:
    """Turn library exceptions into one sentence; `work` says what the model was doing.

    Raises:
        ModelError: the model failed, memory ran out, or another process was lost.
        RunError: the run folder has no space left, or its files are damaged.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (AqaError, BrokenPipeError):
        raise
    except (OSError, SafetensorError, *RAISED) as error:
        if is_lost(error):
            raise ModelError(
                f"process {process_rank() + 1} of {process_count()} lost contact with another one"
                f" while {work}; see that one's message, or raise training.ddp_timeout if all were"
                " still working"
            ) from error
        if is_out_of_memory(error):
            less = "training.per_device_train_batch_size or backend.max_seq_length, or set"
            less += " training.gradient_checkpointing=true"
            if work == WRITING:
                less = "generation.batch_tokens or backend.max_seq_length"
            raise ModelError(f"{spec}: out of memory while {work}; lower {less}") from error
        if isinstance(error, OSError | SafetensorError) or mentions(error, _OF_FILES):
            raise RunError(
                f"a file can't be written or read while {work} ({message_of(error)}); free some"
                " space, or remove the last of the run folder's checkpoints where it is damaged,"
                " and go on with --resume"
            ) from error
        raise ModelError(
            f"{spec}: this model failed while {work} with an unexpected error"
            f" ({type(error).__name__}: {message_of(error)}); try other options under backend, such"
            " as attn_implementation=eager or quantization=none, or another model"
        ) from error


def is_lost(error: Exception) -> bool:
    """Whether the error means that another process is gone."""
    by_torch = type(error).__name__.startswith("Dist")  # DistBackendError and similar
    return process_count() > 1 and (by_torch or mentions(error, _LOST))


def mentions(error: Exception, words: Sequence[str]) -> bool:
    """Whether an error's message contains any of these words."""
    return any(word in str(error) for word in words)
