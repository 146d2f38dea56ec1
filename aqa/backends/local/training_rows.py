"""Training rows: token ids in Arrow files, made once and kept until training is over.

Each process makes its part before joining the process group, whose waits have a timeout.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

from datasets import Dataset, concatenate_datasets

from aqa.backends.base import TrainJob
from aqa.backends.cuts import Cuts
from aqa.backends.local.collectives import all_gather
from aqa.backends.local.failures import explained_work
from aqa.backends.local.reader import LocalReader
from aqa.backends.local.training_batches import as_row
from aqa.errors import AqaError, DataError, RunError
from aqa.processes import is_first_process, process_count, process_rank
from aqa.records import Encoding, Prompt
from aqa.runs.files import atomic, explain_write_errors, hash_files, write_json
from aqa.runs.names import ROWS_PART, ROWS_RECORD, TRAINING_ROWS
from aqa.version import __version__

FORMAT = 1  # version of these files; other versions are made again
AT_ONCE = 1000  # rows in memory
NOT_SHARED = (
    "{}: this process can't see what the others wrote there; give all processes a folder that they"
    " share"
)


@dataclass(frozen=True, slots=True)
class Part:
    """A file of rows: its hash, and what its prompts lost to fit."""

    sha256: str
    cuts: Cuts


@dataclass(slots=True)
class ProcessParts:
    """What one process made: its parts out of `count`, and ids of prompts with nothing to learn."""

    count: int
    parts: dict[int, Part] = field(default_factory=dict)
    untaught: list[str] = field(default_factory=list)
    failure: AqaError | None = None


class TrainingRows:
    """The rows to train on: new ones, or those kept by the training run that is resumed.

    There is one part per process that made them. Kept parts are reused if they were made from the
    same inputs and their files are unchanged. A run that had `ended` needs only their cuts.
    """

    def __init__(self, reader: LocalReader, job: TrainJob, ended: bool = False) -> None:
        self._reader, self._job = reader, job
        self._folder = job.folder / TRAINING_ROWS
        self._made_from = made_from(reader, job)
        self._kept_parts = self._read_record() if job.resume else []
        self._result = ProcessParts(len(self._kept_parts) or process_count())
        self._ended = ended and bool(self._kept_parts)

    def make(self) -> None:
        """Make this process's parts that were not kept; `all` raises any failure."""
        result = self._result
        try:
            with explained_work(self._reader.options.model, "preparing the training rows"):
                for number in range(process_rank(), result.count, process_count()):
                    result.parts[number] = self._kept_part(number) or self._make_part(number)
        except AqaError as error:
            result.failure = error

    def all(self) -> Dataset | None:
        """Return the rows of all processes, memory-mapped; a collective call.

        None if training had ended, unless it is unknown what the prompts lost.

        Raises:
            AqaError: a process failed; all raise its error.
            DataError: examples have no answer to train on (some are named), or no row is left.
            RunError: the processes do not share the run folder.
        """
        results = all_gather(self._result)
        for failure in filter(None, (result.failure for result in results)):
            raise failure
        check_taught([name for result in results for name in result.untaught])
        parts = dict(sorted(pair for result in results for pair in result.parts.items()))
        if any(result.count != len(parts) for result in results):
            raise RunError(NOT_SHARED.format(self._folder))
        for part in parts.values():
            self._job.cuts.add(part.cuts)
        if is_first_process():
            self._keep(list(parts.values()))
        if self._ended:
            return None
        rows = read_rows([self._path(number) for number in parts])
        self._job.cuts.check_left(len(rows))
        return rows

    def _path(self, number: int) -> Path:
        return self._folder / ROWS_PART.format(number)

    def _kept_part(self, number: int) -> Part | None:
        """Return the record of a kept part, if its file is unchanged."""
        if not self._kept_parts:
            return None
        path, record = self._path(number), self._kept_parts[number]
        is_whole = self._ended or (path.is_file() and hash_files(path) == record.sha256)
        return record if is_whole else None

    def _make_part(self, number: int) -> Part:
        cuts, path = Cuts(), self._path(number)
        prompts = self._job.train(number, self._result.count, cuts)
        encoded = ((prompt, prompt.encoding or self._reader.encode(prompt)) for prompt in prompts)
        with explain_write_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._result.untaught += write_rows(encoded, path)
        return Part(hash_files(path), cuts)

    def _read_record(self) -> list[Part]:
        """Return the kept parts; none if they were made from other inputs."""
        try:
            record = json.loads((self._folder / ROWS_RECORD).read_bytes())
            if record["made_from"] != self._made_from:
                return []
            return [Part(part["sha256"], Cuts(**part["cuts"])) for part in record["parts"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _keep(self, parts: Sequence[Part]) -> None:
        """Record what the parts were made from, and remove files that are no longer used."""
        used = {self._path(number) for number in range(len(parts))}
        for path in set(self._folder.iterdir()) - used:
            with suppress(OSError):  # a folder, or a file that NFS keeps while it is open
                path.unlink()
        record = {"made_from": self._made_from, "parts": list(map(asdict, parts))}
        write_json(self._folder / ROWS_RECORD, record)


def discard_rows(run_folder: Path) -> None:
    """Remove the rows of a finished training, but keep the record of what they lost."""
    for path in (run_folder / TRAINING_ROWS).glob(ROWS_PART.format("*")):
        path.unlink(missing_ok=True)


def made_from(reader: LocalReader, job: TrainJob) -> str:
    """Return a hash of everything that determines the training rows."""
    facts = [FORMAT, __version__, reader.tokenized_by(), job.made_from]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def write_rows(encoded: Iterable[tuple[Prompt, Encoding]], path: Path) -> list[str]:
    """Write token ids to an Arrow file; return the ids of prompts without an answer to learn.

    `example` is the number of the example that a row comes from: it may have a row per answer.
    """
    import pyarrow

    schema = pyarrow.schema(
        [
            ("input_ids", pyarrow.list_(pyarrow.int32())),
            ("prompt_length", pyarrow.int32()),
            ("part_lengths", pyarrow.list_(pyarrow.int32())),
            ("length", pyarrow.int32()),
            ("example", pyarrow.int32()),
        ]
    )
    untaught: list[str] = []
    # An earlier file must not change: another training may have mapped it into memory.
    with atomic(path) as file, pyarrow.ipc.new_stream(file, schema) as writer:
        stream = iter(encoded)
        while part := list(islice(stream, AT_ONCE)):
            untaught += [prompt.id for prompt, ids in part if not ids.target_ids]
            rows = [{**as_row(ids), "example": prompt.index} for prompt, ids in part]
            writer.write(pyarrow.RecordBatch.from_pylist(rows, schema=schema))
    return untaught


def check_taught(untaught: Sequence[str]) -> None:
    """Raise a DataError if there are prompts without an answer to learn, naming the first ones."""
    if untaught:
        raise DataError(
            f"{len(untaught)} training examples have no answer to learn"
            f" ({', '.join(untaught[:3])}); give them references, or a template with"
            " a no_answer phrase, or leave them out"
        )


def read_rows(paths: Iterable[Path]) -> Dataset:
    """Map files of rows into memory as one data set.

    Raises:
        RunError: a file is missing.
    """
    try:
        return concatenate_datasets([Dataset.from_file(str(path)) for path in paths])
    except FileNotFoundError as error:
        raise RunError(NOT_SHARED.format(error.filename or error)) from error
