"""Traces with inputs and outputs: LangSmith, Langfuse, Weave, Opik, Phoenix, MLflow."""

import json
from collections.abc import Iterator
from typing import Any

from aqa.data.literals import read_literal
from aqa.data.shape import Row, as_object, shape, without
from aqa.errors import DataError
from aqa.evaluation.predictions.texts import reply_text

SIDES = {
    "inputs": "inputs",
    "input": "inputs",
    "outputs": "outputs",
    "output": "outputs",
    "evaluation_task_output": "outputs",
    "reference_outputs": "references",
    "reference_output": "references",
}
OF_A_REPLY = {"choices", "candidates", "message"}


def _object(value: Any) -> Row:
    """Return a value as an object, also if a table holds it as text."""
    try:
        return as_object(read_literal(value, "", ""))
    except DataError:
        return {}


def _sides(row: Row) -> dict[str, Any]:
    """Return inputs, outputs and references, named by SIDES: as objects if possible."""
    return {SIDES[name]: _object(row[name]) or row[name] for name in SIDES if name in row}


def _is_trace(row: Row) -> bool:
    sides = _sides(row)
    return isinstance(sides.get("inputs"), dict) and isinstance(sides.get("outputs"), dict | str)


@shape("trace_id", "request", "response")
def mlflow(row: Row) -> Iterator[Row]:
    sides = {"inputs": _unquoted(row["request"]), "outputs": _unquoted(row["response"])}
    rest = without(row, "request", "response", "inputs", "outputs")
    plain = {**rest, **sides}
    yield from trace.plain(plain) if _is_trace(plain) else [plain]


def _unquoted(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) and value[:1] == '"' else value
    except ValueError:
        return value


@shape(any_of=tuple(SIDES), knows=_is_trace)
def trace(row: Row) -> Iterator[Row]:
    sides = _sides(row)
    outputs = sides["outputs"]
    outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
    if OF_A_REPLY & outputs.keys() and (text := reply_text(outputs)) is not None:
        outputs = {"output": text}
    expected = list(as_object(sides.get("references")).values())
    # Keep these names, so that what a message names can be given with --prediction-field.
    inputs_name = "input" if "input" in row else "inputs"
    outputs_name = "output" if "output" in row else "outputs"
    yield {  # the first of two columns with one name counts
        **{f"{outputs_name}.{name}": value for name, value in outputs.items()},
        **{f"{inputs_name}.{name}": value for name, value in sides["inputs"].items()},
        **without(row, *SIDES),
        **({"reference": expected[0]} if len(expected) == 1 else {}),
    }
