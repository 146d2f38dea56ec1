"""Documents of a corpus, in all the shapes that it may have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aqa.data.columns import columns_called, first_called, fold
from aqa.data.examples import read_id
from aqa.data.files import Row, open_bytes, text_lines
from aqa.data.json_stream import as_row, is_keyed, read_members
from aqa.data.passages import DOCUMENT_IDS, PASSAGE_TEXT, list_passages
from aqa.data.rows import read_row_file
from aqa.errors import DataError

IDS = (*DOCUMENT_IDS, "id")
KEY = "key"  # of a document in an object
# Tables without a header, by the number of their columns: MS MARCO's and ColBERT's collections.
COLLECTIONS = {2: ("id", "text"), 3: ("id", "text", "title"), 4: ("id", "url", "title", "text")}


@dataclass(frozen=True, slots=True)
class Document:
    """A document and its ids, by the names of their columns, the likeliest first."""

    place: str
    ids: Mapping[str, str]
    title: str
    text: str


def read_documents(corpus: Path) -> Iterator[Document]:
    """Read the documents of one JSON object by ids, of rows of any format, or of a collection."""
    if is_keyed(corpus, {*IDS, *PASSAGE_TEXT, "title"}, '{["'):
        for key, value in read_members(corpus):
            place = f'{corpus.name}, document "{key}"'
            document = {"text": value} if isinstance(value, str) else as_row(value, place)
            yield _document(place, document, {**_ids(document, place), KEY: read_id(key, place)})
        return
    rows = _read_collection(corpus) or read_row_file(corpus)
    for place, row in rows:
        ids = _ids(row, place)
        if not ids:
            raise DataError(
                f"{place}: no document's id among the columns {', '.join(map(str, row))}; "
                "name it document_id, docid or id"
            )
        yield _document(place, row, ids)


def _ids(row: Mapping[str, object], place: str) -> dict[str, str | None]:
    return {
        fold(column): read_id(row[column], place)
        for column in columns_called(IDS, tuple(row))
        if isinstance(row[column], str | int | float) and row[column] != ""
    }


def _document(
    place: str, document: Mapping[str, object], ids: Mapping[str, str | None]
) -> Document:
    if first_called(document, PASSAGE_TEXT) is None:
        columns = ", ".join(map(str, document))
        raise DataError(f"{place}: no text among {columns}; name it text or contents")
    (passage,) = list_passages([document], place)
    known = {kind: own for kind, own in ids.items() if own is not None}
    return Document(place, known, passage.title, passage.text or "")


def _read_collection(path: Path) -> Iterator[Row] | None:
    """Read a table of tabs without a header; None where the file is none."""
    with open_bytes(path) as file:
        first = file.readline(1 << 20).rstrip(b"\r\n").split(b"\t")
    names = {fold(cell.decode("utf-8", "replace")) for cell in first}
    if len(first) not in COLLECTIONS or first[0][:1] in b"{[" or names & {*IDS, *PASSAGE_TEXT}:
        return None
    return _collection_rows(path, len(first))


def _collection_rows(path: Path, width: int) -> Iterator[Row]:
    for place, line in text_lines(path):
        cells = line.rstrip("\r\n").split("\t")
        if cells == [""]:
            continue
        if len(cells) != width:
            raise DataError(f"{place}: {len(cells)} cells where the first line has {width}")
        yield place, dict(zip(COLLECTIONS[width], cells, strict=True))
