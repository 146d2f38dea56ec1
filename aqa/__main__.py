"""The entry point: run the app; an AqaError becomes one message and its exit code."""

import errno
import os
import sys
from pathlib import Path

from aqa.errors import AqaError, RunError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
INTERRUPTED = 130


def main() -> None:
    """Run `aqa` with this process's arguments, and exit."""
    try:
        from aqa.cli.app import app, prepare_words  # here: Ctrl-C may come while it is loaded

        _check_folder()
        sys.argv[1:] = prepare_words(sys.argv[1:])
        app(prog_name="aqa")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except AqaError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except UnicodeEncodeError as error:  # from standard output
        if error.encoding.startswith("utf"):
            raise
        what = error.object[error.start : error.end]
        _say(
            f"standard output is {error.encoding}, which has no {what!r}; set the environment"
            " variable PYTHONIOENCODING=utf-8"
        )
        sys.exit(1)
    except OSError as error:  # from standard output: others are explained where they occur
        if error.errno not in FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        _say(
            f"can't write to standard output ({error.strerror}); free some space, or write to"
            " another disk"
        )
        sys.exit(1)


def _check_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise RunError("the current folder no longer exists; change to another one") from None


def _say(text: str) -> None:
    from aqa.display.console import say_error

    say_error(text)


if __name__ == "__main__":
    main()
