"""How often an ensemble falsely claims a gain, and how much of a true gain it finds.

Readers' answers are drawn, article by article. In the null settings, no rule is better than a
member in the population, so every claimed gain (p < 0.05) is false. With planted complementarity,
the gain in the population of the learned rule is compared with that of the Bayes-optimal choice,
which knows how answers and confidences are drawn, so that no rule that sees only these can gain
more. "Of the oracle" compares with always choosing the right member.

Run: python tests/benchmarks/ensembles.py [--samples 500]
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from arms import Parser, print_table, print_verdict

from aqa.evaluation.ensembles import Answered, learn, possible_rules
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.votes import Votes

ARTICLES, QUESTIONS = 48, 12  # in a sample, as in half of XQuAD
POPULATION = 2_000  # articles

Random = np.random.Generator
# Codes of the answers (n, m), whether each code is right (n, codes), confidences (n, m).
Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]


class Setting(NamedTuple):
    """The readers, the cost of a question with each, and, if planted, the optimal choice."""

    name: str
    draw: "Callable[[np.ndarray, Random], Drawn]"
    costs: tuple[float, ...]
    best: "Callable[[np.ndarray, np.ndarray], np.ndarray] | None" = None  # by codes and confidences


def coins(
    share: "float | np.ndarray", shape: "tuple[int, ...] | int", random: Random
) -> np.ndarray:
    return random.random(shape) < share


def own_answers(right: np.ndarray) -> np.ndarray:
    """Code 0 if right; wrong answers all differ."""
    return np.where(right, 0, 1 + np.arange(right.shape[1]))


def one_of_two(article: np.ndarray, random: Random) -> Drawn:
    """Two equally good readers, each of them better in other articles."""
    favour = random.normal(0, 0.15, article.max() + 1)[article]
    right = coins(np.column_stack([0.65 + favour, 0.65 - favour]), (len(article), 2), random)
    return own_answers(right), right, random.normal(size=right.shape)


def one_of_three(article: np.ndarray, random: Random) -> Drawn:
    """Three readers that all agree or all differ; then any of them may be right."""
    differ = coins(0.4, len(article), random)
    alone = random.integers(0, 4, len(article))[:, None] == np.arange(3)
    right = np.where(differ[:, None], alone, coins(0.8, len(article), random)[:, None])
    codes = np.where(differ[:, None] | right, own_answers(right), 9)
    return codes, right, random.normal(size=right.shape)


def two_against_one(article: np.ndarray, random: Random) -> Drawn:
    """Three readers, of which two agree where they differ, and are right as often as the third."""
    count = len(article)
    differ = coins(0.4, count, random)
    loner = random.integers(0, 3, count)[:, None] == np.arange(3)
    loner_right = coins(0.5, count, random)[:, None]
    alike = coins(0.8, count, random)[:, None]
    right = np.where(differ[:, None], loner == loner_right, alike)
    codes = np.where(right, 0, 1)
    return codes, right, random.normal(size=right.shape)


def hard_and_easy(article: np.ndarray, random: Random) -> Drawn:
    """Two readers whose confidence reflects how hard a question is, but not which of them errs."""
    ease = random.normal(0.7, 1.2, len(article)) + random.normal(0, 0.5, article.max() + 1)[article]
    right = coins(1 / (1 + np.exp(-ease))[:, None], (len(article), 2), random)
    return own_answers(right), right, np.repeat(ease[:, None], 2, axis=1)


def independent(article: np.ndarray, random: Random) -> Drawn:
    """Three readers with independent errors, so that a majority is right more often."""
    ease = random.normal(0, 0.1, article.max() + 1)[article]
    right = coins((0.65 + ease)[:, None], (len(article), 3), random)
    return own_answers(right), right, random.normal(size=right.shape)


def specialists(article: np.ndarray, random: Random) -> Drawn:
    """Two readers, each good at its own kind of question and confident only there."""
    kind = random.integers(0, 2, len(article))[:, None] == np.arange(2)
    right = coins(np.where(kind, 0.95, 0.15), kind.shape, random)
    return own_answers(right), right, np.where(kind, 1.0, -1.0) + random.normal(0, 0.5, kind.shape)


def knows_itself(article: np.ndarray, random: Random) -> Drawn:
    """A cheap reader that knows when it is right, and an expensive, generally better one."""
    sure = random.normal(size=len(article)) + random.normal(0, 0.3, article.max() + 1)[article]
    cheap = coins(1 / (1 + np.exp(-0.5 - 3 * sure)), len(article), random)
    right = np.column_stack([cheap, coins(0.7, len(article), random)])
    return own_answers(right), right, np.column_stack([sure, np.full(len(sure), np.nan)])


def any_two_that_agree(codes: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    return np.where(codes[:, 1] == codes[:, 2], 1, 0)


def the_surer(codes: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    return confidences.argmax(axis=1)


def cheap_if_likelier(codes: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    return np.where(1 / (1 + np.exp(-0.5 - 3 * confidences[:, 0])) > 0.7, 0, 1)


BY_CHANCE = [
    Setting("two readers, articles of each", one_of_two, (0, 0)),
    Setting("three, any may be right", one_of_three, (0, 0, 1)),
    Setting("two agree against a third", two_against_one, (0, 0, 0)),
    Setting("confidence tells ease alone", hard_and_easy, (0, 1)),
]
PLANTED = [
    Setting("three that err apart", independent, (0, 0, 0), any_two_that_agree),
    Setting("specialists", specialists, (0, 0), the_surer),
    Setting("cheap that knows itself", knows_itself, (0, 1), cheap_if_likelier),
]


def sample(setting: Setting, articles: int, random: Random) -> Answered:
    sizes = np.maximum(1, random.poisson(QUESTIONS, articles))
    article = np.repeat(np.arange(articles), sizes)
    return answered(setting, article, *setting.draw(article, random), random)


def answered(
    setting: Setting,
    article: np.ndarray,
    codes: np.ndarray,
    right: np.ndarray,
    confidences: np.ndarray,
    random: Random,
) -> Answered:
    same = codes[:, :, None] == codes[:, None, :]
    # Whether different answers share words is random.
    shared = random.random(same.shape) * 0.6
    likeness = np.where(same, 1.0, (shared + shared.transpose(0, 2, 1)) / 2)
    votes = Votes(np.ones(codes.shape, dtype=bool), same, likeness, confidences)
    return Answered(votes, 100.0 * right, setting.costs, Clusters(article, "title"))


def claims(setting: Setting, samples: int, random: Random) -> float:
    """The percentage of samples in which a gain is claimed."""
    found = 0
    for _ in range(samples):
        drawn = sample(setting, ARTICLES, random)
        names = possible_rules(drawn.votes, setting.costs)
        found += learn(drawn, "f1", names, 42).is_gain
    return 100 * found / samples


def gains(setting: Setting, samples: int, random: Random) -> tuple[float, float, float, float]:
    """The optimal gain in points; the shares found of it and of the oracle's; the reported gain."""
    article = np.repeat(np.arange(POPULATION), QUESTIONS)
    codes, right, confidences = setting.draw(article, random)
    everyone = answered(setting, article, codes, right, confidences, random)
    best_member = everyone.scores.mean(axis=0).max()

    def gained(readers: np.ndarray) -> float:
        return float(everyone.scored(readers).mean() - best_member)

    assert setting.best is not None
    names = possible_rules(everyone.votes, setting.costs)
    best = gained(setting.best(codes, confidences))
    oracle = everyone.scores.max(axis=1).mean() - best_member
    learned = [learn(sample(setting, ARTICLES, random), "f1", names, 42) for _ in range(samples)]
    mean = float(np.mean([gained(each.rule.choose(everyone.votes).readers) for each in learned]))
    reported = float(np.mean([each.gain.difference for each in learned]))
    return best, 100 * mean / best, 100 * mean / oracle, reported


def main() -> None:
    asked = Parser(__doc__, samples=(500, 3)).parse_args()
    random = np.random.default_rng(7)
    rows = [("by chance alone", "gains claimed %")]
    worst = 0.0
    for setting in BY_CHANCE:
        claimed = claims(setting, asked.samples, random)
        worst = max(worst, claimed)
        rows.append((setting.name, f"{claimed:.1f}"))
    print_table(rows)
    least = 100.0
    found = [("planted", "Bayes gains", "of it %", "of the oracle %", "reported")]
    for setting in PLANTED:
        best, share, of_oracle, reported = gains(setting, asked.samples, random)
        least = min(least, share)
        figures = (f"{best:.1f}", f"{share:.0f}", f"{of_oracle:.0f}", f"{reported:.1f}")
        found.append((setting.name, *figures))
    print_table(found)
    print_verdict("false gains claimed, % in the worst setting", worst, 5.0, True)
    print_verdict("of what Bayes gains, % in the worst setting", least, 80.0, False)


if __name__ == "__main__":
    main()
