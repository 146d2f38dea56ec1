"""What all servers have in common: parsing their addresses and showing their messages."""

import json
import re
import socket
from collections.abc import Iterable
from functools import lru_cache
from html import escape
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from aqa.errors import ConfigError

SHOWN = 300  # characters of a server's message
SHORT = 8  # characters; a shorter key may be part of another word
# Control characters, marks that change the text direction, and lone surrogates.
CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+"
)


class Setting(NamedTuple):
    """The config key of an address, and the environment variable that holds its API key.

    `allow_http` says how to allow http to other machines; None if it is allowed.
    """

    key: str
    variable: str
    allow_http: str | None


def checked_address(url: str, setting: Setting) -> tuple[str, str, bool]:
    """Return the address with its host spelt out, the host, and whether it is this machine.

    Raises:
        ConfigError: it is not an address, is not encrypted, or contains a password.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018  (raises for an invalid port)
        (host or "").encode("idna")  # the form that is looked up
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or len(url.split()) > 1:
        raise ConfigError(
            f"config key {setting.key} is not the address of a server; write it as"
            " https://HOST/v1 or http://localhost:8000/v1"
        )
    if parts.username or parts.password or "?" in url:
        raise ConfigError(
            f"config key {setting.key} holds a user, a password or a query, which would be"
            f" written to files; put the key into the environment variable {setting.variable}"
        )
    short, host = host, _spelt_out(host.rstrip("."))
    local = _is_loopback(host)
    if parts.scheme == "http" and not local and setting.allow_http is not None:
        raise ConfigError(
            f"config key {setting.key}: http to {host} sends the key and the questions"
            f" unencrypted; use https, or {setting.allow_http}"
        )
    return url.replace(f"//{short}", f"//{host}", 1), host, local


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _spelt_out(host: str) -> str:
    """Write an abbreviated IPv4 address, such as 127.1 or 2130706433, as four numbers."""
    try:
        return str(ip_address(socket.inet_aton(host))) if host[:1].isdecimal() else host
    except (OSError, UnicodeError):
        return host


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return the text with these keys masked, in case a server repeats them."""
    for secret in secrets:
        for spelling in _spellings(secret):
            text = spelling.sub("***", text)
    return text


@lru_cache
def _spellings(secret: str) -> tuple[re.Pattern[str], ...]:
    """Return patterns for a key as it may appear: as it is, or escaped for JSON, HTML or a URL.

    A short key must stand between non-word characters; short plain words or numbers are not treated
    as secrets.
    """
    if len(secret) < SHORT and (secret.isalpha() or secret.isdecimal() or not secret):
        return ()
    edges = ("", "") if len(secret) >= SHORT else (r"(?<!\w)", r"(?!\w)")
    written = (secret, json.dumps(secret)[1:-1], escape(secret), quote(secret, safe=""))
    patterns = dict.fromkeys(map(re.escape, sorted(written, key=len, reverse=True)))
    return tuple(re.compile(edges[0] + text + edges[1]) for text in patterns)


def short_line(text: str) -> str:
    """Return a server's message as one short line."""
    line = CONTROL.sub(" ", text).strip()
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."
