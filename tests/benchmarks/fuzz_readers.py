"""Fuzz the file readers: each broken file must be read or refused in one sentence.

The seeds are whole files in the formats of the tests. Mutations remove, repeat or move bytes or
lines, or replace values, keys or types in the JSON. If a reader raises anything but an AqaError, or
an error that is not one line naming the file, the run ends with exit code 1.

Run: python tests/benchmarks/fuzz_readers.py [--files N] [--seconds N] [--seed N] [READER ...]
"""

import copy
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from arms import Parser
from data_shapes import SHAPES as DATA
from data_shapes import lines
from files import write
from prediction_shapes import QUESTIONS, SAID, SHAPES

from aqa.data import Source, read_examples, survey
from aqa.errors import AqaError
from aqa.evaluation.predictions import read_predictions

Seeds = Mapping[str, tuple[str, Any]]  # by format: the file's name and content
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, float("nan"), "", "x", "\ud800", "q1", "가\x00", [], [None], {},
    "['a', 'b'", "TRUE", "['a' 'b']",
    {"text": "x"}, [["x"]], [{"a": 1}], {"q1": "x"}, "[1, 2", "\t", [1, "x"], [{"text": 1}],
)  # fmt: skip
BYTES = (b"", b"\0", b"\xff", b"{", b"}", b"[", b'"', b"\n", b"\t", b",", b"\\u", b"\xed\xa0\x80")


def predictions(path: Path) -> object:
    known = (list(SAID), list(QUESTIONS.values()))
    with suppress(AqaError):
        read_predictions(path)
    found = read_predictions(path, *known)
    for key, row in found.items():
        assert row.id == key, (key, row)
        assert row.prediction is None or isinstance(row.prediction, str), row
        assert row.answers is None or all(isinstance(text, str) for text in row.answers), row
    return found


def data(path: Path) -> object:
    source = Source(str(path))
    examples = list(read_examples(source, survey(source)))
    for example in examples:
        assert example.id, example
        assert example.question.strip(), example
        assert all(isinstance(text, str) for text in example.answers or ()), example
        assert all(isinstance(passage.text, str) for passage in example.passages), example
        json.dumps([example.question, *(passage.text for passage in example.passages)]).encode()
    return examples


def passages(path: Path) -> object:
    """Read as a retriever's output, with and without a corpus, and as the corpus itself."""
    folder = path.parent
    questions, corpus, run = (folder / name for name in ("asked.jsonl", "corpus.tsv", "run.tsv"))
    if not questions.exists():
        questions.write_text(lines({"id": "q1", "question": "When was the mill built?"}))
        corpus.write_text("d1\tIt was built in 1874.\nd2\tIt burned.\n")
        run.write_text("q1\td1\t1\nq1\td2\t2\n")
    outcome: object = None
    for found, documents in ((path, None), (path, corpus), (run, path)):
        source = Source(
            str(questions),
            passages=str(found),
            corpus=documents and str(documents),
            missing_passages="empty",
        )
        outcome = _surveyed(source, path)
    return outcome


def _surveyed(source: Source, path: Path) -> object:
    try:
        return survey(source)
    except AqaError as error:
        if "\n" in str(error) or path.name not in str(error):
            raise
        return None


RETRIEVED: Seeds = {
    "TREC": ("r.trec", "q1 Q0 d1 1 2.5 x\nq1 Q0 d2 2 1.5 x\n"),
    "MS MARCO": ("r.tsv", "q1\td1\t1\nq1\td2\t2\n"),
    "collection": ("c.tsv", "d1\tIt was built.\nd2\tIt burned.\n"),
    "by id": ("r.json", {"q1": [{"id": "d1", "text": "It was built.", "score": 2.5, "rank": 1}]}),
    "scores": ("r.json", {"q1": {"d1": 2.5, "d2": 1.5}}),
    "rows": ("r.jsonl", lines({"id": "q1", "ctxs": [{"id": "d1", "text": "Built.", "rank": 1}]})),
    "columns": ("r.csv", "qid,docid,rank,score,text\nq1,d1,1,2.5,Built.\nq1,d2,2,1.5,Burned.\n"),
    "retrieved": (
        "r.jsonl",
        lines({"qid": "q1", "retrieved_ids": ["d1"], "retrieved_contents": ["It was built."]}),
    ),
    "corpus": (
        "c.jsonl",
        lines({"_id": "d1", "title": "t", "text": "x"}, {"_id": "d2", "text": "y"}),
    ),
    "documents": ("c.json", {"d1": {"text": "x", "title": "t"}, "d2": {"text": "y"}}),
}


# The seeds, and the function that reads a file, by the reader's name.
READERS: dict[str, tuple[Seeds, Callable[[Path], object]]] = {
    "predictions": (SHAPES, predictions),
    "data": ({name: shape[:2] for name, shape in DATA.items()}, data),
    "passages": (RETRIEVED, passages),
}


def mutate(content: Any, dice: random.Random) -> bytes | str:
    """Mutate values if it is JSON, or the bytes of any file; sometimes both."""
    stored = (
        content if isinstance(content, str | bytes) else json.dumps(content, ensure_ascii=False)
    )
    if dice.random() < 0.6 and (values := _values(stored)) is not None:
        for _ in range(dice.choice((1, 1, 2, 4))):
            _change_value(values, dice)
        if isinstance(stored, str) and stored.startswith(("{", "[")) and _is_one(stored):
            stored = json.dumps(values[0])
        else:
            stored = "\n".join(map(json.dumps, values))
        if dice.random() < 0.7:
            return stored
    raw = stored if isinstance(stored, bytes) else stored.encode("utf-8", "surrogatepass")
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        raw = _change_bytes(raw, dice)
    return raw


def _values(stored: str | bytes) -> list[Any] | None:
    if isinstance(stored, bytes):
        return None
    try:
        return (
            [json.loads(stored)]
            if _is_one(stored)
            else list(map(json.loads, stored.split("\n")[:-1]))
        )
    except ValueError:
        return None


def _is_one(stored: str) -> bool:
    try:
        json.loads(stored)
    except ValueError:
        return False
    return True


def _change_value(values: list[Any], dice: random.Random) -> None:
    """Replace, remove, rename or repeat one value at any depth."""
    holder: Any = values
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = dice.choice(keys)
        if isinstance(holder[key], dict | list) and holder[key] and dice.random() < 0.8:
            holder = holder[key]
            continue
        break
    what = dice.randrange(5)
    if what == 0 and len(keys) > 1:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[dice.choice(("id", "answer", "prediction", "", "error", "results", "한"))] = (
            holder.pop(key)
        )
    elif what == 2 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[dice.choice(keys)]))
    elif what == 3:
        holder[key] = copy.deepcopy(holder[dice.choice(keys)])
    else:
        holder[key] = copy.deepcopy(dice.choice(VALUES))


def _change_bytes(raw: bytes, dice: random.Random) -> bytes:
    start, end = sorted(dice.randrange(len(raw) + 1) for _ in range(2))
    what = dice.randrange(5)
    if what == 0:
        return raw[:start]
    if what == 1:
        return raw[:start] + raw[min(end, start + 20) :]
    if what == 2:
        return raw[:start] + dice.choice(BYTES) + raw[start:]
    if what == 3:
        return raw[:end] + raw[start:]
    lines = raw.split(b"\n")
    dice.shuffle(lines)
    return b"\n".join(lines)


def fuzz(names: Iterable[str], files: int, seconds: float, seed: int) -> Counter[str]:
    """Try so many files with each reader, or for so long; count those read and refused."""
    outcome: Counter[str] = Counter()
    folder = Path(tempfile.mkdtemp())
    for name in names:
        seeds, read = READERS[name]
        dice = random.Random(seed)
        until = time.monotonic() + seconds
        for number in range(files):
            if time.monotonic() > until:
                break
            shape = dice.choice(list(seeds))
            file_name, content = seeds[shape]
            path = write(folder, file_name, mutate(content, dice))
            outcome[_try(read, path, f"{name}, file {number}, seed {seed}, from {shape!r}")] += 1
            path.unlink()
    shutil.rmtree(folder)
    return outcome


def _try(read: Callable[[Path], object], path: Path, told: str) -> str:
    started = time.monotonic()
    try:
        read(path)
        outcome = "read"
    except AqaError as error:
        outcome = "refused"
        if "\n" in str(error) or path.name not in str(error):
            outcome = "badly refused"
            print(f"{told}: {error}")
    except Exception:  # noqa: BLE001  (what this looks for)
        outcome = "traceback"
        kept = Path(tempfile.gettempdir(), f"fuzzed-{path.name}")
        shutil.copy(path, kept)
        print(f"{told}; kept as {kept}")
        traceback.print_exc()
    if time.monotonic() - started > 10:
        print(f"{told}: took {time.monotonic() - started:.0f} s")
        outcome = "slow"
    return outcome


def main() -> None:
    parser = Parser(__doc__, files=(10_000, 100))
    parser.add_argument("readers", nargs="*", choices=[*READERS, []], metavar="READER")
    parser.add_argument("--seconds", type=float, default=60, help="for each reader, at most")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    outcome = fuzz(given.readers or READERS, given.files, given.seconds, given.seed)
    print(", ".join(f"{count} {kind}" for kind, count in sorted(outcome.items())))
    if outcome.keys() - {"read", "refused"}:
        sys.exit(1)


if __name__ == "__main__":
    main()
