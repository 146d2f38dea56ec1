"""Read the errors in servers' bodies, however they are written: their messages and statuses."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

TITLE = re.compile(r"<title>([^<]*)</title>", re.IGNORECASE)
TAG = re.compile(r"<[^<>]*>")
# Fields with an error's message, in lower case, and with more than a general one.
MESSAGES = (
    "message", "error", "detail", "error_msg", "status_msg", "errors", "title", "status",
    "base_resp",
)  # fmt: skip
MORE = ("details", "raw")
# Names of errors in replies with status 200, and the status that they should have had.
NAMES = {
    400: "invalid_request_error invalid_argument context_length_exceeded",
    401: "invalid_api_key authentication_error unauthenticated",
    402: "billing_error",
    403: "permission_error permission_denied",
    404: "model_not_found not_found_error",
    429: "insufficient_quota rate_limit_exceeded rate_limit_error resource_exhausted",
    500: "server_error internal api_error",
    503: "unavailable",
    529: "overloaded_error",
}
CODES = {name: status for status, names in NAMES.items() for name in names.split()}
STATUS = ("code", "status", "type", "status_code", "statusCode")
WITHIN = ("error", "detail", "details", "errors")  # where an error may contain another


def reported(body: Mapping[str, object]) -> object:
    """Return the error in a body without an answer, whatever its name; None if there is none."""
    return body.get("error") or (body if error_text(body) else None)


def error_text(body: object, depth: int = 5) -> str:
    """Return the message in an error's body, however the server writes it; "" if there is none.

    That may be OpenAI's `error` (or its contents), plain text, a gateway's web page, FastAPI's
    `detail`, a list of faults and places, Naver's `status`, or JSON inside a text.
    """
    if isinstance(body, str):
        return _of_text(body, depth)
    if isinstance(body, list) and depth:
        return "; ".join(filter(None, (error_text(part, depth - 1) for part in body)))
    if not isinstance(body, Mapping) or not depth:
        return ""
    if isinstance(words := body.get("msg"), str):
        place = body.get("loc")
        return f"{'.'.join(map(str, place))}: {words}" if isinstance(place, list) else words
    fields = {str(name).lower(): value for name, value in body.items()}
    texts = (_of_field(name, fields.get(name), depth - 1) for name in MESSAGES)
    words = next(filter(None, texts), "")
    # Gateways of Azure and OpenRouter give details there.
    inner = {**fields, **parts} if isinstance(parts := fields.get("metadata"), Mapping) else fields
    extra = [error_text(inner.get(name), depth - 1) for name in MORE] if words else []
    return "; ".join(dict.fromkeys(filter(None, (words, *extra))))


def _of_field(name: str, value: object, depth: int) -> str:
    if name == "status" and not isinstance(value, Mapping):  # a code
        return ""
    if name == "errors" and isinstance(value, Mapping):  # by field
        texts = ((part, error_text(words, depth)) for part, words in value.items())
        return "; ".join(f"{part}: {words}" for part, words in texts if words)
    return error_text(value, depth)


def _of_text(text: str, depth: int) -> str:
    opening = text.lstrip()[:1]
    if opening == "<":
        title = TITLE.search(text)
        return " ".join(TAG.sub(" ", title[1] if title else text).split())
    if opening in ("{", "[") and depth:
        try:
            return error_text(json.loads(text), depth - 1) or text
        except (ValueError, RecursionError):
            return text
    return text


def layers(error: object, depth: int = 4) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of an error's body, outermost first: gateways wrap others' errors."""
    fields = error if isinstance(error, Mapping) else {}
    if fields:
        yield fields
    inner = error if isinstance(error, list) else [fields.get(name) for name in WITHIN]
    for part in inner if depth else ():
        yield from layers(part, depth - 1)


def status_in(error: object) -> int | None:
    """Return the status that an error in a body implies; None if there is none."""
    for value in (fields.get(name) for fields in layers(error) for name in STATUS):
        if isinstance(value, int | str) and str(value).isascii() and str(value).isdecimal():
            if 400 <= int(value) < 600:
                return int(value)
        elif isinstance(value, str) and (status := CODES.get(value.lower())):
            return status
    return None
