"""A pool of servers: each question goes to the one with the fewest open requests."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2

from aqa.backends.llama_qlora.vllm.requests import Json, RefusedError
from aqa.backends.llama_qlora.vllm.running_servers import KEY
from aqa.backends.servers import short_line, without_secrets
from aqa.errors import AqaError, ConfigError, ModelError

DOUBTS = (0.0, 0.5, 1.0, 2.0)  # seconds before each check of a failed server
ATTEMPTS = 5  # per question, while its server is up
ENDED = 3  # give up on a question that has crashed this many servers
PAUSE = 0.25  # seconds, doubled with each attempt
HEALTH = 10.0  # seconds to wait for a health check


@dataclass(slots=True)
class Server:
    """One server: its address, and its name for the model.

    `answered` is the time of its last answer by the event loop's clock; `lost`: no longer asked.
    """

    url: str
    model: str
    open: int = 0
    answered: float = 0.0
    lost: bool = False
    doubt: asyncio.Lock = field(default_factory=asyncio.Lock)


class NoServerError(ModelError):
    """No server is left to ask."""


class Pool:
    """Sends requests to servers. `runs` says whether a server started here is still running.

    Requests may wait long in a server's queue, so it only times out after answering nothing for
    `patience` seconds. The `key` is masked in all that servers say.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        key: str,
        note: Callable[[str], None],
        runs: Callable[[], bool],
        patience: float,
    ) -> None:
        self._client, self._key, self._note, self._runs = client, key, note, runs
        self._patience = patience
        self._servers: list[Server] = []

    async def is_up(self, url: str) -> bool:
        """Whether a server reports that it can answer."""
        try:
            reply = await self._client.get(f"{url}/health", timeout=HEALTH)
        except httpx2.HTTPError:
            return False
        return reply.status_code == 200

    async def models(self, url: str) -> list[Json]:
        """Return a server's models, each with its name (`id`), location (`root`) and more.

        Raises:
            AqaError: the server can't be asked; says why.
        """
        try:
            reply = await self._client.get(f"{url}/v1/models")
            _check_allowed(url, reply)
            reply.raise_for_status()
        except httpx2.HTTPError as error:
            raise ModelError(f"{url}/v1/models: {self._why(error)}") from error
        try:
            listed = json.loads(without_secrets(reply.text, [self._key]))["data"]
            models = [dict(model) for model in listed]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(f"{url}/v1/models: its answer is not a list of models") from error
        return models

    async def add(self, server: Server, probe: Json, read: Callable[[Json, Json], object]) -> None:
        """Add a server once it has answered a small request that can be `read`.

        Raises:
            AqaError: it did not answer.
        """
        try:
            read(probe, await self._post(server, probe))
        except (ModelError, httpx2.HTTPError) as error:
            raise ModelError(f"{server.url} can't be used: {self._why(error)}") from error
        self._servers.append(server)

    async def ask(self, body: Json) -> Json:
        """Return a server's reply to a request.

        Raises:
            RefusedError: no server will answer it.
            NoServerError: no server is left.
            AqaError: the key is wrong, and the run must stop.
        """
        why, tried, ended = "", 0, 0
        while tried < ATTEMPTS and ended < ENDED:
            server = self._least_busy(why)
            server.open += 1
            try:
                return await self._post(server, body)
            except httpx2.HTTPError as error:
                why = self._why(error)
            finally:
                server.open -= 1
            await self._look_after(server, why)
            if server.lost:
                ended += 1
            else:
                tried += 1
                await asyncio.sleep(PAUSE * 2**tried)
        raise RefusedError(f"gave up after {tried + ended} attempts: {why}")

    def _least_busy(self, reason: str) -> Server:
        running = [server for server in self._servers if not server.lost]
        if not running:
            raise NoServerError(f"no server answers any more ({reason})")
        return min(running, key=lambda server: server.open)

    async def _post(self, server: Server, body: Json) -> Json:
        """Make one request.

        Raises:
            RefusedError: the server says that this request is wrong.
            AqaError: any request would be wrong.
            HTTPError: anything else, after which it may be repeated.
        """
        reply = await self._reply(server, body)
        _check_allowed(server.url, reply)
        if reply.status_code == 404:
            raise ModelError(f"{server.url} does not know {server.model}: {self._reported(reply)}")
        if reply.status_code in (400, 413, 422):
            raise RefusedError(self._reported(reply))
        reply.raise_for_status()
        try:
            answer = reply.json()
        except (ValueError, RecursionError) as error:
            raise httpx2.DecodingError("its answer is not JSON", request=reply.request) from error
        if not isinstance(answer, dict):
            raise httpx2.DecodingError("its answer is not an object", request=reply.request)
        return answer

    async def _reply(self, server: Server, body: Json) -> httpx2.Response:
        """Return a server's reply, waiting longer while it answers other requests."""
        clock = asyncio.get_running_loop().time
        limits = httpx2.Timeout(self._patience, connect=self._client.timeout.connect, read=None)
        url, started = f"{server.url}/v1/completions", clock()
        sent = self._client.post(url, json={"model": server.model, **body}, timeout=limits)
        work = asyncio.ensure_future(sent)
        try:
            while not work.done():
                patience = max(started, server.answered) + self._patience - clock()
                if patience <= 0:
                    raise httpx2.ReadTimeout("no answer")
                await asyncio.wait([work], timeout=patience)
            reply = work.result()
        finally:
            work.cancel()
        server.answered = clock()
        return reply

    async def _look_after(self, server: Server, reason: str) -> None:
        """Check whether a failed server is still up; if not, stop asking it."""
        async with server.doubt:
            for pause in DOUBTS:
                if server.lost:
                    return
                await asyncio.sleep(pause)
                if not self._runs():
                    break
                if await self.is_up(server.url):
                    return
            server.lost = True
            if len(self._servers) > 1:
                self._note(
                    f"{server.url} does not answer any more ({reason}); its questions go to the"
                    " others"
                )

    def _reported(self, reply: httpx2.Response) -> str:
        try:
            body = reply.json()
            error = body.get("error", body)
            text = str(error.get("message", error))
        except (ValueError, AttributeError, RecursionError):
            text = reply.text
        return self._short_line(text) or f"it answers {reply.status_code}"

    def _why(self, error: BaseException) -> str:
        if isinstance(error, httpx2.HTTPStatusError):
            return self._reported(error.response)
        if isinstance(error, AqaError):
            return str(error)
        if isinstance(error, httpx2.TimeoutException):
            return "it did not answer in time"
        return self._short_line(str(error)) or type(error).__name__

    def _short_line(self, text: str) -> str:
        return short_line(without_secrets(text, [self._key]))


def _check_allowed(url: str, reply: httpx2.Response) -> None:
    if reply.status_code in (401, 403):
        raise ConfigError(
            f"{url} wants another API key; put its key into the environment variable {KEY}"
        )
