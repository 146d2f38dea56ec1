"""Error rate and number of questions of runs that stop when decided.

Two readers answer real questions: rightly, or with words of the passage next to those of the
question, which yields realistic F1. Some questions and articles are harder than others, for both.
Then so many wrong answers are made right, or right ones wrong, that the readers differ by a planted
gap. Each replay resamples articles (or questions without one) and tests after each wave, as
`aqa predict --stop-when-decided --margin 2` does. Errors are "better" without a gap or for the
worse reader, and "no difference above the margin" with a gap as large as the margin. The fixed size
is what `aqa evaluate --plan 2` requires to detect the margin.

Run: python tests/benchmarks/deciding.py [--replays 10000]
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from arms import SHARED, Parser, print_table, print_verdict

from aqa.evaluation.comparison import compare
from aqa.evaluation.planning import plan
from aqa.metrics import score_pairs
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.confidence_sequences import ConfidenceSequence, verdicts
from aqa.metrics.statistics.waves import wave_ends

MARGIN = 2.0
GAPS = (0.0, 2.0, 5.0)
WORDS = re.compile(r"\w+")
AROUND = 12  # words of the passage to search


class Asked(NamedTuple):
    """A question with its references, and what it is about."""

    title: str
    passage: str
    question: str
    answers: list[str]


class Scored(NamedTuple):
    """F1 of two readers' wrong answers, and the questions' clusters."""

    a: "np.ndarray"
    b: "np.ndarray"
    clusters: Clusters


def korquad(data: Path) -> Iterator[Asked]:
    found = json.loads((data / "korquad1" / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))
    for article in found["data"]:
        for paragraph in article["paragraphs"]:
            for each in paragraph["qas"]:
                answers = [answer["text"] for answer in each["answers"]]
                yield Asked(article["title"], paragraph["context"], each["question"], answers)


def tweetqa(data: Path) -> Iterator[Asked]:
    found = json.loads((data / "tweetqa" / "train.json").read_text(encoding="utf-8"))
    for at, row in enumerate(found):
        yield Asked(str(at), row["Tweet"], row["Question"], row["Answer"])


SETTINGS = {"KorQuAD": (korquad, "korquad"), "TweetQA": (tweetqa, "squad")}


def nearby(asked: Asked, count: int) -> str:
    """The next `count` words of the passage, where it has most words of the question."""
    words, wanted = asked.passage.split(), set(WORDS.findall(asked.question.lower()))
    hits = [not wanted.isdisjoint(WORDS.findall(word.lower())) for word in words]
    starts = range(max(1, len(words) - AROUND))
    best = max(starts, key=lambda start: sum(hits[start : start + AROUND]))
    near = slice(best, best + AROUND)
    return " ".join(
        [word for word, hit in zip(words[near], hits[near], strict=True) if not hit][:count]
    )


def scored(asked: list[Asked], profile: str) -> Scored:
    references = [tuple(each.answers) for each in asked]
    scores = [
        np.array(
            score_pairs([nearby(each, count) for each in asked], references, profile)[
                "f1"
            ].per_example
        )
        for count in (2, 5)
    ]
    return Scored(scores[0], scores[1], Clusters.of([each.title for each in asked], "title"))


def readers(
    wrong: Scored, gap: float, random: np.random.Generator, ease: float = 1.0
) -> "tuple[np.ndarray, np.ndarray]":
    """Draw F1 of two readers on the same, mostly easy questions; b's mean is higher."""
    count, clusters = len(wrong.a), wrong.clusters
    hard = random.normal(ease, 0.7, clusters.count)[clusters.codes] + random.normal(0, 1.5, count)
    chance = 1 / (1 + np.exp(-hard))
    a = np.where(random.random(count) < chance, 100.0, wrong.a)
    b = np.where(random.random(count) < chance, 100.0, wrong.b)
    missing = gap * count - (b - a).sum()
    for place in random.permutation(count):
        change = 100.0 - b[place] if missing > 0 else wrong.b[place] - b[place]
        if 0 < abs(change) <= abs(missing):
            b[place] += change
            missing -= change
    return a, b


class Measured(NamedTuple):
    """Replays that were decided wrongly, and at all, in %; the median number of questions."""

    wrong: float
    decided: float
    median: float


def replay(
    a: "np.ndarray", b: "np.ndarray", clusters: Clusters, gap: float, count: int,
    random: np.random.Generator,
) -> Measured:  # fmt: skip
    totals = clusters.sums((b - a)[:, None])[:, 0] / 100
    sizes = clusters.sizes
    sequence = ConfidenceSequence(int(sizes.max()), clusters.count)
    found: Counter[str] = Counter()
    asked = []
    for _ in range(count):
        drawn = random.integers(0, clusters.count, clusters.count)
        looks = np.array(wave_ends(sizes[drawn].astype(int).tolist()))
        told = verdicts(sequence, totals[drawn], sizes[drawn], looks, MARGIN / 100)
        last = next((at for at, one in enumerate(told) if one != "undecided"), len(told) - 1)
        found[told[last]] += 1
        asked.append(sizes[drawn][: looks[last]].sum())
    true = {"b better"} if gap >= MARGIN else {"no difference above the margin"}
    decided = count - found["undecided"]
    wrong = decided - sum(found[one] for one in true)
    return Measured(100 * wrong / count, 100 * decided / count, float(np.median(asked)))


def fixed_size(a: "np.ndarray", b: "np.ndarray", clusters: Clusters, points: float) -> float:
    values = {"a": {"f1": a.tolist()}, "b": {"f1": b.tolist()}}
    (need,) = plan(compare(values, clusters), clusters, points)
    return float(need.questions or np.nan)


def main() -> None:
    given = Parser(__doc__, replays=(10_000, 20)).parse_args()
    random = np.random.default_rng(7)
    heads = ("questions", "gap", "wrong %", "decided %", "median", "fixed size", "for the gap")
    rows: list[tuple[str, ...]] = [heads]
    worst, share = 0.0, 0.0
    for name, (read, profile) in SETTINGS.items():
        asked = list(read(SHARED))
        asked = asked[:600] if given.quick else asked
        wrong = scored(asked, profile)
        for gap in GAPS:
            a, b = readers(wrong, gap, random)
            found = replay(a, b, wrong.clusters, gap, given.replays, random)
            size = fixed_size(a, b, wrong.clusters, MARGIN)
            for_gap = f"{fixed_size(a, b, wrong.clusters, gap):,.0f}" if gap else ""
            worst = max(worst, found.wrong)
            if gap == GAPS[-1]:
                share = max(share, found.median / size)
            told = f"{name}, {wrong.clusters.count:,} clusters"
            figures = (f"{found.wrong:.2f}", f"{found.decided:.1f}", f"{found.median:,.0f}")
            rows.append((told, f"{gap:g}", *figures, f"{size:,.0f}", for_gap))
    print_table(rows)
    print_verdict("wrong verdicts, %, in the worst setting", worst, 5.0, True)
    print_verdict("median questions at 5 points, of the fixed size", share, 0.5, True)


if __name__ == "__main__":
    main()
