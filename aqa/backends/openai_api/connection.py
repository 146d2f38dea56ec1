"""Open the client for an API, with proxies and certificates, and explain failed connections."""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from aqa.backends.openai_api.access import Access
from aqa.config.backend_options import Gpt4Options
from aqa.errors import ConfigError, MissingExtraError

SCOPE = "https://cognitiveservices.azure.com/.default"  # for Entra ID
CONNECT = 15.0  # the most seconds to connect
UNSENT: dict[type[OSError], str] = {
    ssl.SSLError: " (it does not speak https)",
    socket.gaierror: " (there is no such host)",
    ConnectionRefusedError: " (nothing listens there)",
}
BY_PROXY = " through the proxy that the environment names"
OF_AN_ISSUER = {2, 18, 19, 20, 21}  # OpenSSL's codes of certificates whose issuer is not known


def open_client(access: Access, options: Gpt4Options) -> Any:
    """Return an asynchronous client with a connection for each concurrent request.

    It follows no redirects, which could take the key to another host, does not retry, which is our
    task, and bypasses proxies for requests to this machine.

    Raises:
        AqaError: a proxy or certificate in the environment is unusable.
    """
    from openai import AsyncAzureOpenAI, AsyncOpenAI

    headers = dict(options.extra_headers)
    if options.user_agent is not None:
        headers["User-Agent"] = options.user_agent
    shared: dict[str, Any] = {
        "default_headers": headers,
        "max_retries": 0,
        "http_client": _transport(access, options),
    }
    if access.api_version is None:
        shared["organization"] = options.organization
        return AsyncOpenAI(api_key=access.key, base_url=access.url, **shared)
    if access.signs_in:
        shared["azure_ad_token_provider"] = _token_provider(access)
    else:
        shared["azure_ad_token" if access.is_token else "api_key"] = access.key
    return AsyncAzureOpenAI(azure_endpoint=access.url, api_version=access.api_version, **shared)


def _token_provider(access: Access) -> Callable[[], Awaitable[str]]:
    """Return a function that gets the token, renewed in time, of who signed in to Entra ID."""
    try:
        from azure.core.exceptions import AzureError
        from azure.identity import DefaultAzureCredential, get_bearer_token_provider
    except ImportError as error:
        raise MissingExtraError("azure-identity", "azure") from error
    ask = get_bearer_token_provider(DefaultAzureCredential(), SCOPE)

    async def token() -> str:
        try:
            fetched: str = await asyncio.to_thread(ask)
        except AzureError as error:
            lines = str(error).strip().splitlines()
            reason = lines[0] if lines else type(error).__name__
            raise ConfigError(f"Entra ID gives no token: {reason}") from error
        access.secrets.add(fetched)
        return fetched

    return token


def _transport(access: Access, options: Gpt4Options) -> Any:
    """Return the HTTP client; aiohttp's, which is faster, unless SOCKS is needed."""
    import httpx2

    from aqa.backends.openai_api.client import BoundedAioHttpClient, BoundedHttpxClient

    seconds = options.request_timeout
    arguments: dict[str, Any] = {
        "timeout": httpx2.Timeout(seconds, connect=min(seconds, CONNECT)),
        "limits": httpx2.Limits(
            max_connections=options.max_concurrency,
            max_keepalive_connections=options.max_concurrency,
        ),
        "follow_redirects": False,
    }
    if access.is_local:
        arguments["mounts"] = {f"all://{urlsplit(access.url).netloc}": None}
    by_socks = not access.is_local and any(
        proxy.lower().startswith("socks") for proxy in getproxies().values()
    )
    if by_socks and find_spec("socksio") is None:
        raise MissingExtraError("socksio", "socks")
    plain = by_socks or find_spec("aiohttp") is None
    try:
        for proxy in getproxies().values():
            urlsplit(proxy).port  # noqa: B018  (raises for an invalid one)
        return (BoundedHttpxClient if plain else BoundedAioHttpClient)(**arguments)
    except OSError as error:
        raise ConfigError(
            "the certificates that the environment names (SSL_CERT_FILE, SSL_CERT_DIR) can't be"
            f" read: {error}"
        ) from error
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        raise ConfigError(
            "the proxy that the environment names (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) can't be"
            " used; write it as http://HOST:PORT or socks5://HOST:PORT"
        ) from error


def why_unreachable(error: BaseException, access: Access) -> str | None:
    """Explain why nothing was sent, perhaps as ""; None if something may have been.

    The reason comes from the operating system, TLS or a proxy. aiohttp's transport also raises
    ConnectTimeout for refused connections.
    """
    import httpx2

    unsent = (
        httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.PoolTimeout,
        httpx2.UnsupportedProtocol, httpx2.LocalProtocolError,
    )  # fmt: skip
    if not isinstance(error.__cause__, unsent):
        return None
    cause: BaseException | None = error
    while cause is not None:
        if reason := _explained(cause, access):
            return reason
        cause = cause.__cause__ or cause.__context__
    return ""


def _explained(cause: BaseException, access: Access) -> str:
    import httpx2

    if isinstance(cause, httpx2.ProxyError):
        return f"{BY_PROXY}: {cause}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        # aiohttp's error is one too, but wraps the one from TLS.
        inner = getattr(cause, "certificate_error", cause)
        reason = str(getattr(inner, "verify_message", None) or inner).rstrip(".")
        if getattr(inner, "verify_code", None) not in OF_AN_ISSUER:
            return f" (its certificate is not trusted: {reason})"
        return (
            f" (its certificate is not trusted: {reason}; if your own authority signed it, name the"
            " authority's file in SSL_CERT_FILE)"
        )
    reason = _of_system(cause)
    is_of_proxy = reason and not isinstance(cause, ssl.SSLError) and _has_proxy(access)
    return f"{BY_PROXY}{reason}" if is_of_proxy else reason


def _of_system(cause: BaseException) -> str:
    if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN:
        return " (no names of hosts can be looked up; is there a network?)"
    if words := next((words for kind, words in UNSENT.items() if isinstance(cause, kind)), ""):
        return words
    # The errors of libraries have numbers of their own, or the same as their causes.
    if isinstance(cause, OSError) and cause.errno and type(cause).__module__ == "builtins":
        return f" ({os.strerror(cause.errno)})"
    return ""


def _has_proxy(access: Access) -> bool:
    parts, proxies = urlsplit(access.url), getproxies()
    named = not access.is_local and (parts.scheme in proxies or "all" in proxies)
    return named and not proxy_bypass(parts.hostname or "")
