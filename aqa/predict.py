"""The verb predict: examples to prompts to a reader to a journal, resumable at any moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from aqa.backends.base import Backend, CostEstimate, Remote
from aqa.config import as_raw
from aqa.errors import RunError, UsageError
from aqa.hashes import hash_files
from aqa.inputs import Inputs, Unfit, describe_sources
from aqa.journal import Journal, count_tokens, failure_row, journal_row
from aqa.metrics import RunningScores
from aqa.options import RunConfig
from aqa.progress import Progress
from aqa.prompts import load_template
from aqa.records import Example, Prompt
from aqa.runs import open_run


@dataclass(frozen=True, slots=True)
class Resume:
    """How to go on with a run folder: `fresh` forgets its answers, `retry_errors` its failures."""

    fresh: bool = False
    retry_errors: bool = False


@dataclass(frozen=True, slots=True)
class PredictResult:
    """What a prediction run came to. `answered` and `failed` add up to `examples`.

    `cached` of the answers were taken from a cache, which `saved` tokens and money.
    """

    folder: Path
    predictions: Path
    examples: int
    answered: int
    failed: int
    resumed: int
    cached: int = 0
    saved: Mapping[str, float | None] = field(default_factory=dict)


def predict(
    config: RunConfig,
    reader_type: type[Backend],
    folder: Path,
    progress: Progress,
    resume: Resume = Resume(),
    command: str = "",
) -> PredictResult:
    """Answer every example and write predictions.json; what is answered is not asked again.

    Raises:
        AqaError: bad data, prompt or model, before anything is written; or a run folder that is
            in use, or of another run.
    """
    reader = reader_type(config, progress)
    if isinstance(reader, Remote):
        reader.check_access()
    inputs = Inputs(config, load_template(config.prompt), progress)
    total = inputs.total
    reader.check()
    inputs.check_room(reader)
    fingerprint = inputs.fingerprint(reader)
    manifest = {
        "verb": "predict",
        "command": command,
        "config": as_raw(config),
        "fingerprint": fingerprint,
        "evidence": inputs.evidence_plan(),
        "sources": describe_sources(config, reader, inputs),
    }
    with open_run(folder, "predict") as run, Journal(folder, fingerprint, resume.fresh) as journal:
        if journal.dropped_lines:
            progress.note("the journal's last line was incomplete; that example is asked again")
        run.start(manifest)
        todo = (
            (index, example)
            for index, example in inputs.examples()
            if not journal.is_done(index, resume.retry_errors)
        )
        answered, failed = journal.counts(total)
        before = answered + (0 if resume.retry_errors else failed)
        if isinstance(reader, Remote):
            known = {} if resume.fresh else run.previous.get("served")
            reader.take_up(journal.spent, known or {})
        with (
            run.recording(lambda: _so_far(reader, journal, total)),
            progress.task("Answering", total=total) as task,
        ):
            task.advance(before)
            answering = Answering(inputs, reader, journal, config.evaluation.profile)
            for live in answering.run(todo):
                task.advance(1, live)
        path = journal.write_predictions(total)
        found = _so_far(reader, journal, total)
        run.update({"status": "done", **found, "predictions_sha256": hash_files(path)})
        answered, failed = journal.counts(total)
    if answered + failed != total:
        raise RunError(
            f"{folder}: {total} examples, but {answered} answers and {failed} failures; run the"
            " same command again to get the rest"
        )
    return PredictResult(
        folder, path, total, answered, failed, before, journal.hits, _saved(journal)
    )


def _so_far(reader: Backend, journal: Journal, total: int) -> dict[str, object]:
    """What the manifest tells of the answers, be it all of them or not."""
    answered, failed = journal.counts(total)
    found: dict[str, object] = {
        "counts": {"examples": total, "answered": answered, "failed": failed},
        "tokens": count_tokens(journal.rows(total)),
    }
    if isinstance(reader, Remote):
        found["served"] = dict(reader.facts())
    if journal.hits:
        found["cache"] = {"hits": journal.hits, "saved": _saved(journal)}
    return found


def _saved(journal: Journal) -> dict[str, float | None]:
    saved = journal.saved
    usd = None if saved.cost is None else round(saved.cost, 6)
    return {"input_tokens": saved.input, "output_tokens": saved.output, "usd": usd}


def dry_run(config: RunConfig, reader_type: type[Backend], progress: Progress) -> CostEstimate:
    """Tell what a prediction would cost; nothing is asked and nothing is written.

    Raises:
        AqaError: bad data or prompt; or the reader asks no server.
    """
    reader = reader_type(config, progress)
    if not isinstance(reader, Remote):
        raise UsageError(f"--dry-run tells what an API costs; {config.backend.name} asks none")
    inputs = Inputs(config, load_template(config.prompt), progress)
    reader.check()
    inputs.check_room(reader)
    unfit: list[Unfit] = []
    estimate = reader.estimate_cost(inputs.prompts(reader, inputs.examples(), unfit))
    return replace(estimate, unfit=len(unfit))


class Answering:
    """Feeds a reader and puts each answer in the journal before anything else happens."""

    def __init__(self, inputs: Inputs, reader: Backend, journal: Journal, profile: str) -> None:
        self._inputs = inputs
        self._reader = reader
        self._journal = journal
        self._waiting: dict[str, Prompt] = {}
        self._unfit: list[Unfit] = []
        self._scores = RunningScores(profile)

    def run(self, todo: Iterator[tuple[int, Example]]) -> Iterator[Mapping[str, float | str]]:
        """Answer what is to do; after each journal line, give the running scores to show."""
        first = next(todo, None)
        if first is None:
            return
        with self._reader as reader:
            for prediction in reader.generate(self._prompts(chain([first], todo))):
                yield from self._record_unfit()
                prompt = self._waiting.pop(prediction.id)
                row = journal_row(prompt, prediction)
                self._journal.append(prompt.index, row)
                yield self._live(row["predicted_answer"], prompt.answers)
        yield from self._record_unfit()

    def _prompts(self, todo: Iterator[tuple[int, Example]]) -> Iterator[Prompt]:
        for prompt in self._inputs.prompts(self._reader, todo, self._unfit):
            self._waiting[prompt.id] = prompt
            yield prompt

    def _record_unfit(self) -> Iterator[Mapping[str, float | str]]:
        """Put the examples whose prompt can't fit in the journal, as failures."""
        while self._unfit:
            unfit = self._unfit.pop()
            self._journal.append(unfit.index, failure_row(unfit.example, unfit.error))
            yield self._live(None, unfit.example.answers)

    def _live(
        self, prediction: str | None, answers: tuple[str, ...] | None
    ) -> Mapping[str, float | str]:
        spent = dict(self._reader.live()) if isinstance(self._reader, Remote) else {}
        if self._journal.hits:
            saved = self._journal.saved.cost
            told = f" (${saved:.4f} saved)" if saved else ""
            spent["cached"] = f"{self._journal.hits:,}{told}"
        if answers is None:
            return spent
        self._scores.add(prediction, answers)
        return {**self._scores.means(), **spent}
