"""`aqa predict`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aqa.cli import flags
from aqa.cli.configure import configure, refuse_idle

if TYPE_CHECKING:
    from aqa.config.options import RunConfig
    from aqa.evaluation.sequential_testing import StopRule
    from aqa.progress import Progress
    from aqa.verbs.predict import PredictResult, Resume

app = typer.Typer()
NOT_CANCELLED = ("dry_run", "resume", "retry_errors", "abstain_below", "stop_when_decided")


EXAMPLES = """Examples:

aqa predict llama --model runs/llama_smollm2 --data questions.json

aqa predict gpt4 --data questions.json -o runs/gpt4 --max-cost 5 --dry-run

aqa predict gpt4 --data test.json --passages bm25.trec --corpus docs.jsonl

aqa predict llama --model runs/a --data questions.json --stress noise,missing
"""


@app.command(epilog=EXAMPLES)
def predict(
    context: typer.Context,
    backend: flags.BackendName,
    data: flags.Data = None,
    config: flags.Config = None,
    model: flags.Model = None,
    prompt: flags.PromptNames = None,
    output_dir: flags.OutputDir = None,
    settings: flags.Settings = None,
    fields: flags.Fields = None,
    split: flags.Split = None,
    passages: flags.Passages = None,
    missing_passages: flags.Missing = None,
    corpus: flags.Corpus = None,
    on_duplicate_id: flags.OnDuplicate = None,
    normalize: flags.Normalize = None,
    limit: flags.Limit = None,
    top_k: flags.TopK = None,
    max_new_tokens: flags.MaxNewTokens = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Keep the answers there are, or delete them.")
    ] = True,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask failed questions again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate the cost of an API; send nothing.")
    ] = False,
    max_cost: flags.MaxCost = None,
    max_tokens_total: flags.MaxTokensTotal = None,
    cache: flags.Cache = False,
    allow_http: flags.AllowHttp = False,
    batch_api: flags.BatchApi = False,
    cancel: flags.Cancel = False,
    stress: flags.Stress = None,
    abstain_below: flags.AbstainBelow = None,
    allow_other_reader: flags.AllowOtherReader = False,
    stop_when_decided: flags.StopWhenDecided = None,
    margin: flags.Margin = None,
    decide_by: flags.DecideBy = "f1",
    to_see: flags.ToSee = None,
    against: flags.Against = None,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
) -> None:
    """Answer every question in a file; an interrupted run resumes where it stopped."""
    from aqa.cli import tables
    from aqa.display import console
    from aqa.errors import UsageError
    from aqa.runs.folder import command_line
    from aqa.verbs.cancel import cancel as run_cancel
    from aqa.verbs.detection_cost import estimate_detection
    from aqa.verbs.ensembles import dry_run as run_dry
    from aqa.verbs.predict import Resume

    if cancel:
        refuse_idle(context, NOT_CANCELLED, "with --cancel; leave it out")
    if retry_errors and not resume:
        raise UsageError("--fresh asks every question again; leave --retry-errors out")
    how = Resume(
        not resume, retry_errors, abstain_below, allow_other_reader, _stop_rule(context.params)
    )
    how.check_files()
    # Of several prompts, use the first until each has its own config.
    merged = configure({**context.params, "prompt": next(iter(prompt or ()), None)}, trains=False)
    folder = output_dir or _prediction_folder(merged)
    if stress is not None or len(prompt or ()) > 1:
        from aqa.cli.variants import run_variants

        run_variants(context.params, merged, folder, how)
        return
    if dry_run:
        with console.open_progress(quiet) as progress:
            if to_see is None:
                estimate, detection = run_dry(merged, folder, progress, how), None
            else:
                estimate, detection = estimate_detection(merged, folder, progress, how, to_see)
        tables.show_cost(estimate, as_json, detection)
        return
    if cancel:
        with console.open_progress(quiet) as progress:
            ended = run_cancel(merged, folder, progress, command_line(sys.argv))
        tables.show_cancelled(ended, as_json)
        return
    with console.open_progress(quiet, console.AGAIN) as progress:
        result = _answer(merged, folder, progress, how)
    if result is not None:  # otherwise another process reports it
        tables.show_predictions(result, as_json)
        tables.check_answered(folder, result)


def _stop_rule(params: Mapping[str, Any]) -> "StopRule | None":
    from aqa.errors import UsageError
    from aqa.evaluation.sequential_testing import StopRule

    reference = params["stop_when_decided"]
    sees, against = params["to_see"] is not None, params["against"] or reference
    if sees and not (params["dry_run"] and against):
        raise UsageError("--to-see needs --dry-run, and a run to compare with (--against)")
    if params["against"] and not sees:
        raise UsageError("--against needs --to-see; give the difference to be detected")
    return StopRule.asked(against, params["margin"], params["decide_by"])


def _answer(
    config: "RunConfig", folder: Path, progress: "Progress", how: "Resume"
) -> "PredictResult | None":
    """Answer alone, or as one of several processes, of which one returns the result."""
    from aqa.cli.workers import further_processes
    from aqa.runs.folder import command_line
    from aqa.verbs.distributed_prediction import predict_distributed
    from aqa.verbs.ensembles import connect
    from aqa.verbs.launch import launch_name
    from aqa.verbs.predict import check, kept_answers
    from aqa.verbs.session import result_of

    command = command_line(sys.argv)
    workers = config.workers
    if (count := workers.processes) > 1:
        with further_processes(count) as launch:
            return predict_distributed(config, folder, progress, how, command, launch)
    if workers.engine == "processes" and (name := launch_name()):
        return predict_distributed(config, folder, progress, how, command, name)
    questions = check(config, progress)
    connect(questions, folder, progress, how)
    return result_of(kept_answers(questions, folder, progress, how, command))


def _prediction_folder(config: "RunConfig") -> Path:
    """Return a folder inside the run folder of the weights, or else in the config's output."""
    from aqa.runs.names import MANIFEST

    stem = Path(str(config.data.path or "data")).name.split(".")[0]
    stem = "standard-input" if stem == "-" else stem
    trained = Path(config.backend.model)
    if (trained / MANIFEST).is_file():
        return trained / f"predict-{stem}"
    if config.output_dir:
        return Path(config.output_dir, f"predict-base-{stem}")
    return Path("runs", f"predict-{config.backend.name}-{stem}")
