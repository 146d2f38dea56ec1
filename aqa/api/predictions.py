"""Answers as a stream."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from aqa.api.wording import ASKED, worded
from aqa.errors import AqaError, RunError
from aqa.evaluation.deciding import Decision
from aqa.records import Prediction
from aqa.spent import Spent
from aqa.tables import Figure, Row, Table, figures, texts
from aqa.tables.forms import to_html
from aqa.verbs.predict import PredictResult, Questions
from aqa.verbs.session import Row as KeptRow

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = 20  # answers of a table in a notebook


class Predictions:
    """The answers of a reader, as a stream that can be gone through any number of times.

    Each is asked for when it is first needed, in the order in which the reader gives them, and is
    in memory from then on, for all threads. `folder` is the run folder, if there is one. Used by
    `with`, or closed, it frees the model before all answers were taken. A copy, such as another
    process gets, has those that were. Of several prompts or conditions the answers of all runs
    follow each other.
    """

    def __init__(
        self,
        questions: Sequence[Questions],
        source: Generator[KeptRow, None, Any],
        folder: Path | None = None,
        streams: "WeakSet[Predictions] | None" = None,
    ) -> None:
        if streams is not None:
            streams.add(self)
        self.folder = folder
        self._source = source
        self._inputs = [each.inputs for each in questions]
        self._result: Any = None
        self._rows: list[KeptRow] = []
        self._is_whole = False
        self._ended: AqaError | None = None
        self._lock = RLock()  # the source is gone through by one thread at a time

    def __getstate__(self) -> dict[str, Any]:
        """What a copy has: neither the source of more answers nor its lock."""
        ended = RunError("this copy has only the answers taken before; call aqa.predict again")
        state = {**vars(self), "_rows": [*self._rows], "_source": None, "_lock": None}
        return state if self._is_whole or self._ended else {**state, "_ended": ended}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _source=(each for each in list[KeptRow]()), _lock=RLock())

    def __iter__(self) -> Iterator[Prediction]:
        return map(_prediction, self.rows())

    def __len__(self) -> int:
        """How many questions there are, answered or not."""
        return sum(each.total for each in self._inputs)

    def rows(self) -> Iterator[KeptRow]:
        """Give what a run folder keeps of each answer: its references and evidence, too."""
        place = 0
        while self._reaches(place):
            yield self._rows[place]
            place += 1

    def _reaches(self, place: int) -> bool:
        with self._lock:
            return place < len(self._rows) or self._advance()

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
        with self._lock:
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
    spent, saved = (row.get(name) and Spent(**row[name]) for name in ("spent", "saved"))
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
        spent=spent,
        saved=saved,
        cut=row.get("cut", False),
        unread=row.get("unread_tokens", 0),
        seconds=row.get("seconds"),
        answer=row["predicted_answer"],
    )
