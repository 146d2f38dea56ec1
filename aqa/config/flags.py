"""The options of a config that have a flag of their own, described once for both."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """An option by its dotted key, what it is for, and its flag: `names`, long before short.

    `panel` is the part of --help that it is listed in.
    """

    key: str
    help: str
    names: tuple[str, ...]
    panel: str | None = None

    @property
    def parameter(self) -> str:
        """The name of a command's parameter for it."""
        return self.names[0].removeprefix("--").replace("-", "_")


FLAGS = (
    Flag(
        "data.path",
        "Examples: file, folder, package:NAME/FILE, or a data set's name on the hub.",
        ("--data", "-d"),
        "Data",
    ),
    Flag("data.dev_path", "Validation examples.", ("--dev-data",), "Data"),
    Flag("data.split", "Split of a folder or of a data set on the hub.", ("--split",), "Data"),
    Flag(
        "data.passages", "A retriever's output, joined to the data by id.", ("--passages",), "Data"
    ),
    Flag("data.dev_passages", "The same for the validation data.", ("--dev-passages",), "Data"),
    Flag(
        "data.missing_passages",
        "What to do when the retriever's output lacks a question.",
        ("--missing-passages",),
        "Data",
    ),
    Flag("data.corpus", "Texts of documents by id.", ("--corpus",), "Data"),
    Flag(
        "data.on_duplicate_id",
        "What to do when an id appears twice.",
        ("--on-duplicate-id",),
        "Data",
    ),
    Flag("data.normalize", "Unicode form of all text.", ("--normalize",), "Data"),
    Flag("data.limit", "Use only the first N examples.", ("--limit",), "Data"),
    Flag(
        "backend.model",
        "Run folder, adapter, model folder, hub id, or package:NAME/FILE.",
        ("--model", "-m"),
    ),
    Flag(
        "backend.max_cost",
        "US dollars that a run may cost with an API, all its sessions together.",
        ("--max-cost",),
        "API",
    ),
    Flag("backend.max_tokens_total", "The same in tokens.", ("--max-tokens-total",), "API"),
    Flag(
        "backend.cache",
        "Keep an API's answers across runs; ask nothing twice.",
        ("--cache",),
        "API",
    ),
    Flag(
        "backend.allow_http",
        "Send questions and key unencrypted to a server on another machine.",
        ("--allow-http",),
        "API",
    ),
    Flag(
        "backend.batch_api",
        "Ask an API by batches: answers within a day, for half the price.",
        ("--batch-api",),
        "API",
    ),
    Flag("prompt", "Prompt template: the name of a shipped one, or a path.", ("--prompt", "-p")),
    Flag("evidence.top_k", "Only the best ranked passages.", ("--top-k",)),
    Flag("generation.max_new_tokens", "Longest answer, in tokens.", ("--max-new-tokens",)),
    Flag(
        "evaluation.profile",
        "How text is normalised and compared.",
        ("--profile",),
    ),
    Flag(
        "evaluation.answer",
        "Which part of a generated text is the answer: its first line or all of it.",
        ("--answer",),
    ),
    Flag(
        "evaluation.bert_model",
        "Model of BERTScore: hub id or folder.",
        ("--bert-model",),
        "BERTScore",
    ),
    Flag(
        "evaluation.bert_num_layers",
        "The model's layer whose states are compared.",
        ("--bert-num-layers",),
        "BERTScore",
    ),
    Flag("output_dir", "The run folder.", ("--output-dir", "-o")),
    Flag("merge", "After training, also write adapter and base as one model.", ("--merge",)),
    Flag(
        "export",
        "After training, merge and write a file for llama.cpp: gguf (16 bits) or gguf:q8_0.",
        ("--export",),
    ),
)
BY_KEY: Mapping[str, Flag] = {flag.key: flag for flag in FLAGS}
HELP: Mapping[str, str] = {flag.key: flag.help for flag in FLAGS}
