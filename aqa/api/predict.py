"""`aqa.predict`: answers as a stream."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from aqa.api.config import Data, PathLike, Settings, as_path
from aqa.api.reader import AnyReader, Reader, resolve
from aqa.api.wording import ASKED, WordedProgress, worded
from aqa.config.conditions import parse_conditions
from aqa.config.options import RunConfig
from aqa.config.ranges import POINTS, check_choice, check_list
from aqa.display.console import watched_progress
from aqa.errors import AqaError, RunError, UsageError
from aqa.evaluation.deciding import Decision, StopRule
from aqa.records import Prediction
from aqa.tables import Figure, Row, Table, figures, texts
from aqa.tables.forms import to_html
from aqa.verbs.ensembles import connect
from aqa.verbs.predict import PredictResult, Questions, Resume, check, kept_answers
from aqa.verbs.session import Row as KeptRow
from aqa.verbs.variants import Variants, answers_of, check_variants, make_variants

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = 20  # answers of a table in a notebook
SCORES = ("em", "f1")  # that a run may be decided by


@worded(ASKED)
def predict(
    reader: AnyReader,
    data: Data | None = None,
    *,
    model: PathLike | None = None,
    settings: Settings | None = None,
    output_dir: PathLike | None = None,
    redo: Literal["nothing", "failures", "everything"] = "nothing",
    prompts: Sequence[PathLike] = (),
    stress: Sequence[str] = (),
    abstain_below: PathLike | None = None,
    allow_other_reader: bool = False,
    stop_when_decided: "PathLike | Predictions | None" = None,
    margin: float | None = None,
    decide_by: Literal["em", "f1"] = "f1",
    quiet: bool = False,
) -> "Predictions":
    """Answer every question of the data.

    Data, config and prompt are checked at once; weights are loaded, or a server is asked, when the
    first answer is taken.

    Args:
        reader: the name of a backend ("t5", "llama", "gpt4"), a config of `aqa.load_config`, or an
            `aqa.Reader`, which stays loaded for the next call.
        data: a path or a data set's name, `aqa.Example`s, rows as dicts in any shape that files
            may have, a pandas table or a `datasets.Dataset`; by default what the config names.
        model: a run folder, an adapter, a model folder, a name on the hub, or "package:NAME/FILE".
        settings: values of the config by dotted keys, such as {"evidence.top_k": 5}.
        output_dir: the run folder. Each answer is in its journal before the next is asked for, and
            what an earlier call answered is not asked again. Without one nothing is written.
        redo: what of an earlier call is asked again.
        prompts: templates, by name or path, each of which makes a run in the run folder.
        stress: conditions, such as "position" or "missing", under which the questions are asked,
            too, a run each in the run folder (see `aqa.evaluate`).
        abstain_below: the file of a contract of silence, whose less sure answers are withheld.
        allow_other_reader: take a contract that was made with another reader.
        stop_when_decided: a run to ask against, wave by wave, until one of both is surely better.
        margin: stop also once they surely differ by fewer points.
        decide_by: the score that decides.
        quiet: show no progress, which terminals and notebooks show otherwise.

    Raises:
        AqaError: there is something wrong with data, config, prompt, model or run folder; also
            while the answers are taken.
    """
    check_choice("redo", redo, ("nothing", "failures", "everything"))
    check_list("prompts", prompts)
    check_list("stress", stress)
    config = resolve(reader, model, settings, data)
    if config.workers.processes > 1:
        raise UsageError(
            "workers.count starts processes of the command aqa predict; in Python leave it out, or"
            " set workers.engine to ray"
        )
    progress = WordedProgress(watched_progress(quiet), ASKED)
    folder = None if output_dir is None else as_path(output_dir)
    several = bool(stress) or len(prompts) > 1
    if several and stop_when_decided is not None:
        raise UsageError("stop_when_decided is for one run; leave out prompts and stress")
    silence = None if abstain_below is None else as_path(abstain_below)
    stop = _stop_rule(stop_when_decided, margin, decide_by)
    resume = Resume(redo == "everything", redo == "failures", silence, allow_other_reader, stop)
    resume.check_files()
    if folder is None and (prompts or stress or silence or stop):
        raise UsageError(
            "prompts, stress, abstain_below and stop_when_decided are for runs in a folder; name"
            " one (output_dir)"
        )
    if prompts:
        config.note_asked((), ("prompt",))
    shared = reader if isinstance(reader, Reader) else None
    kept = None if shared is None else shared.kept(config, progress)
    if folder is not None and several:
        variants = variants_of(config, folder, prompts, stress)
        checked = check_variants(variants, progress, kept)
        rows = answers_of(checked, progress, resume, "aqa.predict")
        return Predictions(checked.questions, rows, folder, shared)
    if prompts:
        config = config.model_copy(update={"prompt": str(as_path(prompts[0]))})
    questions = check(config, progress, kept)
    connect(questions, folder, progress, resume)
    if folder is None:
        return Predictions([questions], questions.unkept_answers(progress), None, shared)
    answers = kept_answers(questions, folder, progress, resume, "aqa.predict")
    return Predictions([questions], answers, folder, shared)


def variants_of(
    config: RunConfig, folder: Path, prompts: Sequence[PathLike], stress: Sequence[str]
) -> Variants:
    """Plan the runs of several prompts or conditions; AqaError for one that can't be had."""
    conditions = parse_conditions(",".join(stress)) if stress else []
    return make_variants(config, folder, [str(as_path(each)) for each in prompts], conditions)


def run_folder(run: "PathLike | Predictions") -> Path:
    """Give the folder of a run, or a file of predictions; UsageError for answers in no folder."""
    if not isinstance(run, Predictions):
        return as_path(run)
    if run.folder is None:
        raise UsageError("these answers are in no run folder; call aqa.predict with output_dir")
    for _ in run.rows():  # all of them lie there then
        pass
    return run.folder


def _stop_rule(
    reference: "PathLike | Predictions | None", margin: float | None, score: Literal["em", "f1"]
) -> StopRule | None:
    POINTS.check("margin", margin)
    check_choice("decide_by", score, SCORES)
    if reference is None:
        if margin is not None or score != "f1":
            raise UsageError("margin and decide_by are for stop_when_decided; name a run there")
        return None
    return StopRule(run_folder(reference), margin, score)


class Predictions:
    """The answers of a reader, as a stream that can be gone through any number of times.

    Each is asked for when it is first needed, in the order in which the reader gives them, and is
    in memory from then on. `folder` is the run folder, if there is one. Used by `with`, or closed,
    it frees the model before all answers were taken. Of several prompts or conditions the answers
    of all runs follow each other.
    """

    def __init__(
        self,
        questions: Sequence[Questions],
        source: Generator[KeptRow, None, Any],
        folder: Path | None = None,
        reader: Reader | None = None,
    ) -> None:
        if reader is not None:
            reader.streams.add(self)
        self.folder = folder
        self._source = source
        self._inputs = [each.inputs for each in questions]
        self._result: Any = None
        self._rows: list[KeptRow] = []
        self._is_whole = False
        self._ended: AqaError | None = None

    def __iter__(self) -> Iterator[Prediction]:
        return map(_prediction, self.rows())

    def __len__(self) -> int:
        """How many questions there are, answered or not."""
        return sum(each.total for each in self._inputs)

    def rows(self) -> Iterator[KeptRow]:
        """Give what a run folder keeps of each answer: its references and evidence, too."""
        place = 0
        while place < len(self._rows) or self._advance():
            yield self._rows[place]
            place += 1

    def _advance(self) -> bool:
        """Take one more answer from the reader; False where there is none."""
        if self._ended is not None:
            raise self._ended
        if self._is_whole:
            return False
        try:
            with worded(ASKED):
                self._rows.append(next(self._source))
        except StopIteration as end:
            self._is_whole, self._result = True, end.value
            return False
        except AqaError as error:
            self._ended = error
            raise
        except BaseException:
            self._ended = RunError("the answers broke off here; call aqa.predict again")
            raise
        return True

    @property
    def evidence_plan(self) -> Mapping[str, Any]:
        """What decided the evidence of each question; see `aqa.evaluate`."""
        return self._inputs[0].evidence_plan()

    @property
    def has_several_runs(self) -> bool:
        """Whether the answers are those of several prompts or conditions."""
        return len(self._inputs) > 1

    @property
    def decision(self) -> Decision | None:
        """What a run that stops when it is decided came to, once its answers were taken."""
        return self._result.decision if isinstance(self._result, PredictResult) else None

    def close(self) -> None:
        """Ask nothing more, and free the model."""
        if not self._is_whole and self._ended is None:
            self._ended = RunError("the answers were closed here; call aqa.predict again")
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def to_frame(self) -> "DataFrame":
        """Take all answers into a pandas table: id, text, confidence, error and the question.

        Of several prompts or conditions each row also tells its run.
        """
        from pandas import DataFrame

        names = {"run": "run"} if self.has_several_runs else {}
        names |= {"id": "id", "text": "predicted_answer"}
        names |= {name: name for name in ("confidence", "error", "question")}
        rows = [[row.get(name) for name in names.values()] for row in self.rows()]
        return DataFrame(rows, columns=list(names))

    def __repr__(self) -> str:
        return f"<aqa.Predictions: {len(self._rows)} of {len(self)} answered>"

    def _repr_html_(self) -> str:
        """The first answers that are there; none is asked for to be shown."""
        count = len(self._rows)
        more = f", the first {SHOWN}" if count > SHOWN else ""
        title = f"{count} of {len(self)} answered{more}"
        heads = [*texts("id", "text"), *figures("confidence")]
        return to_html(Table(heads, [_shown(row) for row in self._rows[:SHOWN]], title))


def _shown(kept: KeptRow) -> Row:
    confidence = kept.get("confidence")
    figure = None if confidence is None else Figure(confidence, 3)
    return Row([kept["id"], kept["predicted_answer"], figure])


def _prediction(row: KeptRow) -> Prediction:
    tokens = row.get("tokens") or {}
    return Prediction(
        row["id"],
        raw=row.get("raw"),
        error=row.get("error"),
        prompt_tokens=tokens.get("prompt", 0),
        answer_tokens=tokens.get("answer", 0),
        confidence=row.get("confidence"),
        confidence_kind=row.get("confidence_kind", ""),
        other_confidences=tuple(row.get("other_confidences", {}).items()),
        nbest=tuple((each["answer"], each["score"]) for each in row.get("nbest", ())),
        cut=row.get("cut", False),
        answer=row["predicted_answer"],
    )
