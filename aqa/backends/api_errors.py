"""What an error of an API means: wait and ask again, give the example up, or stop the run."""

import email.utils
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aqa.backends.api_access import Access
from aqa.backends.replies import BadBodyError

# retry: ask again; slow: the same, and ask less; example: only this one fails; run: all would.
Kind = Literal["retry", "slow", "example", "run"]
AGAIN = {408, 409, 425}
LONGEST_WAIT = 120.0  # seconds that a server may make us wait by Retry-After


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about an error.

    `wait` are the seconds that the server asked for. `maybe_paid` tells that the server may have
    answered and counted, although nothing arrived. `param` names a parameter that was refused.
    `unreachable` tells that there was no server to send anything to.
    """

    kind: Kind
    reason: str
    wait: float | None = None
    maybe_paid: bool = False
    param: str | None = None
    refused: bool = False
    unreachable: bool = False
    timed_out: bool = False


def judge(error: Exception, access: Access) -> Verdict | None:
    """Judge an error of a request; None where it is none that a server or network makes."""
    import openai

    from aqa.backends.bounded_client import LARGEST, TooLargeError

    # ConnectError or ConnectTimeout (aiohttp's transport says so of refused connections, too).
    if type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout"):  # nothing was sent
        why = _why_unreachable(error)
        return Verdict("retry", f"no connection to {access.url}{why}", unreachable=True)
    if isinstance(error, TooLargeError) or isinstance(error.__cause__, TooLargeError):
        told = f"the server's answer has more than {LARGEST >> 20} MiB, which are not read"
        return Verdict("example", told, maybe_paid=True)
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        told = "the server did not answer in time (backend.request_timeout)"
        return Verdict("retry", told, maybe_paid=True, timed_out=True)
    if isinstance(error, BadBodyError):
        return Verdict("retry", str(error), maybe_paid=True)
    if isinstance(error, openai.APIStatusError):
        return judge_status(error.status_code, error.response.headers, error.body, access)
    if isinstance(error, openai.APIConnectionError):
        return Verdict("retry", f"the connection to {access.url} broke off", maybe_paid=True)
    if isinstance(error, openai.APIError):
        return Verdict("retry", access.shown(str(error)), maybe_paid=True)
    return None


def _why_unreachable(error: Exception) -> str:
    """What the operating system or TLS said, in words; empty where that is nothing special."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f" (its certificate is not trusted: {cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return " (it does not speak https)"
        if isinstance(cause, socket.gaierror):
            return " (there is no such host)"
        if isinstance(cause, ConnectionRefusedError):
            return " (nothing listens there)"
        cause = cause.__cause__ or cause.__context__
    return ""


def judge_status(status: int, headers: Mapping[str, str], error: object, access: Access) -> Verdict:
    """Judge an answer that is an error; `error` is what its body holds under that name."""
    told = access.shown(_told(error) or f"status {status}")
    fields = error if isinstance(error, Mapping) else {}
    code = f"{fields.get('code') or ''} {fields.get('type') or ''}"
    param = fields.get("param")
    wait = retry_after(headers)
    if status in (402, 429) and (status == 402 or "insufficient_quota" in code):
        return Verdict("run", f"the account's quota is used up ({told}); add credit and go on")
    if status == 429:
        return Verdict("slow", told, wait)
    if status == 503:
        return Verdict("slow", told, wait)
    if status >= 500 or status in AGAIN:
        return Verdict("retry", told, wait)
    if status == 401:
        return Verdict("run", f"the server refuses the key of {access.key_name} ({told})")
    if status == 403:
        return Verdict("run", f"the server refuses access to the model ({told})")
    if status == 404:
        return Verdict(
            "run", f"the server knows no such model or address ({told}); see --model"
            " and backend.base_url"
        )  # fmt: skip
    if 300 <= status < 400:
        return Verdict(
            "run",
            f"{access.url} sends requests on to another address, where the key is not sent; put"
            " the right one into backend.base_url",
        )
    named = param if isinstance(param, str) else None
    return Verdict("example", told, param=named, refused=status in (400, 422))


def _told(body: object) -> str:
    """The message of an error's body, which the SDK has unpacked from `error`."""
    if isinstance(body, Mapping):
        message = body.get("message") or body.get("error") or body.get("detail")
        return message if isinstance(message, str) else json.dumps(message) if message else ""
    return body if isinstance(body, str) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms` or `Retry-After`, a number or a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name)
        if not text:
            continue
        try:
            seconds = float(text) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
            except (TypeError, ValueError):
                continue
        if seconds == seconds:  # not NaN
            return min(max(seconds, 0.0), LONGEST_WAIT)
    return None
