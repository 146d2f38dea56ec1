"""`aqa evaluate`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aqa.cli import flags
from aqa.cli.configure import column_names, refuse_idle

if TYPE_CHECKING:
    from aqa.evaluation.inputs import Scoring
    from aqa.verbs.evaluate import EvaluationInputs, Outputs

app = typer.Typer()


EXAMPLES = """Examples:

aqa evaluate runs/a runs/b --report report.html

aqa evaluate predictions.json --data dev.json --metrics em,f1,bertscore

aqa evaluate runs/a runs/b --metrics f1,judge --judge-max-cost 2 --dry-run

aqa evaluate runs/a --choose-threshold risk=5 --output silence.json
"""


@app.command(epilog=EXAMPLES)
def evaluate(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Prediction files or run folders.")
    ],
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
        bool, typer.Option("--dry-run", help="Estimate the cost of the judge; send nothing.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only report what has changed in these run folders.")
    ] = False,
    baseline: flags.Baseline = None,
    plan: flags.Plan = None,
    label: flags.Label = None,
    cluster: flags.Cluster = "auto",
    seed: flags.Seed = None,
    slices: flags.SliceKeys = None,
    stress: flags.StressCards = False,
    training: flags.TrainingData = None,
    output: flags.Output = None,
    per_example: flags.PerExample = None,
    report_file: flags.ReportFile = None,
    as_csv: flags.Csv = False,
    as_markdown: flags.Markdown = False,
    as_latex: flags.Latex = False,
    fail_under: flags.FailUnder = None,
    choose_threshold: flags.ChooseThreshold = None,
    level: flags.Level = 95.0,
    wrong_under: flags.WrongUnder = "em=100",
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
        from aqa.verbs.verify import verify_runs

        others = context.params.keys() - {"verify", "files", "as_json", "quiet"}
        refuse_idle(context, sorted(others), "with --verify; leave one of them out")
        score_tables.show_verifications(verify_runs(files), as_json)
        return
    from aqa.errors import UsageError
    from aqa.evaluation.contracts import parse_promise
    from aqa.evaluation.score_files import check_limits, parse_limits
    from aqa.verbs.evaluate import estimate_cost
    from aqa.verbs.evaluate import evaluate as run_evaluate

    flags_of_forms = {"json": as_json, "csv": as_csv, "markdown": as_markdown, "latex": as_latex}
    forms = [name for name, is_asked in flags_of_forms.items() if is_asked]
    if as_json and len(forms) > 1:
        raise UsageError(f"--json can't be combined with --{forms[1]}; leave one of them out")
    evaluated = _evaluated(files, context.params)
    if not evaluated.asks_a_judge:
        labels = "judge_labels"  # also used without a judge, with --label's sheet
        idle = [name for name in context.params if name.startswith("judge_") and name != labels]
        refuse_idle(context, ["dry_run", *idle], "without a judge; add judge to --metrics")
    if "bertscore" not in evaluated.scoring.metrics:
        of_bert = [name for name in context.params if name.startswith("bert_")]
        refuse_idle(context, of_bert, "without BERTScore; add bertscore to --metrics")
    if data is None:
        refuse_idle(context, ["fields", "split", "on_duplicate_id"], "without --data; add it")
    promise = parse_promise(choose_threshold, level, wrong_under)
    outputs = _outputs(files, context.params)
    limits = parse_limits(fail_under or ())
    again = console.AGAIN if evaluated.asks_a_judge and not dry_run else ""
    with console.open_progress(quiet, again) as progress:
        if dry_run:
            tables.show_cost(estimate_cost(evaluated, outputs, progress, limits), as_json)
            return
        report = run_evaluate(evaluated, outputs, progress, limits, promise, label).report
    score_tables.show_report(report, forms)
    if not (forms and quiet):
        score_tables.show_written(outputs.by_name, not forms)
    check_limits(limits, report)


def _evaluated(files: list[Path], params: Mapping[str, Any]) -> "EvaluationInputs":
    """Collect what is asked for; UsageError for options of a judge or report that is not."""
    from aqa.config.load import parse_assignment
    from aqa.data import Source
    from aqa.errors import UsageError
    from aqa.evaluation.judge.options import JudgeOptions
    from aqa.verbs.evaluate import EvaluationInputs

    judge = JudgeOptions(
        params["judge_model"] or (),
        params["judge_max_cost"],
        params["judge_repeats"],
        dict(parse_assignment(text, "--judge-set") for text in params["judge_settings"] or ()),
        params["judge_labels"],
    )
    source = partial(Source, fields=column_names(params["fields"]), needs_passages=False)
    data, training = params["data"], params["training"]
    if training is not None:
        training = source(training, on_duplicate_id="number")
    if data is not None:
        options = {name: params[name] for name in ("split", "corpus", "passages")}
        repeated: Any = params["on_duplicate_id"] or "error"
        data = source(data, on_duplicate_id=repeated, missing_passages="empty", **options)
    evaluated = EvaluationInputs(files, _scoring(params), data, judge, training, params["stress"])
    judges = evaluated.asks_a_judge
    if (params["passages"] or params["corpus"]) and not (
        params["data"] and (params["report_file"] or judges or params["label"] is not None)
    ):
        raise UsageError("--passages and --corpus need --data, and --report, --label or a judge")
    return evaluated


def _outputs(files: list[Path], params: Mapping[str, Any]) -> "Outputs":
    """Choose the output files: --output is the contract or sheet if one is asked for."""
    from aqa.errors import UsageError
    from aqa.runs.names import CONTRACT, TO_LABEL
    from aqa.verbs.evaluate import Outputs, scores_beside

    output, beside = params["output"], scores_beside(files[0])
    others = (params["report_file"], params["per_example"])
    if params["choose_threshold"] is None and params["label"] is None:
        return Outputs(output or beside, *others)
    if params["label"] is None:
        return Outputs(beside, *others, contract=output or beside.with_name(CONTRACT))
    if params["choose_threshold"] is not None:
        raise UsageError("--label and --choose-threshold both write --output; give one of them")
    if output is not None and output.suffix.lower() in (".json", ".jsonl"):
        raise UsageError(f"--label writes CSV; name a .csv file with --output, not {output.name}")
    return Outputs(beside, *others, sheet=output or beside.with_name(TO_LABEL))


def _scoring(params: Mapping[str, Any]) -> "Scoring":
    from aqa.evaluation.inputs import Scoring
    from aqa.metrics.base import MetricOptions
    from aqa.metrics.statistics.sign_flips import SEED

    bert = MetricOptions(
        params["bert_model"],
        params["bert_num_layers"],
        bf16=params["bert_bf16"],
        cache=params["bert_cache"],
    )
    names = (name.strip() for name in (params["metrics"] or "").split(","))
    same = ("profile", "normalize", "answer", "baseline", "cluster", "plan")
    return Scoring(
        metrics=[name for name in names if name],
        no_answer=params["no_answer"] or (),
        prediction_fields=params["prediction_fields"] or (),
        metric_options=bert,
        slices=params["slices"] or (),
        seed=SEED if params["seed"] is None else params["seed"],
        allow_different_evidence=params["allow_different_evidence"],
        **{name: params[name] for name in same},
    )
