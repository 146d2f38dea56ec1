"""How long work tells what it is doing, without knowing who draws it."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One stretch of work, advanced as it goes on."""

    def advance(self, amount: int = 1, fields: Mapping[str, float | str] | None = None) -> None:
        """Move on by `amount`; `fields` are live figures to show, such as loss or f1."""


class Progress(Protocol):
    """Where work reports to: a bar, plain lines, or nothing."""

    def task(
        self, title: str, total: int | None = None, unit: str = "examples", done: int = 0
    ) -> AbstractContextManager[Task]:
        """Open a stretch of work of `total` units; None where the total is not known.

        `done` of them were done before: they say nothing of how fast it goes.
        """

    def note(self, text: str) -> None:
        """Tell the user one thing worth knowing."""


class SilentTask:
    """Advances nothing."""

    def advance(self, amount: int = 1, fields: Mapping[str, float | str] | None = None) -> None:
        """Do nothing."""


class SilentProgress:
    """Draws nothing; keeps the notes for whoever asks."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def task(
        self, title: str, total: int | None = None, unit: str = "examples", done: int = 0
    ) -> Iterator[SilentTask]:
        """Give a task that draws nothing."""
        yield SilentTask()

    def note(self, text: str) -> None:
        """Keep the note."""
        self.notes.append(text)
