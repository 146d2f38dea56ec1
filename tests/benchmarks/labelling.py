"""What labels of the most doubtful answers are worth, compared with those of a random sample.

Two readers answer KorQuAD's questions as in deciding.py, so that F1 is realistic. People's verdicts
are drawn: an exact answer is right in 98 %, one without a common word in 10 %, others in between; a
judge agrees with people in 90 %. Each draw has other questions, some of whose answers are labelled:
chosen as by `aqa evaluate --label`, or twice as many with equal probabilities. Both estimate the
difference as `--judge-labels` does. "Covered" is how often its 95 % interval contains the true one.

Run: python tests/benchmarks/labelling.py [--draws 4000]
"""

from random import Random
from typing import NamedTuple

import numpy as np
from arms import SHARED, Parser, print_table, print_verdict
from deciding import korquad, readers, scored

from aqa.evaluation.labelling import doubt, expected
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.label_sampling import (
    LabelledMean,
    inclusion_probabilities,
    labelled_mean,
    systematic_sample,
)

LABELS = (50, 100)
EASE = (1.0, 2.0)  # of the questions, in logits
QUESTIONS = 1000
JUDGE_RIGHT = 0.9


class World(NamedTuple):
    """By question and reader (questions, 2): the proxies of people's verdicts, and the verdicts.

    `equal`: both answers are the same; `doubts`: how doubtful each is.
    """

    proxies: "np.ndarray"
    verdicts: "np.ndarray"
    doubts: "np.ndarray"
    equal: "np.ndarray"


def world(scores: "np.ndarray", judged: bool, random: np.random.Generator) -> World:
    chance = np.where(scores == 100, 0.98, 0.1 + 0.7 * scores / 100)
    right = random.random(scores.shape) < chance
    equal = (scores == 100).all(axis=1)
    right[equal, 1] = right[equal, 0]
    verdicts = 100.0 * right
    agrees = random.random(scores.shape) < JUDGE_RIGHT
    judge = np.where(agrees, verdicts, 100 - verdicts)
    told = np.stack([scores, judge] if judged else [scores], axis=-1)
    shares = np.apply_along_axis(lambda own: expected(own.tolist()), -1, told)
    return World(100 * shares, verdicts, np.vectorize(doubt)(shares), equal)


def estimate(
    world: World, drawn: "np.ndarray", labels: int, alike: bool, seed: int
) -> LabelledMean:
    equal, proxies = world.equal[drawn], world.proxies[drawn]
    places = np.concatenate([np.flatnonzero(equal), *[np.flatnonzero(~equal)] * 2])
    others = int((~equal).sum())
    signs = np.repeat([0.0, -1.0, 1.0], [len(drawn) - others, others, others])
    sides = (signs > 0).astype(int)
    if not alike:  # the same answer of both says nothing about their difference
        places, signs, sides = (each[signs != 0] for each in (places, signs, sides))
    doubts = np.ones(len(signs)) if alike else world.doubts[drawn][places, sides]
    chances = inclusion_probabilities(doubts, labels)
    chosen = np.array(systematic_sample(chances, Random(seed)))
    chosen = chosen[signs[chosen] != 0]
    errors = (world.verdicts[drawn] - proxies)[places[chosen], sides[chosen]] * signs[chosen]
    known = np.where(equal, 0.0, proxies[:, 1] - proxies[:, 0])
    apart = Clusters.apart(len(drawn))
    found = labelled_mean(known, places[chosen], errors, chances[chosen], apart)
    assert found is not None
    return found


def measure(
    world: World, labels: int, alike: bool, draws: int, random: np.random.Generator
) -> tuple[float, float, float]:
    """The percentage of intervals that contain the true difference; median width; mean error."""
    true = float((world.verdicts[:, 1] - world.verdicts[:, 0]).mean())
    found = [
        estimate(world, random.integers(0, len(world.equal), QUESTIONS), labels, alike, seed)
        for seed in range(draws)
    ]
    covered = np.mean([one.low <= true <= one.high for one in found])
    width = np.median([one.high - one.low for one in found])
    return 100 * float(covered), float(width), float(np.mean([one.value for one in found])) - true


def main() -> None:
    given = Parser(__doc__, draws=(4000, 20)).parse_args()
    random = np.random.default_rng(7)
    asked = list(korquad(SHARED))
    wrong = scored(asked[:600] if given.quick else asked, "korquad")
    heads = ("readers' F1", "known by", "labels", "covered %", "width", "mean error", "by chance")
    rows: list[tuple[str, ...]] = [heads]
    farthest, widest = 0.0, 0.0
    for ease in EASE:
        scores = np.column_stack(readers(wrong, 3.0, random, ease))
        for judged in (False, True):
            drawn = world(scores, judged, random)
            for labels in LABELS:
                covered, width, error = measure(drawn, labels, False, given.draws, random)
                by_chance, wide, _ = measure(drawn, 2 * labels, True, given.draws, random)
                farthest = max(farthest, abs(covered - 95))
                widest = max(widest, width / wide)
                told = f"{2 * labels} labels: width {wide:.1f}, covered {by_chance:.1f}"
                figures = (f"{covered:.1f}", f"{width:.1f}", f"{error:+.2f}", told)
                name = f"{scores[:, 0].mean():.0f} and {scores[:, 1].mean():.0f}"
                rows.append((name, "a judge" if judged else "F1", f"{labels}", *figures))
    print_table(rows)
    print_verdict("coverage, % away from 95", farthest, 1.0, True)
    print_verdict("width, of that of twice as many labels by chance", widest, 1.0, True)


if __name__ == "__main__":
    main()
