"""Several readers' answers to the same questions, and the rules that choose among them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aqa.metrics.medoid import likeness
from aqa.metrics.normalize import Profile
from aqa.metrics.statistics.clusters import Indices, Matrix

Truths = NDArray[np.bool_]

_TIE = 1e-9  # less than any difference between sums of votes
NOBODY = -1


@dataclass(frozen=True, eq=False)
class Votes:
    """The answers of m readers to n questions.

    `answered` is (n, m). `same` and `likeness` are (n, m, m): whether two answers are equal once
    normalised, and their F1 under the profile, 0..1; False and 0 if one is missing. `confidences`
    are (n, m), each on its reader's own scale, NaN if there is none.
    """

    answered: Truths
    same: Truths
    likeness: Matrix
    confidences: Matrix

    @classmethod
    def of(
        cls,
        texts: Sequence[Sequence[str | None]],
        confidences: Sequence[Sequence[float | None]],
        profiles: Sequence[Profile],
    ) -> "Votes":
        """Compare answers, given as a sequence per question; None for a missing answer."""
        count, width = len(texts), len(texts[0]) if texts else 0
        answered = np.array([[text is not None for text in row] for row in texts], dtype=bool)
        same = np.zeros((count, width, width), dtype=bool)
        alike = np.zeros((count, width, width))
        for row, (answers, profile) in enumerate(zip(texts, profiles, strict=True)):
            normalized = [None if text is None else profile.normalize(text) for text in answers]
            for first, text in enumerate(normalized):
                for second, other in enumerate(normalized[: first + 1]):
                    if text is None or other is None:
                        continue
                    same[row, first, second] = same[row, second, first] = text == other
                    value = likeness(text, other, profile)
                    alike[row, first, second] = alike[row, second, first] = value
        matrix = np.array(confidences, dtype=np.float64)  # None becomes NaN
        return cls(answered.reshape(count, width), same, alike, matrix.reshape(count, width))

    def at(self, indices: Indices) -> "Votes":
        """Return the votes on some of the questions."""
        return Votes(
            self.answered[indices],
            self.same[indices],
            self.likeness[indices],
            self.confidences[indices],
        )


@dataclass(frozen=True, eq=False)
class Choice:
    """Whose answer was chosen for each question (NOBODY for none), and the rule's confidence.

    `confidence` is the reader's own if only one was asked, else a share of the votes or an
    expected score, 0..1; NaN if unknown.
    """

    readers: Indices
    confidence: Matrix


@dataclass(frozen=True, slots=True)
class Curve:
    """A reader's expected score, 0..1, by confidence: linear between points, constant outside.

    For an unknown confidence it is the `mean`.
    """

    mean: float
    confidences: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()

    def at(self, confidences: Matrix) -> Matrix:
        """Return the expected score of each confidence."""
        if not self.confidences:
            return np.full(confidences.shape, self.mean)
        expected = np.interp(confidences, self.confidences, self.scores)
        return np.where(np.isnan(confidences), self.mean, expected)


@dataclass(frozen=True, slots=True)
class Single:
    """The answers of one reader."""

    name: ClassVar[str] = "member"
    reader: int

    def choose(self, votes: Votes) -> Choice:
        """Choose an answer to each question."""
        answered = votes.answered[:, self.reader]
        return Choice(np.where(answered, self.reader, NOBODY), votes.confidences[:, self.reader])


@dataclass(frozen=True, slots=True)
class Majority:
    """The answer that most readers give; in a tie, that of the first reader in `order`."""

    name: ClassVar[str] = "majority"
    order: tuple[int, ...]

    def choose(self, votes: Votes) -> Choice:
        """Choose the answer with the highest total for each question."""
        totals = self._totals(votes) / len(self.order)
        ranks = np.empty(len(self.order))
        ranks[list(self.order)] = np.arange(len(self.order))
        preferred = np.where(votes.answered, totals - _TIE * ranks, -np.inf)
        chosen = preferred.argmax(axis=1)
        is_answered = votes.answered.any(axis=1)
        shares = totals[np.arange(len(totals)), chosen]
        return Choice(np.where(is_answered, chosen, NOBODY), np.where(is_answered, shares, np.nan))

    def _totals(self, votes: Votes) -> Matrix:
        totals: Matrix = votes.same.sum(axis=2, dtype=np.float64)
        return totals


@dataclass(frozen=True, slots=True)
class MinimumRisk(Majority):
    """The answer most similar to all others: minimum Bayes risk under the profile's F1.

    All answers are assumed equally likely to be right; see `aqa.metrics.medoid`.
    """

    name: ClassVar[str] = "mbr"

    def _totals(self, votes: Votes) -> Matrix:
        totals: Matrix = votes.likeness.sum(axis=2)
        return totals


@dataclass(frozen=True, slots=True)
class Weighted(Majority):
    """A vote weighted by each answer's expected score, given its reader's confidence."""

    name: ClassVar[str] = "weighted"
    curves: tuple[Curve, ...]

    def _totals(self, votes: Votes) -> Matrix:
        weights = np.column_stack(
            [curve.at(votes.confidences[:, index]) for index, curve in enumerate(self.curves)]
        )
        totals: Matrix = np.einsum("nij,nj->ni", votes.same, weights)
        return totals


@dataclass(frozen=True, slots=True)
class Cascade:
    """A cheap reader's answers, replaced by an expensive one's if below the `threshold`.

    A missing confidence counts as below. `curves` are those of the two readers.
    """

    name: ClassVar[str] = "cascade"
    cheap: int
    dear: int
    threshold: float
    curves: tuple[Curve, Curve]

    def asks_dear(self, votes: Votes) -> Truths:
        """Return which questions the expensive reader is asked."""
        with np.errstate(invalid="ignore"):
            is_sure = votes.confidences[:, self.cheap] >= self.threshold
        return ~(is_sure & votes.answered[:, self.cheap])

    def choose(self, votes: Votes) -> Choice:
        """Choose an answer to each question."""
        takes_dear = self.asks_dear(votes) & votes.answered[:, self.dear]
        takes_cheap = ~takes_dear & votes.answered[:, self.cheap]
        chosen = np.where(takes_dear, self.dear, np.where(takes_cheap, self.cheap, NOBODY))
        cheap, dear = (
            curve.at(votes.confidences[:, index])
            for index, curve in zip((self.cheap, self.dear), self.curves, strict=True)
        )
        return Choice(chosen, np.where(takes_dear, dear, cheap))


Rule = Single | Majority | MinimumRisk | Weighted | Cascade
RULES: Mapping[str, type[Rule]] = {
    rule.name: rule for rule in (Single, Majority, MinimumRisk, Weighted, Cascade)
}


def rule_to_json(rule: Rule) -> dict[str, Any]:
    """Return a rule as plain values for a file."""
    return {"rule": rule.name, **asdict(rule)}


def rule_from_json(values: Mapping[str, Any]) -> Rule:
    """Read what `rule_to_json` returned; KeyError, TypeError or ValueError for anything else."""
    from pydantic import TypeAdapter

    rule: Rule = TypeAdapter(RULES[values["rule"]]).validate_python(values)
    return rule


def readers_of(rule: Rule) -> tuple[int, ...]:
    """Return the readers that a rule needs, in the order in which to ask them."""
    if isinstance(rule, Single):
        return (rule.reader,)
    if isinstance(rule, Cascade):
        return (rule.cheap, rule.dear)
    return tuple(sorted(rule.order))
