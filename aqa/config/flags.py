"""Describe the config options that have flags, once for config and command line."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """A config option with a flag: its dotted key, help text and panel in --help.

    The flag has the option's name unless `name` is given; `short` is a one-letter form. --help
    shows its value as `metavar`, by default its type.
    """

    key: str
    help: str
    panel: str | None = None
    name: str = ""
    short: str = ""
    metavar: str | None = None

    @property
    def parameter(self) -> str:
        """The name of the command's parameter."""
        return self.name or self.key.rpartition(".")[2]

    @property
    def names(self) -> tuple[str, ...]:
        """The flag's spellings, the long one first."""
        long = "--" + self.parameter.replace("_", "-")
        return (long, self.short) if self.short else (long,)


FLAGS = (
    Flag(
        "data.path",
        "Examples: a file, a folder, package:NAME/FILE, or a data set on the hub.",
        name="data",
        short="-d",
        metavar="DATA",
    ),
    Flag("data.dev_path", "Validation examples, likewise.", name="dev_data", metavar="DATA"),
    Flag(
        "data.split", "Split to read of a folder or a data set on the hub.", "Data", metavar="NAME"
    ),
    Flag(
        "data.passages", "A retriever's output, joined to the data by id.", "Data", metavar="FILE"
    ),
    Flag("data.dev_passages", "A retriever's output for --dev-data.", "Data", metavar="FILE"),
    Flag(
        "data.missing_passages",
        "Questions that --passages lacks: stop, or leave without passages.",
        "Data",
    ),
    Flag(
        "data.corpus", "Texts of the documents that --passages gives by id.", "Data", metavar="FILE"
    ),
    Flag(
        "data.on_duplicate_id",
        "Repeated ids: stop, keep the first row, or number the rows.",
        "Data",
    ),
    Flag("data.normalize", "Unicode normalisation of all text.", "Data"),
    Flag("data.limit", "Use only the first N examples.", "Data"),
    Flag(
        "backend.model",
        "The model: a run folder, adapter, model folder, hub id, or package:NAME/FILE.",
        short="-m",
        metavar="MODEL",
    ),
    Flag(
        "backend.max_cost",
        "Most that a run may spend on an API, resumed or not, in US dollars.",
        "API",
    ),
    Flag("backend.max_tokens_total", "Most that it may use, in tokens.", "API"),
    Flag("backend.cache", "Keep an API's answers across runs, and request nothing twice.", "API"),
    Flag(
        "backend.allow_http",
        "Allow unencrypted connections to another machine, key included.",
        "API",
    ),
    Flag(
        "backend.batch_api",
        "Use an API's batches: answers within a day, for half the price.",
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
    Flag(
        "evaluation.profile",
        "How texts are normalised and compared: auto, squad, korquad, klue-mrc or mixed.",
        metavar="NAME",
    ),
    Flag(
        "evaluation.answer", "Which part of the output is the answer: its first line or all of it."
    ),
    Flag(
        "evaluation.bert_model",
        "BERTScore's model: a hub id or a folder.",
        "BERTScore",
        metavar="MODEL",
    ),
    Flag("evaluation.bert_num_layers", "Which layer of BERTScore's model to compare.", "BERTScore"),
    Flag("output_dir", "The run folder to write or resume.", short="-o", metavar="FOLDER"),
    Flag("merge", "After training, also write adapter and base as one model."),
    Flag(
        "export",
        "After training, also write a file for llama.cpp: gguf (16 bits) or gguf:q8_0.",
        metavar="FORMAT",
    ),
)
BY_KEY: Mapping[str, Flag] = {flag.key: flag for flag in FLAGS}
