"""The evidence of training examples: the gold passage, what was retrieved, or both mixed."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any

from aqa.config.options import TrainingEvidenceOptions
from aqa.prompting.gold_passages import Holds, answer_finder
from aqa.records import Example, Passage

WORD = re.compile(r"\w+")
HANGUL_WORD = re.compile("[가-힣]+")
SPARE = 20  # found beyond what is wanted: some hold the answer and can't be taken


class TrainingEvidence:
    """Gives training examples other passages, the same ones for every reader and one seed.

    `gold` keeps the passages that hold the answer. `mixed` puts distractors beside them: first
    the retrieved passages that do not hold the answer, then passages of other questions, the
    nearest to the question by BM25 or any. With probability 1 - `gold_probability` the gold ones
    are left out; such an example becomes unanswerable with `unanswerable_probability`, and is left
    out of the training otherwise (compare RAFT, Zhang et al. 2024). Passages are shuffled, so that
    their place tells nothing, and lose their scores. Unanswerable questions keep their passages in
    `gold` and get distractors in `mixed`.

    `examples` are read once more for the passages of other questions, which are kept in memory;
    only where distractors are wanted. `top_k` is what a prompt can hold.
    """

    def __init__(
        self,
        options: TrainingEvidenceOptions,
        top_k: int | None,
        seed: int,
        examples: Iterable[Example],
    ) -> None:
        self._options = options
        self._top_k = top_k
        self._seed = seed
        self._examples = examples
        self._others: OtherPassages | None = None

    def apply(self, example: Example) -> Example | None:
        """Give the example with the passages to train on, or None where it is left out."""
        if self._options.passages == "retrieved":
            return example
        holds = answer_finder(example)
        own = example.own_passages or example.passages
        if holds is None:
            gold = list(own)
        else:
            gold = [passage for passage in own if holds(passage)]
            gold = gold or [passage for passage in example.passages if holds(passage)]
        if not gold and holds is not None:
            return None
        if self._options.passages == "gold":
            return replace(example, passages=_ranked(gold))
        return self._mix(example, gold, holds)

    def _mix(self, example: Example, gold: list[Passage], holds: Holds | None) -> Example | None:
        chance = Random(f"{self._seed} {example.id}")  # noqa: S311  (no secret)
        kept = gold
        if holds is not None and chance.random() >= self._options.gold_probability:
            if chance.random() >= self._options.unanswerable_probability:
                return None
            example = replace(example, answers=(), target=None)
            kept = []
        number = self._options.distractors
        if self._top_k is not None:
            kept = kept[: self._top_k]
            number = min(number, self._top_k - len(kept))
        texts = {passage.text for passage in gold}
        found = list(islice(_distractors(example.passages, texts, holds), number))
        if len(found) < number:
            others = self._of_others(example, number + len(texts) + SPARE, chance)
            found += islice(_distractors(others, texts, holds), number - len(found))
        mixed = [*kept, *found]
        chance.shuffle(mixed)
        return replace(example, passages=_ranked(mixed))

    def _of_others(self, example: Example, number: int, chance: Random) -> Iterator[Passage]:
        if self._others is None:
            self._others = OtherPassages(self._examples)
        found = (
            self._others.nearest(example.question, number)
            if self._options.negatives == "bm25"
            else self._others.drawn(number, chance)
        )
        # A passage of another question has ids of its own: only its text can tell.
        return (replace(passage, id=None) for passage in found)


def _distractors(
    passages: Iterable[Passage], texts: set[str], holds: Holds | None
) -> Iterator[Passage]:
    """Those whose text is not among `texts`, where it is put, and that do not hold the answer.

    Gold passages may be known by id, but what says the answer under another id is no distractor,
    either: where the gold one is left out, the example is to have no answer.
    """
    for passage in passages:
        holding = holds and (holds(passage) or holds(replace(passage, id=None)))
        if passage.text not in texts and not holding:
            texts.add(passage.text)
            yield passage


class OtherPassages:
    """All distinct passages of the training data, searched by BM25 (Robertson, Zaragoza 2009)."""

    def __init__(self, examples: Iterable[Example]) -> None:
        distinct = {
            passage.text: passage
            for example in examples
            for passage in (*example.own_passages, *example.passages)
        }
        self._passages = list(distinct.values())
        self._index: Any = None

    def nearest(self, question: str, number: int) -> list[Passage]:
        """The passages nearest to a question, best first."""
        import bm25s

        if self._index is None:
            words = [list(terms(f"{p.title} {p.text}")) for p in self._passages]
            if not any(words):
                return []  # nothing to search in
            self._index = bm25s.BM25()
            self._index.index(words, show_progress=False)
        number = min(number, len(self._passages))
        found = self._index.retrieve([list(terms(question))], k=number, show_progress=False)
        return [self._passages[place] for place in found.documents[0].tolist()]

    def drawn(self, number: int, chance: Random) -> list[Passage]:
        """Passages drawn by chance."""
        return chance.sample(self._passages, min(number, len(self._passages)))


def terms(text: str) -> Iterator[str]:
    """Words to search by; pairs of letters for Hangul, whose words have endings."""
    for word in WORD.findall(text.lower()):
        if HANGUL_WORD.fullmatch(word) and len(word) > 1:
            yield from (word[start : start + 2] for start in range(len(word) - 1))
        else:
            yield word


def _ranked(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    return tuple(
        replace(passage, rank=rank, score=None) for rank, passage in enumerate(passages, 1)
    )
