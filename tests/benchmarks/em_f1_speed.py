"""Speed of EM and F1 on 100,000 pairs: aqa, and the SQuAD scores of `evaluate` and `torchmetrics`.

`evaluate.load("squad")` downloads its script from the hub, so the peer is a reimplementation: the
published SQuAD 1.1 algorithm in an `evaluate.Metric`, run by the installed package. The time of the
algorithm alone, without the package, is shown too.

`torchmetrics` sums in float32, so its scores are compared to 0.01. Arms are interleaved, in
reversed order in every second round.

Run: python tests/benchmarks/em_f1_speed.py [--rounds 3] [--pairs 100000]
"""

import random
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import evaluate
from arms import Parser, interleave, print_verdict, ratio, typical
from torchmetrics.functional.text import squad

from aqa.metrics import score_pairs

TARGETS = {"evaluate": 10, "torchmetrics": 5, "bare": 1}
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
    """Score like the published script, normalising every text again for each score."""
    pairs = list(zip(predictions, references, strict=True))
    return {
        name: 100
        * sum(max(score(text, one) for one in texts) for text, texts in pairs)
        / len(pairs)
        for name, score in (("em", exact_match), ("f1", f1))
    }


class Squad(evaluate.Metric):
    """The SQuAD 1.1 metric in the form in which `evaluate` provides it."""

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


def make_pairs(
    words: Sequence[str], count: int, seed: int
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Make one to three references each; half of the predictions equal one exactly."""
    generator = random.Random(seed)
    predictions, references = [], []
    for number in range(count):
        answer = [*generator.choices(words, k=generator.randint(1, 4)), f"no{number}"]
        texts = [" ".join(answer), " ".join(answer[1:]), "the " + " ".join(answer[:-1]) + "."]
        given = texts[: generator.randint(1, 3)]
        other = " ".join([*answer[1:], generator.choice(words)])
        predictions.append(generator.choice([given[-1], given[0], f"The {given[0]}!", other]))
        references.append(tuple(given))
    return predictions, references


def by_torchmetrics(rows: list[Any], gold: list[Any]) -> dict[str, float]:
    found = squad(rows, gold)
    return {"em": float(found["exact_match"]), "f1": float(found["f1"])}


def compare(language: str, words: Sequence[str], pairs: int, rounds: int) -> None:
    predictions, references = make_pairs(words, pairs, seed=1)
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
        "torchmetrics": lambda: by_torchmetrics(rows, gold),
        "bare": lambda: published(predictions, references),
    }
    results: dict[str, dict[str, float]] = {}
    costs = interleave(
        {arm: lambda arm=arm: results.update({arm: arms[arm]()}) for arm in arms}, rounds
    )
    for arm, scores in results.items():
        allowed = 1e-2 if arm == "torchmetrics" else 1e-9
        for name, value in results["aqa"].items():
            assert abs(scores[name] - value) < allowed, results
    shown = ", ".join(f"{arm} {typical(taken).wall:.2f} s" for arm, taken in costs.items())
    print(f"{language}: {pairs:,} pairs: {shown}; scores are equal: {results['aqa']}")
    for arm, target in TARGETS.items():
        print_verdict(f"{language}: times as fast as {arm}", ratio(costs, arm, "aqa"), target)


def main() -> None:
    asked = Parser(__doc__, pairs=(100_000, 200), rounds=(3, 1)).parse_args()
    datasets.disable_progress_bars()
    compare("English", ENGLISH.split(), asked.pairs, asked.rounds)
    compare("Korean", KOREAN.split(), asked.pairs, asked.rounds)


if __name__ == "__main__":
    main()
