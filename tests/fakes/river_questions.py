"""Questions on rivers, whose answers the stub finds in their passages."""

import json
from collections.abc import Collection
from pathlib import Path


def write_rivers(folder: Path, count: int, long: Collection[int] = ()) -> Path:
    """Write them; every third is unanswerable, those in `long` are too long for any prompt."""
    path = folder / "questions.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            question = "어느 강인가? " * (200 if number in long else 1)
            row = {"id": f"q{number}", "question": question, "context": f"{number}번 강 이다."}
            answers = [f"{number}번 강 이다."] if number % 3 else []
            file.write(json.dumps({**row, "answers": answers}, ensure_ascii=False) + "\n")
    return path
