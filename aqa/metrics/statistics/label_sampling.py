"""Choose a few answers for people to judge, and infer from their verdicts about all answers.

Answers with a more doubtful verdict are drawn more often, each with a known probability above zero:
Zrnic & Candès (2024), "Active Statistical Inference", ICML. Labels are weighted by the inverse of
that probability and only correct the known scores of all answers, so the estimate is unbiased:
Horvitz & Thompson (1952), JASA 47; Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023),
"Prediction-powered inference", Science 382.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from random import Random
from statistics import fmean

import numpy as np

from aqa.metrics.statistics.clusters import Clusters, Indices, Matrix
from aqa.metrics.statistics.intervals import mean_intervals, student
from aqa.runs.files import Facts

HALF = 50.0  # points
DOUBT = 100.0**2  # the square of one entirely wrong label, added to the observed ones


def inclusion_probabilities(doubts: Matrix, count: int) -> Matrix:
    """Return each answer's probability, proportional to its doubt, so that `count` are drawn.

    Doubts are above zero. An answer whose probability would exceed one is always drawn, and the
    others share the rest; if there are no more than `count`, all are drawn.
    """
    probabilities = np.ones(len(doubts))
    rest = np.arange(len(doubts))
    while len(rest) and count < len(doubts):
        proposed = (count - (len(doubts) - len(rest))) * doubts[rest] / doubts[rest].sum()
        certain = proposed >= 1
        probabilities[rest[~certain]] = proposed[~certain]
        if not certain.any():
            break
        rest = rest[~certain]
    return probabilities


def systematic_sample(probabilities: Matrix, random: Random) -> list[int]:
    """Draw indices with these probabilities, always as many as their sum.

    Systematic sampling in random order: each integer that the running sum passes from a random
    start selects an index. Madow (1948), Annals of Mathematical Statistics 20(3).
    """
    order = list(range(len(probabilities)))
    random.shuffle(order)
    chosen, reached, start = [], 0.0, random.random()
    for index in order:
        before = reached
        reached += float(probabilities[index])
        if int(reached + start) > int(before + start):
            chosen.append(index)
    return sorted(chosen)


@dataclass(frozen=True, slots=True)
class LabelledMean(Facts):
    """The mean of people's verdicts, in points, estimated from n labels, with its 95 % interval."""

    n: int
    value: float
    low: float
    high: float


def labelled_mean(
    scores: Matrix, indices: Indices, errors: Matrix, probabilities: Matrix, clusters: Clusters
) -> LabelledMean | None:
    """Correct the mean of `scores` scores by the errors of labelled answers.

    `errors` are signed, in points: what a label adds to the example at its index. None for fewer
    than four. The variance combines that of the corrected examples, by clusters, and that of a
    fixed-size sample: Hájek (1964), Annals of Mathematical Statistics 35(4). Student's t has the
    degrees of freedom of Satterthwaite (1946), Biometrics Bulletin 2(6), with the effective number
    of labels of Kish (1965), "Survey Sampling".
    """
    n, total = len(errors), len(scores)
    if n < 4:
        return None
    weights = 1 / probabilities
    weighed = errors * weights
    value = float(np.clip(scores.mean() + weighed.sum() / total, -100.0, 100.0))
    of_all = mean_intervals(scores[:, None], clusters, (-100.0, 100.0))
    alone = float(of_all.errors[0]) ** 2
    around = 2 * (scores[indices] - scores.mean()) + errors
    examples = max(alone / 2, alone + float((weighed * around).sum()) / total**2)
    squares = (1 - probabilities) * (weighed - weighed.mean()) ** 2
    sampled = n / (n - 1) * float(squares.sum()) / total**2
    # Add a label that is half wrong, so that labels without a mistake prove less.
    sampled += float((HALF * weights.sum() / total) ** 2) / (n * (n - 1))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    parts = examples**2 / float(of_all.freedom[0]) + sampled**2 / max(1.0, effective - 1)
    reach = inf
    if parts > 0:
        freedom = (examples + sampled) ** 2 / parts
        reach = float(student(np.float64(freedom))) * sqrt(examples + sampled)
    return LabelledMean(n, value, max(-100.0, value - reach), min(100.0, value + reach))


def correct(
    judged: Sequence[float],
    is_asked: Sequence[bool],
    labels: Mapping[int, float],
    clusters: Clusters,
) -> LabelledMean | None:
    """Add the judge's mean error to its score; None for fewer than four labels.

    `labels` are people's verdicts as scores, by index in `judged`; they must be a random sample of
    the answers that the judge was asked about. Prediction-powered inference: Angelopoulos, Bates,
    Fannjiang, Jordan & Zrnic (2023), Science 382. The interval is by Student's t with the degrees
    of freedom of Satterthwaite (1946), Biometrics Bulletin 2(6), over clusters of examples. One
    entirely wrong label is added to the spread: labels that all agree with the judge don't prove
    that all would.
    """
    errors = {index: label - judged[index] for index, label in labels.items() if is_asked[index]}
    count, total = len(errors), len(judged)
    if count < 4:
        return None
    error, asked = fmean(errors.values()), sum(is_asked)
    value = min(100.0, max(0.0, fmean(judged) + error * asked / total))  # clipping only helps
    # Each example's contribution: the judge's verdict and, if labelled, its error.
    by_people = [
        score + error * flag + asked / count * (errors[index] - error if index in errors else 0.0)
        for index, (score, flag) in enumerate(zip(judged, is_asked, strict=True))
    ]
    share = asked / total
    doubt = share**2 * DOUBT / ((count - 1) * count)
    labelled = clusters.at(sorted(errors))
    of_sample, of_labels = _variance([errors[index] for index in sorted(errors)], labelled)
    of_errors = share**2 * of_sample + doubt
    of_clusters, of_all = _variance(by_people, clusters)
    variance = of_clusters + doubt
    rest = max(0.0, variance - of_errors)
    reach = inf
    if of_labels > 0:
        freedom = variance**2 / (of_errors**2 / of_labels + rest**2 / of_all)
        reach = float(student(np.float64(freedom))) * sqrt(variance)
    return LabelledMean(count, value, max(0.0, value - reach), min(100.0, value + reach))


def _variance(values: Sequence[float], clusters: Clusters) -> tuple[float, float]:
    estimate = mean_intervals(np.array([values]).T, clusters)
    return float(estimate.errors[0]) ** 2, float(estimate.freedom[0])
