"""Join predictions to the data's ids."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from shlex import quote

from aqa.data.shape import without
from aqa.data.strict_json import one_line
from aqa.errors import DataError
from aqa.evaluation.predictions.answered_row import AnsweredRow
from aqa.evaluation.predictions.columns import KEY, SURE_IDS, TURN, Unjoined
from aqa.evaluation.predictions.unsupported import is_score

VARIANTS = 50  # values at most in a column that distinguishes variants of an answer
# Numbers of examples as people and tools write them: 12, request-12, test_case_12, task-0012.
NUMBERED = re.compile(
    r"(?:(?:test_?case|request|req|task|sample|row|line|prompt)[-_ #:]?)?(\d{1,15})", re.IGNORECASE
)
NUMBER = re.compile(r"0*(\d+)(?:\.0+)?")  # ids that a table writer reformatted
LONG = 16  # digits; so long an id is no running number
SCANNED = 20  # prompts to search for every question of the data

Note = Callable[[str], None]
# For each row the index of its question in the data, and a clause that says how it was found.
Positions = tuple[Sequence[int | None], str]


@dataclass(frozen=True)
class Data:
    """The data's ids, and its questions if they are known, in the data's order."""

    ids: Sequence[str]
    questions: Sequence[str] = ()

    @cached_property
    def _by_id(self) -> Mapping[str, str]:
        return dict(zip(self.ids, self.questions, strict=False))

    @cached_property
    def plain(self) -> Sequence[str]:
        """The questions in the form in which they are compared."""
        return [_plain(question) for question in self.questions]

    @cached_property
    def distinct(self) -> Collection[str]:
        """The distinct questions in that form."""
        return {question for question in self.plain if question}

    def check_question(self, place: str, key: str, text: str) -> None:
        """Raise DataError if a row asks another question of the data than its id does."""
        expected = self._by_id.get(key) or text
        if text != expected and _plain(text) != _plain(expected) and _plain(text) in self.distinct:
            raise DataError(
                f'{place}: its id "{key}" is that of another question in the data; give both'
                " files the same ids, or leave the ids out of this one"
            )


def join(
    file: Path, rows: Sequence[Unjoined], data: Data | None, note: Note
) -> dict[str, AnsweredRow]:
    """Give each prediction its id, by column, number, question or order, or raise DataError."""
    column = _id_column(rows, data)
    if column is not None:
        by_id = _one_per_id(file, [row.ids[column] for row in rows], rows, note)
        if data is None:
            return _with_ids(by_id, column)
        if not by_id.keys().isdisjoint(data.ids):
            _check_ids(file, by_id, data)
            return _with_ids(by_id, column)
        keys, rows = list(by_id), list(by_id.values())
        matched = _by_equal_numbers(keys, data) or _by_question(rows, data) or _by_count(keys, data)
        if matched is None:
            return _with_ids(by_id, column)
    else:
        gaps = [row.place for row in rows if not row.ids]
        if 0 < len(gaps) < len(rows):
            raise DataError(f"{gaps[0]}: no id, where other rows have one")
        if data is None:
            return _numbered(file, rows, note)
        keys = []
        matched = _by_question(rows, data) or _by_order(file, rows, data)
    positions, how = matched
    _check_questions(rows, data, positions)
    note(f"{file}: {how}")
    ids = [keys[index] if at is None else data.ids[at] for index, at in enumerate(positions)]
    return _with_ids(_one_per_id(file, ids, rows, note))


def _id_column(rows: Sequence[Unjoined], data: Data | None) -> str | None:
    """Return the column with the most ids of the data, or else the likeliest one."""
    common = [name for name in rows[0].ids if all(name in row.ids for row in rows)]
    if data is not None:
        ids = set(data.ids)
        shared = {name: sum(row.ids[name] in ids for row in rows) for name in common}
        if any(shared.values()):
            return max(common, key=shared.__getitem__)
    repeated = [name for name in common if len({row.ids[name] for row in rows}) < len(rows)]
    for name in common:
        is_sure = name in (KEY, *SURE_IDS) or name.endswith("_id")  # values must be unique
        if name not in repeated or (is_sure and TURN not in common):
            return name
    varied = (name for name in common if len({row.ids[name] for row in rows}) > 1)
    return next(varied, None)  # a constant, such as llama.cpp's index 0, is not an id


def _check_ids(file: Path, by_id: Mapping[str, Unjoined], data: Data) -> None:
    """Check that rows have the data's question for their id.

    Raises:
        DataError: a row has another question of the data; or ids count from 0 here and from 1
            there, and no question shows whether they match.
    """
    for key, row in by_id.items():
        data.check_question(row.place, key, row.question)
    counted, theirs = _counted(by_id), _counted(data.ids)
    asks = all(row.question for row in by_id.values()) and any(data.questions)
    if not counted or not theirs or len(counted) != len(theirs) or asks:
        return
    if {counted[0], theirs[0]} == {0, 1}:
        raise DataError(
            f"{file}: its ids count from {counted[0]} to {counted[-1]}, and the data's from"
            f" {theirs[0]} to {theirs[-1]}, so each answer may belong to the question before or"
            " after; number both alike"
        )


def _counted(ids: Collection[str]) -> range | None:
    """Return the range of consecutive numbers that the ids are; None if they are not."""
    numbers = sorted(int(key) for key in ids if key.isdecimal() and len(key) < LONG)
    span = range(numbers[0], numbers[-1] + 1) if numbers else range(0)
    return span if len(numbers) == len(ids) > 1 and list(span) == numbers else None


def _one_per_id(
    file: Path, keys: Sequence[str], rows: Sequence[Unjoined], note: Note
) -> dict[str, Unjoined]:
    """Keep one prediction per key; its variants must agree."""
    groups: dict[str, list[Unjoined]] = {}
    for key, row in zip(keys, rows, strict=True):
        groups.setdefault(key, []).append(row)
    first = {key: group[0] for key, group in groups.items()}
    if len(groups) == len(rows):
        return first
    column = _variant_column(list(groups.values()))
    if column is None:
        answered = {key: _answered(group) for key, group in groups.items()}
        repeated = next((key for key, group in answered.items() if len(group) > 1), None)
        if repeated is not None:
            again = groups[repeated][1].place
            raise DataError(f'{again}: the id "{one_line(repeated)}" appears a second time')
        note(f"{file} holds failed attempts, too, which do not count where there is an answer")
        return {key: group[0] for key, group in answered.items()}
    values = list(dict.fromkeys(one_line(row.answered.metadata[column]) for row in rows))
    mixed = f"the answers of several {one_line(column)} ({', '.join(values)})"
    if any(
        row.answered.prediction != group[0].answered.prediction
        for group in groups.values()
        for row in group
    ):
        field = quote(f"{column}={values[0]}")
        raise DataError(f"{file} holds {mixed}; take those of one with --prediction-field {field}")
    note(f"{file} holds {mixed}, which are the same")
    return first


def _answered(rows: Sequence[Unjoined]) -> Sequence[Unjoined]:
    """Return the attempts that did not fail, or the last one."""
    return [row for row in rows if not row.answered.failed] or rows[-1:]


def _variant_column(groups: Collection[Sequence[Unjoined]]) -> str | None:
    """The column that differs in all rows of one id, and has the fewest values."""
    counts = {}
    for column in next(group for group in groups if len(group) > 1)[0].answered.metadata:
        values = [[row.answered.metadata.get(column) for row in group] for group in groups]
        flat = [value for group in values for value in group]
        if (
            not is_score(column)
            and all(isinstance(value, str | int) for value in flat)
            and all(len(set(group)) == len(group) for group in values)
        ):
            counts[column] = len(set(flat))
    least = min(counts, key=counts.__getitem__, default="")
    return least if counts.get(least, VARIANTS + 1) <= VARIANTS else None


def _with_ids(rows: Mapping[str, Unjoined], column: str = "") -> dict[str, AnsweredRow]:
    left_out = (column, "id", "guid", "qid")
    return {
        key: replace(row.answered, id=key, metadata=without(row.answered.metadata, *left_out))
        for key, row in rows.items()
    }


def _by_equal_numbers(keys: Sequence[str], data: Data) -> Positions | None:
    """Place rows by ids that are equal as numbers: 1.0 or 001 for 1."""
    matches = [NUMBER.fullmatch(key) for key in (*data.ids, *keys)]
    numbers = [match[1] for match in matches if match]
    theirs, ours = numbers[: len(data.ids)], numbers[len(data.ids) :]
    if len(numbers) < len(matches) or len(set(theirs)) < len(theirs) or len(set(ours)) < len(ours):
        return None
    positions = {number: position for position, number in enumerate(theirs)}
    if positions.keys().isdisjoint(ours):
        return None
    how = f"its ids are the data's numbers in other digits ({keys[0]}, {data.ids[0]})"
    return [positions.get(number) for number in ours], how


def _by_count(keys: Sequence[str], data: Data) -> Positions | None:
    """Place rows by ids that number all examples from 0 or 1."""
    matches = [NUMBERED.fullmatch(key) for key in keys]
    numbers = [int(match[1]) for match in matches if match]
    first, total = min(numbers, default=0), len(data.ids)
    if len(keys) != total or first > 1 or sorted(numbers) != [*range(first, first + total)]:
        return None
    counted = f"its ids count from {first} to {first + total - 1}"
    how = f"{counted}, so they are taken as positions in the data"
    return [number - first for number in numbers], how


def _by_question(rows: Sequence[Unjoined], data: Data) -> Positions | None:
    """Place rows by questions, if each row's occurs exactly once in the data."""
    questions = [_question_of(row) for row in rows]
    counts = Counter(data.plain)
    if any(not question or counts[question] != 1 for question in questions):
        return None
    positions = {question: position for position, question in enumerate(data.plain)}
    how = "no id of it is in the data, so its answers are joined by their questions"
    return [positions[question] for question in questions], how


def _by_order(file: Path, rows: Sequence[Unjoined], data: Data) -> Positions:
    if len(rows) != len(data.ids):
        counts = ((len(rows), "answer"), (len(data.ids), "example"))
        answers, examples = (f"{n} {what}{'s' * (n != 1)}" for n, what in counts)
        raise DataError(
            f"{file} holds {answers} without ids, but the data {examples}; without ids there must"
            " be one for each example, in the same order"
        )
    how = "it has no ids, so its answers are taken in the order of the data"
    return range(len(rows)), how


def _check_questions(rows: Sequence[Unjoined], data: Data, positions: Sequence[int | None]) -> None:
    """Check that the rows have the data's questions at these indices."""
    if not data.questions:
        return
    for number, (row, position) in enumerate(zip(rows, positions, strict=True)):
        text = _question_of(row)
        if position is None or not text or data.plain[position] in text:
            continue
        scanned = data.distinct if number < SCANNED else ()
        if text in data.distinct or any(question in text for question in scanned):
            asks = one_line(data.questions[position])
            raise DataError(
                f"{row.place}: this answers another question than example {position + 1} of the"
                f' data ("{asks}"), so the order is not that of the data; give predictions with ids'
            )


def _numbered(file: Path, rows: Sequence[Unjoined], note: Note) -> dict[str, AnsweredRow]:
    """Number the rows of a file that has its own references."""
    if any(row.answered.answers is None for row in rows):
        raise DataError(
            f"{file} holds answers without ids; give the data with --data, in the same order, or"
            " name the column of the ids with --prediction-field id=COLUMN"
        )
    note(f"{file}: it has no ids, so its answers are numbered and scored by its own references")
    return _with_ids({str(number): row for number, row in enumerate(rows, 1)})


def _question_of(row: Unjoined) -> str:
    """Return a row's question, or the prompt that may contain it."""
    return _plain(row.question or row.prompt)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
