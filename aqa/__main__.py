"""The entry point: run the app; an AqaError becomes one message and its exit code."""

import sys

from aqa.cli.app import app
from aqa.errors import AqaError


def main() -> None:
    """Run `aqa` with the arguments of this process, and exit."""
    try:
        app(prog_name="aqa")
    except AqaError as error:
        from aqa.display.console import say_error

        say_error(str(error))
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
