"""The corpus that a retriever's rows point into by document id."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from aqa.data.files import Row
from aqa.data.json_stream import as_row, describe, read_members
from aqa.errors import DataError

DOCUMENT_ID = "document_id"
PASSAGES = "passages"


def with_corpus(rows: Iterable[Row], corpus: Path) -> Iterator[Row]:
    """Give each row the documents its `document_id` lists, in their order, as its passages.

    The corpus, {"0": {"text": ..., "title": ...}, ...}, is streamed into a private SQLite database
    that lies in a temporary file, so memory grows neither with it nor with the rows.
    """
    with closing(sqlite3.connect("")) as index:
        index.execute("CREATE TABLE documents (id TEXT PRIMARY KEY, title TEXT, text TEXT)")
        index.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", _documents(corpus))
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


def _documents(corpus: Path) -> Iterator[tuple[str, str, str]]:
    for key, value in read_members(corpus):
        document = as_row(value, f'{corpus.name}, document "{key}"')
        text = document.get("text")
        if not isinstance(text, str):
            raise DataError(f'{corpus.name}, document "{key}": its "text" is {describe(text)}')
        yield str(document.get(DOCUMENT_ID, key)), str(document.get("title") or ""), text


def _look_up(
    index: sqlite3.Connection, row: Mapping[str, object], place: str
) -> tuple[list[dict[str, str]], list[str]]:
    listed = row.get(DOCUMENT_ID)
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
