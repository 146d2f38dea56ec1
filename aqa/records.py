"""The values that travel through aqa: frozen, slotted, standard library only."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Literal

from aqa.spent import Spent

# What is kept of the text that a reader generates: its first line, or all of it.
AnswerPart = Literal["line", "text"]

# Kinds of confidence: the mean and the lowest log-probability of an answer's tokens; how far other
# samples agree with it, 0..1.
MEAN_LOGPROB, MIN_LOGPROB, AGREEMENT = "mean_logprob", "min_logprob", "agreement"

# Which direction of a score is better; "" where nobody knows.
Better = Literal["higher", "lower", ""]

# Only {name} is a placeholder in a template; every other brace is text.
PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class Passage:
    """One retrieved passage. `rank` counts from 1 in the order the data gives."""

    text: str
    title: str = ""
    id: str | None = None
    score: float | None = None
    rank: int = 1


@dataclass(frozen=True, slots=True)
class Example:
    """One question with its evidence.

    `answers` holds every reference; () means known to be unanswerable, None means that the data
    gives no reference. `gold_ids` are the ids of passages that are known to hold the answer,
    `own_passages` such passages as came with the question itself: among `passages`, or elsewhere
    where a retriever's were joined. `place` says where it was read ("file.jsonl, line 3"), for
    messages. `target` is the answer to train on, where the data name it beside the references.
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
    training target of an unanswerable question. `answer` is what is kept of the text generated.
    """

    name: str
    messages: tuple[Message, ...]
    no_answer: tuple[str, ...] = ()
    sha256: str = ""
    answer: AnswerPart = "line"

    def targets(self, answers: tuple[str, ...] | None) -> tuple[str, ...]:
        """The texts that can be trained on: distinct references, or the first no-answer phrase."""
        if answers is None:
            return ()
        return tuple(dict.fromkeys(answers)) or self.no_answer[:1]

    def target(self, answers: tuple[str, ...] | None) -> str | None:
        """The text to train on: the first reference, or the no-answer phrase; None without."""
        return next(iter(self.targets(answers)), None)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A passage left out, and why.

    It was there before (`duplicate`), ranked too low (`top_k`), did not fit into the plan's
    budget (`budget`), or into the reader (`reader`).
    """

    passage: Passage
    reason: Literal["duplicate", "top_k", "budget", "reader"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The passages a reader sees, best ranked first, and what was left out.

    The ends of passages may be cut, too: `cut_characters` counts what the evidence plan took away,
    `reader_cut_characters` what the reader still had to. `best_last` turns the reading order
    round; `numbered` writes [1], [2] and so on before the passages, as they are read.
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
        """Whether something did not fit, into the plan's budget or into the reader."""
        cut = self.cut_characters + self.reader_cut_characters
        return cut > 0 or any(drop.reason in ("budget", "reader") for drop in self.dropped)

    @property
    def reading_order(self) -> tuple[Passage, ...]:
        """The kept passages as the reader meets them."""
        return self.passages[::-1] if self.best_last else self.passages

    @property
    def context(self) -> str:
        """The text that takes the place of {context}."""
        texts = [self.text_of(passage) for passage in self.reading_order]
        if self.numbered:
            texts = [f"[{number}] {text}" for number, text in enumerate(texts, 1)]
        return self.join.join(texts)

    def text_of(self, passage: Passage) -> str:
        """One passage as the reader meets it, under its title."""
        return f"{passage.title}\n{passage.text}" if self.title and passage.title else passage.text


@dataclass(frozen=True, slots=True)
class Encoding:
    """A prompt as token ids: `prompt_ids` are read, `target_ids` (may be empty) are trained on.

    `part_lengths`, where there are any, cut `prompt_ids` into parts that are read apart.
    """

    prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...] = ()
    part_lengths: tuple[int, ...] = ()

    @property
    def parts(self) -> list[tuple[int, ...]]:
        """`prompt_ids` in the parts that are read apart."""
        ends = accumulate(self.part_lengths)
        return [
            self.prompt_ids[end - length : end]
            for length, end in zip(self.part_lengths, ends, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one example becomes before it meets a reader.

    `index` is the example's position in the data, from 0. `target` is the text to train on, None
    where the data has no reference. `gold_ranks` are the ranks of all given passages that hold the
    answer, and `gold_in_evidence` tells whether it is in what the reader sees; None where no
    answer is known. `evidence_tokens` counts what was kept, where the evidence plan names a
    tokenizer. `clusters` name what the question was asked about, see `aqa.runs.cluster_labels`.
    `values` take the places of a template's other variables. `encoding` is what a reader
    made of the prompt; any change of the prompt leaves it behind.
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
        """The same prompt with its token ids, which are then not made again."""
        made = replace(self)
        object.__setattr__(made, "encoding", encoding)
        return made

    @property
    def messages(self) -> tuple[Message, ...]:
        """The rendered chat; passages and question are inserted as text, never parsed again."""
        return self.messages_with(lambda value: value)

    def messages_with(self, change: Callable[[str], str]) -> tuple[Message, ...]:
        """The rendered chat with each value changed, as it takes its place in the template."""
        values = {**self.values, "context": self.evidence.context, "question": self.question}
        changed = {name: change(value) for name, value in values.items()}
        return tuple(
            Message(turn.role, PLACEHOLDER.sub(lambda match: changed[match[1]], turn.content))
            for turn in self.template.messages
        )


@dataclass(frozen=True, slots=True)
class StructuredAnswer:
    """What counts in an answer that is a JSON object.

    `abstained` tells that the reader found no answer. `passages` are the numbers of those it names
    for its answer, counted from 1 in reading order, as it gave them.
    """

    text: str
    abstained: bool = False
    passages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """A reader's answer to one prompt, or the reason why there is none.

    `raw` is the text as generated; beside an `error` it is a text that is no answer, and None where
    nothing came. `cut` tells that an answer ends where its room did, `unread` counts tokens of the
    prompt that a server left out. Token counts are those of the reader. `confidence` tells how sure
    the reader is, the higher the surer; its `confidence_kind` says in what (MEAN_LOGPROB, of a
    reader with weights here the end token included, AGREEMENT, or a kind of a backend's own), and
    `other_confidences` hold those of other kinds. `nbest` holds answers with their scores, best
    first, where several were asked for. `spent` is what all attempts took together, where a reader
    is paid by the token. `structured` is what counts in `raw` where that is an object of a schema.
    `model` is the name by which a server calls what answered. `saved` is what an answer from a
    cache would have taken. `answer` is what was kept of `raw`, once that was cleaned; `text` gives
    it. `seconds` is how long it took, or its share of a batch's time.
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
        """The answer itself; None where there is none, because of an `error`."""
        return self.raw if self.answer is None and self.error is None else self.answer


@dataclass(frozen=True, slots=True)
class TrainStep:
    """What a training loop reports: after an optimizer step, or an evaluation (`scores`)."""

    step: int
    total_steps: int
    epoch: float
    loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """A corpus score on a 0..100 scale with the values per example it is the mean of.

    `low` and `high` are its 95 % interval; `design_effect` is how many times its variance is what
    independent examples would give. `better` is "" where nobody knows which direction is. A score
    that is no mean of values per example has an `influence` instead: for each example the score and
    what it moves it by, so that their mean is the score, and their spread tells how far it could be
    off.
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
