"""Libraries are silent while they load, and all changes for that are undone."""

import logging
import sys
import warnings
from threading import Event, Thread

from aqa.library_output import quiet


def test_threads_that_overlap_leave_all_as_it_was() -> None:
    """Each would restore what the other had changed, and standard output would be lost."""
    with quiet():  # its imports set their own level
        pass
    logger = logging.getLogger("transformers")
    before = sys.stdout, list(warnings.filters), logger.level
    second_is_in, first_is_out = Event(), Event()
    seen = []

    def first() -> None:
        with quiet():
            other.start()
            second_is_in.wait()

    def second() -> None:
        with quiet():
            second_is_in.set()
            first_is_out.wait()
            seen.append((sys.stdout is sys.stderr, logger.level))

    other = Thread(target=second)
    one = Thread(target=first)
    one.start()
    one.join()
    first_is_out.set()
    other.join()
    assert seen == [(True, logging.ERROR)]
    assert (sys.stdout, list(warnings.filters), logger.level) == before


def test_within_itself_and_after_an_error() -> None:
    before = sys.stdout
    try:
        with quiet():
            with quiet():
                pass
            assert sys.stdout is sys.stderr
            raise ValueError
    except ValueError:
        assert sys.stdout is before
