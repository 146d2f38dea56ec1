"""Count a chat's tokens: exactly if the model's tokenizer is available, otherwise estimated."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from aqa.backends.chat_template import make_chat_encoder
from aqa.backends.model_files import find_model
from aqa.backends.tokenizers import load_tokenizer
from aqa.config.backend_options import Gpt4Options, LocalModelOptions
from aqa.config.options import RunConfig
from aqa.errors import ModelError
from aqa.records import Message

# The table of an encoding, which tiktoken stores under the hash of this URL.
TABLE = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
EACH_MESSAGE = 3  # OpenAI's cookbook, "How to count tokens with tiktoken"
ROLE = 1
REPLY = 3
OTHERS_MESSAGE = 24  # the most bytes that other chat templates add to a message
ASCII_PER_TOKEN = 4.0  # characters; other scripts have about 1.5 per token
OTHERS_PER_TOKEN = 1.5
# True over estimated counts: about 1 for English and for Korean in o200k_base, 1.6 for Korean in
# cl100k_base, by figures that OpenAI published with GPT-4o.
GUESS_ERROR = (0.7, 1.7)

RECENT = 1024  # counts to keep: a prompt is counted when fitted and when asked

Chat = Sequence[Message]


class TokenCounter:
    """Counts a chat's tokens; `exact` if it uses the model's own tokenizer.

    `chat_count` counts with the tokenizer and chat template of a served model, if named. `schema`
    is the text of the JSON schema that is sent with every chat: how a server counts it is unknown,
    but at most by its bytes.
    """

    def __init__(
        self,
        model: str,
        is_openai: bool,
        schema: str = "",
        chat_count: Callable[[Chat], int] | None = None,
        as_text: bool = False,
    ) -> None:
        """`as_text`: a chat is sent as plain text."""
        self._chat_count = chat_count
        self._count = of = _tokenizer(model) if is_openai else None
        if as_text and chat_count is None:
            self._chat_count = lambda chat: (of or _guess)(plain_text(chat))
        self.schema = _guess(schema)
        self._schema_at_most = len(schema.encode())
        self._recent = lru_cache(RECENT)(self._count_anew)
        self.exact = not schema and (of or chat_count) is not None

    def count(self, chat: Chat) -> int:
        """Return the number of tokens of a chat as a prompt, or an estimate."""
        return self._recent(tuple(chat))

    def _count_anew(self, chat: tuple[Message, ...]) -> int:
        if self._chat_count is not None:
            return self._chat_count(chat) + self.schema
        of = self._count or _guess
        return sum(of(turn.content) + EACH_MESSAGE + ROLE for turn in chat) + REPLY + self.schema

    def at_most(self, chat: Chat) -> int:
        """Return an upper bound of the number of tokens: each has at least one byte.

        A tokenizer named by the user is not trusted here: the server may have another one.
        """
        if self._count is not None:
            return self.count(chat) + REPLY + self._schema_at_most
        return byte_bound(chat) + self._schema_at_most


def chat_counter(
    name: str, note: Callable[[str], None], as_text: bool = False
) -> Callable[[Chat], int]:
    """Return a function that counts a chat with a model's tokenizer and chat template.

    `as_text`: with the tokenizer alone, since the chat is sent as plain text.

    Raises:
        ModelError: there is no such model, or it has no chat template.
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
    """Return a chat as one text, in the form used for local models without a chat template."""
    return "\n\n".join(turn.content for turn in chat) + "\n"


def answer_room(config: RunConfig) -> int:
    """Return how many tokens a model may write, thoughts included."""
    options = cast(Gpt4Options, config.backend)
    return config.generation.max_new_tokens + options.reasoning_tokens


def byte_bound(chat: Chat) -> int:
    """Return the bytes of a chat plus what templates add, an upper bound of its tokens."""
    return sum(len(turn.content.encode()) + OTHERS_MESSAGE for turn in chat) + OTHERS_MESSAGE


def _guess(text: str) -> int:
    plain = sum(map(str.isascii, text)) if not text.isascii() else len(text)
    return round(plain / ASCII_PER_TOKEN + (len(text) - plain) / OTHERS_PER_TOKEN)


def _tokenizer(model: str) -> Callable[[str], int] | None:
    """Return tiktoken's counter for the model, if its tables are on this machine."""
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
