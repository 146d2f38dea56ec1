"""Coverage of the interval of the calibration error.

Confidences are drawn from a beta distribution, or are agreements of five samples; answers are right
with a probability given by a curve, and some articles are harder than others (a normal effect of
`spread` on the logit). The truth is the same error in a large population, in the bins of the
sample. Intervals should contain it in 95 % of the samples.

Run: python tests/benchmarks/calibration.py [--samples 1000]
"""

from typing import NamedTuple

import numpy as np
from arms import Parser, print_table, print_verdict

from aqa.metrics.calibration import BINS, PROBABILITY, calibrate
from aqa.metrics.statistics.clusters import Clusters

POPULATION = 20_000  # articles


class Setting(NamedTuple):
    """Articles, questions per article, how articles differ, and the reader.

    With confidence p, an answer is right with the logit slope * logit(p) + shift. The higher
    `sure`, the first parameter of the beta distribution, the nearer confidences are to 1.
    """

    articles: int
    questions: int
    spread: float
    slope: float
    shift: float
    samples: int = 0  # whose agreement is the confidence; 0: from the beta distribution
    sure: float = 2.0


SETTINGS = [
    Setting(200, 1, 0.0, 1.0, 0.0),
    Setting(1000, 1, 0.0, 1.0, 0.0),
    Setting(5000, 1, 0.0, 1.0, 0.0),
    Setting(200, 1, 0.0, 0.5, -0.5),
    Setting(1000, 1, 0.0, 0.5, -0.5),
    Setting(1000, 1, 0.0, 0.9, -0.1),
    Setting(5000, 1, 0.0, 0.9, -0.1),
    Setting(1000, 1, 0.0, 0.7, 0.0),
    Setting(1000, 1, 0.0, 0.7, -0.3, 5),
    Setting(40, 1, 0.0, 1.0, 0.0, 2),
    Setting(40, 1, 0.0, 0.5, 0.5, 3),
    Setting(48, 25, 0.5, 1.0, 0.0),
    Setting(48, 25, 0.5, 0.5, -0.5),
    Setting(140, 41, 0.5, 0.9, -0.1),
    Setting(140, 41, 1.0, 0.5, -0.5),
    Setting(20, 10, 0.5, 0.7, -0.3),
    Setting(50, 1, 0.0, 1.0, -0.5, sure=200.0),
    Setting(200, 1, 0.0, 1.0, -0.5, sure=200.0),
    Setting(20, 10, 0.5, 1.0, -0.5, sure=200.0),
]


def draw(
    articles: int, sizes: np.ndarray, setting: Setting, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw confidences, probabilities of right answers, and articles."""
    article = np.repeat(np.arange(articles), sizes)
    claimed = random.beta(setting.sure, 0.7, len(article)).clip(0.001, 0.999)
    if setting.samples:
        claimed = random.binomial(setting.samples - 1, claimed) / (setting.samples - 1)
    logit = np.log(claimed.clip(0.02, 0.98) / (1 - claimed.clip(0.02, 0.98)))
    effect = random.normal(0, setting.spread, articles)[article]
    right = 1 / (1 + np.exp(-(setting.slope * logit + setting.shift + effect)))
    return claimed, right, article


def truth(claimed: np.ndarray, everyone: tuple[np.ndarray, ...]) -> float:
    """The error in the population, in the bins of the sample, 0..100."""
    edges = np.unique(np.quantile(claimed, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    codes = np.searchsorted(edges, everyone[0])
    return 100 * float(
        np.abs(np.bincount(codes, weights=everyone[0] - everyone[1])).sum() / len(codes)
    )


def measure(setting: Setting, samples: int, random: np.random.Generator) -> tuple[float, ...]:
    """Percentage of samples whose interval contains the truth; means of truth, estimates, width."""
    everyone = draw(POPULATION, np.full(POPULATION, 10), setting, random)
    rows = []
    for _ in range(samples):
        sizes = random.poisson(setting.questions - 1, setting.articles) + 1
        claimed, right, article = draw(setting.articles, sizes, setting, random)
        is_right = random.random(len(right)) < right
        clusters = Clusters.of(article.tolist(), "title")
        found = calibrate(PROBABILITY, claimed, is_right, clusters)
        assert found is not None
        true = truth(claimed, everyone)
        rows.append((
            100.0 * (found.low <= true <= found.high), true, found.ece, found.plain_ece,
            found.high - found.low,
        ))  # fmt: skip
    return tuple(np.mean(rows, axis=0).tolist())


def main() -> None:
    """Print a row for each setting."""
    given = Parser(__doc__, samples=(1000, 10)).parse_args()
    random = np.random.default_rng(5)
    settings = SETTINGS[:3] if given.quick else SETTINGS
    found = {setting: measure(setting, given.samples, random) for setting in settings}
    heads = ["articles", "each", "spread", "slope", "shift", "samples", "sure", "covered %",
             "true ECE", "estimate", "plain", "width"]  # fmt: skip
    rows = [[*map(str, key), *(f"{value:.2f}" for value in own)] for key, own in found.items()]
    print_table([heads, *rows])
    worst = min(own[0] for own in found.values())
    print_verdict("Intervals that hold the truth in the worst setting, %", worst, 93.0)


if __name__ == "__main__":
    main()
