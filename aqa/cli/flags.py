"""The flags of the commands, by the panel of --help that shows them."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from aqa.config.flags import BY_KEY
from aqa.config.ranges import LABELS, LEVEL, POINTS, PROMPTS, Range

judge, bertscore, comparison, output, silence, stopping = (
    partial(typer.Option, rich_help_panel=panel)
    for panel in ("Judge", "BERTScore", "Comparison", "Output", "Silence", "Stopping")
)


def number(limits: Range, metavar: str = "") -> dict[str, Any]:
    """What makes a flag take such a number, and say in our words what is none."""

    def read(given: Any) -> float:
        try:
            found = int(given) if limits.is_whole else float(given)
        except ValueError:
            found = None
        if found is None or not limits.holds(found):
            raise typer.BadParameter(f"{given!r} is not {limits}")
        return found

    return {"parser": read, "metavar": metavar or ("INTEGER" if limits.is_whole else "FLOAT")}


points = partial(stopping, **number(POINTS, "POINTS"))


def of_config(key: str, limits: Range | None = None) -> Any:
    """Make the flag of an option of the config, as it is described there."""
    flag = BY_KEY[key]
    kind = {"metavar": flag.metavar} if limits is None else number(limits)
    return typer.Option(*flag.names, help=flag.help, rich_help_panel=flag.panel, **kind)


BackendName = Annotated[
    str, typer.Argument(metavar="BACKEND", help="t5, llama-qlora (llama), gpt4, or ensemble.")
]
TrainedBackend = Annotated[
    str, typer.Argument(metavar="BACKEND", help="t5, llama-qlora (llama), or ensemble.")
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="YAML or JSON file, or a shipped config's name."
    ),
]
Data = Annotated[str | None, of_config("data.path")]
Model = Annotated[str | None, of_config("backend.model")]
PromptName = Annotated[str | None, of_config("prompt")]
PromptNames = Annotated[list[str] | None, of_config("prompt")]  # several make a run each
OutputDir = Annotated[Path | None, of_config("output_dir")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a config key; repeatable."),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="OURS=COLUMN",
        help="Column of id, question, passages, ...; repeatable.",
        rich_help_panel="Data",
    ),
]
Split = Annotated[str | None, of_config("data.split")]
Passages = Annotated[str | None, of_config("data.passages")]
Missing = Annotated[Literal["error", "empty"] | None, of_config("data.missing_passages")]
Corpus = Annotated[str | None, of_config("data.corpus")]
OnDuplicate = Annotated[
    Literal["error", "keep-first", "number"] | None, of_config("data.on_duplicate_id")
]
Normalize = Annotated[Literal["none", "nfc"] | None, of_config("data.normalize")]
ScoredForm = Annotated[Literal["none", "nfc", "nfkc"], of_config("data.normalize")]
Limit = Annotated[int | None, of_config("data.limit", Range(1))]
TopK = Annotated[int | None, of_config("evidence.top_k", Range(1))]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Hide progress and notes.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
MaxNewTokens = Annotated[int | None, of_config("generation.max_new_tokens", Range(1))]
Prompts = Annotated[int, typer.Option("--n", **number(PROMPTS), help="How many prompts to show.")]
Merge = Annotated[bool, of_config("merge")]
Export = Annotated[Literal["gguf", "gguf:f16", "gguf:q8_0"] | None, of_config("export")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over in this run folder.")]
JudgeModel = Annotated[
    list[str] | None,
    judge(
        "--judge-model",
        metavar="MODEL",
        help="Model of the metric judge; several make a panel. Default: that of gpt4.",
    ),
]
JudgeMaxCost = Annotated[
    float | None,
    judge(
        "--judge-max-cost",
        **number(Range(0.0)),
        help="Most to spend on each judge, in US dollars.",
    ),
]
JudgeRepeats = Annotated[
    int, judge("--judge-repeats", **number(Range(1, 99)), help="How often each answer is judged.")
]
JudgeLabels = Annotated[
    Path | None,
    judge(
        "--judge-labels",
        metavar="FILE",
        help="Human verdicts, to check and correct the judge's.",
    ),
]
JudgeSettings = Annotated[
    list[str] | None,
    judge("--judge-set", metavar="KEY=VALUE", help="Like --set, for the judge's gpt4 config."),
]
DevData = Annotated[str | None, of_config("data.dev_path")]
DevPassages = Annotated[str | None, of_config("data.dev_passages")]
MaxCost = Annotated[float | None, of_config("backend.max_cost", Range(0.0))]
MaxTokensTotal = Annotated[int | None, of_config("backend.max_tokens_total", Range(1))]
Cache = Annotated[bool, of_config("backend.cache")]
AllowHttp = Annotated[bool, of_config("backend.allow_http")]
BatchApi = Annotated[bool, of_config("backend.batch_api")]
Cancel = Annotated[
    bool,
    typer.Option(
        "--cancel", help="Cancel the run's batches; keep their answers.", rich_help_panel="API"
    ),
]
BertModel = Annotated[str | None, of_config("evaluation.bert_model")]
BertNumLayers = Annotated[int | None, of_config("evaluation.bert_num_layers", Range(1))]
BertBf16 = Annotated[
    bool, bertscore("--bert-bf16", help="Compute BERTScore in bfloat16: faster, less exact.")
]
BertCache = Annotated[
    bool, bertscore("--bert-cache/--no-bert-cache", help="Cache references' embeddings on disk.")
]
Baseline = Annotated[
    str | None,
    comparison("--baseline", metavar="FILE", help="Compare each system only with this one."),
]
Cluster = Annotated[
    str,
    comparison(
        "--cluster",
        metavar="auto|none|passage|title|KEY",
        help="How questions are grouped for intervals and tests: auto takes titles or"
        " passages if there are at least 10; KEY is a column of the data or predictions.",
    ),
]
Seed = Annotated[
    int | None,
    comparison("--seed", **number(Range(0)), help="Random seed of the tests; 12345 by default."),
]
SliceKeys = Annotated[
    list[str] | None,
    comparison("--slice", metavar="KEY", help="Also score by a column, language, gold_rank, ..."),
]
TrainingData = Annotated[
    str | None,
    comparison(
        "--train",
        metavar="FILE",
        help="Training data; examples also found there are scored separately (slice seen).",
    ),
]
AllowDifferentEvidence = Annotated[
    bool, comparison("--allow-different-evidence", help="Compare runs whose evidence plans differ.")
]
Output = Annotated[
    Path | None, output("--output", metavar="FILE", help="File to write; metrics.json by default.")
]
PerExample = Annotated[
    Path | None,
    output("--per-example", metavar="FILE", help="Write each example's scores as JSONL."),
]
ReportFile = Annotated[
    Path | None,
    output("--report", metavar="FILE", help="Write an HTML report with charts and every example."),
]
Csv = Annotated[bool, output("--csv", help="Print the scores as CSV.")]
Markdown = Annotated[bool, output("--markdown", help="Print them as a Markdown table.")]
Latex = Annotated[bool, output("--latex", help="Print them as a LaTeX tabular.")]
FailUnder = Annotated[
    list[str] | None,
    output(
        "--fail-under",
        metavar="SCORE=LIMIT",
        help="Exit with code 4 if a score is worse than this, such as f1=70.",
    ),
]
NoAnswer = Annotated[
    list[str] | None,
    typer.Option("--no-answer", metavar="PHRASE", help="A phrase that means no answer."),
]
Answer = Annotated[Literal["line", "text"] | None, of_config("evaluation.answer")]
PredictionFields = Annotated[
    list[str] | None,
    typer.Option(
        "--prediction-field",
        metavar="NAME=COLUMN",
        help="Column of answer or id in the files; COLUMN=VALUE selects rows.",
    ),
]
MetricNames = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="NAMES",
        help="Such as em,f1,rougeL,bertscore; the default fits the data.",
    ),
]
Profile = Annotated[
    Literal["auto", "mixed", "squad", "korquad", "klue-mrc"], of_config("evaluation.profile")
]
Plan = Annotated[
    float | None,
    points(
        "--plan",
        rich_help_panel="Comparison",
        help="Show how many questions it takes to detect a difference of this many points.",
    ),
]
Label = Annotated[
    int | None,
    comparison(
        "--label",
        **number(LABELS, "N"),
        help="Choose the N answers whose human verdicts would tell most about the difference;"
        " --output names the sheet, and --judge-labels reads it back.",
    ),
]
ChooseThreshold = Annotated[
    str | None,
    silence(
        "--choose-threshold",
        metavar="risk=PERCENT",
        help="Find the confidence below which to stay silent, so that at most this share of the"
        " answers is wrong; --output names its file.",
    ),
]
Level = Annotated[
    float,
    silence("--level", **number(LEVEL), help="How sure to be of that, in %."),
]
WrongUnder = Annotated[
    str,
    silence("--wrong-under", metavar="SCORE=LIMIT", help="Answers that score less count as wrong."),
]
AbstainBelow = Annotated[
    Path | None,
    typer.Option(
        "--abstain-below",
        metavar="FILE",
        help="Withhold the answers that this contract does (aqa evaluate --choose-threshold).",
    ),
]
AllowOtherReader = Annotated[
    bool, typer.Option("--allow-other-reader", help="Accept a contract made for another reader.")
]
Stress = Annotated[
    str | None,
    typer.Option(
        "--stress",
        metavar="CONDITIONS",
        help="Also ask under changed evidence, one run per condition: position, noise, missing,"
        " conflict, two_sources, duplicate, separated by commas.",
    ),
]
StressCards = Annotated[
    bool,
    comparison(
        "--stress", help="Show how changed evidence affects each reader (aqa predict --stress)."
    ),
]
StopWhenDecided = Annotated[
    Path | None,
    stopping(
        "--stop-when-decided",
        metavar="RUN",
        help="Ask in waves, until it is clear whether this reader or that of RUN is better.",
    ),
]
Margin = Annotated[
    float | None, points("--margin", help="Also stop once they surely differ by fewer points.")
]
DecideBy = Annotated[Literal["em", "f1"], stopping("--decide-by", help="The score that decides.")]
ToSee = Annotated[
    float | None,
    points("--to-see", help="With --dry-run: what it costs to see so large a difference."),
]
Against = Annotated[
    Path | None, stopping("--against", metavar="RUN", help="The run that --to-see compares with.")
]
