"""Silence libraries' own output, and guard the state that threads share while loading."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from threading import Lock, RLock

NOISY = ("accelerate", "transformers", "peft", "bitsandbytes", "huggingface_hub")
# While loading a model, transformers changes torch for all threads, so only one may load.
LOADING = RLock()
_lock, _silence = Lock(), ExitStack()
_within = 0  # the number of calls that want silence now


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the libraries' own hints, and their progress bars while loading.

    What they print anyway (as DeepSpeed does) goes to standard error, since standard output is for
    data. The state is global: the first thread silences, and the last one restores.
    """
    global _within
    with _lock:
        if not _within:
            _silence.enter_context(_silent())
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if not _within:
                _silence.close()


@contextmanager
def _silent() -> Iterator[None]:
    from transformers.utils import logging as transformers_logging  # which sets its own level

    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            # peft calls transformers in a deprecated way.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            # GPT-2's weights are transposed; peft detects it and warns.
            warnings.filterwarnings("ignore", "fan_in_fan_out is set", UserWarning)
            # A soft prompt counts positions itself, as intended.
            warnings.filterwarnings("ignore", "Position ids are not supported", UserWarning)
            # peft writes patterns for experts, and then doesn't find their layers.
            pattern = "The following (rank|alpha)_pattern keys did not match"
            warnings.filterwarnings("ignore", pattern, RuntimeWarning)
            # Nobody modifies the model's output in place.
            warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
            # PyTorch's compiler inspects all attributes of a tensor.
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor", UserWarning)
            # Weights offloaded to disk are read from there.
            warnings.filterwarnings("ignore", ".*copying from a non-meta parameter", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
