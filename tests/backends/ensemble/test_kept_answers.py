"""The answers of its members that an ensemble has stored."""

import json
from pathlib import Path

from aqa.backends.ensemble.backend import KeptAnswers, MemberAnswer


def write_journal(path: Path, texts: dict[int, str | None]) -> Path:
    rows = [{"kind": "aqa-journal"}]
    rows += [{"index": index, "predicted_answer": text} for index, text in texts.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_later_answers_count_and_none_beyond_the_limit(tmp_path: Path) -> None:
    kept = KeptAnswers(4)
    kept.hold(0, MemberAnswer((("held", None),)))
    kept.take_run(write_journal(tmp_path / "old", {1: "old", 2: None, 7: "beyond"}))
    kept.take_run(write_journal(tmp_path / "new", {2: "new"}), is_new=True)
    assert list(kept) == [0, 1, 2]
    assert [index in kept for index in (3, 7)] == [False, False]
    found = list(kept.read([2, 3, 0, 1]))
    said = [each.candidates[0][0] if each is not None else None for each in found]
    assert said == ["new", None, "held", "old"]
    assert [each.is_new for each in found if each is not None] == [True, False, False]
