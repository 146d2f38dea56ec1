"""Errors, warnings and progress, all on standard error."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from aqa.display.terminal import SafeConsole
from aqa.processes import is_first_process
from aqa.progress import Progress, SilentProgress

PLAIN_SECONDS = 10.0  # between plain lines of one task
AGAIN = "run the same command again to resume"
Fields = Mapping[str, float | str]


def errors() -> Console:
    """Return a console for standard error."""
    return SafeConsole(sys.stderr)


def say_error(text: str) -> None:
    """Print an error message to standard error."""
    errors().print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)


def say_warning(text: str) -> None:
    """Print a warning to standard error."""
    errors().print(Text(f"warning: {text}", style="yellow"), soft_wrap=True)


@contextmanager
def open_progress(quiet: bool, go_on: str | Callable[[], str] = "") -> Iterator[Progress]:
    """Show bars on a terminal, occasional plain lines elsewhere, and nothing when quiet.

    `go_on` says how to continue interrupted work, if possible; it is called once that stops.

    Of several processes that work together, only the first shows anything. Everything goes to
    standard error, since standard output is for data.
    """
    if quiet or not is_first_process():
        yield SilentProgress()
        return
    console = errors()
    try:
        yield RichProgress(console) if console.is_terminal else PlainProgress(console)
    except KeyboardInterrupt:
        advice = go_on if isinstance(go_on, str) else go_on()
        console.print("; ".join(filter(None, ["interrupted", advice])))
        raise


def watched_progress(quiet: bool) -> Progress:
    """Progress inside a user's program: bars if a terminal or notebook can show them.

    Elsewhere nothing is added to the program's output.
    """
    console = errors()
    if quiet or not is_first_process() or not (console.is_terminal or console.is_jupyter):
        return SilentProgress()
    if console.is_jupyter and find_spec("ipywidgets") is None:  # which Rich needs for bars
        return PlainProgress(console)
    return RichProgress(console, sys.stdout.isatty())


def _bars(console: Console, redirect_stdout: bool = False) -> Bars:
    """Bars for 80 columns: if space is short, only the live figures are wrapped.

    Rich redirects standard output, which is for data, to standard error; that is acceptable only
    if both are the same terminal.
    """
    return Bars(
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(max_width=22, no_wrap=True, overflow="ellipsis"),
        ),
        BarColumn(bar_width=8),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[rate]}", markup=False, table_column=Column(no_wrap=True)),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True)),
        TextColumn(
            "{task.fields[live]}",
            markup=False,
            style="cyan",
            table_column=Column(overflow="fold", no_wrap=False, ratio=1),
        ),
        console=console,
        expand=True,
        redirect_stdout=redirect_stdout,
    )


class RichTask:
    """One bar."""

    def __init__(self, bars: Bars, number: int) -> None:
        self._bars = bars
        self._number = number  # Rich's TaskID

    def advance(self, amount: int = 1, fields: Fields | None = None) -> None:
        """Advance the bar and show the latest figures."""
        task = next(task for task in self._bars.tasks if task.id == self._number)
        rate = show_rate(task.speed or 0.0)
        live = task.fields["live"] if fields is None else show_fields(fields)
        self._bars.update(task.id, advance=amount, rate=rate, live=live)


class RichProgress:
    """Bars, one below another, drawn while there is a task."""

    def __init__(self, console: Console, redirect_stdout: bool = False) -> None:
        self._console, self._redirects = console, redirect_stdout
        self.bars: Bars | None = None

    @contextmanager
    def task(
        self, title: str, total: int | None = None, unit: str = "examples", done: int = 0
    ) -> Iterator[RichTask]:
        """Draw a bar below those of enclosing tasks until the work is over."""
        if self.bars is None:
            try:
                bars = _bars(self._console, self._redirects)
                with bars as self.bars, self.task(title, total, unit, done) as task:
                    yield task
            finally:
                self.bars = None
            return
        for past in self.bars.tasks:  # of repeated tasks, keep only the last one
            if past.finished and past.description == title:
                self.bars.remove_task(past.id)
        number = self.bars.add_task(title, total=total, completed=done, rate="", live="")
        try:
            yield RichTask(self.bars, number)
        finally:
            self.bars.stop_task(number)
            self.bars.refresh()

    def note(self, text: str) -> None:
        """Print above the bars."""
        self._console.print(Text(text, style="yellow"), soft_wrap=True)


class PlainTask:
    """Lines such as "Answering 40/200, 3.1 examples/s, 52 s left, em 40.0"."""

    def __init__(
        self, console: Console, title: str, total: int | None, unit: str, done: int
    ) -> None:
        self._console, self._title = console, title
        self._total, self._unit = total, unit
        self._done = self._first = done
        self._live = ""
        self._start = self._printed = time.monotonic()
        self._latest = (0, self._start)  # the count after the latest advance, and its time
        self._is_printed = False

    def advance(self, amount: int = 1, fields: Fields | None = None) -> None:
        """Count, and print a line if the last one is some time ago.

        The rate excludes the latest advance: a batch's answers arrive together, and counting only
        the first of them would make the rate too low.
        """
        self._done += amount
        self._is_printed = False
        if fields is not None:
            self._live = show_fields(fields)
        now = time.monotonic()
        if now - self._printed >= PLAIN_SECONDS:
            self._printed = now
            self._say(now, *self._latest)
        self._latest = (self._done - self._first, now)

    def end(self) -> None:
        """Print the last line, unless it would repeat the previous one."""
        now = time.monotonic()
        if not self._is_printed:
            self._say(now, self._done - self._first, now)

    def _say(self, now: float, items: int, until: float) -> None:
        """Print one line, with the rate of `items` up to the time `until`."""
        self._is_printed = True
        seconds = max(now - self._start, 1e-9)
        rate = items / max(until - self._start, 1e-9)
        parts = [self._title]
        if not (self._total or self._done or self._live or seconds >= 1):
            return  # nothing to report
        if self._total or self._done:
            parts[0] += f" {self._done}" + (f"/{self._total}" if self._total else "")
            parts.append("" if self._total == 1 else show_rate(rate, f" {self._unit}"))
        if self._total and self._done < self._total and rate:
            parts.append(f"{(self._total - self._done) / rate:.0f} s left")
        else:
            parts.append(f"{seconds:.0f} s")
        self._console.print(", ".join(filter(None, [*parts, self._live])), soft_wrap=True)


class PlainProgress:
    """Plain lines for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(
        self, title: str, total: int | None = None, unit: str = "examples", done: int = 0
    ) -> Iterator[PlainTask]:
        """Print lines now and then, and one at the end."""
        task = PlainTask(self._console, title, total, unit, done)
        yield task
        task.end()

    def note(self, text: str) -> None:
        """Print the note as a line."""
        self._console.print(Text(text), soft_wrap=True)


def show_rate(rate: float, unit: str = "") -> str:
    """Format a rate, or the time per item if that is long; "" if nothing moves."""
    if rate < 0.1:
        return f"{1 / rate:.0f} s each" if rate else ""
    return f"{rate:.1f}{unit}/s"


def show_fields(fields: Fields) -> str:
    """Format live figures: "em 40.00  f1 55.13"."""
    return "  ".join(
        f"{name} {value}" if isinstance(value, str) else f"{name} {_figure(value)}"
        for name, value in fields.items()
    )


def _figure(value: float) -> str:
    if 0 < abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"
