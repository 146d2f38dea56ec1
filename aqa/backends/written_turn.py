"""From what a model wrote to its answer: the template's own words and unfinished thoughts go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aqa.backends.assistant_turn import AssistantTurn, place_behind
from aqa.backends.special_names import SpecialNames
from aqa.runs.cleaning import THOUGHTS, spoken

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
