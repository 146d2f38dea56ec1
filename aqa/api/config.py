"""Convert what a user of the API may pass: data, paths, and configs."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from aqa.api.flag_translation import SETTINGS, translate_errors
from aqa.config.in_memory_data import InMemoryData
from aqa.config.options import RunConfig
from aqa.config.paths import expand_home
from aqa.config.ranges import check_kind, check_list
from aqa.errors import DataError, UsageError
from aqa.records import Example
from aqa.verbs.run_config import Setting, make_config

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset
    from pandas import DataFrame

# A path, "package:NAME/FILE" or a hub data set's name; examples; rows of any shape that files may
# have; or a table or data set in memory.
Data: TypeAlias = Union[
    str,
    os.PathLike[str],
    Example,
    Iterable[Example | Mapping[str, Any]],
    Mapping[str, Any],
    "DataFrame",
    "Dataset",
    "DatasetDict",
    "IterableDataset",
]
Settings = Mapping[str, Any]
PathLike = str | os.PathLike[str]
READERS = 'the name of a backend, such as "t5", "llama" or "gpt4"'


def as_data_path(data: Data, name: str = "the given data") -> str | InMemoryData:
    """Convert data to a config's `data.path`, reading one-shot iterators; else DataError."""
    data = as_rows(data)
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    if isinstance(data, Example):
        return InMemoryData([data], name)
    if isinstance(data, Iterator):
        return InMemoryData(list(data), name)
    if isinstance(data, bytes) or not isinstance(data, Iterable):
        raise DataError(
            f"{name} is {type(data).__name__}; give a path, a list of aqa.Example or of rows, or a"
            " datasets.Dataset"
        )
    # A text would be a path; the items are checked when they are read.
    return InMemoryData(data, name)  # type: ignore[arg-type]


def as_rows(table: Any) -> Any:
    """Convert a pandas table to rows and a series to a dict; return anything else unchanged."""
    if type(table).__module__.partition(".")[0] != "pandas" or not hasattr(table, "index"):
        return table
    if not hasattr(table, "columns"):
        return table.to_dict()
    names = list(table.index.names)
    if names == [None] and table.index.inferred_type == "string":
        names = ["id"]
    more = [level for level, name in enumerate(names) if name not in (None, *table.columns)]
    return (table.reset_index(more, names=names) if more else table).to_dict("records")


def as_path(path: PathLike) -> Path:
    """Convert to a Path, expanding ~; UsageError if it is empty."""
    check_kind("a path", path, (str, os.PathLike), "a string or a pathlib.Path")
    if not os.fspath(path):
        raise UsageError("a path is empty; name a file or folder, or leave it out")
    return expand_home(path)


@translate_errors(SETTINGS)
def load_config(
    backend: str,
    config: PathLike | None = None,
    *,
    model: PathLike | None = None,
    settings: Settings | None = None,
) -> RunConfig:
    """Make the config of a run, every default filled in and every value checked.

    Args:
        backend: "t5", "llama", "gpt4", or one that another package provides.
        config: a YAML or JSON file, or the name of a shipped config.
        model: a run folder, whose config is inherited, an adapter, a model folder, a name on the
            hub, or "package:NAME/FILE".
        settings: values by dotted keys, such as {"generation.max_new_tokens": 32}. They win over
            the file, and the file over the run folder.

    Raises:
        AqaError: there is no such backend, file or model folder, or a value is not valid.
    """
    check_kind("backend", backend, (str,), READERS)
    named = None if config is None else str(as_path(config))
    return make_config(backend, named, as_settings(model, settings))


def as_settings(model: PathLike | None, settings: Settings | None) -> list[Setting]:
    """Return settings by dotted key; UsageError unless they map texts to values."""
    check_kind("settings", settings or {}, (Mapping,), 'a dict, as in {"evidence.top_k": 5}')
    pairs = [] if model is None else [("backend.model", model)]
    pairs += (settings or {}).items()
    check_list("settings", [key for key, _ in pairs])
    return [(key, os.fspath(v) if isinstance(v, os.PathLike) else v) for key, v in pairs]
