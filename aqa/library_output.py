"""Keep libraries from talking beside what aqa says, and threads from what they share."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from threading import Lock, RLock

NOISY = ("accelerate", "transformers", "peft", "bitsandbytes", "huggingface_hub")
# To load a model transformers changes torch for all threads: only one may at a time.
LOADING = RLock()
_lock, _silence = Lock(), ExitStack()
_within = 0  # so many calls want it silent now


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' own hints and progress bars of loading off the screen.

    What they print all the same (DeepSpeed does) goes to standard error: the other is for data.
    Threads have all this in common: the first one silences it, and the last one undoes that.
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
            # peft asks transformers in a way that is deprecated there.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            # GPT-2's weights lie the other way round; peft sees it and says so.
            warnings.filterwarnings("ignore", "fan_in_fan_out is set", UserWarning)
            # A learnt prompt counts positions for itself, as it should.
            warnings.filterwarnings("ignore", "Position ids are not supported", UserWarning)
            # It writes patterns for experts of its own accord, and then misses their layers.
            pattern = "The following (rank|alpha)_pattern keys did not match"
            warnings.filterwarnings("ignore", pattern, RuntimeWarning)
            # Nothing changes in place what a model gives.
            warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
            # PyTorch's compiler looks at all that a tensor has.
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor", UserWarning)
            # Weights that lie on the disk are read from there.
            warnings.filterwarnings("ignore", ".*copying from a non-meta parameter", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
