"""Load tokenizers from a folder, a package or the hub, and find characters unknown to them."""

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
CHAT_TEMPLATE = "chat_template.jinja"  # TRL writes it next to an adapter, with a tokenizer


def load_tokenizer(files: ModelFiles, options: LocalModelOptions) -> tuple[Any, list[int]]:
    """Load the tokenizer, and the end tokens that the model's configs name.

    An adapter's own tokenizer, with which it was trained, takes precedence.

    Raises:
        ModelError: it can't be loaded.
    """
    from transformers import AutoTokenizer

    _check_tokenizer(files)
    has_tokenizer = files.adapter is not None and _has_tokenizer(files.adapter)
    with explained(files.spec, files.title), quiet():
        tokenizer = AutoTokenizer.from_pretrained(
            files.adapter if has_tokenizer else files.base,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
            **({} if has_tokenizer else gguf_option(files)),
        )
        # Keep the answer as written: do not turn "Mira 's" into "Mira's".
        tokenizer.clean_up_tokenization_spaces = False
        template = None if files.adapter is None else files.adapter / CHAT_TEMPLATE
        if template is not None and template.is_file():
            tokenizer.chat_template = template.read_text(encoding="utf-8")
        ends = [] if files.gguf_file else _end_tokens(files, options)
    return tokenizer, ends


def _end_tokens(files: ModelFiles, options: LocalModelOptions) -> list[int]:
    """Return the generation config's end tokens, or else the model config's, like transformers."""
    from transformers import AutoConfig, GenerationConfig

    for kind, others in (
        (GenerationConfig, {}),
        (AutoConfig, {"trust_remote_code": options.trust_remote_code}),
    ):
        try:
            config = kind.from_pretrained(files.base, revision=options.revision, **others)
        except OSError as error:
            if isinstance(error.__context__, JSONDecodeError):
                raise
            continue  # missing, for example if the folder holds only a tokenizer
        text = config.get_text_config() if kind is AutoConfig else config
        end = getattr(text, "eos_token_id", None)
        if end is not None:
            return [end] if isinstance(end, int) else list(end)
    return []


def _check_tokenizer(files: ModelFiles) -> None:
    """Check that a folder has a tokenizer; without one, transformers makes an empty one."""
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
    """Return transformers' argument for a GGUF file, if any; ModelError if it is damaged."""
    if files.gguf_file is None:
        return {}
    _check_gguf(Path(files.base, files.gguf_file), files.title)
    return {"gguf_file": files.gguf_file}


@cache  # it reads the whole vocabulary
def _check_gguf(path: Path, title: str) -> None:
    from gguf import GGUFReader

    try:
        GGUFReader(path)
    except (IndexError, OverflowError, struct.error, ValueError) as error:
        raise ModelError(
            f"{title}: this GGUF file is cut off or damaged; copy it here again"
        ) from error


def token_counter(name: str) -> Callable[[str], int]:
    """Return a function that counts tokens as the model `name` does; ModelError if unknown."""
    options = LocalModelOptions(name="evidence.tokenizer", model=name)
    tokenizer, _ = load_tokenizer(find_model(options), options)
    return lambda text: len(
        tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]  # no model reads them
    )


SPACE = "▁"  # SentencePiece's


def unknown_characters(tokenizer: Any, text: str) -> tuple[int, int]:
    """Count the characters that don't reach the model, or only as the unknown token, and all.

    White space is ignored, since tokenizers join and drop it freely.
    """
    # If a tokenizer composes characters itself, its offsets cover only the first part.
    text = unicodedata.normalize("NFC", text)
    has_token = _known_marks(tokenizer, text)
    written = [index for index, character in enumerate(text) if not character.isspace()]
    return sum(not has_token[index] for index in written), len(written)


def _known_marks(tokenizer: Any, text: str) -> bytearray:
    """Return 1 for each character that has a token other than the unknown one, else 0."""
    has_token = bytearray(len(text))
    unknown = tokenizer.unk_token_id
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        encoding = fast.encode(text, add_special_tokens=False)
        tokens = zip(encoding.ids, encoding.tokens, encoding.offsets, strict=True)
        for token, piece, (start, end) in tokens:
            # The space that a tokenizer puts before a text claims the first character's offset.
            if token != unknown and piece != SPACE:
                has_token[start:end] = b"\1" * (end - start)
        return has_token
    start = 0
    for word in text.split():  # without offsets: a word is known or unknown as a whole
        start = text.index(word, start)
        if unknown not in tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word)):
            has_token[start : start + len(word)] = b"\1" * len(word)
        start += len(word)
    return has_token
