"""A reader whose weights are loaded here: what all such readers do alike."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

from typing_extensions import TypeVar

from aqa.backends.base import Trainable
from aqa.backends.local.batches import windows
from aqa.backends.local.compiling import check_compiling
from aqa.backends.local.decoding import Written, as_prediction, drawing, uniform_draws
from aqa.backends.local.devices import (
    compute_dtype,
    hardware,
    hardware_notes,
    input_device,
    ready_device,
)
from aqa.backends.local.failures import WRITING, explained_work
from aqa.backends.local.generation_config import take_over_generation
from aqa.backends.local.limits import check_positions, check_vocabulary
from aqa.backends.local.memory import (
    MOST,
    READ,
    Room,
    free_bytes,
    free_memory,
    kept_bytes,
    read_bytes,
    tokens_within,
    within,
)
from aqa.backends.model_files import ModelFiles, find_model, hash_model
from aqa.backends.samples import most_central
from aqa.backends.tokenizers import unknown_characters
from aqa.config.backend_options import LocalModelOptions
from aqa.config.options import RunConfig
from aqa.contention import sharing_processors
from aqa.errors import ConfigError
from aqa.heap import keep_freed_blocks
from aqa.library_output import quiet
from aqa.progress import Progress
from aqa.records import AGREEMENT, MEAN_LOGPROB, Encoding, Prediction, Prompt
from aqa.runs.files import Hashed

LocalOptionsT_co = TypeVar(
    "LocalOptionsT_co", bound=LocalModelOptions, default=LocalModelOptions, covariant=True
)


class Row(NamedTuple):
    """A prompt with its token ids."""

    prompt: Prompt
    encoding: Encoding


class LocalReader(Trainable[LocalOptionsT_co]):
    """Encoding needs only the tokenizer; `with` or `train` load the weights."""

    is_spread = False  # whether each process has a part of the weights alone
    most_tokens: ClassVar[Mapping[str, int]] = MOST  # of a batch where memory is no matter

    def __init__(self, config: RunConfig, progress: Progress) -> None:
        super().__init__(config, progress)
        self.model: Any = None

    def __exit__(self, *exc: object) -> None:
        self.model = None
        free_memory()

    @cached_property
    def files(self) -> ModelFiles:
        """Where the model, or the base and its adapter, lie."""
        return find_model(self.options)

    def sources(self) -> Mapping[str, Hashed]:
        """The model, and its adapter where it has one."""
        return self._hashes

    @cached_property
    def _hashes(self) -> Mapping[str, Hashed]:
        return hash_model(self.files)

    @property
    @abstractmethod
    def _tokenizer(self) -> Any:
        """What texts are tokenized with."""

    @cached_property
    @abstractmethod
    def _model_config(self) -> Any:
        """The model's configuration, as transformers has it."""

    @cached_property
    def _vocabulary(self) -> int | None:
        """How many tokens the model knows; None where its configuration does not tell."""
        return getattr(self._model_config.get_text_config(decoder=True), "vocab_size", None)

    def _check_positions(self) -> None:
        check_positions(self._model_config, self.options, self.config.generation, self.note)

    def _known(self, prompt: Prompt, encoding: Encoding) -> Encoding:
        """The same encoding, when each of its tokens is one that the model knows."""
        check_vocabulary(prompt.id, encoding, self._vocabulary, self._tokenizer, self.options.model)
        return encoding

    def hardware(self) -> Mapping[str, str]:
        """The device of this process, and the dtype of what it computes."""
        return hardware(self.options)

    def _resolved_dtype(self) -> dict[str, str]:
        """For the identity: what `auto` came to here, which decides answers as the rest does."""
        auto = self.options.compute_dtype == "auto"
        return {"dtype": self.hardware()["dtype"]} if auto else {}

    @property
    def confidence_kind(self) -> str:
        """Agreement where there are samples, or else the mean log-probability."""
        return AGREEMENT if self.config.generation.samples > 1 else MEAN_LOGPROB

    def tokenized_by(self) -> dict[str, str | None]:
        """What makes token ids, besides the options and the files that have hashes."""
        commit = getattr(self._model_config, "_commit_hash", None)  # of a model on the hub
        versions = {name: metadata.version(name) for name in ("tokenizers", "transformers")}
        return {"commit": commit, **versions}

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer beside a model."""
        self._tokenizer.save_pretrained(folder)

    def check_training(self) -> None:
        """See that a training does not ask for what is for prediction, or can't be had here.

        Raises:
            ConfigError: it does.
        """
        if self.options.device_map:
            raise ConfigError(
                "backend.device_map = auto is for prediction; a model larger than one GPU is"
                " trained with FSDP: see the README, or leave it out"
            )
        check_compiling(self.config.training.torch_compile)

    @abstractmethod
    def encode(self, prompt: Prompt) -> Encoding:
        """Make token ids of a prompt and of its target; training and prediction use no others."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""
        text: str = self._tokenizer.decode(token_ids)
        return text

    def unknown_characters(self, text: str) -> tuple[int, int]:
        """Characters of a text that the tokenizer does not know, and all but white space."""
        return unknown_characters(self._tokenizer, text)

    def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
        """Answer prompts window by window, in batches of like length, the longest first."""
        options = self.config.generation
        with sharing_processors(), explained_work(self.options.model, WRITING):
            for window in windows(prompts, options.window, lambda prompt: prompt.index):
                yield from self._answer_window(
                    [Row(prompt, prompt.encoding or self.encode(prompt)) for prompt in window]
                )

    def _answer_window(self, rows: Sequence[Row]) -> Iterator[tuple[Prompt, Prediction]]:
        """Answer the prompts of a window, each batch before the next one is begun."""
        options = self.config.generation
        each = max(options.num_beams, options.answers_each)  # rows of a batch

        def tokens(row: Row) -> int:
            return each * (len(row.encoding.prompt_ids) + options.max_new_tokens)

        groups = [[row] for row in rows]
        yield from within(self._room, groups, tokens, self._answer, self._out_of_memory)

    def _tell_hardware(self, training: bool) -> None:
        ready_device()
        keep_freed_blocks()
        for text in hardware_notes(self.hardware(), training):
            self.note(text)

    def _take_over_generation(self) -> None:
        """Let our options alone decide how answers are written; say what the model asked for."""
        dropped = take_over_generation(self.model)
        if dropped:
            asked = ", ".join(f"{name} = {value}" for name, value in sorted(dropped.items()))
            self._progress.note(
                f"the model's generation config asks for {asked}; the options under generation"
                " decide instead"
            )

    @property
    def _device(self) -> str:
        """The kind of device that answers are written on."""
        device: str = input_device(self.model).type
        return device

    @property
    def _times(self) -> int:
        """Tokens of a batch for each that is read at once, by `generation.batch_tokens`."""
        return 1

    @cached_property
    def _room(self) -> Room:
        """What fits: kept for all windows, so that memory runs out once for each size."""
        kind = "cpu" if self._device == "cpu" else "cuda"
        free, itemsize = free_bytes(self._device), compute_dtype(self.options).itemsize
        kept, read = (of(self._model_config, itemsize) for of in (kept_bytes, read_bytes))
        asked, most = self.config.generation.batch_tokens, self.most_tokens[kind] * self._times
        tokens = asked * self._times if asked else tokens_within(most, kept, free)
        at_once = min(asked or READ[kind], tokens_within(READ[kind], read, free))
        return Room(tokens, self._progress.note, at_once, alone=not self.is_spread)

    @abstractmethod
    def _write(self, batch: Sequence[Row]) -> Iterable[list[Written]]:
        """Write the answers of one batch, those of each row together."""

    def _answer(self, batch: Sequence[Row]) -> Iterator[tuple[Prompt, Prediction]]:
        options = self.config.generation
        started = perf_counter()
        with drawing(options, self.config.seed, batch[0].prompt.id), quiet():
            answers = self._write(batch)
        # Those of a batch that come together have equal shares of its time.
        share = (perf_counter() - started) / len(batch) if isinstance(answers, list) else None
        for row, written in zip(batch, answers, strict=True):
            yield self._predicted(row, written, share or perf_counter() - started)
            started = perf_counter()

    def _predicted(
        self, row: Row, answers: Sequence[Written], seconds: float | None = None
    ) -> tuple[Prompt, Prediction]:
        """What was written for one prompt as its answer: the best, or of samples the medoid."""
        tokens, decode = len(row.encoding.prompt_ids), self._answer_text
        prompt, options = row.prompt, self.config.generation
        alone = [[one] for one in answers] if options.samples > 1 else [answers]
        found = [as_prediction(prompt.id, tokens, own, decode, options) for own in alone]
        chosen = found[0]
        if options.samples > 1:
            chosen = most_central(prompt, found, self.config.evaluation.profile)
        return prompt, replace(chosen, seconds=None if seconds is None else round(seconds, 4))

    def _draws(self, batch: Sequence[Row]) -> list[list[float]]:
        """What draws each answer to the prompts of a batch, those of a prompt together."""
        options = self.config.generation
        return [
            uniform_draws(options, self.config.seed, row.prompt.id, number)
            for row in batch
            for number in range(options.answers_each)
        ]

    @staticmethod
    def _out_of_memory(row: Row) -> tuple[Prompt, Prediction]:
        tokens = len(row.encoding.prompt_ids)
        reason = f"out of memory at a prompt of {tokens} tokens"
        return row.prompt, Prediction(row.prompt.id, None, reason, tokens)

    def text_of(self, token_ids: Sequence[int]) -> str:
        """The text of the ids of an answer, as it is in `Prediction.raw`."""
        return self._answer_text(token_ids)[0]

    def _answer_text(self, token_ids: Sequence[int]) -> tuple[str, bool]:
        """The text of what was written, and whether that is an answer."""
        return self._tokenizer.decode(token_ids, skip_special_tokens=True), True
