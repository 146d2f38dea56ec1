"""Servers that answer the same questions: each goes to the one with the fewest open requests."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2

from aqa.backends.llama_qlora.vllm.found import KEY
from aqa.backends.llama_qlora.vllm.requests import Json, RefusedError
from aqa.backends.servers import shown, without_secrets
from aqa.errors import AqaError, ConfigError, ModelError

DOUBTS = (0.0, 0.5, 1.0, 2.0)  # seconds before each look whether a server that failed is there
ATTEMPTS = 5  # of a question, where the server is still there
ENDED = 3  # servers that end at a question before nobody else is asked it
PAUSE = 0.25  # seconds, doubled before each attempt
HEALTH = 10.0  # seconds that a server has to say that it is there


@dataclass(slots=True)
class Server:
    """One server: its address, and what it calls the model.

    `answered` is when it last did, by the event loop's clock; `lost` tells that it is left out.
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
    """Asks servers. `runs` tells whether one that was started here still does.

    Many requests wait in a server's queue, maybe for long: it has not answered in time once nobody
    got an answer from it for so many seconds of `patience`.

    Should a server repeat the `key` that it was sent, nobody is told.
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
        """Whether a server says that it can answer."""
        try:
            reply = await self._client.get(f"{url}/health", timeout=HEALTH)
        except httpx2.HTTPError:
            return False
        return reply.status_code == 200

    async def models(self, url: str) -> list[Json]:
        """What a server has: for each model its name (`id`), where it lies (`root`), and more.

        Raises:
            AqaError: it can't be asked; says why.
        """
        try:
            reply = await self._client.get(f"{url}/v1/models")
            _check_allowed(url, reply)
            reply.raise_for_status()
        except httpx2.HTTPError as error:
            raise ModelError(f"{url}/v1/models: {self._why(error)}") from error
        try:
            found = [
                dict(each) for each in json.loads(without_secrets(reply.text, [self._key]))["data"]
            ]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(f"{url}/v1/models: its answer is not a list of models") from error
        return found

    async def add(self, server: Server, probe: Json, read: Callable[[Json, Json], object]) -> None:
        """Take a server in, once it has answered one small request that can be `read`.

        Raises:
            AqaError: it has not.
        """
        try:
            read(probe, await self._post(server, probe))
        except (ModelError, httpx2.HTTPError) as error:
            raise ModelError(f"{server.url} can't be asked: {self._why(error)}") from error
        self._servers.append(server)

    async def ask(self, body: Json) -> Json:
        """The reply to a request, of whichever server.

        Raises:
            RefusedError: none will answer it.
            NoServerError: all are left out.
            AqaError: the key is wrong; the run has to stop.
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

    def _least_busy(self, why: str) -> Server:
        left = [server for server in self._servers if not server.lost]
        if not left:
            raise NoServerError(f"no server answers any more ({why})")
        return min(left, key=lambda server: server.open)

    async def _post(self, server: Server, body: Json) -> Json:
        """One request.

        Raises:
            RefusedError: the server says that this request is wrong.
            AqaError: no request can be right.
            HTTPError: anything else, after which it may be made again.
        """
        reply = await self._reply(server, body)
        _check_allowed(server.url, reply)
        if reply.status_code == 404:
            raise ModelError(f"{server.url} does not know {server.model}: {self._reported(reply)}")
        if reply.status_code in (400, 413, 422):
            raise RefusedError(self._reported(reply))
        reply.raise_for_status()
        try:
            found = reply.json()
        except (ValueError, RecursionError) as error:
            raise httpx2.DecodingError("its answer is not JSON", request=reply.request) from error
        if not isinstance(found, dict):
            raise httpx2.DecodingError("its answer is not an object", request=reply.request)
        return found

    async def _reply(self, server: Server, body: Json) -> httpx2.Response:
        """What a server answers, which may take longer while it answers others."""
        clock = asyncio.get_running_loop().time
        limits = httpx2.Timeout(self._patience, connect=self._client.timeout.connect, read=None)
        url, asked = f"{server.url}/v1/completions", clock()
        sent = self._client.post(url, json={"model": server.model, **body}, timeout=limits)
        work = asyncio.ensure_future(sent)
        try:
            while not work.done():
                left = max(asked, server.answered) + self._patience - clock()
                if left <= 0:
                    raise httpx2.ReadTimeout("no answer")
                await asyncio.wait([work], timeout=left)
            reply = work.result()
        finally:
            work.cancel()
        server.answered = clock()
        return reply

    async def _look_after(self, server: Server, why: str) -> None:
        """See whether a server that failed is still there; else leave it out from now on."""
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
                    f"{server.url} does not answer any more ({why}); its questions go to the others"
                )

    def _reported(self, reply: httpx2.Response) -> str:
        """What a server says of an error."""
        try:
            found = reply.json()
            said = found.get("error", found)
            text = str(said.get("message", said))
        except (ValueError, AttributeError, RecursionError):
            text = reply.text
        return self._shown(text) or f"it answers {reply.status_code}"

    def _why(self, error: BaseException) -> str:
        """What failed, in a few words."""
        if isinstance(error, httpx2.HTTPStatusError):
            return self._reported(error.response)
        if isinstance(error, AqaError):
            return str(error)
        if isinstance(error, httpx2.TimeoutException):
            return "it did not answer in time"
        return self._shown(str(error)) or type(error).__name__

    def _shown(self, text: str) -> str:
        return shown(without_secrets(text, [self._key]))


def _check_allowed(url: str, reply: httpx2.Response) -> None:
    if reply.status_code in (401, 403):
        raise ConfigError(
            f"{url} wants another API key; put its key into the environment variable {KEY}"
        )
