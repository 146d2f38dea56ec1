"""Choose training evidence: gold passages, retrieved ones, or both mixed."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from random import Random

from aqa.config.options import TrainingEvidenceOptions
from aqa.prompting.distractors import OtherPassages, distractors, ranked
from aqa.prompting.gold_passages import answer_finder
from aqa.records import Example, Passage

RULES = 3  # of `mixed`; increase whenever the same data and seed give different passages
SPARE = 20  # extra passages to fetch, since some contain the answer


class TrainingEvidence:
    """Changes the passages of training examples, the same way for every reader and seed.

    `gold` keeps the passages with the answer. `mixed` adds distractors: first the retrieved
    passages without the answer, then passages of other questions, the nearest by BM25 or random
    ones. With probability 1 - `gold_probability` the gold passages are dropped; the example then
    becomes unanswerable with `unanswerable_probability`, and is left out otherwise (compare RAFT,
    Zhang et al. 2024). Passages are shuffled, so that position reveals nothing, and lose their
    scores. Unanswerable questions keep their passages in `gold` and get distractors in `mixed`.

    If distractors are needed, `examples` are read again for the passages of other questions,
    which are kept in memory. `top_k` is the most passages that a prompt holds.
    """

    def __init__(
        self,
        options: TrainingEvidenceOptions,
        top_k: int | None,
        seed: int,
        examples: Iterable[Example],
    ) -> None:
        self._options, self._top_k, self._seed = options, top_k, seed
        self._examples = examples
        self._others: OtherPassages | None = None

    def apply(self, example: Example) -> Example | None:
        """Return the example with the passages to train on, or None to leave it out."""
        if self._options.passages == "retrieved":
            return example
        holds = answer_finder(example)
        passages = example.own_passages or example.passages
        if holds is None:
            gold = list(passages)
        else:
            gold = [passage for passage in passages if holds(passage)]
            gold = gold or [passage for passage in example.passages if holds(passage)]
        if not gold and holds is not None:
            return None
        if self._options.passages == "gold":
            return replace(example, passages=ranked(gold))
        return self._mix(example, gold, holds is not None)

    def _mix(self, example: Example, gold: list[Passage], is_answerable: bool) -> Example | None:
        random = Random(f"{self._seed} {example.id}")  # noqa: S311  (no secret)
        is_silent = is_answerable and random.random() >= self._options.gold_probability
        if is_silent and random.random() >= self._options.unanswerable_probability:
            return None
        chosen = [] if is_silent else gold
        number = self._options.distractors
        if self._top_k is not None:
            chosen = chosen[: self._top_k]
            number = min(number, self._top_k - len(chosen))
        texts = {passage.text for passage in gold}
        negatives = list(islice(distractors(example.passages, texts, example), number))
        if len(negatives) < number:
            others = self._of_others(example, number + len(texts) + SPARE, random)
            negatives += islice(distractors(others, texts, example), number - len(negatives))
        mixed = [*chosen, *negatives]
        random.shuffle(mixed)
        changed = replace(example, passages=ranked(mixed))
        return replace(changed, answers=(), target=None) if is_silent else changed

    def _of_others(self, example: Example, number: int, random: Random) -> list[Passage]:
        if self._others is None:
            self._others = OtherPassages(self._examples)
        if self._options.negatives == "bm25":
            return self._others.nearest(example.question, number)
        return self._others.draw(number, random)
