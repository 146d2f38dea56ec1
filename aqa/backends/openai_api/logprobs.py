"""Find the log-probabilities of an answer's tokens in a server's reply."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from aqa.records import AnswerPart, StructuredAnswer
from aqa.runs.cleaning import clean_answer, strip_thoughts

Token = tuple[bytes, float]  # a token's text in UTF-8, and its log-probability
MISSED = (
    "the server gives no log-probabilities that fit its answers (backend.logprobs), so they have no"
    " confidence; generation.samples at a temperature gives one by agreement"
)
BYTES = re.compile(r"bytes:(\\x[0-9a-f]{2})+")
_LENIENT = json.JSONDecoder(strict=False)


def tokens_of_choice(choice: Mapping[str, Any]) -> tuple[Token, ...]:
    """Return the tokens of a choice of chat completions or text completions."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, Mapping):
        return ()
    if isinstance(logprobs.get("content"), list):
        return tokens_of(logprobs["content"])
    texts, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(texts, list) or not isinstance(values, list) or len(texts) != len(values):
        return ()
    pairs = zip(map(_parts, texts), values, strict=True)
    return tokens_of([{**text, "logprob": value} for text, value in pairs])


def _parts(token: object) -> dict[str, object]:
    """Parse a token of text completions; OpenAI writes partial characters as hexadecimal bytes."""
    if isinstance(token, str) and BYTES.fullmatch(token):
        return {"bytes": list(bytes.fromhex(token.removeprefix("bytes:").replace("\\x", "")))}
    return {"token": token}


def tokens_of(listed: object) -> tuple[Token, ...]:
    """Return the tokens of a list from chat completions or responses; () if one is unusable."""
    tokens = tuple(map(_token, listed)) if isinstance(listed, list) else ()
    usable = tuple(token for token in tokens if token is not None)
    return usable if len(usable) == len(tokens) else ()


def _token(item: object) -> Token | None:
    if not isinstance(item, Mapping):
        return None
    text, value, parts = item.get("token"), item.get("logprob"), item.get("bytes")
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    if isinstance(parts, list) and all(type(part) is int and 0 <= part < 256 for part in parts):
        return bytes(parts), min(float(value), 0.0)
    if not isinstance(text, str):
        return None
    return text.encode("utf-8", "replace"), min(float(value), 0.0)


def answer_logprobs(
    raw: str, structured: StructuredAnswer | None, part: AnswerPart, tokens: Sequence[Token]
) -> list[float]:
    """Return the log-probabilities of the tokens of the answer itself; [] if unknown.

    In an object of the reader's schema that is the value of `answer`, or of `answerable` if it
    abstains; in other texts it is what remains after cleaning.
    """
    start, end = _span(raw, structured, part)
    before, after = raw[:start].encode(), raw[end:].encode()
    text = raw.encode()
    joined = b"".join(piece for piece, _ in tokens)
    offset = joined.rfind(text)
    if offset < 0:
        return _between(tokens, before, raw[start:end], after)
    first, last = offset + len(before), offset + len(text) - len(after)
    logprobs, at = [], 0
    for piece, value in tokens:
        if at < last and at + len(piece) > first:
            logprobs.append(value)
        at += len(piece)
    return logprobs


def _span(raw: str, structured: StructuredAnswer | None, part: AnswerPart) -> tuple[int, int]:
    if structured is not None:
        return next(_values(raw, structured), (0, len(raw)))
    text = strip_thoughts(raw) or raw
    start = max(raw.rfind(text), 0)
    answer = clean_answer(raw, (), part).text
    index = raw.find(answer, start)
    if not answer or index < 0:
        return start, start + len(text)
    return index, index + len(answer)


def _values(raw: str, structured: StructuredAnswer) -> Iterator[tuple[int, int]]:
    """Yield possible places of the relevant value, without its quotation marks, last first."""
    key = "answerable" if structured.abstained else "answer"
    for match in reversed(list(re.finditer(rf'"{key}"\s*:\s*', raw))):
        try:
            value, end = _LENIENT.raw_decode(raw, match.end())
        except ValueError:
            continue
        if isinstance(value, str) and not structured.abstained:
            if value == structured.text:
                yield match.end() + 1, end - 1
        elif structured.abstained or str(value) == structured.text:
            yield match.end(), end


def _between(tokens: Sequence[Token], before: bytes, answer: str, after: bytes) -> list[float]:
    """Return the log-probabilities between two texts when not all tokens are readable.

    Some servers send no bytes, and U+FFFD for parts of a character that two tokens share.
    """
    left, right = 0, len(tokens)
    while left < right and before and before.startswith(tokens[left][0]):
        before = before.removeprefix(tokens[left][0])
        left += 1
    while right > left and after:
        part = tokens[right - 1][0]
        if not after.endswith(part) and not part.startswith(b"<"):  # the end of the turn
            break
        after = after.removesuffix(part)
        right -= 1
    logprobs, offset = [], 0
    for part, value in tokens[left:right]:
        # The first and last tokens may include parts of the surrounding texts.
        piece = part.removeprefix(before).removesuffix(after).decode("utf-8", "replace")
        piece = piece.strip("\ufffd")
        at = answer.find(piece, offset)
        if at >= 0:
            offset = at + len(piece)
            logprobs.append(value)
        elif not piece.startswith("<"):
            return []
    return logprobs
