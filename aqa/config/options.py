"""Typed options of a run, each with its default; `flags` says what those with a flag are for."""

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
from aqa.config.stress import StressOptions
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
        """What concerns a retriever's passages or validation data, where there are none."""
        found = {}
        if self.passages is None and self.dev_passages is None:
            found["data.missing_passages"] = "it needs data.passages (--passages)"
        if self.dev_path is None:
            names = ("dev_split", "dev_passages", "dev_limit")
            found |= {f"data.{name}": "it needs data.dev_path (--dev-data)" for name in names}
        return found


class TrainingEvidenceOptions(Section):
    """Which passages training examples are given; see `aqa.prompting.training_evidence`."""

    # gold: those that hold the answer; retrieved: as the data give them; mixed: gold + distractors
    passages: Literal["gold", "retrieved", "mixed"] = "retrieved"
    distractors: int = Field(4, ge=0)  # of an example
    negatives: Literal["bm25", "random"] = "bm25"  # from other questions, where too few are given
    gold_probability: float = Field(1.0, ge=0, le=1)  # that the gold passages are among them
    unanswerable_probability: float = Field(0.0, ge=0, le=1)  # else: to be kept, with no answer

    def idle(self) -> Mapping[str, str]:
        """What concerns mixed passages, where they are not; see `Section.idle`."""
        names = ("distractors", "negatives", "gold_probability", "unanswerable_probability")
        reason = "it needs evidence.train.passages = mixed"
        return {f"evidence.train.{n}": reason for n in names} if self.passages != "mixed" else {}


class EvidenceOptions(Section):
    """Which passages a reader is shown, the same for every backend."""

    top_k: int | None = Field(None, ge=1)
    order: Literal["given", "score", "best_last"] = "given"
    dedupe: bool = True  # of identical passages only the best ranked
    max_chars: int | None = Field(None, ge=1)  # characters of all passages' texts and titles
    max_tokens: int | None = Field(None, ge=1)  # the same in tokens of `tokenizer`
    tokenizer: str | None = None  # a model whose tokenizer counts, so that all readers' are alike
    title: bool = True  # write a passage's title above its text
    join: str = "\n\n"  # between two passages
    numbered: bool = False  # [1], [2], ... before them, for readers that name passages
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
        """What decides the evidence of a question, as plain values."""
        # Runs from before there were numbers, or stress, are compared with those of now.
        unused = {"train", "stress"} | (set() if self.numbered else {"numbered"})
        stress = self.stress.plan()
        return self.model_dump(exclude=unused) | ({"stress": stress} if stress else {})


class TrainingOptions(Section):
    """The training loop; names and meanings are those of transformers' TrainingArguments."""

    num_train_epochs: float = Field(2.0, gt=0)
    max_steps: int = -1  # overrides the epochs where positive
    learning_rate: float = Field(2e-4, gt=0)  # QLoRA's value for 7B and 13B models
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup_steps: int = Field(10, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    per_device_train_batch_size: int = Field(8, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    gradient_checkpointing: bool | Literal["auto"] = "auto"  # auto: on where there is a GPU
    use_liger_kernel: bool | Literal["auto"] = "auto"  # auto: on CUDA where it is installed
    optim: str = "auto"  # auto: paged_adamw_8bit on CUDA, adamw_torch_fused elsewhere
    packing: bool = False  # the rows of a batch in one, without padding; with flash attention alone
    torch_compile: bool = False  # each layer, by PyTorch's compiler, for the training alone
    targets: Literal["first", "all", "random"] = "first"  # all: a row each; random: one an epoch
    label_smoothing_factor: float = Field(0.0, ge=0, lt=1)
    neftune_noise_alpha: float | None = None  # off
    group_by_length: bool = True
    logging_steps: int = Field(1, ge=1)
    eval_strategy: Annotated[  # YAML reads a bare `no` as false
        Literal["epoch", "steps", "no"], BeforeValidator(lambda v: "no" if v is False else v)
    ] = "epoch"
    eval_steps: int = Field(100, ge=1)  # optimizer steps between evaluations and checkpoints
    save_steps: int | None = Field(None, ge=1)  # between further checkpoints
    evaluate_before: bool = True  # score the untrained model, too
    eval_limit: int | None = Field(None, ge=1)  # dev examples of an evaluation during training
    metric_for_best_model: Literal["f1", "em", "loss"] = "f1"
    early_stopping_patience: int | None = Field(None, ge=1)  # evaluations without progress
    ddp_timeout: int = Field(7200, ge=1)  # seconds that processes wait for each other
    save_total_limit: int = Field(2, ge=1)  # checkpoints kept
    report_to: list[str] = Field(default_factory=list)  # tensorboard, wandb, mlflow

    @field_validator("report_to", mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        """One name, or `none`, will do, as with transformers."""
        if isinstance(value, str):
            return [] if value == "none" else [value]
        return value

    def idle(self) -> Mapping[str, str]:
        """What concerns another schedule; see `Section.idle`."""
        if self.lr_scheduler_type != "constant" or not self.warmup_steps:
            return {}
        reason = "it needs another training.lr_scheduler_type, such as constant_with_warmup"
        return {"training.warmup_steps": reason}


class GenerationOptions(Section):
    """How answers are written."""

    max_new_tokens: int = Field(64, ge=1)
    temperature: float = Field(0.0, ge=0)  # 0 is greedy
    top_p: float = Field(1.0, gt=0, le=1)
    num_beams: int = Field(1, ge=1)
    num_return_sequences: int = Field(1, ge=1)  # answers kept in `nbest`
    samples: int = Field(1, ge=1)  # drawn for each prompt; the one that most agree with is taken
    length_penalty: float = 1.0  # of beams: above 1 favours longer answers
    batch_tokens: int | None = Field(None, ge=1)  # padded prompts and answers; None: by device
    window: int = Field(512, ge=1)  # prompts held in memory and sorted by length

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
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
        return self

    @property
    def answers_each(self) -> int:
        """How many answers a prompt gets."""
        return max(self.samples, self.num_return_sequences)

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn one by one, rather than chosen or searched for with beams."""
        return self.temperature > 0 and self.num_beams == 1

    def idle(self) -> Mapping[str, str]:
        """What concerns another way to choose tokens; see `Section.idle`."""
        found = {}
        if not self.temperature:
            found["generation.top_p"] = "it needs a generation.temperature above 0"
        if self.num_beams == 1:
            found["generation.length_penalty"] = "it needs generation.num_beams above 1"
        return found

    def identity(self, seed: int) -> RawConfig:
        """What of the options and the seed decides the answers."""
        # Runs from before there were samples are compared with those of now.
        unused = {"batch_tokens", "window"} | (set() if self.samples > 1 else {"samples"})
        found = self.model_dump(exclude=unused)
        return {**found, "seed": seed if self.temperature else None}


class WorkersOptions(Section):
    """Processes that answer one prediction together: of this machine, or actors of Ray."""

    count: int = Field(1, ge=1)
    engine: Literal["processes", "ray"] = "processes"
    gpus: float | None = Field(None, ge=0)  # of each actor; None: one, where Ray has any

    @property
    def processes(self) -> int:
        """How many processes of this machine answer; those of Ray's actors don't count."""
        return self.count if self.engine == "processes" else 1

    def idle(self) -> Mapping[str, str]:
        """What concerns Ray alone."""
        return {} if self.engine == "ray" else {"workers.gpus": "it needs workers.engine = ray"}


# Where the config of a judge differs from that of a reader, and which sections it has.
JUDGE_MAX_NEW_TOKENS = 1024  # a reason, and what a model thinks before
JUDGE_REPEATS_TEMPERATURE = 0.7  # at 0 repeats would show the server's noise alone
JUDGE_SECTIONS = ("backend", "generation", "prompt", "seed")


class EvaluationOptions(Section):
    """What is kept of generated text, and how the validation predictions are scored."""

    # None: as the template says.
    answer: AnswerPart | None = None
    profile: Literal["auto", "mixed", "squad", "korquad", "klue-mrc"] = "auto"
    # A model asks for BERTScore at the end of a training.
    bert_model: str | None = None
    bert_num_layers: int | None = Field(None, ge=1)

    def idle(self) -> Mapping[str, str]:
        """What concerns BERTScore, where it is not asked for; see `Section.idle`."""
        return (
            {}
            if self.bert_model
            else {"evaluation.bert_num_layers": "it needs evaluation.bert_model"}
        )


class RunConfig(Section):
    """Everything that determines a run."""

    backend: SerializeAsAny[InstanceOf[BackendOptions]]
    data: DataOptions = DataOptions()
    # The backend's default where none is named.
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
        """Whether the values are the same, whoever gave them."""
        return isinstance(other, RunConfig) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]

    def note_asked(self, keys: Iterable[str], called: Iterable[str] = ()) -> None:
        """Remember keys that were given for this run, and those `called` by no config file."""
        self._asked |= frozenset(keys)
        self._called |= frozenset(called)

    def asks_for(self, key: str, called: bool = False) -> bool:
        """Whether a file or the call gave this key, or (`called`) the call or the run it names."""
        return key in (self._called if called else self._asked)
