"""Data at hand: what may be in a config in the place of a path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetPydanticSchema
from pydantic_core import CoreSchema, core_schema

from aqa.records import Example


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Examples, or rows of named columns, that can be read any number of times.

    `items` may be a data set of the library `datasets`, or a document of rows, too. Messages call
    them by the `name`.
    """

    items: Iterable[Example | Mapping[str, Any]] | Mapping[str, Any]
    name: str = "the given data"

    def __str__(self) -> str:
        return self.name


def _text_or_given(_: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """A config file has texts alone, and messages about them speak of nothing else."""
    return core_schema.no_info_wrap_validator_function(
        lambda value, check: value if isinstance(value, Given) else check(value),
        handler(str),
        serialization=core_schema.plain_serializer_function_ser_schema(str),
    )


DataPath = Annotated[str | Given, GetPydanticSchema(_text_or_given)]
