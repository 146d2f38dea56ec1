"""Recognise common files without answers, and say what they are and what to give instead."""

from collections.abc import Mapping, Sequence
from typing import Any

from aqa.data.columns import fold
from aqa.data.shape import Shape, are_objects, text_of, unreadable
from aqa.errors import DataError

OWN_SCORES = {"version", "profile", "systems"}  # keys that identify our metrics.json

# Names of scores as folded by `fold`, without the prefixes "eval", "test" or "predict".
SCORES = {
    "exactmatch", "exact", "em", "f1", "accuracy", "acc", "loss", "rouge1", "rouge2", "rougel",
    "rougelsum", "bleu", "bleu4", "samples", "runtime", "hasansexact", "hasansf1", "total",
    "perplexity", "samplespersecond", "precision", "recall",
}  # fmt: skip
OF_A_STEP = {"loss", "evalloss", "learningrate", "gradnorm", "currentsteps", "trainloss"}


def refuse(listed: Sequence[Shape], document: Mapping[str, Any], where: str) -> None:
    """Raise DataError if a document or row is known to be something other than answers."""
    if text := text_of(listed, document):
        what, _, advice = text.partition("; ")
        raise DataError(f"{where} {what}, where predictions are needed; {advice}")


def _only_numbers(document: Mapping[str, Any]) -> bool:
    kinds = {type(value) for value in document.values()}
    return bool(kinds) and kinds <= {int, float} and float in kinds


def _are_scores(document: Mapping[str, Any]) -> bool:
    """Whether most numbers have names of scores, as in all_results.json."""
    numbers = [key for key, value in document.items() if isinstance(value, int | float)]
    named = sum(map(is_score, numbers))
    return bool(numbers) and 2 * len(numbers) >= len(document) and 2 * named >= len(numbers)


def is_score(key: str) -> bool:
    """Whether a name is that of a score."""
    name = fold(key)
    for prefix in ("eval", "test", "predict", "train"):
        name = name.removeprefix(prefix)
    return name in SCORES


DOCUMENTS = (
    unreadable("scores of `aqa evaluate`; give the files that were scored", *OWN_SCORES),
    unreadable(
        "questions in SQuAD's shape; give it as --data",
        "data",
        knows=lambda document: are_objects(document["data"], "paragraphs"),
    ),
    unreadable(
        "the log of a training (trainer_state.json); predict with the trained model first",
        "log_history",
    ),
    unreadable(
        "a log of Inspect without samples; evaluate with log_samples, and give the whole log",
        "eval", "plan", "status",
        knows=lambda document: not document.get("samples"),
    ),
    unreadable(
        "lm-eval's scores; run it with --log_samples and give its samples_*.jsonl",
        "results", "n-shot",
        knows=lambda document: isinstance(document["results"], dict),
    ),
    unreadable(
        "conversations of simple-evals, which do not say what each answers; write the last turn of"
        ' each with its id, as {"id": ..., "prediction": ...}',
        "convos", "htmls",
    ),
    unreadable(
        "scores of another tool; give the file of answers that they were computed from",
        knows=_are_scores,
    ),
    unreadable(
        "numbers by id, such as null_odds.json with the scores of no answer; give the answers, such"
        " as predictions.json next to it; answers that are numbers go in quotes",
        knows=_only_numbers,
    ),
)  # fmt: skip

OF_HELM = "give display_predictions.json or scenario_state.json next to it"
# Rows without an answer.
ROWS = (
    unreadable(
        "a step of a training's log; predict with the trained model first",
        knows=lambda row: any(fold(key) in OF_A_STEP for key in row),
    ),
    unreadable(
        "a request of the Batch API; give the file of its answers, which output_file_id names",
        "custom_id", "method", "url", "body",
    ),
    unreadable(
        "a chat, whose last turn may be an answer or a reference; if it is the answer, name it,"
        " such as --prediction-field answer=messages.-1.content",
        any_of=("messages", "conversations"),
    ),
    unreadable(f"scores of HELM; {OF_HELM}", "instance_id", "stats"),
    unreadable(f"a request of HELM; {OF_HELM}", "instance_id", "request"),
    unreadable(f"a question of HELM; {OF_HELM}", "input", "references", "split"),
    unreadable("an article with questions in SQuAD's shape; give the file as --data", "paragraphs"),
)  # fmt: skip
