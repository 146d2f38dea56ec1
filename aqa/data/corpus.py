"""Look up documents in a corpus by their ids."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from aqa.data.columns import DOCUMENT_ID, columns_called, first_called, fold
from aqa.data.examples import read_id
from aqa.data.files import Row, open_bytes, text_lines
from aqa.data.json_stream import as_row, is_keyed, read_members
from aqa.data.literals import read_literal
from aqa.data.passages import DOCUMENT_IDS, OWN_IDS, PASSAGE_TEXT, TITLES, Listed, list_passages
from aqa.data.rows import read_row_file
from aqa.errors import DataError

PASSAGES = "passages"
IDS = (*DOCUMENT_IDS, *OWN_IDS)
KEY = "key"  # of a document in an object
# Tables without a header, by number of columns: the collections of MS MARCO and ColBERT.
COLLECTIONS = {2: ("id", "text"), 3: ("id", "text", "title"), 4: ("id", "url", "title", "text")}
# A document's place, its ids by column name (the likeliest first), and the document.
Document = tuple[str, Mapping[str, str], Listed]
TABLES = """
CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, title TEXT, text TEXT);
CREATE TABLE wanted (id TEXT PRIMARY KEY);
CREATE TABLE texts (number INTEGER PRIMARY KEY, title TEXT, text TEXT, place TEXT);
CREATE TABLE names (kind TEXT, id TEXT, number INTEGER);
"""


class Corpus:
    """Documents by id, in a private SQLite database.

    Rows of a corpus may have several columns of ids. The ids looked up decide: the first column
    that has all of them, each for a single text, is used.
    """

    def __init__(self, path: Path, index: sqlite3.Connection) -> None:
        self.name = path.name
        self._path = path
        self._index = index
        index.executescript(TABLES)

    def want(self, ids: Iterable[str]) -> None:
        """Add ids that will be looked up."""
        rows = ((key,) for key in ids)
        self._index.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", rows)

    def load(self, all_of_them: bool, form: Callable[[str], str] = str) -> None:
        """Read all documents, or the wanted ones, and choose the column of ids.

        Raises:
            DataError: two different documents have the same id.
        """
        kinds: dict[str, None] = {}
        for number, (place, ids, document) in enumerate(read_documents(self._path), 1):
            names = [(kind, key, number) for kind, key in ids.items()]
            kinds.update(dict.fromkeys(ids))
            if all_of_them or any(map(self._is_wanted, ids.values())):
                row = (number, form(document.title), form(document.text or ""), place)
                self._index.execute("INSERT INTO texts VALUES (?, ?, ?, ?)", row)
                self._index.executemany("INSERT INTO names VALUES (?, ?, ?)", names)
        self._index.execute("CREATE INDEX by_name ON names (id, kind)")
        likeliest = min(
            kinds, key=lambda kind: (self._lacking(kind), self._clash(kind) != ""), default=None
        )
        if likeliest is not None:
            if clash := self._clash(likeliest):
                raise DataError(clash)
            self._index.execute(
                "INSERT INTO documents SELECT id, title, text FROM names"
                " JOIN texts USING (number) WHERE kind = ? GROUP BY id",
                (likeliest,),
            )
        self._index.executescript("DROP TABLE names; DROP TABLE texts;")

    def find(self, document: str) -> tuple[str, str] | None:
        """Return a document's title and text; None if it is not in the corpus."""
        row: tuple[str, str] | None = self._index.execute(
            "SELECT title, text FROM documents WHERE id = ?", (document,)
        ).fetchone()
        return row

    def _is_wanted(self, document: str) -> bool:
        query = "SELECT 1 FROM wanted WHERE id = ?"
        return self._index.execute(query, (document,)).fetchone() is not None

    def _lacking(self, kind: str) -> int:
        row = self._index.execute(
            "SELECT count(*) FROM wanted WHERE NOT EXISTS"
            " (SELECT 1 FROM names WHERE names.id = wanted.id AND kind = ?)",
            (kind,),
        ).fetchone()
        return int(row[0])

    def _clash(self, kind: str) -> str:
        """Describe an id that two different documents have, among those read."""
        row = self._index.execute(
            "SELECT id, min(place), max(place) FROM names JOIN texts USING (number)"
            " WHERE kind = ? GROUP BY id"
            " HAVING count(DISTINCT title || char(10) || text) > 1 LIMIT 1",
            (kind,),
        ).fetchone()
        if row is None:
            return ""
        return (
            f'{row[1]}: the document "{row[0]}" appears again, with another text, at'
            f" {row[2]}; give each document, or each part of one, its own id"
        )


def with_corpus(rows: Iterable[Row], path: Path) -> Iterator[Row]:
    """Give each row the documents listed in its `document_id`, in that order, as its passages.

    The corpus, {"0": {"text": ..., "title": ...}, ...} or rows with an id, is streamed into a
    private SQLite database in a temporary file, so memory does not grow with it or with the rows.
    """
    with closing(sqlite3.connect("")) as index:
        corpus = Corpus(path, index)
        for number, (place, row) in enumerate(rows):
            listed = _listed(row, place)
            if not number:
                corpus.want(listed)
                corpus.load(all_of_them=True)
            passages = []
            for key in listed:
                if (text := corpus.find(key)) is None:
                    raise DataError(
                        f"{place}: document {key} is not in {corpus.name}; give the corpus that"
                        " the retriever searched"
                    )
                passages.append({"id": key, "title": text[0], "text": text[1]})
            others = {column: value for column, value in row.items() if column != "context"}
            yield place, {**others, PASSAGES: passages}


def _listed(row: Mapping[str, object], place: str) -> list[str]:
    listed = read_literal(first_called(row, (fold(DOCUMENT_ID),)), f'"{DOCUMENT_ID}"', place)
    if listed is None:
        raise DataError(
            f'{place}: with a corpus each row needs a column "{DOCUMENT_ID}"; '
            f"the columns are {', '.join(map(str, row))}"
        )
    keys = [read_id(item, place) for item in (listed if isinstance(listed, list) else [listed])]
    return [key for key in keys if key is not None]


def read_documents(corpus: Path) -> Iterator[Document]:
    """Yield the documents of an object keyed by id, of rows of any format, or of a collection."""
    if is_keyed(corpus, {*IDS, *PASSAGE_TEXT, *TITLES}, '{["'):
        for entry in read_members(corpus, "document "):
            place, text = entry.place, entry.value
            document = {"text": text} if isinstance(text, str) else as_row(text, place)
            ids = {**_ids(document, place), KEY: read_id(entry.key, place)}
            yield _document(place, document, ids)
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
    return place, {kind: key for kind, key in ids.items() if key is not None}, passage


def _read_collection(path: Path) -> Iterator[Row] | None:
    """Read a tab-separated collection without a header; None if the file is something else."""
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
