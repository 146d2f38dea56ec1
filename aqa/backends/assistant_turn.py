"""What a chat template puts around an answer, learnt from the template, and taken off again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aqa.backends.chat_rendering import PROBE, ChatTemplate
from aqa.backends.special_names import SpecialNames
from aqa.errors import ModelError
from aqa.runs.cleaning import THOUGHTS, spoken

CLOSING = "\n{}\n\n"  # how templates close a thought in which nothing was thought


@dataclass(frozen=True, slots=True)
class AssistantTurn:
    """The text between the generation prompt and an answer (`head`), and behind it (`tail`).

    `trims` tells that the template strips an answer. `thought` is the mark that closes the thought
    in which the generation prompt ends, "" where it ends in none. `known` tells whether all that
    could be learnt.
    """

    head: str = ""
    tail: str = ""
    trims: bool = False
    thought: str = ""
    known: bool = True

    def around(self, answer: str) -> str:
        """An answer as the template writes it behind the generation prompt."""
        return f"{self.head}{answer.strip() if self.trims else answer}{self.tail}"


def learn_turn(template: ChatTemplate | None) -> AssistantTurn:
    """See how a template writes an assistant's turn behind a user's."""
    if template is None:
        return AssistantTurn()
    user = [{"role": "user", "content": "?"}]
    padded = f"  {PROBE}  "
    opened = template.render(user, opens_answer=True)
    thought = next((end for start, end in THOUGHTS if opened.rstrip().endswith(start)), "")
    try:
        whole = template.render([*user, {"role": "assistant", "content": padded}], False)
    except ModelError:
        whole = ""
    for content in (padded, PROBE):
        place = whole.rfind(content)
        if place >= 0:
            head = _head(opened, whole[:place], thought)
            return AssistantTurn(head, whole[place + len(content) :], content is PROBE, thought)
    return AssistantTurn(CLOSING.format(thought) if thought else "", thought=thought, known=False)


def _head(opened: str, before: str, thought: str) -> str:
    """What is between the generation prompt and the answer."""
    if before.startswith(opened):
        return before[len(opened) :]
    return CLOSING.format(thought) if thought else ""  # the template takes old thoughts out


def place_behind(ids: Sequence[int], marks: Sequence[int]) -> int:
    """The place behind the last time that `marks` come one after another in ids; -1 if never."""
    size = len(marks)
    places = range(len(ids) - size, -1, -1)
    return next((at + size for at in places if list(ids[at : at + size]) == list(marks)), -1)


SURE = 3  # characters: shorter marks, such as a full stop, may well be in an answer


@dataclass(frozen=True, slots=True)
class WrittenTurn:
    """Takes an answer out of the ids that a model wrote. Make one with `make_written_turn`.

    `head_ids` are those of a head up to its last special token, none where it has none,
    `special_ids` its special ones, and `lead` is the rest of it, text. `thoughts` are the special
    tokens that open a thought, each with the one that closes it; `closing` is the text that ends
    the thought in which prompts end. `stop` is text that ends an answer where the template has no
    token for that.
    """

    tokenizer: Any
    head_ids: tuple[int, ...]
    special_ids: frozenset[int]
    lead: str
    thoughts: tuple[tuple[int, int], ...]
    closing: str
    stop: str

    def answer(self, ids: Sequence[int]) -> str | None:
        """The text of an answer; None where the model came no further than its thoughts."""
        begins = place_behind(ids, self.head_ids) if self.head_ids else 0
        if begins < 0 and self.special_ids.intersection(ids):
            return None  # another channel than that of answers
        thinks = bool(self.closing)
        for opening, closing in self.thoughts:
            behind = place_behind(ids, [closing])
            if behind < 0 and opening in ids:
                return None
            thinks = thinks and behind < 0
            begins = max(begins, behind)
        text: str = self.tokenizer.decode(ids[max(begins, 0) :], skip_special_tokens=True)
        if spoken(text) is None or (thinks and self.closing not in text):
            return None
        return self._without_frame(text)

    def cut(self, ids: Sequence[int]) -> int | None:
        """How many ids there are up to the end of the text `stop`; None where it is not in them."""
        if not self.stop_text:
            return None
        # A token has one byte of the text at least.
        reach = len(self.stop.encode()) + 1
        ends = range(1, len(ids) + 1)
        decode = self.tokenizer.decode
        return next((n for n in ends if self.stop in decode(ids[max(n - reach, 0) : n])), None)

    @property
    def stop_text(self) -> str:
        """The text `stop`, where it can't well be a part of an answer; else nothing."""
        return self.stop if len(self.stop) >= SURE else ""

    def _without_frame(self, text: str) -> str:
        if self.lead and text.lstrip().startswith(self.lead):
            text = text.lstrip().removeprefix(self.lead)
        if self.stop_text:
            return text.partition(self.stop)[0]
        if self.stop and text.rstrip().endswith(self.stop):
            return text.rstrip().removesuffix(self.stop)
        return text


def make_written_turn(
    tokenizer: Any, names: SpecialNames, turn: AssistantTurn, end_token_ids: Sequence[int]
) -> WrittenTurn:
    """Look once at the tokens of what a template writes around an answer."""
    special = {key for key, token in tokenizer.added_tokens_decoder.items() if token.special}
    head = names.ids(turn.head.strip()) if turn.head.strip() else []
    places = [place for place, token in enumerate(head) if token in special]
    size = places[-1] + 1 if places else 0
    lead = tokenizer.decode(head[size:]).strip() if places else turn.head.strip()
    tail = names.ids(turn.tail)
    ends = [place for place, token in enumerate(tail) if token in end_token_ids]
    stop = tokenizer.decode(tail[: ends[0]] if ends else tail).strip()
    known = tokenizer.added_tokens_encoder
    pairs = [(known.get(opening), known.get(closing)) for opening, closing in THOUGHTS]
    thoughts = tuple(pair for pair in pairs if None not in pair and special.issuperset(pair))
    return WrittenTurn(
        tokenizer, tuple(head[:size]), frozenset(head) & special, lead, thoughts, turn.thought, stop
    )
