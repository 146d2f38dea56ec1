"""The backend `llama-qlora`: causal models in 4 bits, fine-tuned with LoRA adapters."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Self

from aqa.backends.base import Merged, TrainEstimate, TrainJob
from aqa.backends.chat_rendering import template_facts
from aqa.backends.chat_template import ChatEncoder, make_chat_encoder
from aqa.backends.llama_qlora.adapters import (
    check_supported,
    embedding_rows,
    fast_adapter,
    prepare_model,
)
from aqa.backends.llama_qlora.conversion import convert_gguf, dequantize_once, is_dequantized
from aqa.backends.llama_qlora.fresh_adapters import check_quantized_base
from aqa.backends.llama_qlora.generation import is_continuous, write_answers, write_continuously
from aqa.backends.llama_qlora.gguf_export import export_gguf, find_converter
from aqa.backends.llama_qlora.models import check_packing, check_quantization, load_model
from aqa.backends.llama_qlora.vllm.arguments import check_engine, engine_facts
from aqa.backends.llama_qlora.vllm.requests import Requests
from aqa.backends.local.decoding import GeneratedAnswer, StopConditions
from aqa.backends.local.devices import compute_dtype
from aqa.backends.local.loading import load_config, own_quantization
from aqa.backends.local.reader import LocalReader, Row
from aqa.backends.model_errors import explained
from aqa.backends.tokenizers import load_tokenizer
from aqa.config.backend_options import BackendOptions, LlamaQloraOptions
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, ModelError
from aqa.library_output import quiet
from aqa.records import Encoding, Prediction, Prompt, TrainStep

if TYPE_CHECKING:
    from aqa.backends.llama_qlora.vllm.engine import VllmEngine


class LlamaQloraBackend(LocalReader[LlamaQloraOptions]):
    """A causal model, of which an adapter is trained."""

    Options: ClassVar[type[BackendOptions]] = LlamaQloraOptions
    merges: ClassVar[bool] = True
    _dequantizes = False  # for merging, or for another engine
    _vllm: "VllmEngine | None" = None  # set if this engine is in use

    def __enter__(self) -> Self:
        if self.options.engine == "vllm":
            self._vllm = self._open_vllm()
        else:
            self._load(training=False)
            self.model.eval()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._vllm is not None:
            self._vllm.__exit__(*exc)
        self._vllm = None
        super().__exit__(*exc)

    def _open_vllm(self) -> "VllmEngine":
        from aqa.backends.llama_qlora.vllm.engine import VllmEngine

        self.check()
        dtype = super().hardware()["dtype"]
        if is_dequantized(self.options, self.files):
            base = self.sources()["model"]
            files = dequantize_once(self._dequantizing_reader, self.config, self.files, base, dtype)
        else:
            files = convert_gguf(self.files, self._progress)
        stop = self._encoder.written.stop_text
        requests = Requests(self.config.generation, self.config.seed, self._ends, stop)
        return VllmEngine(
            self.options, files, requests, dtype, self.folder, self._progress
        ).__enter__()

    def _dequantizing_reader(self, config: RunConfig) -> "LlamaQloraBackend":
        reader = LlamaQloraBackend(config, self._progress)
        reader._dequantizes = True
        return reader

    @cached_property
    def _model_config(self) -> Any:
        return load_config(self.files, self.options)

    @cached_property
    def _encoder(self) -> ChatEncoder:
        tokenizer, generation_end = load_tokenizer(self.files, self.options)
        encoder = make_chat_encoder(tokenizer, generation_end, self._progress.note, self.options)
        encoder.check_reads_answers()
        return encoder

    @property
    def _tokenizer(self) -> Any:
        return self._encoder.tokenizer

    def check(self) -> None:
        """Check the model's config, its tokenizer and the hardware.

        Raises:
            ConfigError: it has fewer positions than `max_seq_length`.
            ModelError: it cannot be loaded, is not causal, or can't run here in 4 bits.
        """
        if self.options.engine == "vllm":
            check_engine(self.options, self.files, self.config.generation, self._encoder)
        else:
            check_quantization(self.options, self._model_config)
        if self.files.adapter is not None:
            check_supported(self.files.adapter, self.note)
        self._check_positions()
        self._encoder  # noqa: B018  (loads the tokenizer)

    def check_training(self) -> None:
        """Check that the model is a base; an adapter in its place would be ignored.

        Raises:
            ConfigError: the engine cannot train, or the model can't have such an adapter.
            ModelError: it is an adapter, or a run folder with one.
        """
        if self.options.engine != "transformers":
            raise ConfigError(
                f"backend.engine = {self.options.engine} is for prediction, not for training; leave"
                " it out here, and use it with `aqa predict`"
            )
        super().check_training()
        if self.config.training.packing:
            check_packing(self.options, self._model_config)
        check_quantized_base(self.options, bool(own_quantization(self._model_config)))
        if self.files.adapter is not None:
            raise ModelError(
                f"{self.options.model} is an adapter over {self.files.spec}, but training starts"
                " from a whole model: name that base, or the run's merged/ (aqa train ... --resume"
                " --merge writes it)"
            )
        if self.options.lora.target_modules != "all-linear" or self.options.lora.variant == "pissa":
            self.estimate()  # tries the adapter without weights

    @property
    def begin_token_id(self) -> int | None:
        """The begin-of-text token, if the tokenizer has one."""
        begin: int | None = self._tokenizer.bos_token_id
        return begin

    def encode(self, prompt: Prompt) -> Encoding:
        """Tokenize a prompt with the model's chat template."""
        return self._with_known_tokens(prompt, self._encoder.encode(prompt))

    @cached_property
    def _vocabulary(self) -> int | None:
        """The base's vocabulary size, unless the adapter extended it."""
        adapter = self.files.adapter
        return (embedding_rows(adapter) if adapter else None) or super()._vocabulary

    def identity(self) -> Mapping[str, object]:
        """The model, its hash and its adapter's, and everything that influences decoding."""
        adapter = self.sources().get("adapter")
        return {
            "model": self.files.spec,
            "revision": self.options.revision,
            "weights": self.sources()["model"].sha256,
            "adapter": adapter.sha256 if adapter else None,
            **self._engine_identity(),
            "max_seq_length": self.options.max_seq_length,
            **template_facts(self._encoder.template, self.options),
            **self.config.generation.identity(self.config.seed),
        }

    def _engine_identity(self) -> dict[str, object]:
        """Return what affects answers in the engine and its form of the weights."""
        options = self.options
        if options.vllm.urls:
            return options.vllm.identity()
        dtype = {"compute_dtype": options.compute_dtype, **self._resolved_dtype()}
        if options.engine == "vllm":
            base = {"base": "4bit"} if is_dequantized(options, self.files) else {}
            return {**options.vllm.identity(), **dtype, **base}
        return {
            "quantization": options.quantization,
            "quant_type": options.bnb_4bit_quant_type,
            **dtype,
            "dequantize_on_cpu": options.dequantize_on_cpu,
        }

    def hardware(self) -> Mapping[str, str]:
        """The device and dtype of this process, or of the server that it starts."""
        facts = super().hardware()
        if self.options.engine != "vllm":
            return facts
        return engine_facts(self.options, facts["dtype"])

    def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
        """Answer prompts window by window in batches of similar length, or through servers."""
        if self._vllm is not None:
            for prompt, written in self._vllm.write(map(self.encoded, prompts)):
                row = Row(prompt, prompt.encoding or self.encode(prompt))
                if isinstance(written, str):
                    tokens = len(row.encoding.prompt_ids)
                    yield prompt, Prediction(prompt.id, None, written, tokens)
                else:
                    yield self._predicted(row, written)
            return
        with fast_adapter(self.model, compute_dtype(self.options), self.is_sharded):
            yield from super().generate(prompts)

    def _answer_window(self, rows: Sequence[Row]) -> Iterator[tuple[Prompt, Prediction]]:
        options = self.config.generation
        ids = [row.encoding.prompt_ids for row in rows]
        if not is_continuous(self.model, options, ids):
            yield from super()._answer_window(rows)
            return
        started, count = perf_counter(), 0
        draws = self._draws(rows)
        answers = write_continuously(self.model, ids, self._ends, options, self._budget, draws)
        while True:
            with quiet():  # not while the caller processes an answer
                next_answer = next(answers, None)
            if next_answer is None:
                return
            row, written = rows[next_answer[0]], next_answer[1]
            count += 1
            seconds = (perf_counter() - started) / count  # the average time in this window so far
            yield self._predicted(row, written, seconds) if written else self._out_of_memory(row)

    def _answer_text(self, token_ids: Sequence[int]) -> tuple[str, bool]:
        """Strip the template's frame from an answer; return an unfinished thought whole."""
        answer = self._encoder.written.answer(token_ids)
        if answer is None:
            return super()._answer_text(token_ids)[0], False
        return answer, True

    def _write(self, batch: Sequence[Row]) -> list[list[GeneratedAnswer]]:
        with quiet():
            ids = [row.encoding.prompt_ids for row in batch]
            draws = self._draws(batch)
            return write_answers(self.model, ids, self._ends, self.config.generation, draws)

    @property
    def _ends(self) -> StopConditions:
        written = self._encoder.written
        return StopConditions(
            self._encoder.end_token_ids, written.cut if written.stop_text else None
        )

    def estimate(self) -> TrainEstimate:
        """Count parameters and memory for training without loading weights."""
        with quiet():
            from aqa.backends.llama_qlora.estimate import estimate_adapter

        with explained(self.files.spec, self.files.title):
            return estimate_adapter(self._model_config, self.options, self.config.training)

    def train(self, job: TrainJob, on_step: Callable[[TrainStep], None]) -> Path:
        """Fine-tune an adapter and leave the best one loaded; see `training`."""
        with quiet():  # its imports print hints
            from aqa.backends.llama_qlora.training import AdapterTrainer
            from aqa.backends.local.training import train_reader

        self._load(training=True)
        return train_reader(AdapterTrainer, self, job, on_step)

    def merge(self, run_folder: Path, prompts: Sequence[Prompt]) -> Merged:
        """Unload everything, then merge the run's adapter into its base; see `merging`."""
        from aqa.backends.llama_qlora.merging import merge_adapter

        self.__exit__()
        return merge_adapter(self._dequantizing_reader, self.config, run_folder, prompts)

    def check_export(self) -> None:
        """Raise a ModelError unless llama.cpp's converter is installed."""
        find_converter()

    def export(self, merged: Path, kind: str, prompts: Sequence[Prompt]) -> Merged:
        """Write a merged model as a GGUF file; see `gguf_export`."""
        from aqa.backends.llama_qlora.merging import merged_config

        reader = LlamaQloraBackend(merged_config(self.config, merged), self._progress)
        return export_gguf(reader, reader._ends, merged, kind, prompts)

    def _load(self, training: bool) -> None:
        self.check()
        self._tell_hardware(training)
        files = self.files = convert_gguf(self.files, self._progress)
        with self._progress.task(f"Loading {files.spec}", 1, "models") as task, quiet():
            self.model = load_model(files, self.options, training, self._dequantizes)
            self._take_over_generation()
            if not training:
                packs = not self._dequantizes
                self.model = prepare_model(self.model, files, self.options, packs)
            task.advance()
