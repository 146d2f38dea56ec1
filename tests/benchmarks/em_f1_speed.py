"""EM and F1 of 100,000 pairs: aqa against the SQuAD metric of Hugging Face `evaluate`.

`evaluate.load("squad")` fetches its script from the hub, so the peer is that metric written anew:
the published SQuAD 1.1 algorithm in an `evaluate.Metric`, run by the installed package. The time
of the bare algorithm, without the package around it, is shown too.

Run: python tests/benchmarks/em_f1_speed.py
"""

import random
import re
import string
import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import datasets
import evaluate

from aqa.metrics import score_pairs

PAIRS = 100_000
ROUNDS = 3
ENGLISH = "Paris Rome U.S. Thirty Years' War 1848 north-east queen Victoria gold St. John's river"
KOREAN = (
    "서울특별시 이순신 장군 1988년 《송환》 뉘른베르크 감염병 독일 제3공화국 (한국) 한강 세종대왕"
)


def normalize(text: str) -> str:
    """Normalise by the published steps."""
    excluded = set(string.punctuation)
    kept = "".join(letter for letter in text.lower() if letter not in excluded)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


def exact_match(prediction: str, reference: str) -> bool:
    return normalize(prediction) == normalize(reference)


def f1(prediction: str, reference: str) -> float:
    words, expected = normalize(prediction).split(), normalize(reference).split()
    shared = sum((Counter(words) & Counter(expected)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(words), shared / len(expected)
    return 2 * precision * recall / (precision + recall)


def published(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Score as the published script does: every text normalised anew for each score."""
    pairs = list(zip(predictions, references, strict=True))
    return {
        name: 100
        * sum(max(score(text, one) for one in texts) for text, texts in pairs)
        / len(pairs)
        for name, score in (("em", exact_match), ("f1", f1))
    }


class Squad(evaluate.Metric):
    """The SQuAD 1.1 metric in the shape in which `evaluate` offers it."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        answers = datasets.Sequence({"text": text, "answer_start": datasets.Value("int32")})
        return evaluate.MetricInfo(
            description="",
            citation="",
            features=datasets.Features(
                {
                    "predictions": {"id": text, "prediction_text": text},
                    "references": {"id": text, "answers": answers},
                }
            ),
        )

    def _compute(self, predictions: list[Any], references: list[Any]) -> dict[str, float]:
        by_id = {row["id"]: row["prediction_text"] for row in predictions}
        return published(
            [by_id[row["id"]] for row in references], [row["answers"]["text"] for row in references]
        )


def make_pairs(words: Sequence[str], seed: int) -> tuple[list[str], list[tuple[str, ...]]]:
    """Make one to three references each; half of the predictions are one to the letter."""
    generator = random.Random(seed)
    predictions, references = [], []
    for number in range(PAIRS):
        answer = [*generator.choices(words, k=generator.randint(1, 4)), f"no{number}"]
        texts = [" ".join(answer), " ".join(answer[1:]), "the " + " ".join(answer[:-1]) + "."]
        given = texts[: generator.randint(1, 3)]
        other = " ".join([*answer[1:], generator.choice(words)])
        predictions.append(generator.choice([given[-1], given[0], f"The {given[0]}!", other]))
        references.append(tuple(given))
    return predictions, references


def timed(score: Callable[[], dict[str, float]]) -> tuple[float, dict[str, float]]:
    started = time.perf_counter()
    scores = score()
    return time.perf_counter() - started, scores


def compare(name: str, words: Sequence[str]) -> None:
    predictions, references = make_pairs(words, seed=1)
    rows = [{"id": str(i), "prediction_text": text} for i, text in enumerate(predictions)]
    gold = [
        {"id": str(i), "answers": {"text": list(texts), "answer_start": [0] * len(texts)}}
        for i, texts in enumerate(references)
    ]
    arms: dict[str, Callable[[], dict[str, float]]] = {
        "aqa": lambda: {
            name: score.value
            for name, score in score_pairs(predictions, references, "squad").items()
        },
        "evaluate": lambda: Squad().compute(predictions=rows, references=gold),
        "bare": lambda: published(predictions, references),
    }
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    for _ in range(ROUNDS):
        results = []
        for arm, score in arms.items():
            taken, scores = timed(score)
            seconds[arm].append(taken)
            results.append(scores)
        for scores in results:
            assert abs(scores["em"] - results[0]["em"]) < 1e-9, results
            assert abs(scores["f1"] - results[0]["f1"]) < 1e-9, results
    shown = ", ".join(f"{arm} {median(taken):.2f} s" for arm, taken in seconds.items())
    ratios = [
        median(other / own for own, other in zip(seconds["aqa"], seconds[arm], strict=True))
        for arm in ("evaluate", "bare")
    ]
    print(f"{name}: {PAIRS:,} pairs: {shown}; scores are equal: {results[0]}")
    print(f"{name}: aqa is {ratios[0]:.1f}x as fast as evaluate, {ratios[1]:.1f}x the bare script")


if __name__ == "__main__":
    datasets.disable_progress_bars()
    compare("English", ENGLISH.split())
    compare("Korean", KOREAN.split())
