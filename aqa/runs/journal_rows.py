"""Build the journal line of one finished example."""

from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

from aqa.records import AnswerPart, Example, Prediction, Prompt, StructuredAnswer, Template
from aqa.runs.cleaning import CleanAnswer, clean_answer, object_in
from aqa.runs.cluster_labels import cluster_labels
from aqa.runs.files import filled


def answer_fields(answers: tuple[str, ...] | None, prediction: str | None) -> dict[str, Any]:
    """The fields that every reader of prediction files expects."""
    return {
        "answer": answers[0] if answers else None,
        "answers": None if answers is None else list(answers),
        "predicted_answer": prediction,
    }


def failure_row(example: Example, error: str) -> dict[str, Any]:
    """Build the row of an example that no reader could be asked."""
    row = {"id": example.id, "question": example.question}
    row |= answer_fields(example.answers, None) | {"error": error}
    return row | filled({"clusters": cluster_labels(example)})


def journal_row(prompt: Prompt, prediction: Prediction) -> dict[str, Any]:
    """Build the row of a finished example: the clean answer, raw text and evidence."""
    row: dict[str, Any] = {"id": prompt.id, "question": prompt.question}
    if prediction.error is not None:
        row |= answer_fields(prompt.answers, None)
        row |= filled({"error": prediction.error, "raw": prediction.raw})
    else:
        clean = cleaned(prediction, prompt.template)
        row |= answer_fields(prompt.answers, clean.text)
        row |= {"raw": prediction.raw, "abstained": clean.abstained}
        is_sure = prediction.confidence is not None
        nbest = [(_clean_text(t, prompt.template).text, score) for t, score in prediction.nbest]
        row |= filled(
            {
                "cut": prediction.cut or None,
                "confidence": prediction.confidence,
                "confidence_kind": (is_sure and prediction.confidence_kind) or None,
                "other_confidences": dict(prediction.other_confidences),
                "nbest": [{"answer": text, "score": score} for text, score in nbest],
            }
        )
    row["evidence"] = evidence_fields(prompt)
    if prediction.unread:
        row["unread_tokens"] = prediction.unread
    if prediction.structured is not None:
        row["evidence"]["named_ranks"] = _named_ranks(prompt, prediction.structured)
    return row | filled({"clusters": dict(prompt.clusters)}) | cost_fields(prediction)


def cost_fields(prediction: Prediction) -> dict[str, Any]:
    """The cost of an answer: tokens, time, what was spent and what a cache saved."""
    tokens = {"prompt": prediction.prompt_tokens, "answer": prediction.answer_tokens}
    spent, saved = (cost and asdict(cost) for cost in (prediction.spent, prediction.saved))
    seconds = prediction.seconds
    return filled({"tokens": tokens, "spent": spent, "saved": saved, "seconds": seconds})


def cleaned_again(row: Mapping[str, Any], part: AnswerPart) -> str | None:
    """Clean the raw text of a finished example again; None if its row has none.

    Whether the reader abstained does not depend on how much of the text is kept.
    """
    raw = row.get("raw")
    if not isinstance(raw, str) or row.get("error") is not None:
        return None
    if row.get("abstained") is True:
        return ""
    evidence = row.get("evidence")  # another tool's file may have columns of these names
    if isinstance(evidence, dict) and "named_ranks" in evidence:
        answer = (object_in(raw) or {}).get("answer")
        raw = str(answer) if isinstance(answer, str | int | float) else None
    return None if raw is None else clean_answer(raw, (), part).text


def finite(value: object) -> float | None:
    """Return a number of a row as a float; None for anything else, as other tools may write."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:  # an integer too large for a float
        return None


def withheld(row: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    """Withhold a row's answer if its confidence is below the threshold.

    The answer is kept as `withheld`. Failures and abstentions stay unchanged.
    """
    confidence = row.get("confidence")
    is_sure = isinstance(confidence, int | float) and confidence >= threshold
    if is_sure or not row.get("predicted_answer"):
        return dict(row)
    return {**row, "predicted_answer": "", "abstained": True, "withheld": row["predicted_answer"]}


def cleaned(prediction: Prediction, template: Template) -> CleanAnswer:
    """Return the answer within a prediction's text or structured object."""
    if prediction.answer is not None:  # already cleaned
        return CleanAnswer(prediction.answer, abstained=not prediction.answer)
    structured = prediction.structured
    if structured is None:
        return _clean_text(prediction.raw or "", template)
    if structured.abstained:
        return CleanAnswer("", abstained=True)
    return _clean_text(structured.text, template)


def _clean_text(text: str, template: Template) -> CleanAnswer:
    return clean_answer(text, template.no_answer, template.answer)


def _named_ranks(prompt: Prompt, structured: StructuredAnswer) -> list[int]:
    """Ranks of the passages that the reader cites; invalid numbers are ignored."""
    read = prompt.evidence.reading_order
    return [read[number - 1].rank for number in structured.passages if 0 < number <= len(read)]


def evidence_fields(prompt: Prompt) -> dict[str, Any]:
    """Describe the evidence: ranks in reading order, dropped passages, and where the answer is.

    Dropped passages are listed by reason; see `aqa.records.Dropped`.
    """
    evidence = prompt.evidence
    dropped: dict[str, list[int]] = {}
    for drop in evidence.dropped:
        dropped.setdefault(drop.reason, []).append(drop.passage.rank)
    ids = [passage.id for passage in evidence.reading_order]
    tokens = prompt.evidence_tokens
    return {
        "ranks": [passage.rank for passage in evidence.reading_order],
        **({"ids": ids} if any(ids) else {}),
        "characters": len(evidence.context),
        **({} if tokens is None else {"tokens": tokens}),
        "dropped": dropped,
        "cut_characters": evidence.cut_characters,
        "reader_cut_characters": evidence.reader_cut_characters,
        "gold_ranks": None if prompt.gold_ranks is None else list(prompt.gold_ranks),
        "gold_in_evidence": prompt.gold_in_evidence,
    }
