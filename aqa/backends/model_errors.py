"""Turn the exceptions of libraries that fail to load a model into one-sentence errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path

from aqa.config.shipped import PREFIX
from aqa.errors import ModelError
from aqa.library_output import LOADING

# What models' code raises on input that its authors did not expect.
RAISED = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError,
    NameError, RuntimeError, TypeError, ValueError,
)  # fmt: skip

# Messages of out-of-memory errors that are plain RuntimeErrors: from PyTorch's allocators for CPUs
# and Apple's GPUs, the CUDA runtime and driver, and CUDA's libraries, which need workspace.
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "MPS backend out of memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
)


@contextmanager
def explained(spec: str, title: str = "") -> Iterator[None]:
    """Turn errors of the hub or of a broken folder into one sentence; serialises loading.

    `title` names the model in messages, if not `spec`.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    name = title or spec
    try:
        with LOADING:
            yield
    except ImportError as error:  # flash attention, or a dependency of the model's code
        raise ModelError(f"{name}: a package it needs is missing: {message_of(error)}") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{name}: {_why_not_loaded(spec, error)}") from error
    except (*RAISED, StrictDataclassError) as error:  # raised for an unsupported value
        if isinstance(error, Exception) and is_out_of_memory(error):
            raise ModelError(
                f"{name}: out of memory while loading; free some, use a smaller model, or load it"
                " in 4 bits (llama-qlora: backend.quantization=4bit)"
            ) from error
        what = f"{type(error).__name__}: {message_of(error)}"
        raise ModelError(
            f"{name}: this model can't be loaded ({what}); check that its JSON files are as they"
            " were published"
        ) from error


def _why_not_loaded(spec: str, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError
    from safetensors import SafetensorError

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, GatedRepoError):
        cause = cause.__cause__
    if cause is not None or "gated repo" in str(error):
        return (
            "this model is gated; accept its licence on its page on the hub and log in with"
            " `hf auth login`, or name a local folder"
        )
    if isinstance(error, ValueError) and "trust_remote_code" in str(error):
        return (
            "this model brings its own code, which does not run unless you trust it: read it, then"
            " set backend.trust_remote_code to true"
        )
    if Path(spec).exists() or spec.startswith(PREFIX):
        is_broken = isinstance(error, SafetensorError | JSONDecodeError)
        advice = "; copy its files here again" if is_broken else ""
        return f"this model can't be loaded: {message_of(error)}{advice}"
    absent = "no such folder, and " if Path(spec).parent.is_dir() else ""
    return (
        f"{absent}this model could not be downloaded from the hub; check the name and the network,"
        " log in with `hf auth login` if it is private, or name a local folder"
    )


def message_of(error: BaseException) -> str:
    """Return an exception's message as one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(filter(None, lines[:2])) or "without a message"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception means that memory ran out, on a GPU or CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in str(error) for words in _OUT_OF_MEMORY)
    )
