"""The backend `ensemble`: a rule chooses among its members' answers."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import islice
from math import isnan
from pathlib import Path
from typing import Any, ClassVar, Self

from aqa.backends.base import Backend
from aqa.backends.ensemble.learned import LearnedEnsemble, read_learned
from aqa.config.backend_options import BackendOptions
from aqa.config.ensemble_options import EnsembleOptions
from aqa.errors import ModelError, UsageError
from aqa.metrics.medoid import profile_of
from aqa.metrics.votes import NOBODY, Cascade, Votes
from aqa.records import Prediction, Prompt
from aqa.runs.files import Hashed
from aqa.runs.journal_lines import Lines
from aqa.runs.journal_rows import finite
from aqa.spent import Spent

WINDOW = 512  # questions decided at once
Candidate = tuple[str, float | None]  # a text and its reader's confidence


@dataclass(frozen=True, slots=True)
class MemberAnswer:
    """A member's answer to one question: `candidates` are best first, and empty if it failed.

    `spent` is its cost, `tokens` counts its prompt and answer; `is_new`: this run asked for it.
    """

    candidates: tuple[Candidate, ...] = ()
    error: str = ""
    spent: Spent | None = None
    tokens: tuple[int, int] = (0, 0)
    is_new: bool = False


class KeptAnswers:
    """A member's answers to `total` questions, by index; those of runs are read from disk."""

    def __init__(self, total: int) -> None:
        self._total, self._lines = total, Lines()
        self._held: dict[int, MemberAnswer] = {}
        self._new: set[int] = set()  # journals written by this run

    def __contains__(self, index: int) -> bool:
        return index in self._lines or index in self._held

    def __iter__(self) -> Iterator[int]:
        return (index for index in range(self._total) if index in self)

    def take_run(self, journal: Path, is_new: bool = False) -> None:
        """Take over the answers in a run's journal, replacing earlier ones."""
        number = self._lines.take(journal, lambda row: row["index"] < self._total)
        if is_new:
            self._new.add(number)

    def hold(self, index: int, answer: MemberAnswer) -> None:
        """Keep an answer that is in no run folder."""
        self._held[index] = answer

    def read(self, indices: Iterable[int]) -> Iterator[MemberAnswer | None]:
        """Yield the answers to the questions with these indices; None for missing ones."""
        with self._lines.reading() as read:
            for index in indices:
                if index in self._lines:
                    row, is_new = read(index), self._lines.position(index)[0] in self._new
                    yield read_answer(row["predicted_answer"], row, is_new)
                else:
                    yield self._held.get(index)


def read_answer(text: str | None, row: Mapping[str, Any], is_new: bool = False) -> MemberAnswer:
    """Parse an answer from a journal line, or from a row of any prediction file."""
    tokens, spent = row.get("tokens"), row.get("spent")
    counts = tokens if isinstance(tokens, dict) else {}
    return MemberAnswer(
        () if text is None else tuple(_candidates(text, row)),
        str(row.get("error") or ""),
        _read_spent(spent) if isinstance(spent, dict) else None,
        (counts.get("prompt", 0), counts.get("answer", 0)),
        is_new,
    )


def candidates_of(answers: Sequence[MemberAnswer | None], most: int) -> list[Candidate | None]:
    """Return `most` candidates of each member for one question, padded with None."""
    candidates: list[Candidate | None] = []
    for answer in answers:
        listed = () if answer is None else answer.candidates[:most]
        candidates += [*listed, *[None] * (most - len(listed))]
    return candidates


def _candidates(text: str, row: Mapping[str, Any]) -> Iterator[Candidate]:
    """Yield the answer itself, then the rest of the n-best list."""
    yield text, finite(row.get("confidence"))
    others = row.get("nbest")
    is_left_out = False  # whether the answer itself has been skipped in the list
    for other in others if isinstance(others, list) else ():
        answer = other.get("answer") if isinstance(other, dict) else None
        if answer == text and not is_left_out:
            is_left_out = True
        elif isinstance(answer, str):
            yield answer, finite(other.get("score"))


def _read_spent(stored: Mapping[str, Any]) -> Spent:
    """Parse the cost; other tools may use this key for something else."""
    numbers = {field.name: finite(stored.get(field.name)) for field in fields(Spent)}
    cost = numbers.pop("cost")
    return Spent(cost=cost, **{name: int(number or 0) for name, number in numbers.items()})


# Returns a member's answers to the questions with these indices; None means all.
Ask = Callable[[int, Iterable[int] | None], KeptAnswers]


class EnsembleBackend(Backend[EnsembleOptions]):
    """Chooses among its members' answers; call `connect` before opening it."""

    Options: ClassVar[type[BackendOptions]] = EnsembleOptions
    _ask: Ask | None = None
    _answers: Mapping[int, KeptAnswers] = {}

    @cached_property
    def learned(self) -> LearnedEnsemble:
        """The trained ensemble; ModelError if no run folder is named or it holds none."""
        if not self.options.model:
            raise ModelError(
                "no ensemble is named; give the run folder of `aqa train ensemble` with --model"
            )
        return read_learned(Path(self.options.model))

    def check(self) -> None:
        """Raise a ModelError if there is no ensemble."""
        self.learned  # noqa: B018  (reads it)

    def identity(self) -> Mapping[str, object]:
        """The rule and the members."""
        return {"ensemble": self.learned.sha256()}

    def sources(self) -> Mapping[str, Hashed]:
        """The trained ensemble."""
        return {"model": Hashed(self.options.model, self.learned.sha256())}

    @property
    def confidence_kind(self) -> str:
        """The rule's own kind, since its scale differs from those of other rules and of members."""
        return f"ensemble:{self.learned.rule.name}"

    def connect(self, ask: Ask) -> None:
        """Set the function that asks members."""
        self._ask = ask

    def __enter__(self) -> Self:
        """Ask the members in turn; a cascade asks its expensive one only if the other is unsure."""
        if self._ask is None:
            raise UsageError(
                "an ensemble answers only through `aqa predict`, which asks its members"
            )
        rule, needed = self.learned.rule, self.learned.needed
        answers = {needed[0]: self._ask(needed[0], None)}
        for member in needed[1:]:
            indices = unsure(rule, answers[needed[0]]) if isinstance(rule, Cascade) else None
            answers[member] = self._ask(member, indices)
        self._answers = answers
        return self

    def __exit__(self, *exc: object) -> None:
        self._answers = {}

    def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
        """Yield the chosen answers, a window of questions at a time."""
        waiting = iter(prompts)
        while window := list(islice(waiting, WINDOW)):
            yield from self._decided(window, self._answers_of([prompt.index for prompt in window]))

    def _answers_of(self, indices: Sequence[int]) -> list[tuple[MemberAnswer | None, ...]]:
        """Return each question's answers, None for members that were not asked."""
        not_asked = KeptAnswers(0)
        members = range(len(self.learned.members))
        answers = (self._answers.get(member, not_asked).read(indices) for member in members)
        return list(zip(*answers, strict=True))

    def _decided(
        self, window: Sequence[Prompt], rows: Sequence[Sequence[MemberAnswer | None]]
    ) -> Iterator[tuple[Prompt, Prediction]]:
        learned = self.learned
        candidates = [candidates_of(answers, learned.candidates) for answers in rows]
        texts = [[candidate and candidate[0] for candidate in row] for row in candidates]
        confidences = [[candidate and candidate[1] for candidate in row] for row in candidates]
        profiles = [
            profile_of(learned.profile, prompt.question, answers=list(filter(None, row)))
            for prompt, row in zip(window, texts, strict=True)
        ]
        choice = learned.rule.choose(Votes.of(texts, confidences, profiles))
        for index, (prompt, answers) in enumerate(zip(window, rows, strict=True)):
            reader, confidence = int(choice.readers[index]), float(choice.confidence[index])
            text = None if reader == NOBODY else texts[index][reader]
            prediction = _prediction(prompt.id, text, confidence, self._named(answers))
            yield prompt, replace(prediction, confidence_kind=self.confidence_kind)

    def _named(self, answers: Sequence[MemberAnswer | None]) -> dict[str, MemberAnswer]:
        names = (member.name for member in self.learned.members)
        pairs = zip(names, answers, strict=True)
        return {name: answer for name, answer in pairs if answer is not None}


def unsure(rule: Cascade, answers: KeptAnswers) -> "array[int]":
    """Return the indices of the questions that the cheap reader leaves to the expensive one."""
    indices = array("Q")
    for index, answer in zip(answers, answers.read(answers), strict=True):
        confidence = answer.candidates[0][1] if answer and answer.candidates else None
        if confidence is None or confidence < rule.threshold:
            indices.append(index)
    return indices


def _prediction(
    key: str, text: str | None, confidence: float, answers: Mapping[str, MemberAnswer]
) -> Prediction:
    prompt_tokens, answer_tokens = (
        sum(answer.tokens[part] for answer in answers.values()) for part in (0, 1)
    )
    error = None
    if text is None:
        reasons = "; ".join(
            f"{name}: {answer.error or 'no answer'}" for name, answer in answers.items()
        )
        error = f"no member answered: {reasons}"
    return Prediction(
        key,
        error=error,
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        confidence=None if text is None or isnan(confidence) else confidence,
        spent=_spent(answers.values(), is_new=True),
        saved=_spent(answers.values(), is_new=False),
        answer=text,
    )


def _spent(answers: Iterable[MemberAnswer], is_new: bool) -> Spent | None:
    """Sum the members' costs in this run or in earlier ones; None if nothing was paid."""
    paid = [answer.spent for answer in answers if answer.spent and answer.is_new == is_new]
    return sum(paid, Spent()) if paid else None
