"""The corpus that a retriever's rows point into by document id."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from aqa.data.examples import DOCUMENT_ID, read_id
from aqa.data.files import Row, open_bytes
from aqa.data.json_stream import as_row, describe, is_keyed, read_members
from aqa.data.literals import read_literal
from aqa.data.passages import first
from aqa.data.rows import read_row_file
from aqa.errors import DataError

PASSAGES = "passages"
IDS = (DOCUMENT_ID, "docid", "doc_id", "id", "_id")
TEXTS = ("text", "contents")


def with_corpus(rows: Iterable[Row], corpus: Path) -> Iterator[Row]:
    """Give each row the documents its `document_id` lists, in their order, as its passages.

    The corpus, {"0": {"text": ..., "title": ...}, ...} or rows with an id, is streamed into a
    private SQLite database that lies in a temporary file, so memory grows neither with it nor with
    the rows.
    """
    with closing(sqlite3.connect("")) as index:
        index.execute("CREATE TABLE documents (id TEXT PRIMARY KEY, title TEXT, text TEXT)")
        index.executemany(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", read_documents(corpus)
        )
        rows = iter(rows)
        for place, row in rows:
            passages, missing = _look_up(index, row, place)
            if missing:
                others = sum(len(_look_up(index, row, place)[1]) for place, row in rows)
                raise DataError(
                    f"{place}: document {missing[0]} is not in {corpus.name}, nor are "
                    f"{len(missing) - 1 + others} others that later rows name; give the corpus "
                    "that the retriever searched"
                )
            kept = {column: value for column, value in row.items() if column != "context"}
            yield place, {**kept, PASSAGES: passages}


def read_documents(corpus: Path) -> Iterator[tuple[str, str, str]]:
    """Read ids, titles and texts: of one JSON object by ids, or of rows of any format."""
    with open_bytes(corpus) as file:
        opens_object = file.read(4096).lstrip()[:1] == b"{"
    if opens_object and is_keyed(corpus, (*IDS, *TEXTS, "title")):
        for key, value in read_members(corpus):
            place = f'{corpus.name}, document "{key}"'
            document = as_row(value, place)
            yield str(document.get(DOCUMENT_ID, key)), *_title_and_text(document, place)
        return
    for place, row in read_row_file(corpus):
        document_id = read_id(first(row, IDS), place)
        if document_id is None:
            raise DataError(
                f"{place}: no document's id among the columns {', '.join(map(str, row))}; "
                f"name it {', '.join(IDS[:-1])} or {IDS[-1]}"
            )
        yield document_id, *_title_and_text(row, place)


def _title_and_text(document: Mapping[str, object], place: str) -> tuple[str, str]:
    text = first(document, TEXTS)
    if not isinstance(text, str):
        raise DataError(f'{place}: its "text" is {describe(text)}')
    return str(document.get("title") or ""), text


def _look_up(
    index: sqlite3.Connection, row: Mapping[str, object], place: str
) -> tuple[list[dict[str, str]], list[str]]:
    listed = read_literal(row.get(DOCUMENT_ID), f'"{DOCUMENT_ID}"', place)
    if listed is None:
        raise DataError(
            f'{place}: with a corpus each row needs a column "{DOCUMENT_ID}"; '
            f"the columns are {', '.join(map(str, row))}"
        )
    passages, missing = [], []
    for document_id in map(str, listed if isinstance(listed, list) else [listed]):
        found = index.execute(
            "SELECT title, text FROM documents WHERE id = ?", (document_id,)
        ).fetchone()
        if found is None:
            missing.append(document_id)
        else:
            passages.append({"id": document_id, "title": found[0], "text": found[1]})
    return passages, missing
