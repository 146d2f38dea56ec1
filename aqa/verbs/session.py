"""Answer a run's questions, putting each answer in the journal before anything else happens."""

from array import array
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from aqa.backends.base import Backend, Remote
from aqa.metrics import RunningScores
from aqa.progress import Progress
from aqa.prompting.build import Inputs, Unfit, that_fit
from aqa.records import Example, Prediction, Prompt
from aqa.runs.failures import FailureSummary, shortfall
from aqa.runs.folder import Run
from aqa.runs.journal import Journal
from aqa.runs.journal_rows import cleaned_again, failure_row, journal_row

Live = Mapping[str, float | str]
Answers = Iterator[tuple[Prompt, Prediction]]
Row = Mapping[str, Any]  # as made by `journal_row`
ExamplesAt = Callable[[Iterable[int]], Iterator[tuple[int, Example]]]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answered:
    """A finished example and the figures to show after it; `live` is None for earlier sessions'."""

    row: Row
    live: Live | None


@dataclass(frozen=True, slots=True)
class Session:
    """An open run: its inputs, reader, folder and journal.

    Failures before the journal position `since` are asked again. `batches`: some are open at a
    server.
    """

    inputs: Inputs
    reader: Backend
    run: Run
    journal: Journal
    since: int
    batches: bool

    def one_wave(self, indices: Collection[int] | None) -> Iterator[Sequence[int]] | None:
        """The unanswered ones of `indices` as one wave; None for None, which means all."""
        if indices is None:
            return None
        todo = array("Q", (at for at in indices if not self.journal.is_done(at, self.since)))
        return iter([todo] if todo else [])

    def unsure(self) -> int:
        """Count the answers without a confidence."""
        rows = self.journal.rows(self.inputs.total)
        return sum(bool(row["predicted_answer"]) and "confidence" not in row for row in rows)

    def done(self) -> Iterator[Row]:
        """Yield the journal lines of the examples that earlier sessions finished."""
        for row in self.journal.rows(self.inputs.total):
            if self.journal.is_done(row["index"], self.since):
                yield row

    def recording(self) -> AbstractContextManager[None]:
        """If the work inside is interrupted, record in the manifest how far it got."""
        return self.run.recording(self._so_far)

    def end(self, status: str, fields: Mapping[str, object]) -> None:
        """Record the run's outcome in the manifest."""
        self.run.update({"status": status, **self._so_far(), **fields})

    def _so_far(self) -> dict[str, object]:
        total = self.inputs.total
        answered, failed = self.journal.counts(total)
        counts = {"examples": total, "answered": answered, "failed": failed}
        short = self.shortfall()
        if short.cut:
            counts["cut"] = short.cut
        facts: dict[str, object] = {
            "counts": counts,
            **({"commonest_failure": short.to_json()} if short.reason else {}),
            "tokens": short.tokens,
        }
        if isinstance(self.reader, Remote):
            facts["served"] = dict(self.reader.facts(self.journal.spent))
        if self.journal.hits:
            facts["cache"] = {"hits": self.journal.hits, "saved": self.saved()}
        return facts

    def shortfall(self) -> FailureSummary:
        """Return why examples failed, how many answers were cut off, and the tokens used."""
        return shortfall(self.journal.rows(self.inputs.total))

    def saved(self) -> dict[str, float | None]:
        """Return what the cached answers would have cost."""
        saved = self.journal.saved
        usd = None if saved.cost is None else round(saved.cost, 6)
        return {"input_tokens": saved.input, "output_tokens": saved.output, "usd": usd}


class Answering:
    """Feeds a reader and puts each answer in the journal.

    A reader that makes several passes over its questions gets them here (`PendingPrompts`).
    Examples whose prompt can't fit are recorded as failures when they are reached. With `waves`
    of indices, only those are asked, each wave after the previous one is in the journal.
    `examples_at` yields the examples at ascending indices, by default by reading the data again.
    """

    def __init__(
        self,
        session: Session,
        waves: Iterator[Collection[int]] | None = None,
        examples_at: ExamplesAt | None = None,
    ) -> None:
        self._session, self._waves = session, waves
        self._wave: Collection[int] | None = None  # the current one
        self._inputs, self._reader = session.inputs, session.reader
        self._examples_at = examples_at or session.inputs.examples_at
        self._journal = session.journal
        self._unfit: list[Row] = []  # in the journal, but not yet yielded
        self._figures = Figures(self._reader, self._journal)

    def run(self) -> Generator[Answered, None, None]:
        """Yield what earlier sessions finished, then each new answer once it is in the journal."""
        for row in self._session.done():
            cleaned = cleaned_again(row, self._inputs.template.answer)
            row = row if cleaned is None else {**row, "predicted_answer": cleaned}
            self._figures.count(row)
            yield Answered(row, None)
        yield from self._ask()

    def _ask(self) -> Iterator[Answered]:
        """Answer what is left, in waves if there are any, opening the reader once."""
        remote = self._reader if isinstance(self._reader, Remote) else None
        by_batch = remote is not None and (remote.asks_by_batch or self._session.batches)
        since, indices = self._session.since, range(self._inputs.total)
        is_whole = all(self._journal.is_done(index, since) for index in indices)
        everything = iter([] if is_whole and not by_batch else [None])
        waves: Iterator[Collection[int] | None] = self._waves or everything

        def answers() -> Answers:
            for self._wave in chain([first], waves):
                if remote is not None and by_batch:
                    yield from remote.answer_by_batch(self)
                if remote is None or not remote.asks_by_batch:
                    yield from self._reader.generate(self.todo())

        first = next(waves, ())
        if first != ():  # otherwise no weights are loaded
            with self._reader:
                yield from self._recorded(answers())

    def cancel(self, reader: Remote) -> Generator[Answered, None, None]:
        """Cancel the open batches and yield the answers that they contain."""
        with reader:
            yield from self._recorded(reader.cancel_batches(self))

    def mark(self) -> int:
        """Return the size of the journal."""
        return self._journal.size()

    def todo(self) -> Iterator[Prompt]:
        """Yield the prompts without an answer, of the current wave or of all examples."""
        since = self._session.since
        if self._wave is not None:
            return self.of(self._wave, since)
        examples = self._inputs.examples()
        return self._prompts(pair for pair in examples if not self._journal.is_done(pair[0], since))

    def of(self, indices: Collection[int], since: int) -> Iterator[Prompt]:
        """Yield the prompts of these examples with no answer and no failure after `since`."""
        return self._prompts(self._unanswered(indices, since))

    def _unanswered(self, indices: Collection[int], since: int) -> Iterator[tuple[int, Example]]:
        # Indices beyond today's limit are paid for and kept for when the limit is raised again.
        for index, example in self._examples_at(sorted(indices)):
            if not self._journal.is_done(index, since):
                yield index, example

    def _recorded(self, answers: Answers) -> Iterator[Answered]:
        """Put each answer in the journal before taking the next.

        If the stream is closed early, requests in flight end as after Ctrl-C: they may be paid for.
        """

        def stream() -> Generator[tuple[Prompt, Prediction], None, None]:  # what can be interrupted
            yield from answers

        arriving = stream()
        try:
            for _, row in self._journal.record(arriving, journal_row):
                yield from self._show_unfit()
                yield self._counted(row)
        except GeneratorExit:
            with suppress(KeyboardInterrupt, StopIteration):
                late = chain([arriving.throw(KeyboardInterrupt())], arriving)
                for _ in self._journal.record(late, journal_row):
                    pass
            raise
        yield from self._show_unfit()

    def _prompts(self, examples: Iterator[tuple[int, Example]]) -> Iterator[Prompt]:
        return that_fit(self._inputs.prompts(self._reader, examples), self._leave_out)

    def _leave_out(self, unfit: Unfit) -> None:
        row = failure_row(unfit.example, unfit.error)
        self._journal.append(unfit.index, row)
        self._unfit.append(row)

    def _show_unfit(self) -> Iterator[Answered]:
        while self._unfit:
            yield self._counted(self._unfit.pop())

    def _counted(self, row: Row) -> Answered:
        return Answered(row, self._figures.after(row))


def unkept_answers(
    inputs: Inputs, reader: Backend, progress: Progress
) -> Generator[Row, None, None]:
    """Answer all examples without a run folder: nothing is written and nothing can be resumed."""
    figures = Figures(reader)
    unfit: list[Unfit] = []
    prompts = that_fit(inputs.prompts(reader, inputs.examples()), unfit.append)
    with progress.task("Answering", inputs.total) as task, reader:
        answers = (journal_row(*answer) for answer in reader.generate(prompts))
        # Prompts that can't fit turn up while the reader asks for more prompts.
        for row in chain(answers, (failure_row(item.example, item.error) for item in unfit)):
            task.advance(1, figures.after(row))
            yield row


class Figures:
    """The figures shown while answers come in: running scores, tokens and money."""

    def __init__(self, reader: Backend, journal: Journal | None = None) -> None:
        self._reader, self._journal = reader, journal
        self._scores = RunningScores(reader.config.evaluation.profile)
        self._failed = 0

    def count(self, row: Row) -> None:
        """Count a row as answered or failed, and score it if it has references."""
        self._failed += row.get("error") is not None
        if row["answers"] is not None:
            self._scores.add(row["predicted_answer"], row["answers"], row.get("question", ""))

    def after(self, row: Row) -> Live:
        """Count a row and return the figures after it."""
        self.count(row)
        figures = {} if row["answers"] is None else dict[str, float | str](self._scores.means())
        if self._failed:
            figures["failed"] = f"{self._failed:,}"
        if isinstance(self._reader, Remote):
            figures |= self._reader.live()
        if self._journal is not None and self._journal.hits:
            saved = self._journal.saved.cost
            saving = f" (${saved:.4f} saved)" if saved else ""
            figures["cached"] = f"{self._journal.hits:,}{saving}"
        return figures


def result_of(rows: Generator[Row, None, Result]) -> Result:
    """Exhaust the generator and return its result."""
    while True:
        try:
            next(rows)
        except StopIteration as end:
            result: Result = end.value
            return result
