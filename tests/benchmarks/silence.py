"""How often a contract is broken, and how much it answers compared with the best threshold.

Readers' answers are drawn: confidence and correctness are correlated, and some articles are harder
than others (a normal effect of `spread` on the logit). A contract is made from one sample and
checked in the population: it is broken if more than the promised 5 % of its answers are wrong.
"Kept" is its coverage as a share of the best threshold in hindsight, at most 100 %; "all" counts
samples without a contract as 0. "Oracle" bounds "all" for any rule that breaks at most 5 % of
contracts, and "nine tenths" bounds the share of samples in which it keeps 90 % of hindsight's
coverage. A rule that reaches some share of that coverage must, by the promise, do so in at most 5 %
of samples in which exactly 5 % of its answers are wrong; and nothing distinguishes those from the
population better than the number of errors, given the design effect (Neyman & Pearson 1933,
Philosophical Transactions A 231). Looser thresholds must be broken there, too; if they are not, the
oracle gets everything.

Run: python tests/benchmarks/silence.py [--samples 2000]
"""

from typing import NamedTuple

import numpy as np
from arms import Parser, print_table, print_verdict
from scipy import special

from aqa.errors import DataError
from aqa.evaluation.risk_control import Promise, choose_threshold
from aqa.metrics.statistics.clusters import Clusters

RISK = 5.0
POPULATION = 20_000  # articles
NEAR = 2000  # answers around a threshold, to estimate the error rate there
SHARES = (*np.arange(0.025, 1, 0.05).tolist(), 0.9)  # of the best coverage, at which to bound


class Setting(NamedTuple):
    """Articles in a sample, questions per article (means), and the reader."""

    articles: int
    questions: int
    spread: float
    base: float
    slope: float


SETTINGS = [
    Setting(48, 25, 0.5, 2.0, 1.5),  # XQuAD
    Setting(140, 41, 0.0, 2.0, 1.5),  # KorQuAD
    Setting(140, 41, 0.5, 2.0, 1.5),
    Setting(140, 41, 1.0, 2.0, 1.5),
    Setting(140, 41, 0.5, 1.0, 2.0),
    Setting(16, 380, 0.5, 2.0, 1.5),  # SQuAD 2, half of its dev data
    Setting(16, 380, 1.5, 2.5, 1.5),  # extremely different articles
    Setting(30, 60, 1.5, 2.5, 1.5),
    Setting(100, 30, 2.0, 3.0, 1.5),
    Setting(5000, 1, 0.0, 2.0, 1.5),
    Setting(1000, 1, 0.0, 2.5, 1.5),
]


def draw(
    articles: int, sizes: "np.ndarray", setting: Setting, random: np.random.Generator
) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Draw confidences, whether answers are wrong, and their articles."""
    article = np.repeat(np.arange(articles), sizes)
    confidence = random.normal(size=len(article))
    effect = random.normal(0, setting.spread, articles)[article]
    right = setting.base + setting.slope * confidence + effect
    return confidence, random.random(len(article)) > 1 / (1 + np.exp(-right)), article


def measure(setting: Setting, samples: int, random: np.random.Generator) -> tuple[float, ...]:
    """Percentages: samples broken, without a contract; kept, all; the oracle's all, nine tenths."""
    everyone = draw(POPULATION, np.full(POPULATION, 10), setting, random)
    order = np.argsort(-everyone[0])
    sure = everyone[0][order]
    risks = np.cumsum(everyone[1][order]) / np.arange(1, len(order) + 1)
    best = (np.flatnonzero(risks <= RISK / 100).max() + 1) / len(order)
    broken, kept = 0, []

    def share(confidence: float) -> float:
        answered = float(np.searchsorted(-sure, -confidence, side="right"))
        return min(1.0, answered / len(order) / best)

    for _ in range(samples):
        sizes = np.ones(setting.articles, dtype=int)
        if setting.questions > 1:
            means = setting.questions * random.gamma(2, 0.5, setting.articles)
            sizes = np.maximum(1, random.poisson(means))
        confidence, wrong, article = draw(setting.articles, sizes, setting, random)
        clusters = Clusters.of(article.tolist(), "title")
        try:
            found = choose_threshold(confidence.tolist(), wrong.tolist(), clusters, Promise(RISK))
        except DataError:
            continue
        answered = int(np.searchsorted(-sure, -found.confidence, side="right"))
        broken += bool(risks[answered - 1] > RISK / 100)
        kept.append(share(found.confidence))
    mean = float(np.mean(kept)) if kept else float("nan")
    every = sum(kept) / samples
    errors = everyone[1][order].astype(float)
    oracle = [power(setting, errors, everyone[2][order], share * best) for share in SHARES]
    rates = (broken / samples, 1 - len(kept) / samples, mean, every, float(np.mean(oracle[:-1])))
    return tuple(100 * rate for rate in (*rates, oracle[-1]))


def power(setting: Setting, errors: "np.ndarray", articles: "np.ndarray", coverage: float) -> float:
    """Return the power of the best test of "5 % wrong" at that coverage's threshold, at most 1."""
    count, limit = int(coverage * len(errors)), RISK / 100
    if errors[max(0, count - NEAR) : count + NEAR].mean() < limit:
        return 1.0
    risk = float(errors[:count].mean())
    # The correlation of errors within an article, and with it the design effect of a sample.
    sizes = np.bincount(articles[:count])
    sums = np.bincount(articles[:count], errors[:count] - risk)
    alike = (sums**2).sum() - ((errors[:count] - risk) ** 2).sum()
    alike /= (sizes * (sizes - 1)).sum() * risk * (1 - risk)
    trials = setting.articles * setting.questions * coverage
    if setting.questions > 1:  # with sizes as drawn
        trials /= 1 + 1.5 * setting.questions * coverage * max(0.0, float(alike))
    counts = np.arange(-1, int(trials) + 1)  # errors that reject; in between, randomised
    under, true = (
        np.where(counts < 0, 0.0, special.bdtr(counts.clip(0), int(trials), share))
        for share in (limit, risk)
    )
    return float(np.interp(0.05, under, true))


def main() -> None:
    asked = Parser(__doc__, samples=(2000, 20)).parse_args()
    random = np.random.default_rng(7)
    heads = ("broken %", "no contract %", "kept of best %", "all %", "oracle %", "nine tenths %")
    rows = [("articles x questions", "spread", *heads)]
    worst = 0.0
    for setting in SETTINGS:
        found = measure(setting, asked.samples, random)
        worst = max(worst, found[0])
        name = f"{setting.articles} x {setting.questions}"
        told = (f"{found[0]:.1f}", *(f"{one:.0f}" for one in found[1:]))
        rows.append((name, f"{setting.spread}", *told))
    print_table(rows)
    print_verdict("contracts broken, % in the worst setting", worst, 5.0, True)


if __name__ == "__main__":
    main()
