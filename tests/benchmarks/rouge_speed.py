"""Speed of ROUGE-1, -2 and -L on 10,000 real pairs: aqa and rouge-score as usually called.

English: people's answers to TweetQA against the whole tweet, about 100 characters, and long answers
of CLAPNQ against their passages (300 of them, repeated). Korean: KorQuAD's answers as they occur in
the text, by Kiwi's morphemes, which the peer gets as its tokenizer: there, nearly all of the time
is Kiwi's. Rounds are interleaved, and all scores are compared.

Run: python tests/benchmarks/rouge_speed.py [--rounds 3] [--pairs 10000]
"""

import json
import re
from collections.abc import Callable

from arms import SHARED, Parser, interleave, print_table, print_verdict, ratio, typical
from rouge_score.rouge_scorer import RougeScorer

from aqa.metrics import load_metric
from aqa.metrics.kiwi import load_kiwi, morphemes
from aqa.metrics.pairs import Pairs
from aqa.metrics.rouge import by_morphemes, split_like

NAMES = ["rouge1", "rouge2", "rougeL"]
TARGET = 5
Pair = tuple[str, str]


class Kiwi:
    """The obvious tokenizer for rouge-score."""

    def tokenize(self, text: str) -> list[str]:
        forms = (token.form.replace(" ", "") for token in load_kiwi().tokenize(text.lower()))
        return [form for form in forms if any(map(str.isalnum, form))]


def english(count: int) -> list[Pair]:
    rows = json.loads((SHARED / "tweetqa" / "train.json").read_text(encoding="utf-8"))
    pairs = [(row["Tweet"], row["Answer"][0]) for row in rows]
    # Without any word that rouge-score recognises it returns 0, where aqa uses characters.
    return [pair for pair in pairs if re.search("[a-z0-9]", pair[1].lower())][:count]


def long_english(count: int) -> list[Pair]:
    lines = (SHARED / "clapnq" / "clapnq_dev_answerable.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in lines.splitlines()]
    pairs = [(row["passages"][0]["text"], row["output"][0]["answer"]) for row in rows]
    return [pairs[place % len(pairs)] for place in range(count)]


def korean(count: int) -> list[Pair]:
    file = SHARED / "korquad1" / "KorQuAD_v1.0_dev.json"
    pairs = []
    for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                start, text = (question["answers"][0][key] for key in ("answer_start", "text"))
                end = start + len(text)
                pairs.append((paragraph["context"][start : end + 3], text))
                pairs.append((paragraph["context"][max(0, start - 9) : end], text))
    return pairs[:count]


def score(pairs: list[Pair]) -> list[tuple[float, ...]]:
    said, expected = zip(*pairs, strict=True)
    found = Pairs(said, [(text,) for text in expected], "squad")
    return [load_metric(name)(found).per_example for name in NAMES]


def usual(pairs: list[Pair], tokenizer: Kiwi | None) -> list[tuple[float, ...]]:
    scorer = RougeScorer(NAMES, use_stemmer=False, tokenizer=tokenizer)
    found = [scorer.score(expected, said) for said, expected in pairs]
    return [tuple(100 * one[name].fmeasure for one in found) for name in NAMES]


def parted_alike(pairs: list[Pair], tokenizer: Kiwi) -> list[int]:
    """Drop pairs that Kiwi splits differently because of marks or spaces: aqa corrects for both."""
    tokens = {text: tokenizer.tokenize(text) for pair in pairs for text in pair}
    unmarked = {text for text, found in tokens.items() if list(by_morphemes(text)) == found}
    return [
        at
        for at, (said, expected) in enumerate(pairs)
        if {said, expected} <= unmarked
        and list(split_like(tokens[said], tokens[expected])) == tokens[said]
    ]


def compare(language: str, pairs: list[Pair], tokenizer: Kiwi | None, rounds: int) -> None:
    results: dict[str, list[tuple[float, ...]]] = {}

    def arm(name: str, work: Callable[[], list[tuple[float, ...]]]) -> Callable[[], None]:
        return lambda: results.update({name: work()})

    arms = {
        "aqa": arm("aqa", lambda: score(pairs)),
        "rouge-score": arm("rouge-score", lambda: usual(pairs, tokenizer)),
    }
    costs = interleave(arms, rounds, lambda _: morphemes.cache_clear())
    ours, theirs = results["aqa"], results["rouge-score"]
    same = range(len(pairs)) if tokenizer is None else parted_alike(pairs, tokenizer)
    worst = max(
        abs(own[at] - other[at]) for own, other in zip(ours, theirs, strict=True) for at in same
    )
    assert worst < 1e-9, worst
    print(f"{language}: {len(pairs):,} pairs, scores of {len(same):,} equal to {worst:.0e}")
    rows = [
        [name, f"{typical(own).wall:.2f} s", f"{typical(own).cpu:.2f} s of CPU"]
        for name, own in costs.items()
    ]
    print_table(rows)
    print_verdict(f"{language}: times as fast", ratio(costs, "rouge-score", "aqa"), TARGET)


def main() -> None:
    asked = Parser(__doc__, pairs=(10_000, 50), rounds=(3, 1)).parse_args()
    load_kiwi().tokenize("한국어")
    compare("English, short", english(asked.pairs), None, asked.rounds)
    compare("English, long", long_english(asked.pairs), None, asked.rounds)
    compare("Korean", korean(asked.pairs), Kiwi(), asked.rounds)


if __name__ == "__main__":
    main()
