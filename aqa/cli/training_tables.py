"""What a training came to, on standard output."""

from shlex import quote
from typing import TYPE_CHECKING

from aqa.cli.tables import output, print_json
from aqa.display.tables import drawn

if TYPE_CHECKING:
    from aqa.verbs.train import TrainResult


def show_training(result: "TrainResult", as_json: bool) -> None:
    """Scores before and after, and what to run next."""
    if as_json:
        print_json(_facts(result))
        return
    from aqa.verbs.train import training_table

    console = output()
    if result.report is not None:
        title = f"Validation scores, {len(result.report.ids)} questions"
        scores = result.report.systems[0].scores
        console.print(drawn(training_table(result.before, scores, title)))
    console.print(f"{result.weights.name}: {result.weights}", soft_wrap=True)
    if result.merged is not None:
        console.print(
            f"merged model: {result.merged.folder}; of {result.merged.compared} greedy answers"
            f" {result.merged.different} differ from the adapter's",
            soft_wrap=True,
        )
    if result.exported is not None:
        told = f"of {result.exported.compared} greedy answers {result.exported.different} differ"
        if not result.exported.compared:
            told = "pip install llama-cpp-python to compare its answers"
        console.print(f"for llama.cpp: {result.exported.folder}; {told}", soft_wrap=True)
    console.print(
        f"next: aqa predict {result.backend} --model {quote(str(result.folder))}"
        " --data YOUR_QUESTIONS.json",
        soft_wrap=True,
    )
    shared = result.weights if result.merged is None else result.merged.folder
    console.print(
        f"to share it: hf upload YOUR_NAME/{quote(result.folder.resolve().name)}"
        f" {quote(str(shared))}",
        soft_wrap=True,
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
