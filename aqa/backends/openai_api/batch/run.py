"""Answer questions through the Batch API, which processes files of requests within a day."""

import time
from collections import Counter
from collections.abc import Iterator

from aqa.backends.base import PendingPrompts
from aqa.backends.openai_api.batch.lines import (
    AnswerLines,
    Request,
    RequestLines,
    fetch_answers,
    request_line,
    write_requests,
)
from aqa.backends.openai_api.batch.record import BatchRecord, Part
from aqa.backends.openai_api.batch.results import Results
from aqa.backends.openai_api.batch.server import Batch, BatchServer, NotThereError
from aqa.backends.openai_api.policy import KEPT
from aqa.backends.openai_api.service import Service
from aqa.errors import ModelError
from aqa.progress import Progress, Task
from aqa.records import Prediction, Prompt
from aqa.spent import Spent

EXPIRED = 3  # rounds with expired batches, before the run stops
TRIED = 10  # most requests of a first batch, which shows whether a server heeds limits
CAPPED = 5  # rounds limited by a cap, before the run stops
NOTHING = Spent()
FULL = "token_limit_exceeded"  # more than the account may queue

Answered = tuple[Prompt, Prediction]


class BatchRun:
    """The batches of one run, in rounds: collect what is at the server, then send the rest.

    The caller must have each answer on disk before it asks for the next.
    """

    def __init__(
        self,
        service: Service,
        record: BatchRecord,
        server: BatchServer,
        progress: Progress,
    ) -> None:
        self._service, self._record, self._server = service, record, server
        self._options, self._ledger = service.options.batch, service.ledger
        self._results = Results(service)
        self._progress = progress
        self._statuses: Counter[str] = Counter()  # final statuses of this round's batches
        self._returned = 0  # this round's answers and failures
        self._before: tuple[int, int] | None = None  # this and other progress, as the round began
        self._too_long: list[Answered] = []
        self._capped = self._ending = False
        self._capped_rounds = 0
        for part in record.open:
            self._ledger.reserve(part.worst)

    def answer(self, pending: PendingPrompts, more: bool) -> Iterator[Answered]:
        """Collect what is at the server; with `more`, ask everything that has no answer yet.

        Raises:
            StoppedError: the rest could exceed a cap.
            ModelError: the server refuses or cancels batches, or makes no progress.
        """
        self._record.tidy()
        if self._record.open and not more:
            self._progress.note(
                "batches of this run are still open: their answers are collected before the rest is"
                " asked; --cancel ends them"
            )
        try:
            yield from self._finish(pending, more)
            if more and self._service.cache is not None:
                yield from self._cached(pending)
            expired = 0
            while more and any(True for _ in pending.todo()):
                self._end_round()
                expired += self._statuses["expired"] > 0
                if expired >= EXPIRED:
                    raise ModelError(
                        f"batches expired {expired} times before all was answered; their answers"
                        " are kept; run the same command again to ask the rest"
                    )
                planned = self._plan(pending)
                yield from self._too_long
                if not planned:
                    return
                yield from self._finish(pending, more)
        except KeyboardInterrupt:
            if ids := ", ".join(part.batch_id for part in self._record.open if part.batch_id):
                self._progress.note(
                    f"the batch keeps running at the server ({ids}); run the same command again to"
                    " collect the answers, or with --cancel to end it"
                )
            raise

    def cancel(self, pending: PendingPrompts) -> Iterator[Answered]:
        """Cancel what is at the server, and collect the answers so far."""
        self._ending = True
        for part in self._record.open:
            sent = part if part.batch_id else self._find(part)
            if sent is None or sent.batch_id is None:
                continue
            try:
                self._server.cancel(sent.batch_id)
            except NotThereError:
                self._progress.note(f"the server does not know the batch {sent.batch_id}")
                self._close(sent, "unknown")
        yield from self._finish(pending, more=False)

    def _cached(self, pending: PendingPrompts) -> Iterator[Answered]:
        for prompt in pending.todo():
            if prediction := self._service.cached(prompt, self._results.sample(prompt)):
                yield prompt, prediction

    def _finish(self, pending: PendingPrompts, more: bool) -> Iterator[Answered]:
        """Send what is planned, and wait for everything at the server."""
        self._statuses, self._returned = Counter(), 0
        for part in self._record.open:
            if part.batch_id is None:
                self._send(part) if more and self._ledger.has_room(NOTHING) else self._find(part)
        if not self._record.open:
            return
        total = sum(part.requests for part in self._record.open)
        with self._progress.task("At the server", total, "requests") as task:
            states: dict[int, tuple[int, str]] = {}
            while True:
                for part in self._record.open:
                    batch = self._look(part)
                    _show(task, states, part, batch)
                    if batch.ended:
                        yield from self._collect(part, batch, pending)
                if not self._record.open:
                    return
                time.sleep(self._options.poll_seconds)

    def _send(self, part: Part) -> None:
        """Upload a part and create its batch, continuing where an earlier process stopped."""
        seek = part.file_id is not None
        try:
            if not seek:
                path = self._record.requests_file(part.number)
                part = self._record.advance(part, file_id=self._server.upload(part, path))
            batch = self._server.create(part, self._results.endpoint, seek)
        except NotThereError as error:
            self._close(part, "not created")
            raise ModelError(
                f"the server has no Batch API, or has lost a file of this run ({error}); run the"
                " same command again to retry, or without --batch-api to ask live"
            ) from None
        self._record.advance(part, batch_id=batch.id)
        self._progress.note(
            f"batch {batch.id}: {part.requests} requests, to be answered within a day; Ctrl-C"
            " leaves it running; run the same command again to resume it"
        )

    def _find(self, part: Part) -> Part | None:
        """Return the part with the id of its batch, if one was created; otherwise drop it."""
        batch = self._server.find(part) if part.file_id else None
        if batch is None:
            self._close(part, "not created")
            return None
        return self._record.advance(part, batch_id=batch.id)

    def _close(self, part: Part, status: str, lost: Spent = NOTHING) -> None:
        """A part has ended, with so much paid for nothing that is kept."""
        self._ledger.settle(part.worst, lost)
        self._record.close(part, status, lost)

    def _look(self, part: Part) -> Batch:
        assert part.batch_id is not None
        try:
            return self._server.retrieve(part.batch_id)
        except NotThereError as error:
            raise ModelError(
                f"the server does not know the batch {part.batch_id} ({error}); use the key that"
                " it was created with, or give it up with --cancel"
            ) from None

    def _collect(self, part: Part, batch: Batch, pending: PendingPrompts) -> Iterator[Answered]:
        """Yield the answers of a finished batch, then close it; nothing if all of it failed."""
        self._statuses[FULL if batch.code == FULL else batch.status] += 1
        if batch.status == "failed" and not (batch.answers or batch.errors):  # nothing was asked
            self._close(part, batch.status)
            if batch.code != FULL:
                raise ModelError(f"the server refused the batch {batch.id}: {batch.problem}")
            return
        requests = RequestLines(self._record.requests_file(part.number))
        answers = self._download(part, batch, requests)
        self._results.lost = Spent()
        answered: list[Answered] = []
        completed = batch.status == "completed"
        for prompt in pending.of(requests, part.since):
            prediction = self._results.read(prompt, answers.get(prompt.index), completed, requests)
            if prediction is not None:
                answered.append((prompt, prediction))
            if self._service.has_answered:
                yield from self._take(answered)
        if self._ending or self._results.why_in_vain() is None:
            yield from self._take(answered)
        lost = sum((prediction.spent or Spent() for _, prediction in answered), self._results.lost)
        self._close(part, batch.status, lost)

    def _take(self, answered: list[Answered]) -> Iterator[Answered]:
        """Count, cache and yield the answers."""
        for prompt, prediction in answered:
            self._ledger.spent += prediction.spent or Spent()
            self._ledger.write()  # a kill must not hide it from other runs under the same cap
            self._returned += 1
            self._service.keep(prompt, prediction, self._results.sample(prompt))
            yield prompt, prediction
        answered.clear()

    def _download(self, part: Part, batch: Batch, requests: RequestLines) -> AnswerLines:
        paths = self._record.answer_files(part)
        try:
            return fetch_answers(self._server, batch, paths, requests, part.requests, self._ending)
        except NotThereError as error:
            self._close(part, batch.status, part.worst)
            raise ModelError(
                f"the server no longer has the answers of the batch {batch.id} ({error}); they"
                " count at their worst case; run the same command again to ask them"
            ) from None

    def _end_round(self) -> None:
        if (reason := self._results.why_in_vain()) is not None:
            raise ModelError(f"{reason}; {KEPT}")
        if self._statuses["cancelled"]:
            raise ModelError(
                "a batch of this run was cancelled; what it answered is kept, and the same command"
                " asks the rest in a new one"
            )
        if self._before == (self._returned, self._results.progress):
            statuses = ", ".join(self._statuses)
            raise ModelError(
                f"the batches of this run answered nothing ({statuses}); try again later, with"
                " smaller ones (--set backend.batch.max_requests), or without --batch-api"
            )

    def _plan(self, pending: PendingPrompts) -> bool:
        """Write files of requests for what has no answer yet; False if nothing is left."""
        first = self._record.next_number()
        since = pending.mark()
        self._capped, self._too_long = False, []
        self._before = (0, self._results.progress)
        sizes = write_requests(
            self._requests(pending),
            lambda number: self._record.requests_file(first + number),
            self._options.max_requests,
            self._options.max_bytes,
        )
        if self._capped and (not sizes or self._capped_rounds == CAPPED):
            raise self._ledger.stopped()
        if self._capped:
            self._capped_rounds += 1
            count = sum(requests for requests, _ in sizes)
            self._progress.note(
                f"in the worst case the cap covers {count} requests: these go first"
            )
        if sizes:
            self._record.plan(sizes, since)
        return bool(sizes)

    def _requests(self, pending: PendingPrompts) -> Iterator[Request]:
        """Yield requests for what has no answer, as long as no cap can be exceeded."""
        planned = 0
        for prompt in pending.todo():
            line = request_line(prompt.index, self._results.endpoint, self._results.body(prompt))
            if len(line) > self._options.max_bytes:
                reason = f"its request of {len(line):,} bytes is more than a file may hold"
                self._too_long.append((prompt, self._results.failed(prompt, reason)))
                continue
            worst = self._service.worst(prompt, self._ledger.batch_price) + self._ledger.excess
            if self._ledger.is_untried and planned and not self._may_try(planned, worst):
                first = f"{planned} request{'s' * (planned > 1)} first"
                self._progress.note(f"{first}, to see if the server heeds the limit on answers")
                return
            if not self._ledger.has_room(worst):
                self._capped = True
                return
            self._ledger.reserve(worst)
            planned += 1
            yield line, worst

    def _may_try(self, planned: int, worst: Spent) -> bool:
        """Whether the caps allow one more trial even if all answers were as long as can be."""
        more = worst + self._service.unlimited * (planned + 1)
        return planned < TRIED and self._ledger.has_room(more)


def _show(task: Task, states: dict[int, tuple[int, str]], part: Part, batch: Batch) -> None:
    """Advance by what the server has finished since the last call; log only changes."""
    before, _ = last = states.get(part.number, (0, ""))
    finished = part.requests if batch.ended else min(batch.finished, part.requests)
    now = states[part.number] = max(finished, before), batch.status
    if now != last:
        task.advance(now[0] - before, {"batch": batch.status.replace("_", " ")})
