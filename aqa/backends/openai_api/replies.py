"""What a server answered, whichever API it was asked by, and what it counted."""

from dataclasses import dataclass
from typing import Literal

from aqa.backends.openai_api.schemas import BadObjectError, ResponseSchema
from aqa.records import Spent, StructuredAnswer

LARGEST_COUNT = 10**8  # tokens; what claims more counts wrongly

# Why an answer ended before it was whole.
End = Literal["filter", "length"]


class BadBodyError(Exception):
    """A server's body is no answer: cut off, not JSON, or without what it must hold."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered: a text, or the reason why there is none, and what it counted.

    `spent` has no cost yet; None where the server counts nothing. `structured` is what counts in
    an object of a schema; `misfit` tells that the text is none, though it should be one.
    """

    text: str | None
    error: str | None
    model: str
    spent: Spent | None
    structured: StructuredAnswer | None = None
    misfit: bool = False


def make_reply(
    text: object,
    refusal: object,
    end: End | None,
    model: str,
    spent: Spent | None,
    schema: ResponseSchema | None,
) -> Reply:
    """Judge what was read of an answer: its text, what was said in its place, and how it ended."""
    # Half a surrogate pair, which JSON can hold, can't be written to any file.
    text = _whole(text) if isinstance(text, str) else ""
    reason = None
    if end == "filter":
        reason = "the server's content filter held the answer back"
    elif not text.strip():
        reason = "the model answered nothing"
        if refusal:
            reason = f"the model refused: {_whole(str(refusal))}"
        elif end == "length":
            reason = (
                "no token was left for the answer; raise generation.max_new_tokens, which holds"
                " the model's reasoning too"
            )
    if reason is not None:
        misfit = schema is not None and end is None
        return Reply(None, reason, model, spent, misfit=misfit)
    if schema is None:
        return Reply(text, None, model, spent)
    try:
        return Reply(text, None, model, spent, schema.read(text))
    except BadObjectError as error:
        reason = f"the answer is no object of the schema {schema.name}: {error}"
        if end == "length":
            reason = "the answer was cut off within its object; raise generation.max_new_tokens"
        return Reply(None, reason, model, spent, misfit=end is None)


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_usage(usage: object, names: tuple[str, str], details_name: str) -> Spent | None:
    """Tokens read, written, cached and kept; None where they are not told, or can't be."""
    if not isinstance(usage, dict):
        return None
    found = usage.get(details_name)
    details = found if isinstance(found, dict) else {}
    counts = [usage.get(name) for name in names]
    counts += [details.get(name) or 0 for name in ("cached_tokens", "cache_write_tokens")]
    # Wrong numbers are as good as none: money is then counted at its worst case.
    if not all(type(n) is int and 0 <= n <= LARGEST_COUNT for n in counts):
        return None
    read, written, cached, kept = (int(n or 0) for n in counts)
    # No prompt is empty: a server that says so, counts nothing.
    if not read:
        return None
    # Some servers (xAI, Gemini) count what the model thought, which is paid, in the total alone.
    total = usage.get("total_tokens")
    if type(total) is int and read + written < total <= LARGEST_COUNT:
        written = total - read
    cached = min(cached, read)
    return Spent(read, written, cached, cache_writes=min(kept, read - cached))


def joined_parts(content: object) -> object:
    """The text of a message that some servers (Mistral's thinking models) give in parts."""
    if not isinstance(content, list):
        return content
    texts = (part.get("text") for part in content if part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))
