"""The only user of Rich: progress bars, tables, error text, prompt colouring."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from aqa.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from aqa.evaluate import Report
    from aqa.predict import PredictResult
    from aqa.preview import Preview
    from aqa.train import DryRun, TrainResult

PLAIN_SECONDS = 10.0  # between two plain lines of the same task
Fields = Mapping[str, float | str]


def _errors() -> Console:
    return Console(file=sys.stderr, highlight=False)


def _output() -> Console:
    return Console(file=sys.stdout, highlight=False)


def say_error(text: str) -> None:
    """Write one error message to standard error."""
    _errors().print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)


@contextmanager
def open_progress(quiet: bool) -> Iterator[Progress]:
    """Bars on a terminal, plain lines now and then elsewhere, nothing when quiet.

    All goes to standard error: standard output is for data.
    """
    if quiet:
        yield SilentProgress()
        return
    console = _errors()
    try:
        if console.is_terminal:
            with _bars(console) as bars:
                yield RichProgress(bars)
        else:
            yield PlainProgress(console)
    except KeyboardInterrupt:
        console.print("interrupted; `aqa train` goes on with --resume, `aqa predict` by itself")
        raise


def _bars(console: Console) -> Bars:
    return Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("{task.fields[live]}", style="cyan"),
        console=console,
    )


class RichTask:
    """One bar."""

    def __init__(self, bars: Bars, number: int, unit: str) -> None:
        self._bars = bars
        self._number = number  # Rich's TaskID
        self._unit = unit

    def advance(self, amount: int = 1, fields: Fields | None = None) -> None:
        """Move the bar and show the latest figures."""
        task = next(task for task in self._bars.tasks if task.id == self._number)
        rate = f"{task.speed:.1f} {self._unit}/s" if task.speed else ""
        live = task.fields["live"] if fields is None else show_fields(fields)
        self._bars.update(task.id, advance=amount, rate=rate, live=live)


class RichProgress:
    """Bars, one below another."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    @contextmanager
    def task(
        self, title: str, total: int | None = None, unit: str = "examples"
    ) -> Iterator[RichTask]:
        """Draw a bar until the work is over."""
        number = self._bars.add_task(escape(title), total=total, rate="", live="")
        try:
            yield RichTask(self._bars, number, unit)
        finally:
            self._bars.stop_task(number)
            self._bars.refresh()

    def note(self, text: str) -> None:
        """Print above the bars."""
        self._bars.console.print(Text(text, style="yellow"), soft_wrap=True)


class PlainTask:
    """Lines such as "Answering 40/200, 3.1 examples/s, 52 s left, em 40.0"."""

    def __init__(self, console: Console, title: str, total: int | None, unit: str) -> None:
        self._console = console
        self._title = title
        self._total = total
        self._unit = unit
        self._done = self._first = 0
        self._live = ""
        self._start = self._last = time.monotonic()

    def advance(self, amount: int = 1, fields: Fields | None = None) -> None:
        """Count, and say so when the last line is some time ago."""
        self._done += amount
        if fields is not None:
            self._live = show_fields(fields)
        now = time.monotonic()
        if now - self._last >= PLAIN_SECONDS:
            self._last = now
            self.say()

    def say(self) -> None:
        """Write one line."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = self._done / seconds
        parts = [f"{self._title} {self._done}" + (f"/{self._total}" if self._total else "")]
        parts.append(f"{rate:.1f} {self._unit}/s")
        if self._total and self._done < self._total and rate:
            parts.append(f"{(self._total - self._done) / rate:.0f} s left")
        else:
            parts.append(f"{seconds:.0f} s")
        self._console.print(", ".join([*parts, *filter(None, [self._live])]), soft_wrap=True)


class PlainProgress:
    """Plain lines for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(
        self, title: str, total: int | None = None, unit: str = "examples"
    ) -> Iterator[PlainTask]:
        """Write lines now and then, and one at the end."""
        task = PlainTask(self._console, title, total, unit)
        yield task
        task.say()

    def note(self, text: str) -> None:
        """Write the note as a line."""
        self._console.print(Text(text), soft_wrap=True)


def show_fields(fields: Fields) -> str:
    """Live figures in a few words: "em 40.00  f1 55.13"."""
    return "  ".join(
        f"{name} {value}" if isinstance(value, str) else f"{name} {_figure(value)}"
        for name, value in fields.items()
    )


def _figure(value: float) -> str:
    return f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:.2f}"


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))  # noqa: T201  (data, not a message)


def show_dry_run(found: "DryRun", as_json: bool) -> None:
    """The resolved config, counts, lengths, cuts and needs of a training."""
    estimate = found.estimate
    facts = {
        "counts": dict(found.counts),
        "prompt_and_answer_tokens": dict(found.lengths),
        "cut": dict(found.cut),
        "trainable_parameters": estimate.trainable_parameters,
        "all_parameters": estimate.all_parameters,
        "estimated_memory_gib": round(estimate.memory_bytes / 2**30, 2),
    }
    if as_json:
        _print_json({"config": dict(found.config), **facts})
        return
    console = _output()
    console.print(json.dumps(dict(found.config), ensure_ascii=False, indent=1), markup=False)
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        shown = show_pairs(value) if isinstance(value, dict) else f"{value:,}"
        table.add_row(name.replace("_", " "), shown)
    console.print(table)
    console.print("nothing was written", style="dim")


def show_pairs(values: Mapping[str, object]) -> str:
    """A small mapping on one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def show_training(result: "TrainResult", as_json: bool) -> None:
    """Scores before and after, and what to run next."""
    if as_json:
        _print_json(
            {
                "backend": result.backend,
                "folder": str(result.folder),
                "adapter": str(result.adapter),
                "before": dict(result.before),
                "after": result.report.to_json() if result.report else None,
            }
        )
        return
    console = _output()
    if result.report is not None:
        table = Table(title=f"Validation scores, {len(result.report.ids)} questions")
        for name, justify in (("", "left"), ("before", "right"), ("after", "right")):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]
        table.add_column("95 % interval")
        for name, score in result.report.systems[0].scores.items():
            before = f"{result.before[name]:.2f}" if name in result.before else ""
            table.add_row(name, before, f"{score.value:.2f}", _interval(score.low, score.high))
        console.print(table)
    console.print(f"adapter: {result.adapter}", markup=False, soft_wrap=True)
    console.print(
        f"next: aqa predict {result.backend} --model {result.folder} --data YOUR_QUESTIONS.json",
        markup=False,
        soft_wrap=True,
    )


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.1f} to {high:.1f}"


def show_predictions(result: "PredictResult", as_json: bool) -> None:
    """Counts, where the answers are, and what to run next."""
    facts = {
        "predictions": str(result.predictions),
        "examples": result.examples,
        "answered": result.answered,
        "failed": result.failed,
        "resumed": result.resumed,
    }
    if as_json:
        _print_json(facts)
        return
    console = _output()
    console.print(
        f"{result.examples} examples: {result.answered} answered, {result.failed} failed"
        + (f" ({result.resumed} from before)" if result.resumed else "")
    )
    if result.failed:
        console.print("failed ones are asked again with --retry-errors")
    console.print(f"predictions: {result.predictions}", markup=False, soft_wrap=True)
    console.print(f"next: aqa evaluate {result.predictions}", markup=False, soft_wrap=True)


def show_report(report: "Report", as_json: bool) -> None:
    """The table of scores, one row a system, with intervals; warnings after it."""
    for warning in report.warnings:
        _errors().print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)
    if as_json:
        _print_json(report.to_json())
        return
    console = _output()
    table = Table(title=f"{len(report.ids)} examples, profile {report.profile}")
    table.add_column("system", overflow="fold")
    table.add_column("score")
    for name in ("value", "95 % interval", "HasAns", "NoAns"):
        if name not in ("HasAns", "NoAns") or _has_unanswerable(report):
            table.add_column(name, justify="right")
    for system in report.systems:
        label = system.name
        for name, score in system.scores.items():
            row = [label, name, f"{score.value:.2f}", _interval(score.low, score.high)]
            if _has_unanswerable(report):
                row += [
                    f"{system.groups[group][name]:.2f}" if name in system.groups[group] else ""
                    for group in ("has_answer", "no_answer")
                ]
            table.add_row(*map(escape, row))
            label = ""
        if system.missing or system.failed:
            told = f"missing {system.missing}, failed {system.failed}"
            table.add_row("", Text(told, style="yellow"))
    console.print(table)
    for system in report.systems[:1]:
        for score in system.scores.values():
            console.print(score.signature, style="dim", markup=False, soft_wrap=True)


def _has_unanswerable(report: "Report") -> bool:
    return any(system.groups.get("no_answer", {}).get("n") for system in report.systems)


def show_previews(previews: Sequence["Preview"], tokens: bool, as_json: bool) -> None:
    """Prompts as the model receives them."""
    if as_json:
        _print_json([preview_json(preview) for preview in previews])
        return
    console = _output()
    for preview in previews:
        prompt = preview.prompt
        console.rule(Text(prompt.id))
        if preview.encoding is not None:
            text = Text()
            for place, piece in enumerate(preview.read):
                text.append(piece, style="dim" if tokens and place % 2 else "")
            for piece in preview.trained:
                text.append(piece, style="green" if tokens else "")
            console.print(text, soft_wrap=True)
        else:
            for turn in prompt.messages:
                console.print(Text.assemble((f"{turn.role}: ", "bold"), turn.content))
        console.print(Text(describe(preview), style="cyan"), soft_wrap=True)
    if tokens:
        console.print(Text.assemble(("green", "green"), " is trained on, the rest is masked"))


def describe(preview: "Preview") -> str:
    """Token counts and the evidence that was used and cut, in one line."""
    evidence = preview.prompt.evidence
    used = ", ".join(str(passage.rank) for passage in evidence.reading_order) or "none"
    parts = [f"passages used: {used}"]
    if evidence.dropped:
        parts.append("dropped: " + ", ".join(str(passage.rank) for passage in evidence.dropped))
    if evidence.cut_characters:
        parts.append(f"{evidence.cut_characters} characters cut from the last one")
    if preview.encoding is not None:
        read, trained = len(preview.encoding.prompt_ids), len(preview.encoding.target_ids)
        parts.append(f"{read} tokens read, {trained} trained on")
        parts.append(f"begin-of-text tokens: {preview.begin_tokens}")
    return "; ".join(parts)


def preview_json(preview: "Preview") -> dict[str, object]:
    """A preview as plain values."""
    prompt, encoding = preview.prompt, preview.encoding
    value: dict[str, object] = {
        "id": prompt.id,
        "messages": [{"role": turn.role, "content": turn.content} for turn in prompt.messages],
        "target": prompt.target,
        "passages_used": [passage.rank for passage in prompt.evidence.reading_order],
        "passages_dropped": [passage.rank for passage in prompt.evidence.dropped],
        "cut_characters": prompt.evidence.cut_characters,
    }
    if encoding is not None:
        value |= {
            "text": "".join((*preview.read, *preview.trained)),
            "prompt_ids": list(encoding.prompt_ids),
            "target_ids": list(encoding.target_ids),
            "begin_of_text_tokens": preview.begin_tokens,
        }
    return value
