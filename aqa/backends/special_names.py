"""Names of a tokenizer's special tokens: in what users write they are text and nothing else."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any


def special_names(tokenizer: Any, chat_template: str = "") -> set[str]:
    """The names of special tokens, and of other added ones that a chat template writes.

    Templates write white space as anybody does, even where it is an added token (Gemma's).
    """
    added = tokenizer.added_tokens_decoder.values()
    special = {token.content for token in added if token.special or token.content in chat_template}
    return {name for name in special if name.strip()}


def name_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """What finds the names in a text, the longest of several that begin alike."""
    by_first: dict[str, list[str]] = {}  # there may be thousands, and nearly all begin with "<"
    for name in sorted(names, key=len, reverse=True):
        by_first.setdefault(name[0], []).append(re.escape(name[1:]))
    groups = (f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in by_first.items())
    return re.compile("|".join(groups) or "(?!)")


@dataclass(frozen=True)
class SpecialNames:
    """Tokenizes text in which what comes from outside can't act as a special token.

    `chat_template` is the source of the tokenizer's template, "" where it has none: added tokens
    that it writes, such as Qwen's `<think>`, count as special, too.
    """

    tokenizer: Any
    chat_template: str = ""

    def hide(self, text: str) -> str:
        """Mark the special tokens' names in a text from outside, so that `ids` reads them as text.

        What is marked may go through a chat template.
        """
        from transformers.utils.chat_template_utils import mark_control_tokens

        marked: str = mark_control_tokens(text, self._pattern)
        return marked

    def ids(self, text: str) -> list[int]:
        """The ids of a text; special tokens are those that are not marked."""
        from transformers.utils.chat_template_utils import encode_marked_chat

        found: list[int]
        before, after = self._marks
        if before not in text:
            found = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            return found
        try:
            found = encode_marked_chat(self.tokenizer, text)
        except ValueError:  # the tokenizer makes the special token even of plain text
            marked = f"{re.escape(before)}(.)(.*?){re.escape(after)}"
            broken = re.sub(marked, r"\1 \2", text, flags=re.DOTALL)
            found = self.tokenizer(broken, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return name_pattern(special_names(self.tokenizer, self.chat_template))

    @cached_property
    def _marks(self) -> tuple[str, str]:
        from transformers.utils.chat_template_utils import mark_control_tokens

        before, after = mark_control_tokens("x", re.compile("x")).split("x")
        return before, after
