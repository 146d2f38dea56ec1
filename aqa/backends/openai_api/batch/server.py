"""Files and batches of the Batch API over HTTP, with retries while the server has problems."""

import asyncio
import json
import re
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aqa.backends.openai_api.batch.record import Part
from aqa.backends.openai_api.error_bodies import error_text
from aqa.backends.openai_api.failures import classify, words_of
from aqa.backends.openai_api.replies import BadBodyError
from aqa.backends.openai_api.retry_delays import back_off
from aqa.backends.openai_api.service import Service
from aqa.data.files import GZIP
from aqa.errors import ModelError
from aqa.runs.files import atomic

WINDOW = "24h"  # the only one that OpenAI supports
ENDED = {"completed", "failed", "expired", "cancelled"}
# Other servers' names for these, in lower case.
ENDS = {
    "canceled": "cancelled", "error": "failed", "success": "completed", "succeeded": "completed",
    "timeout_exceeded": "expired",
}  # fmt: skip
FIRST_CONTACT = 3.0  # seconds of refused connections, if the server was never reached
KEY = "aqa"  # in a batch's metadata: the part of the run that it answers
PAGE = 100  # batches per page
PAGES = 100
CHUNK_BYTES = 1 << 20  # bytes of a file in memory
# Ids and statuses: they become parts of URLs, where dots alone lead elsewhere, and are shown.
PLAIN = re.compile(r"(?!\.+$)[\w.:=-]{1,200}", re.ASCII)
MAX_CLOCK_SKEW = 86_400.0  # seconds by which the server's clock may differ from ours

T = TypeVar("T")
Json = dict[str, Any]
Wait = Callable[[Coroutine[Any, Any, Any]], Any]


class NotThereError(ModelError):
    """The server does not have a file or batch, or no longer has it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the server reports it."""

    id: str
    status: str
    answered: int
    finished: int  # answered or failed
    answers: str | None
    errors: str | None
    problem: str  # why it failed, if it did
    code: str

    @property
    def ended(self) -> bool:
        """Whether no more answers will come."""
        return self.status in ENDED


class BatchServer:
    """The Batch API of a server; requests are repeated for `patience` seconds if that may help.

    `wait` runs a coroutine in the client's loop.

    All methods raise:
        NotThereError: the server does not have a file or batch.
        ModelError: it refuses, or has problems for too long.
    """

    def __init__(self, service: Service, wait: Wait) -> None:
        self._client, self._access = service.client, service.access
        self.patience, self._wait = service.options.example_deadline, wait
        self._was_there = False

    def upload(self, part: Part, path: Path) -> str:
        """Upload a file of requests as it is; return the server's id for it."""

        async def send() -> str:
            with path.open("rb") as file:
                response = await self._client.files.with_raw_response.create(
                    file=(f"{part.key}.jsonl", file), purpose="batch"
                )
            return _text(_object(response.content), "id")

        return self._persist(send)

    def create(self, part: Part, endpoint: str, seek: bool) -> Batch:
        """Create the batch of an uploaded part, unless there is one.

        It is looked for first if `seek` is set, and after every error: a request without a reply
        may have created it.
        """
        file_id = part.file_id or ""

        async def send() -> Batch:
            nonlocal seek
            if seek and (batch := await self._look_for(part)):
                return batch
            seek = True
            response = await self._client.batches.with_raw_response.create(
                input_file_id=file_id,
                endpoint=endpoint,
                completion_window=WINDOW,
                metadata={KEY: part.key},
                extra_headers={"Idempotency-Key": part.key},  # supported by some servers
            )
            return self._batch(_object(response.content))

        return self._persist(send)

    def find(self, part: Part) -> Batch | None:
        """Return the batch of a part whose id was not recorded; None if none was created."""
        return self._persist(lambda: self._look_for(part))

    def retrieve(self, batch_id: str) -> Batch:
        """Return the current state of a batch."""
        return self._persist(lambda: self._retrieve(batch_id))

    def cancel(self, batch_id: str) -> None:
        """Ask to cancel a batch, unless it has ended."""
        import openai

        async def ask() -> None:
            if (await self._retrieve(batch_id)).ended:
                return
            try:
                await self._client.batches.with_raw_response.cancel(batch_id)
            except openai.BadRequestError:
                if not (await self._retrieve(batch_id)).ended:  # unless it has just ended
                    raise

        self._persist(ask)

    def download(self, file_id: str, path: Path) -> None:
        """Download a file to disk, completely or not at all."""
        self._persist(lambda: self._fetch(file_id, path))

    async def _retrieve(self, batch_id: str) -> Batch:
        response = await self._client.batches.with_raw_response.retrieve(batch_id)
        return self._batch(_object(response.content))

    async def _fetch(self, file_id: str, path: Path) -> None:
        import httpx2

        unpacker: Any = None
        with atomic(path) as file:
            # `atomic` would take an OSError in here for a disk error.
            try:
                async with self._client.files.with_streaming_response.content(file_id) as response:
                    async for piece in response.iter_bytes(CHUNK_BYTES):
                        if not (unpacker or file.tell()) and piece.startswith(GZIP):  # some do
                            unpacker = zlib.decompressobj(31)
                        file.write(unpacker.decompress(piece) if unpacker else piece)
                if unpacker and not unpacker.eof:
                    raise zlib.error
            except (httpx2.HTTPError, zlib.error, TimeoutError, ConnectionError) as error:
                raise BadBodyError("a file of answers arrived only in part") from error

    async def _look_for(self, part: Part) -> Batch | None:
        after: dict[str, str] = {}
        for _ in range(PAGES):
            response = await self._client.batches.with_raw_response.list(limit=PAGE, **after)
            page = _object(response.content)
            listed = page.get("data")
            if not isinstance(listed, list):
                raise BadBodyError("the server's list of batches is not a list")
            batches = [batch for batch in listed if isinstance(batch, dict)]
            for batch in batches:
                metadata = batch.get("metadata")
                marked = isinstance(metadata, dict) and metadata.get(KEY) == part.key
                if marked or (part.file_id and batch.get("input_file_id") == part.file_id):
                    return self._batch(batch)
            times = [batch.get("created_at") for batch in batches]
            oldest = min((time for time in times if isinstance(time, int | float)), default=None)
            if not batches or not page.get("has_more"):
                return None
            if oldest is not None and oldest < part.planned - MAX_CLOCK_SKEW:  # newest come first
                return None
            after = {"after": _text(batches[-1], "id")}
        raise ModelError(
            "a batch of this run may be among the server's, but is not among the last"
            f" {PAGES * PAGE:,}; look for one with the metadata {KEY}: {part.key}, cancel it there,"
            " and start over in another --output-dir"
        )

    def _batch(self, body: Json) -> Batch:
        counts = body.get("request_counts")
        done = counts if isinstance(counts, dict) else {}
        errors = body.get("errors")
        listed = errors.get("data") if isinstance(errors, dict) else errors
        listed = listed if isinstance(listed, list) else []
        first = next((part for part in listed if isinstance(part, dict)), {})
        line = f"line {first['line']}: " if isinstance(first.get("line"), int) else ""
        counted = (done.get("completed"), done.get("failed"))
        answered, failed = (n if isinstance(n, int) else 0 for n in counted)
        status = _text(body, "status").lower()
        problem = str(first.get("message") or error_text(errors) or "no reason was given")
        return Batch(
            id=_text(body, "id"),
            status=ENDS.get(status, status),
            answered=answered,
            finished=answered + failed,
            answers=_text(body, "output_file_id") if body.get("output_file_id") else None,
            errors=_text(body, "error_file_id") if body.get("error_file_id") else None,
            problem=self._access.short_line(line + problem),
            code=str(first.get("code") or ""),
        )

    def _persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        result: T = self._wait(self._until_answered(ask))
        return result

    async def _until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        since, attempts = time.monotonic(), 0
        while True:
            try:
                result = await ask()
                self._was_there = True
                return result
            except Exception as error:
                failure = classify(error, self._access)
                if failure is None:
                    raise
                status = getattr(error, "status_code", None)
                if status in (404, 405, 410):
                    raise NotThereError(words_of(error, self._access)) from None
            if status == 413:
                size = "set backend.batch.max_bytes or backend.batch.max_requests lower"
                raise ModelError(f"the server takes no file that large ({failure.reason}); {size}")
            if not failure.may_pass:
                raise ModelError(f"the server refuses batches: {failure.reason}")
            attempts += 1
            pause = max(failure.wait or 0.0, back_off(attempts))
            self._was_there |= failure.kind != "unreachable"
            patience = self.patience if self._was_there else min(FIRST_CONTACT, self.patience)
            if time.monotonic() + pause > since + patience:
                if not self._was_there:
                    raise ModelError(f"{failure.reason}; is backend.base_url right?")
                raise ModelError(
                    f"{failure.after(attempts)}; batches keep running at the server; run the same"
                    " command again to resume"
                )
            await asyncio.sleep(pause)


def _object(content: bytes) -> Json:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadBodyError("the server's answer is cut off or is not JSON") from error
    if not isinstance(value, dict):
        raise BadBodyError("the server's answer is not a JSON object")
    return value


def _text(body: Json, key: str) -> str:
    value = body.get(key)
    fault = f"the server's answer has no valid {key}"
    if not isinstance(value, str) or not value:
        raise BadBodyError(fault)
    if not PLAIN.fullmatch(value):  # the server's fault: a retry would not help
        raise ModelError(f"{fault}; it was not used")
    return value
