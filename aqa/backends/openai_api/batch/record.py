"""Record which parts of a run are at the server, so that a kill neither loses nor repeats one.

A part is planned, uploaded, created and closed; each step is on disk before the next one.
"""

import time
import uuid
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from aqa.errors import RunError
from aqa.runs.files import explain_write_errors, write_json
from aqa.runs.names import ANSWERS, BATCH_RECORD, BATCHES, ERRORS, REQUESTS
from aqa.spent import Spent


class Part(BaseModel):
    """A file of requests, and how far the batch that answers it has come."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    key: str
    planned: float  # seconds since 1970
    since: int  # the journal's size then: answers to this part come after it
    requests: int
    worst: Spent  # the most that the answers may cost
    file_id: str | None = None
    # Even without it a batch may exist, which is then found by `key` or `file_id`.
    batch_id: str | None = None


class Closed(BaseModel):
    """A batch that has ended and whose answers are in the journal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    status: str
    requests: int


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = 1
    run: str = ""
    parts: int = 0  # planned so far
    open: list[Part] = []
    closed: list[Closed] = []
    lost: Spent = Spent()  # paid, but without a line in the journal


class BatchRecord:
    """The record in a run folder, and the files next to it."""

    def __init__(self, folder: Path, fresh: bool) -> None:
        """Read the record; a `fresh` run forgets it, which RunError refuses while some are open."""
        self._folder = folder / BATCHES
        self._path = self._folder / BATCH_RECORD
        self._content = self._read()
        if not any(part.file_id for part in self._content.open):
            self._content.open = []  # none reached the server: plan again, perhaps for another one
        if fresh and self._content.open:
            raise RunError(
                f"{folder}: batches of this run are still at the server; run the command that began"
                " it (see run.json) without --fresh to collect them, or with --cancel to end them"
            )
        if fresh:
            self._content = _Content()
        self._content.run = self._content.run or uuid.uuid4().hex

    def _read(self) -> _Content:
        try:
            return _Content.model_validate_json(self._path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return _Content()
        except ValidationError as error:
            raise RunError(
                f"{self._path}: not a record of batches; restore it, since it records what was paid"
                " for"
            ) from error

    def _save(self) -> None:
        write_json(self._path, self._content.model_dump(mode="json"))

    @property
    def open(self) -> tuple[Part, ...]:
        """The parts that are planned or at the server."""
        return tuple(self._content.open)

    def to_json(self) -> list[dict[str, object]]:
        """Return all batches of the run, for its manifest."""
        open_ = (
            Closed(id=part.batch_id, status="open", requests=part.requests)
            for part in self._content.open
            if part.batch_id is not None
        )
        return [batch.model_dump() for batch in (*self._content.closed, *open_)]

    @property
    def lost(self) -> Spent:
        """What was paid for answers that could not be used."""
        return self._content.lost

    def requests_file(self, number: int) -> Path:
        """Return the path of a part's requests."""
        return self._folder / f"{number:04}{REQUESTS}"

    def answer_files(self, part: Part) -> tuple[Path, Path]:
        """Return the paths of a part's answers and errors."""
        stem = f"{part.number:04}"
        return self._folder / f"{stem}{ANSWERS}", self._folder / f"{stem}{ERRORS}"

    def next_number(self) -> int:
        """Return the number of the next part to be planned."""
        with explain_write_errors(self._folder.parent):
            self._folder.mkdir(exist_ok=True)
        return self._content.parts + 1

    def plan(self, sizes: list[tuple[int, Spent]], since: int) -> None:
        """Record that the written files of requests will be sent; `sizes` has (requests, worst)."""
        for requests, worst in sizes:
            number = self._content.parts = self._content.parts + 1
            key = f"{self._content.run}-{number}"
            self._content.open.append(
                Part(number=number, key=key, planned=time.time(), since=since, requests=requests,
                     worst=worst)
            )  # fmt: skip
        self._save()

    def advance(
        self, part: Part, *, file_id: str | None = None, batch_id: str | None = None
    ) -> Part:
        """Record how far a part has come."""
        later = part.model_copy(
            update={"file_id": file_id or part.file_id, "batch_id": batch_id or part.batch_id}
        )
        self._content.open[self._content.open.index(part)] = later
        self._save()
        return later

    def close(self, part: Part, status: str, lost: Spent) -> None:
        """Record that a batch was collected, or never created; delete its files."""
        self._content.open.remove(part)
        if part.batch_id is not None:
            closed = Closed(id=part.batch_id, status=status, requests=part.requests)
            self._content.closed.append(closed)
        self._content.lost += lost
        self._save()
        self.tidy()

    def tidy(self) -> None:
        """Delete files that belong to no open part, including those of killed processes."""
        open_parts = {f"{part.number:04}" for part in self._content.open}
        with explain_write_errors(self._folder):
            for path in self._folder.glob("*.jsonl"):
                if path.name.partition(".")[0] not in open_parts:
                    path.unlink()
