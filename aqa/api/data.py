"""What a user of the API may give as data."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from aqa.config.given import Given
from aqa.errors import DataError
from aqa.records import Example

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset
    from pandas import DataFrame

# A path, "package:NAME/FILE" or a data set's name on the hub; examples; rows of any shape that
# files may have; or a table or data set at hand.
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


def as_data_path(data: Data, name: str = "the given data") -> str | Given:
    """Give what may be in a config as `data.path`; what can be read only once is read here.

    Raises:
        DataError: it is nothing of which rows could be read.
    """
    data = as_rows(data)
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    if isinstance(data, Example):
        return Given([data], name)
    if isinstance(data, Iterator):
        return Given(list(data), name)
    if isinstance(data, bytes) or not isinstance(data, Iterable):
        raise DataError(
            f"{name}: {type(data).__name__} where a path, a list of aqa.Example or of rows, or a"
            " datasets.Dataset is needed"
        )
    # Texts were paths; what else it holds is looked at when it is read.
    return Given(data, name)  # type: ignore[arg-type]


def as_rows(given: Any) -> Any:
    """A pandas table row by row, a series by its index; everything else as it is."""
    if type(given).__module__.partition(".")[0] != "pandas" or not hasattr(given, "index"):
        return given
    if not hasattr(given, "columns"):
        return given.to_dict()
    name = given.index.name
    has_ids = name is not None or given.index.inferred_type == "string"
    return (given.reset_index() if has_ids and name not in given.columns else given).to_dict(
        "records"
    )
