"""From a prompt to token ids for encoder-decoders: plain text, and one end token at its end."""

import re
from dataclasses import dataclass, replace
from typing import Any

from aqa.errors import ModelError
from aqa.records import Encoding, Prompt


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Encodes prompts with one tokenizer. Make one with `make_text_encoder`.

    `begin_ids` are what the tokenizer writes before every text, as BART's does; `special` finds
    the special tokens' names where they stand in a text.
    """

    tokenizer: Any
    begin_ids: tuple[int, ...]
    end_id: int
    special: re.Pattern[str]

    def encode(self, prompt: Prompt, by_passage: bool) -> Encoding:
        """Give the ids that are read, whole or passage by passage, and those of the answer.

        Nothing is truncated. Without passages there is one part, with an empty context.
        """
        parts = [self.ids(text_of(part)) for part in (apart(prompt) if by_passage else [prompt])]
        return Encoding(
            tuple(token for part in parts for token in part),
            () if prompt.target is None else self.ids(prompt.target),
            tuple(map(len, parts)),
        )

    def ids(self, text: str) -> tuple[int, ...]:
        """The ids of a text with just one end token, whatever the text says."""
        # "</s>" in a text is text: with a space in it, it can't be taken for the token.
        plain = self.special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
        # Without `verbose` it does not warn of a length that T5 has no need to keep to.
        found: list[int] = self.tokenizer(plain, add_special_tokens=False, verbose=False)[
            "input_ids"
        ]
        return (*self.begin_ids, *found, self.end_id)


def text_of(prompt: Prompt) -> str:
    """The messages as plain text, with blank lines between them."""
    return "\n\n".join(turn.content for turn in prompt.messages)


def apart(prompt: Prompt) -> list[Prompt]:
    """The same prompt for each of its passages, in reading order and without a number."""
    evidence = prompt.evidence
    bare = replace(evidence, numbered=False)
    alone = [replace(bare, passages=(passage,)) for passage in evidence.reading_order]
    return [replace(prompt, evidence=one) for one in alone] or [prompt]


def make_text_encoder(tokenizer: Any) -> TextEncoder:
    """Look once at what a tokenizer writes around a text.

    Raises:
        ModelError: it has no end token, or none for padding.
    """
    for name, token, use in (
        ("end", tokenizer.eos_token_id, "an answer could not end; set eos_token"),
        ("padding", tokenizer.pad_token_id, "a decoder could not begin; set pad_token"),
    ):
        if token is None:
            raise ModelError(
                f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no {name} token,"
                f" so {use} in its tokenizer_config.json"
            )
    end = tokenizer.eos_token_id
    around: list[int] = tokenizer("")["input_ids"]
    begin = around[: around.index(end)] if end in around else around
    own = (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token)
    names = sorted({str(token) for token in own if token is not None}, key=len, reverse=True)
    return TextEncoder(tokenizer, tuple(begin), end, re.compile("|".join(map(re.escape, names))))
