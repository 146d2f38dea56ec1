"""Encode prompts for encoder-decoders as plain text followed by one end token."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from aqa.backends.special_names import name_pattern, special_names
from aqa.errors import ModelError
from aqa.records import Encoding, Prompt

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"  # special tokens of a tokenizer trained here


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Encodes prompts with one tokenizer. Make one with `make_text_encoder`.

    `begin_ids` are what the tokenizer writes before every text (BART), `language_ids` what it
    writes after the end of an input text (mBART). `ends` matches the names of the tokens that
    begin, end and pad texts, `special` those of all special tokens.
    """

    tokenizer: Any
    begin_ids: tuple[int, ...]
    end_id: int
    language_ids: tuple[int, ...]
    ends: re.Pattern[str]
    special: re.Pattern[str]

    def encode(self, prompt: Prompt, by_passage: bool) -> Encoding:
        """Return the ids of the prompt, whole or passage by passage, and those of the answer.

        Nothing is truncated. Without passages there is one part, with an empty context. Names of
        special tokens in question, passages and answer are plain text; a template may use them, for
        example "<extra_id_0>".
        """

        def plain(value: str) -> str:
            return broken(self.special, value)

        pieces = apart(prompt) if by_passage else [prompt]
        parts = [(*self.ids(text_of(part, plain)), *self.language_ids) for part in pieces]
        return Encoding(
            tuple(token for part in parts for token in part),
            () if prompt.target is None else self.ids(plain(prompt.target)),
            tuple(map(len, parts)),
        )

    def ids(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text with exactly one end token, whatever the text contains."""
        plain = broken(self.ends, text)
        # `verbose=False` suppresses the warning about a maximum length, which T5 does not have.
        ids: list[int] = self.tokenizer(plain, add_special_tokens=False, verbose=False)["input_ids"]
        return (*self.begin_ids, *ids, self.end_id)


def broken(names: re.Pattern[str], text: str) -> str:
    """Return the text with a space inside each name, so that it is not read as the token."""
    return names.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def text_of(prompt: Prompt, change: Callable[[str], str] = str) -> str:
    """Join the messages with blank lines; `change` is applied to each inserted value."""
    return "\n\n".join(turn.content for turn in prompt.messages_with(change))


def apart(prompt: Prompt) -> list[Prompt]:
    """Return one copy of the prompt per passage, in reading order and unnumbered."""
    evidence = prompt.evidence
    bare = replace(evidence, numbered=False)
    single = [replace(bare, passages=(passage,)) for passage in evidence.reading_order]
    return [replace(prompt, evidence=passage_evidence) for passage_evidence in single] or [prompt]


def make_text_encoder(tokenizer: Any) -> TextEncoder:
    """Find out what a tokenizer adds around a text; ModelError without an end or padding token."""
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
    begin, behind = _ids_around(tokenizer)
    language = behind[1:] if behind[:1] == [end] else []
    tokens = (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token)
    ends = {str(token) for token in tokens if token is not None}
    all_names = name_pattern(ends | special_names(tokenizer))
    return TextEncoder(tokenizer, tuple(begin), end, tuple(language), name_pattern(ends), all_names)


def _ids_around(tokenizer: Any) -> tuple[list[int], list[int]]:
    ids: list[int] = tokenizer("a")["input_ids"]
    text: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]
    start = next(n for n in range(len(ids) + 1) if ids[n : n + len(text)] == text)
    return ids[:start], ids[start + len(text) :]


def learn_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """Train byte-level BPE (Sennrich et al. 2016), which knows all characters.

    The same texts give the same tokenizer.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, END, UNKNOWN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN
    )
