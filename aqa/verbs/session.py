"""The answers of a run: each is in the journal before anything else happens."""

from array import array
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from aqa.backends.base import Backend, Remote
from aqa.metrics import RunningScores
from aqa.progress import Progress
from aqa.prompting.build import Inputs, Unfit, that_fit
from aqa.records import Example, Prediction, Prompt
from aqa.runs.failures import Shortfall, shortfall
from aqa.runs.folder import Run
from aqa.runs.journal import Journal, count_tokens
from aqa.runs.journal_rows import cleaned_again, failure_row, journal_row

Live = Mapping[str, float | str]
Answers = Iterator[tuple[Prompt, Prediction]]
Row = Mapping[str, Any]  # as `journal_row` makes it
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answered:
    """A finished example, and the figures to show after it; none where it was finished before."""

    row: Row
    live: Live | None


@dataclass(frozen=True, slots=True)
class Session:
    """An open run: its inputs, reader, folder and journal.

    `since` is the place in the journal before which failures are asked again. `batches` tells that
    some lie with a server.
    """

    inputs: Inputs
    reader: Backend
    run: Run
    journal: Journal
    since: int
    batches: bool

    def one_wave(self, places: Collection[int] | None) -> Iterator[Sequence[int]] | None:
        """Those of these places that have no answer yet, as one wave; None of all places."""
        if places is None:
            return None
        todo = array("Q", (at for at in places if not self.journal.is_done(at, self.since)))
        return iter([todo] if todo else [])

    def unsure(self) -> int:
        """How many answers have no confidence."""
        rows = self.journal.rows(self.inputs.total)
        return sum(bool(row["predicted_answer"]) and "confidence" not in row for row in rows)

    def done(self) -> Iterator[Row]:
        """The lines of the examples that earlier sessions finished."""
        for row in self.journal.rows(self.inputs.total):
            if self.journal.is_done(row["index"], self.since):
                yield row

    def recording(self) -> AbstractContextManager[None]:
        """Put into the manifest how far the work within came, should it be broken off."""
        return self.run.recording(self._so_far)

    def end(self, status: str, fields: Mapping[str, object]) -> None:
        """Put into the manifest what the run came to."""
        self.run.update({"status": status, **self._so_far(), **fields})

    def _so_far(self) -> dict[str, object]:
        """What the manifest tells of the answers, be it all of them or not."""
        total = self.inputs.total
        answered, failed = self.journal.counts(total)
        counts = {"examples": total, "answered": answered, "failed": failed}
        short = self.shortfall()
        if short.cut:
            counts["cut"] = short.cut
        found: dict[str, object] = {
            "counts": counts,
            **({"commonest_failure": short.to_json()} if short.reason else {}),
            "tokens": count_tokens(self.journal.rows(total)),
        }
        if isinstance(self.reader, Remote):
            found["served"] = dict(self.reader.facts(self.journal.spent))
        if self.journal.hits:
            found["cache"] = {"hits": self.journal.hits, "saved": self.saved()}
        return found

    def shortfall(self) -> Shortfall:
        """Why examples failed, and how many answers were cut off."""
        return shortfall(self.journal.rows(self.inputs.total))

    def saved(self) -> dict[str, float | None]:
        """What the answers that were taken from a cache would have cost."""
        saved = self.journal.saved
        usd = None if saved.cost is None else round(saved.cost, 6)
        return {"input_tokens": saved.input, "output_tokens": saved.output, "usd": usd}


class Answering:
    """Feeds a reader and puts each answer in the journal.

    A reader that goes through its questions more than once asks here for them (`PendingPrompts`).
    Examples whose prompt can't fit go to the journal as failures when they are met. With `waves`,
    places in the data, only these are asked, each wave when the one before is in the journal.
    """

    def __init__(self, session: Session, waves: Iterator[Collection[int]] | None = None) -> None:
        self._session, self._waves = session, waves
        self._wave: Collection[int] | None = None  # the one that is asked now
        self._inputs, self._reader = session.inputs, session.reader
        self._journal = session.journal
        self._unfit: list[Row] = []  # in the journal, but not shown yet
        self._figures = Figures(self._reader, self._journal)

    def run(self) -> Generator[Answered, None, None]:
        """Give what earlier sessions finished, then answer what is to do: each when it is kept."""
        for row in self._session.done():
            again = cleaned_again(row, self._inputs.template.answer)
            known = row if again is None else {**row, "predicted_answer": again}
            self._figures.count(known)
            yield Answered(known, None)
        yield from self._ask()

    def _ask(self) -> Iterator[Answered]:
        """Answer what is to do, wave by wave where there are some, with the reader opened once."""
        remote = self._reader if isinstance(self._reader, Remote) else None
        by_batch = remote is not None and (remote.asks_by_batch or self._session.batches)
        since, places = self._session.since, range(self._inputs.total)
        is_whole = all(self._journal.is_done(place, since) for place in places)
        everything = iter([] if is_whole and not by_batch else [None])
        waves: Iterator[Collection[int] | None] = self._waves or everything

        def answers(_: "Answering") -> Answers:
            for self._wave in chain([first], waves):
                if remote is not None and by_batch:
                    yield from remote.answer_by_batch(self)
                if remote is None or not remote.asks_by_batch:
                    yield from self._reader.generate(self.todo())

        first = next(waves, ())
        if first != ():  # or else no weights are loaded
            yield from self._record(answers)

    def cancel(self, reader: Remote) -> Generator[Answered, None, None]:
        """End the open batches; give each of their answers."""
        yield from self._record(reader.cancel_batches)

    def mark(self) -> int:
        """The size of the journal."""
        return self._journal.size()

    def todo(self) -> Iterator[Prompt]:
        """The prompts of all that has no answer yet, or of the wave alone."""
        since = self._session.since
        if self._wave is not None:
            return self.of(self._wave, since)
        each = self._inputs.examples()
        return self._prompts(pair for pair in each if not self._journal.is_done(pair[0], since))

    def of(self, indices: Collection[int], since: int) -> Iterator[Prompt]:
        """The prompts of these examples that have no answer, nor a failure from after `since`."""
        return self._prompts(self._chosen(indices, since))

    def _chosen(self, indices: Collection[int], since: int) -> Iterator[tuple[int, Example]]:
        # What was asked under a higher limit is paid for, and kept for when it is raised again.
        for index, example in self._inputs.examples_at(sorted(indices)):
            if not self._journal.is_done(index, since):
                yield index, example

    def _record(self, answer: Callable[["Answering"], Answers]) -> Iterator[Answered]:
        """Open the reader and put its answers in the journal, each before the next is taken."""
        with self._reader:
            for _, row in self._journal.record(answer(self), journal_row):
                yield from self._show_unfit()
                yield self._shown(row)
        yield from self._show_unfit()

    def _prompts(self, examples: Iterator[tuple[int, Example]]) -> Iterator[Prompt]:
        return that_fit(self._inputs.prompts(self._reader, examples), self._leave_out)

    def _leave_out(self, unfit: Unfit) -> None:
        row = failure_row(unfit.example, unfit.error)
        self._journal.append(unfit.index, row)
        self._unfit.append(row)

    def _show_unfit(self) -> Iterator[Answered]:
        while self._unfit:
            yield self._shown(self._unfit.pop())

    def _shown(self, row: Row) -> Answered:
        return Answered(row, self._figures.after(row))


def unkept_answers(
    inputs: Inputs, reader: Backend, progress: Progress
) -> Generator[Row, None, None]:
    """Answer all examples without a run folder: nothing is written, nothing can be resumed."""
    figures = Figures(reader)
    unfit: list[Unfit] = []
    prompts = that_fit(inputs.prompts(reader, inputs.examples()), unfit.append)
    with progress.task("Answering", inputs.total) as task, reader:
        answers = (journal_row(*answer) for answer in reader.generate(prompts))
        # What can't fit is met while the reader asks for more prompts.
        for row in chain(answers, (failure_row(each.example, each.error) for each in unfit)):
            task.advance(1, figures.after(row))
            yield row


class Figures:
    """What is shown while answers come in: running scores, tokens and money."""

    def __init__(self, reader: Backend, journal: Journal | None = None) -> None:
        self._reader, self._journal = reader, journal
        self._scores = RunningScores(reader.config.evaluation.profile)
        self._failed = 0

    def count(self, row: Row) -> None:
        """Count an answer that has references, and a failure."""
        self._failed += row.get("error") is not None
        if row["answers"] is not None:
            self._scores.add(row["predicted_answer"], row["answers"], row.get("question", ""))

    def after(self, row: Row) -> Live:
        """Count an answer and give the figures after it."""
        self.count(row)
        found = {} if row["answers"] is None else dict[str, float | str](self._scores.means())
        if self._failed:
            found["failed"] = f"{self._failed:,}"
        if isinstance(self._reader, Remote):
            found |= self._reader.live()
        if self._journal is not None and self._journal.hits:
            saved = self._journal.saved.cost
            saving = f" (${saved:.4f} saved)" if saved else ""
            found["cached"] = f"{self._journal.hits:,}{saving}"
        return found


def result_of(rows: Generator[Row, None, Result]) -> Result:
    """Take all answers; give what they came to."""
    while True:
        try:
            next(rows)
        except StopIteration as end:
            result: Result = end.value
            return result
