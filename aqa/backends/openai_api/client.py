"""HTTP clients that read replies only up to a maximum size."""

from http import HTTPStatus
from typing import Any

import httpx2
from openai import DefaultAioHttpClient, DefaultAsyncHttpxClient

# Today's longest answers, 128,000 tokens, take under 4 MiB with all of JSON's escapes.
LARGEST = 8 * 2**20  # bytes, decompressed
OF_THE_WIRE = (b"content-encoding", b"content-length", b"transfer-encoding")


class TooLargeError(Exception):
    """A server sent more than LARGEST bytes."""


class BoundedClient(httpx2.AsyncClient):
    """Reads replies to POST requests, including errors, in pieces up to LARGEST bytes.

    Files that are downloaded (GET) may be longer.
    """

    async def send(
        self, request: httpx2.Request, *, stream: bool = False, **arguments: Any
    ) -> httpx2.Response:
        """Send a request and read the reply; TooLargeError, and disconnect, if it is too long."""
        if stream or request.method != "POST":
            return await super().send(request, stream=stream, **arguments)
        response = await super().send(request, stream=True, **arguments)
        pieces, size = [], 0
        try:
            async for piece in response.aiter_bytes():
                size += len(piece)
                if size > LARGEST:
                    raise TooLargeError
                pieces.append(piece)
        finally:
            await response.aclose()
        return httpx2.Response(
            response.status_code,
            # As bytes, since servers may use any encoding.
            headers=[pair for pair in response.headers.raw if pair[0].lower() not in OF_THE_WIRE],
            content=b"".join(pieces),
            request=request,
            extensions=response.extensions,
        )


class BoundedHttpxClient(BoundedClient, DefaultAsyncHttpxClient):
    """The default client."""


class BoundedAioHttpClient(BoundedClient, DefaultAioHttpClient):
    """The faster client, which needs the package aiohttp."""

    async def send(self, request: httpx2.Request, **arguments: Any) -> httpx2.Response:
        """Send a request and read the reply; raises the errors that httpx2 would.

        Otherwise a connection that broke after the request would seem never to have been made, a
        missing proxy would seem a missing server, and a malformed reply would raise no httpx2 error
        at all.
        """
        import aiohttp

        try:
            return await super().send(request, **arguments)
        except (httpx2.TransportError, aiohttp.ClientResponseError) as error:
            cause = error.__cause__ if isinstance(error, httpx2.TransportError) else error
            match cause:
                case aiohttp.ClientProxyConnectionError():
                    raise httpx2.ProxyError("it is not there", request=request) from error
                case aiohttp.ClientHttpProxyError():
                    needs_login = cause.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
                    reason = "it requires a login" if needs_login else f"it answers {cause.status}"
                    raise httpx2.ProxyError(reason, request=request) from error
                case aiohttp.ClientConnectorError() | aiohttp.ServerTimeoutError():
                    raise
                case aiohttp.ClientConnectionError():
                    raise httpx2.ReadError("it broke off", request=request) from error
                case aiohttp.ClientResponseError():
                    raise httpx2.RemoteProtocolError("no HTTP", request=request) from error
            raise
