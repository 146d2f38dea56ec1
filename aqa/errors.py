"""The errors that a user can fix; each is shown as one message, without a traceback.

AqaError                 exit code 1
├── UsageError           wrong words or values on the command line (exit code 2)
├── ConfigError          a config file, or a shipped file's name
├── DataError            a file of examples, passages or predictions
├── PromptError          a prompt template, or a prompt that can't fit
├── ModelError           a model, an adapter or the hardware to run it
├── RunError             the run folder: of another run, not writable
│   └── FolderInUseError another process is using it
├── StoppedError         a limit on what a run may cost is reached (exit code 3)
├── MissingExtraError    an optional package is not installed
└── ScoreError           a score is under the limit that was set (exit code 4)
"""

import copyreg
from typing import Any


class AqaError(Exception):
    """Something the user can fix: the message says what, where and what to do."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the message only, whatever arguments a subclass takes."""
        return copyreg.__newobj__, (type(self), *self.args)  # type: ignore[attr-defined]


class UsageError(AqaError):
    """Wrong words or values on the command line, or in a call."""

    exit_code = 2


class ConfigError(AqaError):
    """A configuration is not valid; `key` is the invalid key, if there is one."""

    key = ""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key

    def of(self, flag: str) -> str:
        """Return the message with the config key replaced by the flag that set it."""
        text, key = str(self), f"config key {self.key}"
        return flag + text.removeprefix(key) if text.startswith(key) else f"{flag}: {text}"


class DataError(AqaError):
    """A file of examples, passages or predictions can't be used."""


class PromptError(AqaError):
    """A prompt template is not valid, or a prompt can't fit."""


class ModelError(AqaError):
    """A model or adapter can't be loaded or run here."""


class RunError(AqaError):
    """A run folder can't be used: in use, of another run, or not writable."""


class FolderInUseError(RunError):
    """Another process is using a run folder."""

    def __init__(self, folder: object) -> None:
        super().__init__(
            f"{folder}: another process is using this run folder; wait for it, or name another"
            " --output-dir"
        )


class StoppedError(AqaError):
    """A run stopped at a limit that its user set; run the same command again to resume it."""

    exit_code = 3


class MissingExtraError(AqaError):
    """An optional package is missing.

    `package` is what could not be imported, `extra` the extra of aqa that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f'{package} is not installed; run: pip install "aqa[{extra}]"'
            f' (in a checkout: pip install -c constraints.txt -e ".[{extra}]")'
        )


class ScoreError(AqaError):
    """A score is worse than the limit set for it."""

    exit_code = 4
