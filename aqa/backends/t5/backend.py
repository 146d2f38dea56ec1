"""The backend t5: encoder-decoder models, all of whose weights are fine-tuned."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from aqa.backends.base import TrainEstimate, TrainJob
from aqa.backends.fitting import fit_each
from aqa.backends.local.decoding import Written
from aqa.backends.local.devices import compute_dtype
from aqa.backends.local.generation_config import set_decoder_start
from aqa.backends.local.loading import load_config, own_quantization
from aqa.backends.local.reader import LocalReader, Row
from aqa.backends.model_errors import explained
from aqa.backends.t5.ctranslate2 import Ctranslate2Engine, choose_engine, convert_model
from aqa.backends.t5.encoding import TextEncoder, learn_tokenizer, make_text_encoder
from aqa.backends.t5.generation import write_answers
from aqa.backends.t5.models import load_model, make_model, scratch_config
from aqa.backends.tokenizers import load_tokenizer
from aqa.config.backend_options import BackendOptions, FromScratchOptions, T5Options
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, ModelError
from aqa.library_output import quiet
from aqa.progress import Progress
from aqa.records import Encoding, Prompt, TrainStep
from aqa.runs.files import Hashed

# Tokens of a batch, for each that goes through the encoder at once. With fid they are what the
# decoder attends to. CTranslate2's threads share them out, and are the busier the more there are.
FID_BATCH = 4
CTRANSLATE2_BATCH = 8


class T5Backend(LocalReader[T5Options]):
    """An encoder-decoder, all of whose weights are trained."""

    Options: ClassVar[type[BackendOptions]] = T5Options
    most_tokens: ClassVar[Mapping[str, int]] = {"cpu": 4096, "cuda": 65536}

    def __init__(self, config: RunConfig, progress: Progress) -> None:
        super().__init__(config, progress)
        self._learned: Any = None  # the tokenizer of a model that is made from scratch
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
        """What to make the model of, where there is none yet."""
        made = Path(self.options.model).is_dir()
        return None if made else self.options.from_scratch

    @property
    def base(self) -> str:
        """The model that is fine-tuned; none where it is made from scratch."""
        return super().base if self._scratch is None else ""

    def learn_tokenizer(self, texts: Iterable[str]) -> None:
        """Make the tokenizer of a model that is made from scratch; others have one."""
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
        """Look at the model's configuration, its tokenizer and the precision asked for.

        Raises:
            ConfigError: float16, a length or an engine is asked for that can't work.
            ModelError: the model can't be loaded, or is no encoder-decoder.
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
        """See that the weights can be trained.

        Raises:
            ConfigError: an option is for prediction.
            ModelError: they are quantised.
        """
        super().check_training()
        if own := own_quantization(self._model_config):
            raise ModelError(
                f"{self.options.model}: its weights are quantised ({own}), and t5 trains all of"
                " them; name the model that they were quantised from"
            )

    @property
    def begin_token_id(self) -> int | None:
        """The begin-of-text token, where the tokenizer writes one."""
        begin = self._encoder.begin_ids
        return begin[0] if begin else None

    def encode(self, prompt: Prompt) -> Encoding:
        """Make token ids of the text, with fid of each passage apart."""
        by_passage = self.options.fusion == "fid"
        return self._known(prompt, self._encoder.encode(prompt, by_passage))

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""
        # SentencePiece's tokenizers drop the space that a text begins with: so begin with another.
        end = self._encoder.end_id
        text: str = self._tokenizer.decode([end, *token_ids])
        return text[len(self._tokenizer.decode([end])) :]

    def length(self, prompt: Prompt) -> int:
        """Tokens that are read, with fid those of the longest passage; answers need no room."""
        return max((prompt.encoding or self.encode(prompt)).part_lengths)

    def fit(self, prompt: Prompt) -> Prompt:
        """Cut the evidence to `max_seq_length` tokens, with fid that of each passage."""
        if self.options.fusion == "fid":
            return fit_each(prompt, self.length, self.options.max_seq_length, self.encoded)
        return super().fit(prompt)

    def sources(self) -> Mapping[str, Hashed]:
        """The model, unless it is made from scratch."""
        return {} if self._scratch is not None else super().sources()

    def identity(self) -> Mapping[str, object]:
        """The model, its weights' hash and everything that has an influence on decoding."""
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
        """The device of this process, and the dtype of what it computes."""
        if self._engine == "ctranslate2":
            return {"device": "cpu", "dtype": self.options.ctranslate2_type}
        return super().hardware()

    @cached_property
    def _weights_hash(self) -> str | None:
        """Of a local model all files, of one made from scratch its tokenizer."""
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

    def _write(self, batch: Sequence[Row]) -> Iterable[list[Written]]:
        options = self.config.generation
        if self._converted:
            rows = [row.encoding.prompt_ids for row in batch]
            return self._converted.write_answers(rows, options, self._room.read_tokens)
        questions = [row.encoding.parts for row in batch]
        with self._precision():
            return write_answers(
                self.model,
                questions,
                [self._encoder.end_id],
                options,
                self._room.read_tokens,
                self._draws(batch),
            )

    def _precision(self) -> AbstractContextManager[object]:
        """Weights that are trained are float32; they answer as they will when they are loaded."""
        import torch

        dtype = compute_dtype(self.options)
        if self.model.dtype == dtype:
            return nullcontext()
        return torch.autocast(self._device, dtype)

    def estimate(self) -> TrainEstimate:
        """Count parameters and memory of a training on the shapes alone."""
        with quiet():
            from aqa.backends.t5.estimate import estimate_full_training

        with explained(self.options.model):
            return estimate_full_training(self._model_config, self.options, self.config.training)

    def train(self, job: TrainJob, on_step: Callable[[TrainStep], None]) -> Path:
        """Fine-tune all weights; see `training`. The best ones stay loaded."""
        with quiet():  # what it imports has hints of its own
            from aqa.backends.local.training import train_reader
            from aqa.backends.t5.training import Seq2SeqTrainer

        self._load(training=True)
        return train_reader(Seq2SeqTrainer, self, job, on_step)

    def _load(self, training: bool) -> None:
        """Load the model, or make it."""
        self.check()
        self._tell_hardware(training)
        with self._progress.task(f"Loading {self.options.model}", 1, "models") as task, quiet():
            if self._scratch is not None:
                self.model = make_model(self._model_config, self.config.seed)
            else:
                self.model = load_model(self.files, self.options, training)
            self._take_over_generation()
            set_decoder_start(self.model, self.options.model)
            task.advance()
