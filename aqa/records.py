"""The values passed through aqa: frozen, slotted, standard library only."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Literal

from aqa.spent import Spent

# How much of a generated text is the answer: its first line, or all of it.
AnswerPart = Literal["line", "text"]

# Kinds of confidence: the mean and the lowest log-probability of an answer's tokens; the agreement
# of other samples with it, 0..1.
MEAN_LOGPROB, MIN_LOGPROB, AGREEMENT = "mean_logprob", "min_logprob", "agreement"

# Which direction of a score is better; "" if unknown.
Better = Literal["higher", "lower", ""]

# Only {name} is a placeholder in a template; all other braces are text.
PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class Passage:
    """One retrieved passage. `rank` counts from 1 in the data's order."""

    text: str
    title: str = ""
    id: str | None = None
    score: float | None = None
    rank: int = 1


@dataclass(frozen=True, slots=True)
class Example:
    """One question with its evidence.

    `answers` holds every reference; () means known to be unanswerable, None that the data have no
    references. `gold_ids` are the ids of gold passages; `own_passages` are gold passages given
    with the question itself, among `passages` or, if a retriever's were joined, elsewhere. `place`
    says where it was read ("file.jsonl, line 3"), for messages. `target` is the text to train on,
    if the data name it.
    """

    id: str
    question: str
    passages: Sequence[Passage]
    answers: tuple[str, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    gold_ids: tuple[str, ...] = ()
    own_passages: tuple[Passage, ...] = ()
    place: str = ""
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt template: messages with the placeholders {context} and {question}.

    `no_answer` holds the phrases that mean "the evidence has no answer"; the first one is the
    training target of an unanswerable question. `answer` is how much of a generated text to keep.
    """

    name: str
    messages: tuple[Message, ...]
    no_answer: tuple[str, ...] = ()
    sha256: str = ""
    answer: AnswerPart = "line"

    def targets(self, answers: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the possible training targets: the references, or the first no-answer phrase."""
        if answers is None:
            return ()
        return tuple(dict.fromkeys(answers)) or self.no_answer[:1]

    def target(self, answers: tuple[str, ...] | None) -> str | None:
        """Return the training target: the first reference or no-answer phrase, None without."""
        return next(iter(self.targets(answers)), None)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A passage left out, and why.

    It repeated another (`duplicate`), ranked too low (`top_k`), or did not fit into the evidence
    budget (`budget`) or the reader (`reader`).
    """

    passage: Passage
    reason: Literal["duplicate", "top_k", "budget", "reader"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The passages that a reader sees, best ranked first, and what was left out.

    The ends of passages may be cut, too: `cut_characters` counts what the evidence budget cut,
    `reader_cut_characters` what had to be cut for the reader. `best_last` reverses the reading
    order; `numbered` puts [1], [2] and so on before the passages, in reading order.
    """

    passages: tuple[Passage, ...]
    dropped: tuple[Dropped, ...] = ()
    cut_characters: int = 0
    reader_cut_characters: int = 0
    best_last: bool = False
    title: bool = True
    join: str = "\n\n"
    numbered: bool = False

    @property
    def shortened(self) -> bool:
        """Whether something did not fit, into the evidence budget or into the reader."""
        cut = self.cut_characters + self.reader_cut_characters
        return cut > 0 or any(drop.reason in ("budget", "reader") for drop in self.dropped)

    @property
    def reading_order(self) -> tuple[Passage, ...]:
        """The kept passages in the order in which the reader sees them."""
        return self.passages[::-1] if self.best_last else self.passages

    @property
    def context(self) -> str:
        """The text that replaces {context}."""
        texts = [self.text_of(passage) for passage in self.reading_order]
        if self.numbered:
            texts = [f"[{number}] {text}" for number, text in enumerate(texts, 1)]
        return self.join.join(texts)

    def text_of(self, passage: Passage) -> str:
        """Return a passage as the reader sees it, under its title."""
        return f"{passage.title}\n{passage.text}" if self.title and passage.title else passage.text


@dataclass(frozen=True, slots=True)
class Encoding:
    """A prompt as token ids: `prompt_ids` are input, `target_ids` (may be empty) are trained on.

    `part_lengths`, if any, split `prompt_ids` into parts that are encoded separately.
    """

    prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...] = ()
    part_lengths: tuple[int, ...] = ()

    @property
    def parts(self) -> list[tuple[int, ...]]:
        """`prompt_ids` split into the parts that are encoded separately."""
        ends = accumulate(self.part_lengths)
        return [
            self.prompt_ids[end - length : end]
            for length, end in zip(self.part_lengths, ends, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt made from one example.

    `index` is the example's position in the data, from 0. `target` is the text to train on, None
    if the data have no reference. `gold_ranks` are the ranks of all passages that contain the
    answer, and `gold_in_evidence` says whether the reader sees it; None if no answer is known.
    `evidence_tokens` counts the kept evidence, if its plan names a tokenizer. `clusters` label
    what the question is about, see `aqa.runs.cluster_labels`. `values` replace a template's other
    variables. `encoding` caches a reader's token ids; changing the prompt drops it.
    """

    id: str
    index: int
    question: str
    evidence: Evidence
    template: Template
    target: str | None = None
    answers: tuple[str, ...] | None = None
    gold_ranks: tuple[int, ...] | None = None
    gold_in_evidence: bool | None = None
    evidence_tokens: int | None = None
    clusters: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    encoding: Encoding | None = field(default=None, init=False, repr=False, compare=False)

    def carrying(self, encoding: Encoding | None) -> "Prompt":
        """Return the same prompt with its token ids cached."""
        copy = replace(self)
        object.__setattr__(copy, "encoding", encoding)
        return copy

    @property
    def messages(self) -> tuple[Message, ...]:
        """The rendered chat; passages and question are inserted as text, never parsed again."""
        return self.messages_with(lambda value: value)

    def messages_with(self, change: Callable[[str], str]) -> tuple[Message, ...]:
        """Render the chat, changing each value before it is inserted."""
        values = {**self.values, "context": self.evidence.context, "question": self.question}
        changed = {name: change(value) for name, value in values.items()}
        return tuple(
            Message(turn.role, PLACEHOLDER.sub(lambda match: changed[match[1]], turn.content))
            for turn in self.template.messages
        )


@dataclass(frozen=True, slots=True)
class StructuredAnswer:
    """The relevant parts of an answer that is a JSON object.

    `abstained`: the reader found no answer. `passages` are the numbers of the passages that it
    cites, counted from 1 in reading order.
    """

    text: str
    abstained: bool = False
    passages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """A reader's answer to one prompt, or the reason why there is none.

    `raw` is the generated text; with an `error` it is not an answer, and None if nothing came.
    `cut`: the answer reached the token limit; `unread` counts prompt tokens that a server dropped.
    Token counts are the reader's. `confidence` is higher the surer the reader is;
    `confidence_kind` says what it measures (MEAN_LOGPROB, which for local models includes the end
    token; AGREEMENT; or a backend's own kind), and `other_confidences` hold other kinds. `nbest`
    holds several answers with scores, best first, if asked for. `spent` is what all attempts cost
    together, if the reader is paid by the token. `structured` holds the relevant parts of `raw` if
    that follows a schema. `model` is the server's name for the model that answered. `saved` is
    what a cached answer would have cost. `answer` is the cleaned answer, which `text` returns.
    `seconds` is how long it took, or its share of a batch's time.
    """

    id: str
    raw: str | None = None
    error: str | None = None
    prompt_tokens: int = 0
    answer_tokens: int = 0
    confidence: float | None = None
    confidence_kind: str = ""
    other_confidences: tuple[tuple[str, float], ...] = ()
    nbest: tuple[tuple[str, float], ...] = ()
    spent: Spent | None = None
    structured: StructuredAnswer | None = None
    model: str = ""
    saved: Spent | None = None
    cut: bool = False
    unread: int = 0
    answer: str | None = None
    seconds: float | None = field(default=None, compare=False)

    @property
    def text(self) -> str | None:
        """The answer itself; None if there is none because of an `error`."""
        return self.raw if self.answer is None and self.error is None else self.answer


@dataclass(frozen=True, slots=True)
class TrainStep:
    """What a training loop reports after an optimizer step or an evaluation (`scores`)."""

    step: int
    total_steps: int
    epoch: float
    loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """A corpus score, 0..100, with the values per example whose mean it is.

    `low` and `high` are its 95 % interval; `design_effect` is its variance divided by that of
    independent examples. `better` is "" if the direction is unknown. A score that is not a mean of
    values per example has an `influence` instead: for each example, the score plus that example's
    influence on it, so that their mean is the score and their spread gives its error.
    """

    name: str
    value: float
    signature: str
    per_example: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    design_effect: float | None = None
    better: Better = "higher"
    influence: tuple[float, ...] = ()
