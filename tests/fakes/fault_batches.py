"""Files and Batches of the fault server: each poll of a batch advances it a little."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fault_server import Body, Fault, Server, failure, send, turns

Step = Callable[[str, int], Fault | None]  # by the step's name and how often it was reached
ROUTES = {
    "upload": re.compile(r"POST \S*/files\b"),
    "content": re.compile(r"GET \S*/files/([\w-]+)/content\b"),
    "create": re.compile(r"POST \S*/batches[ ?]"),
    "cancel": re.compile(r"POST \S*/batches/([\w-]+)/cancel\b"),
    "list": re.compile(r"GET \S*/batches\?(\S*) "),
    "retrieve": re.compile(r"GET \S*/batches/([\w-]+)[ ?]"),
}


def nothing(step: str, number: int) -> Fault | None:
    return None


@dataclass
class Batch:
    """A batch on the server."""

    id: str
    file: str
    metadata: dict[str, str]
    requests: list[Body]
    end: str
    status: str = "validating"
    looks: int = 0
    answers: str | None = None
    errors: str | None = None


@dataclass
class BatchingServer(Server):
    """Settings and counts for batches.

    `before` and `after` may replace the reply to a step by a fault, before or after the step is
    carried out. `line` decides on one request of a batch by its body: a fault, or None for an
    answer. `ends` returns a batch's final status by its number, `arrange` orders the lines of its
    answers, `spelling` spells a status, and `spoil` changes the file's content by the number of the
    download, from 1.
    """

    before: Step = nothing
    after: Step = nothing
    line: Callable[[Body], Fault | None] = lambda body: None
    ends: Callable[[int], str] = lambda number: "completed"
    spelling: Callable[[str], str] = str
    problem: dict[str, Any] = field(default_factory=lambda: {"code": "invalid", "message": "bad"})
    arrange: Callable[[list[bytes]], list[bytes]] = lambda lines: lines
    spoil: Callable[[int, bytes], bytes] = lambda number, content: content  # in a download
    looks: int = 1  # polls until a batch has ended
    pauses: int = 1  # polls without progress
    page: int = 100  # batches in a list at most
    steps: Counter[str] = field(default_factory=Counter)
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)

    async def handle(self, lines: list[str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        found = [(step, route.match(lines[0])) for step, route in ROUTES.items()]
        step, match = next(((s, m) for s, m in found if m), ("", None))
        if match is None:
            return await super().handle(lines, body, writer)
        number, self.steps[step] = self.steps[step], self.steps[step] + 1
        fault = self.before(step, number)
        if fault is None:
            status, answer = self.work(step, match.groups(), body)
            fault = self.after(step, number)
        if fault is None:
            await send(writer, status, answer, {})
        elif fault.cut:
            await send(writer, status, answer[: len(answer) // 2], {})
        elif fault.close:
            head = f"HTTP/1.1 200 X\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
            writer.write(head + answer[: len(answer) // 2] if fault.status == 206 else b"")
            await writer.drain()
            return False
        else:
            told = json.dumps(fault.body or {}).encode()
            await send(writer, fault.status, told, fault.headers)
        return True

    def work(self, step: str, parts: tuple[str, ...], body: bytes) -> tuple[int, bytes]:
        if step == "content":
            content = self.files.get(parts[0])
            if content is None:
                return missing("file")
            return 200, self.spoil(self.steps["content"], content)
        if step == "list":
            return 200, json.dumps(self.listed(parts[0])).encode()
        if step == "upload":
            return 200, json.dumps(self.upload(body)).encode()
        if step == "create":
            return 200, json.dumps(self.create(json.loads(body))).encode()
        batch = self.batches.get(parts[0])
        if batch is None:
            return missing("batch")
        if step == "cancel":
            if batch.status in ("completed", "failed", "expired", "cancelled"):
                return 400, json.dumps(failure(f"cannot cancel: {batch.status}")).encode()
            batch.status = "cancelling"
        else:
            self.work_on(batch)
        return 200, json.dumps(self.shown(batch)).encode()

    def upload(self, body: bytes) -> Body:
        boundary = body.split(b"\r\n", 1)[0]
        fields = {}
        for piece in body.split(boundary)[1:-1]:
            head, content = piece.split(b"\r\n\r\n", 1)
            name = re.search(rb'name="(\w+)"', head)
            assert name
            fields[name[1].decode()] = content.removesuffix(b"\r\n")
        assert fields["purpose"] == b"batch"
        return {"id": self.keep(fields["file"]), "object": "file", "bytes": len(fields["file"])}

    def keep(self, content: bytes) -> str:
        key = f"file-{len(self.files) + 1}"
        self.files[key] = content
        return key

    def create(self, body: Body) -> Body:
        assert body["completion_window"] == "24h"
        number = len(self.batches)
        requests = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        assert {line["url"] for line in requests} == {body["endpoint"]}
        assert {line["method"] for line in requests} == {"POST"}
        assert len({line["custom_id"] for line in requests}) == len(requests)
        batch = Batch(
            f"batch_{number + 1}", body["input_file_id"], body["metadata"], requests,
            self.ends(number),
        )  # fmt: skip
        self.batches[batch.id] = batch
        return self.shown(batch)

    def work_on(self, batch: Batch) -> None:
        if batch.status == "cancelling":
            self.finish(batch, "cancelled")
        elif batch.status in ("validating", "in_progress"):
            batch.looks += 1
            batch.status = "in_progress"
            if batch.looks >= self.looks * self.pauses:
                self.finish(batch, batch.end)

    def finish(self, batch: Batch, end: str) -> None:
        batch.status = end
        if end == "failed":
            return
        half = len(batch.requests) // 2
        answered = batch.requests if end == "completed" else batch.requests[:half]
        good, bad = [], []
        for request in answered:
            kind, line = self.answer_line(request)
            (good if kind else bad).append(json.dumps(line).encode())
        for request in batch.requests[len(answered) :]:
            error = {"code": f"batch_{end}", "message": f"the batch {end}"}
            line = {"custom_id": request["custom_id"], "response": None, "error": error}
            bad.append(json.dumps(line).encode())
        if good:
            batch.answers = self.keep(b"\n".join(self.arrange(good)) + b"\n")
        if bad:
            batch.errors = self.keep(b"\n".join(bad) + b"\n")

    def answer_line(self, request: Body) -> tuple[bool, Body]:
        body = request["body"]
        fault = self.line(body)
        line = {"id": f"req-{request['custom_id']}", "custom_id": request["custom_id"]}
        if fault is None:
            self.answered[turns(body)[-1]["content"]] += 1
            response = {
                "status_code": 200,
                "body": json.loads(self.complete(body, "input" in body)),
            }
            return True, line | {"response": response, "error": None}
        response = {"status_code": fault.status, "body": fault.body or {}}
        return fault.status == 200, line | {"response": response, "error": None}

    def listed(self, query: str) -> Body:
        words = dict(pair.split("=") for pair in query.split("&"))
        newest = list(self.batches.values())[::-1]
        ids = [batch.id for batch in newest]
        start = ids.index(words["after"]) + 1 if "after" in words else 0
        chosen = newest[start : start + min(int(words["limit"]), self.page)]
        more = start + len(chosen) < len(newest)
        return {"object": "list", "data": [self.shown(b) for b in chosen], "has_more": more}

    def shown(self, batch: Batch) -> Body:
        total = len(batch.requests)
        ended = batch.status in ("completed", "expired", "cancelled")
        done = total if ended else total * (batch.looks // self.pauses) // (self.looks + 1)
        failed = batch.status == "failed"
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.requests[0]["url"],
            "input_file_id": batch.file,
            "completion_window": "24h",
            "created_at": 4_000_000_000,
            "metadata": batch.metadata,
            "status": self.spelling(batch.status),
            "request_counts": {"total": total, "completed": done, "failed": 0},
            "output_file_id": batch.answers,
            "error_file_id": batch.errors,
            "errors": {"object": "list", "data": [self.problem]} if failed else None,
        }


def missing(kind: str) -> tuple[int, bytes]:
    return 404, json.dumps(failure(f"no such {kind}", "not_found")).encode()


def disordered(lines: list[bytes]) -> list[bytes]:
    """Lines out of order, some of them repeated, and some invalid ones."""
    twice = [
        *lines,
        *lines[::3],
        b"not JSON",
        b'{"custom_id": "99999"}',
        b"[]",
        b'{"custom_id": [1]}',
    ]
    random.Random(3).shuffle(twice)
    return twice
