"""Access to an API: its address and key, and the cache key of a request."""

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import unquote
from urllib.request import getproxies

from aqa.backends.servers import Setting, checked_address, short_line, without_secrets
from aqa.config.backend_options import Gpt4Options
from aqa.config.request_fields import SECRET_HEADER
from aqa.errors import ConfigError
from aqa.records import Prompt

OPENAI_URL = "https://api.openai.com/v1"
ENTRA_TOKEN = "AZURE_OPENAI_AD_TOKEN"  # noqa: S105  (the name of an environment variable)
HEADERS = "OPENAI_CUSTOM_HEADERS"  # sent with each request: NAME: VALUE, one per line
SENT = {"OPENAI_ORG_ID": "organization", "OPENAI_PROJECT_ID": "project", HEADERS: "header"}
NO_KEY = "none"  # sent to servers on this machine if there is no key
CUTTING = {"max_seq_length", "tokenizer"}  # affect only the messages, which the cache key includes
SAMPLES = "samples"  # their number affects none of them


@dataclass(frozen=True, slots=True)
class Access:
    """The address that requests go to, and the key, which is only ever sent there."""

    url: str
    is_local: bool
    key: str
    key_name: str = "OPENAI_API_KEY"  # the environment variable that holds it
    api_version: str | None = None  # only for Azure
    is_token: bool = False  # whether the key is a token of Entra ID
    signs_in: bool = False  # whether azure-identity provides tokens, kept in `secrets`
    secrets: set[str] = field(default_factory=set)  # other secrets that are sent but never shown

    def __repr__(self) -> str:
        return f"Access({self.url})"

    def without_key(self, text: str) -> str:
        """Return the text without the key, in case a server repeats it."""
        return without_secrets(text, (self.key, *self.secrets))

    def short_line(self, text: str) -> str:
        """Return a server's message as one short line without the key."""
        return short_line(self.without_key(text))


def is_openai(url: str) -> bool:
    """Whether it is an address of OpenAI itself, or of one of its regions."""
    return bool(re.match(r"https?://([\w-]+\.)*api\.openai\.com(?=[:/]|$)", url, re.I))


def server_url(options: Gpt4Options) -> str:
    """Return the address of the API; for Azure, without the deployment."""
    if options.provider == "azure":
        url = options.base_url or os.getenv("AZURE_OPENAI_ENDPOINT") or ""
    else:
        url = options.base_url or os.getenv("OPENAI_BASE_URL") or OPENAI_URL
    return url.strip().rstrip("/")


def check_address(options: Gpt4Options) -> tuple[str, str, bool]:
    """Return the address with its host spelt out, the host, and whether it is this machine.

    Raises:
        ConfigError: it is invalid, not encrypted, or contains a password.
    """
    azure = options.provider == "azure"
    allow = "allow it with backend.allow_http (--allow-http)"
    variable = "AZURE_OPENAI_API_KEY" if azure else "OPENAI_API_KEY"
    where = Setting("backend.base_url", variable, None if options.allow_http else allow)
    return checked_address(server_url(options), where)


def find_access(options: Gpt4Options) -> Access:
    """Check the address and find the key.

    Raises:
        ConfigError: the address is invalid, not encrypted, or contains a password; or the key,
            Azure's API version or the organization is missing or invalid.
    """
    names, version = ["OPENAI_API_KEY"], None
    if options.provider == "azure":
        names, version = ["AZURE_OPENAI_API_KEY", ENTRA_TOKEN], azure_version(options)
        _check_azure(server_url(options), version)
    url, host, local = check_address(options)
    _check_identity(options)
    secrets = set(_secrets())
    if options.entra_id:
        return Access(url, local, NO_KEY, "Entra ID", version, signs_in=True, secrets=secrets)
    key_name, key = _find_key(names, host, optional=local)
    for name in ("base_url", "user_agent", "extra_headers", "extra_body"):
        value = json.dumps(getattr(options, name), ensure_ascii=False)
        if without_secrets(value, [key]) != value:
            raise ConfigError(
                f"config key backend.{name} holds the key of {key_name} and would be written to"
                " files; leave the key to the environment variable"
            )
    return Access(url, local, key, key_name, version, key_name == ENTRA_TOKEN, secrets=secrets)


def _secrets() -> Iterator[str]:
    """Yield secret values in the environment's headers, and its proxies' passwords."""
    for line in os.getenv(HEADERS, "").splitlines():
        name, _, value = line.partition(":")
        for part in re.split(r"[\s;,]+", value) if SECRET_HEADER.search(name) else ():
            yield from (part, part.partition("=")[2])  # without Bearer; for cookies, also the value
    for proxy in getproxies().values():
        before, _, _ = proxy.partition("//")[2].rpartition("@")
        user, _, password = map(unquote, before.partition(":"))
        yield from (password, b64encode(f"{user}:{password}".encode()).decode() if password else "")


def _find_key(names: Sequence[str], host: str, optional: bool) -> tuple[str, str]:
    name = next((name for name in names if os.getenv(name, "").strip()), names[0])
    key = os.getenv(name, "").strip()
    if not key and not optional:
        other = f"; or a token into {ENTRA_TOKEN}, or set backend.entra_id"
        raise ConfigError(
            f"no API key for {host}: put it into the environment variable {name}"
            + (other if ENTRA_TOKEN in names else "")
        )
    allowed = r"[ -~]*" if optional else r"[!#-&(-~]*"  # local servers may be given any words
    if not re.fullmatch(allowed, key):
        raise ConfigError(
            f"the environment variable {name} is not a valid key; copy it again, without spaces or"
            " quotation marks"
        )
    return name, key or NO_KEY


def azure_version(options: Gpt4Options) -> str | None:
    """Return the version of Azure's API."""
    return options.api_version or os.getenv("OPENAI_API_VERSION")


def _check_azure(url: str, version: str | None) -> None:
    if not url or "/deployments" in url or url.endswith("/openai/v1"):
        raise ConfigError(
            "Azure needs the resource's address, such as https://NAME.openai.azure.com, in"
            " backend.base_url or the environment variable AZURE_OPENAI_ENDPOINT; the deployment"
            " is named by --model"
        )
    if not version:
        raise ConfigError(
            "Azure needs the version of its API, such as 2024-10-21, in backend.api_version or the"
            " environment variable OPENAI_API_VERSION"
        )


def _check_identity(options: Gpt4Options) -> None:
    for name, kind in SENT.items():
        where, value = f"the environment variable {name}", os.getenv(name, "").strip()
        if kind == "organization" and options.organization is not None:
            where, value = "config key backend.organization", options.organization
        line = value.replace("\n", "") if name == HEADERS else value
        if not (line.isascii() and line.isprintable()):
            raise ConfigError(f"{where} is not a valid {kind}; copy it again")


def key_of(identity: Mapping[str, object], prompt: Prompt, sample: int = 0) -> bytes:
    """Return the hash of all that determines an answer: server, model, parameters, messages."""
    messages = [(turn.role, turn.content) for turn in prompt.messages]
    decisive = {name: value for name, value in identity.items() if name not in {*CUTTING, SAMPLES}}
    if sample:
        decisive["sample"] = sample
    text = json.dumps([decisive, messages], sort_keys=True)
    return sha256(text.encode()).digest()
