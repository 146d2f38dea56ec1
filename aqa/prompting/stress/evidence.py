"""Build the evidence of a stress condition for each example, the same for every reader."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from random import Random

from aqa.config.options import EvidenceOptions
from aqa.errors import DataError
from aqa.prompting.distractors import OtherPassages, distractors, ranked
from aqa.prompting.evidence import select
from aqa.prompting.gold_passages import Holds, answer_finder
from aqa.prompting.stress.answers import OtherAnswers
from aqa.prompting.stress.contradiction import contradict
from aqa.records import Example, Passage

MOST = 20_000  # passages to search for distractors
SPARE = 20  # extra passages to fetch, since some contain the answer

# Increase whenever the same data and seed give different evidence.
RULES, RULES_OF_CONTRADICTIONS = 3, 4

NO_GOLD, NO_ANSWER = "no gold passage is known", "no other answer of the type fits"


class Pools:
    """Passages and answers of all examples, regardless of the limit; read when first needed."""

    def __init__(self, examples: Callable[[], Iterable[Example]]) -> None:
        self._examples = examples

    @cached_property
    def passages(self) -> OtherPassages:
        """A sample of the distinct passages."""
        return OtherPassages(self._examples(), MOST)

    @cached_property
    def answers(self) -> OtherAnswers:
        """A sample of the distinct answers."""
        return OtherAnswers(self._examples())


class StressedEvidence:
    """Gives examples the evidence of the condition that the options name.

    Examples without a known gold passage are left out, and for contradictions those whose answer
    has no replacement of its type. `position` and `noise` put the gold passages among hard
    distractors: the example's own, best ranked first, then the nearest of other examples. The
    other conditions start from the plain evidence. Positions are in reading order.
    """

    def __init__(self, options: EvidenceOptions, pools: Pools) -> None:
        self._options = options
        self._stress = options.stress
        self._pools = pools
        self.left_out: Counter[str] = Counter()  # by reason, from the latest `count`
        # The evidence options must not undo what the condition does.
        order = "best_last" if options.order == "best_last" else "given"
        changed = {"top_k": None, "dedupe": False, "order": order}
        self.options = options.model_copy(update=changed)
        self._unlimited = options.model_copy(update={"max_chars": None, "max_tokens": None})

    def count(self, examples: Iterable[Example]) -> int:
        """Count the examples that the condition applies to; DataError if there are none."""
        self.left_out = Counter()
        total = 0
        for example in examples:
            reason = self._reason_to_leave_out(example)
            if reason:
                self.left_out[reason] += 1
            else:
                total += 1
        if not total:
            reasons = " or ".join(self.left_out) or "there are no questions"
            raise DataError(
                f"--stress {self._condition}: no question allows it ({reasons}); it needs answers"
                " and the passages that hold them"
            )
        return total

    def changed(self, examples: Iterable[Example]) -> Iterator[Example]:
        """Yield the examples under the condition, except those that are left out."""
        return (stressed for example in examples if (stressed := self._apply(example)) is not None)

    @property
    def _condition(self) -> str:
        return self._stress.condition or ""

    @property
    def rules(self) -> int | None:
        """The version of the drawing rules; None if nothing is drawn."""
        if self._contradicts:
            return RULES_OF_CONTRADICTIONS
        return None if self._condition == "duplicate" else RULES

    def _others_wanted(self, gold: "_Gold") -> int | None:
        """The number of passages to put around the gold ones; None if the condition sets none."""
        family, _, number = self._condition.partition("-")
        if family == "noise":
            return int(number)
        others = max(1, self._stress.passages - len(gold.passages))
        return others if family == "position" else None

    def _reason_to_leave_out(self, example: Example) -> str:
        gold = _Gold.of(example)
        if gold is None:
            return NO_GOLD
        if self._contradicts:
            return "" if self._apply(example) is not None else NO_ANSWER
        wanted = self._others_wanted(gold) or 0
        candidates = chain(example.passages, self._pools.passages if wanted else ())
        enough = sum(1 for _ in islice(gold.others(candidates), wanted))
        if enough < wanted:
            raise DataError(
                f"{example.place or example.id}: {self._condition} asks for {wanted} passages"
                f" besides the gold one, but the data have only {enough} for it; leave this"
                " condition out, or give a retriever's with --passages"
            )
        return ""

    @property
    def _contradicts(self) -> bool:
        return self._condition in ("conflict", "two_sources")

    def _apply(self, example: Example) -> Example | None:
        gold = _Gold.of(example)
        if gold is None:
            return None
        if (wanted := self._others_wanted(gold)) is not None:
            return self._with_passages(example, self._placed(example, gold, wanted))
        plan = select(example, self._unlimited).reading_order
        if self._contradicts:
            return self._contradicted(example, gold, plan)
        if self._condition == "duplicate":
            return self._with_passages(example, (*plan, *plan))
        left = list(gold.others(plan))
        if not left:  # keep as much evidence as there was
            left = self._hard(example, gold, len(plan) or 1)
        unanswerable = replace(example, answers=(), target=None, gold_ids=())
        return self._with_passages(unanswerable, left)

    def _with_passages(self, example: Example, reading: Sequence[Passage]) -> Example:
        is_turned = self.options.order == "best_last"
        return replace(example, passages=ranked(reading[::-1] if is_turned else reading))

    def _placed(self, example: Example, gold: "_Gold", wanted: int) -> list[Passage]:
        """Put the gold passages among hard ones, at the position that the condition names."""
        _, _, position = self._condition.partition("-")
        others = self._hard(example, gold, wanted)
        before = {"first": 0, "last": len(others)}.get(position, len(others) // 2)
        return [*others[:before], *gold.passages, *others[before:]]

    def _hard(self, example: Example, gold: "_Gold", wanted: int) -> list[Passage]:
        """The example's own passages without the answer, then the nearest of other examples."""
        everything = self._unlimited.model_copy(update={"top_k": None})
        hard = list(islice(gold.others(select(example, everything).passages), wanted))
        looked_at = wanted + SPARE
        while len(hard) < wanted:
            near = self._pools.passages.nearest(example.question, looked_at)
            hard = list(islice(gold.others(chain(hard, near)), wanted))
            if looked_at >= len(self._pools.passages):
                break
            looked_at *= 4
        return hard

    def _contradicted(
        self, example: Example, gold: "_Gold", plan: Sequence[Passage]
    ) -> Example | None:
        random = Random(f"{self._stress.seed} {example.id}")  # noqa: S311  (no secret)
        answers = self._pools.answers
        if self._condition == "conflict":
            other = contradict(example, plan, answers, random)
            if other is None:
                return None
            by_text = {old.text: new for old, new in zip(plan, other.passages, strict=True)}
            own = tuple(by_text.get(passage.text, passage) for passage in example.own_passages)
            changed = replace(example, answers=(other.answer,), target=None, own_passages=own)
            return self._with_passages(changed, other.passages)
        index = next((index for index, passage in enumerate(plan) if gold.holds(passage)), None)
        if index is None:
            return None
        other = contradict(example, [plan[index]], answers, random, plan)
        if other is None:
            return None
        both = [plan[index], replace(other.passages[0], id=None)]
        if random.random() < 0.5:
            both.reverse()
        changed = replace(example, answers=(*(example.answers or ()), other.answer))
        return self._with_passages(changed, [*plan[:index], *both, *plan[index + 1 :]])


class _Gold:
    """An example's gold passages: the marked ones, or else the best ranked with the answer."""

    def __init__(self, example: Example, passages: Sequence[Passage], holds: Holds) -> None:
        self._example = example
        self.passages = passages
        self.holds = holds

    @classmethod
    def of(cls, example: Example) -> "_Gold | None":
        """Find the gold passages; None if none are known."""
        holds = answer_finder(example)
        if holds is None:
            return None
        named = [passage for passage in example.passages if passage.id in example.gold_ids]
        marked = [passage for passage in example.own_passages or named if holds(passage)]
        first = [passage for passage in example.passages if holds(passage)][:1]
        gold = marked or first
        return cls(example, gold, holds) if gold else None

    def others(self, passages: Iterable[Passage]) -> Iterator[Passage]:
        """Yield the passages that do not contain the answer, each text once."""
        return distractors(passages, {passage.text for passage in self.passages}, self._example)
