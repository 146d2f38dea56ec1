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


@dataclass(frozen=True)
class Asked:
    """The data's ids, and its questions if they are known, in the data's order."""

    ids: Sequence[str]
    questions: Sequence[str] = ()

    @cached_property
    def _by_id(self) -> Mapping[str, str]:
        return dict(zip(self.ids, self.questions, strict=False))

    @cached_property
    def _known(self) -> Collection[str]:
        return set(map(_plain, filter(None, self.questions)))

    def check_question(self, place: str, key: str, text: str) -> None:
        """Raise DataError if a row asks another question of the data than its id does."""
        expected = self._by_id.get(key) or text
        if text != expected and _plain(text) != _plain(expected) and _plain(text) in self._known:
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
        found = _one_each(found, lambda row: row.ids[column], note, file)
        keys = [row.ids[column] for row in found]
        if asked is None:
            return _by(keys, found, column)
        if not set(keys).isdisjoint(asked.ids):
            _check_ids(file, found, keys, asked)
            return _by(keys, found, column)
        joined = (
            _by_likeness(file, found, keys, asked, note)
            or _by_question(file, found, asked, note)
            or _by_number(file, found, keys, asked, note)
        )
        return joined or _by(keys, found, column)
    gaps = [row.place for row in found if not row.ids]
    if 0 < len(gaps) < len(found):
        raise DataError(f"{gaps[0]}: no id, where other rows have one")
    if asked is None:
        return _numbered(file, found, note)
    return _by_question(file, found, asked, note) or _by_order(file, found, asked, note)


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


def _check_ids(file: Path, found: Sequence[Found], keys: Sequence[str], asked: Asked) -> None:
    """Check that rows have the data's question for their id.

    Raises:
        DataError: a row has another question of the data; or ids count from 0 here and from 1
            there, and no question shows whether they match.
    """
    for row, key in zip(found, keys, strict=True):
        asked.check_question(row.place, key, row.question)
    counted, theirs = _counted(keys), _counted(asked.ids)
    asks = all(row.question for row in found) and any(asked.questions)
    if not counted or not theirs or len(counted) != len(theirs) or asks:
        return
    if {counted[0], theirs[0]} == {0, 1}:
        raise DataError(
            f"{file}: its ids count from {counted[0]} to {counted[-1]}, and the data's from"
            f" {theirs[0]} to {theirs[-1]}, so each answer may belong to the question before or"
            " after; number both alike"
        )


def _counted(ids: Sequence[str]) -> range | None:
    """Return the range of consecutive numbers that the ids are; None if they are not."""
    numbers = sorted(int(each) for each in ids if each.isdecimal() and len(each) < LONG)
    span = range(numbers[0], numbers[-1] + 1) if numbers else range(0)
    return span if len(numbers) == len(ids) > 1 and list(span) == numbers else None


def _one_each(
    found: Sequence[Found], key: Callable[[Found], str], note: Note, file: Path
) -> Sequence[Found]:
    """Keep one prediction per key; its variants must agree."""
    groups: dict[str, list[Found]] = {}
    for row in found:
        groups.setdefault(key(row), []).append(row)
    if len(groups) == len(found):
        return found
    twice = next(rows for rows in groups.values() if len(rows) > 1)
    column = _variant_column(list(groups.values()))
    if column is None:
        answered = [[row for row in rows if not row.said.failed] for rows in groups.values()]
        tries = [rows or group[-1:] for rows, group in zip(answered, groups.values(), strict=True)]
        if all(len(rows) == 1 for rows in tries):
            note(f"{file} holds failed attempts, too, which do not count where there is an answer")
            return [rows[0] for rows in tries]
        raise DataError(
            f'{twice[1].place}: the id "{one_line(key(twice[1]))}" appears a second time'
        )
    values = list(dict.fromkeys(one_line(row.said.metadata[column]) for row in found))
    mixed = f"the answers of several {one_line(column)} ({', '.join(values)})"
    if any(
        row.said.prediction != rows[0].said.prediction for rows in groups.values() for row in rows
    ):
        one = quote(f"{column}={values[0]}")
        raise DataError(f"{file} holds {mixed}; take those of one with --prediction-field {one}")
    note(f"{file} holds {mixed}, which are the same")
    return [rows[0] for rows in groups.values()]


def _variant_column(groups: Collection[Sequence[Found]]) -> str | None:
    """The column that differs in all rows of one id, and has the fewest values."""
    counts = {}
    for column in next(group for group in groups if len(group) > 1)[0].said.metadata:
        values = [[row.said.metadata.get(column) for row in group] for group in groups]
        flat = [value for group in values for value in group]
        if (
            not is_score(column)
            and all(isinstance(value, str | int) for value in flat)
            and all(len(set(group)) == len(group) for group in values)
        ):
            counts[column] = len(set(flat))
    least = min(counts, key=counts.__getitem__, default="")
    return least if counts.get(least, VARIANTS + 1) <= VARIANTS else None


def _by(keys: Sequence[str], found: Sequence[Found], column: str = "") -> dict[str, AnsweredRow]:
    left_out = (column, "id", "guid", "qid")
    return {
        key: replace(row.said, id=key, metadata=without(row.said.metadata, *left_out))
        for key, row in zip(keys, found, strict=True)
    }


def _by_likeness(
    file: Path, found: Sequence[Found], keys: Sequence[str], asked: Asked, note: Note
) -> dict[str, AnsweredRow] | None:
    """Join by ids that are equal as numbers: 1.0 or 001 for 1."""
    numbers = [NUMBER.fullmatch(key) for key in (*asked.ids, *keys)]
    plain = [match[1] for match in numbers if match]
    ids, own = plain[: len(asked.ids)], plain[len(asked.ids) :]
    if len(plain) < len(numbers) or len(set(ids)) < len(ids) or len(set(own)) < len(own):
        return None
    known = {number: place for place, number in enumerate(ids)}
    shared = [row for row, number in zip(found, own, strict=True) if number in known]
    if not shared:
        return None
    _check_questions(shared, asked, [known[number] for number in own if number in known])
    note(f"{file}: its ids are the data's numbers in other digits ({keys[0]}, {asked.ids[0]})")
    joined = [
        asked.ids[known[number]] if number in known else key
        for number, key in zip(own, keys, strict=True)
    ]
    return _by(joined, found)


def _by_number(
    file: Path, found: Sequence[Found], keys: Sequence[str], asked: Asked, note: Note
) -> dict[str, AnsweredRow] | None:
    """Join by ids that number all examples from 0 or 1."""
    matches = [NUMBERED.fullmatch(key) for key in keys]
    numbers = [int(match[1]) for match in matches if match]
    total = len(asked.ids)
    if len(numbers) != total or len(keys) != total:
        return None
    first = min(numbers)
    if first > 1 or sorted(numbers) != list(range(first, first + total)):
        return None
    places = [number - first for number in numbers]
    _check_questions(found, asked, places)
    note(
        f"{file}: its ids count from {first} to {first + total - 1}, so they are taken as positions"
        " in the data"
    )
    return _by([asked.ids[place] for place in places], found)


def _by_question(
    file: Path, found: Sequence[Found], asked: Asked, note: Note
) -> dict[str, AnsweredRow] | None:
    """Join by questions, if each row's occurs exactly once in the data."""
    questions = [_plain(question) for question in asked.questions]
    counts = Counter(questions)
    if any(not _asked_by(row) or counts[_asked_by(row)] != 1 for row in found):
        return None
    found = _one_each(found, _asked_by, note, file)
    places = {question: place for place, question in enumerate(questions)}
    note(f"{file}: no id of it is in the data, so its answers are joined by their questions")
    return _by([asked.ids[places[_asked_by(row)]] for row in found], found)


def _by_order(
    file: Path, found: Sequence[Found], asked: Asked, note: Note
) -> dict[str, AnsweredRow]:
    if len(found) != len(asked.ids):
        counts = ((len(found), "answer"), (len(asked.ids), "example"))
        own, given = (f"{n} {what}{'s' * (n != 1)}" for n, what in counts)
        raise DataError(
            f"{file} holds {own} without ids, but the data {given}; without ids there must be one"
            " for each example, in the same order"
        )
    _check_questions(found, asked, range(len(found)))
    note(f"{file}: it has no ids, so its answers are taken in the order of the data")
    return _by(asked.ids, found)


def _check_questions(found: Sequence[Found], asked: Asked, places: Sequence[int]) -> None:
    """Check that the rows have the data's questions at these indices."""
    if not asked.questions:
        return
    questions = [_plain(question) for question in asked.questions]
    known = set(questions)
    for number, (row, place) in enumerate(zip(found, places, strict=True)):
        text, expected = _asked_by(row), questions[place]
        if not text or expected in text:
            continue
        scanned = questions if number < SCANNED else ()
        if text in known or any(question and question in text for question in scanned):
            asks = one_line(asked.questions[place])
            raise DataError(
                f"{row.place}: this answers another question than example {place + 1} of the data"
                f' ("{asks}"), so the order is not that of the data; give predictions with ids'
            )


def _numbered(file: Path, found: Sequence[Found], note: Note) -> dict[str, AnsweredRow]:
    """Number the rows of a file that has its own references."""
    if any(row.said.answers is None for row in found):
        raise DataError(
            f"{file} holds answers without ids; give the data with --data, in the same order, or"
            " name the column of the ids with --prediction-field id=COLUMN"
        )
    note(f"{file}: it has no ids, so its answers are numbered and scored by its own references")
    return _by([str(number) for number in range(1, len(found) + 1)], found)


def _asked_by(row: Found) -> str:
    """Return a row's question, or the prompt that may contain it."""
    return _plain(row.question or row.prompt)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
