"""What a training came to, on standard output."""

from shlex import quote
from typing import TYPE_CHECKING

from aqa.cli.tables import draw, print_json, say

if TYPE_CHECKING:
    from aqa.verbs.ensemble_training import EnsembleResult
    from aqa.verbs.train import TrainResult


def show_training(result: "TrainResult", as_json: bool) -> None:
    """Scores before and after, and what to run next."""
    if as_json:
        print_json(_facts(result))
        return
    from aqa.verbs.train import training_table

    if result.report is not None:
        title = f"Validation scores, {len(result.report.ids)} questions"
        scores = result.report.systems[0].scores
        draw(training_table(result.before, scores, title))
    say(f"{result.weights.name}: {result.weights}")
    if result.merged is not None:
        say(
            f"merged model: {result.merged.folder}; of {result.merged.compared} greedy answers"
            f" {result.merged.different} differ from the adapter's"
        )
    if result.exported is not None:
        comparison = (
            f"of {result.exported.compared} greedy answers {result.exported.different} differ"
        )
        if not result.exported.compared:
            comparison = "pip install llama-cpp-python to compare its answers"
        say(f"for llama.cpp: {result.exported.folder}; {comparison}")
    say(
        f"next: aqa predict {result.backend} --model {quote(str(result.folder))}"
        " --data YOUR_QUESTIONS.json"
    )
    shared = result.weights if result.merged is None else result.merged.folder
    say(
        f"to share it: hf upload YOUR_NAME/{quote(result.folder.resolve().name)}"
        f" {quote(str(shared))}"
    )


def _facts(result: "TrainResult") -> dict[str, object]:
    merged, exported = result.merged, result.exported
    return {
        "backend": result.backend,
        "folder": str(result.folder),
        "weights": str(result.weights),
        "before": dict(result.before),
        "after": result.report.to_json() if result.report else None,
        "merged": str(merged.folder) if merged else None,
        "merged_differs": merged.different if merged else None,
        "exported": str(exported.folder) if exported else None,
        "exported_differs": exported.different if exported else None,
    }


def show_ensemble(result: "EnsembleResult", as_json: bool) -> None:
    """Scores of members and rules, what was chosen, and what to run next."""
    if as_json:
        print_json(result.to_json())
        return
    draw(result.table)
    for sentence in result.findings:
        say(sentence)
    say(f"{result.weights.name}: {result.weights}")
    say(
        f"next: aqa predict ensemble --model {quote(str(result.folder))} --data YOUR_QUESTIONS.json"
    )
