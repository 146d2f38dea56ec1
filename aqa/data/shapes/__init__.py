"""The table of data sets' formats; to add one, add a function to a file here."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from aqa.data.columns import COLUMNS, fold
from aqa.data.files import Row
from aqa.data.shape import UnreadableError, plain_by, shapes_in
from aqa.data.shapes import answers, evidence, pipelines, unsupported
from aqa.data.shapes.articles import questions_of
from aqa.errors import DataError

# The first match, in the order of the functions, reads a row; rows without a match have plain
# columns or nested questions.
SHAPES = (*unsupported.SHAPES, *shapes_in(evidence, answers, pipelines))
# What pandas writes for missing values, and columns in which it can't mean anything else.
AS_TEXT = {"nan", "NaN", "<NA>"}
NEVER_NAN = {*COLUMNS["id"], *COLUMNS["question"], *COLUMNS["passages"]}


def plain_rows(rows: Iterable[Row], named: Collection[str] = ()) -> Iterator[Row]:
    """Yield a row with the usual column names for each question in the rows.

    The columns `named` by --field are kept. If there are any, no row is refused for its shape.

    Raises:
        DataError: a row is recognised but can't be read.
    """
    for place, stored in rows:
        row = _without_nan(stored)
        inner = row.get("row")
        if "row_idx" in row and isinstance(inner, dict):  # from the hub's server
            if cut := row.get("truncated_cells"):
                raise DataError(f"{place}: the hub's server cut {cut}; download the whole data set")
            row = inner
        if row.keys() == {"header"}:  # MRQA's first line
            continue
        for plain in _plain(place, row, named):
            yield from questions_of(place, plain) or [(place, plain)]


def _plain(
    place: str, row: Mapping[str, object], named: Collection[str]
) -> Iterable[Mapping[str, object]]:
    named_values = {name: row[name] for name in named if name in row}
    try:
        return [{**plain, **named_values} for plain in plain_by(SHAPES, row, place)]
    except UnreadableError:
        if named:
            return [row]
        raise


def _without_nan(row: Mapping[str, object]) -> Mapping[str, object]:
    """Replace a table's missing values, such as NaN, by null."""
    missing = {name for name, value in row.items() if _is_nothing(name, value)}
    return {**row, **dict.fromkeys(missing)} if missing else row


def _is_nothing(name: str, value: object) -> bool:
    if isinstance(value, str):
        return value in AS_TEXT and fold(name) in NEVER_NAN
    return isinstance(value, float) and value != value
