"""The type of an option that names data, or holds them; apart from `given`, which scores need."""

from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetPydanticSchema
from pydantic_core import CoreSchema, core_schema

from aqa.config.given import Given


def _text_or_given(_: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """A config file has texts alone, and messages about them speak of nothing else."""
    return core_schema.no_info_wrap_validator_function(
        lambda value, check: value if isinstance(value, Given) else check(value),
        handler(str),
        serialization=core_schema.plain_serializer_function_ser_schema(str),
    )


DataPath = Annotated[str | Given, GetPydanticSchema(_text_or_given)]
