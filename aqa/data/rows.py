"""Read rows from a file (JSON, CSV, Parquet, Arrow) or a folder of datasets.save_to_disk."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aqa.data.files import Row, open_bytes
from aqa.data.json_stream import read_json
from aqa.data.tables import read_arrow, read_csv, read_parquet
from aqa.data.unusable import ZIP, archive_names, describe_archive, not_text
from aqa.errors import DataError

ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
PARQUET = b"PAR1"
SPLITS_FILE, STATE_FILE = "dataset_dict.json", "state.json"


def read_row_file(path: Path) -> Iterator[Row]:
    """Read a file's rows."""
    with open_bytes(path) as file:
        head = file.read(4096)
    if head.startswith(ZIP):
        raise DataError(f"{path} is {describe_archive(archive_names(path))}")
    rows = read_binary(path, head)
    if rows is not None:
        return rows
    start = head.lstrip()[:1]
    if start in (b"[", b"{") or path.suffix in (".json", ".jsonl"):
        return read_json(path)
    return read_csv(path)


def read_binary(path: Path, head: bytes) -> Iterator[Row] | None:
    """Read Parquet or Arrow; None for text; DataError for other binary files."""
    if head.startswith((PARQUET, *ARROW)):
        with path.open("rb") as file:
            if not head.startswith(file.read(4)):
                raise DataError(f"{path} is packed twice; unpack it first")
        return read_parquet(path) if head.startswith(PARQUET) else read_arrow([path], path.name)
    if b"\0" in head:
        raise not_text(path)
    return None


def is_saved_dataset(folder: Path) -> bool:
    """Whether save_to_disk wrote this folder, for one split or several."""
    return (folder / SPLITS_FILE).is_file() or (folder / STATE_FILE).is_file()


def read_saved_dataset(folder: Path, split: str | None) -> Iterator[Row]:
    """Read one split; DataError lists the splits if `split` does not choose one."""
    if (folder / SPLITS_FILE).is_file():
        splits = _entry(folder / SPLITS_FILE, "splits")
        split = chosen_split(str(folder), splits, split)
        part = folder / split
    else:
        part = folder
        own_split = _entry(folder / STATE_FILE, "_split")
        if split not in (None, own_split):
            raise DataError(f'{folder} is only the split "{own_split}"; leave --split out')
    files = [part / file["filename"] for file in _entry(part / STATE_FILE, "_data_files")]
    return read_arrow(files, f"{folder.name}/{split}" if split else folder.name)


def chosen_split(name: str, splits: list[str], split: str | None) -> str:
    """Return the split to read: the named one, or the only one."""
    if split in splits:
        return split
    if split is None and len(splits) == 1:
        return splits[0]
    missing = "several splits" if split is None else f'no split "{split}"'
    raise DataError(f"{name} has {missing}; choose with --split one of {', '.join(splits)}")


def _entry(path: Path, key: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} can't be read ({error!r}); save the data set again") from None
