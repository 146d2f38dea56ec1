"""Write and read files in tests."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def lines(rows: Iterable[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def write(folder: Path, name: str, content: Any) -> Path:
    """Write bytes and texts unchanged and other values as JSON, making subfolders."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, str | bytes):
        content = json.dumps(content, ensure_ascii=False)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
