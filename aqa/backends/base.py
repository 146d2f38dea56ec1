"""Base classes of backends, independent of any model library."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, Protocol, Self, cast

from typing_extensions import TypeVar

from aqa.backends.cuts import Cuts
from aqa.backends.truncation import fit
from aqa.config.backend_options import BackendOptions
from aqa.config.options import RunConfig
from aqa.progress import Progress
from aqa.records import Encoding, Message, Prediction, Prompt, TrainStep
from aqa.runs.files import Hashed
from aqa.spent import CostEstimate, Spent

OptionsT_co = TypeVar("OptionsT_co", bound=BackendOptions, default=BackendOptions, covariant=True)


class Backend(ABC, Generic[OptionsT_co]):
    """A reader: a new one must define `Options` and `generate`; all else has defaults.

    Constructing one is cheap: `with` loads the weights or opens the client.
    """

    Options: ClassVar[type[BackendOptions]]

    def __init__(self, config: RunConfig, progress: Progress) -> None:
        self.config = config
        self.options = cast(OptionsT_co, config.backend)  # `build_config` made it from `Options`
        self._progress = progress
        self._noted: set[str] = set()
        self.folder: Path | None = None  # the run folder, where a reader may write files

    def __enter__(self) -> Self:
        """Load the weights or open the client."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Free the memory or close the client."""

    @abstractmethod
    def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
        """Yield each prompt with its prediction as soon as it is known, in any order.

        Prompts are read lazily, a window at a time.
        """

    def check(self) -> None:
        """Raise what would stop this reader from working here, as far as known without weights."""

    def note(self, text: str) -> None:
        """Show the user a note, once."""
        if text not in self._noted:
            self._noted.add(text)
            self._progress.note(text)

    @property
    def limit(self) -> int | None:
        """The most tokens that a prompt and its answer may take together; None if unlimited."""
        return getattr(self.options, "max_seq_length", None)

    def encode(self, prompt: Prompt) -> Encoding | None:
        """Return the token ids of a prompt and its target; None if the reader sends text.

        Needs no weights. Training, prediction and previews all use these ids.
        """
        return None

    def sent(self, prompt: Prompt) -> tuple[Sequence[Message], Mapping[str, object]]:
        """Return the messages and the request parameters that a server is sent.

        A plain text is one message without a role. Without a server the parameters are empty. Needs
        neither key nor server.
        """
        return prompt.messages, {}

    def encoded(self, prompt: Prompt) -> Prompt:
        """Return the prompt with its token ids, encoding it if necessary."""
        if prompt.encoding is not None:
            return prompt
        encoding = self.encode(prompt)
        return prompt if encoding is None else prompt.carrying(encoding)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of token ids, special tokens included; by default the ids themselves."""
        return "".join(f"<{token_id}>" for token_id in token_ids)

    def unknown_characters(self, text: str) -> tuple[int, int]:
        """Count a text's characters unknown to the tokenizer, and all, white space excluded.

        (0, 0) if the backend cannot tell, which is the default.
        """
        return 0, 0

    @property
    def begin_token_id(self) -> int | None:
        """The begin-of-text token, if the tokenizer has one."""
        return None

    def length(self, prompt: Prompt) -> int | None:
        """Count the tokens of a prompt plus the room for its answer; None if tokens aren't counted.

        The room is the longer of the target and `max_new_tokens`. Needs no weights.
        """
        encoding = prompt.encoding or self.encode(prompt)
        if encoding is None:
            return None
        room = max(len(encoding.target_ids), self.config.generation.max_new_tokens)
        return len(encoding.prompt_ids) + room

    def fit(self, prompt: Prompt) -> Prompt:
        """Drop evidence until the prompt fits (see `truncation.fit`); return it with its token ids.

        Needs no weights.

        Raises:
            PromptError: it does not fit even without passages.
        """
        if self.limit is None:
            return self.encoded(prompt)
        return fit(prompt, lambda trial: self.length(trial) or 0, self.limit, self.encoded)

    def identity(self) -> Mapping[str, object]:
        """What determines the answers besides data and prompt: model, hash of weights, decoding.

        By default, all options.
        """
        decoding = self.config.generation.identity(self.config.seed)
        return {**self.options.model_dump(mode="json", exclude={"name"}), **decoding}

    def sources(self) -> Mapping[str, Hashed]:
        """The files that the reader loads, by role (model, adapter); empty if made from scratch."""
        return {}

    def hardware(self) -> Mapping[str, str]:
        """The local device, its name and the dtype; empty for a remote model."""
        return {}

    @property
    def confidence_kind(self) -> str | None:
        """The kind of confidences, see `Prediction`: "" if unspecified, None if there are none."""
        return ""

    def learn_tokenizer(self, texts: Iterable[str]) -> None:
        """Train the tokenizer on these texts if there is none; called before prompts are fitted."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """What a training run needs besides the reader's configuration.

    `train(part, parts, cuts)` yields the prompts of one part of the examples, may be called any
    number of times, and counts in its `cuts` what the prompts lost; the field `cuts` holds the
    totals of all parts. `made_from` is what determines the prompts. `score` scores predictions of
    dev prompts on 0..100. `folder` is the run folder; `resume` continues from its last checkpoint.
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
    """What a training run will need, estimated before it starts."""

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

    merges: ClassVar[bool] = False  # whether it trains an adapter that can be merged into its base

    @property
    def base(self) -> str:
        """The model that is fine-tuned, as the user named it; "" if it is trained from scratch."""
        return self.options.model

    def check_training(self) -> None:
        """Raise any error that would stop a model that loads from being trained."""

    @abstractmethod
    def estimate(self) -> TrainEstimate:
        """Count parameters and memory without loading weights."""

    @abstractmethod
    def train(self, job: TrainJob, on_step: Callable[[TrainStep], None]) -> Path:
        """Fine-tune, leave the best weights loaded and return the folder they were written to.

        If there are dev prompts, finish by scoring the best weights on all of them.

        Raises:
            KeyboardInterrupt: the user stopped it; a checkpoint was written.
        """

    def merge(self, run_folder: Path, prompts: Sequence[Prompt]) -> Merged:
        """Write the merged model into the run folder and compare its answers to the prompts."""
        raise NotImplementedError(f"{type(self).__name__} merges nothing")

    def check_export(self) -> None:
        """Raise any error that would stop a merged model from being exported; needs no weights."""

    def export(self, merged: Path, kind: str, prompts: Sequence[Prompt]) -> Merged:
        """Export a merged model to one file for llama.cpp and compare both's greedy answers."""
        raise NotImplementedError(f"{type(self).__name__} exports nothing")


class PendingPrompts(Protocol):
    """The prompts of a run, for a reader that reads them more than once."""

    def mark(self) -> int:
        """Return a mark in time, to tell later answers from earlier ones."""

    def todo(self) -> Iterator[Prompt]:
        """Yield the prompts that have no answer yet."""

    def of(self, indices: Collection[int], since: int) -> Iterator[Prompt]:
        """Yield the prompts of these examples that have no answer and no failure since `since`."""


class Remote(Backend[OptionsT_co]):
    """A backend that asks a server, possibly for money.

    Some leave questions with the server and fetch the answers later. The caller must have written
    each of those answers to disk before it takes the next.
    """

    @abstractmethod
    def check_access(self) -> None:
        """Raise if the key or the address cannot be right; sends nothing."""

    def count_elsewhere(self, spent: Spent) -> None:
        """Count what other runs have spent towards this run's caps."""

    @abstractmethod
    def resume(self, spent: Spent, facts: Mapping[str, object], folder: Path) -> None:
        """Restore what earlier sessions spent (by the journal) and learnt (their `facts`).

        The `folder` holds what a killed session may have spent.
        """

    @abstractmethod
    def facts(self, spent: Spent) -> Mapping[str, object]:
        """Return what is worth keeping of a run: the server's model name, requests, prices.

        `spent` is what the journal has recorded.
        """

    @abstractmethod
    def live(self) -> Mapping[str, float | str]:
        """Tokens and money so far, for display."""

    @abstractmethod
    def estimate_cost(self, prompts: Iterable[Prompt]) -> CostEstimate:
        """Estimate the cost of answering the prompts, without sending any."""

    @property
    def asks_by_batch(self) -> bool:
        """Whether all questions go through the server's batch API."""
        return False

    def find_batches(self, folder: Path, fresh: bool) -> bool:
        """Whether a run folder has open batches; RunError if it has and `fresh` is set."""
        return False

    def answer_by_batch(self, pending: PendingPrompts) -> Iterator[tuple[Prompt, Prediction]]:
        """Yield the answers of open batches and, if asked to, of all other questions."""
        return iter(())

    def cancel_batches(self, pending: PendingPrompts) -> Iterator[tuple[Prompt, Prediction]]:
        """Cancel the open batches and yield the answers they have so far."""
        return iter(())
