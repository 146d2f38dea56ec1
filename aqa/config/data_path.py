"""The type of options that are a path to data or data in memory; see `in_memory_data`."""

from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetPydanticSchema
from pydantic_core import CoreSchema, core_schema

from aqa.config.in_memory_data import InMemoryData


def _text_or_given(_: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Accept data in memory too, but mention only text in messages, as config files have."""
    return core_schema.no_info_wrap_validator_function(
        lambda value, check: value if isinstance(value, InMemoryData) else check(value),
        handler(str),
        serialization=core_schema.plain_serializer_function_ser_schema(str),
    )


DataPath = Annotated[str | InMemoryData, GetPydanticSchema(_text_or_given)]
