"""Learn the rule that combines several readers into one, and estimate its gain.

Every rule is fitted to some groups of questions and tested on the others. The choice among rules
is cross-validated, too: it is repeated within the rest for each part left out (nested
cross-validation: Varma & Simon 2006, BMC Bioinformatics 7:91). So is the choice of the best
member, with which the ensemble is compared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import numpy as np

from aqa.errors import DataError
from aqa.evaluation.comparison import Comparison, compare
from aqa.metrics.statistics.clusters import Clusters, Indices, Matrix
from aqa.metrics.statistics.intervals import FEW
from aqa.metrics.votes import (
    NOBODY,
    Cascade,
    Curve,
    Majority,
    MinimumRisk,
    Rule,
    Single,
    Votes,
    Weighted,
)

FOLDS = 5
BEST, ENSEMBLE = "the best member", "the ensemble"
_BINS, _PER_BIN = 10, 20  # of confidence, and the fewest answers in each
_CUTS = 20  # thresholds of a cascade, at equal shares of the questions
_SUREST = 1e300  # confidence, since JSON has no infinity
_SAME = 1e-6  # tolerance for sums of the same scores in another order


@dataclass(frozen=True, eq=False)
class Answered:
    """Questions that all members were asked, as arrays.

    `scores` are (questions, members), 0..100, by the score that rules are chosen by; failures
    score 0. `costs` are per question and member, in any unit; infinite for the lower entries of
    n-best lists.
    """

    votes: Votes
    scores: Matrix
    costs: Sequence[float]
    clusters: Clusters

    def at(self, indices: Indices) -> "Answered":
        """Return some of the questions."""
        votes, clusters = self.votes.at(indices), self.clusters.at(indices.tolist())
        return Answered(votes, self.scores[indices], self.costs, clusters)

    def scored(self, readers: Indices) -> Matrix:
        """Return the score of each chosen answer."""
        chosen = self.scores[np.arange(len(readers)), readers]
        return np.where(readers == NOBODY, 0.0, chosen)


@dataclass(frozen=True, eq=False)
class Learned:
    """The rule to use, and what is known about it.

    `gain` compares the choices of the whole procedure on held-out questions with those of the
    best member, chosen alike; `held_out` says whose answers were chosen. `rules` are each rule's
    mean held-out scores. `oracle` is the mean score of the best answer to each question.
    """

    rule: Rule
    gain: Comparison
    held_out: Indices
    rules: Mapping[str, float]
    oracle: float

    @property
    def is_gain(self) -> bool:
        """Whether chance is an unlikely explanation of the gain."""
        return self.gain.is_real and self.gain.difference > 0


def learn(answered: Answered, metric: str, wanted: Sequence[str], seed: int) -> Learned:
    """Choose a rule: the best member, unless one of the `wanted` is significantly better.

    If only one is `wanted`, it is used regardless of its gain.

    Raises:
        DataError: there are too few clusters.
    """
    clusters = answered.clusters
    if clusters.count < FEW:
        kind = "questions" if clusters.are_examples else f"clusters by {clusters.by}"
        raise DataError(
            f"an ensemble is learned from {FEW} {kind} or more, and there are {clusters.count};"
            " give answers to more"
        )
    is_forced = len(wanted) == 1
    candidates = list(wanted) if is_forced else [Single.name, *wanted]
    ensemble = _held_out(answered, seed, lambda rest: _chosen(rest, candidates, seed + 1))
    member = _held_out(answered, seed, lambda rest: fit(Single.name, rest))
    values = {
        BEST: {metric: answered.scored(member).tolist()},
        ENSEMBLE: {metric: answered.scored(ensemble).tolist()},
    }
    (gain,) = compare(values, clusters, seed=seed)
    takes = is_forced or (gain.is_real and gain.difference > 0)
    rule = _chosen(answered, candidates, seed) if takes else fit(Single.name, answered)
    means = {name: _mean_held_out(answered, name, seed) for name in (Single.name, *wanted)}
    oracle = float(answered.scores.max(axis=1).mean())
    return Learned(rule, gain, ensemble, means, oracle)


def possible_rules(votes: Votes, costs: Sequence[float]) -> list[str]:
    """Return the rules that these answers allow; some need confidences."""
    names = [Majority.name, MinimumRisk.name]
    sure = has_confidence(votes)
    if all(sure):
        names.append(Weighted.name)
    if _pairs(sure, costs):
        names.append(Cascade.name)
    return names


def has_confidence(votes: Votes) -> list[bool]:
    """Return for each reader whether all of its answers have a confidence."""
    is_known = ~np.isnan(votes.confidences) | ~votes.answered
    return [bool(column.all()) for column in is_known.T]


def fit(name: str, answered: Answered) -> Rule:
    """Fit the rule with that name."""
    means = answered.scores.mean(axis=0)
    order = tuple(sorted(range(len(means)), key=lambda index: -means[index]))
    if name == Majority.name:
        return Majority(order)
    if name == MinimumRisk.name:
        return MinimumRisk(order)
    if name == Weighted.name:
        return Weighted(order, tuple(_curve(answered, index) for index in range(len(means))))
    if name == Cascade.name:
        return _cascade(answered)
    return Single(max(_apart(answered.costs), key=means.__getitem__))


def _chosen(answered: Answered, names: Sequence[str], seed: int) -> Rule:
    """Fit the rule with the best held-out score, the first of equals."""
    if len(names) == 1:
        return fit(names[0], answered)
    return fit(max(names, key=lambda name: _mean_held_out(answered, name, seed)), answered)


def _mean_held_out(answered: Answered, name: str, seed: int) -> float:
    readers = _held_out(answered, seed, lambda rest: fit(name, rest))
    return float(answered.scored(readers).mean())


def _held_out(answered: Answered, seed: int, make: Callable[[Answered], Rule]) -> Indices:
    """Return whose answers are chosen by rules fitted to the other groups."""
    clusters = answered.clusters
    count = min(FOLDS, clusters.count)
    order = np.random.default_rng(seed).permutation(clusters.count)
    folds = (np.argsort(order) % count)[clusters.codes]
    readers = np.empty(clusters.examples, dtype=np.intp)
    for fold in range(count):
        inside = np.flatnonzero(folds == fold)
        rule = make(answered.at(np.flatnonzero(folds != fold)))
        readers[inside] = rule.choose(answered.votes.at(inside)).readers
    return readers


def _curve(answered: Answered, reader: int) -> Curve:
    """Fit a reader's expected score as a rising function of its confidence, in bins."""
    from scipy.optimize import isotonic_regression

    confidences = answered.votes.confidences[:, reader]
    confident = np.flatnonzero(~np.isnan(confidences) & answered.votes.answered[:, reader])
    scores = answered.scores[:, reader] / 100
    mean = float(scores.mean())
    if not len(confident):
        return Curve(mean)
    order = confident[np.argsort(confidences[confident], kind="stable")]
    bins = np.array_split(order, max(1, min(_BINS, len(order) // _PER_BIN)))
    means = [scores[group].mean() for group in bins]
    fitted = isotonic_regression(means, weights=list(map(len, bins)))
    pools = [np.concatenate(bins[start:end]) for start, end in pairwise(fitted.blocks)]
    return Curve(
        mean,
        tuple(float(confidences[group].mean()) for group in pools),
        tuple(float(scores[group].mean()) for group in pools),
    )


def _cascade(answered: Answered) -> Cascade:
    """Find the pair of readers and threshold with the best score, the cheapest of equals."""
    votes, count = answered.votes, answered.clusters.examples
    shares = np.rint(np.linspace(0, count - 1, _CUTS + 1)).astype(np.intp)
    best, choice = -np.inf, (0, 0, 0.0)
    for cheap, dear in _pairs(has_confidence(votes), answered.costs):
        sure = np.where(votes.answered[:, cheap], votes.confidences[:, cheap], -_SUREST)
        order = np.argsort(sure, kind="stable")
        sure = sure[order]
        cuts = np.unique(np.append(np.searchsorted(sure, sure[shares]), count))  # not within ties
        differences = (answered.scores[:, dear] - answered.scores[:, cheap])[order]
        gained = np.concatenate(([0.0], np.cumsum(differences)))[cuts]
        totals = answered.scores[:, cheap].sum() + gained
        index = int(totals.argmax())
        if totals[index] > best + _SAME:
            cut = int(cuts[index])
            limit = _SUREST if cut == count else float(sure[cut])
            best, choice = float(totals[index]), (cheap, dear, limit)
    cheap, dear, threshold = choice
    return Cascade(cheap, dear, threshold, (_curve(answered, cheap), _curve(answered, dear)))


def _pairs(sure: Sequence[bool], costs: Sequence[float]) -> list[tuple[int, int]]:
    """Pairs of a cheap and an expensive reader for a cascade; equal costs keep their order."""
    order = sorted(_apart(costs), key=costs.__getitem__)
    return [
        (cheap, dear)
        for index, cheap in enumerate(order)
        for dear in order[index + 1 :]
        if sure[cheap]
    ]


def _apart(costs: Sequence[float]) -> list[int]:
    """The readers themselves, without the lower entries of n-best lists."""
    return [index for index, cost in enumerate(costs) if isfinite(cost)]
