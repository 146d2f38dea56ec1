"""Files that many people have and that hold no answers: named as what they are, with a way out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aqa.data.columns import fold
from aqa.data.shape import are_objects
from aqa.errors import DataError

OWN_SCORES = {"version", "profile", "systems"}  # keys that a metrics.json of ours is known by

# Names of scores, as `fold` gives them without "eval", "test", "predict" before them.
SCORES = {
    "exactmatch", "exact", "em", "f1", "accuracy", "acc", "loss", "rouge1", "rouge2", "rougel",
    "rougelsum", "bleu", "bleu4", "samples", "runtime", "hasansexact", "hasansf1", "total",
    "perplexity", "samplespersecond", "precision", "recall",
}  # fmt: skip
OF_PROMPTFOO = ("[PASS] ", "[FAIL] ", "[ERROR] ")
OF_A_STEP = {"loss", "evalloss", "learningrate", "gradnorm", "currentsteps", "trainloss"}


def refuse(listed: "Sequence[Known]", found: Mapping[str, Any], where: str) -> None:
    """Name a document, or a row, that holds something other than an answer.

    Raises:
        DataError: it is one that is known.
    """
    for knows, what, advice in listed:
        if knows(found):
            raise DataError(f"{where} {what}, where predictions are needed; {advice}")


def _only_numbers(document: Mapping[str, Any]) -> bool:
    kinds = {type(value) for value in document.values()}
    return bool(kinds) and kinds <= {int, float} and float in kinds


def _are_scores(document: Mapping[str, Any]) -> bool:
    """Tell whether most numbers go by names of scores, as in all_results.json."""
    numbers = [key for key, value in document.items() if isinstance(value, int | float)]
    known = sum(map(is_score, numbers))
    return bool(numbers) and 2 * len(numbers) >= len(document) and 2 * known >= len(numbers)


def is_score(key: str) -> bool:
    """Tell whether a name is that of a score."""
    name = fold(key)
    for prefix in ("eval", "test", "predict", "train"):
        name = name.removeprefix(prefix)
    return name in SCORES


def _is_of_haystack(document: Mapping[str, Any]) -> bool:
    results = document.get("results")
    return (
        isinstance(document.get("inputs"), dict)
        and isinstance(results, dict)
        and all(isinstance(each, dict) and "individual_scores" in each for each in results.values())
    )


Known = tuple[Callable[[Mapping[str, Any]], bool], str, str]

DOCUMENTS: tuple[Known, ...] = (
    (
        lambda found: found.keys() >= OWN_SCORES,
        "scores of `aqa evaluate`",
        "give the files that were scored",
    ),
    (
        lambda found: are_objects(found.get("data"), "paragraphs"),
        "questions in SQuAD's shape",
        "give it as --data",
    ),
    (
        _is_of_haystack,
        "an evaluation of Haystack",
        "give the table of its detailed_report, as CSV",
    ),
    (
        lambda found: "log_history" in found,
        "the log of a training (trainer_state.json)",
        "predict with the trained model first",
    ),
    (
        lambda found: {"eval", "plan", "status"} <= found.keys() and not found.get("samples"),
        "a log of Inspect without samples",
        "evaluate with log_samples, and give the whole log",
    ),
    (
        lambda found: isinstance(found.get("results"), dict) and "n-shot" in found,
        "lm-eval's scores",
        "run it with --log_samples and give its samples_*.jsonl",
    ),
    (
        _are_scores,
        "scores of another tool",
        "give the file of answers that they were computed from",
    ),
    (
        _only_numbers,
        "numbers by id, such as null_odds.json with the scores of no answer",
        "give the answers, such as predictions.json beside it; answers that are numbers go in"
        " quotes",
    ),
)

# Of rows without an answer.
ROWS: tuple[Known, ...] = (
    (
        lambda row: any(fold(key) in OF_A_STEP for key in row),
        "a step of a training's log",
        "predict with the trained model first",
    ),
    (
        lambda row: {"custom_id", "method", "url", "body"} <= row.keys(),
        "a request of the Batch API",
        "give the file of its answers, which output_file_id names",
    ),
    (
        lambda row: bool({"messages", "conversations"} & row.keys()),
        "a chat, whose last turn may be an answer or a reference",
        "if it is the answer, name it, such as --prediction-field answer=messages.-1.content",
    ),
    (
        lambda row: {"instance_id", "stats"} <= row.keys(),
        "scores of HELM",
        "give display_predictions.json or scenario_state.json beside it",
    ),
    (
        lambda row: {"instance_id", "request"} <= row.keys(),
        "a request of HELM",
        "give display_predictions.json or scenario_state.json beside it",
    ),
    (
        lambda row: {"input", "references", "split"} <= row.keys(),
        "a question of HELM",
        "give display_predictions.json or scenario_state.json beside it",
    ),
    (
        lambda row: any(str(value).startswith(OF_PROMPTFOO) for value in row.values()),
        "a table of an early promptfoo, with marks in the answers",
        "give its JSON, or the table of a newer one",
    ),
    (
        lambda row: {"example_id", "PredictionString"} <= row.keys(),
        "a submission to Kaggle with places of tokens",
        "write the text of each short answer beside its id",
    ),
    (
        lambda row: "paragraphs" in row,
        "an article with questions in SQuAD's shape",
        "give the file as --data",
    ),
)
