"""Read files of people's labels of answers, which use the judge's verdicts."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from aqa.data.columns import columns_called, composed, first_called, fold
from aqa.data.files import Row, open_bytes
from aqa.data.json_stream import read_members
from aqa.data.rows import read_row_file
from aqa.errors import DataError
from aqa.metrics.verdicts import VERDICTS
from aqa.tables.forms import out_of_a_sheet

LABEL_COLUMNS = ("label", "verdict")
BLIND_KEY = "blind_key"  # a column that replaces the system, to hide whose answer it is
WHOSE = ("system", fold(BLIND_KEY))
_LETTERS = str.maketrans("0123456789", "ghijklmnop")  # else spreadsheets read 12e4 as a number

Labels = dict[tuple[str | None, str], str]  # by system (None: not given) and id


@dataclass(frozen=True, slots=True)
class Sampled:
    """The label of an answer drawn with a probability; `answer` is None if the file omits it."""

    label: str
    probability: float
    answer: str | None


def blinded(system: str, key: str) -> str:
    """Return the blind key that hides the system of the answer to this id."""
    whose = f"{system}\0{key}".encode("utf-8", "surrogatepass")
    return blake2b(whose, digest_size=6).hexdigest().translate(_LETTERS)


def read_sampled(path: Path) -> dict[tuple[str, str], Sampled]:
    """Read labels made in the sheet of `aqa evaluate --label`, by system (or blind key) and id.

    Returns nothing if no row has a probability.

    Raises:
        DataError: labels, systems, probabilities or rows are missing or not valid.
    """
    rows = list(_rows(path))
    if not any(row.get("probability") for _, row in rows):
        return {}
    labels = read_labels(path)
    sampled = {}
    for place, row in rows:
        key = (str(first_called(row, WHOSE) or ""), composed(first_called(row, ("id",))))
        probability = _number(row.get("probability"))
        if not key[0] or not 0 < probability <= 1:
            raise DataError(
                f"{place}: a {BLIND_KEY} (or system) and a probability above 0 and up to 1 are"
                " needed, as `aqa evaluate --label` wrote them"
            )
        answer = row.get("answer")
        sampled[key] = Sampled(labels[key], probability, None if answer is None else str(answer))
    chosen = {_number(row.get("chosen")) for _, row in rows if row.get("chosen")}
    if chosen - {len(sampled)}:
        raise DataError(
            f"{path} holds {len(sampled)} answers, but {min(chosen - {len(sampled)}):.0f} were"
            " chosen; label all of one sheet, since leaving some out would bias the estimate"
        )
    return sampled


def _number(cell: object) -> float:
    """Parse a number, also with a decimal comma (0,25); 0 if it is not one."""
    try:
        return float(str(cell or 0).replace(",", "."))
    except ValueError:
        return 0.0


def read_labels(path: Path) -> Labels:
    """Read {id: label}, or rows of id, label and perhaps system; DataError for anything else."""
    labels: Labels = {}
    for place, row in _rows(path):
        label = first_called(row, LABEL_COLUMNS)
        name = str(label or "").strip().lower().replace(" ", "_").replace("-", "_")
        example_id, system = first_called(row, ("id",)), first_called(row, WHOSE)
        if example_id is None or name not in VERDICTS:
            problem = "there is no id" if example_id is None else f"{label!r} is not a label"
            if example_id is not None and not name:
                columns = columns_called(LABEL_COLUMNS, tuple(row))
                problem = "the label is empty" if columns else "there is no column label"
            fill = "fill in an id and" if example_id is None else "fill in"
            raise DataError(f"{place}: {problem}; {fill} one of {', '.join(VERDICTS)}")
        key = (None if system in (None, "") else str(system), composed(example_id))
        if labels.setdefault(key, name) != name:
            whose = "" if key[0] else "; columns such as blind_key or system tell them apart"
            raise DataError(f'{place}: the id "{key[1]}" is labelled twice, and differently{whose}')
    if not labels:
        raise DataError(f"{path} holds no labels")
    return labels


def _rows(path: Path) -> Iterator[Row]:
    try:
        with open_bytes(path) as file:
            is_object = file.read(1024).lstrip()[:1] == b"{"
    except OSError as error:
        raise DataError(f"{path}: can't read these labels: {error.strerror}") from error
    if not is_object or path.suffix.lower() != ".json":
        # Spreadsheets leave empty rows behind.
        rows = read_row_file(path)
        return (
            (place, {name: out_of_a_sheet(cell) for name, cell in row.items()})
            for place, row in rows
            if any(str("" if cell is None else cell).strip() for cell in row.values())
        )
    return (
        (entry.place, {"id": entry.key, "label": entry.value})
        for entry in read_members(path, "id ")
    )
