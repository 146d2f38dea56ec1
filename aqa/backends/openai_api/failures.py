"""Classify what came back instead of an answer, by what should follow from it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from aqa.backends.openai_api.access import Access
from aqa.backends.openai_api.connection import why_unreachable
from aqa.backends.openai_api.error_bodies import error_text, layers, status_in
from aqa.backends.openai_api.replies import (
    BadBodyError,
    ErrorInBodyError,
    ForeignBodyError,
    PageError,
)
from aqa.backends.openai_api.retry_delays import (
    LONGEST_WAIT,
    asked_wait,
    format_duration,
    is_of_a_day,
)

# unreachable: nothing could be sent; busy: the server has too much to do; broken: it, or the way to
# it, failed; late: it took too long; denied: probably it denies all, but perhaps a gateway this one
# alone; fatal: all will fail. About the question: empty: there is no place for an answer; misfit:
# the answer does not match its schema; own: anything else, which would not change.
Kind = Literal["unreachable", "busy", "broken", "late", "denied", "fatal", "empty", "misfit", "own"]
AGAIN = {408, 409, 424, 425}
BUSY = {429, 498, 503, 529}  # 498: Groq's capacity, 529: Anthropic's overload
BAD_KEY = re.compile(
    r"API_KEY_INVALID|invalid_api_key|authentication_error|(?:incorrect|invalid) api key"
    r"|api key (?:provided )?(?:is |was |has )?(?:not valid|invalid|expired|disabled|revoked"
    r"|reported as leaked)|invalid access token",
    re.I,
)
# Codes and messages about accounts without credit, whatever the status.
QUOTA = re.compile(
    r"insufficient_quota|billing_|budget_exceeded|exceeded_current_quota|arrearage"
    r"|FreeTierOnly|insufficient_(?:balance|credit|funds)",
    re.I,
)
CANT_PAY = re.compile(
    r"credit balance is too low|insufficient (?:balance|credit|funds)|balance is insufficient"
    r"|overdue balance|have any credits|all available credits|\bexceeded(?:token)?budget\b"
    r"|monthly spending limit|\b(?:api|key|your|set) (?:usage|inference) limit|^usage limit reached"
    r"|\b(?:credit|key) limit exceeded|\blimit: 0(?![.,]?\d)"  # Gemini's without free use
    r"|in good standing|크레딧이? ?부족|잔액이? ?부족|余额不足|欠费",
    re.I,
)
# A missing model, reported as a bad request; its name may be anything.
NO_MODEL = re.compile(
    r"\b(?:invalid|unknown|no such)[_ ]model\b|\bnot a valid model|\bno models? loaded\b"
    r"|\bmodel_(?:not_found|decommissioned|not_available|not_supported)\b"
    r"|\bmodel\b.{0,100}\b(?:not found|does not exist|decommissioned|model fade out"
    r"|identifier is invalid|on-demand throughput)"
    r"|^unexpected endpoint",  # from LM Studio
    re.I | re.S,
)
NOT_HERE = re.compile(r"\blocation is not supported\b", re.I)  # from Gemini, about a country
# From LM Studio, which reloads the model for the next request.
UNLOADED = re.compile(r"^(?:model (?:is |was )?unloaded|the model has crashed)\b", re.I)
# A prompt that is too long, which some servers (llama.cpp's) report as their own error.
CONTEXT = re.compile(r"context (?:length|size|window)|prompt is too long|too many tokens", re.I)
TOO_FAST = re.compile(r"\brate[ _-]?limit|\btoo many requests\b", re.I)
TOO_LARGE = re.compile(r"\brequest too large\b", re.I)  # for the limit per minute: it never fits
# From Groq, whose model wrote something else than an object; it may not the next time.
BAD_OUTPUT = re.compile(r"json_validate_failed|tool_use_failed")
FLAGGED = "flagged_input"  # OpenRouter's moderation blocked the prompt
VARYING = re.compile(r"[0-9a-f]{8,}|\d+", re.I)  # ids and numbers in a message


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request brought no answer."""

    kind: Kind
    reason: str
    wait: float | None = None  # seconds that the server asks for
    maybe_paid: bool = False  # perhaps answered and billed, although nothing arrived
    param: str | None = None  # the parameter that was refused, if named
    refused: bool = False  # this form of the request is refused
    rejected: str = ""  # what the model said instead of an answer

    @property
    def is_own(self) -> bool:
        """Whether it is about the question, and not about the server."""
        return self.kind in ("empty", "misfit", "own")

    @property
    def may_pass(self) -> bool:
        """Whether the same request may be answered a little later."""
        return self.kind in ("unreachable", "busy", "broken", "late")

    def after(self, attempts: int) -> str:
        """Return why a question failed whose last one of so many attempts ended like this."""
        if self.is_own:
            return self.reason
        return f"gave up after {attempts} attempt{'s' * (attempts > 1)}: {self.reason}"

    @property
    def group(self) -> str:
        """Equal for failures that probably have one cause."""
        return VARYING.sub("#", self.reason) if self.is_own else "server"


def classify(error: Exception, access: Access) -> Failure | None:
    """Classify an error of a request; None if it comes from neither server nor network."""
    import openai

    from aqa.backends.openai_api.client import LARGEST, TooLargeError

    if (why := why_unreachable(error, access)) is not None:
        return Failure("unreachable", f"no connection to {access.url}{why}")
    if isinstance(error, TooLargeError) or isinstance(error.__cause__, TooLargeError):
        message = f"the server's answer is larger than {LARGEST >> 20} MiB, so it was not read"
        return Failure("own", message, maybe_paid=True)
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        message = "the server did not answer in time (backend.request_timeout)"
        return Failure("late", message, maybe_paid=True)
    if isinstance(error, BadBodyError):
        return classify_body(error, access)
    if isinstance(error, openai.APIStatusError):
        return classify_status(error.status_code, error.response.headers, _body(error), access)
    if isinstance(error, openai.APIConnectionError):
        return Failure("broken", f"the connection to {access.url} broke off", maybe_paid=True)
    if isinstance(error, openai.APIError):
        return Failure("broken", access.short_line(str(error)), maybe_paid=True)
    return None


def classify_body(error: BadBodyError, access: Access) -> Failure:
    """Classify a body that is not an answer, by the code of the error in it, if any."""
    reported = error.reported if isinstance(error, ErrorInBodyError) else None
    if status := status_in(reported) or _status_by_words(error_text(reported)):
        failure = classify_status(status, {}, reported, access)
        return replace(failure, maybe_paid=status >= 500)
    kind: Kind = "denied" if isinstance(error, ForeignBodyError) else "broken"
    return Failure(kind, access.short_line(str(error)), maybe_paid=not isinstance(error, PageError))


def _status_by_words(message: str) -> int | None:
    """Return the status that the message of an error without a code implies."""
    by_words = {CANT_PAY: 402, BAD_KEY: 401, NO_MODEL: 404, CONTEXT: 400, TOO_FAST: 429}
    return next((status for words, status in by_words.items() if words.search(message)), None)


def classify_status(  # long: a table of statuses
    status: int, headers: Mapping[str, str], error: object, access: Access
) -> Failure:
    """Classify an error reply; `error` is its body."""
    message = access.short_line(error_text(error) or f"status {status}")
    code = " ".join(f"{part.get('code') or ''} {part.get('type') or ''}" for part in layers(error))
    wait = asked_wait(headers, error, message)
    cant_pay = QUOTA.search(code) or CANT_PAY.search(message)
    if status in (400, 403, 412, 429) and cant_pay:
        return Failure("fatal", f"the account's quota is used up ({message}); add credit")
    if status == 402:
        message = f"the account's credit is used up ({message}); add some"
        return Failure("denied", message)
    if status == 400 and BAD_OUTPUT.search(code):
        return Failure("misfit", message, maybe_paid=True)
    if status == 429 and TOO_LARGE.search(message):
        return Failure("own", message)
    if status == 429 and is_of_a_day(error, message):
        return Failure("fatal", f"the daily quota is used up ({message})")
    if status >= 500 and CONTEXT.search(message):
        return Failure("own", message)
    if status >= 429 and wait is not None and wait > LONGEST_WAIT:
        return Failure("fatal", f"the server asks to wait {format_duration(wait)} ({message})")
    if status in BUSY:
        return Failure("busy", message, wait)
    if status >= 500 or status in AGAIN or (status == 400 and UNLOADED.search(message)):
        return Failure("broken", message, wait)
    if status == 401 or (status in (400, 403) and BAD_KEY.search(json.dumps(error, default=str))):
        return Failure("fatal", f"the server refuses the key of {access.key_name} ({message})")
    if status == 407:
        return Failure(
            "fatal", f"the proxy that the environment names requires a login ({message})"
        )
    if status == 403 and any(FLAGGED in str(layer.get("metadata")) for layer in layers(error)):
        return Failure("own", message)
    if status == 403 or (status == 400 and NOT_HERE.search(message)):
        message = f"the server refuses access to the model ({message})"
        return Failure("denied", message)
    if status in (404, 405, 410) or (status == 400 and NO_MODEL.search(f"{code} {message}")):
        message = f"the server does not know this model or address ({message}); see --model and"
        return Failure("denied", f"{message} backend.base_url", refused=status == 400)
    if 300 <= status < 400:
        return Failure(
            "fatal",
            f"{access.url} redirects to {access.short_line(_target(headers))}, to which the key is"
            " not sent; set backend.base_url to the right address",
        )
    params = (layer["param"] for layer in layers(error) if isinstance(layer.get("param"), str))
    return Failure("own", message, param=next(params, None), refused=status in (400, 422))


def _target(headers: Mapping[str, str]) -> str:
    """Return the scheme and host of a redirect, without a login, path or query."""
    try:
        parts = urlsplit(headers.get("location", ""))
    except ValueError:  # no address at all
        return "nowhere"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else "another path"


def words_of(error: Any, access: Access) -> str:
    """Return the server's message of an error with a status."""
    return access.short_line(error_text(_body(error)) or f"status {error.status_code}")


def _body(error: Any) -> object:
    """Return the whole body of an error; the client's `body` is only its `error` field."""
    try:
        return error.response.json()
    except (ValueError, RecursionError):
        return error.body
