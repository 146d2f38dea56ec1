"""Read data sets from the Hugging Face hub, and folders laid out like one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aqa.data.files import Row
from aqa.data.rows import chosen_split
from aqa.errors import DataError
from aqa.hub import ready_hub

if TYPE_CHECKING:
    from datasets import DatasetBuilder

HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+){0,2}", re.ASCII)
OF_ROWS = re.compile(r"\.(jsonl?|ndjson|[ct]sv|parquet|arrow)(\.(gz|zst|zip|bz2|xz|lz4))?$", re.I)
# Between other letters, as the library searches for them in paths.
SPLITS = re.compile(
    r"(?<![a-z])(train(ing)?|dev|val(id(ation)?)?|test(ing)?|eval(uation)?)(?![a-z])", re.I
)
README, CONFIGS, HEAD_BYTES = "README.md", re.compile(rb"^(configs|dataset_info):", re.M), 1 << 16
LISTED = 10  # file names in a message
SUFFIX = re.compile(r"\.[A-Za-z]\w*$")


def is_hub_name(name: str) -> bool:
    """Whether a non-path can name a data set: owner/name, name/configuration."""
    return bool(HUB_NAME.fullmatch(name)) and not SUFFIX.search(name)


def check_laid_out(folder: Path) -> None:
    """Check that a folder is laid out as a data set: by a README, split names or numbered parts.

    Raises:
        DataError: it is not, so its files can't be combined.
    """
    if (folder / README).is_file() and CONFIGS.search((folder / README).read_bytes()[:HEAD_BYTES]):
        return
    folders = [folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())]
    files = [file for directory in folders for file in _files_of_rows(directory)]
    names = [file.relative_to(folder) for file in files]
    numbered = {(name.parent, re.sub(r"\d+", "", name.name)) for name in names}
    if len(numbered) == 1 or any(SPLITS.search(str(name)) for name in names):
        return
    loose = [str(name) for name in names if len(name.parts) == 1]
    hint = f": {', '.join(loose)}" if 0 < len(loose) <= LISTED else ""
    raise DataError(f"{folder} is a folder and not a data set; name one file in it{hint}")


def _files_of_rows(folder: Path) -> list[Path]:
    try:
        files = (file for file in folder.iterdir() if OF_ROWS.search(file.name) and file.is_file())
        return sorted(files)
    except OSError:  # an unreadable subfolder
        return []


def read_hub(name: str, split: str | None) -> Iterator[Row]:
    """Stream a data set by its name, name/configuration, or folder path."""
    import datasets

    dataset = _builder(name).as_streaming_dataset()
    split = chosen_split(name, list(dataset), split)
    label = f"{Path(name).resolve().name if Path(name).is_dir() else name}/{split}"
    try:
        for number, row in enumerate(dataset[split], 1):
            yield f"{label}, row {number}", row
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{label}: reading stopped: {_sentence(error)}") from None


def fingerprint(name: str) -> str:
    """Describe a hub data set's version: its configuration and hash."""
    builder = _builder(name)
    return f"hub:{name}:{builder.config.name}:{builder.hash}"


def _builder(name: str) -> "DatasetBuilder":
    if not Path(name).is_dir():
        ready_hub()
    import datasets
    from huggingface_hub import is_offline_mode

    datasets.disable_progress_bars()  # whoever counts the rows shows progress
    owner, _, configuration = name.rpartition("/")
    # Resolved, since from "." alone the library can't derive a name.
    path = str(Path(name).resolve()) if Path(name).is_dir() else name
    candidates: list[tuple[str, str | None]] = [(path, None)]
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
    if is_offline_mode():
        reasons = ["the hub can't be reached, and it was not downloaded before"]
    raise DataError(f"{name}: no file, folder or data set of the hub by this name ({reasons[-1]})")


def _sentence(error: Exception) -> str:
    return " ".join(str(error).partition("\nExample of usage")[0].split()).rstrip(".")
