"""The options of a run, with types and defaults; `flags` describes those that have a flag."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    InstanceOf,
    PrivateAttr,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from aqa.config.backend_options import BackendOptions, RawConfig
from aqa.config.data_path import DataPath
from aqa.config.section import Section
from aqa.config.stress_options import StressOptions
from aqa.records import AnswerPart


class DataOptions(Section):
    """Where examples come from."""

    path: DataPath | None = None
    dev_path: DataPath | None = None
    split: str | None = None
    dev_split: str | None = None
    passages: str | None = None
    dev_passages: str | None = None
    missing_passages: Literal["error", "empty"] = "error"
    corpus: str | None = None
    fields: dict[str, str] = Field(default_factory=dict)  # our name -> the file's column
    on_duplicate_id: Literal["error", "keep-first", "number"] = "error"
    normalize: Literal["none", "nfc"] = "none"
    limit: int | None = Field(None, ge=1)
    dev_limit: int | None = Field(None, ge=1)

    def idle(self) -> Mapping[str, str]:
        """Options for a retriever's passages or validation data, when there are none."""
        reasons = {}
        if self.passages is None and self.dev_passages is None:
            reasons["data.missing_passages"] = "it needs data.passages (--passages)"
        if self.dev_path is None:
            names = ("dev_split", "dev_passages", "dev_limit")
            reasons |= {f"data.{name}": "it needs data.dev_path (--dev-data)" for name in names}
        return reasons


class TrainingEvidenceOptions(Section):
    """Which passages training examples get; see `aqa.prompting.training_evidence`."""

    # gold: those with the answer; retrieved: as in the data; mixed: gold ones and distractors
    passages: Literal["gold", "retrieved", "mixed"] = "retrieved"
    distractors: int = Field(4, ge=0)  # per example
    negatives: Literal["bm25", "random"] = "bm25"  # from other questions, if too few are given
    gold_probability: float = Field(1.0, ge=0, le=1)  # of keeping the gold passages
    unanswerable_probability: float = Field(0.0, ge=0, le=1)  # of keeping an example without them

    def idle(self) -> Mapping[str, str]:
        """Options for mixed passages, when they are not mixed; see `Section.idle`."""
        names = ("distractors", "negatives", "gold_probability", "unanswerable_probability")
        reason = "it needs evidence.train.passages = mixed"
        return {f"evidence.train.{n}": reason for n in names} if self.passages != "mixed" else {}


class EvidenceOptions(Section):
    """Which passages a reader sees, the same for every backend."""

    top_k: int | None = Field(None, ge=1)
    order: Literal["given", "score", "best_last"] = "given"
    dedupe: bool = True  # keep only the best-ranked of identical passages
    max_chars: int | None = Field(None, ge=1)  # of all passages together, titles included
    max_tokens: int | None = Field(None, ge=1)  # the same in tokens of `tokenizer`
    tokenizer: str | None = None  # the model whose tokenizer counts, for all readers alike
    title: bool = True  # write a passage's title above its text
    join: str = "\n\n"  # between two passages
    numbered: bool = False  # [1], [2], ... before passages, for readers that cite them
    train: TrainingEvidenceOptions = TrainingEvidenceOptions()
    stress: StressOptions = StressOptions()

    @field_validator("train", mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        """`train: mixed` is short for `train: {passages: mixed}`."""
        return {"passages": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _counts_by_a_named_tokenizer(self) -> Self:
        if self.max_tokens and not self.tokenizer:
            raise ValueError(
                "max_tokens needs evidence.tokenizer, the model whose tokenizer counts for all"
                " readers; or use max_chars"
            )
        return self

    def plan(self) -> RawConfig:
        """Return what decides a question's evidence, as plain values."""
        # Runs older than numbers and stress must still match today's.
        unused = {"train", "stress"} | (set() if self.numbered else {"numbered"})
        stress = self.stress.plan()
        return self.model_dump(exclude=unused) | ({"stress": stress} if stress else {})


class TrainingOptions(Section):
    """The training loop; names and meanings as in transformers' TrainingArguments."""

    num_train_epochs: float = Field(2.0, gt=0)
    max_steps: int = -1  # overrides the epochs if positive
    learning_rate: float = Field(2e-4, gt=0)  # QLoRA's value for 7B and 13B models
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup_steps: int = Field(10, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    per_device_train_batch_size: int = Field(8, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    gradient_checkpointing: bool | Literal["auto"] = "auto"  # auto: on if there is a GPU
    use_liger_kernel: bool | Literal["auto"] = "auto"  # auto: on with CUDA, if installed
    optim: str = "auto"  # auto: paged_adamw_8bit with CUDA, else adamw_torch_fused
    packing: bool = False  # join a batch's rows without padding; needs flash attention
    torch_compile: bool = False  # compile each layer for training
    targets: Literal["first", "all", "random"] = "first"  # all: a row each; random: one an epoch
    label_smoothing_factor: float = Field(0.0, ge=0, lt=1)
    neftune_noise_alpha: float | None = Field(None, ge=0)  # None: off
    group_by_length: bool = True
    logging_steps: int = Field(1, ge=1)
    eval_strategy: Annotated[  # YAML reads a bare `no` as false
        Literal["epoch", "steps", "no"], BeforeValidator(lambda v: "no" if v is False else v)
    ] = "epoch"
    eval_steps: int = Field(100, ge=1)  # optimizer steps between evaluations, and checkpoints
    save_steps: int | None = Field(None, ge=1)  # optimizer steps between additional checkpoints
    evaluate_before: bool = True  # score the untrained model, too
    eval_limit: int | None = Field(None, ge=1)  # dev examples per evaluation during training
    metric_for_best_model: Literal["f1", "em", "loss"] = "f1"
    early_stopping_patience: int | None = Field(None, ge=1)  # evaluations without progress
    ddp_timeout: int = Field(7200, ge=1)  # seconds that processes wait for each other at most
    save_total_limit: int = Field(2, ge=1)  # checkpoints kept
    report_to: list[str] = Field(default_factory=list)  # tensorboard, wandb, mlflow

    @field_validator("report_to", mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        """Accept a single name, or `none`, as transformers does."""
        if isinstance(value, str):
            return [] if value == "none" else [value]
        return value

    def idle(self) -> Mapping[str, str]:
        """Options for other schedules and evaluations; see `Section.idle`."""
        reasons = {}
        if self.lr_scheduler_type == "constant" and self.warmup_steps:
            reason = "it needs another training.lr_scheduler_type, such as constant_with_warmup"
            reasons["training.warmup_steps"] = reason
        if self.eval_strategy != "steps":
            reasons["training.eval_steps"] = "it needs training.eval_strategy = steps"
        if self.eval_strategy == "no":
            reason = "it needs training.eval_strategy = epoch or steps"
            reasons |= dict.fromkeys(
                ("training.eval_limit", "training.metric_for_best_model"), reason
            )
        return reasons


class GenerationOptions(Section):
    """How answers are generated."""

    max_new_tokens: int = Field(64, ge=1)
    temperature: float = Field(0.0, ge=0)  # 0: greedy
    top_p: float = Field(1.0, gt=0, le=1)
    num_beams: int = Field(1, ge=1)
    num_return_sequences: int = Field(1, ge=1)  # answers kept in `nbest`
    samples: int = Field(1, ge=1)  # per prompt; the one most like the others is the answer
    length_penalty: float = 1.0  # of beams: above 1 favours longer answers
    batch_tokens: int | None = Field(None, ge=1)  # per batch, with padding; None: by memory
    window: int = Field(512, ge=1)  # prompts in memory, sorted by length

    @model_validator(mode="after")
    def _are_possible(self) -> Self:
        if self.samples > 1 and not self.temperature:
            raise ValueError(
                "samples needs a generation.temperature above 0, such as 0.7: at 0 all samples are"
                " the same"
            )
        if self.samples > 1 and (self.num_beams > 1 or self.num_return_sequences > 1):
            raise ValueError(
                "samples are drawn one by one, without num_beams and num_return_sequences; set"
                " both to 1"
            )
        wanted = self.num_return_sequences
        if wanted > self.num_beams and (self.num_beams > 1 or not self.temperature):
            raise ValueError(
                f"num_return_sequences = {wanted} needs as many beams: set generation.num_beams to"
                f" {wanted} or more, or sample with generation.temperature and one beam"
            )
        return self

    @property
    def answers_each(self) -> int:
        """The number of answers per prompt."""
        return max(self.samples, self.num_return_sequences)

    @property
    def draws(self) -> bool:
        """Whether tokens are sampled, rather than chosen greedily or by beam search."""
        return self.temperature > 0 and self.num_beams == 1

    def idle(self) -> Mapping[str, str]:
        """Options for other ways to choose tokens; see `Section.idle`."""
        reasons = {}
        if not self.temperature:
            reasons["generation.top_p"] = "it needs a generation.temperature above 0"
        if self.num_beams == 1:
            reasons["generation.length_penalty"] = "it needs generation.num_beams above 1"
        return reasons

    def identity(self, seed: int) -> RawConfig:
        """Return the options that decide the answers, and the seed if it does."""
        # Runs older than samples must still match today's.
        unused = {"batch_tokens", "window"} | (set() if self.samples > 1 else {"samples"})
        options = self.model_dump(exclude=unused)
        return {**options, "seed": seed if self.temperature else None}


class WorkersOptions(Section):
    """Processes that share one prediction: on this machine, or as Ray actors."""

    count: int = Field(1, ge=1)
    engine: Literal["processes", "ray"] = "processes"
    gpus: float | None = Field(None, ge=0)  # per actor; None: one, if Ray has any

    @property
    def processes(self) -> int:
        """The number of processes on this machine, without Ray's actors."""
        return self.count if self.engine == "processes" else 1

    def idle(self) -> Mapping[str, str]:
        """Options for Ray only."""
        return {} if self.engine == "ray" else {"workers.gpus": "it needs workers.engine = ray"}


# How a judge's config differs from a reader's, and which sections it has.
JUDGE_MAX_NEW_TOKENS = 1024  # room for a reason, and for thinking before it
JUDGE_REPEATS_TEMPERATURE = 0.7  # at 0, repeats would only show the server's noise
JUDGE_SECTIONS = ("backend", "generation", "prompt", "seed")


class EvaluationOptions(Section):
    """Which part of generated text is the answer, and how validation predictions are scored."""

    # None: as the template says.
    answer: AnswerPart | None = None
    profile: Literal["auto", "mixed", "squad", "korquad", "klue-mrc"] = "auto"
    # If set, BERTScore is computed at the end of training.
    bert_model: str | None = None
    bert_num_layers: int | None = Field(None, ge=1)

    def idle(self) -> Mapping[str, str]:
        """Options for BERTScore, when it is not computed; see `Section.idle`."""
        return (
            {}
            if self.bert_model
            else {"evaluation.bert_num_layers": "it needs evaluation.bert_model"}
        )


class RunConfig(Section):
    """Everything that determines a run."""

    backend: SerializeAsAny[InstanceOf[BackendOptions]]
    data: DataOptions = DataOptions()
    # If not given, the backend's default.
    prompt: str
    evidence: EvidenceOptions = EvidenceOptions()
    training: TrainingOptions = TrainingOptions()
    generation: GenerationOptions = GenerationOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    workers: WorkersOptions = WorkersOptions()
    output_dir: str | None = None
    merge: bool = False
    export: Literal["gguf", "gguf:f16", "gguf:q8_0"] | None = None
    seed: int = Field(42, ge=0)

    _asked: frozenset[str] = PrivateAttr(default=frozenset())
    _called: frozenset[str] = PrivateAttr(default=frozenset())

    def __eq__(self, other: object) -> bool:
        """Compare the values, whatever their sources."""
        return isinstance(other, RunConfig) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]

    def note_asked(self, keys: Iterable[str], called: Iterable[str] = ()) -> None:
        """Remember the keys given for this run, and those (`called`) not from a config file."""
        self._asked |= frozenset(keys)
        self._called |= frozenset(called)

    def asks_for(self, key: str, called: bool = False) -> bool:
        """Whether this key was given, or (`called`) given outside of a config file."""
        return key in (self._called if called else self._asked)
