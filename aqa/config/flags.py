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
        "Examples: a file, a folder, package:NAME/FILE, or a data set on the hub.",
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
    Flag("data.dev_passages", "The same for the validation examples.", "Data", metavar="FILE"),
    Flag("data.missing_passages", "What to do with questions that it lacks.", "Data"),
    Flag("data.corpus", "Document texts by id.", "Data", metavar="FILE"),
    Flag("data.on_duplicate_id", "What to do with repeated ids.", "Data"),
    Flag("data.normalize", "Unicode normalisation of all text.", "Data"),
    Flag("data.limit", "Use only the first N examples.", "Data"),
    Flag(
        "backend.model",
        "A run folder, adapter, model folder, hub id, or package:NAME/FILE.",
        short="-m",
        metavar="MODEL",
    ),
    Flag(
        "backend.max_cost",
        "Most that a run may spend on an API, in US dollars, over all its sessions.",
        "API",
    ),
    Flag("backend.max_tokens_total", "The same in tokens.", "API"),
    Flag("backend.cache", "Keep an API's answers across runs, and request nothing twice.", "API"),
    Flag(
        "backend.allow_http",
        "Allow questions and key to travel unencrypted to another machine.",
        "API",
    ),
    Flag(
        "backend.batch_api",
        "Send batches to an API: answers within a day, for half the price.",
        "API",
    ),
    Flag(
        "prompt",
        "Prompt template: a path, or the name of a shipped one.",
        short="-p",
        metavar="TEMPLATE",
    ),
    Flag("evidence.top_k", "Use only the N best-ranked passages."),
    Flag("generation.max_new_tokens", "Longest answer, in tokens."),
    Flag("evaluation.profile", "How texts are normalised and compared."),
    Flag(
        "evaluation.answer",
        "Which part of the output is the answer: its first line or all of it.",
    ),
    Flag(
        "evaluation.bert_model",
        "BERTScore's model: a hub id or a folder.",
        "BERTScore",
        metavar="MODEL",
    ),
    Flag("evaluation.bert_num_layers", "The layer of that model to compare.", "BERTScore"),
    Flag("output_dir", "The run folder.", short="-o", metavar="FOLDER"),
    Flag("merge", "After training, also write adapter and base as one model."),
    Flag(
        "export",
        "After training, also write a file for llama.cpp: gguf (16 bits) or gguf:q8_0.",
    ),
)
BY_KEY: Mapping[str, Flag] = {flag.key: flag for flag in FLAGS}
