"""Samples through the Batch API: a request each, whose answers are joined question by question."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from aqa.backends.base import PendingPrompts
from aqa.backends.openai_api.samples import SampleRecord, failed_sample, joined_samples
from aqa.backends.openai_api.service import Service
from aqa.records import Prediction, Prompt

Answers = Iterator[tuple[Prompt, Prediction]]


class SampledQuestions:
    """What a run asks, as samples: of the question at a place i the `count` ones from i * count on.

    Those on disk are not asked again, whether they were asked live or by an earlier batch.
    """

    def __init__(self, service: Service, pending: PendingPrompts, record: SampleRecord) -> None:
        self._service, self._pending, self._record = service, pending, record
        self._count = service.config.generation.samples
        self._failed: dict[int, Prediction] = {}  # by the sample's place

    def mark(self) -> int:
        """A moment of the run."""
        return self._pending.mark()

    def todo(self) -> Iterator[Prompt]:
        """The samples of all that has no answer yet."""
        for question in self._pending.todo():
            yield from self._missing(question)

    def of(self, indices: Collection[int], since: int) -> Iterator[Prompt]:
        """The samples at these places."""
        questions = {index // self._count for index in indices}
        for question in self._pending.of(questions, since):
            yield from (own for own in self._missing(question) if own.index in indices)

    def joined(self, answers: Answers) -> Answers:
        """Put each sample on disk, and give a question once nothing of it is awaited any more.

        Those that only a kill kept from it come first.
        """
        yield from self._whole(self._pending.todo())
        for sample, prediction in answers:
            place, number = divmod(sample.index, self._count)
            question = replace(sample, index=place)
            if prediction.error is not None:
                self._failed[sample.index] = prediction
            else:
                self._service.ledger.write()  # lest a kill hides the sample's price
                self._record.keep(self._service.key(question, number), prediction)
            yield from self._whole([question])

    def _missing(self, question: Prompt) -> Iterator[Prompt]:
        for number, key in enumerate(self._keys(question)):
            place = question.index * self._count + number
            if not self._record.has(key, question.id) and place not in self._failed:
                yield replace(question, index=place)

    def _keys(self, question: Prompt) -> Iterator[bytes]:
        return (self._service.key(question, number) for number in range(self._count))

    def _whole(self, questions: Iterable[Prompt]) -> Answers:
        for question in questions:
            if any(True for _ in self._missing(question)):
                continue
            first = question.index * self._count
            failed = [n for n in range(self._count) if first + n in self._failed]
            if failed:
                failure = self._failed[first + failed[0]]
                yield question, failed_sample(failure, failed[0], self._count)
                continue
            found = (self._record.find(key, question.id) for key in self._keys(question))
            samples = [sample for sample in found if sample is not None]
            yield question, joined_samples(self._service, question, samples)
