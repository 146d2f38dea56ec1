"""Rankings of passages, in all the shapes that retrievers write them in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aqa.data.examples import COLUMNS, DOCUMENT_ID, read_id
from aqa.data.files import not_utf8, open_bytes
from aqa.data.json_stream import is_keyed, read_members
from aqa.data.passages import (
    GOLD_IDS,
    GOLD_PASSAGES,
    PASSAGE_TEXT,
    Listed,
    find_gold,
    first,
    list_passages,
    read_rank,
    read_score,
    read_written,
)
from aqa.data.rows import read_row_file
from aqa.errors import DataError

RETRIEVED = "retrieved"  # what a column of passages may begin with
PASSAGE_ID = ("docid", "doc_id", DOCUMENT_ID, "passage_id", "pid")
TEXTS = (*PASSAGE_TEXT, "passage", *COLUMNS["passages"])
FIGURES = ("rank", "score")
LISTS = (*COLUMNS["passages"], *PASSAGE_ID, *FIGURES, *GOLD_IDS, *GOLD_PASSAGES)
Scalar = str | int | float
KNOWN = {*COLUMNS["id"], *COLUMNS["question"], *COLUMNS["passages"], "answers", "data"}
SHAPES = (
    "a passages file is JSON rows with an id or question and passages or ctxs, a JSON object of "
    "passages by id, a TREC run, or CSV with id, rank and text"
)
TREC_FIELDS = 6


@dataclass(frozen=True, slots=True)
class Ranking:
    """The passages of one question; best first where they have no ranks.

    A `partial` one has one of them, and the others elsewhere. `joined` says that the only text is
    that of several documents.
    """

    place: str
    id: str | None
    question: str | None
    passages: Sequence[Listed]
    gold_ids: tuple[str, ...] = ()
    partial: bool = False
    joined: bool = False


def read_rankings(path: Path, with_corpus: bool, id_column: str | None) -> Iterator[Ranking]:
    """Read a retriever's output, whatever its shape.

    Where there is a corpus, `with_corpus`, ids of documents suffice in place of texts. `id_column`
    is where a question's id is looked for first.
    """
    if _is_trec(path):
        if not with_corpus:
            raise DataError(
                f"{path.name} is a TREC run, which names documents without their texts; "
                "give the corpus that was searched with --corpus FILE"
            )
        return _read_trec(path)
    ids = (*filter(None, [id_column]), *COLUMNS["id"])
    with open_bytes(path) as file:
        opens_object = file.read(4096).lstrip()[:1] == b"{"
    if opens_object and is_keyed(path, KNOWN.union(ids)):
        return (_keyed(path, key, value, with_corpus) for key, value in read_members(path))
    rows = read_row_file(path)
    return (_ranking(place, _with_lists(place, row), ids, with_corpus) for place, row in rows)


def _is_trec(path: Path) -> bool:
    with open_bytes(path) as file:
        fields = next(
            (line for line in iter(lambda: file.readline(4096), b"") if line.strip()), b""
        )
    words = fields.split()
    if words and words[0][:1] in b"{[":
        return False
    if len(words) > 1 and words[1].upper() == b"Q0":
        return True
    return len(words) == TREC_FIELDS and all(map(_is_number, words[3:5]))


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _read_trec(path: Path) -> Iterator[Ranking]:
    with open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            place = f"{path.name}, line {number}"
            try:
                words = line.decode().split()
            except UnicodeDecodeError:
                raise not_utf8(path) from None
            if not words:
                continue
            if len(words) != TREC_FIELDS:
                raise DataError(
                    f"{place}: {len(words)} fields where a TREC run has {TREC_FIELDS}, "
                    "question Q0 document rank score tag"
                )
            question_id, _, document, rank, score, _ = words
            passage = Listed(
                id=document,
                score=read_score(score, "score", place),
                rank=None if rank == "-" else read_rank(rank, "rank", place),
            )
            yield Ranking(place, question_id, None, (passage,), partial=True)


def _keyed(path: Path, key: str, value: object, with_corpus: bool) -> Ranking:
    place = f'{path.name}, "{key}"'
    if isinstance(value, dict):
        if _passages_column(value):
            return _ranking(place, {**value, "id": key}, ("id",), with_corpus)
        if value and all(isinstance(score, int | float) for score in value.values()):
            return Ranking(place, key, None, _scored(value, place, with_corpus))
    return Ranking(place, key, None, list_passages(value, place, ids_suffice=with_corpus))


def _scored(scores: Mapping[str, object], place: str, with_corpus: bool) -> list[Listed]:
    """Rank documents that are given with nothing but their scores."""
    if not with_corpus:
        raise DataError(f"{place}: documents without their texts; give --corpus FILE")
    passages = [
        Listed(id=document, score=read_score(score, f'score of document "{document}"', place))
        for document, score in scores.items()
    ]
    return sorted(passages, key=lambda passage: -(passage.score or 0.0))


def _passages_column(row: Mapping[str, object]) -> str:
    """Give the column that holds a list of passages, "" where there is none."""
    retrieved = (column for column in row if str(column).startswith(RETRIEVED))
    columns = (*retrieved, *COLUMNS["passages"])
    return next((column for column in columns if isinstance(row.get(column), list | dict)), "")


def _with_lists(place: str, row: Mapping[str, object]) -> Mapping[str, object]:
    """The row, with the lists and objects that its columns of passages hold as texts."""
    columns = (*LISTS, *(column for column in row if str(column).startswith(RETRIEVED)))
    held = {column: row[column] for column in columns if isinstance(row.get(column), str)}
    found = {name: read_written(value, f'"{name}"', place) for name, value in held.items()}
    return {**row, **found} if found else row


def _ranking(
    place: str, row: Mapping[str, object], ids: Sequence[str], with_corpus: bool
) -> Ranking:
    column, documents = _passages_column(row), first(row, PASSAGE_ID)
    # A cell may be empty: what a row says of its kind are its columns.
    ranked = any(name in row and isinstance(row[name], Scalar | None) for name in FIGURES)
    partial = ranked and not column and not isinstance(documents, list)
    others = [name for name in ids if name != "id"]
    if partial and first(row, others) is not None:  # beside a "qid", "id" is the passage's
        ids, documents = others, row.get("id") if documents is None else documents
    question_id, question = read_id(first(row, ids), place), first(row, COLUMNS["question"])
    if question_id is None and not isinstance(question, str):
        raise DataError(f"{place}: neither an id nor a question to join its passages by; {SHAPES}")
    passages: Sequence[Listed]
    gold_ids: tuple[str, ...] = ()
    joined = False
    if column:
        passages = list_passages(row[column], f'{place}, "{column}"', ids_suffice=with_corpus)
        _, gold_ids = find_gold(row, passages, place)
    elif with_corpus and documents is not None and not partial:
        passages = _documents(documents, row, place)
    else:
        passages = [_single(row, documents, place, with_corpus)]
        joined = isinstance(documents, list) and len(documents) > 1
    question = question if isinstance(question, str) else None
    return Ranking(place, question_id, question, passages, gold_ids, partial, joined)


def _single(row: Mapping[str, object], document: object, place: str, with_corpus: bool) -> Listed:
    """Read the passage of a row that is one."""
    text, title = first(row, TEXTS), row.get("title")
    rank, score = (value if isinstance(value, Scalar) else None for value in _figures(row))
    if not isinstance(text, str) and not (with_corpus and isinstance(document, str | int)):
        if document is not None and text is None:
            raise DataError(f"{place}: a document without its text; give --corpus FILE")
        if empty := next((name for name in TEXTS if name in row and text is None), None):
            raise DataError(f'{place}: its "{empty}" is empty; a passage needs a text')
        columns = ", ".join(map(str, row))
        raise DataError(f"{place}: no passages among the columns {columns}; {SHAPES}")
    return Listed(
        text if isinstance(text, str) else None,
        title if isinstance(title, str) else "",
        str(document) if isinstance(document, str | int) else None,
        read_score(score, "score", place),
        read_rank(rank, "rank", place),
    )


def _documents(documents: object, row: Mapping[str, object], place: str) -> list[Listed]:
    """Read a list of documents' ids, and the lists of their ranks and scores, if there are any."""
    listed = documents if isinstance(documents, list) else [documents]
    columns = [
        value if isinstance(value, list) else [None] * len(listed) for value in _figures(row)
    ]
    for name, values in zip(FIGURES, columns, strict=True):
        if len(values) != len(listed):
            raise DataError(
                f"{place}: {len(values)} values of {name} for {len(listed)} documents; "
                "give one for each"
            )
    return [
        Listed(
            id=str(document),
            score=read_score(score, f"score of passage {number}", place),
            rank=read_rank(rank, f"rank of passage {number}", place),
        )
        for number, (document, rank, score) in enumerate(zip(listed, *columns, strict=True), 1)
    ]


def _figures(row: Mapping[str, object]) -> list[object]:
    return [row.get(name) for name in FIGURES]
