import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aqa.errors import RunError
from aqa.runs.journal import Journal
from aqa.runs.names import JOURNAL, PREDICTIONS

FINGERPRINT = {"backend": "stub", "reader": {"model": "m"}}


def journal(folder: Path, fresh: bool = False, **fingerprint: object) -> Journal:
    return Journal(folder, FINGERPRINT | fingerprint, fresh)


def answer(index: int, **more: object) -> dict[str, object]:
    return {"id": f"q{index}", "predicted_answer": f"답 {index}", **more}


def filled(folder: Path, *indices: int) -> Path:
    """A journal of these examples; return its path."""
    with journal(folder) as opened:
        for index in indices:
            opened.append(index, answer(index))
    return folder / JOURNAL


def test_a_journal_has_a_header_and_a_line_for_each_example(tmp_path: Path) -> None:
    with journal(tmp_path) as opened:
        for index in (2, 0):
            opened.append(index, answer(index))
            # On disk before anything else happens, whatever happens to this process.
            last = (tmp_path / JOURNAL).read_bytes().splitlines()[-1]
            assert json.loads(last) == {"index": index, **answer(index)}
    header = json.loads((tmp_path / JOURNAL).read_bytes().splitlines()[0])
    assert header == {"kind": "aqa-journal", "version": 1, "fingerprint": FINGERPRINT}
    with journal(tmp_path) as opened:
        assert [opened.is_done(index) for index in range(4)] == [True, False, True, False]
        assert opened.counts(3) == (2, 0)
        assert opened.counts(2) == (1, 0)
        assert opened.dropped_lines == 0
    with journal(tmp_path, fresh=True) as opened:
        assert opened.counts(3) == (0, 0)


@pytest.mark.parametrize("begun_anew", [False, True])
def test_a_journal_that_was_removed_is_told_with_the_next_answer(
    begun_anew: bool, tmp_path: Path
) -> None:
    """Otherwise paid answers would be lost, or mixed with another process's."""
    with journal(tmp_path) as opened:
        opened.append(0, answer(0))
        opened.path.unlink()
        if begun_anew:
            filled(tmp_path, 1)
        with pytest.raises(RunError, match="was removed while the run wrote"):
            opened.append(2, answer(2))


def test_a_journal_that_was_moved_goes_on(tmp_path: Path) -> None:
    with journal(tmp_path) as opened:
        moved = opened.path.rename(tmp_path / "moved.jsonl")
        opened.append(0, answer(0))
    assert json.loads(moved.read_bytes().splitlines()[-1]) == {"index": 0, **answer(0)}


def test_failed_rows_and_their_retry(tmp_path: Path) -> None:
    with journal(tmp_path) as opened:
        opened.append(0, answer(0, error="time-out"))
        opened.append(1, answer(1))
        opened.append(2, answer(2, error="time-out"))
    with journal(tmp_path) as opened:
        assert opened.counts(3) == (1, 2)
        assert [opened.is_done(index) for index in range(3)] == [True] * 3
        since = opened.size()
        assert [opened.is_done(index, since) for index in range(3)] == [False, True, False]
        opened.append(0, answer(0))
        assert opened.counts(3) == (2, 1)
        assert opened.is_done(0, since)
    with journal(tmp_path) as opened:
        assert opened.counts(3) == (2, 1)
        assert [row.get("error") for row in opened.rows(3)] == [None, None, "time-out"]


def test_predictions_stand_in_the_order_of_the_data(tmp_path: Path) -> None:
    with journal(tmp_path) as opened:
        for index in (3, 1, 0):
            opened.append(index, answer(index))
        opened.append(1, answer(1, again=True))
        path = opened.write_predictions(3)
    found = json.loads(path.read_bytes())
    assert list(found.items()) == [
        ("q0", {"predicted_answer": "답 0"}),
        ("q1", {"predicted_answer": "답 1", "again": True}),
    ]
    (tmp_path / "empty").mkdir()
    with journal(tmp_path / "empty") as none:
        assert json.loads(none.write_predictions(0).read_bytes()) == {}


@pytest.mark.parametrize(
    "broken",
    [
        b"\0\0\0\0",
        b"not JSON\n",
        b"[9]\n",
    ],
)
def test_an_incomplete_last_line_is_dropped(tmp_path: Path, broken: bytes) -> None:
    path = filled(tmp_path, 0, 1)
    whole = path.read_bytes()
    path.write_bytes(whole + broken)
    with journal(tmp_path) as opened:
        assert opened.dropped_lines == 1
        assert opened.counts(10) == (2, 0)
        opened.append(2, answer(2))
    assert path.read_bytes().startswith(whole)
    with journal(tmp_path) as opened:
        assert (opened.dropped_lines, opened.counts(10)) == (0, (3, 0))


def test_a_line_may_be_cut_at_any_byte(tmp_path: Path) -> None:
    path = filled(tmp_path, 0, 1)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        with journal(tmp_path) as opened:
            assert opened.dropped_lines == (end > last)
            assert opened.counts(2) == (1, 0)


@pytest.mark.parametrize("broken", [b"not JSON", b'{"id": "q"}', b'{"kind": "aqa-journal"}', b""])
def test_damage_in_the_middle_is_refused(tmp_path: Path, broken: bytes) -> None:
    path = filled(tmp_path, 0, 1)
    lines = path.read_bytes().splitlines()
    damaged = b"\n".join([lines[0], broken, lines[2], b""])
    path.write_bytes(damaged)
    with pytest.raises(RunError, match=f"at byte {len(lines[0]) + 1}, with 1 lines after it"):
        journal(tmp_path)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    "content",
    [
        '{"id": "q1", "prediction_text": "Paris"}\n',
        '{"id": "q1", "prediction_text": "Paris"}\n{"id": "q2", "prediction_text": "Rome"}\n',
        '{"kind": "other", "fingerprint": {}}\n',
        '{"kind": "aqa-journal"}\n',
        "a note\n",
        "a note",
    ],
)
def test_a_file_of_others_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / JOURNAL
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match="not a journal of aqa"):
        journal(tmp_path)
    assert path.read_text(encoding="utf-8") == content


def test_an_empty_journal_is_begun(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).touch()
    with journal(tmp_path) as opened:
        assert opened.counts(1) == (0, 0)
    assert read_first(tmp_path)["kind"] == "aqa-journal"


def read_first(folder: Path) -> Mapping[str, Any]:
    return json.loads((folder / JOURNAL).read_bytes().splitlines()[0])  # type: ignore[no-any-return]


def test_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    path = filled(tmp_path, 1)
    before = path.read_bytes()
    with pytest.raises(RunError) as error:
        journal(tmp_path, reader={"model": "n"}, more=1)
    assert 'reader.model was "m" and is now "n"' in str(error.value)
    assert "more was null and is now 1" in str(error.value)
    assert "backend" not in str(error.value)
    assert path.read_bytes() == before
    with journal(tmp_path, fresh=True, reader={"model": "n"}) as opened:
        assert opened.counts(1) == (0, 0)


def test_a_run_without_any_answer_gives_way_to_another(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before = path.read_bytes()
    other = FINGERPRINT | {"reader": {"model": "n"}}
    with pytest.raises(RunError, match="holds another run"):
        Journal(tmp_path, other, fresh=False, awaits=True)
    path.write_bytes(before + b'{"index": 0')
    with pytest.raises(RunError, match="holds another run"):
        Journal(tmp_path, other, fresh=False)
    path.write_bytes(before)
    with Journal(tmp_path, other, fresh=False) as opened:
        opened.append(0, answer(0))
    assert read_first(tmp_path)["fingerprint"] == other
    assert len(path.read_bytes().splitlines()) == 2


def test_fresh_forgets_the_predictions_too(tmp_path: Path) -> None:
    with journal(tmp_path) as opened:
        opened.write_predictions(0)
    with journal(tmp_path, fresh=True):
        assert not (tmp_path / PREDICTIONS).exists()


def test_a_full_disk_while_answers_come_in(tmp_path: Path) -> None:
    path = filled(tmp_path, 0)
    with journal(tmp_path) as opened:
        opened._file.close()
        opened._file = open("/dev/full", "ab")  # noqa: SIM115, PTH123
        with pytest.raises(RunError, match=r"No space left on device.*already written is kept"):
            opened.append(1, answer(1))
        assert not opened.is_done(1)
    assert len(path.read_bytes().splitlines()) == 2
