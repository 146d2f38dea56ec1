"""How much of a text a tokenizer does not know, and a model therefore can't read."""

import unicodedata
from typing import Any

SPACE = "▁"  # SentencePiece's


def unknown_characters(tokenizer: Any, text: str) -> tuple[int, int]:
    """Characters of a text that reach the model as the unknown token or not at all, and all.

    White space is not counted: tokenizers join and drop it as they like.
    """
    # What a tokenizer composes itself, it says to come from the first of the parts alone.
    text = unicodedata.normalize("NFC", text)
    known = _known(tokenizer, text)
    written = [place for place, character in enumerate(text) if not character.isspace()]
    return sum(not known[place] for place in written), len(written)


def _known(tokenizer: Any, text: str) -> bytearray:
    """1 for each character that has a token, 0 for each that has none or the unknown one."""
    known = bytearray(len(text))
    unknown = tokenizer.unk_token_id
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        encoding = fast.encode(text, add_special_tokens=False)
        tokens = zip(encoding.ids, encoding.tokens, encoding.offsets, strict=True)
        for token, piece, (start, end) in tokens:
            # A space that a tokenizer puts before a text claims the first character for itself.
            if token != unknown and piece != SPACE:
                known[start:end] = b"\1" * (end - start)
        return known
    start = 0
    for word in text.split():  # tokenizers without offsets: a word is known as a whole or not
        start = text.index(word, start)
        if unknown not in tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word)):
            known[start : start + len(word)] = b"\1" * len(word)
        start += len(word)
    return known
