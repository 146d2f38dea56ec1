"""The options of a config that have a flag of their own, described once for both."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """An option by its dotted key, what it is for, and the part of --help that it is listed in.

    The flag is called as the option is, unless it has a `name` of its own; it may be `short`, too.
    --help shows its value as `metavar`, or by its type.
    """

    key: str
    help: str
    panel: str | None = None
    name: str = ""
    short: str = ""
    metavar: str | None = None

    @property
    def parameter(self) -> str:
        """The name of a command's parameter for it."""
        return self.name or self.key.rpartition(".")[2]

    @property
    def names(self) -> tuple[str, ...]:
        """The flag, long before short."""
        long = "--" + self.parameter.replace("_", "-")
        return (long, self.short) if self.short else (long,)


FLAGS = (
    Flag(
        "data.path",
        "Examples: file, folder, package:NAME/FILE, or a data set's name on the hub.",
        "Data",
        name="data",
        short="-d",
        metavar="DATA",
    ),
    Flag("data.dev_path", "Validation examples.", "Data", name="dev_data", metavar="DATA"),
    Flag("data.split", "Split of a folder or of a data set on the hub.", "Data", metavar="NAME"),
    Flag(
        "data.passages", "A retriever's output, joined to the data by id.", "Data", metavar="FILE"
    ),
    Flag("data.dev_passages", "The same for the validation data.", "Data", metavar="FILE"),
    Flag(
        "data.missing_passages", "What to do when the retriever's output lacks a question.", "Data"
    ),
    Flag("data.corpus", "Texts of documents by id.", "Data", metavar="FILE"),
    Flag("data.on_duplicate_id", "What to do when an id appears twice.", "Data"),
    Flag("data.normalize", "Unicode form of all text.", "Data"),
    Flag("data.limit", "Use only the first N examples.", "Data"),
    Flag(
        "backend.model",
        "Run folder, adapter, model folder, hub id, or package:NAME/FILE.",
        short="-m",
        metavar="MODEL",
    ),
    Flag(
        "backend.max_cost",
        "US dollars that a run may cost with an API, all its sessions together.",
        "API",
    ),
    Flag("backend.max_tokens_total", "The same in tokens.", "API"),
    Flag("backend.cache", "Keep an API's answers across runs; ask nothing twice.", "API"),
    Flag(
        "backend.allow_http",
        "Send questions and key unencrypted to a server on another machine.",
        "API",
    ),
    Flag(
        "backend.batch_api",
        "Ask an API by batches: answers within a day, for half the price.",
        "API",
    ),
    Flag(
        "prompt",
        "Prompt template: the name of a shipped one, or a path.",
        short="-p",
        metavar="TEMPLATE",
    ),
    Flag("evidence.top_k", "Use only the N best-ranked passages."),
    Flag("generation.max_new_tokens", "Longest answer, in tokens."),
    Flag("evaluation.profile", "How text is normalised and compared."),
    Flag(
        "evaluation.answer",
        "Which part of a generated text is the answer: its first line or all of it.",
    ),
    Flag(
        "evaluation.bert_model",
        "Model of BERTScore: hub id or folder.",
        "BERTScore",
        metavar="MODEL",
    ),
    Flag("evaluation.bert_num_layers", "The model's layer whose states are compared.", "BERTScore"),
    Flag("output_dir", "The run folder.", short="-o", metavar="FOLDER"),
    Flag("merge", "After training, also write adapter and base as one model."),
    Flag(
        "export",
        "After training, merge and write a file for llama.cpp: gguf (16 bits) or gguf:q8_0.",
    ),
)
BY_KEY: Mapping[str, Flag] = {flag.key: flag for flag in FLAGS}
