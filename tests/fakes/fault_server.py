"""A server on loopback with chat completions and responses, as OpenAI and Azure have them.

Faults occur by a script or randomly.

It answers a question with the last word of its prompt, counts a token per word, and records
requests, tokens, refusals and concurrency.
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

GONE = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
Body = dict[str, Any]
Headers = dict[str, str]


def failure(message: str, code: str | None = None, param: str | None = None) -> Body:
    return {"error": {"message": message, "type": code, "code": code, "param": param}}


@dataclass
class Fault:
    """What to do instead of answering."""

    status: int = 200
    body: Body | None = None
    headers: Headers = field(default_factory=dict)
    cut: bool = False  # send only half of the answer's bytes
    close: bool = False  # close the connection before answering
    hang: float = 0.0  # seconds of silence
    until: Callable[[], bool] = lambda: True  # silence until then, while the request is in flight
    reset: bool = False  # break the connection within the body
    drip: float = 0.0  # seconds before each byte of the body
    large: int = 0  # bytes of an endless body
    raw: bytes | None = None  # a body that is not JSON
    wire: bytes | None = None  # everything sent, including the head, before closing


FAULTS = {
    "429": Fault(429, failure("too many requests", "rate_limit_exceeded"), {"Retry-After": "0.05"}),
    "429 bare": Fault(429, failure("too many requests", "rate_limit_exceeded")),
    "500": Fault(500, failure("it broke")),
    "502": Fault(502),
    "503": Fault(503, failure("overloaded"), {"Retry-After": "0.05"}),
    "close": Fault(close=True),
    "cut": Fault(cut=True),
    "empty": Fault(200, {"choices": [], "model": "m"}),
    "reset": Fault(reset=True),
    "not json": Fault(raw=b"<html>a gateway's page</html>"),
}
FILTERED = Fault(400, failure("the prompt was filtered", "content_filter"))
QUOTA = Fault(429, failure("you exceeded your quota", "insufficient_quota"))
BAD_KEY = Fault(401, failure("Incorrect API key provided: {key}", "invalid_api_key"))
NO_MODEL = Fault(404, failure("The model does not exist", "model_not_found"))


@dataclass
class Server:
    """Settings and counts. `script` decides on a request by its number and body."""

    script: Callable[[int, Body], Fault | None] = lambda number, body: None
    latency: float = 0.0
    headers: Headers = field(default_factory=dict)
    answer: Callable[[Body], str] = lambda body: turns(body)[-1]["content"].split()[-1]
    count: Callable[[Body], int] = lambda body: count_words(body)
    cached: int = 0
    tokens_per_second: float | None = None  # a bucket of one second; 429 when exceeded
    url: str = ""
    requests: int = 0
    answered: Counter[str] = field(default_factory=Counter)  # by the last message
    refused: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    active: int = 0
    most_active: int = 0
    connections: int = 0
    bodies: list[Body] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)  # authorization, api-key
    usage: Body | None = None  # reported instead of the real counts
    keep_bodies: bool = True
    level: float = 0.0
    seen: float = 0.0

    def cost(self, read: float, written: float) -> float:
        """US dollars for all answers, at prices per million tokens."""
        return (self.prompt_tokens * read + self.answer_tokens * written) / 1e6

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with closing(writer), suppress(*GONE):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                if not await self.handle(lines, body, writer):
                    break

    async def handle(self, lines: list[str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False closes the connection."""
        return await self.respond(lines, json.loads(body), writer)

    async def respond(self, lines: list[str], body: Body, writer: asyncio.StreamWriter) -> bool:
        number, self.requests = self.requests, self.requests + 1
        path = lines[0].split()[1]
        sent = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        sent = {name.lower(): value for name, value in sent.items()}
        key = sent.get("authorization", "").removeprefix("Bearer ")
        if self.keep_bodies:
            self.bodies.append(body)
            self.paths.append(path)
            self.keys.append((key, sent.get("api-key", "")))
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            scripted = self.script(number, body)
            limited = None if scripted else self._limited(body)
            fault = scripted or limited or Fault()
            if limited is None:  # a limiter in front of the model refuses at once
                await asyncio.sleep(self.latency + fault.hang)
                while not fault.until():
                    await asyncio.sleep(0.005)
        finally:
            self.active -= 1
        if fault.wire is not None:
            writer.write(fault.wire)
            await writer.drain()
        if fault.close or fault.wire is not None:
            return False
        if fault.large:
            await pour(writer, fault)
            return False
        if fault.status != 200 or fault.body is not None:
            self.refused += fault.status in (429, 503)
            told = json.dumps(fault.body or {}).replace("{key}", key or sent.get("api-key", ""))
            await send(writer, fault.status, told.encode(), self.headers | fault.headers)
            return True
        if fault.raw is not None:
            await send(writer, 200, fault.raw, self.headers | fault.headers)
            return True
        content = self.complete(body, "/responses" in path)
        if fault.reset or fault.drip:
            await falter(writer, content, fault)
            return False
        if fault.cut:
            await send(writer, 200, content[: len(content) // 2], self.headers)
            return True
        self.answered[turns(body)[-1]["content"]] += 1
        await send(writer, 200, content, self.headers)
        return True

    def _limited(self, body: Body) -> Fault | None:
        if self.tokens_per_second is None:
            return None
        now = time.monotonic()
        self.level = min(
            self.tokens_per_second, self.level + (now - self.seen) * self.tokens_per_second
        )
        self.seen = now
        needed = self.count(body)
        if self.level < needed:
            return FAULTS["429"]
        self.level -= needed
        return None

    def complete(self, body: Body, as_response: bool) -> bytes:
        text = self.answer(body)
        read, written = self.count(body), len(text.split())
        self.prompt_tokens += read
        self.answer_tokens += written
        if as_response:
            return self._respond_with(body["model"], text, read, written)
        usage = {"prompt_tokens": read, "completion_tokens": written}
        usage_details = {"prompt_tokens_details": {"cached_tokens": self.cached}}
        message = {"role": "assistant", "content": text}
        said = {"message": message}
        if "prompt" in body:
            told = {"tokens": [text], "token_logprobs": [-0.25]} if body.get("logprobs") else None
            said = {"text": text, "logprobs": told}
        choice = {"index": 0, **said, "finish_reason": "stop"}
        reply = {"id": "x", "object": "chat.completion", "model": f"{body['model']}-2026-01-01"}
        usage_told = self.usage or usage | usage_details
        return json.dumps(reply | {"choices": [choice], "usage": usage_told}).encode()

    def _respond_with(self, model: str, text: str, read: int, written: int) -> bytes:
        usage = {"input_tokens": read, "output_tokens": written}
        details = {"input_tokens_details": {"cached_tokens": self.cached}}
        thought = {"type": "reasoning", "summary": []}
        part = {"type": "output_text", "text": text, "annotations": []}
        message = {"type": "message", "role": "assistant", "content": [part]}
        reply = {"object": "response", "status": "completed", "model": f"{model}-2026-01-01"}
        output = {"output": [thought, message], "usage": usage | details}
        return json.dumps(reply | output).encode()


def turns(body: Body) -> list[Body]:
    if "prompt" in body:  # text or token ids
        words = body["prompt"].split() if isinstance(body["prompt"], str) else body["prompt"]
        return [{"role": "user", "content": " ".join(map(str, words))}]
    found: list[Body] = body["input"] if "input" in body else body["messages"]
    return found


def count_words(body: Body) -> int:
    schema = json.dumps([body.get("response_format", ""), body.get("text", "")])
    return len(schema.split()) - 2 + sum(len(turn["content"].split()) for turn in turns(body))


async def send(writer: asyncio.StreamWriter, status: int, body: bytes, headers: Headers) -> None:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/json", *(f"{k}: {v}" for k, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()


async def falter(writer: asyncio.StreamWriter, content: bytes, fault: Fault) -> None:
    """Send half of a body and break off, or send it byte by byte."""
    writer.write(f"HTTP/1.1 200 X\r\nContent-Length: {len(content)}\r\n\r\n".encode())
    if fault.reset:
        writer.write(content[: len(content) // 2])
        await writer.drain()
        writer.transport.abort()
        return
    for byte in content:
        await asyncio.sleep(fault.drip)
        writer.write(bytes([byte]))
        await writer.drain()


async def pour(writer: asyncio.StreamWriter, fault: Fault) -> None:
    """Send many bytes of an answer that does not end."""
    head = f"HTTP/1.1 {fault.status} X\r\nContent-Type: application/json\r\n\r\n"
    writer.write(head.encode())
    writer.write(b'{"choices": [{"message": {"content": "')
    for _ in range(fault.large // 2**16):
        writer.write(b"x" * 2**16)
        await writer.drain()


def by_chance(share: float, seed: int = 1) -> Callable[[int, Body], Fault | None]:
    """Mixed faults in this share of the requests."""
    chance = random.Random(seed)
    kinds = list(FAULTS.values())
    return lambda number, body: chance.choice(kinds) if chance.random() < share else None


@contextmanager
def serving(server: Server, port: int = 0) -> Iterator[Server]:
    """Serve from a thread, by default at a free port; sets `server.url`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = loop.create_task(server.serve(reader, writer))
        connections[task] = writer
        task.add_done_callback(connections.pop)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(accept, "127.0.0.1", port)

    async def stop(listening: asyncio.Server) -> None:
        """Break all connections, since open ones would be waited for without ever answering.

        A server closed while it accepts a connection forgets to close that one.
        """
        for listener in listening.sockets:
            loop.remove_reader(listener.fileno())
        for _ in range(8):
            await asyncio.sleep(0)
        listening.close()
        open_ = dict(connections)
        for task in open_:
            task.cancel()
        await asyncio.gather(*open_, return_exceptions=True)
        for writer in open_.values():
            writer.transport.abort()
        await asyncio.sleep(0.01)  # until the sockets are closed

    listening = asyncio.run_coroutine_threadsafe(start(), loop).result()
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(stop(listening), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
