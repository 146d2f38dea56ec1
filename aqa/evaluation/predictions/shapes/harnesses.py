"""Tools that run and score models: lm-eval, Inspect, promptfoo."""

from collections.abc import Iterator, Mapping
from typing import Any

from aqa.data.shape import Row, Shape, UnreadableError, as_object
from aqa.evaluation.predictions.shapes.replies import reply_text

PASSAGES = {"context", "contexts", "passages", "ctxs", "documents"}  # nothing that a score needs


def _lm_eval(row: Row) -> Iterator[Row]:
    responses = row.get("filtered_resps") or row.get("resps")
    first = responses[0] if isinstance(responses, list) and responses else None
    if _is_likelihood(first):
        raise UnreadableError(
            "a sample of lm-eval with likelihoods of choices, not an answer; give those of a task"
            ' whose output_type is "generate_until"'
        )
    if isinstance(first, str) and isinstance(responses, list):  # beside likelihoods, as of SQuAD 2
        responses = [each for each in responses if not _is_likelihood(each)]
    yield {
        **_without_passages(as_object(row.get("doc"))),
        "doc_id": row.get("doc_id"),
        "filter": row.get("filter"),
        "target": row.get("target"),
        "prediction": responses,
    }


def _is_likelihood(response: Any) -> bool:
    return (
        isinstance(response, list) and len(response) == 2 and str(response[1]) in ("True", "False")
    )


def _inspect(row: Row) -> Iterator[Row]:
    output = as_object(row.get("output"))
    error = row.get("error") or output.get("error")
    text = reply_text(output) or (None if error else output.get("completion"))
    yield {
        **_without_passages(as_object(row.get("metadata"))),
        "id": row.get("id"),
        "epoch": row.get("epoch"),
        "prompt": row.get("input"),
        "target": row.get("target"),
        "prediction": text,
        **({"error": as_object(error).get("message", error)} if error and text is None else {}),
    }


def _promptfoo(row: Row) -> Iterator[Row]:
    response = as_object(row.get("response"))
    provider = row.get("provider")
    known = as_object(provider)
    text = response.get("output")
    error = response.get("error") or row.get("error") or "no output"
    yield {
        **as_object(as_object(row.get("testCase")).get("metadata")),
        **_without_passages(as_object(row.get("vars"))),
        "testIdx": row.get("testIdx"),
        "promptIdx": row.get("promptIdx"),
        "provider": known.get("label") or known.get("id") or provider,
        "prediction": text,
        **({"error": error} if text is None else {}),
    }


def _without_passages(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in PASSAGES}


LM_EVAL = Shape(
    lambda row: "doc" in row and ("filtered_resps" in row or "resps" in row),
    _lm_eval,
)
INSPECT = Shape(
    lambda row: {"id", "epoch", "input", "output"} <= row.keys(),
    _inspect,
)
PROMPTFOO = Shape(
    lambda row: isinstance(row.get("vars"), dict) and ("response" in row or "provider" in row),
    _promptfoo,
)
