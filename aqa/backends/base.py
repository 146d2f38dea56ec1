"""What a backend is: protocols, without any library behind them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Protocol, Self, runtime_checkable

from aqa.config.backend_options import BackendOptions
from aqa.config.options import RunConfig
from aqa.progress import Progress
from aqa.records import Encoding, Prediction, Prompt, Spent, TrainStep
from aqa.runs.hashes import Hashed


class Backend(Protocol):
    """A reader. Making one is cheap: weights are loaded, or a client opened, by `with`."""

    Options: ClassVar[type[BackendOptions]]

    def __init__(self, config: RunConfig, progress: Progress) -> None: ...

    def __enter__(self) -> Self:
        """Load the weights or open the client."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free the memory or close the client."""

    def check(self) -> None:
        """Raise what would keep the reader from working here, as far as no weights are needed."""

    def length(self, prompt: Prompt) -> int:
        """Tokens that a prompt and the room for its answer take; needs no weights."""

    def fit(self, prompt: Prompt) -> Prompt:
        """Take away evidence until the prompt fits, see `fitting.fit`; needs no weights.

        Raises:
            PromptError: it does not fit even without passages.
        """

    def identity(self) -> Mapping[str, object]:
        """What decides the answers besides data and prompt: model, hash of weights, decoding."""

    def generate(self, prompts: Iterable[Prompt]) -> Iterator[Prediction]:
        """Answer prompts, in any order, each as soon as it is known; reads them in windows."""


@runtime_checkable
class LoadsFiles(Protocol):
    """A backend whose weights come from files or from the hub."""

    def sources(self) -> Mapping[str, Hashed]:
        """What it is loaded from, by role (model, adapter); nothing where it is made here."""


@runtime_checkable
class Encodes(Protocol):
    """A backend that can show the very token ids it trains on and reads."""

    def encode(self, prompt: Prompt) -> Encoding:
        """Token ids of a prompt and of its target; needs no weights."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""

    @property
    def begin_token_id(self) -> int | None:
        """The begin-of-text token, where the tokenizer has one."""


@runtime_checkable
class LearnsTokenizer(Protocol):
    """A backend whose tokenizer may have to be made of the training data."""

    def learn_tokenizer(self, texts: Iterable[str]) -> None:
        """Make it, where there is none yet; before prompts are cut to size."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """What a training needs besides the reader's own configuration.

    `train` and `dev` can be read any number of times. `score` judges predictions of dev prompts
    on 0..100. `folder` is the run folder; `resume` goes on from its last checkpoint.
    """

    train: Callable[[], Iterable[Prompt]]
    dev: Sequence[Prompt]
    score: Callable[[Iterable[Prediction]], Mapping[str, float]]
    folder: Path
    resume: bool


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


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a prediction would take, told before it begins.

    `exact` tells whether the model's own tokenizer counted. Costs are in US dollars, the lower one
    for answers of one token, the higher one for the longest, with a margin where tokens are
    guessed; None where no price is known, which `price` tells in words. `seconds` follow from the
    given limits; None where there are none.
    `cached` of the examples have their answers in the cache and cost nothing; `answered` others
    have theirs in the run folder.
    """

    model: str
    examples: int
    unfit: int
    input_tokens: int
    exact: bool
    output_tokens: tuple[int, int]
    cost: tuple[float, float] | None
    price: str
    seconds: float | None
    cached: int = 0
    answered: int = 0


@runtime_checkable
class Remote(Protocol):
    """A backend that asks a server, which may want money."""

    def check_access(self) -> None:
        """Raise where the key or the address can't be right; nothing is asked yet."""

    def take_up(self, spent: Spent, facts: Mapping[str, object], folder: Path, fresh: bool) -> None:
        """Go on from what earlier sessions spent, by the journal, and learnt; see `facts`.

        What one that was killed may have spent stands in the `folder`; `fresh` forgets it.
        """

    def facts(self, spent: Spent) -> Mapping[str, object]:
        """What is worth keeping of the run: the model as the server calls it, requests, prices.

        `spent` is what the journal knows to be.
        """

    def live(self) -> Mapping[str, float | str]:
        """Tokens and money so far, to show."""

    def estimate_cost(self, prompts: Iterable[Prompt]) -> CostEstimate:
        """Tell what answering the prompts would take, without asking."""


class Questions(Protocol):
    """What a run asks, for a reader that goes through it more than once."""

    def mark(self) -> int:
        """A moment of the run; what is answered from now on stands behind it."""

    def todo(self) -> Iterator[Prompt]:
        """The prompts of all that has no answer yet."""

    def of(self, indices: Collection[int], since: int) -> Iterator[Prompt]:
        """The prompts of these examples that have no answer, nor a failure from after `since`."""


@runtime_checkable
class Batched(Protocol):
    """A backend that can leave questions with a server and fetch the answers later.

    Answers come with their prompts: whoever takes one has it on the disk before the next.
    """

    def take_up_batches(self, folder: Path, fresh: bool) -> bool:
        """Look what a run folder's batches are like; tell whether any are open.

        Raises:
            RunError: the run is to begin anew, although some are.
        """

    @property
    def asks_by_batch(self) -> bool:
        """Whether all questions are to be asked so."""

    def answer_by_batch(self, questions: Questions) -> Iterator[tuple[Prompt, Prediction]]:
        """Collect the answers of open batches; if asked so, of all other questions, too."""

    def cancel_batches(self, questions: Questions) -> Iterator[tuple[Prompt, Prediction]]:
        """End the open batches, and give what they answered until then."""


@runtime_checkable
class Mergeable(Protocol):
    """A backend whose trained adapter can become one model with its base."""

    def merge(self, run_folder: Path, prompts: Sequence[Prompt]) -> Merged:
        """Write the merged model into the run folder and compare its answers to the prompts."""


@runtime_checkable
class Trainable(Protocol):
    """A backend that can be fine-tuned."""

    def estimate(self) -> TrainEstimate:
        """Count parameters and memory without loading weights."""

    def train(self, job: TrainJob, on_step: Callable[[TrainStep], None]) -> Path:
        """Fine-tune; leave the best weights loaded and give the folder they were written to.

        Where there are dev prompts, the last thing is to score the best weights' answers to all.

        Raises:
            KeyboardInterrupt: the user stopped it; a checkpoint was written.
        """
