"""The verb predict: examples to prompts to a reader to a journal, resumable at any moment."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from aqa.answers import clean_answer
from aqa.backends.base import Backend
from aqa.config import RunConfig, as_raw
from aqa.data import Source, Survey, read_examples, survey
from aqa.errors import AqaError, PromptError, RunError
from aqa.hashes import hash_files
from aqa.metrics import RunningScores
from aqa.progress import Progress
from aqa.prompts import load_template, prepare
from aqa.records import Example, Prediction, Prompt, Template
from aqa.runs import Journal, open_run


@dataclass(frozen=True, slots=True)
class Resume:
    """How to go on with a run folder: `fresh` forgets its answers, `retry_errors` its failures."""

    fresh: bool = False
    retry_errors: bool = False


@dataclass(frozen=True, slots=True)
class PredictResult:
    """What a prediction run came to. `answered` and `failed` add up to `examples`."""

    folder: Path
    predictions: Path
    examples: int
    answered: int
    failed: int
    resumed: int


def data_source(config: RunConfig, dev: bool = False) -> Source:
    """Where the config's examples come from: `path`, or the validation data `dev_path`."""
    data = config.data
    path = data.dev_path if dev else data.path
    if path is None:
        raise AqaError("no data is named; give --data FILE, or data.path in the config")
    return Source(
        path=path,
        split=data.dev_split if dev else data.split,
        fields=data.fields,
        corpus=data.corpus,
        on_duplicate_id=data.on_duplicate_id,
        normalize=data.normalize,
    )


def survey_data(source: Source, progress: Progress) -> Survey:
    """Check all the data before anything expensive, and pass its notes on."""
    with progress.task(f"Checking {source.path}") as task:
        found = survey(source, task.advance)
    for note in found.notes:
        progress.note(note)
    return found


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
    template = load_template(config.prompt)
    source = data_source(config)
    found = survey_data(source, progress)
    total = min(found.count, config.data.limit or found.count)
    reader = reader_type(config, progress)
    reader.check()
    fingerprint = run_fingerprint(config, template, found, reader)
    with open_run(folder, "predict") as run, run.open_journal(fingerprint, resume.fresh) as journal:
        if journal.dropped_lines:
            progress.note("the journal's last line was incomplete; that example is asked again")
        run.start({"verb": "predict", "command": command, "config": as_raw(config), **fingerprint})
        examples = islice(read_examples(source, found), total)
        todo = (
            (index, example)
            for index, example in enumerate(examples)
            if not journal.is_done(index, resume.retry_errors)
        )
        answering = Answering(config, template, reader, journal)
        answered, failed = journal.counts(total)
        before = answered + (0 if resume.retry_errors else failed)
        try:
            with progress.task("Answering", total=total) as task:
                task.advance(before)
                for live in answering.run(todo):
                    task.advance(1, live)
        except BaseException as error:
            run.update({"status": "interrupted" if _is_stop(error) else "failed"})
            raise
        answered, failed = journal.counts(total)
        path = journal.write_predictions(total)
        run.update(
            {
                "status": "done",
                "counts": {"examples": total, "answered": answered, "failed": failed},
                "tokens": count_tokens(journal.rows(total)),
                "predictions_sha256": hash_files(path),
            }
        )
    if answered + failed != total:
        raise RunError(
            f"{folder}: {total} examples, but {answered} answers and {failed} failures; run the"
            " same command again to get the rest"
        )
    return PredictResult(folder, path, total, answered, failed, before)


def run_fingerprint(
    config: RunConfig, template: Template, found: Survey, reader: Backend
) -> dict[str, Any]:
    """What must be the same for a journal to be gone on with."""
    data = config.data
    return {
        "backend": config.backend.name,
        "data": {
            "sha256": found.sha256,
            "split": data.split,
            "fields": dict(data.fields),
            "on_duplicate_id": data.on_duplicate_id,
            "normalize": data.normalize,
        },
        "evidence": config.evidence.model_dump(),
        "prompt": {"name": template.name, "sha256": template.sha256},
        "reader": dict(reader.identity()),
    }


class Answering:
    """Feeds a reader and puts each answer in the journal before anything else happens."""

    def __init__(
        self, config: RunConfig, template: Template, reader: Backend, journal: Journal
    ) -> None:
        self._config = config
        self._template = template
        self._reader = reader
        self._journal = journal
        self._waiting: dict[str, Prompt] = {}
        self._unfit: list[tuple[int, Example, str]] = []
        self._scores = RunningScores(config.evaluation.profile)

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

    def _prompts(self, todo: Iterable[tuple[int, Example]]) -> Iterator[Prompt]:
        for index, example in todo:
            try:
                prompt = prepare(
                    example, index, self._template, self._config.evidence, self._reader
                )
            except PromptError as error:
                self._unfit.append((index, example, str(error)))
                continue
            self._waiting[prompt.id] = prompt
            yield prompt

    def _record_unfit(self) -> Iterator[Mapping[str, float | str]]:
        """Put the examples whose prompt can't fit in the journal, as failures."""
        while self._unfit:
            index, example, error = self._unfit.pop()
            self._journal.append(index, failure_row(example, error))
            yield self._live(None, example.answers)

    def _live(
        self, prediction: str | None, answers: tuple[str, ...] | None
    ) -> Mapping[str, float | str]:
        if answers is None:
            return {}
        self._scores.add(prediction, answers)
        return self._scores.means()


def answer_fields(answers: tuple[str, ...] | None, prediction: str | None) -> dict[str, Any]:
    """The fields of a prediction file that every reader of such files looks for."""
    return {
        "answer": answers[0] if answers else None,
        "answers": None if answers is None else list(answers),
        "predicted_answer": prediction,
    }


def failure_row(example: Example, error: str) -> dict[str, Any]:
    """What is kept of an example that no reader could be asked."""
    return {"id": example.id, **answer_fields(example.answers, None), "error": error}


def journal_row(prompt: Prompt, prediction: Prediction) -> dict[str, Any]:
    """What is kept of one finished example: the clean answer, the raw text, the evidence."""
    evidence = prompt.evidence
    row: dict[str, Any] = {"id": prompt.id}
    if prediction.raw is None:
        row |= answer_fields(prompt.answers, None) | {"error": prediction.error}
    else:
        clean = clean_answer(prediction.raw, prompt.template.no_answer)
        row |= answer_fields(prompt.answers, clean.text)
        row |= {"raw": prediction.raw, "abstained": clean.abstained}
    row["evidence"] = {
        "ranks": [passage.rank for passage in evidence.reading_order],
        "dropped": [passage.rank for passage in evidence.dropped],
        "cut_characters": evidence.cut_characters,
    }
    row["tokens"] = {"prompt": prediction.prompt_tokens, "answer": prediction.answer_tokens}
    return row


def count_tokens(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Tokens of all finished examples, those of earlier sessions too."""
    tokens = {"prompt": 0, "answer": 0}
    for row in rows:
        for name, count in row.get("tokens", {}).items():
            tokens[name] += count
    return tokens


def _is_stop(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt)
