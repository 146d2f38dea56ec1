"""Keep the names of special tokens in users' text from being tokenized as special tokens."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any


def special_names(tokenizer: Any, chat_template: str = "") -> set[str]:
    """Return the names of special tokens, and of other added tokens that a chat template writes.

    White space is left out, even if it is an added token (as in Gemma).
    """
    added = tokenizer.added_tokens_decoder.values()
    special = {token.content for token in added if token.special or token.content in chat_template}
    return {name for name in special if name.strip()}


def name_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that finds the names, preferring the longest match."""
    by_first: dict[str, list[str]] = {}  # there may be thousands, nearly all starting with "<"
    for name in sorted(names, key=len, reverse=True):
        by_first.setdefault(name[0], []).append(re.escape(name[1:]))
    groups = (f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in by_first.items())
    return re.compile("|".join(groups) or "(?!)")


@dataclass(frozen=True)
class SpecialNames:
    """Tokenizes text in which user input cannot form special tokens.

    `chat_template` is the source of the tokenizer's template, "" if it has none: added tokens that
    it writes, such as Qwen's `<think>`, count as special too.
    """

    tokenizer: Any
    chat_template: str = ""

    def hide(self, text: str) -> str:
        """Mark special tokens' names in user input, so that `ids` tokenizes them as text.

        Marked text may pass through a chat template.
        """
        from transformers.utils.chat_template_utils import mark_control_tokens

        marked: str = mark_control_tokens(text, self._pattern)
        return marked

    def ids(self, text: str) -> list[int]:
        """Tokenize a text; only unmarked names become special tokens."""
        from transformers.utils.chat_template_utils import encode_marked_chat

        ids: list[int]
        before, after = self._marks
        if before not in text:
            ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            return ids
        try:
            ids = encode_marked_chat(self.tokenizer, text)
        except ValueError:  # this tokenizer makes special tokens even of plain text
            marked = f"{re.escape(before)}(.)(.*?){re.escape(after)}"
            broken = re.sub(marked, r"\1 \2", text, flags=re.DOTALL)
            ids = self.tokenizer(broken, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return name_pattern(special_names(self.tokenizer, self.chat_template))

    @cached_property
    def _marks(self) -> tuple[str, str]:
        from transformers.utils.chat_template_utils import mark_control_tokens

        before, after = mark_control_tokens("x", re.compile("x")).split("x")
        return before, after
