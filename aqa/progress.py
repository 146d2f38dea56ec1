"""Protocols by which long work reports progress, independent of how it is shown."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """A piece of work whose progress is reported."""

    def advance(self, amount: int = 1, fields: Mapping[str, float | str] | None = None) -> None:
        """Advance by `amount`; `fields` are live figures to show, such as loss or f1."""


class Progress(Protocol):
    """Where work reports to: a bar, plain lines, or nothing."""

    def task(
        self, title: str, total: int | None = None, unit: str = "examples", done: int = 0
    ) -> AbstractContextManager[Task]:
        """Begin a task of `total` units; None if the total is unknown.

        `done` units were finished before, and don't count towards the rate.
        """

    def note(self, text: str) -> None:
        """Tell the user something worth knowing."""


class SilentTask:
    """Ignores all progress."""

    def advance(self, amount: int = 1, fields: Mapping[str, float | str] | None = None) -> None:
        """Do nothing."""


class SilentProgress:
    """Shows nothing; collects the notes for whoever asks."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def task(
        self, title: str, total: int | None = None, unit: str = "examples", done: int = 0
    ) -> Iterator[SilentTask]:
        """Yield a task that shows nothing."""
        yield SilentTask()

    def note(self, text: str) -> None:
        """Collect the note."""
        self.notes.append(text)
