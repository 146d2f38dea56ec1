"""Samples of an API's answers, asked live or by batch; each is on disk before the next."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from aqa.backends.base import PendingPrompts
from aqa.backends.openai_api.cache import AskSample, kept_fields, read_prediction
from aqa.backends.openai_api.service import Service
from aqa.backends.samples import most_central
from aqa.errors import RunError
from aqa.records import Prediction, Prompt
from aqa.runs.files import explain_write_errors
from aqa.runs.names import SAMPLES
from aqa.spent import Spent

OF_THE_ROW = {"id", "error"}  # fields that are not stored
Answers = Iterator[tuple[Prompt, Prediction]]


class SampleRecord:
    """The samples of a run folder: lines with a key (`key_of`), an id, and the paid answer.

    A killed run pays for none of them again. Identical questions have separate samples. Only each
    line's offset is kept in memory.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SAMPLES
        self._offsets: dict[tuple[str, str], int] = {}
        self._file: BinaryIO | None = None
        if self._path.exists():
            self._read()

    def _read(self) -> None:
        """Find all lines; drop one that was cut off by a kill."""
        end = 0
        with self._path.open("r+b") as file:
            while (line := file.readline()).endswith(b"\n"):
                try:
                    self._offsets[_named(json.loads(line))] = end
                except (ValueError, LookupError, TypeError):
                    raise RunError(
                        f"{self._path}: not JSON at byte {end}, so another program has changed it;"
                        " delete it to ask for these samples again"
                    ) from None
                end += len(line)
            file.truncate(end)

    def has(self, key: bytes, id: str) -> bool:  # noqa: A002
        """Whether there is a sample with this key for this id."""
        return (key.hex(), id) in self._offsets

    def find(self, key: bytes, id: str) -> Prediction | None:  # noqa: A002
        """Return the sample with this key for this id."""
        offset = self._offsets.get((key.hex(), id))
        if offset is None:
            return None
        with self._path.open("rb") as file:
            file.seek(offset)
            fields = json.loads(file.readline())["answer"]
        return read_prediction(id, json.dumps(fields), OF_THE_ROW)

    def keep(self, key: bytes, prediction: Prediction) -> None:
        """Write a sample to disk."""
        with explain_write_errors(self._path.parent):
            if self._file is None:
                self._file = self._path.open("ab")
            offset = self._file.tell()
            answer = kept_fields(prediction, OF_THE_ROW)
            line = {"key": key.hex(), "id": prediction.id, "answer": answer}
            self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
        self._offsets[_named(line)] = offset

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _named(line: Mapping[str, Any]) -> tuple[str, str]:
    return line["key"], line.get("id", "")  # earlier versions wrote no id


class Samples:
    """Asks for all samples of an answer in turn, and chooses the most central one."""

    def __init__(self, service: Service, ask: AskSample, record: SampleRecord | None) -> None:
        self._service, self._ask, self._record = service, ask, record
        self._count = service.config.generation.samples

    async def ask(self, prompt: Prompt) -> Prediction:
        """Answer a prompt; if a sample fails, return its failure.

        The samples paid for by then are in the record, for the next attempt.
        """
        samples = []
        for number in range(self._count):
            key = self._service.key(prompt, number)
            sample = self._record and self._record.find(key, prompt.id)
            if not sample:
                sample = await self._ask(prompt, number)
                if sample.error is not None:
                    return failed_sample(sample, number, self._count)
                if self._record:
                    self._record.keep(key, sample)
            samples.append(sample)
        return joined_samples(self._service, prompt, samples)


def failed_sample(sample: Prediction, number: int, count: int) -> Prediction:
    """Return the failure of a question of which a sample failed."""
    return replace(sample, error=f"sample {number + 1} of {count}: {sample.error}")


def joined_samples(service: Service, prompt: Prompt, samples: list[Prediction]) -> Prediction:
    """Return the most central sample, with the cost of all."""
    chosen = most_central(prompt, samples, service.config.evaluation.profile)
    saved = [sample.saved for sample in samples if sample.saved is not None]
    seconds = [sample.seconds for sample in samples if sample.seconds is not None]
    return replace(
        chosen,
        prompt_tokens=sum(sample.prompt_tokens for sample in samples),
        spent=sum((sample.spent or Spent() for sample in samples), Spent()),
        saved=sum(saved, Spent()) if saved else None,
        seconds=round(sum(seconds), 3) if seconds else None,
    )


class SampledQuestions:
    """A run's questions as samples: question i becomes those from i * count on.

    Samples on disk are not asked for again, whether they were asked live or by an earlier batch.
    """

    def __init__(self, service: Service, pending: PendingPrompts, record: SampleRecord) -> None:
        self._service, self._pending, self._record = service, pending, record
        self._count = service.config.generation.samples
        self._failed: dict[int, Prediction] = {}  # by the sample's index

    def mark(self) -> int:
        """Return a mark in time."""
        return self._pending.mark()

    def todo(self) -> Iterator[Prompt]:
        """Yield the samples of questions that have no answer yet."""
        for question in self._pending.todo():
            yield from self._missing(question)

    def of(self, indices: Collection[int], since: int) -> Iterator[Prompt]:
        """Yield the samples with these indices."""
        questions = {index // self._count for index in indices}
        for question in self._pending.of(questions, since):
            yield from (prompt for prompt in self._missing(question) if prompt.index in indices)

    def joined(self, answers: Answers) -> Answers:
        """Write each sample to disk, and yield a question once all its samples are there.

        Questions that only a kill prevented from being yielded come first.
        """
        yield from self._complete(self._pending.todo())
        for sample, prediction in answers:
            place, number = divmod(sample.index, self._count)
            question = replace(sample, index=place)
            if prediction.error is not None:
                self._failed[sample.index] = prediction
            else:
                self._service.ledger.write()  # so that a kill does not hide its cost
                self._record.keep(self._service.key(question, number), prediction)
            yield from self._complete([question])

    def _missing(self, question: Prompt) -> Iterator[Prompt]:
        for number, key in enumerate(self._keys(question)):
            place = question.index * self._count + number
            if not self._record.has(key, question.id) and place not in self._failed:
                yield replace(question, index=place)

    def _keys(self, question: Prompt) -> Iterator[bytes]:
        return (self._service.key(question, number) for number in range(self._count))

    def _complete(self, questions: Iterable[Prompt]) -> Answers:
        for question in questions:
            if any(True for _ in self._missing(question)):
                continue
            first = question.index * self._count
            failed = [n for n in range(self._count) if first + n in self._failed]
            if failed:
                failure = self._failed[first + failed[0]]
                yield question, failed_sample(failure, failed[0], self._count)
                continue
            stored = (self._record.find(key, question.id) for key in self._keys(question))
            samples = [sample for sample in stored if sample is not None]
            yield question, joined_samples(self._service, question, samples)
