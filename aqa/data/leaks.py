"""Find examples of one data set in another, exactly or nearly: what a reader has seen."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from aqa.data.near_duplicates import nearest_texts, sketch
from aqa.records import Example

SEEN = "seen"  # the name of the column
NOT_SEEN = "no"
PASSAGES = 3  # at most, of those that seem to contain the answer
NOT_LETTERS = re.compile(r"[\W_]+")

How = Literal["same", "near"]


@dataclass(frozen=True, slots=True)
class Leaks:
    """The examples whose question, or answer with its passage, is in the training data.

    By id: "same" apart from case, spaces and punctuation, or "near" (see `near_duplicates`).
    """

    count: int = 0
    questions: Mapping[str, How] = field(default_factory=dict)
    answers: Mapping[str, How] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Count the examples checked, those of each kind, and the new ones."""
        questions, answers = Counter(self.questions.values()), Counter(self.answers.values())
        return {
            "examples": self.count,
            "same_questions": questions["same"],
            "near_questions": questions["near"],
            "same_answers_with_passages": answers["same"],
            "near_answers_with_passages": answers["near"],
            "not_seen": self.count - len(self.questions.keys() | self.answers.keys()),
        }

    def note(self, data: str, training: str) -> str:
        """Summarise the counts in a sentence."""
        counts = self.counts()
        if counts["not_seen"] == self.count:
            return f"No question of {data}, and no answer with its passage, is in {training}."
        return (
            f"Of the {self.count:,} questions of {data}, {counts['same_questions']:,} are in"
            f" {training} as well and {counts['near_questions']:,} nearly so; of the answers with"
            f" their passages, {counts['same_answers_with_passages']:,} and"
            f" {counts['near_answers_with_passages']:,}. {counts['not_seen']:,} examples are new."
        )

    def kind(self, example_id: str) -> str:
        """Return what was seen of an example: its question, its answer, or nothing."""
        if example_id in self.questions:
            return "question"
        return "answer" if example_id in self.answers else NOT_SEEN


def find_leaks(training: Iterable[Example], examples: Iterable[Example]) -> Leaks:
    """Find examples in the training data.

    Memory holds the letters of the training questions, and sixteen numbers for each answer with
    its passage.
    """
    questions: dict[str, None] = {}
    pairs: set[int] = set()
    sketches: dict[int, list[int]] = {}
    for number, example in enumerate(training):
        questions.setdefault(plain(example.question))
        for answer, passage in _answers(example):
            pair = hash((answer, passage))
            if pair not in pairs:
                pairs.add(pair)
                for piece in sketch(passage):
                    sketches.setdefault(hash((answer, piece)), []).append(number)
    count = 0
    leaked: dict[str, How] = {}
    answers: dict[str, How] = {}
    others: dict[str, str] = {}
    for example in examples:
        count += 1
        question = plain(example.question)
        if question in questions:
            leaked[example.id] = "same"
        else:
            others[example.id] = question
        if how := _seen_answer(example, pairs, sketches):
            answers[example.id] = how
    near = nearest_texts(list(questions), list(others.values()))
    leaked |= {key: "near" for key, at in zip(others, near, strict=True) if at is not None}
    return Leaks(count, leaked, answers)


def same_questions(training: Iterable[Example], examples: Iterable[Example]) -> int:
    """Count the examples whose question is in the training data, as "same" in `Leaks`."""
    counts = Counter(plain(example.question) for example in examples)
    shared = {text for example in training if (text := plain(example.question)) in counts}
    return sum(counts[text] for text in shared)


def with_seen(examples: Iterable[Example], leaks: Leaks) -> Iterator[Example]:
    """Add a column to the examples that says what was seen of them."""
    for example in examples:
        yield replace(example, metadata={**example.metadata, SEEN: leaks.kind(example.id)})


@lru_cache(256)  # questions about one passage are adjacent
def plain(text: str) -> str:
    """Reduce a text to letters and digits without case."""
    return NOT_LETTERS.sub("", unicodedata.normalize("NFC", text).casefold())


def _answers(example: Example) -> Iterator[tuple[str, str]]:
    """Yield the answers of an example, each with the passages that contain it."""
    answers = [text for text in map(plain, example.answers or ()) if text]
    if not answers:
        return
    if example.own_passages:
        passages = [plain(passage.text) for passage in example.own_passages]
    else:
        texts = (plain(passage.text) for passage in example.passages)
        passages = [text for text in texts if any(answer in text for answer in answers)]
    for passage in filter(None, passages[:PASSAGES]):
        for answer in dict.fromkeys(answers):
            yield answer, passage


def _seen_answer(
    example: Example, pairs: set[int], sketches: Mapping[int, list[int]]
) -> How | None:
    is_near = False
    for answer, passage in _answers(example):
        if hash((answer, passage)) in pairs:
            return "same"
        pieces = sketch(passage)
        matches = Counter(
            number for piece in pieces for number in set(sketches.get(hash((answer, piece)), ()))
        )
        is_near = is_near or (bool(matches) and max(matches.values()) * 2 >= len(pieces))
    return "near" if is_near else None
