"""A judge's score, corrected by the labels that people gave a part of the same answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean
from typing import Any

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
        return {"n": self.n, "value": self.value, "low": self.low, "high": self.high}


def correct(
    judged: Sequence[float], is_asked: Sequence[bool], labels: Mapping[int, float]
) -> Corrected | None:
    """Add the judge's mean error to its score; None for fewer than four labels.

    `labels` hold what people's verdicts count, by the place in `judged`; they have to be a random
    part of the answers that the judge was asked about. Prediction-powered inference: Angelopoulos,
    Bates, Fannjiang, Jordan & Zrnic (2023), Science 382. The interval is by Student's t with the
    degrees of freedom of Satterthwaite (1946), Biometrics Bulletin 2(6). One more label, wholly
    wrong, is added to the spread: labels that all agree with the judge don't prove that all would.
    """
    errors = {place: label - judged[place] for place, label in labels.items() if is_asked[place]}
    count, total = len(errors), len(judged)
    if count < 4:
        return None
    error, asked = fmean(errors.values()), sum(is_asked)
    value = fmean(judged) + error * asked / total
    # Each example with what it tells of the sum: the judge's verdict and, if labelled, its error.
    told = [
        own + error * is_one + asked / count * (errors[place] - error if place in errors else 0.0)
        for place, (own, is_one) in enumerate(zip(judged, is_asked, strict=True))
    ]
    share = asked / total
    squares = DOUBT + sum((own - error) ** 2 for own in errors.values())
    of_errors = share**2 * squares / ((count - 1) * count)
    variance = share**2 * DOUBT / ((count - 1) * count) + sum(
        (own - value) ** 2 for own in told
    ) / ((total - 1) * total)
    rest = max(0.0, variance - of_errors)
    freedom = variance**2 / (of_errors**2 / (count - 1) + rest**2 / (total - 1))
    reach = _student(freedom) * sqrt(variance)
    return Corrected(count, value, max(0.0, value - reach), min(100.0, value + reach))


def _student(freedom: float) -> float:
    """Give the 97.5 % point of Student's t, to 1 % from 3 degrees of freedom on.

    Abramowitz & Stegun (1964), "Handbook of Mathematical Functions", 26.7.5.
    """
    z = NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))
