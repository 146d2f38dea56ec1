"""From a source to its examples: which format it is and who reads it."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aqa.data.corpus import PASSAGES, with_corpus
from aqa.data.files import Row, open_bytes
from aqa.data.hub import is_hub_name, read_hub
from aqa.data.json_stream import as_row, document_shape, read_items, read_lines
from aqa.data.rows import COLUMNS, RowParser
from aqa.data.saved_dataset import is_saved_dataset, read_saved_dataset
from aqa.data.squad import read_squad
from aqa.data.tables import read_arrow, read_csv, read_parquet
from aqa.errors import DataError
from aqa.locations import PREFIX, locate_package_file
from aqa.records import Example

ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
PARQUET = b"PAR1"


OnDuplicateId = Literal["error", "keep-first", "number"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where examples come from: a file, a folder, "package:NAME/FILE", or a data set of the hub.

    `fields` maps a field (id, question, passages, answers, title) to the column to take it from.
    `corpus` is the file in which the rows' `document_id` are looked up. `normalize` "nfc" puts
    questions, passages and answers in that Unicode form.
    """

    path: str
    split: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    corpus: str | None = None
    on_duplicate_id: OnDuplicateId = "error"
    normalize: Literal["none", "nfc"] = "none"


def read_unchecked(source: Source, parser: RowParser) -> Iterator[Example]:
    """Read every example, repeated ids as they are; DataError where there is none."""
    empty = True
    try:
        for place, row in _rows(source):
            yield parser.example(place, row)
            empty = False
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{source.path} can't be read ({error}); is it whole?") from None
    if empty:
        raise DataError(f"{source.path} holds no examples")


def parser_of(source: Source) -> RowParser:
    """Make the parser of a source's rows; DataError where `fields` names none of ours."""
    fields = source.fields
    if source.corpus is not None:
        fields = {**fields, "passages": PASSAGES}
    return RowParser(fields, source.normalize == "nfc")


def local_path(name: str) -> Path | None:
    """Give the path of what exists here, None for a data set of the hub; DataError for neither."""
    if name.startswith(PREFIX):
        return locate_package_file(name)
    path = Path(name).expanduser()
    if path.exists():
        return path
    if is_hub_name(name):
        return None
    raise DataError(f"{name}: no such file or folder; check the path")


def _rows(source: Source) -> Iterator[Row]:
    path = local_path(source.path)
    rows = read_hub(source.path, source.split) if path is None else _read_path(source, path)
    if source.corpus is None:
        return rows
    corpus = local_path(source.corpus)
    if corpus is None or not corpus.is_file():
        raise DataError(f"{source.corpus}: no such file to take the corpus from")
    return with_corpus(rows, corpus)


def _read_path(source: Source, path: Path) -> Iterator[Row]:
    if path.is_dir():
        if is_saved_dataset(path):
            return read_saved_dataset(path, source.split)
        return read_hub(str(path), source.split)
    if source.split is not None:
        raise DataError(f"{path} is a file, which has no splits; leave --split out")
    if not path.is_file():
        raise DataError(f"{path} is no regular file; it is read more than once, so save it first")
    with open_bytes(path) as file:
        head = file.read(4096)
    start = head.lstrip()[:1]
    if head.startswith(PARQUET):
        return read_parquet(path)
    if head.startswith(ARROW):
        return read_arrow([path], path.name)
    if b"\0" in head:
        raise DataError(f"{path} is no UTF-8 text, Parquet or Arrow file; save it as one of these")
    if start in (b"[", b"{") or path.suffix in (".json", ".jsonl"):
        return _read_json(path)
    text_columns = {
        column
        for name in ("id", "question", "title")
        for column in (source.fields.get(name, ""), *COLUMNS[name])
    }
    return read_csv(path, text_columns)


def _read_json(path: Path) -> Iterator[Row]:
    shape, prefix = document_shape(path)
    if shape == "lines":
        return read_lines(path)
    if shape == "articles":
        return read_squad(path, prefix)
    return (
        (place, as_row(item, place))
        for number, item in enumerate(read_items(path, prefix), 1)
        for place in (f"{path.name}, row {number}",)
    )
