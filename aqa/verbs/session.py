"""The answers of a run: each is in the journal before anything else happens."""

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from aqa.backends.base import Backend, Batched, Remote
from aqa.metrics import RunningScores
from aqa.prompting.build import Inputs, Unfit
from aqa.records import Example, Prediction, Prompt
from aqa.runs.folder import Run
from aqa.runs.journal import Journal, count_tokens
from aqa.runs.journal_rows import failure_row, journal_row

Live = Mapping[str, float | str]


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

    def todo(self) -> Iterator[tuple[int, Example]]:
        """The examples that have no answer yet, each with its place in the data."""
        for index, example in self.inputs.examples():
            if not self.journal.is_done(index, self.since):
                yield index, example

    def done(self) -> Iterator[Mapping[str, Any]]:
        """The lines of the examples that earlier sessions finished."""
        for row in self.journal.rows(self.inputs.total):
            if self.journal.is_done(row["index"], self.since):
                yield row

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Put into the manifest how far the work within came, should it be broken off."""
        with self.run.recording(self._so_far):
            yield

    def end(self, status: str, fields: Mapping[str, object]) -> None:
        """Put into the manifest what the run came to."""
        self.run.update({"status": status, **self._so_far(), **fields})

    def _so_far(self) -> dict[str, object]:
        """What the manifest tells of the answers, be it all of them or not."""
        total = self.inputs.total
        answered, failed = self.journal.counts(total)
        found: dict[str, object] = {
            "counts": {"examples": total, "answered": answered, "failed": failed},
            "tokens": count_tokens(self.journal.rows(total)),
        }
        if isinstance(self.reader, Remote):
            found["served"] = dict(self.reader.facts(self.journal.spent))
        if self.journal.hits:
            found["cache"] = {"hits": self.journal.hits, "saved": self.saved()}
        return found

    def saved(self) -> dict[str, float | None]:
        """What the answers that were taken from a cache would have cost."""
        saved = self.journal.saved
        usd = None if saved.cost is None else round(saved.cost, 6)
        return {"input_tokens": saved.input, "output_tokens": saved.output, "usd": usd}


class BatchQuestions:
    """The questions of a run for a reader that goes through them more than once.

    Examples whose prompt can't fit go to the journal as they are met, and to `unfit` to be shown.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.unfit: list[Unfit] = []

    def mark(self) -> int:
        """The size of the journal."""
        return self._session.journal.size()

    def todo(self) -> Iterator[Prompt]:
        """The prompts of all that has no answer yet."""
        return self._prompts(self._session.todo())

    def of(self, indices: Collection[int], since: int) -> Iterator[Prompt]:
        """The prompts of these examples that have no answer, nor a failure from after `since`."""
        return self._prompts(self._chosen(indices, since))

    def _chosen(self, indices: Collection[int], since: int) -> Iterator[tuple[int, Example]]:
        last = max(indices, default=-1)
        # What was asked under a higher limit is paid for, and kept for when it is raised again.
        for index, example in self._session.inputs.all_examples():
            if index > last:
                return
            if index in indices and not self._session.journal.is_done(index, since):
                yield index, example

    def _prompts(self, examples: Iterator[tuple[int, Example]]) -> Iterator[Prompt]:
        session = self._session
        unfit: list[Unfit] = []
        for prompt in session.inputs.prompts(session.reader, examples, unfit):
            self._record(unfit)
            yield prompt
        self._record(unfit)

    def _record(self, unfit: list[Unfit]) -> None:
        for each in unfit:
            self._session.journal.append(each.index, failure_row(each.example, each.error))
        self.unfit += unfit
        unfit.clear()


class Answering:
    """Feeds a reader and puts each answer in the journal."""

    def __init__(self, session: Session, profile: str) -> None:
        self._session = session
        self._inputs, self._reader = session.inputs, session.reader
        self._journal = session.journal
        self._waiting: dict[str, Prompt] = {}
        self._unfit: list[Unfit] = []
        self._scores = RunningScores(profile)

    def run(self) -> Generator[Live, None, None]:
        """Answer what is to do; after each journal line, give the running scores to show.

        They are those of all answers, earlier sessions' among them.
        """
        for row in self._session.done():
            if row["answers"] is not None:
                self._scores.add(row["predicted_answer"], row["answers"])
        reader = self._reader
        if isinstance(reader, Batched) and (reader.asks_by_batch or self._session.batches):
            questions = BatchQuestions(self._session)
            yield from self._by_batch(questions, reader.answer_by_batch)
        if not (isinstance(reader, Batched) and reader.asks_by_batch):
            yield from self._one_by_one()

    def cancel(self, reader: Batched) -> Generator[Live, None, None]:
        """End the open batches; give the running scores after each of their answers."""
        yield from self._by_batch(BatchQuestions(self._session), reader.cancel_batches)

    def _by_batch(
        self,
        questions: BatchQuestions,
        answers: Callable[[BatchQuestions], Iterator[tuple[Prompt, Prediction]]],
    ) -> Iterator[Live]:
        with self._reader:
            for prompt, prediction in answers(questions):
                yield self._append(prompt, prediction)
        for unfit in questions.unfit:
            yield self._live(None, unfit.example.answers)

    def _one_by_one(self) -> Iterator[Live]:
        todo = self._session.todo()
        first = next(todo, None)
        if first is None:
            return
        with self._reader as reader:
            for prediction in reader.generate(self._prompts(chain([first], todo))):
                yield from self._record_unfit()
                yield self._append(self._waiting.pop(prediction.id), prediction)
        yield from self._record_unfit()

    def _append(self, prompt: Prompt, prediction: Prediction) -> Live:
        row = journal_row(prompt, prediction)
        self._journal.append(prompt.index, row)
        return self._live(row["predicted_answer"], prompt.answers)

    def _prompts(self, todo: Iterator[tuple[int, Example]]) -> Iterator[Prompt]:
        for prompt in self._inputs.prompts(self._reader, todo, self._unfit):
            self._waiting[prompt.id] = prompt
            yield prompt

    def _record_unfit(self) -> Iterator[Live]:
        """Put the examples whose prompt can't fit in the journal, as failures."""
        while self._unfit:
            unfit = self._unfit.pop()
            self._journal.append(unfit.index, failure_row(unfit.example, unfit.error))
            yield self._live(None, unfit.example.answers)

    def _live(self, prediction: str | None, answers: tuple[str, ...] | None) -> Live:
        spent = dict(self._reader.live()) if isinstance(self._reader, Remote) else {}
        if self._journal.hits:
            saved = self._journal.saved.cost
            told = f" (${saved:.4f} saved)" if saved else ""
            spent["cached"] = f"{self._journal.hits:,}{told}"
        if answers is None:
            return spent
        self._scores.add(prediction, answers)
        return {**self._scores.means(), **spent}
