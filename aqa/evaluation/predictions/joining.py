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
from aqa.evaluation.predictions.columns import KEY, SURE_IDS, TURN, Found
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
class Asked:
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
    def known(self) -> Collection[str]:
        """The distinct questions in that form."""
        return {question for question in self.plain if question}

    def check_question(self, place: str, key: str, text: str) -> None:
        """Raise DataError if a row asks another question of the data than its id does."""
        expected = self._by_id.get(key) or text
        if text != expected and _plain(text) != _plain(expected) and _plain(text) in self.known:
            raise DataError(
                f'{place}: its id "{key}" is that of another question in the data; give both'
                " files the same ids, or leave the ids out of this one"
            )


def join(
    file: Path, found: Sequence[Found], asked: Asked | None, note: Note
) -> dict[str, AnsweredRow]:
    """Give each prediction its id, by column, number, question or order, or raise DataError."""
    column = _id_column(found, asked)
    if column is not None:
        rows = _one_each(file, [row.ids[column] for row in found], found, note)
        if asked is None:
            return _with_ids(rows, column)
        if not rows.keys().isdisjoint(asked.ids):
            _check_ids(file, rows, asked)
            return _with_ids(rows, column)
        keys, found = list(rows), list(rows.values())
        found_at = (
            _by_equal_numbers(keys, asked) or _by_question(found, asked) or _by_count(keys, asked)
        )
        if found_at is None:
            return _with_ids(rows, column)
    else:
        gaps = [row.place for row in found if not row.ids]
        if 0 < len(gaps) < len(found):
            raise DataError(f"{gaps[0]}: no id, where other rows have one")
        if asked is None:
            return _numbered(file, found, note)
        keys = []
        found_at = _by_question(found, asked) or _by_order(file, found, asked)
    positions, how = found_at
    _check_questions(found, asked, positions)
    note(f"{file}: {how}")
    ids = [keys[row] if at is None else asked.ids[at] for row, at in enumerate(positions)]
    return _with_ids(_one_each(file, ids, found, note))


def _id_column(found: Sequence[Found], asked: Asked | None) -> str | None:
    """Return the column with the most ids of the data, or else the likeliest one."""
    common = [name for name in found[0].ids if all(name in row.ids for row in found)]
    if asked is not None:
        known = set(asked.ids)
        shared = {name: sum(row.ids[name] in known for row in found) for name in common}
        if any(shared.values()):
            return max(common, key=shared.__getitem__)
    repeated = [name for name in common if len({row.ids[name] for row in found}) < len(found)]
    for name in common:
        is_sure = name in (KEY, *SURE_IDS) or name.endswith("_id")  # values must be unique
        if name not in repeated or (is_sure and TURN not in common):
            return name
    varied = (name for name in common if len({row.ids[name] for row in found}) > 1)
    return next(varied, None)  # a constant, such as llama.cpp's index 0, is not an id


def _check_ids(file: Path, rows: Mapping[str, Found], asked: Asked) -> None:
    """Check that rows have the data's question for their id.

    Raises:
        DataError: a row has another question of the data; or ids count from 0 here and from 1
            there, and no question shows whether they match.
    """
    for key, row in rows.items():
        asked.check_question(row.place, key, row.question)
    counted, theirs = _counted(rows), _counted(asked.ids)
    asks = all(row.question for row in rows.values()) and any(asked.questions)
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
    numbers = sorted(int(each) for each in ids if each.isdecimal() and len(each) < LONG)
    span = range(numbers[0], numbers[-1] + 1) if numbers else range(0)
    return span if len(numbers) == len(ids) > 1 and list(span) == numbers else None


def _one_each(
    file: Path, keys: Sequence[str], found: Sequence[Found], note: Note
) -> dict[str, Found]:
    """Keep one prediction per key; its variants must agree."""
    groups: dict[str, list[Found]] = {}
    for key, row in zip(keys, found, strict=True):
        groups.setdefault(key, []).append(row)
    first = {key: rows[0] for key, rows in groups.items()}
    if len(groups) == len(found):
        return first
    column = _variant_column(list(groups.values()))
    if column is None:
        answered = {key: _answered(rows) for key, rows in groups.items()}
        twice = next((key for key, rows in answered.items() if len(rows) > 1), None)
        if twice is not None:
            again = groups[twice][1].place
            raise DataError(f'{again}: the id "{one_line(twice)}" appears a second time')
        note(f"{file} holds failed attempts, too, which do not count where there is an answer")
        return {key: rows[0] for key, rows in answered.items()}
    values = list(dict.fromkeys(one_line(row.answered.metadata[column]) for row in found))
    mixed = f"the answers of several {one_line(column)} ({', '.join(values)})"
    if any(
        row.answered.prediction != rows[0].answered.prediction
        for rows in groups.values()
        for row in rows
    ):
        one = quote(f"{column}={values[0]}")
        raise DataError(f"{file} holds {mixed}; take those of one with --prediction-field {one}")
    note(f"{file} holds {mixed}, which are the same")
    return first


def _answered(rows: Sequence[Found]) -> Sequence[Found]:
    """Return the attempts that did not fail, or the last one."""
    return [row for row in rows if not row.answered.failed] or rows[-1:]


def _variant_column(groups: Collection[Sequence[Found]]) -> str | None:
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


def _with_ids(rows: Mapping[str, Found], column: str = "") -> dict[str, AnsweredRow]:
    left_out = (column, "id", "guid", "qid")
    return {
        key: replace(row.answered, id=key, metadata=without(row.answered.metadata, *left_out))
        for key, row in rows.items()
    }


def _by_equal_numbers(keys: Sequence[str], asked: Asked) -> Positions | None:
    """Place rows by ids that are equal as numbers: 1.0 or 001 for 1."""
    matches = [NUMBER.fullmatch(key) for key in (*asked.ids, *keys)]
    numbers = [match[1] for match in matches if match]
    theirs, own = numbers[: len(asked.ids)], numbers[len(asked.ids) :]
    if len(numbers) < len(matches) or len(set(theirs)) < len(theirs) or len(set(own)) < len(own):
        return None
    known = {number: position for position, number in enumerate(theirs)}
    if known.keys().isdisjoint(own):
        return None
    how = f"its ids are the data's numbers in other digits ({keys[0]}, {asked.ids[0]})"
    return [known.get(number) for number in own], how


def _by_count(keys: Sequence[str], asked: Asked) -> Positions | None:
    """Place rows by ids that number all examples from 0 or 1."""
    matches = [NUMBERED.fullmatch(key) for key in keys]
    numbers = [int(match[1]) for match in matches if match]
    first, total = min(numbers, default=0), len(asked.ids)
    if len(keys) != total or first > 1 or sorted(numbers) != [*range(first, first + total)]:
        return None
    counted = f"its ids count from {first} to {first + total - 1}"
    how = f"{counted}, so they are taken as positions in the data"
    return [number - first for number in numbers], how


def _by_question(found: Sequence[Found], asked: Asked) -> Positions | None:
    """Place rows by questions, if each row's occurs exactly once in the data."""
    questions = [_asked_by(row) for row in found]
    counts = Counter(asked.plain)
    if any(not question or counts[question] != 1 for question in questions):
        return None
    known = {question: position for position, question in enumerate(asked.plain)}
    how = "no id of it is in the data, so its answers are joined by their questions"
    return [known[question] for question in questions], how


def _by_order(file: Path, found: Sequence[Found], asked: Asked) -> Positions:
    if len(found) != len(asked.ids):
        counts = ((len(found), "answer"), (len(asked.ids), "example"))
        own, given = (f"{n} {what}{'s' * (n != 1)}" for n, what in counts)
        raise DataError(
            f"{file} holds {own} without ids, but the data {given}; without ids there must be one"
            " for each example, in the same order"
        )
    how = "it has no ids, so its answers are taken in the order of the data"
    return range(len(found)), how


def _check_questions(found: Sequence[Found], asked: Asked, positions: Sequence[int | None]) -> None:
    """Check that the rows have the data's questions at these indices."""
    if not asked.questions:
        return
    for number, (row, position) in enumerate(zip(found, positions, strict=True)):
        text = _asked_by(row)
        if position is None or not text or asked.plain[position] in text:
            continue
        scanned = asked.known if number < SCANNED else ()
        if text in asked.known or any(question in text for question in scanned):
            asks = one_line(asked.questions[position])
            raise DataError(
                f"{row.place}: this answers another question than example {position + 1} of the"
                f' data ("{asks}"), so the order is not that of the data; give predictions with ids'
            )


def _numbered(file: Path, found: Sequence[Found], note: Note) -> dict[str, AnsweredRow]:
    """Number the rows of a file that has its own references."""
    if any(row.answered.answers is None for row in found):
        raise DataError(
            f"{file} holds answers without ids; give the data with --data, in the same order, or"
            " name the column of the ids with --prediction-field id=COLUMN"
        )
    note(f"{file}: it has no ids, so its answers are numbered and scored by its own references")
    return _with_ids({str(number): row for number, row in enumerate(found, 1)})


def _asked_by(row: Found) -> str:
    """Return a row's question, or the prompt that may contain it."""
    return _plain(row.question or row.prompt)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
