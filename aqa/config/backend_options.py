"""The options of the backends, with types, defaults, and units or sources."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from aqa.config.model_families import DEFAULT_MODEL, room_to_think, thinks
from aqa.config.request_fields import ExtraBody, ExtraHeaders, UserAgent
from aqa.config.section import Section
from aqa.config.vllm_options import VllmOptions

# A config before it is checked: nested mappings of plain values.
RawConfig = dict[str, Any]
# Other names of backends.
ALIASES = {"llama": "llama-qlora"}


class BackendOptions(Section):
    """The options that all backends share; each backend has a subclass."""

    default_prompt: ClassVar[str] = "eng_v1"
    shipped_config: ClassVar[str] = "llama_smollm2"  # suggested if no model is given
    # Options that a reader's identity accounts for.
    by_effect: ClassVar[frozenset[str]] = frozenset()

    name: str
    model: str


class LoraOptions(Section):
    """The low-rank adapter (Hu et al. 2021)."""

    r: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)  # scaling is alpha / r
    dropout: float = Field(0.05, ge=0, lt=1)  # QLoRA's value for 7B and 13B models
    target_modules: str | list[str] = "all-linear"  # which QLoRA needs to match full fine-tuning
    # rslora: scaling is alpha / sqrt(r) (Kalajdzievski 2023); dora: magnitude and direction of
    # weights are learned separately (Liu et al. 2024); pissa: starts from the weights' principal
    # components, which are removed from the base during training (Meng et al. 2024).
    variant: Literal["lora", "rslora", "dora", "pissa"] = "lora"
    init: Literal["default", "gaussian", "orthogonal"] = "default"  # of the adapter's weights
    pissa_niter: int | None = Field(None, ge=1)  # iterations of an approximate SVD; None: exact

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if not self.target_modules:
            raise ValueError("target_modules names no layer; name some, or leave it out")
        if self.init == "orthogonal" and self.r % 2:
            raise ValueError(f"init = orthogonal needs an even r, not {self.r}")
        return self

    def idle(self) -> Mapping[str, str]:
        """Options for other kinds of adapter."""
        if self.variant == "pissa":
            return {"backend.lora.init": "pissa starts from part of the weights"}
        return {"backend.lora.pissa_niter": "it needs backend.lora.variant = pissa"}

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out defaults that earlier versions did not have, so that their runs still match."""
        options: dict[str, Any] = dump(self)
        defaults = {"variant": "lora", "init": "default", "pissa_niter": None}
        return {k: v for k, v in options.items() if k not in defaults or v != defaults[k]}


SIZE = re.compile(r"\d+(\.\d+)?[KMG]i?B")  # of memory, as accelerate reads it


class LocalModelOptions(BackendOptions):
    """The options that backends with local weights share."""

    by_effect: ClassVar[frozenset[str]] = frozenset({"device_map", "max_memory"})
    trains_adapter: ClassVar[bool]  # or else all weights
    takes_float16: ClassVar[bool]

    max_seq_length: int = Field(1024, ge=16)  # tokens read at once
    revision: str | None = None  # of a model on the hub
    trust_remote_code: bool = False
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    attn_implementation: Literal[
        "auto", "eager", "sdpa", "flash_attention_2", "flash_attention_3"
    ] = "auto"
    # For prediction. auto: spread layers over all GPUs, main memory and disk; None: one device.
    device_map: Literal["auto"] | None = None
    max_memory: dict[str, str] = Field(default_factory=dict)  # with auto: {0: 20GiB, cpu: 60GiB}

    @field_validator("max_memory", mode="before")
    @classmethod
    def _are_devices(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        for device, size in value.items():
            if not (str(device).isdecimal() or device in ("cpu", "mps")):
                raise ValueError(f"{device} is not the number of a GPU, nor cpu or mps")
            if not SIZE.fullmatch(str(size)):
                raise ValueError(f"write the memory of {device} such as 20GiB or 500MB, not {size}")
        return {str(device): str(size) for device, size in value.items()}

    def idle(self) -> Mapping[str, str]:
        """Options for a model on several devices, when it is on one."""
        return (
            {} if self.device_map else {"backend.max_memory": "it needs backend.device_map = auto"}
        )


class LlamaQloraOptions(LocalModelOptions):
    """A causal language model in 4 bits with a LoRA adapter (Dettmers et al. 2023)."""

    trains_adapter: ClassVar[bool] = True
    takes_float16: ClassVar[bool] = True
    by_effect: ClassVar[frozenset[str]] = frozenset(
        {"enable_thinking", "template_options", "template_date", "engine", "vllm"}
        | LocalModelOptions.by_effect
    )

    name: Literal["llama-qlora"] = "llama-qlora"
    engine: Literal["transformers", "vllm"] = "transformers"  # for prediction
    vllm: VllmOptions = VllmOptions()
    quantization: Literal["4bit", "none"] = "4bit"
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    bnb_4bit_use_double_quant: bool = True  # saves 0.37 bits per weight
    dequantize_on_cpu: bool = True  # for prediction: converts 4-bit weights to compute_dtype once
    max_seq_length: int = Field(2048, ge=16)  # tokens of prompt and answer together
    enable_thinking: bool | None = None  # for templates with this variable; None: their default
    template_options: dict[str, Any] = Field(default_factory=dict)  # its other variables
    template_date: str = "2024-07-26"  # "today" in templates that show it; Llama 3.1's default
    lora: LoraOptions = LoraOptions()

    @field_validator("template_date")
    @classmethod
    def _is_a_day(cls, value: str) -> str:
        return date.fromisoformat(value).isoformat()

    def idle(self) -> Mapping[str, str]:
        """Options for 4-bit weights, when there are none, or for the other engine."""
        names = ("bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "dequantize_on_cpu")
        reason = "it needs backend.quantization = 4bit"
        reasons = {**super().idle(), **self.lora.idle()}
        if self.quantization != "4bit":
            reasons |= {f"backend.{n}": reason for n in names}
        if self.engine == "transformers":
            return {**reasons, "backend.vllm": "it needs backend.engine = vllm"}
        reason = "vLLM has its own way (backend.engine); see backend.vllm"
        others = ("dequantize_on_cpu", "attn_implementation", "device_map", "max_memory")
        unused = [f"backend.{n}" for n in others]
        reasons |= dict.fromkeys([*unused, "generation.batch_tokens"], reason)
        window = (
            "with vLLM it only limits what each of several processes (workers.count) takes at a"
            " time"
        )
        return {**reasons, "generation.window": window, **self.vllm.idle()}


class FromScratchOptions(Section):
    """The sizes of a new T5, whose tokenizer is trained on the training data."""

    vocab_size: int = Field(2000, ge=300)  # at most, including 256 bytes and 3 special tokens
    d_model: int = Field(128, ge=8)
    d_ff: int = Field(256, ge=8)
    d_kv: int = Field(32, ge=4)  # per attention head
    num_heads: int = Field(4, ge=1)
    num_layers: int = Field(2, ge=1)  # of the encoder and of the decoder, each


class T5Options(LocalModelOptions):
    """An encoder-decoder (Raffel et al. 2020): T5, flan-T5, mT5, ByT5, BART and the like."""

    default_prompt: ClassVar[str] = "t5_qa"
    shipped_config: ClassVar[str] = "t5_tiny"
    trains_adapter: ClassVar[bool] = False
    takes_float16: ClassVar[bool] = False  # T5's activations overflow in it

    name: Literal["t5"] = "t5"
    max_seq_length: int = Field(1024, ge=16)  # tokens read; with fid, per passage
    fusion: Literal["concat", "fid"] = "concat"  # fid: fusion-in-decoder (Izacard & Grave 2021)
    engine: Literal["transformers", "ctranslate2", "auto"] = "transformers"  # for prediction
    ctranslate2_type: Literal["int8", "float32"] = "int8"
    from_scratch: FromScratchOptions | None = None  # created by training, if `model` is no folder

    def idle(self) -> Mapping[str, str]:
        """Options for the other engine, or for causal models."""
        reasons = {**super().idle()}
        reasons["training.neftune_noise_alpha"] = "the noise does not reach an encoder"
        reasons["training.packing"] = "it is for causal models"
        if self.engine == "transformers":
            reasons["backend.ctranslate2_type"] = "it needs backend.engine = ctranslate2 or auto"
        return reasons


class PriceOptions(Section):
    """US dollars for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float | None = Field(None, ge=0)  # None: like other input
    cache_write: float | None = Field(None, ge=0)  # for input that is cached; None: 1.25 x input


class BatchOptions(Section):
    """OpenAI's Batch API: files of requests, answered within a day."""

    max_requests: int = Field(50_000, ge=1)  # per file; OpenAI's limit
    max_bytes: int = Field(200_000_000, ge=1)  # per file; OpenAI's limit
    poll_seconds: float = Field(30, gt=0)  # between checks of its progress
    # Share of a live request's price; None: from the package genai-prices, or else 0.5.
    price_share: float | None = Field(None, gt=0, le=1)


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


def _request_timeout(values: dict[str, Any]) -> float:
    return 600.0 if thinks(values.get("model", ""), values.get("reasoning_effort")) else 120.0


def _reasoning_tokens(values: dict[str, Any]) -> int:
    room = room_to_think(values.get("model", ""), values.get("reasoning_effort"))
    return min(room, int(values.get("max_seq_length", 0)) // 4)


def _example_deadline(values: dict[str, Any]) -> float:
    return max(900.0, 2.5 * float(values.get("request_timeout", 0)))


class Gpt4Options(BackendOptions):
    """A model behind an API that speaks OpenAI's protocol.

    The key comes from the environment variable OPENAI_API_KEY or AZURE_OPENAI_API_KEY.
    """

    name: Literal["gpt4"] = "gpt4"
    model: str = DEFAULT_MODEL  # for Azure: the deployment
    provider: Literal["openai", "azure"] = "openai"  # openai: any compatible server
    # Chat completions, responses, or text completions, which use no chat template.
    api: Literal["chat", "responses", "completions"] = "chat"
    base_url: str | None = None  # None: OPENAI_BASE_URL, or OpenAI; AZURE_OPENAI_ENDPOINT
    api_version: str | None = None  # for Azure; None: OPENAI_API_VERSION
    allow_http: bool = False
    entra_id: bool = False  # sign in to Azure by azure-identity: az login, managed identity, ...
    organization: str | None = None  # None: OPENAI_ORG_ID
    user_agent: UserAgent | None = None  # None: the package openai's
    extra_headers: ExtraHeaders = Field(default_factory=dict)  # for every request; no secrets
    extra_body: ExtraBody = Field(default_factory=dict)  # for every question: top_k, provider
    reasoning_effort: Effort | None = None  # for models that think; None: their default
    service_tier: str | None = None  # flex, priority, ...; None: the server's default
    tokenizer: str | None = None  # the served model's folder or hub id, for exact token counts
    logprobs: bool = False  # request log-probabilities, from which the confidence is computed
    structured: bool = False  # answers as JSON: {answer, passages, answerable}
    max_seq_length: int = Field(128_000, ge=16)  # tokens of prompt and answer together
    # Tokens for a model's thoughts, beyond generation.max_new_tokens; by default, depends on its
    # family and effort, and is at most a quarter of max_seq_length.
    reasoning_tokens: int = Field(default_factory=_reasoning_tokens, ge=0)
    max_concurrency: int = Field(64, ge=1)  # requests at a time
    requests_per_minute: int | None = Field(None, ge=1)  # None: by the server's headers
    tokens_per_minute: int | None = Field(None, ge=1)  # prompts and answers; None: likewise
    # Seconds per request: 120, or 600 for models that think; after two, the question fails.
    request_timeout: float = Field(default_factory=_request_timeout, gt=0)
    # Seconds for all attempts and waits: 900, or 2.5 times request_timeout if that is more.
    example_deadline: float = Field(default_factory=_example_deadline, gt=0)
    price: PriceOptions | None = None  # None: from the package genai-prices
    max_cost: float | None = Field(None, gt=0)
    max_tokens_total: int | None = Field(None, ge=1)
    cache: bool = False
    cache_path: str | None = None  # a file; None: in the user's cache folder
    batch_api: bool = False
    batch: BatchOptions = BatchOptions()

    def idle(self) -> Mapping[str, str]:
        """Options for readers with local weights, or for another provider."""
        batches = "it is for batches of a model that is loaded here; an API is asked with"
        reasons = {
            "generation.window": f"{batches} backend.max_concurrency",
            "generation.batch_tokens": f"{batches} backend.max_concurrency",
            "training": "a model behind an API is not trained here",
            "evidence.train": "a model behind an API is not trained here",
            "merge": "a model behind an API has no adapter here",
            "export": "a model behind an API has no weights here",
        }
        if self.provider == "azure":
            reasons["backend.organization"] = "Azure has none; the resource's address names it"
        else:
            reasons["backend.api_version"] = "it needs backend.provider = azure"
            reasons["backend.entra_id"] = "it needs backend.provider = azure"
        if self.api == "completions":
            chats = "text completions do not support it; it needs backend.api = chat or responses"
            reasons |= dict.fromkeys(("backend.structured", "backend.reasoning_effort"), chats)
        if not self.cache:
            reasons["backend.cache_path"] = "it needs backend.cache = true (--cache)"
        return reasons
