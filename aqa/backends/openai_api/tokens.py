"""How many tokens a chat takes: exactly where the model's tokenizer is at hand, else guessed."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from aqa.backends.chat_template import make_chat_encoder
from aqa.backends.model_files import find_model
from aqa.backends.tokenizers import load_tokenizer
from aqa.config.backend_options import LocalModelOptions
from aqa.config.options import RunConfig
from aqa.errors import ModelError
from aqa.records import Message

# Of an encoding's table, which tiktoken keeps under the hash of this.
TABLE = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
EACH_MESSAGE = 3  # OpenAI's cookbook, "How to count tokens with tiktoken"
ROLE = 1
REPLY = 3
OTHERS_MESSAGE = 24  # bytes, at most, that other chat templates put around a message
ASCII_PER_TOKEN = 4.0  # characters; other scripts take a token for about 1.5 characters
OTHERS_PER_TOKEN = 1.5
# The true count over a guess: about 1 for English and for Korean in o200k_base, 1.6 for Korean in
# cl100k_base, by the figures that OpenAI gave with GPT-4o.
GUESS_ERROR = (0.7, 1.7)

RECENT = 1024  # counts that are kept: a prompt is counted when it is fitted, and when it is asked

Chat = Sequence[Message]


class TokenCounter:
    """Counts a chat's tokens. `exact` tells whether by the model's own tokenizer.

    `chat_count` is the count of a served model's tokenizer and chat template, where one is named.
    `schema` is the text of the JSON schema of answers, which is sent with every chat: how a server
    counts it is not known, at most by its bytes.
    """

    def __init__(
        self,
        model: str,
        is_openai: bool,
        schema: str = "",
        chat_count: Callable[[Chat], int] | None = None,
        as_text: bool = False,
    ) -> None:
        """`as_text`: a chat is sent as one plain text."""
        self._chat_count = chat_count
        self._count = of = _tokenizer(model) if is_openai else None
        if as_text and chat_count is None:
            self._chat_count = lambda chat: (of or _guess)(plain_text(chat))
        self.schema = _guess(schema)
        self._schema_at_most = len(schema.encode())
        self._recent = lru_cache(RECENT)(self._count_anew)
        self.exact = not schema and (of or chat_count) is not None

    def count(self, chat: Chat) -> int:
        """The tokens of the chat as a prompt, or the likely number of them."""
        return self._recent(tuple(chat))

    def _count_anew(self, chat: tuple[Message, ...]) -> int:
        if self._chat_count is not None:
            return self._chat_count(chat) + self.schema
        of = self._count or _guess
        return sum(of(turn.content) + EACH_MESSAGE + ROLE for turn in chat) + REPLY + self.schema

    def at_most(self, chat: Chat) -> int:
        """A number that the tokens can't exceed: a token is a byte at least.

        A tokenizer that was named is not relied on: the server may have another one.
        """
        if self._count is not None:
            return self.count(chat) + REPLY + self._schema_at_most
        return byte_bound(chat) + self._schema_at_most


def chat_counter(
    name: str, note: Callable[[str], None], as_text: bool = False
) -> Callable[[Chat], int]:
    """Give the function that counts a chat by the tokenizer and chat template of a model.

    `as_text`: by its tokenizer alone, as it is sent as one plain text.

    Raises:
        ModelError: no such model, or it has no chat template.
    """
    options = LocalModelOptions(name="backend.tokenizer", model=name)
    tokenizer, end = load_tokenizer(find_model(options), options)
    if as_text:
        return lambda chat: len(tokenizer(plain_text(chat))["input_ids"])
    if tokenizer.chat_template is None:
        raise ModelError(
            f"{name}: this tokenizer has no chat template, so it can't count what a server makes of"
            " messages; leave backend.tokenizer out"
        )
    return make_chat_encoder(tokenizer, end, note).count


def plain_text(chat: Chat) -> str:
    """A chat as one text, as local models without a chat template read it."""
    return "\n\n".join(turn.content for turn in chat) + "\n"


def answer_room(config: RunConfig) -> int:
    """Tokens that a model may write: its thoughts, where it has some, and its answer."""
    options: Any = config.backend
    thoughts: int = options.reasoning_tokens
    return config.generation.max_new_tokens + thoughts


def byte_bound(chat: Chat) -> int:
    """Bytes of the chat with what templates add; no tokenizer makes more tokens."""
    return sum(len(turn.content.encode()) + OTHERS_MESSAGE for turn in chat) + OTHERS_MESSAGE


def _guess(text: str) -> int:
    plain = sum(map(str.isascii, text)) if not text.isascii() else len(text)
    return round(plain / ASCII_PER_TOKEN + (len(text) - plain) / OTHERS_PER_TOKEN)


def _tokenizer(model: str) -> Callable[[str], int] | None:
    """Tiktoken's for the model, if its tables lie on this machine: nothing is fetched."""
    try:
        import tiktoken
        from tiktoken.model import encoding_name_for_model
    except ImportError:
        return None
    try:
        name = encoding_name_for_model(model)
    except KeyError:
        return None
    if not _has_tables(name):
        return None
    encoding: Any = tiktoken.get_encoding(name)
    return lambda text: len(encoding.encode_ordinary(text))


def _has_tables(name: str) -> bool:
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    where = Path(folder) if folder else Path(tempfile.gettempdir(), "data-gym-cache")
    key = hashlib.sha1(TABLE.format(name).encode(), usedforsecurity=False).hexdigest()
    return (where / key).is_file()
