"""Read rankings of passages from retrievers' output in any common format."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aqa.data.columns import COLUMNS, candidates, columns_called, composed, first_called, fold
from aqa.data.examples import read_id
from aqa.data.files import Row
from aqa.data.json_stream import Entry, is_keyed, read_members
from aqa.data.passages import (
    DOCUMENT_IDS,
    GOLD_IDS,
    GOLD_PASSAGES,
    OWN_IDS,
    PASSAGE_TEXT,
    RANK,
    SCORE,
    TITLES,
    Listed,
    find_gold,
    first,
    list_passages,
    read_written,
)
from aqa.data.ranks import read_rank, read_score
from aqa.data.replies import REPLIES, UNNAMED, hits, usual_row
from aqa.data.retrieval_runs import JUDGEMENTS, is_number, read_run, run_kind
from aqa.data.rows import read_row_file
from aqa.data.shapes.evidence import numbered
from aqa.data.unnamed import nested_passages
from aqa.errors import DataError

RETRIEVED = "retrieved"  # a prefix of columns of passages
IDS_OF_RETRIEVED = ("ids", "id", "docids", "docid", "documentids", "passageids", "pids")
FIGURES = {"rank": RANK, "score": SCORE}
SYSTEMS = ("system", "retriever", "run", "runid", "runtag", "tag", "시스템", "검색기")
TEXTS = (*PASSAGE_TEXT, *COLUMNS["passages"])
LISTS = {
    *COLUMNS["passages"],
    *DOCUMENT_IDS,
    *RANK,
    *SCORE,
    *map(fold, (*GOLD_IDS, *GOLD_PASSAGES)),
}
KNOWN = {*COLUMNS["id"], *COLUMNS["question"], *COLUMNS["passages"], *COLUMNS["answers"], "data"}
Scalar = str | int | float
SHAPES = (
    "a passages file is JSON rows with an id or question and passages or ctxs, a JSON object of "
    "passages by id, a TREC run, or CSV with id, rank and text"
)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The passages of one question; best first if they have no ranks.

    A `partial` one has a single passage; the others are elsewhere. `joined`: the only text
    combines several documents.
    """

    place: str
    id: str | None
    question: str | None
    passages: Sequence[Listed]
    gold_ids: tuple[str, ...] = ()
    partial: bool = False
    joined: bool = False


def read_rankings(path: Path, with_corpus: bool, id_column: str | None) -> Iterator[Ranking]:
    """Read a retriever's output of any format.

    `with_corpus`: there is a corpus, so documents' ids suffice instead of texts. `id_column` is
    the first choice for a question's id.
    """
    kind = run_kind(path)
    if kind is not None:
        if not with_corpus:
            raise DataError(
                f"{path.name} is {kind.name}, which names documents without their texts; "
                "give the corpus that was searched with --corpus FILE"
            )
        return (
            Ranking(place, question_id, None, (passage,), partial=True)
            for place, question_id, passage in read_run(path, kind)
        )
    columns = KNOWN.union(map(fold, filter(None, [id_column])))
    if is_keyed(path, columns | REPLIES):
        return (
            _keyed(str(number), entry, with_corpus)
            for number, entry in enumerate(read_members(path))
        )
    return (
        _ranking(place, _with_lists(place, usual_row(row)), id_column, with_corpus)
        for place, row in _of_one_system(read_row_file(path))
    )


def _of_one_system(rows: Iterable[Row]) -> Iterator[Row]:
    """Check that rows don't mix the passages of several retrievers."""
    names: dict[str, object] = {}
    for place, row in rows:
        for name in columns_called(SYSTEMS, tuple(row)):
            if isinstance(row[name], str) and names.setdefault(name, row[name]) != row[name]:
                raise DataError(
                    f'{place}: its "{name}" is {row[name]}, where others have {names[name]}; give'
                    " each its own file"
                )
        yield place, row


def _keyed(number: str, entry: Entry, with_corpus: bool) -> Ranking:
    """Read the passages under an id, a question, or a running number."""
    place, key, value = entry.place, entry.key or "", entry.value
    if isinstance(value, dict):
        value = usual_row(value)
        if _passages_in(value)[0]:
            asks = isinstance(first_called(value, COLUMNS["question"]), str)
            ids = {} if asks and key == number else {"id": key}
            return _ranking(place, {**value, **ids}, "id", with_corpus)
        if value and all(map(is_number, value.values())):
            question_id = read_id(key, place)
            return Ranking(place, question_id, None, _scored(value, place, with_corpus))
    passages = list_passages(hits(value), place, ids_suffice=with_corpus)
    return Ranking(place, read_id(key, place), key if " " in key else None, passages)


def _scored(scores: Mapping[str, object], place: str, with_corpus: bool) -> list[Listed]:
    """Rank documents given only with scores."""
    if all(score in (0, 1) and isinstance(score, int) for score in scores.values()):
        raise DataError(f"{place} holds {JUDGEMENTS}")
    if not with_corpus:
        raise DataError(f"{place}: documents without their texts; give --corpus FILE")
    passages = [
        Listed(id=document, score=read_score(score, f'score of document "{document}"', place))
        for document, score in scores.items()
    ]
    return sorted(passages, key=lambda passage: -(passage.score or 0.0))


def _with_lists(place: str, row: Mapping[str, object]) -> Mapping[str, object]:
    """Parse lists and objects that a row's columns of passages hold as text."""
    held = {
        column: read_written(value, f'"{column}"', place)
        for column, value in row.items()
        if isinstance(value, str) and (fold(column) in LISTS or _is_of_retrieved(column))
    }
    return {**row, **held} if held else row


def _is_of_retrieved(column: object) -> bool:
    return fold(column).startswith(RETRIEVED)


def _passages_in(row: Mapping[str, object]) -> tuple[str, object]:
    """Return the column with a list of passages and the list; "" and None without one."""
    retrieved = [column for column in row if _is_of_retrieved(column)]
    # Ids come last: they are used only if no other column has the texts.
    retrieved.sort(key=lambda column: fold(column).removeprefix(RETRIEVED) in IDS_OF_RETRIEVED)
    columns = (*retrieved, *candidates("passages", tuple(row)))
    lists = (column for column in columns if isinstance(row[column], list | dict))
    column = next((column for column in lists if not _holds_numbers(row[column])), "")
    others = [] if column else [*nested_passages(row)]
    return others[0] if len(others) == 1 else (column, row.get(column))


def _holds_numbers(value: object) -> bool:
    """Whether a list is one of scores."""
    return isinstance(value, list) and bool(value) and all(isinstance(v, float) for v in value)


def _ranking(
    place: str, row: Mapping[str, object], id_column: str | None, with_corpus: bool
) -> Ranking:
    names = tuple(row)
    ids = [*filter(row.__contains__, [id_column or ""]), *candidates("id", names)]
    row = next(iter(numbered.plain(row))) if numbered.knows(row) else row
    (column, listed), documents = _passages_in(row), first_called(row, DOCUMENT_IDS)
    # A cell may be empty, so the columns show what kind of row it is.
    figures = columns_called((*RANK, *SCORE), names)
    ranked = any(isinstance(row[name], Scalar | None) for name in figures)
    partial = ranked and not column and not isinstance(documents, list)
    others = [name for name in ids if fold(name) not in OWN_IDS]
    if partial and first(row, others) is not None:  # next to a "qid", "id" is the passage's
        documents = first_called(row, OWN_IDS) if documents is None else documents
        ids = others
    question_id = read_id(first(row, ids), place)
    question = first_called(row, COLUMNS["question"])
    if question_id is None and not isinstance(question, str):
        advice = UNNAMED if {*REPLIES, "ids"} & set(map(fold, row)) else SHAPES
        raise DataError(f"{place}: neither an id nor a question to join its passages by; {advice}")
    passages: Sequence[Listed]
    gold_ids: tuple[str, ...] = ()
    joined = False
    if column:
        passages = list_passages(listed, f'{place}, "{column}"', ids_suffice=with_corpus)
        passages = _with_ids(passages, row, column, place)
        _, gold_ids = find_gold(row, passages, place)
    elif with_corpus and documents is not None and not partial:
        passages = _documents(documents, row, place)
    else:
        passages = [_single(row, documents, place, with_corpus)]
        joined = isinstance(documents, list) and len(documents) > 1
    question = question if isinstance(question, str) else None
    return Ranking(place, question_id, question, passages, gold_ids, partial, joined)


def _with_ids(
    passages: list[Listed], row: Mapping[str, object], column: str, place: str
) -> list[Listed]:
    """Add ids from a column next to that of the texts."""
    for other in row:
        if other == column or not _is_of_retrieved(other):
            continue
        ids = row[other]
        if fold(other).removeprefix(RETRIEVED) not in IDS_OF_RETRIEVED or not isinstance(ids, list):
            continue
        if len(ids) != len(passages):
            raise DataError(
                f'{place}: {len(ids)} ids in "{other}" for {len(passages)} passages in "{column}";'
                " give one for each"
            )
        return [
            replace(passage, id=read_id(key, place)) if passage.id is None else passage
            for passage, key in zip(passages, ids, strict=True)
        ]
    return passages


def _single(row: Mapping[str, object], document: object, place: str, with_corpus: bool) -> Listed:
    text, title = first_called(row, TEXTS), first_called(row, TITLES)
    rank, score = (value if isinstance(value, Scalar) else None for value in _figures(row))
    if not isinstance(text, str) and not (with_corpus and isinstance(document, Scalar)):
        if document is not None and text is None:
            raise DataError(f"{place}: a document without its text; give --corpus FILE")
        empty = columns_called(TEXTS, tuple(row))
        if empty and text is None:
            raise DataError(f'{place}: its "{empty[0]}" is empty; a passage needs a text')
        columns = ", ".join(map(str, row))
        raise DataError(f"{place}: no passages among the columns {columns}; {SHAPES}")
    return Listed(
        text if isinstance(text, str) else None,
        title if isinstance(title, str) else "",
        composed(document) if isinstance(document, Scalar) else None,
        read_score(score, "score", place),
        read_rank(rank, "rank", place),
    )


def _documents(documents: object, row: Mapping[str, object], place: str) -> list[Listed]:
    """Read a list of documents' ids, with lists of their ranks and scores, if any."""
    listed = documents if isinstance(documents, list) else [documents]
    figures = dict(zip(FIGURES, _figures(row), strict=True))
    lists = {name: value for name, value in figures.items() if isinstance(value, list)}
    return list_passages({"docid": listed, **lists}, place, ids_suffice=True)


def _figures(row: Mapping[str, object]) -> list[object]:
    return [first_called(row, names) for names in FIGURES.values()]
