"""What was asked and said as objects: runs and experiments of LangSmith, Langfuse and Weave."""

import json
from collections.abc import Iterator
from typing import Any

from aqa.data.shape import Row, Shape, as_object, without

SIDES = ("inputs", "outputs", "reference_outputs")
NAMES = {**{name: name for name in SIDES}, "input": "inputs", "output": "outputs"}


def _object(value: Any) -> Row:
    """The object that a value is, or that tables hold as a text."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return as_object(value)


def _sides(row: Row) -> dict[str, Row]:
    found = {NAMES[name]: _object(row[name]) for name in NAMES if name in row}
    return {side: value for side, value in found.items() if value}


def _trace(row: Row) -> Iterator[Row]:
    sides = _sides(row)
    references = list(sides.get("reference_outputs", {}).values())
    yield {  # of two columns of one name the first counts
        **{f"outputs.{name}": value for name, value in sides["outputs"].items()},
        **{f"inputs.{name}": value for name, value in sides["inputs"].items()},
        **without(row, *NAMES),
        **({"reference": references[0]} if len(references) == 1 else {}),
    }


TRACE = Shape(lambda row: {"inputs", "outputs"} <= _sides(row).keys(), _trace)
