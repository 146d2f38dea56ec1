"""Learn what a chat template writes around an answer, and strip it from a model's output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aqa.backends.chat_rendering import PROBE, ChatTemplate
from aqa.backends.special_names import SpecialNames
from aqa.errors import ModelError
from aqa.runs.cleaning import THOUGHTS, strip_thoughts

CLOSING = "\n{}\n\n"  # how templates close an empty thought


@dataclass(frozen=True, slots=True)
class AssistantTurn:
    """The text that a chat template writes before (`head`) and after (`tail`) an answer.

    `head` follows the generation prompt, whose text after the user's message is `opening`. `trims`:
    the template strips the answer. `thought` is the mark that closes the thought left open by the
    generation prompt, "" if none is open. `is_known` is False if the template does not show how it
    writes an answer.
    """

    head: str = ""
    tail: str = ""
    trims: bool = False
    thought: str = ""
    is_known: bool = True
    opening: str = "\n"

    def around(self, answer: str) -> str:
        """Return an answer as the template writes it after the generation prompt."""
        return f"{self.head}{answer.strip() if self.trims else answer}{self.tail}"


def learn_turn(template: ChatTemplate | None) -> AssistantTurn:
    """Learn how a template writes an assistant turn after a user turn."""
    if template is None:
        return AssistantTurn()
    user = [{"role": "user", "content": "?"}]
    opened = template.render(user, opens_answer=True)
    opening = opened.rpartition("?")[2]
    thought = next((end for start, end in THOUGHTS if opened.rstrip().endswith(start)), "")

    def answered(content: str) -> str:
        try:
            return template.render([*user, {"role": "assistant", "content": content}], False)
        except ModelError:
            return ""

    padded = f"  {PROBE}  "
    before, written, tail = answered(PROBE).rpartition(PROBE)
    if not written:
        head = CLOSING.format(thought) if thought else ""
        return AssistantTurn(head, thought=thought, is_known=False, opening=opening)
    trims = padded not in answered(padded)
    return AssistantTurn(_head(opened, before, thought), tail, trims, thought, opening=opening)


def _head(opened: str, before: str, thought: str) -> str:
    closing = CLOSING.format(thought) if thought else ""
    if not before.startswith(opened):
        return closing  # the template removes earlier thoughts
    head = before[len(opened) :]
    return head if thought in head else closing + head


def index_after(ids: Sequence[int], marks: Sequence[int]) -> int:
    """Return the index just after the last occurrence of `marks` in `ids`, or -1."""
    size = len(marks)
    starts = range(len(ids) - size, -1, -1)
    return next((at + size for at in starts if list(ids[at : at + size]) == list(marks)), -1)


SURE = 3  # characters; a shorter mark, such as a full stop, may be part of an answer


@dataclass(frozen=True, slots=True)
class WrittenTurn:
    """Extracts the answer from the ids that a model wrote. Make one with `make_written_turn`.

    `head_ids` are the ids of the head up to its last special token (none if it has none),
    `special_ids` the special ones among them, and `lead` is the remaining text of the head.
    `thoughts` pairs the special tokens that open and close a thought; `closing` is the text that
    closes the thought in which prompts end. `stop` is the text that ends an answer if the template
    has no token for that.
    """

    tokenizer: Any
    head_ids: tuple[int, ...]
    special_ids: frozenset[int]
    lead: str
    thoughts: tuple[tuple[int, int], ...]
    closing: str
    stop: str

    def answer(self, ids: Sequence[int]) -> str | None:
        """Return the text of the answer, or None if the model wrote only thoughts."""
        begins = index_after(ids, self.head_ids) if self.head_ids else 0
        if begins < 0 and self.special_ids.intersection(ids):
            return None  # a channel other than the answer's
        thinks = bool(self.closing)
        for opening, closing in self.thoughts:
            behind = index_after(ids, [closing])
            if behind < 0 and opening in ids:
                return None
            thinks = thinks and behind < 0
            begins = max(begins, behind)
        text: str = self.tokenizer.decode(ids[max(begins, 0) :], skip_special_tokens=True)
        if strip_thoughts(text) is None or (thinks and self.closing not in text):
            return None
        return self._without_frame(text)

    def cut(self, ids: Sequence[int]) -> int | None:
        """Return how many ids reach to the end of the text `stop`; None if it is absent."""
        if not self.stop_text:
            return None
        # Each token covers at least one byte.
        reach = len(self.stop.encode()) + 1
        ends = range(1, len(ids) + 1)
        decode = self.tokenizer.decode
        return next((n for n in ends if self.stop in decode(ids[max(n - reach, 0) : n])), None)

    @property
    def stop_text(self) -> str:
        """`stop` if it is too long to be part of an answer, else an empty string."""
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
    """Make a `WrittenTurn` from what a template writes around an answer."""
    special = {key for key, token in tokenizer.added_tokens_decoder.items() if token.special}
    head = names.ids(turn.head.strip()) if turn.head.strip() else []
    indices = [index for index, token in enumerate(head) if token in special]
    size = indices[-1] + 1 if indices else 0
    lead = tokenizer.decode(head[size:]).strip() if indices else turn.head.strip()
    tail = names.ids(turn.tail)
    ends = [index for index, token in enumerate(tail) if token in end_token_ids]
    stop = tokenizer.decode(tail[: ends[0]] if ends else tail).strip()
    added = tokenizer.added_tokens_encoder
    pairs = [(added.get(opening), added.get(closing)) for opening, closing in THOUGHTS]
    thoughts = tuple(pair for pair in pairs if None not in pair and special.issuperset(pair))
    return WrittenTurn(
        tokenizer, tuple(head[:size]), frozenset(head) & special, lead, thoughts, turn.thought, stop
    )
