"""How often a contract of silence is broken, and how much it answers beside the best threshold.

Readers' answers are drawn: how sure and how right they are goes together, and some articles are
harder than others (a normal effect of `spread` on the logit). A contract is made from one sample
and looked at in the population: broken where more than the promised 5 % of its answers are wrong.
"Kept" compares what it answers with the threshold that hindsight would choose, "all" counts
samples without a contract as 0. "Limit" is "all" of a rule that is not valid: the loosest threshold
that its test refutes, whatever the tests before it say. No valid rule by these tests keeps more, so
that it tells how much so many questions can show.

Run: python tests/benchmarks/silence.py [--samples 2000]
"""

from typing import NamedTuple

import numpy as np
from arms import Parser, print_table, print_verdict

from aqa.errors import DataError
from aqa.evaluation.silence import Promise, Ranked, choose_threshold
from aqa.metrics.statistics.clusters import Clusters

RISK = 5.0
POPULATION = 20_000  # articles


class Setting(NamedTuple):
    """Articles of a sample, questions of each (means), and how the reader is."""

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
    Setting(16, 380, 1.5, 2.5, 1.5),  # articles that differ extremely
    Setting(30, 60, 1.5, 2.5, 1.5),
    Setting(100, 30, 2.0, 3.0, 1.5),
    Setting(5000, 1, 0.0, 2.0, 1.5),
    Setting(1000, 1, 0.0, 2.5, 1.5),
]


def draw(
    articles: int, sizes: "np.ndarray", setting: Setting, random: np.random.Generator
) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Confidences, whether answers are wrong, and their articles."""
    article = np.repeat(np.arange(articles), sizes)
    confidence = random.normal(size=len(article))
    effect = random.normal(0, setting.spread, articles)[article]
    right = setting.base + setting.slope * confidence + effect
    return confidence, random.random(len(article)) > 1 / (1 + np.exp(-right)), article


def measure(setting: Setting, samples: int, random: np.random.Generator) -> tuple[float, ...]:
    """Per cent of samples: broken, without a contract; of the best coverage: kept, all, limit."""
    everyone = draw(POPULATION, np.full(POPULATION, 10), setting, random)
    order = np.argsort(-everyone[0])
    sure = everyone[0][order]
    risks = np.cumsum(everyone[1][order]) / np.arange(1, len(order) + 1)
    best = (np.flatnonzero(risks <= RISK / 100).max() + 1) / len(order)
    broken, kept, limits = 0, [], []

    def share(confidence: float) -> float:
        return float(np.searchsorted(-sure, -confidence, side="right")) / len(order) / best

    for _ in range(samples):
        sizes = np.ones(setting.articles, dtype=int)
        if setting.questions > 1:
            means = setting.questions * random.gamma(2, 0.5, setting.articles)
            sizes = np.maximum(1, random.poisson(means))
        confidence, wrong, article = draw(setting.articles, sizes, setting, random)
        clusters = Clusters.of(article.tolist(), "title")
        given = (confidence.tolist(), wrong.tolist(), clusters)
        ranked = Ranked.of(*given)
        counts = ranked.counts(Promise(RISK))
        refuted = [count for count in counts if ranked.p(count, RISK / 100) <= 0.05]
        limits.append(share(ranked.confidence(refuted[-1])) if refuted else 0.0)
        try:
            found = choose_threshold(*given, Promise(RISK))
        except DataError:
            continue
        answered = int(np.searchsorted(-sure, -found.confidence, side="right"))
        broken += bool(risks[answered - 1] > RISK / 100)
        kept.append(share(found.confidence))
    mean = float(np.mean(kept)) if kept else float("nan")
    every = sum(kept) / samples
    rates = (broken / samples, 1 - len(kept) / samples, mean, every, float(np.mean(limits)))
    return tuple(100 * rate for rate in rates)


def main() -> None:
    asked = Parser(__doc__, samples=(2000, 20)).parse_args()
    random = np.random.default_rng(7)
    heads = ("broken %", "no contract %", "kept of best %", "all %", "limit %")
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
