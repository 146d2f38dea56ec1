"""A folder that datasets.save_to_disk wrote, read from its Arrow files alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aqa.data.files import Row
from aqa.data.tables import read_arrow
from aqa.errors import DataError

SPLITS_FILE = "dataset_dict.json"
STATE_FILE = "state.json"


def is_saved_dataset(folder: Path) -> bool:
    """Tell whether save_to_disk wrote this folder, for one split or several."""
    return (folder / SPLITS_FILE).is_file() or (folder / STATE_FILE).is_file()


def read_saved_dataset(folder: Path, split: str | None) -> Iterator[Row]:
    """Read one split; DataError lists the splits where `split` does not choose one of them."""
    if (folder / SPLITS_FILE).is_file():
        splits = _entry(folder / SPLITS_FILE, "splits")
        split = chosen_split(str(folder), splits, split)
        part = folder / split
    else:
        part = folder
        own_split = _entry(folder / STATE_FILE, "_split")
        if split not in (None, own_split):
            raise DataError(f'{folder} is the split "{own_split}" alone; leave --split out')
    files = [part / file["filename"] for file in _entry(part / STATE_FILE, "_data_files")]
    return read_arrow(files, f"{folder.name}/{split}" if split else folder.name)


def chosen_split(name: str, splits: list[str], split: str | None) -> str:
    """Give the split to read: the one named, or the only one there is."""
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
