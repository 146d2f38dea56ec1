"""Typed configuration of a run: every option, its default and its unit; the only reader of configs.

A config comes from, later ones winning: a run folder's own config, a YAML or JSON file, flags and
`--set a.b=c` of the command line. The keys of the predecessor are understood (`predecessor`).
"""

import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from aqa.errors import ConfigError
from aqa.locations import find_shipped, shipped_names
from aqa.predecessor import FLAT_KEYS, translate

# A config as it is before it is checked: nested mappings of plain values.
RawConfig = dict[str, Any]


class Section(BaseModel):
    """A part of the configuration in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class DataOptions(Section):
    """Where examples come from."""

    path: str | None = None  # file, folder, package:NAME/FILE or a data set's name on the hub
    dev_path: str | None = None  # validation data of a training
    split: str | None = None
    dev_split: str | None = None
    passages: str | None = None  # a retriever's output, which takes the place of own passages
    dev_passages: str | None = None
    missing_passages: Literal["error", "empty"] = "error"  # questions that it lacks
    corpus: str | None = None  # texts of the documents that a retriever's output names
    fields: dict[str, str] = Field(default_factory=dict)  # our name -> the file's column
    on_duplicate_id: Literal["error", "keep-first", "number"] = "error"
    normalize: Literal["none", "nfc"] = "none"
    limit: int | None = Field(None, ge=1)  # only the first examples
    dev_limit: int | None = Field(None, ge=1)


class TrainingEvidenceOptions(Section):
    """Which passages training examples are given; see `aqa.training_evidence`."""

    # gold: those that hold the answer; retrieved: as the data give them; mixed: gold + distractors
    passages: Literal["gold", "retrieved", "mixed"] = "retrieved"
    distractors: int = Field(4, ge=0)  # of an example
    negatives: Literal["bm25", "random"] = "bm25"  # from other questions, where too few are given
    gold_probability: float = Field(1.0, ge=0, le=1)  # that the gold passages are among them
    unanswerable_probability: float = Field(0.0, ge=0, le=1)  # else: to be kept, with no answer


class EvidenceOptions(Section):
    """Which passages a reader is shown, the same for every backend."""

    top_k: int | None = Field(None, ge=1)  # passages; None takes all
    order: Literal["given", "score", "best_last"] = "given"
    dedupe: bool = True  # of identical passages only the best ranked
    max_chars: int | None = Field(None, ge=1)  # characters of all passages' texts and titles
    max_tokens: int | None = Field(None, ge=1)  # the same in tokens of `tokenizer`
    tokenizer: str | None = None  # a model whose tokenizer counts, so that all readers' are alike
    title: bool = True  # write a passage's title above its text
    join: str = "\n\n"  # between two passages
    train: TrainingEvidenceOptions = TrainingEvidenceOptions()

    @field_validator("train", mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        """`train: mixed` is short for `train: {passages: mixed}`."""
        return {"passages": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _counts_by_a_named_tokenizer(self) -> Self:
        if self.max_tokens and not self.tokenizer:
            raise ValueError(
                "max_tokens needs evidence.tokenizer, a model whose tokenizer counts for every"
                " reader alike; or use max_chars"
            )
        return self

    def plan(self) -> RawConfig:
        """What decides the evidence of a question, as plain values."""
        return self.model_dump(exclude={"train"})


class LoraOptions(Section):
    """The low-rank adapter (Hu et al. 2021)."""

    r: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)  # scaling is alpha / r
    dropout: float = Field(0.05, ge=0, lt=1)  # QLoRA's value for 7B and 13B models
    target_modules: str | list[str] = "all-linear"  # QLoRA: needed to match full fine-tuning


class BackendOptions(Section):
    """What the options of every backend have; each backend derives its own."""

    default_prompt: ClassVar[str] = "eng_v1"
    shipped_config: ClassVar[str] = "llama_smollm2"  # the one to begin with

    name: str
    model: str


class LocalModelOptions(BackendOptions):
    """What the options of backends have whose weights are loaded here."""

    trains_adapter: ClassVar[bool]  # or else all weights
    takes_float16: ClassVar[bool]

    revision: str | None = None  # of a model on the hub
    trust_remote_code: bool = False
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    attn_implementation: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"


class LlamaQloraOptions(LocalModelOptions):
    """A causal language model in 4 bits with a LoRA adapter (Dettmers et al. 2023)."""

    trains_adapter: ClassVar[bool] = True
    takes_float16: ClassVar[bool] = True

    name: Literal["llama-qlora"] = "llama-qlora"
    model: str  # hub id, local folder, adapter or run folder, or package:NAME/FILE.gguf
    quantization: Literal["4bit", "none"] = "4bit"
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    bnb_4bit_use_double_quant: bool = True  # saves 0.37 bits a weight
    dequantize_on_cpu: bool = True  # prediction only: 4-bit weights once to compute_dtype
    max_seq_length: int = Field(2048, ge=16)  # tokens of prompt and answer together
    lora: LoraOptions = LoraOptions()


class FromScratchOptions(Section):
    """The sizes of a T5 that is made here, with a tokenizer of the training data."""

    vocab_size: int = Field(2000, ge=300)  # at most; 256 bytes and 3 special tokens among them
    d_model: int = Field(128, ge=8)
    d_ff: int = Field(256, ge=8)
    d_kv: int = Field(32, ge=4)  # width of a head
    num_heads: int = Field(4, ge=1)
    num_layers: int = Field(2, ge=1)  # of the encoder, and as many of the decoder


class T5Options(LocalModelOptions):
    """An encoder-decoder (Raffel et al. 2020): T5, flan-T5, mT5, ByT5, BART and the like."""

    default_prompt: ClassVar[str] = "t5_qa"
    shipped_config: ClassVar[str] = "t5_tiny"
    trains_adapter: ClassVar[bool] = False
    takes_float16: ClassVar[bool] = False  # T5's activations overflow in it

    name: Literal["t5"] = "t5"
    model: str  # hub id, local folder or run folder; any name where it is made from scratch
    max_seq_length: int = Field(1024, ge=16)  # tokens that are read; with fid, of each passage
    fusion: Literal["concat", "fid"] = "concat"  # fid: fusion-in-decoder (Izacard & Grave 2021)
    engine: Literal["transformers", "ctranslate2", "auto"] = "transformers"  # of prediction
    ctranslate2_type: Literal["int8", "float32"] = "int8"
    from_scratch: FromScratchOptions | None = None  # made by the training, if `model` is no folder


class PriceOptions(Section):
    """US dollars for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float | None = Field(None, ge=0)  # None: as any input


class Gpt4Options(BackendOptions):
    """A model behind an API that speaks OpenAI's protocol; the key is OPENAI_API_KEY's."""

    name: Literal["gpt4"] = "gpt4"
    model: str = "gpt-4.1"
    base_url: str | None = None  # None: OPENAI_BASE_URL, or OpenAI itself
    allow_http: bool = False  # unencrypted to another host than this one
    organization: str | None = None  # None: OPENAI_ORG_ID
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    max_seq_length: int = Field(128_000, ge=16)  # tokens of prompt and answer together
    max_concurrency: int = Field(64, ge=1)  # requests at a time
    requests_per_minute: int | None = Field(None, ge=1)  # None: what the server's headers tell
    tokens_per_minute: int | None = Field(None, ge=1)  # of prompts and answers; None as above
    request_timeout: float = Field(120, gt=0)  # seconds
    example_deadline: float = Field(900, gt=0)  # seconds of all attempts and waits together
    price: PriceOptions | None = None  # None: by the package genai-prices
    max_cost: float | None = Field(None, gt=0)  # US dollars of the whole run, resumed ones too
    max_tokens_total: int | None = Field(None, ge=1)  # the same in tokens


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
    optim: str = "auto"  # auto: paged_adamw_8bit on CUDA, adamw_torch_fused elsewhere
    targets: Literal["first", "all", "random"] = "first"  # all: a row each; random: one an epoch
    label_smoothing_factor: float = Field(0.0, ge=0, lt=1)
    neftune_noise_alpha: float | None = None  # off
    group_by_length: bool = True
    logging_steps: int = Field(1, ge=1)
    eval_strategy: Annotated[  # YAML reads a bare `no` as false
        Literal["epoch", "steps", "no"], BeforeValidator(lambda v: "no" if v is False else v)
    ] = "epoch"
    eval_steps: int = Field(100, ge=1)  # optimizer steps between evaluations and checkpoints
    evaluate_before: bool = True  # score the untrained model, too
    eval_limit: int | None = Field(None, ge=1)  # dev examples of an evaluation during training
    metric_for_best_model: Literal["f1", "em", "loss"] = "f1"
    early_stopping_patience: int | None = Field(None, ge=1)  # evaluations without progress
    save_total_limit: int = Field(2, ge=1)  # checkpoints kept
    report_to: list[str] = Field(default_factory=list)  # tensorboard, wandb, mlflow


class GenerationOptions(Section):
    """How answers are written."""

    max_new_tokens: int = Field(64, ge=1)
    temperature: float = Field(0.0, ge=0)  # 0 is greedy
    top_p: float = Field(1.0, gt=0, le=1)
    num_beams: int = Field(1, ge=1)
    num_return_sequences: int = Field(1, ge=1)  # answers kept in `nbest`
    length_penalty: float = 1.0  # of beams: above 1 favours longer answers
    batch_tokens: int | None = Field(None, ge=1)  # padded prompts and answers; None: by device
    window: int = Field(512, ge=1)  # prompts held in memory and sorted by length


class EvaluationOptions(Section):
    """How the validation predictions of a training are scored."""

    profile: Literal["auto", "mixed", "squad", "korquad", "klue-mrc"] = "auto"
    bert_model: str | None = None  # asks for BERTScore at the end of a training
    bert_num_layers: int | None = Field(None, ge=1)


class RunConfig(Section):
    """Everything that determines a run."""

    backend: SerializeAsAny[InstanceOf[BackendOptions]]
    data: DataOptions = DataOptions()
    prompt: str  # a shipped template's name, or a path; the backend's default where none is named
    evidence: EvidenceOptions = EvidenceOptions()
    training: TrainingOptions = TrainingOptions()
    generation: GenerationOptions = GenerationOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    output_dir: str | None = None
    merge: bool = False  # after a training: write adapter and base as one model, too
    seed: int = Field(42, ge=0)


def read_config(path: Path) -> RawConfig:
    """Read a YAML or JSON config file as it is, flat keys moved to their sections.

    Raises:
        ConfigError: the file can't be read, is not valid YAML, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        # PyYAML refuses the tabs that JSON may be indented with.
        raw = json.loads(text) if path.suffix == ".json" and text else yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"{path}: can't read this config: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{path}, {where}: not valid JSON: {error.msg}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise ConfigError(f"{path}, {where}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    if raw is None:
        raise ConfigError(f"{path}: the config is empty")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a config is a mapping of keys to values, not a {_kind(raw)}")
    config: RawConfig = {}
    for key, value in translate(raw):
        set_value(config, key, value)
    return config


def find_config(name: str) -> Path:
    """Give the path of a config file, or of a shipped one by its name.

    Raises:
        ConfigError: there is no such file.
    """
    path = Path(name)
    shipped = None
    if path.parent in (Path(), Path("configs")) and path.suffix in ("", ".yaml"):
        shipped = find_shipped("configs", f"{path.stem}.yaml")
    if path.is_file() or (shipped is None and path.exists()):
        return path
    if shipped is None:
        names = ", ".join(Path(file).stem for file in shipped_names("configs"))
        raise ConfigError(f"{name}: no such config; name a file, or one of {names}")
    return shipped


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split one `a.b=c` of --set; the value is read as YAML.

    Raises:
        ConfigError: there is no `=`, or the value is not valid YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: write it as key=value, such as training.seed=1")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not valid YAML") from error
    key = key.strip()
    return FLAT_KEYS.get(key, key), parsed


def set_value(config: RawConfig, key: str, value: Any) -> None:
    """Set a dotted key in place; a mapping is merged into what is there."""
    first, _, rest = key.partition(".")
    if rest:
        if config.get(first) is None:
            config[first] = {}
        inner = config[first]
        if not isinstance(inner, dict):
            raise ConfigError(f"{key}: {first} is a {_kind(inner)}, so it has no {rest}")
        set_value(inner, rest, value)
    elif isinstance(value, dict) and isinstance(config.get(first), dict):
        for name, part in value.items():
            set_value(config[first], str(name), part)
    else:
        config[first] = value


def build_config(options: type[BackendOptions], layers: Iterable[RawConfig]) -> RunConfig:
    """Merge layers, later ones winning, and check the result.

    Raises:
        ConfigError: an unknown key, a wrong value, or a config of another backend.
    """
    merged: RawConfig = {}
    for layer in layers:
        for key, value in layer.items():
            set_value(merged, key, value)
    # A section that a file opens and leaves empty is as good as left out.
    merged = {key: value for key, value in merged.items() if value is not None}
    backend = merged.pop("backend", {})
    if not isinstance(backend, dict):
        raise ConfigError(f"backend is a mapping of options, not a {_kind(backend)}")
    name = options.model_fields["name"].default
    if backend.setdefault("name", name) != name:
        raise ConfigError(
            f"this config is for the backend {backend['name']}, not {name}; name that one, or"
            " another config"
        )
    if options.model_fields["model"].is_required() and not backend.get("model"):
        raise ConfigError(
            "no model is named; give --model NAME or --config FILE (a shipped one:"
            f" {options.shipped_config})"
        )
    try:
        checked = options.model_validate(backend)
    except ValidationError as error:
        raise _explain(error, options, "backend") from error
    merged.setdefault("prompt", options.default_prompt)
    try:
        config = RunConfig.model_validate({**merged, "backend": checked})
    except ValidationError as error:
        raise _explain(error, RunConfig) from error
    _check_generation(config.generation)
    return config


def _check_generation(options: GenerationOptions) -> None:
    wanted = options.num_return_sequences
    if wanted > options.num_beams and not options.temperature:
        raise ConfigError(
            f"generation.num_return_sequences = {wanted} needs as many beams: set"
            f" generation.num_beams to {wanted} or more, or sample with generation.temperature"
        )


def as_raw(config: RunConfig) -> RawConfig:
    """Give the resolved config as plain values, every default written out."""
    return json.loads(config.model_dump_json())  # type: ignore[no-any-return]


def _explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> ConfigError:
    """Say the first thing that is wrong, with the key nearest to an unknown one."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(([prefix] if prefix else []) + path)
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        near = _homes(path[-1], model) or difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        return ConfigError(f"unknown config key {key}; {hint}")
    if first["type"] == "missing":
        return ConfigError(f"config key {key} is missing")
    message = first["msg"][0].lower() + first["msg"][1:]
    return ConfigError(f"config key {key} = {first['input']!r}: {message}")


def _fields_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Names of the keys that a section knows, found by walking down from `model`."""
    for part in path:
        field = model.model_fields.get(part)
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    top = model is RunConfig
    return [*model.model_fields, *(FLAT_KEYS if top else ())]


def _homes(name: str, model: type[BaseModel]) -> list[str]:
    """The sections' keys of exactly this name: learning_rate is at home in training."""
    return [
        f"{section}.{name}"
        for section, field in model.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, BaseModel)
        and name in field.annotation.model_fields
    ]


def _kind(value: object) -> str:
    names = {"list": "list", "dict": "mapping", "str": "text"}
    return names.get(type(value).__name__, type(value).__name__)
