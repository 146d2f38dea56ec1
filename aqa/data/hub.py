"""Data sets of the Hugging Face hub, and folders laid out like one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aqa.data.files import Row
from aqa.data.saved_dataset import chosen_split
from aqa.errors import DataError

if TYPE_CHECKING:
    from datasets import DatasetBuilder

HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+){0,2}", re.ASCII)
SUFFIX = re.compile(r"\.[A-Za-z]\w*$")


def is_hub_name(name: str) -> bool:
    """Tell whether a text that is no path can name a data set: owner/name, name/configuration."""
    return bool(HUB_NAME.fullmatch(name)) and not SUFFIX.search(name)


def read_hub(name: str, split: str | None) -> Iterator[Row]:
    """Stream a data set by its name, name/configuration, or the path of its folder."""
    import datasets

    dataset = _builder(name).as_streaming_dataset()
    split = chosen_split(name, list(dataset), split)
    label = f"{Path(name).name if Path(name).is_dir() else name}/{split}"
    try:
        for number, row in enumerate(dataset[split], 1):
            yield f"{label}, row {number}", row
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{label}: reading stopped: {_sentence(error)}") from None


def fingerprint(name: str) -> str:
    """Describe what the hub gives under a name: the configuration and the hash of its version."""
    builder = _builder(name)
    return f"hub:{name}:{builder.config.name}:{builder.hash}"


def _builder(name: str) -> "DatasetBuilder":
    import datasets

    datasets.disable_progress_bars()  # how far reading is, is shown by who counts the rows
    owner, _, configuration = name.rpartition("/")
    # Whole, since "." alone has no name that the library could give the data set.
    place = str(Path(name).resolve()) if Path(name).is_dir() else name
    candidates: list[tuple[str, str | None]] = [(place, None)]
    if owner and is_hub_name(name):
        candidates.append((owner, configuration))
    reasons = []
    for candidate, chosen in candidates:
        try:
            return datasets.load_dataset_builder(candidate, chosen)
        except (OSError, datasets.exceptions.DatasetsError) as error:
            reasons.append(_sentence(error))
        except ValueError as error:
            raise DataError(f"{name}: {_sentence(error)}; write NAME/CONFIGURATION") from None
    if Path(name).is_dir():
        raise DataError(f"{name}: this folder holds no data set ({reasons[0]})")
    raise DataError(f"{name}: no file, folder or data set of the hub by this name ({reasons[-1]})")


def _sentence(error: Exception) -> str:
    return " ".join(str(error).partition("\nExample of usage")[0].split()).rstrip(".")
