"""Tokenizers of models in a folder, a package or on the hub, and the texts that they know."""

import struct
import unicodedata
from collections.abc import Callable
from functools import cache
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from aqa.backends.model_errors import explained
from aqa.backends.model_files import ModelFiles, find_model
from aqa.config.backend_options import LocalModelOptions
from aqa.errors import ModelError
from aqa.library_output import quiet

TOKENIZER_FILES = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "tekken.json")
CHAT_TEMPLATE = "chat_template.jinja"  # TRL writes it beside an adapter, with a tokenizer


def load_tokenizer(files: ModelFiles, options: LocalModelOptions) -> tuple[Any, list[int]]:
    """Load the tokenizer and the end tokens that the model's configs name.

    An adapter may have brought its own: the one that it was trained with.

    Raises:
        ModelError: it can't be loaded.
    """
    from transformers import AutoTokenizer

    _check_tokenizer(files)
    own = files.adapter is not None and _has_tokenizer(files.adapter)
    with explained(files.spec, files.title), quiet():
        tokenizer = AutoTokenizer.from_pretrained(
            files.adapter if own else files.base,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
            **({} if own else gguf_option(files)),
        )
        # What was written is the answer: "Mira 's" is not made "Mira's".
        tokenizer.clean_up_tokenization_spaces = False
        template = None if files.adapter is None else files.adapter / CHAT_TEMPLATE
        if template is not None and template.is_file():
            tokenizer.chat_template = template.read_text(encoding="utf-8")
        ends = [] if files.gguf_file else _end_tokens(files, options)
    return tokenizer, ends


def _end_tokens(files: ModelFiles, options: LocalModelOptions) -> list[int]:
    """The end tokens by the generation config, or else by the model's, as transformers has it."""
    from transformers import AutoConfig, GenerationConfig

    for kind, others in (
        (GenerationConfig, {}),
        (AutoConfig, {"trust_remote_code": options.trust_remote_code}),
    ):
        try:
            found = kind.from_pretrained(files.base, revision=options.revision, **others)
        except OSError as error:
            if isinstance(error.__context__, JSONDecodeError):
                raise
            continue  # none there, as in the folder of a tokenizer alone
        text = found.get_text_config() if kind is AutoConfig else found
        end = getattr(text, "eos_token_id", None)
        if end is not None:
            return [end] if isinstance(end, int) else list(end)
    return []


def _check_tokenizer(files: ModelFiles) -> None:
    """See that a folder has a tokenizer: without one transformers makes one that knows no word."""
    folder = Path(files.base)
    if files.gguf_file is not None or not folder.is_dir():
        return
    if not _has_tokenizer(folder):
        raise ModelError(
            f"{files.spec}: this folder has no tokenizer; name the run folder of the training if"
            " it is a checkpoint, or put the model's tokenizer files into it"
        )


def _has_tokenizer(folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in TOKENIZER_FILES)


def gguf_option(files: ModelFiles) -> dict[str, str]:
    """Name the GGUF file to transformers, where the model is one; ModelError if it is not whole."""
    if files.gguf_file is None:
        return {}
    _check_gguf(Path(files.base, files.gguf_file), files.title)
    return {"gguf_file": files.gguf_file}


@cache  # a whole vocabulary is read
def _check_gguf(path: Path, title: str) -> None:
    from gguf import GGUFReader

    try:
        GGUFReader(path)
    except (IndexError, OverflowError, struct.error, ValueError) as error:
        raise ModelError(
            f"{title}: this GGUF file is cut off or damaged; copy it here again"
        ) from error


def token_counter(name: str) -> Callable[[str], int]:
    """Give what counts a text's tokens as the model `name` does; ModelError for no such model."""
    options = LocalModelOptions(name="evidence.tokenizer", model=name)
    tokenizer, _ = load_tokenizer(find_model(options), options)
    return lambda text: len(
        tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]  # nothing is read
    )


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
