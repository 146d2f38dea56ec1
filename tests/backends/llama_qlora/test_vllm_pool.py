"""How long servers are waited for, with a clock that skips idle time."""

import asyncio
import selectors
from collections.abc import Coroutine

import httpx2
import pytest

from aqa.backends.llama_qlora.vllm import pool
from aqa.backends.llama_qlora.vllm.pool import Pool, Server
from aqa.backends.llama_qlora.vllm.requests import Json, RefusedError

PATIENCE = 10.0
URL = "http://127.0.0.1:1"


class Hurry(selectors.DefaultSelector):
    """Does not wait; its clock counts how long it would have waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


def hurried(work: Coroutine[None, None, list[Json | BaseException]]) -> list[Json | BaseException]:
    selector = Hurry()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


async def ask(seconds: list[float]) -> list[Json | BaseException]:
    """Ask all questions at once of a server that takes so long for each in turn."""
    turn = asyncio.Lock()
    left = iter(seconds)

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/health":
            return httpx2.Response(200)
        async with turn:
            await asyncio.sleep(next(left))
        return httpx2.Response(200, json={"choices": []})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        asked = Pool(client, "", lambda note: None, lambda: True, PATIENCE)
        await asked.add(Server(URL, "base"), {}, lambda body, reply: None)
        requests = [asked.ask({"prompt": [number]}) for number in range(len(seconds) - 1)]
        return await asyncio.gather(*requests, return_exceptions=True)


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "ATTEMPTS", 1)


def test_who_waits_in_the_queue_of_a_busy_server_is_answered() -> None:
    assert hurried(ask([1.0] + [0.9 * PATIENCE] * 20)) == [{"choices": []}] * 20


def test_a_server_that_answers_nobody_any_more_is_given_up() -> None:
    first, *others = hurried(ask([1.0, 0.9 * PATIENCE, 1.1 * PATIENCE, 0.0]))
    assert first == {"choices": []}
    assert [type(each) for each in others] == [RefusedError] * 2
    assert all("did not answer in time" in str(each) for each in others)
