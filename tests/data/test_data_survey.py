"""Surveys: counts, repeated ids, Unicode forms; and the published counts of the shared files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aqa.data import Source, Survey, read_examples, survey
from aqa.errors import DataError

SHARED = Path(os.environ.get("AQA_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
TWEETQA = {"question": "Question", "passages": "Tweet", "answers": "Answer"}
DECOMPOSED = "\u1112\u1161\u11ab\u1100\u1173\u11af"


def write(path: Path, *rows: dict[str, object]) -> str:
    path.write_text("".join(json.dumps({"context": "c", **row}) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def repeated(tmp_path: Path) -> str:
    return write(
        tmp_path / "f.jsonl",
        {"id": "a", "question": "1", "answers": []},
        {"id": "b", "question": "2", "answers": ["한글"]},
        {"id": "a", "question": "3", "answers": []},
        {"id": "a", "question": "4"},
    )


def test_counts(repeated: str) -> None:
    found = survey(Source(repeated, on_duplicate_id="number"))
    assert (found.count, found.unanswerable, found.unlabelled) == (4, 2, 1)
    assert found.generated_ids == 0
    assert found.notes == (
        "Ids that are repeated: 1; they got numbers.",
        "Examples without a reference: 1 of 4.",
    )


def test_answers_between_bars_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    rows = ["a|b", "c", "['|x|', 'y']", "d || e"]
    table = "".join(f'q{n},?,c,"{text}"\n' for n, text in enumerate(rows))
    path.write_text("id,question,context,answers\n" + table)
    found = [note for note in survey(Source(str(path))).notes if '"|"' in note]
    assert len(found) == 1
    assert 'with "|" or the like in a reference: 2; it counts as one answer' in found[0]


def test_keep_first_counts_what_is_kept(repeated: str) -> None:
    found = survey(Source(repeated, on_duplicate_id="keep-first"))
    assert (found.count, found.unanswerable, found.unlabelled) == (2, 1, 0)
    assert found.duplicate_ids == {"a"}


def test_duplicate_ids_are_refused_with_both_places(repeated: str) -> None:
    with pytest.raises(DataError) as caught:
        survey(Source(repeated))
    assert str(caught.value) == (
        'the id "a" appears at f.jsonl, line 1 and again at f.jsonl, line 3 (2 rows repeat an id'
        " in total); choose --on-duplicate-id keep-first or number"
    )
    with pytest.raises(DataError, match='the id "a" appears at f'):
        list(read_examples(Source(repeated)))


@pytest.mark.parametrize("surveyed", [True, False])
def test_duplicate_ids_are_settled(repeated: str, surveyed: bool) -> None:
    for choice, expected in (("keep-first", "a1 b2"), ("number", "a1 b2 a#23 a#34")):
        source = Source(repeated, on_duplicate_id=choice)  # type: ignore[arg-type]
        found: Survey | None = survey(source) if surveyed else None
        examples = read_examples(source, found)
        assert " ".join(e.id + e.question for e in examples) == expected


def test_numbering_never_makes_a_known_id(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"id": i, "question": "q"} for i in ("a#2", "a", "a")]
    source = Source(write(tmp_path / "f.jsonl", *rows), on_duplicate_id="number")
    with pytest.raises(
        DataError, match='line 1: the id "a#2" may clash with the numbers given to "a"'
    ):
        survey(source)


def test_generated_ids_are_stable(tmp_path: Path) -> None:
    question = DECOMPOSED
    path = write(tmp_path / "f.jsonl", {"question": question}, {"question": question, "id": ""})
    plain = next(read_examples(Source(path)))
    composed = next(read_examples(Source(path, normalize="nfc")))
    # printf '한글\nc' | sha256sum
    assert plain.id == composed.id == "00fc2668b8b9418d"
    assert survey(Source(path, on_duplicate_id="number")).generated_ids == 2


def test_nfc(tmp_path: Path) -> None:
    row: dict[str, object] = {
        "id": "1", "question": DECOMPOSED, "answers": [DECOMPOSED], "title": DECOMPOSED,
        "context": DECOMPOSED,
    }  # fmt: skip
    path = write(tmp_path / "f.jsonl", row)
    (note,) = survey(Source(path)).notes
    assert "NFD" in note
    assert "--normalize nfc" in note
    assert next(read_examples(Source(path))).question == DECOMPOSED
    source = Source(path, normalize="nfc")
    assert survey(source).notes == ()
    example = next(read_examples(source))
    assert {example.question, *(example.answers or ()), example.passages[0].text} == {"한글"}
    assert example.passages[0].title == "한글"


def test_reading_is_lazy(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"question": "q", "context": "c"}\nbroken')
    examples = read_examples(Source(str(path)))
    assert next(examples).question == "q"
    examples.close()  # type: ignore[attr-defined]


def test_on_row_and_sha256(tmp_path: Path) -> None:
    import hashlib

    path = write(tmp_path / "f.jsonl", *({"question": "q", "id": n} for n in range(5)))
    calls: list[None] = []
    found = survey(Source(path), on_row=lambda: calls.append(None))
    assert len(calls) == found.count == 5
    assert found.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_nothing_heavy_is_imported() -> None:
    code = "import aqa.data, sys; print({'datasets', 'pyarrow', 'numpy'} & {*sys.modules})"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "set()"


# The counts are from the shared files' own SOURCES.md.
NUMBER = Source("", fields=TWEETQA, on_duplicate_id="number")
KEEP_FIRST = Source("", fields=TWEETQA, on_duplicate_id="keep-first")
SHARED_FILES: list[tuple[str, Source, tuple[int, int, int, int]]] = [
    ("korquad1/KorQuAD_v1.0_dev.json", Source(""), (5774, 0, 0, 0)),
    ("squad2-cs224n/dev-v2.0.json", Source(""), (6078, 3168, 0, 0)),
    ("tweetqa/train.json", NUMBER, (10692, 0, 98, 0)),
    ("tweetqa/train.json", KEEP_FIRST, (10526, 0, 98, 0)),
    ("tweetqa/dev.json", NUMBER, (1086, 0, 4, 0)),
    ("tweetqa/dev.json", KEEP_FIRST, (1082, 0, 4, 0)),
    ("clapnq/clapnq_dev_answerable.jsonl", Source(""), (300, 0, 0, 0)),
    ("clapnq/clapnq_dev_unanswerable.jsonl", Source(""), (300, 300, 0, 0)),
    ("nq-oracle/nq-open-oracle.jsonl.gz", Source(""), (2655, 0, 0, 2655)),
]  # fmt: skip


@pytest.mark.parametrize(("file", "like", "counts"), SHARED_FILES)
@pytest.mark.slow
def test_shared_files(file: str, like: Source, counts: tuple[int, int, int, int]) -> None:
    path = SHARED / file
    if not path.exists():
        pytest.skip(f"{path} is absent; set AQA_SHARED_DATA to the folder of the data sets")
    source = Source(str(path), fields=like.fields, on_duplicate_id=like.on_duplicate_id)
    found = survey(source)
    assert (
        found.count, found.unanswerable, len(found.duplicate_ids), found.generated_ids
    ) == counts  # fmt: skip
    assert found.unlabelled == 0
    ids = {example.id for example in read_examples(source, found)}
    assert len(ids) == found.count


def test_shared_tweetqa_needs_fields_and_a_choice() -> None:
    path = SHARED / "tweetqa/dev.json"
    if not path.exists():
        pytest.skip(f"{path} is absent; set AQA_SHARED_DATA to the folder of the data sets")
    with pytest.raises(
        DataError, match=r"columns Question, Answer, Tweet, qid; .*--field passages"
    ):
        survey(Source(str(path)))
    with pytest.raises(DataError, match=r"\(4 rows repeat an id in total\)"):
        survey(Source(str(path), fields=TWEETQA))


def test_gold_passages_that_always_come_first_are_told_of(tmp_path: Path) -> None:
    def notes(*places: int) -> tuple[str, ...]:
        rows: list[dict[str, object]] = [
            {"id": number, "question": "q", "answers": ["a"], "context": None,
             "ctxs": [{"text": f"{n}", "is_gold": n == gold} for n in range(3)]}
            for number, gold in enumerate(places)
        ]  # fmt: skip
        return survey(Source(write(tmp_path / "f.jsonl", *rows))).notes

    (note,) = notes(*[0] * 10)
    assert note.startswith("Examples whose first passage is the gold one: all 10 that mark it;")
    assert notes(*[0] * 9) == notes(*[0] * 20, 1) == ()
