"""Which few answers people should judge, and what their verdicts say of all.

Answers of which a verdict is more doubtful are drawn more often, each with a probability above
zero that is kept: Zrnic & Candès (2024), "Active Statistical Inference", ICML. What people say is
weighed by the inverse of that probability, and only corrects what is known of all answers, so that
no bias is left: Horvitz & Thompson (1952), JASA 47; Angelopoulos, Bates, Fannjiang, Jordan & Zrnic
(2023), "Prediction-powered inference", Science 382.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from random import Random
from statistics import fmean

import numpy as np

from aqa.metrics.statistics.clusters import Clusters, Matrix, Places
from aqa.metrics.statistics.intervals import mean_intervals, student
from aqa.runs.files import Facts

HALF = 50.0  # points
DOUBT = 100.0**2  # the square of one label that is wholly wrong, beside those that were seen


def inclusion_probabilities(doubts: Matrix, count: int) -> Matrix:
    """Give each answer a probability that goes with its doubt, so that `count` are drawn.

    Doubts are above zero. An answer that would have more than one is drawn for certain, and the
    others share what is left; where there are no more than `count`, all are.
    """
    found = np.ones(len(doubts))
    rest = np.arange(len(doubts))
    while len(rest) and count < len(doubts):
        share = (count - (len(doubts) - len(rest))) * doubts[rest] / doubts[rest].sum()
        certain = share >= 1
        found[rest[~certain]] = share[~certain]
        if not certain.any():
            break
        rest = rest[~certain]
    return found


def systematic_sample(probabilities: Matrix, random: Random) -> list[int]:
    """Draw places with these probabilities, always as many as they sum to.

    Every whole step of their running sum from a random start is taken, in random order: Madow
    (1949), Annals of Mathematical Statistics 20(3).
    """
    order = list(range(len(probabilities)))
    random.shuffle(order)
    found, reached, start = [], 0.0, random.random()
    for place in order:
        before = reached
        reached += float(probabilities[place])
        if int(reached + start) > int(before + start):
            found.append(place)
    return sorted(found)


@dataclass(frozen=True, slots=True)
class LabelledMean(Facts):
    """What people's verdicts would come to, in points, by n labels, with its 95 % interval."""

    n: int
    value: float
    low: float
    high: float


def labelled_mean(
    known: Matrix, places: Places, errors: Matrix, probabilities: Matrix, clusters: Clusters
) -> LabelledMean | None:
    """Correct the mean of what is `known` of each example by the errors of labelled answers.

    `errors` are signed, in points: what a label adds to the example at its place. None for fewer
    than four. The variance is that of the corrected examples, by clusters, and of a sample of fixed
    size: Hájek (1964), Annals of Mathematical Statistics 35(4). Student's t has the degrees of
    freedom of Satterthwaite (1946), Biometrics Bulletin 2(6), where labels count by the effective
    number of Kish (1965), "Survey Sampling".
    """
    n, total = len(errors), len(known)
    if n < 4:
        return None
    weights = 1 / probabilities
    weighed = errors * weights
    value = float(np.clip(known.mean() + weighed.sum() / total, -100.0, 100.0))
    of_all = mean_intervals(known[:, None], clusters, (-100.0, 100.0))
    alone = float(of_all.errors[0]) ** 2
    around = 2 * (known[places] - known.mean()) + errors
    examples = max(alone / 2, alone + float((weighed * around).sum()) / total**2)
    spread = (1 - probabilities) * (weighed - weighed.mean()) ** 2
    sampled = n / (n - 1) * float(spread.sum()) / total**2
    # One more label that is wrong by a half, so that labels without a mistake prove less.
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

    `labels` hold what people's verdicts count, by the place in `judged`; they have to be a random
    part of the answers that the judge was asked about. Prediction-powered inference: Angelopoulos,
    Bates, Fannjiang, Jordan & Zrnic (2023), Science 382. The interval is by Student's t with the
    degrees of freedom of Satterthwaite (1946), Biometrics Bulletin 2(6), over clusters of examples.
    One more label, wholly wrong, is added to the spread: labels that all agree with the judge don't
    prove that all would.
    """
    errors = {place: label - judged[place] for place, label in labels.items() if is_asked[place]}
    count, total = len(errors), len(judged)
    if count < 4:
        return None
    error, asked = fmean(errors.values()), sum(is_asked)
    value = min(100.0, max(0.0, fmean(judged) + error * asked / total))  # nearer to the truth
    # Each example with what it tells of the sum: the judge's verdict and, if labelled, its error.
    by_people = [
        own + error * is_one + asked / count * (errors[place] - error if place in errors else 0.0)
        for place, (own, is_one) in enumerate(zip(judged, is_asked, strict=True))
    ]
    share = asked / total
    doubt = share**2 * DOUBT / ((count - 1) * count)
    labelled = clusters.at(sorted(errors))
    spread, of_labels = _variance([errors[place] for place in sorted(errors)], labelled)
    of_errors = share**2 * spread + doubt
    spread, of_all = _variance(by_people, clusters)
    variance = spread + doubt
    rest = max(0.0, variance - of_errors)
    reach = inf
    if of_labels > 0:
        freedom = variance**2 / (of_errors**2 / of_labels + rest**2 / of_all)
        reach = float(student(np.float64(freedom))) * sqrt(variance)
    return LabelledMean(count, value, max(0.0, value - reach), min(100.0, value + reach))


def _variance(values: Sequence[float], clusters: Clusters) -> tuple[float, float]:
    found = mean_intervals(np.array([values]).T, clusters)
    return float(found.errors[0]) ** 2, float(found.freedom[0])
