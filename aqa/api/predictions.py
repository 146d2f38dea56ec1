"""The stream of answers that `aqa.predict` returns."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from aqa.api.flag_translation import ASKED, translate_errors
from aqa.backends.interrupts import resumed
from aqa.errors import AqaError, RunError
from aqa.evaluation.sequential_testing import Decision
from aqa.records import Prediction
from aqa.spent import Spent
from aqa.tables import Figure, Row, Table, figures, texts
from aqa.tables.forms import to_html
from aqa.verbs.predict import PredictResult, Questions
from aqa.verbs.session import Row as KeptRow

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = 20  # answers in a notebook's table


class Predictions:
    """The answers of a reader, as a stream that can be iterated any number of times.

    Each answer is asked for when first needed, in the reader's order, and then kept in memory, for
    all threads. `folder` is the run folder, if any. Closing it, or leaving `with`, frees the model
    before all answers were taken. A copy, as for another process, has only the answers already
    taken. For several prompts or conditions, the runs' answers follow each other.
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
        self._inputs = [item.inputs for item in questions]
        self._result: Any = None
        self._rows: list[KeptRow] = []
        self._is_whole = False
        self._ended: AqaError | None = None
        self._lock = RLock()  # only one thread at a time may advance the source

    def __getstate__(self) -> dict[str, Any]:
        """A copy has neither the source of more answers nor its lock."""
        ended = RunError(
            "this copy holds only the answers taken before it was made; call aqa.predict again"
        )
        state = {**vars(self), "_rows": [*self._rows], "_source": None, "_lock": None}
        return state if self._is_whole or self._ended else {**state, "_ended": ended}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _source=(row for row in list[KeptRow]()), _lock=RLock())

    def __iter__(self) -> Iterator[Prediction]:
        return map(_prediction, self.rows())

    def __len__(self) -> int:
        """Return the number of questions, answered or not."""
        return sum(inputs.total for inputs in self._inputs)

    def rows(self) -> Iterator[KeptRow]:
        """Yield what a run folder stores for each answer, including references and evidence."""
        index = 0
        while self._reaches(index):
            yield self._rows[index]
            index += 1

    def _reaches(self, index: int) -> bool:
        with self._lock:
            return index < len(self._rows) or self._advance()

    def _advance(self) -> bool:
        """Take one more answer from the reader; return False if there is none."""
        if self._ended is not None:
            raise self._ended
        if self._is_whole:
            return False
        try:
            with translate_errors(ASKED), resumed():
                self._rows.append(next(self._source))
        except StopIteration as end:
            self._is_whole, self._result = True, end.value
            return False
        except AqaError as error:
            self._ended = error
            raise
        except BaseException:
            self._ended = RunError("answering was interrupted here; call aqa.predict again")
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
        """The outcome of a run that stops when decided, once its answers were taken."""
        return self._result.decision if isinstance(self._result, PredictResult) else None

    def close(self) -> None:
        """Stop asking and free the model; a run folder keeps what an API answers within seconds."""
        with self._lock:
            if not self._is_whole and self._ended is None:
                self._ended = RunError("this stream of answers was closed; call aqa.predict again")
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def to_frame(self) -> "DataFrame":
        """Take all answers into a pandas table: id, text, confidence, error and question.

        For several prompts or conditions, each row also names its run.
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
        """Show the first answers already taken; none is asked for."""
        count = len(self._rows)
        more = f", the first {SHOWN}" if count > SHOWN else ""
        title = f"{count} of {len(self)} answered{more}"
        heads = [*texts("id", "text"), *figures("confidence")]
        return to_html(Table(heads, [_table_row(row) for row in self._rows[:SHOWN]], title))


def _table_row(row: KeptRow) -> Row:
    confidence = row.get("confidence")
    figure = None if confidence is None else Figure(confidence, 3)
    return Row([row["id"], row["predicted_answer"], figure])


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
        nbest=tuple((other["answer"], other["score"]) for other in row.get("nbest", ())),
        spent=spent,
        saved=saved,
        cut=row.get("cut", False),
        unread=row.get("unread_tokens", 0),
        seconds=row.get("seconds"),
        answer=row["predicted_answer"],
    )
