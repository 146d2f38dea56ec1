"""The commands' flags, grouped by the panel of --help that shows them."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from aqa.cli import completion
from aqa.cli.making_flags import of_config, option
from aqa.config.ranges import LABELS, LEVEL, POINTS, PROMPTS, Choice, Range

judge, bertscore, comparison, output, silence, stopping = (
    partial(option, panel=panel)
    for panel in ("Judge", "BERTScore", "Comparison", "Output", "Abstaining", "Stopping")
)
points = partial(stopping, metavar="POINTS", limits=POINTS)


def _backend(text: str) -> Any:
    return typer.Argument(metavar="BACKEND", help=text, autocompletion=completion.backends)


BackendName = Annotated[str, _backend("t5, llama-qlora (llama), gpt4, or ensemble.")]
TrainedBackend = Annotated[str, _backend("t5, llama-qlora (llama), or ensemble.")]
Config = Annotated[
    str | None,
    option(
        "--config -c",
        "Config: a YAML or JSON file, or a shipped one's name.",
        "FILE",
        offered=completion.configs,
    ),
]
Data = Annotated[str | None, of_config("data.path")]
Model = Annotated[str | None, of_config("backend.model")]
PromptName = Annotated[str | None, of_config("prompt", offered=completion.prompts)]
PromptNames = Annotated[  # with several, there is a run for each
    list[str] | None, of_config("prompt", offered=completion.prompts)
]
OutputDir = Annotated[Path | None, of_config("output_dir")]
Settings = Annotated[
    list[str] | None, option("--set", "Set an option of the config; repeatable.", "KEY=VALUE")
]
Fields = Annotated[
    list[str] | None,
    option("--field", "A column, such as question=Frage; repeatable.", "OURS=COLUMN", panel="Data"),
]
Split = Annotated[str | None, of_config("data.split")]
Passages = Annotated[str | None, of_config("data.passages")]
Missing = Annotated[str | None, of_config("data.missing_passages", Choice(("error", "empty")))]
Corpus = Annotated[str | None, of_config("data.corpus")]
OnDuplicate = Annotated[
    str | None, of_config("data.on_duplicate_id", Choice(("error", "keep-first", "number")))
]
Normalize = Annotated[str | None, of_config("data.normalize", Choice(("none", "nfc")))]
ScoredForm = Annotated[str, of_config("data.normalize", Choice(("none", "nfc", "nfkc")))]
Limit = Annotated[int | None, of_config("data.limit", Range(1))]
TopK = Annotated[int | None, of_config("evidence.top_k", Range(1))]
Quiet = Annotated[bool, option("--quiet -q", "Hide progress and notes.")]
Json = Annotated[bool, option("--json", "Print the result as JSON.")]
MaxNewTokens = Annotated[int | None, of_config("generation.max_new_tokens", Range(1))]
Prompts = Annotated[int, option("--n", "How many prompts to show.", limits=PROMPTS)]
Merge = Annotated[bool, of_config("merge")]
Export = Annotated[str | None, of_config("export", Choice(("gguf", "gguf:f16", "gguf:q8_0")))]
Fresh = Annotated[bool, option("--fresh", "Start over, and delete what the run folder holds.")]
JudgeModel = Annotated[
    list[str] | None,
    judge("--judge-model", "The judge's model (default: gpt4's); several make a panel.", "MODEL"),
]
JudgeMaxCost = Annotated[
    float | None,
    judge("--judge-max-cost", "Most to spend on each judge, in US dollars.", limits=Range(0.0)),
]
JudgeRepeats = Annotated[
    int, judge("--judge-repeats", "How often each answer is judged.", limits=Range(1, 99))
]
JudgeLabels = Annotated[
    Path | None,
    judge("--judge-labels", "Human verdicts, by which the judge's score is corrected.", "FILE"),
]
JudgeSettings = Annotated[
    list[str] | None, judge("--judge-set", "Like --set, for the judge's gpt4 config.", "KEY=VALUE")
]
DevData = Annotated[str | None, of_config("data.dev_path")]
DevPassages = Annotated[str | None, of_config("data.dev_passages")]
MaxCost = Annotated[float | None, of_config("backend.max_cost", Range(0.0))]
MaxTokensTotal = Annotated[int | None, of_config("backend.max_tokens_total", Range(1))]
Cache = Annotated[bool, of_config("backend.cache")]
AllowHttp = Annotated[bool, of_config("backend.allow_http")]
BatchApi = Annotated[bool, of_config("backend.batch_api")]
Cancel = Annotated[
    bool, option("--cancel", "Cancel the run's batches; keep their answers.", panel="API")
]
BertModel = Annotated[str | None, of_config("evaluation.bert_model")]
BertNumLayers = Annotated[int | None, of_config("evaluation.bert_num_layers", Range(1))]
BertBf16 = Annotated[
    bool, bertscore("--bert-bf16", "Compute BERTScore in bfloat16: faster, less exact.")
]
BertCache = Annotated[
    bool, bertscore("--bert-cache/--no-bert-cache", "Cache references' embeddings on disk.")
]
Baseline = Annotated[
    str | None, comparison("--baseline", "Compare each system only with this one.", "FILE")
]
Cluster = Annotated[
    str,
    comparison(
        "--cluster",
        "How questions are grouped for intervals and tests: none, title, passage, a column, or"
        " auto, which takes titles or passages if there are at least 10.",
        "KEY",
    ),
]
Seed = Annotated[
    int | None,
    comparison("--seed", "Random seed of intervals and tests; 12345 by default.", limits=Range(0)),
]
SliceKeys = Annotated[
    list[str] | None,
    comparison(
        "--slice", "Also score groups by a column, language, gold_rank, ...; repeatable.", "KEY"
    ),
]
TrainingData = Annotated[
    str | None,
    comparison("--train", "Training data; its examples get their own slice (seen).", "FILE"),
]
AllowDifferentEvidence = Annotated[
    bool, comparison("--allow-different-evidence", "Compare runs whose evidence plans differ.")
]
Output = Annotated[
    Path | None,
    output(
        "--output",
        "Where to write the scores; metrics.json beside the first file by default.",
        "FILE",
    ),
]
PerExample = Annotated[
    Path | None, output("--per-example", "Write each example's scores as JSONL.", "FILE")
]
ReportFile = Annotated[
    Path | None, output("--report", "Write an HTML report with charts and every example.", "FILE")
]
Csv = Annotated[bool, output("--csv", "Print the scores as CSV.")]
Markdown = Annotated[bool, output("--markdown", "Print the scores as a Markdown table.")]
Latex = Annotated[bool, output("--latex", "Print the scores as a LaTeX table.")]
FailUnder = Annotated[
    list[str] | None,
    output("--fail-under", "Exit with code 4 if a score is worse, such as f1=70.", "SCORE=LIMIT"),
]
NoAnswer = Annotated[
    list[str] | None,
    option("--no-answer", "Another phrase that means no answer; repeatable.", "PHRASE"),
]
Answer = Annotated[str | None, of_config("evaluation.answer", Choice(("line", "text")))]
PredictionFields = Annotated[
    list[str] | None,
    option("--prediction-field", "Column of answer or id; COLUMN=VALUE picks rows.", "NAME=COLUMN"),
]
MetricNames = Annotated[
    str | None,
    option(
        "--metrics",
        "Scores, such as em,f1,rougeL,bertscore; the default fits the data.",
        "NAMES",
        offered=completion.metrics,
    ),
]
Profile = Annotated[
    str, of_config("evaluation.profile", Choice(("auto", "mixed", "squad", "korquad", "klue-mrc")))
]
Plan = Annotated[
    float | None,
    comparison(
        "--plan",
        "Show how many questions it takes to detect a difference of this many points.",
        "POINTS",
        limits=POINTS,
    ),
]
Label = Annotated[
    int | None,
    comparison(
        "--label",
        "Choose the N answers whose human verdicts would tell most about the difference; --output"
        " names the sheet, and --judge-labels reads it back.",
        "N",
        limits=LABELS,
    ),
]
ChooseThreshold = Annotated[
    str | None,
    silence(
        "--choose-threshold",
        "Find the confidence below which to withhold answers, so that at most this share of the"
        " others is wrong; --output names the contract.",
        "risk=PERCENT",
    ),
]
Level = Annotated[float, silence("--level", "Confidence of that promise, in %.", limits=LEVEL)]
WrongUnder = Annotated[
    str, silence("--wrong-under", "Answers that score less count as wrong.", "SCORE=LIMIT")
]
AbstainBelow = Annotated[
    Path | None,
    option("--abstain-below", "Withhold unsure answers, by a contract of aqa evaluate.", "FILE"),
]
AllowOtherReader = Annotated[
    bool, option("--allow-other-reader", "Accept a contract made for another reader.")
]
Stress = Annotated[
    str | None,
    option(
        "--stress",
        "Also ask under changed evidence, one run per condition: position, noise, missing,"
        " conflict, two_sources, duplicate, separated by commas.",
        "CONDITIONS",
        offered=completion.conditions,
    ),
]
StressCards = Annotated[
    bool,
    comparison(
        "--stress", "Score runs of aqa predict --stress: how changed evidence affects readers."
    ),
]
StopWhenDecided = Annotated[
    Path | None,
    stopping("--stop-when-decided", "Ask in waves until this or RUN's reader is better.", "RUN"),
]
Margin = Annotated[
    float | None, points("--margin", "Also stop once the two surely differ by less.")
]
DecideBy = Annotated[
    str, stopping("--decide-by", "The score that decides.", limits=Choice(("em", "f1")))
]
ToSee = Annotated[
    float | None,
    points("--to-see", "With --dry-run: the cost of detecting a difference of this size."),
]
Against = Annotated[
    Path | None, stopping("--against", "The run that --to-see compares with.", "RUN")
]
