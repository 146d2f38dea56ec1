"""The backend `t5`: encoder-decoders, fully fine-tuned."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from aqa.backends.base import TrainEstimate, TrainJob
from aqa.backends.local.checks import check_answer
from aqa.backends.local.decoding import GeneratedAnswer, StopConditions
from aqa.backends.local.devices import compute_dtype, sharded_by
from aqa.backends.local.generation_config import set_decoder_start
from aqa.backends.local.loading import load_config, own_quantization
from aqa.backends.local.reader import LocalReader, Row
from aqa.backends.model_errors import explained
from aqa.backends.t5.ctranslate2 import Ctranslate2Engine, choose_engine, convert_model
from aqa.backends.t5.encoding import TextEncoder, learn_tokenizer, make_text_encoder
from aqa.backends.t5.models import check_decoder, load_model, make_model, scratch_config
from aqa.backends.tokenizers import load_tokenizer
from aqa.backends.truncation import fit_each
from aqa.config.backend_options import BackendOptions, FromScratchOptions, T5Options
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, ModelError
from aqa.library_output import quiet
from aqa.progress import Progress
from aqa.records import Encoding, Prompt, TrainStep
from aqa.runs.files import Hashed

# Tokens per batch, as a multiple of those encoded at once. With fid, the decoder attends to all of
# them. CTranslate2 spreads them over its threads: more keep them busier.
FID_BATCH = 4
CTRANSLATE2_BATCH = 8


class T5Backend(LocalReader[T5Options]):
    """An encoder-decoder, all of whose weights are trained."""

    Options: ClassVar[type[BackendOptions]] = T5Options
    most_tokens: ClassVar[Mapping[str, int]] = {"cpu": 4096, "cuda": 65536}

    def __init__(self, config: RunConfig, progress: Progress) -> None:
        super().__init__(config, progress)
        self._learned: Any = None  # the tokenizer of a model made from scratch
        self._converted: Ctranslate2Engine | None = None

    def __enter__(self) -> Self:
        self.check()
        if self.options.engine == "auto":
            self._progress.note(f"engine: {self._engine}")
        if self._engine == "ctranslate2":
            self._tell_hardware(training=False)
            folder = convert_model(self.files, self.options, self._weights_hash, self._progress)
            kind = self.options.ctranslate2_type
            self._converted = Ctranslate2Engine(folder, kind, self._tokenizer)
        else:
            self._load(training=False)
            self.model.eval()
        return self

    def __exit__(self, *exc: object) -> None:
        self._converted = None
        super().__exit__(*exc)

    @property
    def _scratch(self) -> FromScratchOptions | None:
        """How to make the model, if it does not exist yet."""
        exists = Path(self.options.model).is_dir()
        return None if exists else self.options.from_scratch

    @property
    def base(self) -> str:
        """The model that is fine-tuned; "" if it is made from scratch."""
        return super().base if self._scratch is None else ""

    def learn_tokenizer(self, texts: Iterable[str]) -> None:
        """Train the tokenizer of a model made from scratch; others have one."""
        if self._scratch is not None:
            self._learned = learn_tokenizer(texts, self._scratch.vocab_size)

    @cached_property
    def _encoder(self) -> TextEncoder:
        return make_text_encoder(self._tokenizer)

    @cached_property
    def _tokenizer(self) -> Any:
        if self._scratch is None:
            return load_tokenizer(self.files, self.options)[0]
        if self._learned is None:
            raise ModelError(
                f"{self.options.model} is made from scratch by `aqa train t5`; name the run folder"
                " of its training with --model"
            )
        return self._learned

    @cached_property
    def _model_config(self) -> Any:
        if self._scratch is not None:
            return scratch_config(self._scratch, self._tokenizer)
        return load_config(self.files, self.options)

    @cached_property
    def _engine(self) -> str:
        generation = self.config.generation
        return choose_engine(self.options, generation, self._model_config.model_type)

    def check(self) -> None:
        """Check the model's config, its tokenizer and the options.

        Raises:
            ConfigError: float16, a length or an engine is asked for that cannot work.
            ModelError: the model cannot be loaded, or is not an encoder-decoder.
            MissingExtraError: the engine is not installed.
        """
        if self._scratch is None and self.files.adapter is not None:
            raise ModelError(
                f"{self.files.adapter}: the backend t5 takes whole models, not adapters; merge it"
                " into its base first"
            )
        if self.options.compute_dtype == "float16":
            raise ConfigError(
                "backend.compute_dtype = float16: T5's activations overflow in it; choose bfloat16,"
                " float32 or auto"
            )
        self._check_positions()
        self._engine  # noqa: B018
        self._encoder  # noqa: B018  (loads the tokenizer)

    def check_training(self) -> None:
        """Check that the weights can be trained.

        Raises:
            ConfigError: an option is for prediction only.
            ModelError: the weights are quantised.
        """
        super().check_training()
        if quantization := own_quantization(self._model_config):
            raise ModelError(
                f"{self.options.model}: its weights are quantised ({quantization}), and t5 trains"
                " all of them; name the model that they were quantised from"
            )

    @property
    def begin_token_id(self) -> int | None:
        """The begin-of-text token, if the tokenizer writes one."""
        begin = self._encoder.begin_ids
        return begin[0] if begin else None

    def encode(self, prompt: Prompt) -> Encoding:
        """Tokenize a prompt; with fid, each passage separately."""
        found = self._encoder.encode(prompt, by_passage=self.options.fusion == "fid")
        check_answer(prompt.id, found, self._model_config, self.options.model)
        return self._with_known_tokens(prompt, found)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of token ids, special tokens included."""
        # SentencePiece tokenizers drop a leading space, so start with another token.
        end = self._encoder.end_id
        text: str = self._tokenizer.decode([end, *token_ids])
        return text[len(self._tokenizer.decode([end])) :]

    def length(self, prompt: Prompt) -> int:
        """Count the tokens read (with fid, of the longest passage); answers need no room."""
        return max((prompt.encoding or self.encode(prompt)).part_lengths)

    def fit(self, prompt: Prompt) -> Prompt:
        """Cut the evidence to `max_seq_length` tokens; with fid, each passage."""
        if self.options.fusion == "fid":
            return fit_each(prompt, self.length, self.options.max_seq_length, self.encoded)
        return super().fit(prompt)

    def sources(self) -> Mapping[str, Hashed]:
        """The model, unless it is made from scratch."""
        return {} if self._scratch is not None else super().sources()

    def identity(self) -> Mapping[str, object]:
        """The model, its weights' hash and everything that influences decoding."""
        options, converted = self.options, self._engine == "ctranslate2"
        return {
            "model": options.model,
            "revision": options.revision,
            "weights": self._weights_hash,
            "engine": self._engine,
            "precision": options.ctranslate2_type if converted else options.compute_dtype,
            **self._resolved_dtype(),
            "max_seq_length": options.max_seq_length,
            "fusion": options.fusion,
            **self.config.generation.identity(self.config.seed),
        }

    def hardware(self) -> Mapping[str, str]:
        """The device of this process and the compute dtype."""
        if self._engine == "ctranslate2":
            return {"device": "cpu", "dtype": self.options.ctranslate2_type}
        return super().hardware()

    @cached_property
    def _weights_hash(self) -> str | None:
        """The hash of a local model's files, or of the tokenizer of one made from scratch."""
        if self._scratch is not None:
            learned = self._tokenizer.backend_tokenizer.to_str()
            return hashlib.sha256(learned.encode()).hexdigest()
        return self._hashes["model"].sha256

    @property
    def _device(self) -> str:
        return "cpu" if self._converted else super()._device

    @property
    def _times(self) -> int:
        if self._converted:
            return CTRANSLATE2_BATCH
        return FID_BATCH if self.options.fusion == "fid" else 1

    def _write(self, batch: Sequence[Row]) -> Iterable[list[GeneratedAnswer]]:
        options = self.config.generation
        if self._converted:
            rows = [row.encoding.prompt_ids for row in batch]
            return self._converted.write_answers(rows, options, self._budget.read_tokens)
        from aqa.backends.t5.fusion import write_answers

        questions = [row.encoding.parts for row in batch]
        ends, budget = StopConditions([self._encoder.end_id]), self._budget.read_tokens
        with self._precision():
            return write_answers(self.model, questions, ends, options, budget, self._draws(batch))

    def _precision(self) -> AbstractContextManager[object]:
        """Compute as after loading for prediction, although weights in training are float32."""
        import torch

        dtype = compute_dtype(self.options)
        if self.model.dtype == dtype:
            return nullcontext()
        return torch.autocast(self._device, dtype)

    def estimate(self) -> TrainEstimate:
        """Count parameters and memory for training without loading weights."""
        with quiet():
            import torch
            from transformers import AutoModelForSeq2SeqLM

            from aqa.backends.local.estimate import estimate_training

        trusts = self.options.trust_remote_code
        with explained(self.options.model), torch.device("meta"):
            model = AutoModelForSeq2SeqLM.from_config(self._model_config, trust_remote_code=trusts)
            return estimate_training(model, 0, self.options, self.config.training)

    def train(self, job: TrainJob, on_step: Callable[[TrainStep], None]) -> Path:
        """Fine-tune all weights and leave the best ones loaded; see `training`."""
        with quiet():  # its imports print hints
            from aqa.backends.local.training import train_reader
            from aqa.backends.t5.training import Seq2SeqTrainer

        self._load(training=True)
        return train_reader(Seq2SeqTrainer, self, job, on_step)

    def _load(self, training: bool) -> None:
        self.check()
        self._tell_hardware(training)
        with self._progress.task(f"Loading {self.options.model}", 1, "models") as task, quiet():
            if self._scratch is not None:
                self.model = make_model(self._model_config, self.config.seed)
            else:
                self.model = load_model(self.files, self.options, training)
            self._take_over_generation()
            set_decoder_start(self.model, self.options.model)
            if training and not sharded_by():  # prediction decodes token by token anyway
                check_decoder(self.model, self.options.model)
            task.advance()
