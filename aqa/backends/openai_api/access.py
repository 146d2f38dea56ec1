"""The way to an API: its address, the key from the environment, and the client that uses both."""

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aqa.config.backend_options import Gpt4Options
from aqa.errors import ConfigError

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "none"  # what servers on this machine get where there is no key
SHOWN = 300  # characters of a server's message
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")  # and what can't be written


@dataclass(frozen=True, slots=True)
class Access:
    """Where requests go, and with which key; the key never leaves this object but to the server."""

    url: str
    is_local: bool
    key: str
    key_name: str = "OPENAI_API_KEY"  # the environment variable that holds it
    api_version: str | None = None  # of Azure, where that is

    def __repr__(self) -> str:
        return f"Access({self.url})"

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI itself, or one of its regions."""
        host = urlsplit(self.url).hostname or ""
        return host == "api.openai.com" or host.endswith(".api.openai.com")

    def without_key(self, text: str) -> str:
        """The text without the key, should a server have written it there."""
        return text.replace(self.key, "***") if len(self.key) >= 8 else text

    def shown(self, text: str) -> str:
        """What a server says, on one short line without the key."""
        line = CONTROL.sub(" ", self.without_key(text)).strip()
        return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."


def server_url(options: Gpt4Options) -> str:
    """The address of the API; of Azure without the deployment."""
    if options.provider == "azure":
        url = options.base_url or os.getenv("AZURE_OPENAI_ENDPOINT") or ""
    else:
        url = options.base_url or os.getenv("OPENAI_BASE_URL") or OPENAI_URL
    return url.rstrip("/")


def find_access(options: Gpt4Options) -> Access:
    """Check the address and find the key.

    Raises:
        ConfigError: the address is none, is not encrypted, or holds a password; there is no key,
            no version of Azure's API, or what is no organization.
    """
    url = server_url(options)
    key_name, version = "OPENAI_API_KEY", None
    if options.provider == "azure":
        key_name, version = "AZURE_OPENAI_API_KEY", azure_version(options)
        _check_azure(url, version)
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018  (a number that can be one)
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(
            "config key backend.base_url is no address of a server; write it as"
            " https://HOST/v1 or http://localhost:8000/v1"
        )
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            "config key backend.base_url holds a user, a password or a query, which would be"
            f" written to files; put the key into the environment variable {key_name}"
        )
    local = _is_loopback(host)
    if parts.scheme == "http" and not local and not options.allow_http:
        raise ConfigError(
            f"config key backend.base_url: http to {host} sends the key and the questions"
            " unencrypted; use https, or allow it with --allow-http (backend.allow_http)"
        )
    key = os.getenv(key_name, "").strip()
    if not key and not local:
        raise ConfigError(f"no API key for {host}: put it into the environment variable {key_name}")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the environment variable {key_name} holds no key: copy it again")
    organization = options.organization or os.getenv("OPENAI_ORG_ID", "").strip()
    if not (organization.isascii() and organization.isprintable()):
        raise ConfigError(
            "config key backend.organization, or the environment variable OPENAI_ORG_ID, holds no"
            " organization: copy it again"
        )
    return Access(url, local, key or NO_KEY, key_name, version)


def azure_version(options: Gpt4Options) -> str | None:
    """The version of Azure's API."""
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


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def open_client(access: Access, options: Gpt4Options) -> Any:
    """An asynchronous client with a connection for each request at a time.

    It follows no redirects, which could carry the key to another host, and retries nothing: that
    is ours to do. What goes to this machine goes through no proxy, which may be another one's.
    With the package aiohttp its transport is taken, which needs less time.
    """
    import httpx2
    from openai import AsyncAzureOpenAI, AsyncOpenAI

    from aqa.backends.openai_api.client import BoundedAioHttpClient, BoundedHttpxClient

    arguments: dict[str, Any] = {
        "timeout": httpx2.Timeout(
            options.request_timeout, connect=min(options.request_timeout, 15)
        ),
        "limits": httpx2.Limits(
            max_connections=options.max_concurrency,
            max_keepalive_connections=options.max_concurrency,
        ),
        "follow_redirects": False,
    }
    if access.is_local:
        arguments["mounts"] = {f"all://{urlsplit(access.url).netloc}": None}
    kind = BoundedHttpxClient if find_spec("aiohttp") is None else BoundedAioHttpClient
    try:
        transport: httpx2.AsyncClient = kind(**arguments)
    except OSError as error:
        raise ConfigError(
            "the certificates that the environment names (SSL_CERT_FILE, SSL_CERT_DIR) can't be"
            f" read: {error}"
        ) from error
    except (ImportError, ValueError) as error:
        raise ConfigError(
            "the proxy that the environment names (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) is none that"
            " can be asked; write it as http://HOST:PORT"
        ) from error
    if access.api_version is not None:
        return AsyncAzureOpenAI(
            api_key=access.key,
            azure_endpoint=access.url,
            api_version=access.api_version,
            max_retries=0,
            http_client=transport,
        )
    return AsyncOpenAI(
        api_key=access.key,
        base_url=access.url,
        organization=options.organization,
        max_retries=0,
        http_client=transport,
    )
