"""The command line: Typer signatures only; each body gathers its words and calls its verb."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqa.cli import flags
from aqa.cli.configure import column_names, configure

if TYPE_CHECKING:
    from aqa.config.options import RunConfig

app = typer.Typer(
    name="aqa",
    help="Fine-tune, run and compare generative readers on the same evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(
    epilog="Example: aqa train llama --config llama_smollm2 --set training.num_train_epochs=3"
)
def train(
    context: typer.Context,
    backend: flags.TrainedBackend,
    config: flags.Config = None,
    data: flags.Data = None,
    dev_data: flags.DevData = None,
    passages: flags.Passages = None,
    dev_passages: flags.DevPassages = None,
    missing_passages: flags.Missing = None,
    corpus: flags.Corpus = None,
    output_dir: flags.OutputDir = None,
    model: flags.Model = None,
    prompt: flags.PromptName = None,
    settings: flags.Settings = None,
    fields: flags.Fields = None,
    split: flags.Split = None,
    on_duplicate_id: flags.OnDuplicate = None,
    normalize: flags.Normalize = None,
    limit: flags.Limit = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    fresh: flags.Fresh = False,
    merge: flags.Merge = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done; write nothing.")
    ] = False,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
) -> None:
    """Fine-tune a reader; scores before and after, weights and predictions in the run folder."""
    from aqa.cli import tables
    from aqa.display import console
    from aqa.errors import UsageError
    from aqa.processes import is_first_process
    from aqa.runs.folder import command_line
    from aqa.verbs.train import dry_run as run_dry
    from aqa.verbs.train import train as run_train

    if resume and fresh:
        raise UsageError("--resume and --fresh exclude each other")
    found, reader_type = configure(context.params)
    if dry_run:
        with console.open_progress(quiet) as progress:
            needs = run_dry(found, reader_type, progress)
        tables.show_dry_run(needs, as_json)
        return
    with console.open_progress(quiet) as progress:
        folder = Path(found.output_dir or f"runs/train-{found.backend.name}")
        command = command_line(sys.argv)
        result = run_train(found, reader_type, folder, progress, resume, fresh, command)
    if is_first_process():
        tables.show_training(result, as_json)


@app.command(epilog="Example: aqa predict llama --model runs/llama_smollm2 --data questions.json")
def predict(
    context: typer.Context,
    backend: flags.BackendName,
    data: flags.Data = None,
    config: flags.Config = None,
    model: flags.Model = None,
    prompt: flags.PromptName = None,
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
        bool, typer.Option("--resume/--fresh", help="Keep what was answered, or begin anew.")
    ] = True,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask the failed examples again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what an API would cost; ask nothing.")
    ] = False,
    max_cost: flags.MaxCost = None,
    max_tokens_total: flags.MaxTokensTotal = None,
    cache: flags.Cache = False,
    allow_http: flags.AllowHttp = False,
    batch_api: flags.BatchApi = False,
    cancel: flags.Cancel = False,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
) -> None:
    """Answer every question of a file; resumes by itself what was broken off."""
    from aqa.cli import tables
    from aqa.display import console
    from aqa.errors import UsageError
    from aqa.runs.folder import command_line
    from aqa.verbs.predict import Resume
    from aqa.verbs.predict import cancel as run_cancel
    from aqa.verbs.predict import dry_run as run_dry
    from aqa.verbs.predict import predict as run_predict

    if cancel and (dry_run or not resume):
        raise UsageError("--cancel goes with neither --dry-run nor --fresh")
    found, reader_type = configure(context.params)
    folder = output_dir or _prediction_folder(found)
    how = Resume(not resume, retry_errors)
    if dry_run:
        with console.open_progress(quiet) as progress:
            estimate = run_dry(found, reader_type, folder, progress, how)
        tables.show_cost(estimate, as_json)
        return
    if cancel:
        with console.open_progress(quiet) as progress:
            ended = run_cancel(found, reader_type, folder, progress, command_line(sys.argv))
        tables.show_cancelled(ended, as_json)
        return
    with console.open_progress(quiet) as progress:
        result = run_predict(
            found,
            reader_type,
            folder,
            progress,
            how,
            command_line(sys.argv),
        )
    tables.show_predictions(result, as_json)


@app.command(epilog="Example: aqa evaluate runs/a/predictions.json runs/b/predictions.json")
def evaluate(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Prediction files or run folders.")
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Only tell what changed in these run folders.")
    ] = False,
    data: flags.Data = None,
    metrics: flags.MetricNames = None,
    profile: flags.Profile = "auto",
    normalize: flags.ScoredForm = "none",
    no_answer: flags.NoAnswer = None,
    answer: flags.Answer = None,
    prediction_fields: flags.PredictionFields = None,
    bert_model: flags.BertModel = None,
    bert_num_layers: flags.BertNumLayers = None,
    bert_bf16: flags.BertBf16 = False,
    bert_cache: flags.BertCache = True,
    judge_model: flags.JudgeModel = None,
    judge_max_cost: flags.JudgeMaxCost = None,
    judge_repeats: flags.JudgeRepeats = 1,
    judge_labels: flags.JudgeLabels = None,
    judge_settings: flags.JudgeSettings = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what the judge would cost; ask nothing.")
    ] = False,
    baseline: flags.Baseline = None,
    cluster: flags.Cluster = "auto",
    seed: flags.Seed = None,
    slices: flags.SliceKeys = None,
    output: flags.Output = None,
    per_example: flags.PerExample = None,
    report_file: flags.ReportFile = None,
    as_csv: flags.Csv = False,
    as_markdown: flags.Markdown = False,
    as_latex: flags.Latex = False,
    fail_under: flags.FailUnder = None,
    passages: flags.Passages = None,
    corpus: flags.Corpus = None,
    fields: flags.Fields = None,
    split: flags.Split = None,
    on_duplicate_id: flags.OnDuplicate = None,
    allow_different_evidence: flags.AllowDifferentEvidence = False,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
) -> None:
    """Score prediction files against their references; never loads a reader."""
    from aqa.cli import score_tables, tables
    from aqa.display import console

    if verify:
        from aqa.verbs.verify import verify as run_verify

        score_tables.show_verifications([run_verify(file) for file in files], as_json)
        return
    from aqa.data import Source
    from aqa.errors import UsageError
    from aqa.evaluation.inputs import Scoring
    from aqa.evaluation.judge.options import JudgeOptions
    from aqa.evaluation.score_files import check_limits, parse_limits
    from aqa.metrics import MetricOptions
    from aqa.metrics.statistics.sign_flips import SEED
    from aqa.verbs.evaluate import Evaluated, Outputs, estimate_cost, scores_beside
    from aqa.verbs.evaluate import evaluate as run_evaluate

    form = score_tables.choose_form(
        {"json": as_json, "csv": as_csv, "markdown": as_markdown, "latex": as_latex}
    )
    scoring = Scoring(
        metrics=[name.strip() for name in (metrics or "").split(",") if name.strip()],
        profile=profile,
        normalize=normalize,
        no_answer=no_answer or (),
        answer=answer,
        prediction_fields=prediction_fields or (),
        metric_options=MetricOptions(bert_model, bert_num_layers, bf16=bert_bf16, cache=bert_cache),
        slices=slices or (),
        baseline=baseline,
        cluster=cluster,
        allow_different_evidence=allow_different_evidence,
        seed=SEED if seed is None else seed,
    )
    source = data and Source(
        data,
        split,
        column_names(fields),
        corpus,
        on_duplicate_id or "error",
        passages=passages,
        missing_passages="empty",
        needs_passages=False,
    )
    judge = JudgeOptions(
        judge_model or (), judge_max_cost, judge_repeats, judge_settings or (), judge_labels
    )
    evaluated = Evaluated(files, scoring, source or None, judge)
    judges = evaluated.asks_a_judge
    if (passages or corpus) and not (data and (report_file or judges)):
        raise UsageError("--passages and --corpus are for a --report or a judge, beside --data")
    if not judges and (dry_run or judge_labels or judge_settings):
        raise UsageError("--dry-run and --judge-... are for the judge; add it to --metrics")
    outputs = Outputs(output or scores_beside(files[0]), report_file, per_example)
    limits = parse_limits(fail_under or ())
    with console.open_progress(quiet) as progress:
        if dry_run:
            tables.show_cost(estimate_cost(evaluated, outputs, progress, limits), as_json)
            return
        report = run_evaluate(evaluated, outputs, progress, limits)
    score_tables.show_report(report, form)
    if form == "table" or not quiet:
        score_tables.show_written(outputs.by_name, form)
    check_limits(limits, report)


@app.command(
    "prompt-preview",
    epilog="Example: aqa prompt-preview llama --data questions.json --tokens",
)
def prompt_preview(
    context: typer.Context,
    backend: flags.BackendName = "llama-qlora",
    data: flags.Data = None,
    config: flags.Config = None,
    model: flags.Model = None,
    prompt: flags.PromptName = None,
    settings: flags.Settings = None,
    fields: flags.Fields = None,
    split: flags.Split = None,
    passages: flags.Passages = None,
    missing_passages: flags.Missing = None,
    corpus: flags.Corpus = None,
    on_duplicate_id: flags.OnDuplicate = None,
    normalize: flags.Normalize = None,
    top_k: flags.TopK = None,
    number: Annotated[int, typer.Option("--n", min=1, help="How many prompts.")] = 3,
    example_id: Annotated[str | None, typer.Option("--id", help="The prompt of this id.")] = None,
    training: Annotated[
        bool, typer.Option("--training", help="With the evidence of a training: evidence.train.")
    ] = False,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Colour what is trained on and what is masked.")
    ] = False,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
) -> None:
    """Show what the model will really receive: messages, text, tokens, evidence."""
    from aqa.cli import tables
    from aqa.display import console
    from aqa.verbs.preview import preview

    if config is None and model is None and backend in ("llama", "llama-qlora"):
        config = "llama_smollm2"
    found, reader_type = configure({**context.params, "config": config})
    with console.open_progress(quiet) as progress:
        shown = list(preview(found, reader_type, progress, number, example_id, training))
    tables.show_previews(shown, tokens, as_json)


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Fine-tune, run and compare generative readers on the same evidence."""
    if version:
        from aqa.version import __version__

        typer.echo(__version__)


def _prediction_folder(config: "RunConfig") -> Path:
    """Inside the run folder whose weights answer, else inside the config's output folder."""
    from aqa.runs.names import MANIFEST

    stem = Path(str(config.data.path or "data")).name.split(".")[0]
    trained = Path(config.backend.model)
    if (trained / MANIFEST).is_file():
        return trained / f"predict-{stem}"
    if config.output_dir:
        return Path(config.output_dir, f"predict-base-{stem}")
    return Path("runs", f"predict-{config.backend.name}-{stem}")
