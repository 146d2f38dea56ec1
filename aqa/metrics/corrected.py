"""A judge's score, corrected by the labels that people gave a part of the same answers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, sqrt
from statistics import fmean
from typing import Any

import numpy as np

from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import mean_intervals, student

DOUBT = 100.0**2  # the square of one label that is wholly wrong, beside those that were seen


@dataclass(frozen=True, slots=True)
class Corrected:
    """The score that people would give, 0..100, by n labels, with its 95 % interval."""

    n: int
    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json holds."""
        return asdict(self)


def correct(
    judged: Sequence[float],
    is_asked: Sequence[bool],
    labels: Mapping[int, float],
    clusters: Clusters,
) -> Corrected | None:
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
    return Corrected(count, value, max(0.0, value - reach), min(100.0, value + reach))


def _variance(values: Sequence[float], clusters: Clusters) -> tuple[float, float]:
    """Give the variance of a mean, and its degrees of freedom."""
    found = mean_intervals(np.array([values]).T, clusters)
    return float(found.errors[0]) ** 2, float(found.freedom[0])
