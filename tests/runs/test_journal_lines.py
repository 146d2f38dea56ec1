"""Finding journal lines by example."""

import json
from pathlib import Path

from aqa.runs.journal_lines import Lines


def test_each_example_has_the_line_that_was_put_last(tmp_path: Path) -> None:
    lines = Lines()
    for number, (name, indices) in enumerate((("a", (4, 0)), ("b", (2, 5, 4))), 1):
        path = tmp_path / name
        rows = [{"kind": "aqa-journal"}]
        rows += [{"index": index, "text": f"{name}{index}"} for index in indices]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        assert lines.take(path, lambda row: row["index"] != 5) == number
    assert list(lines) == [0, 2, 4]
    assert [index in lines for index in range(6)] == [True, False, True, False, True, False]
    with lines.reading() as read:
        assert [read(index)["text"] for index in lines] == ["a0", "b2", "b4"]
    assert lines.position(4) > lines.position(2) > lines.position(0)
