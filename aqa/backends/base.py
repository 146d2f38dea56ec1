"""What a backend is: base classes, without any library behind them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, Protocol, Self, cast

from typing_extensions import TypeVar

from aqa.backends.cuts import Cuts
from aqa.backends.fitting import fit
from aqa.config.backend_options import BackendOptions
from aqa.config.options import RunConfig
from aqa.progress import Progress
from aqa.records import Encoding, Message, Prediction, Prompt, TrainStep
from aqa.runs.files import Hashed
from aqa.spent import CostEstimate, Spent

OptionsT_co = TypeVar("OptionsT_co", bound=BackendOptions, default=BackendOptions, covariant=True)


class Backend(ABC, Generic[OptionsT_co]):
    """A reader: one of your own needs `Options` and `generate`; the rest has defaults.

    Making one is cheap: weights are loaded, or a client opened, by `with`.
    """

    Options: ClassVar[type[BackendOptions]]

    def __init__(self, config: RunConfig, progress: Progress) -> None:
        self.config = config
        self.options = cast(OptionsT_co, config.backend)  # `build_config` made them of `Options`
        self._progress = progress
        self._noted: set[str] = set()
        self.folder: Path | None = None  # the run folder, for what a reader leaves there

    def __enter__(self) -> Self:
        """Load the weights or open the client."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Free the memory or close the client."""

    @abstractmethod
    def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
        """Answer prompts, in any order, each as soon as it is known; reads them in windows."""

    def check(self) -> None:
        """Raise what would keep the reader from working here, as far as no weights are needed."""

    def note(self, text: str) -> None:
        """Tell the user one thing worth knowing, once."""
        if text not in self._noted:
            self._noted.add(text)
            self._progress.note(text)

    @property
    def limit(self) -> int | None:
        """Tokens that a prompt and its answer may take together; None where all fit."""
        return getattr(self.options, "max_seq_length", None)

    def encode(self, prompt: Prompt) -> Encoding | None:
        """Make token ids of a prompt and of its target; None from a reader that is sent text.

        Needs no weights. Training and prediction use no others, and previews show them.
        """
        return None

    def sent(self, prompt: Prompt) -> tuple[Sequence[Message], Mapping[str, object]]:
        """The turns that a server is sent, a whole text as one without a role, and the request.

        A request of nothing from a reader that asks no server. Needs neither key nor server.
        """
        return prompt.messages, {}

    def encoded(self, prompt: Prompt) -> Prompt:
        """The prompt with its token ids, which are made here unless it carries them."""
        if prompt.encoding is not None:
            return prompt
        encoding = self.encode(prompt)
        return prompt if encoding is None else prompt.carrying(encoding)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included; by default their numbers."""
        return "".join(f"<{token_id}>" for token_id in token_ids)

    def unknown_characters(self, text: str) -> tuple[int, int]:
        """Characters of a text that the tokenizer does not know, and all but white space.

        By default nothing is known of it: (0, 0).
        """
        return 0, 0

    @property
    def begin_token_id(self) -> int | None:
        """The begin-of-text token, where the tokenizer has one."""
        return None

    def length(self, prompt: Prompt) -> int | None:
        """Tokens that a prompt and the room for its answer take; None where they aren't counted.

        The room is for the target or for `max_new_tokens`, whichever is longer. Needs no weights.
        """
        encoding = prompt.encoding or self.encode(prompt)
        if encoding is None:
            return None
        room = max(len(encoding.target_ids), self.config.generation.max_new_tokens)
        return len(encoding.prompt_ids) + room

    def fit(self, prompt: Prompt) -> Prompt:
        """Take away evidence until the prompt fits, see `fitting.fit`; needs no weights.

        It carries its token ids from now on.

        Raises:
            PromptError: it does not fit even without passages.
        """
        if self.limit is None:
            return self.encoded(prompt)
        return fit(prompt, lambda trial: self.length(trial) or 0, self.limit, self.encoded)

    def identity(self) -> Mapping[str, object]:
        """What decides the answers besides data and prompt: model, hash of weights, decoding.

        By default all options count.
        """
        decoding = self.config.generation.identity(self.config.seed)
        return {**self.options.model_dump(mode="json", exclude={"name"}), **decoding}

    def sources(self) -> Mapping[str, Hashed]:
        """What it is loaded from, by role (model, adapter); nothing where it is made here."""
        return {}

    def hardware(self) -> Mapping[str, str]:
        """The device that it works on here, its name and the dtype; nothing of a server's."""
        return {}

    @property
    def confidence_kind(self) -> str | None:
        """The kind of its answers' confidences, see `Prediction`; "" where it says none.

        None of a reader whose answers have no confidence.
        """
        return ""

    def learn_tokenizer(self, texts: Iterable[str]) -> None:
        """Make the tokenizer of training data, where there is none; before prompts are fitted."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """What a training needs besides the reader's own configuration.

    `train` makes the prompts of part 0, 1, ... of so many parts of the examples, any number of
    times, and counts what they lost; `cuts` gets what all parts did. `made_from` is what decides
    them. `score` judges predictions of dev prompts on 0..100. `folder` is the run folder; `resume`
    goes on from its last checkpoint.
    """

    train: Callable[[int, int, Cuts], Iterable[Prompt]]
    dev: Sequence[Prompt]
    score: Callable[[Iterable[tuple[Prompt, Prediction]]], Mapping[str, float]]
    folder: Path
    resume: bool
    cuts: Cuts = field(default_factory=Cuts)
    made_from: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainEstimate:
    """What a training will need, told before it begins."""

    trainable_parameters: int
    all_parameters: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged model, and how many of the compared greedy answers differ from the adapter's."""

    folder: Path
    compared: int
    different: int


class Trainable(Backend[OptionsT_co]):
    """A backend that can be fine-tuned."""

    merges: ClassVar[bool] = False  # whether it trains an adapter that can become one with its base

    @property
    def base(self) -> str:
        """The model that is fine-tuned, as it was named; empty where one is made from scratch."""
        return self.options.model

    def check_training(self) -> None:
        """Raise what would keep a model that can be read from being trained."""

    @abstractmethod
    def estimate(self) -> TrainEstimate:
        """Count parameters and memory without loading weights."""

    @abstractmethod
    def train(self, job: TrainJob, on_step: Callable[[TrainStep], None]) -> Path:
        """Fine-tune; leave the best weights loaded and give the folder they were written to.

        Where there are dev prompts, the last thing is to score the best weights' answers to all.

        Raises:
            KeyboardInterrupt: the user stopped it; a checkpoint was written.
        """

    def merge(self, run_folder: Path, prompts: Sequence[Prompt]) -> Merged:
        """Write the merged model into the run folder and compare its answers to the prompts."""
        raise NotImplementedError(f"{type(self).__name__} merges nothing")

    def check_export(self) -> None:
        """Raise what would keep a merged model from being exported; needs no weights."""

    def export(self, merged: Path, kind: str, prompts: Sequence[Prompt]) -> Merged:
        """Write a merged model as one file for llama.cpp, and compare both's greedy answers."""
        raise NotImplementedError(f"{type(self).__name__} exports nothing")


class PendingPrompts(Protocol):
    """What a run asks, for a reader that goes through it more than once."""

    def mark(self) -> int:
        """A moment of the run; what is answered from now on comes after it."""

    def todo(self) -> Iterator[Prompt]:
        """The prompts of all that has no answer yet."""

    def of(self, indices: Collection[int], since: int) -> Iterator[Prompt]:
        """The prompts of these examples that have no answer, nor a failure from after `since`."""


class Remote(Backend[OptionsT_co]):
    """A backend that asks a server, which may want money.

    It may be able to leave questions with the server and to fetch their answers later. Whoever
    takes such an answer has it on the disk before the next.
    """

    @abstractmethod
    def check_access(self) -> None:
        """Raise where the key or the address can't be right; nothing is asked yet."""

    def count_elsewhere(self, spent: Spent) -> None:
        """Count what other runs have spent against this one's caps."""

    @abstractmethod
    def resume(self, spent: Spent, facts: Mapping[str, object], folder: Path, fresh: bool) -> None:
        """Go on from what earlier sessions spent, by the journal, and learnt; see `facts`.

        What one that was killed may have spent is in the `folder`; `fresh` forgets it.
        """

    @abstractmethod
    def facts(self, spent: Spent) -> Mapping[str, object]:
        """What is worth keeping of the run: the model as the server calls it, requests, prices.

        `spent` is what the journal knows to be.
        """

    @abstractmethod
    def live(self) -> Mapping[str, float | str]:
        """Tokens and money so far, to show."""

    @abstractmethod
    def estimate_cost(self, prompts: Iterable[Prompt]) -> CostEstimate:
        """Tell what answering the prompts would take, without asking."""

    @property
    def asks_by_batch(self) -> bool:
        """Whether all questions are to be left with the server."""
        return False

    def find_batches(self, folder: Path, fresh: bool) -> bool:
        """Whether batches of a run folder are open; RunError if some are, and it starts over."""
        return False

    def answer_by_batch(self, pending: PendingPrompts) -> Iterator[tuple[Prompt, Prediction]]:
        """Collect the answers of open batches; if asked so, of all other questions, too."""
        return iter(())

    def cancel_batches(self, pending: PendingPrompts) -> Iterator[tuple[Prompt, Prediction]]:
        """End the open batches, and give what they answered until then."""
        return iter(())
