"""The verb predict: answer examples with a reader into a journal, resumable at any moment."""

from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from aqa.backends import make_reader
from aqa.backends.base import Backend, Remote
from aqa.config.load import as_raw
from aqa.config.options import RunConfig
from aqa.errors import RunError, UsageError
from aqa.evaluation.contracts import Contract, read_contract
from aqa.evaluation.predictions import check_there
from aqa.evaluation.sequential_testing import Decision, SequentialTest, StopRule
from aqa.progress import Progress
from aqa.prompting.build import Inputs, Unfit, describe_sources, that_fit
from aqa.prompting.templates import load_template
from aqa.prompting.tokenizer_coverage import check_known
from aqa.runs.failures import FailureSummary
from aqa.runs.files import hash_files
from aqa.runs.fingerprints import TOKEN_LIMITS
from aqa.runs.folder import open_run
from aqa.runs.journal import Journal, done_before
from aqa.runs.journal_rows import withheld
from aqa.runs.names import BATCHES, JOURNAL, OF_PREDICTION, SEGMENTS
from aqa.runs.segments import join_segments, take_over_segments
from aqa.spent import CostEstimate
from aqa.verbs.launch import answering_reader, check_single
from aqa.verbs.sequential_stopping import SequentialRun, check_goes_on, open_sequential_test
from aqa.verbs.session import Answering, Row, Session, result_of, unkept_answers
from aqa.verbs.shared_work import lead


@dataclass(frozen=True, slots=True)
class Resume:
    """How to continue a run folder: `fresh` forgets its answers, `retry_errors` its failures.

    `contract` names the contract file to apply, made with this reader or, given
    `allow_other_reader`, with another. `stop` says when enough questions have been asked.
    """

    fresh: bool = False
    retry_errors: bool = False
    contract: Path | None = None
    allow_other_reader: bool = False
    stop: StopRule | None = None

    def __post_init__(self) -> None:
        if self.allow_other_reader and self.contract is None:
            raise UsageError("--allow-other-reader is for --abstain-below; name a contract there")

    def check_files(self) -> None:
        """Raise DataError early if the contract or reference run is missing."""
        if self.contract is not None:
            read_contract(self.contract)
        if self.stop is not None:
            check_there(self.stop.reference)


@dataclass(frozen=True, slots=True)
class Questions:
    """A reader and the inputs it will answer, both checked.

    `launch` names the processes that answer together, if several do. `only` are the indices of
    the examples to ask, ascending; None: all. `run` names one of several runs, in its rows.
    """

    config: RunConfig
    reader: Backend
    inputs: Inputs
    launch: str | None = None
    only: Collection[int] | None = None
    run: str | None = None

    def unkept_answers(self, progress: Progress) -> Generator[Row, None, None]:
        """Answer without a run folder; UsageError for a batch, whose answers come much later."""
        if isinstance(self.reader, Remote) and self.reader.asks_by_batch:
            raise UsageError(
                "a batch is answered within a day; name a folder to find it again (output_dir)"
            )
        return unkept_answers(self.inputs, self.reader, progress)


@dataclass(frozen=True, slots=True)
class PredictResult:
    """The result of a prediction run. `answered` and `failed` add up to `examples`.

    `cached` answers came from a cache, which `saved` tokens and money; a contract has
    `withheld` some. `shortfall` says why examples failed and how many answers were cut off.
    `decision` is that of a run that stops by itself, which may leave examples unasked.
    """

    folder: Path
    predictions: Path
    examples: int
    answered: int
    failed: int
    resumed: int
    cached: int = 0
    saved: Mapping[str, float | None] = field(default_factory=dict)
    shortfall: FailureSummary = field(default_factory=FailureSummary)
    withheld: int = 0
    decision: Decision | None = None


def predict(
    config: RunConfig,
    folder: Path,
    progress: Progress,
    resume: Resume = Resume(),
    command: str = "",
) -> PredictResult:
    """Answer every example and write predictions.json; finished answers are not asked again.

    Raises:
        AqaError: bad data, prompt or model, before anything is written; or a run folder that is
            in use or belongs to another run.
    """
    rows = kept_answers(check(config, progress), folder, progress, resume, command)
    return result_of(rows)


def check(config: RunConfig, progress: Progress, reader: Backend | None = None) -> Questions:
    """Check data, template and reader as far as possible without weights; AqaError if bad.

    A `reader` that is already loaded is used instead of a new one.
    """
    check_single("this prediction")
    reader = reader or answering_reader(config, progress)
    return Questions(config, reader, checked_inputs(config, reader, progress))


def kept_answers(
    questions: Questions,
    folder: Path,
    progress: Progress,
    resume: Resume = Resume(),
    command: str = "",
) -> Generator[Row, None, PredictResult]:
    """Yield each answer once it is in the journal, starting with those of earlier sessions."""
    total, launch = questions.inputs.total, questions.launch
    contract = contract_of(questions, resume)
    test = _test_of(questions, folder, progress, resume)
    with opened(questions, folder, resume, command) as session:
        journal = session.journal
        stopping = None if test is None else SequentialRun(test, session, contract)
        if journal.dropped_lines:
            progress.note("the journal's last line was incomplete; that example is asked again")
        answered, failed = journal.counts(total)
        before = answered + (0 if resume.retry_errors else failed)
        waves = session.one_wave(questions.only) if stopping is None else stopping.waves()
        alone = Answering(session, waves, stopping.examples_at if stopping else None)
        with (
            session.recording(),
            progress.task("Answering", total=total, done=before) as task,
            closing(lead(session, launch) if launch else alone.run()) as answers,
        ):
            sent = 0
            for answer in answers:
                if answer.live is not None:
                    sent += 1
                    # A batch may also return failures that were not to be asked again.
                    task.advance(int(before + sent <= total), answer.live)
                row = answer.row if contract is None else withheld(answer.row, contract.threshold)
                yield row if questions.run is None else {**row, "run": questions.run}
        is_part = questions.only is not None or (stopping is not None and stopping.is_done)
        if contract is not None and (count := session.unsure()):
            progress.note(f"{count:,} answers have no confidence and are withheld")
        result = _ended(session, sent, contract, is_part)
        return result if stopping is None else replace(result, decision=stopping.decision)


def contract_of(questions: Questions, resume: Resume) -> Contract | None:
    """The contract to apply, if any."""
    if resume.contract is None:
        return None
    contract = read_contract(resume.contract)
    contract.check_confidence(questions.reader.confidence_kind)
    if not resume.allow_other_reader:
        contract.check_reader(questions.inputs.fingerprint(questions.reader))
    return contract


def _test_of(
    questions: Questions, folder: Path, progress: Progress, resume: Resume
) -> SequentialTest | None:
    """The test that decides when to stop, if any; a run is resumed with its original plan."""
    if resume.stop is None:
        return None
    config, inputs = questions.config, questions.inputs
    test = open_sequential_test(resume.stop, config, inputs, folder, progress)
    if not resume.fresh:
        check_goes_on(test, folder)
    return test


def _ended(session: Session, sent: int, contract: Contract | None, is_part: bool) -> PredictResult:
    """Write predictions.json once nothing is left to ask; `is_part`: more examples remain."""
    journal, folder, total = session.journal, session.run.folder, session.inputs.total
    threshold = None if contract is None else contract.threshold
    path = journal.write_predictions(total, session.inputs.template.answer, threshold)
    silence = {} if contract is None else {"silence": contract.to_json()}
    session.end("done", {"predictions_sha256": hash_files(path), **silence})
    answered, failed = journal.counts(total)
    if is_part:
        total = answered + failed
    if answered + failed != total:
        raise RunError(
            f"{folder}: {total} examples, but {answered} answers and {failed} failures; run the"
            " same command again to get the rest"
        )
    counts = total, answered, failed, max(total - sent, 0), journal.hits
    short = session.shortfall()
    return PredictResult(folder, path, *counts, session.saved(), short, journal.withheld)


def checked_inputs(
    config: RunConfig, reader: Backend, progress: Progress, like: Inputs | None = None
) -> Inputs:
    """Load the inputs and check them with the reader; `like` are another run's on the same data."""
    if isinstance(reader, Remote):
        reader.check_access()
    inputs = Inputs(config, load_template(config.prompt), progress, like=like)
    reader.check()
    inputs.check_room(reader)
    check_known(inputs, reader, progress)
    return inputs


@contextmanager
def opened(questions: Questions, folder: Path, resume: Resume, command: str) -> Iterator[Session]:
    """Open the run folder and let the reader restore what earlier sessions left there."""
    config, reader, inputs = questions.config, questions.reader, questions.inputs
    fingerprint = inputs.fingerprint(reader)
    manifest = {
        "verb": "predict",
        "command": command,
        "config": as_raw(config),
        "evidence": inputs.evidence_plan(),
        "hardware": reader.hardware(),
        "sources": describe_sources(config, reader, inputs),
    }
    with open_run(folder, "predict") as run:
        reader.folder = folder
        batches = isinstance(reader, Remote) and reader.find_batches(folder, resume.fresh)
        unwanted = removed_if_fresh(reader) if resume.fresh else ()
        may_change = TOKEN_LIMITS if resume.retry_errors else ()
        awaits = take_over_segments(folder, fingerprint, unwanted) or batches
        with Journal(folder, fingerprint, False, awaits, may_change) as journal:
            join_segments(journal, config.generation.window)
            manifest["fingerprint"] = journal.fingerprint
            if isinstance(reader, Remote):
                served = {} if resume.fresh else run.previous.get("served")
                reader.resume(journal.spent, served or {}, folder)
                # In the manifest from the start, so that it survives being killed.
                manifest["served"] = dict(reader.facts(journal.spent))
            run.start(manifest)
            since = journal.size() if resume.retry_errors else 0
            yield Session(inputs, reader, run, journal, since, batches)


def removed_if_fresh(reader: Backend) -> tuple[str, ...]:
    """Return the names of what a fresh start removes from a run folder."""
    # Another reader's batches may still be at a server.
    batch_files = (BATCHES,) if isinstance(reader, Remote) else ()
    return (SEGMENTS, JOURNAL, *OF_PREDICTION, *batch_files)


def dry_run(
    config: RunConfig,
    folder: Path,
    progress: Progress,
    resume: Resume = Resume(),
    like: Inputs | None = None,
    only: Collection[int] | None = None,
) -> CostEstimate:
    """Estimate what a prediction would cost; nothing is asked and nothing is written.

    Answers already in the `folder` don't count, subject to `resume`, and a run that stops early is
    counted whole; `only` restricts the estimate to these ascending indices.

    Raises:
        AqaError: bad data or prompt; or the reader uses no server.
    """
    reader = make_reader(config, progress)
    if not isinstance(reader, Remote):
        raise UsageError(f"--dry-run estimates the cost of an API; {config.backend.name} asks none")
    inputs = Inputs(config, load_template(config.prompt), progress, like=like)
    reader.check()
    inputs.check_room(reader)
    if test := _test_of(Questions(config, reader, inputs), folder, progress, resume):
        only = test.indices
    fingerprint = inputs.fingerprint(reader)
    done = set() if resume.fresh else done_before(folder, fingerprint, resume.retry_errors)
    unfit: list[Unfit] = []
    examples = inputs.examples() if only is None else inputs.examples_at(only)
    pending = ((index, example) for index, example in examples if index not in done)
    estimate = reader.estimate_cost(that_fit(inputs.prompts(reader, pending), unfit.append))
    return replace(estimate, unfit=len(unfit), answered=sum(at < inputs.total for at in done))
