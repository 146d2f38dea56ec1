"""The base class of readers that load their own weights."""

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
from aqa.backends.local.checks import check_positions, check_vocabulary
from aqa.backends.local.compiling import check_compiling
from aqa.backends.local.decoding import GeneratedAnswer, as_prediction, uniform_draws
from aqa.backends.local.devices import (
    compute_dtype,
    hardware,
    hardware_notes,
    input_device,
    ready_device,
)
from aqa.backends.local.failures import WRITING, explained_work
from aqa.backends.local.generation import seeded_sampling
from aqa.backends.local.generation_config import take_over_generation
from aqa.backends.local.memory import (
    MOST,
    READ,
    TokenBudget,
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
    """A reader whose weights `with` and `train` load; encoding needs only the tokenizer."""

    is_sharded = False  # whether weights are sharded over processes
    most_tokens: ClassVar[Mapping[str, int]] = MOST  # tokens of a batch if memory is no limit

    def __init__(self, config: RunConfig, progress: Progress) -> None:
        super().__init__(config, progress)
        self.model: Any = None

    def __exit__(self, *exc: object) -> None:
        self.model = None
        free_memory()

    @cached_property
    def files(self) -> ModelFiles:
        """The location of the model, or of base and adapter."""
        return find_model(self.options)

    def sources(self) -> Mapping[str, Hashed]:
        """The model, and its adapter if it has one."""
        return self._hashes

    @cached_property
    def _hashes(self) -> Mapping[str, Hashed]:
        return hash_model(self.files)

    @property
    @abstractmethod
    def _tokenizer(self) -> Any:
        """The model's tokenizer."""

    @cached_property
    @abstractmethod
    def _model_config(self) -> Any:
        """The model's config, as transformers loads it."""

    @cached_property
    def _vocabulary(self) -> int | None:
        """The size of the model's vocabulary; None if its config does not say."""
        return getattr(self._model_config.get_text_config(decoder=True), "vocab_size", None)

    def _check_positions(self) -> None:
        check_positions(self._model_config, self.options, self.config.generation, self.note)

    def _with_known_tokens(self, prompt: Prompt, encoding: Encoding) -> Encoding:
        """Return the encoding, if the model knows all of its tokens."""
        check_vocabulary(prompt.id, encoding, self._vocabulary, self._tokenizer, self.options.model)
        return encoding

    def hardware(self) -> Mapping[str, str]:
        """The device of this process and the compute dtype."""
        return hardware(self.options)

    def _resolved_dtype(self) -> dict[str, str]:
        """The dtype that `auto` resolved to, for the identity, since it affects answers."""
        auto = self.options.compute_dtype == "auto"
        return {"dtype": self.hardware()["dtype"]} if auto else {}

    @property
    def confidence_kind(self) -> str:
        """Agreement if there are several samples, otherwise the mean log-probability."""
        return AGREEMENT if self.config.generation.samples > 1 else MEAN_LOGPROB

    def tokenized_by(self) -> dict[str, str | None]:
        """Return what determines token ids, besides the options and hashed files."""
        commit = getattr(self._model_config, "_commit_hash", None)  # for a model on the hub
        versions = {name: metadata.version(name) for name in ("tokenizers", "transformers")}
        return {"commit": commit, **versions}

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer to a model's folder."""
        self._tokenizer.save_pretrained(folder)

    def check_training(self) -> None:
        """Check that the options suit training and work here.

        Raises:
            ConfigError: an option does not.
        """
        if self.options.device_map:
            raise ConfigError(
                "backend.device_map = auto is for prediction; a model larger than one GPU is"
                " trained with FSDP: see the README, or leave it out"
            )
        check_compiling(self.config.training.torch_compile)
        with quiet():
            from aqa.backends.local.training_arguments import check_options

        check_options(self.config.training)

    @abstractmethod
    def encode(self, prompt: Prompt) -> Encoding:
        """Return the token ids of a prompt and its target, for training and prediction alike."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of token ids, special tokens included."""
        text: str = self._tokenizer.decode(token_ids)
        return text

    def unknown_characters(self, text: str) -> tuple[int, int]:
        """Count a text's characters unknown to the tokenizer, and all, white space excluded."""
        return unknown_characters(self._tokenizer, text)

    def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
        """Answer prompts window by window, in batches of similar length, longest first."""
        options = self.config.generation
        with sharing_processors(), explained_work(self.options.model, WRITING):
            for window in windows(prompts, options.window, lambda prompt: prompt.index):
                yield from self._answer_window(
                    [Row(prompt, prompt.encoding or self.encode(prompt)) for prompt in window]
                )

    def _answer_window(self, rows: Sequence[Row]) -> Iterator[tuple[Prompt, Prediction]]:
        options = self.config.generation
        count = max(options.num_beams, options.answers_each)  # rows per prompt

        def tokens(row: Row) -> int:
            return count * (len(row.encoding.prompt_ids) + options.max_new_tokens)

        groups = [[row] for row in rows]
        yield from within(self._budget, groups, tokens, self._answer, self._out_of_memory)

    def _tell_hardware(self, training: bool) -> None:
        ready_device()
        keep_freed_blocks()
        for text in hardware_notes(self.hardware(), training):
            self.note(text)

    def _take_over_generation(self) -> None:
        """Let only our options control generation, and note what the model's config asked for."""
        dropped = take_over_generation(self.model)
        if dropped:
            listed = ", ".join(f"{name} = {value}" for name, value in sorted(dropped.items()))
            self._progress.note(
                f"the model's generation config asks for {listed}; the options under generation"
                " decide instead"
            )

    @property
    def _device(self) -> str:
        device: str = input_device(self.model).type
        return device

    @property
    def _times(self) -> int:
        """Tokens per batch, as a multiple of `generation.batch_tokens`."""
        return 1

    @cached_property
    def _budget(self) -> TokenBudget:
        """The limit on tokens, kept for all windows so that memory runs out once per size."""
        kind = "cpu" if self._device == "cpu" else "cuda"
        free, itemsize = free_bytes(self._device), compute_dtype(self.options).itemsize
        of_cache, read = (of(self._model_config, itemsize) for of in (kept_bytes, read_bytes))
        limit, most = self.config.generation.batch_tokens, self.most_tokens[kind] * self._times
        tokens = limit * self._times if limit else tokens_within(most, of_cache, free)
        at_once = min(limit or READ[kind], tokens_within(READ[kind], read, free))
        return TokenBudget(tokens, self._progress.note, at_once, alone=not self.is_sharded)

    @abstractmethod
    def _write(self, batch: Sequence[Row]) -> Iterable[list[GeneratedAnswer]]:
        """Return the answers of one batch, those of a row together."""

    def _answer(self, batch: Sequence[Row]) -> Iterator[tuple[Prompt, Prediction]]:
        options = self.config.generation
        started = perf_counter()
        with seeded_sampling(options, self.config.seed, batch[0].prompt.id), quiet():
            answers = self._write(batch)
        # Answers that come as a list share the batch's time equally.
        seconds = (perf_counter() - started) / len(batch) if isinstance(answers, list) else None
        for row, written in zip(batch, answers, strict=True):
            yield self._predicted(row, written, seconds or perf_counter() - started)
            started = perf_counter()

    def _predicted(
        self, row: Row, answers: Sequence[GeneratedAnswer], seconds: float | None = None
    ) -> tuple[Prompt, Prediction]:
        """Make a prompt's prediction: the best answer or, of samples, the medoid."""
        tokens, decode = len(row.encoding.prompt_ids), self._answer_text
        prompt, options = row.prompt, self.config.generation
        groups = [[answer] for answer in answers] if options.samples > 1 else [answers]
        predictions = [as_prediction(prompt.id, tokens, group, decode, options) for group in groups]
        chosen = predictions[0]
        if options.samples > 1:
            chosen = most_central(prompt, predictions, self.config.evaluation.profile)
        return prompt, replace(chosen, seconds=None if seconds is None else round(seconds, 4))

    def _draws(self, batch: Sequence[Row]) -> list[list[float]]:
        """Return the random numbers of each answer in a batch, those of a prompt together."""
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
        """Return the text of an answer's ids, as in `Prediction.raw`."""
        return self._answer_text(token_ids)[0]

    def _answer_text(self, token_ids: Sequence[int]) -> tuple[str, bool]:
        """Return the text of the ids, and whether it is an answer."""
        return self._tokenizer.decode(token_ids, skip_special_tokens=True), True
