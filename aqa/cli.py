"""The command line: Typer signatures only; each body gathers its words and calls its verb."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aqa.flags import (
    BackendName,
    Config,
    Corpus,
    Data,
    Fields,
    Fresh,
    Json,
    JudgeLabels,
    JudgeMaxCost,
    JudgeModel,
    JudgeRepeats,
    JudgeSettings,
    Limit,
    Missing,
    Model,
    Normalize,
    OnDuplicate,
    OutputDir,
    Passages,
    PromptName,
    Quiet,
    Settings,
    Split,
    TopK,
    column_names,
    configure,
    configure_judge,
)

if TYPE_CHECKING:
    from aqa.options import RunConfig

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
    backend: BackendName,
    config: Config = None,
    data: Data = None,
    dev_data: Annotated[str | None, typer.Option("--dev-data", help="Validation examples.")] = None,
    passages: Passages = None,
    dev_passages: Annotated[
        str | None, typer.Option("--dev-passages", help="The same for --dev-data.")
    ] = None,
    missing_passages: Missing = None,
    corpus: Corpus = None,
    output_dir: OutputDir = None,
    model: Model = None,
    prompt: PromptName = None,
    settings: Settings = None,
    fields: Fields = None,
    split: Split = None,
    on_duplicate_id: OnDuplicate = None,
    normalize: Normalize = None,
    limit: Limit = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    fresh: Fresh = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Write adapter and base as one model, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done; write nothing.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a reader; scores before and after, weights and predictions in the run folder."""
    from aqa import console, tables
    from aqa.errors import UsageError
    from aqa.processes import is_first_process
    from aqa.runs import command_line
    from aqa.train import dry_run as run_dry
    from aqa.train import train as run_train

    if resume and fresh:
        raise UsageError("--resume and --fresh exclude each other")
    flags: dict[str, Any] = {"data.path": data, "data.dev_path": dev_data, "backend.model": model}
    flags |= {"prompt": prompt, "output_dir": str(output_dir) if output_dir else None}
    flags |= {"data.split": split, "data.limit": limit, "merge": merge or None}
    flags |= {"data.on_duplicate_id": on_duplicate_id, "data.normalize": normalize}
    flags |= {"data.passages": passages, "data.dev_passages": dev_passages}
    flags |= {"data.missing_passages": missing_passages, "data.corpus": corpus}
    found, reader_type = configure(backend, config, flags, settings, fields)
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
    backend: BackendName,
    data: Data = None,
    config: Config = None,
    model: Model = None,
    prompt: PromptName = None,
    output_dir: OutputDir = None,
    settings: Settings = None,
    fields: Fields = None,
    split: Split = None,
    passages: Passages = None,
    missing_passages: Missing = None,
    corpus: Corpus = None,
    on_duplicate_id: OnDuplicate = None,
    normalize: Normalize = None,
    limit: Limit = None,
    top_k: TopK = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", min=1, help="Longest answer, in tokens.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Keep what was answered, or begin anew.")
    ] = True,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask the failed examples again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what an API would cost; ask nothing.")
    ] = False,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", help="US dollars at most, for an API.")
    ] = None,
    max_tokens_total: Annotated[
        int | None, typer.Option("--max-tokens-total", min=1, help="Tokens at most, for an API.")
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Keep an API's answers across runs; ask nothing twice.")
    ] = False,
    batch_api: Annotated[
        bool, typer.Option("--batch-api", help="Ask an API by batches: a day, for half the price.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End the run's batches; keep what they answered.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer every question of a file; resumes by itself what was broken off."""
    from aqa import console, tables
    from aqa.errors import UsageError
    from aqa.predict import Resume
    from aqa.predict import cancel as run_cancel
    from aqa.predict import dry_run as run_dry
    from aqa.predict import predict as run_predict
    from aqa.runs import command_line

    if cancel and (dry_run or not resume):
        raise UsageError("--cancel goes with neither --dry-run nor --fresh")
    flags: dict[str, Any] = {"data.path": data, "backend.model": model, "prompt": prompt}
    flags |= {"data.split": split, "data.corpus": corpus, "data.limit": limit}
    flags |= {"data.on_duplicate_id": on_duplicate_id, "data.normalize": normalize}
    flags |= {"data.passages": passages, "data.missing_passages": missing_passages}
    flags |= {"evidence.top_k": top_k, "generation.max_new_tokens": max_new_tokens}
    flags |= {"backend.max_cost": max_cost, "backend.max_tokens_total": max_tokens_total}
    flags["backend.cache"] = cache or None
    flags |= {"backend.batch_api": batch_api or None}
    found, reader_type = configure(backend, config, flags, settings, fields)
    folder = output_dir or _prediction_folder(found)
    if dry_run:
        with console.open_progress(quiet) as progress:
            estimate = run_dry(found, reader_type, progress)
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
            Resume(not resume, retry_errors),
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
    data: Data = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", help="em,f1,rougeL,bertscore,...; by default as fits."),
    ] = None,
    profile: Annotated[
        Literal["auto", "mixed", "squad", "korquad", "klue-mrc"],
        typer.Option("--profile", help="How text is normalised and compared."),
    ] = "auto",
    normalize: Normalize = "none",
    no_answer: Annotated[
        list[str] | None, typer.Option("--no-answer", help="A phrase that means no answer.")
    ] = None,
    bert_model: Annotated[
        str | None, typer.Option("--bert-model", help="Model of bertscore: hub id or folder.")
    ] = None,
    bert_num_layers: Annotated[
        int | None, typer.Option("--bert-num-layers", min=1, help="Its layer to compare.")
    ] = None,
    bert_bf16: Annotated[
        bool, typer.Option("--bert-bf16", help="Compute it in bfloat16: faster, less exact.")
    ] = False,
    bert_cache: Annotated[
        bool,
        typer.Option("--bert-cache/--no-bert-cache", help="Keep references' embeddings on disk."),
    ] = True,
    judge_model: JudgeModel = None,
    judge_max_cost: JudgeMaxCost = None,
    judge_repeats: JudgeRepeats = 1,
    judge_labels: JudgeLabels = None,
    judge_settings: JudgeSettings = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what the judge would cost; ask nothing.")
    ] = False,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Compare each system with this one only.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of intervals and tests; 12345 by default.")
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="KEY", help="Score by a column, language, gold_rank, ..."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Where to write; metrics.json by default.")
    ] = None,
    per_example: Annotated[
        Path | None, typer.Option("--per-example", help="Write each example's scores, as JSONL.")
    ] = None,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="Write one HTML file with charts and every example."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="The scores as CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="As a LaTeX tabular.")] = False,
    fail_under: Annotated[
        list[str] | None,
        typer.Option("--fail-under", metavar="SCORE=LIMIT", help="Exit with 4 below, as f1=70."),
    ] = None,
    passages: Passages = None,
    corpus: Corpus = None,
    fields: Fields = None,
    split: Split = None,
    on_duplicate_id: OnDuplicate = None,
    allow_different_evidence: Annotated[
        bool,
        typer.Option(
            "--allow-different-evidence", help="Compare runs whose evidence plans differ."
        ),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score prediction files against their references; never loads a reader."""
    from aqa import console, score_files, score_tables, tables

    if verify:
        from aqa.verification import verify as run_verify

        score_tables.show_verifications([run_verify(file) for file in files], as_json)
        return
    from aqa.atomic_files import write_json
    from aqa.data import Source
    from aqa.errors import UsageError
    from aqa.evaluate import Scoring, estimate_judge, read_references
    from aqa.evaluate import evaluate as run_evaluate
    from aqa.metrics import MetricOptions
    from aqa.metrics.intervals import SEED
    from aqa.runs import METRICS

    names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    judges = "judge" in names
    if (passages or corpus) and not (data and (report_file or judges)):
        raise UsageError("--passages and --corpus are for a --report or a judge, beside --data")
    if not judges and (dry_run or judge_labels or judge_settings):
        raise UsageError("--dry-run and --judge-... are for the judge; add it to --metrics")
    first = files[0] if files[0].is_dir() else files[0].parent
    output = output or first / METRICS
    form = score_tables.choose_form(
        {"json": as_json, "csv": as_csv, "markdown": as_markdown, "latex": as_latex}
    )
    limits = score_files.parse_limits(fail_under or ())
    with console.open_progress(quiet) as progress:
        references = None
        if data is not None:
            source = Source(
                data,
                split,
                column_names(fields),
                corpus,
                on_duplicate_id or "error",
                passages=passages,
                missing_passages="empty",
            )
            references = read_references(source, progress)
        judge = labels = None
        if judges:
            from aqa.human_labels import read_labels
            from aqa.judging import Judging

            labels = None if judge_labels is None else read_labels(judge_labels)
            found, template = configure_judge(
                judge_model, judge_max_cost, judge_repeats, judge_settings
            )
            place = output.parent / "judge"
            judge = Judging(found, place, progress, judge_repeats, template, passages is not None)
        scoring = Scoring(
            metrics=names,
            profile=profile,
            normalize=normalize or "none",
            no_answer=no_answer or (),
            metric_options=MetricOptions(
                bert_model, bert_num_layers, bf16=bert_bf16, cache=bert_cache, progress=progress
            ),
            slices=slices or (),
            baseline=baseline,
            allow_different_evidence=allow_different_evidence,
            seed=SEED if seed is None else seed,
            judge=judge,
            judge_labels=labels,
        )
        if dry_run:
            tables.show_cost(estimate_judge(files, references, scoring), as_json)
            return
        report = run_evaluate(files, references, scoring, progress)
    if report_file is not None:
        from aqa.report import write_report

        write_report(report_file, report, references, Path(data or "").name)
    write_json(output, report.to_json())
    if per_example is not None:
        score_files.write_per_example(per_example, report)
    score_tables.show_report(report, form, report_file)
    score_files.check_limits(limits, report)


@app.command(
    "prompt-preview",
    epilog="Example: aqa prompt-preview llama --data questions.json --tokens",
)
def prompt_preview(
    backend: BackendName = "llama-qlora",
    data: Data = None,
    config: Config = None,
    model: Model = None,
    prompt: PromptName = None,
    settings: Settings = None,
    fields: Fields = None,
    split: Split = None,
    passages: Passages = None,
    missing_passages: Missing = None,
    corpus: Corpus = None,
    on_duplicate_id: OnDuplicate = None,
    normalize: Normalize = None,
    top_k: TopK = None,
    number: Annotated[int, typer.Option("--n", min=1, help="How many prompts.")] = 3,
    example_id: Annotated[str | None, typer.Option("--id", help="The prompt of this id.")] = None,
    training: Annotated[
        bool, typer.Option("--training", help="With the evidence of a training: evidence.train.")
    ] = False,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Colour what is trained on and what is masked.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what the model will really receive: messages, text, tokens, evidence."""
    from aqa import console, tables
    from aqa.preview import preview

    flags: dict[str, Any] = {"data.path": data, "backend.model": model, "prompt": prompt}
    flags |= {"data.split": split, "data.corpus": corpus, "evidence.top_k": top_k}
    flags |= {"data.on_duplicate_id": on_duplicate_id, "data.normalize": normalize}
    flags |= {"data.passages": passages, "data.missing_passages": missing_passages}
    if config is None and model is None and backend in ("llama", "llama-qlora"):
        config = "llama_smollm2"
    found, reader_type = configure(backend, config, flags, settings, fields)
    with console.open_progress(quiet) as progress:
        shown = list(preview(found, reader_type, progress, number, example_id, training))
    tables.show_previews(shown, tokens, as_json)


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Fine-tune, run and compare generative readers on the same evidence."""
    if version:
        from aqa import __version__

        typer.echo(__version__)


def _prediction_folder(config: "RunConfig") -> Path:
    """Inside the run folder whose weights answer, else inside the config's output folder."""
    stem = Path(config.data.path or "data").name.split(".")[0]
    trained = Path(config.backend.model)
    if (trained / "run.json").is_file():
        return trained / f"predict-{stem}"
    if config.output_dir:
        return Path(config.output_dir, f"predict-base-{stem}")
    return Path("runs", f"predict-{config.backend.name}-{stem}")
