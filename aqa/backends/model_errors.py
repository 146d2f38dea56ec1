"""What libraries raise where a model can't be loaded, as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aqa.config.shipped import PREFIX
from aqa.errors import ModelError

# What models' code raises where it meets what its authors did not think of.
RAISED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextmanager
def explained(spec: str, title: str = "") -> Iterator[None]:
    """Turn what the hub or a broken folder answers into one sentence.

    `title` is what to call the model, if not `spec`.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        StrictDataclassError,
    )
    from safetensors import SafetensorError

    name = title or spec
    try:
        yield
    except GatedRepoError as error:
        raise ModelError(_gated(name)) from error
    except ImportError as error:  # flash attention, or what a model's own code needs
        raise ModelError(f"{name}: a package is missing to load it: {said_by(error)}") from error
    except (RepositoryNotFoundError, SafetensorError, OSError, ValueError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, GatedRepoError):
            cause = cause.__cause__
        if cause is not None or "gated repo" in str(error):
            raise ModelError(_gated(name)) from error
        if Path(spec).exists() or spec.startswith(PREFIX):
            raise ModelError(f"{name}: this model can't be loaded: {said_by(error)}") from error
        absent = "no such folder, and " if Path(spec).parent.is_dir() else ""
        raise ModelError(
            f"{name}: {absent}this model could not be downloaded from the hub; check the name and"
            " the network, log in with `hf auth login` if it is private, or name a local folder"
        ) from error
    except (*RAISED, StrictDataclassError) as error:  # of a value that no code is there for
        told = f"{type(error).__name__}: {said_by(error)}"
        raise ModelError(
            f"{name}: this model can't be loaded ({told}); is each of its JSON files as it was"
            " published?"
        ) from error


def said_by(error: BaseException) -> str:
    """What an exception says, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(filter(None, lines[:2])) or "without a word"


def _gated(name: str) -> str:
    return (
        f"{name}: this model is gated; accept its licence on its page on the hub and log in with"
        " `hf auth login`, or name a local folder"
    )
