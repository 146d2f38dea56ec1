"""Evaluation tools: lm-eval, Inspect, promptfoo, HELM, OpenAI's evals, MT-bench."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from aqa.data.json_stream import Entry
from aqa.data.shape import Row, UnreadableError, are_objects, as_object, as_objects, shape, without
from aqa.evaluation.predictions.texts import reply_text

PASSAGES = {"context", "contexts", "passages", "ctxs", "documents"}  # not needed for scores
# Columns of promptfoo's tables that follow each prompt's answers, "[provider] prompt".
OF_EACH_PROMPT = {"Reasoning", "Status", "Score", "Named Scores", "Grader Reason", "Comment"}
AGAIN = re.compile(r"\.\d+$")
PROVIDER = re.compile(r"\[(.+?)\] ")


@shape("doc", any_of=("filtered_resps", "resps"))
def lm_eval(row: Row) -> Iterator[Row]:
    responses = row.get("filtered_resps") or row.get("resps")
    first = responses[0] if isinstance(responses, list) and responses else None
    if _is_likelihood(first):
        raise UnreadableError(
            "a sample of lm-eval with likelihoods of choices, not an answer; give those of a task"
            ' whose output_type is "generate_until"'
        )
    if isinstance(first, str) and isinstance(responses, list):  # with likelihoods, as for SQuAD 2
        responses = [response for response in responses if not _is_likelihood(response)]
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


@shape("doc", "model_response")
def lighteval(row: Row) -> Iterator[Row]:
    doc, response = as_object(row["doc"]), as_object(row["model_response"])
    right = doc.get("gold_index")
    indices = right if isinstance(right, list) else [right]
    yield {
        "id": doc.get("id"),
        "prompt": doc.get("query"),
        "answers": [doc["choices"][index] for index in indices if index is not None] or None,
        "prediction": response.get("text_post_processed") or response.get("text"),
    }


@shape("id", "epoch", "input", "output")
def inspect(row: Row) -> Iterator[Row]:
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


@shape(
    "vars",
    any_of=("response", "provider"),
    knows=lambda row: (
        isinstance(row["vars"], dict) and isinstance(row.get("response"), dict | None)
    ),
)
def promptfoo(row: Row) -> Iterator[Row]:
    response = as_object(row.get("response"))
    provider = row.get("provider")
    details = as_object(provider)
    text = response.get("output")
    error = response.get("error") or row.get("error") or "no output"
    yield {
        **as_object(as_object(row.get("testCase")).get("metadata")),
        **_without_passages(as_object(row.get("vars"))),
        "testIdx": row.get("testIdx"),
        "provider": details.get("label") or details.get("id") or provider,
        "promptIdx": row.get("promptIdx"),
        "prediction": text,
        **({"error": error} if text is None else {}),
    }


@shape("Status", "Score", "Named Scores", "Grader Reason")
def promptfoo_table(row: Row) -> Iterator[Row]:
    """Read a table row: the variables, and each prompt's answer, reasoning and status."""
    kinds = {name: AGAIN.sub("", name) for name in row}
    names = [name for name in row if kinds[name] != "Reasoning"]
    statuses = [
        index
        for index, (name, following) in enumerate(pairwise(names))
        if (kinds[name], kinds[following]) == ("Status", "Score")
    ]
    variables = {name: row[name] for name in names[: statuses[0] - 1]}
    for number, index in enumerate(statuses):
        column = names[index - 1]
        provider = PROVIDER.match(column)
        is_answer = row[names[index]] in ("PASS", "FAIL")
        reason = next(row[name] for name in names[index:] if kinds[name] == "Grader Reason")
        yield {
            **_without_passages(variables),
            "provider": provider[1] if provider else column,
            "promptIdx": number,
            **({"prediction": row[column]} if is_answer else {"error": reason or "no output"}),
        }


def promptfoo_names(header: Sequence[str]) -> list[str]:
    """Number columns that promptfoo's tables repeat for each prompt, as pandas does."""
    names = list(header)
    if "Grader Reason" not in names:
        return names
    for index, name in enumerate(header):
        count = header[:index].count(name)
        if count and (name in OF_EACH_PROMPT or name.startswith("Metric: ")):
            names[index] = f"{name}.{count}"
    return names


@shape("instance_id", "predicted_text")
def helm(row: Row) -> Iterator[Row]:
    texts = ("mapped_output", "truncated_predicted_text", "predicted_text")  # first scored first
    yield {
        **without(row, *texts),
        "perturbation": as_object(row.get("perturbation")).get("name", ""),
        "prediction": next((row[name] for name in texts if row.get(name) is not None), None),
    }


@shape("request", "result", "instance", knows=lambda row: isinstance(row["instance"], dict))
def helm_state(row: Row) -> Iterator[Row]:
    instance, result = as_object(row["instance"]), as_object(row["result"])
    right = [ref for ref in as_objects(instance.get("references")) if "correct" in ref["tags"]]
    completions = as_objects(result.get("completions"))
    text = completions[0].get("text") if completions and result.get("success", True) else None
    mapped = as_object(row.get("output_mapping")).get(str(text).strip(), text)
    yield {
        "id": instance.get("id"),
        "question": as_object(instance.get("input")).get("text"),
        "train_trial_index": row.get("train_trial_index"),
        "perturbation": as_object(instance.get("perturbation")).get("name", ""),
        "answers": [as_object(ref.get("output")).get("text") for ref in right] or None,
        **({"error": result.get("error") or "no text"} if text is None else {"prediction": mapped}),
    }


@shape(
    any_of=("event_id", "final_report", "spec"),
    knows=lambda row: (
        {"sample_id", "event_id", "type"} <= row.keys()
        or row.keys() == {"final_report"}
        or "eval_name" in as_object(row.get("spec"))
    ),
)
def evals(row: Row) -> Iterator[Row]:
    """Read sampling events; others, and the surrounding spec and report, are ignored."""
    data = as_object(row.get("data"))
    if "sampled" in data:
        number = str(row["sample_id"]).rpartition(".")[2]  # after the set's and split's names
        inputs = {name: data[name] for name in ("prompt", "expected") if name in data}
        yield {"sample_id": number, **inputs, "prediction": data["sampled"]}


def without_matches(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Drop the match events of OpenAI's evals if there are sampling events, too."""
    kinds = [as_object(entry.value).get("type") for entry in entries]
    if "sampling" not in kinds or "match" not in kinds:
        return entries
    return [entry for entry, kind in zip(entries, kinds, strict=True) if kind != "match"]


@shape("choices", knows=lambda row: are_objects(row["choices"], "turns"))
def mt_bench(row: Row) -> Iterator[Row]:
    turns = [choice["turns"] for choice in row["choices"]]
    if any(len(messages) != 1 for messages in turns):
        raise UnreadableError(
            "an answer of several turns (MT-bench); name the one that answers the question, such as"
            " --prediction-field answer=choices.0.turns.0"
        )
    yield {**without(row, "choices", "answer_id"), "prediction": [first for (first,) in turns]}


def _without_passages(row: Row) -> dict[str, Any]:
    return without(row, *PASSAGES)
