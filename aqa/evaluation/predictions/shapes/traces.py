"""What was asked and said as objects: runs and experiments of LangSmith, Langfuse, Weave, Opik."""

import json
from collections.abc import Iterator
from typing import Any

from aqa.data.shape import Row, as_object, shape, without

SIDES = {
    "inputs": "inputs",
    "input": "inputs",
    "outputs": "outputs",
    "output": "outputs",
    "evaluation_task_output": "outputs",
    "reference_outputs": "references",
}


def _object(value: Any) -> Row:
    """The object that a value is, or that tables hold as a text."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return as_object(value)


def _sides(row: Row) -> dict[str, Any]:
    """What was asked, said and expected, by SIDES: an object, or what else it is."""
    return {SIDES[name]: _object(row[name]) or row[name] for name in SIDES if name in row}


def _is_trace(row: Row) -> bool:
    sides = _sides(row)
    return isinstance(sides.get("inputs"), dict) and isinstance(sides.get("outputs"), dict | str)


@shape(any_of=tuple(SIDES), knows=_is_trace)
def trace(row: Row) -> Iterator[Row]:
    sides = _sides(row)
    said = sides["outputs"] if isinstance(sides["outputs"], dict) else {"output": sides["outputs"]}
    expected = list(as_object(sides.get("references")).values())
    # Called as they are, so that what a message names can be given with --prediction-field.
    asked_in = "input" if "input" in row else "inputs"
    said_in = "output" if "output" in row else "outputs"
    yield {  # of two columns of one name the first counts
        **{f"{said_in}.{name}": value for name, value in said.items()},
        **{f"{asked_in}.{name}": value for name, value in sides["inputs"].items()},
        **without(row, *SIDES),
        **({"reference": expected[0]} if len(expected) == 1 else {}),
    }
