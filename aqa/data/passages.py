"""Read passages, and which of them are gold, in all common formats."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aqa.data.columns import COLUMNS, KOREAN_TEXTS, columns_called, composed, first_called
from aqa.data.json_stream import describe
from aqa.data.literals import LIST_OPENING, flag, is_printed, read_literal
from aqa.data.ranks import are_consecutive, are_ranks, list_ranks, read_rank, read_score
from aqa.data.shape import column_rows
from aqa.errors import DataError

# Names as folded by `fold`.
PASSAGE_TEXT = (
    "text", "context", "contents", "content", "pagecontent", "passagetext", "paragraphtext",
    "passage", "wikicontext", "searchcontext", "paragraphs", "sentences", "body", "summary",
    "segment", "chunktext", "chunk", "snippet", "abstract", "evidencetext",
    "fact", *KOREAN_TEXTS, "텍스트",
)  # fmt: skip
DOCUMENT_IDS = (
    "documentid", "docno", "docid", "passageid", "pid", "psgid", "corpusid", "문서id", "문서아이디",
    "문서번호", "지문id", "지문번호", "문단번호", "단락번호",
)  # fmt: skip
OWN_IDS = ("id", "아이디", "번호")  # of whatever a row is about
PASSAGE_ID = ("id", *DOCUMENT_IDS, "uuid", *OWN_IDS[1:])
RANK = ("rank", "순위")
SCORE = ("score", "점수")
# Where LlamaIndex, Cohere, Elasticsearch, Qdrant, RankLLM, Milvus, Weaviate, Pinecone, Dify and
# LangChain have the text within a passage.
WITHIN = (
    "node", "document", "source", "payload", "doc", "entity", "properties", "fields", "segment",
    "textresource", "kwargs", "metadata", "문서",
)  # fmt: skip
TITLES = COLUMNS["title"]
ABOUT = ("meta", "metadata")  # where Haystack and LangChain have a title
GOLD_MARKS = ("isgold", "isselected", "issupporting", "ispositive", "isrelevant", "gold")
GOLD_IDS = ("gold_ids", "positive_ids")
GOLD_PASSAGES = ("positive_passages", "positive_ctxs")
GOLD_TEXTS = "reference_contexts"  # in RAGAS and LlamaIndex: never ids
# A URL, a file name or an id, in place of a text.
DOCUMENT_NAME = re.compile(
    r"https?://\S+|[\w./-]+\.(?:txt|md|html?|pdf|docx?|json|hwpx?)"
    r"|(?=\S*[A-Za-z])(?=\S*\d)[\w.:#/-]{2,80}",
    re.ASCII,
)


def short_hash(text: str) -> str:
    """Return the first 16 hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_id(title: str, text: object) -> str:
    """Make an id for a passage without one."""
    return short_hash(f"{title}\n{text}")


@dataclass(frozen=True, slots=True)
class Listed:
    """A passage as listed in a row; `text` is None if only its id is given."""

    text: str | None = None
    title: str = ""
    id: str | None = None
    score: float | None = None
    rank: int | None = None
    gold: bool = False


def list_passages(
    value: object, place: str, only: Listed | None = None, ids_suffice: bool = False
) -> list[Listed]:
    """Read passages: texts, objects, pairs of title and text, an object of lists, or just one.

    `only` holds what the row says about its only passage: title, id. With `ids_suffice`, an object
    needs no text, and anything else is a passage's id.
    """
    if isinstance(value, dict):
        value = _by_ids(value) or one_each(value, place)
    elif isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        if value is None:
            return []
        raise DataError(f"{place}: {describe(value)} where passages are needed")
    _refuse_no_texts(value, place, ids_suffice)
    only = only if only is not None and len(value) == 1 else Listed()
    passages = []
    for number, item in enumerate(value, 1):
        match item:
            case dict():
                passages.append(_listed(item, number, place, only, ids_suffice))
            case str() | int() if ids_suffice:
                passages.append(Listed(id=composed(item)))
            case list([str() | int() as key, int() | float() as figure]) if ids_suffice:
                score = read_score(figure, f"score of passage {number}", place)
                passages.append(Listed(id=composed(key), score=score))
            case list([dict() as document, int() | float() as figure]):  # LangChain
                scored = {**document, "score": figure}
                passages.append(_listed(scored, number, place, only, ids_suffice))
            case str():
                passages.append(Listed(item, only.title, only.id))
            # HotpotQA: a title and a list of sentences.
            case list([str() as title, list() as text]) if not text or _text(text) is not None:
                passages.append(Listed(_text(text), title))
            case _:
                raise DataError(
                    f"{place}: passage {number} is {describe(item)}, where text, or an object with"
                    " text and title, is needed"
                )
    return passages


def _refuse_no_texts(listed: list[Any], place: str, ids_suffice: bool) -> None:
    """Raise DataError for texts that name documents, or are objects as Python prints them."""
    if listed and not ids_suffice and all(map(_names_document, listed)):
        raise DataError(
            f'{place}: "{listed[0]:.60}" names a document, where its text is needed; give the texts'
            ", or the retriever's output and its --corpus FILE"
        )
    if listed and all(isinstance(item, str) and is_printed(item) for item in listed):
        raise DataError(
            f'{place}: the passage "{listed[0]:.40}..." is an object as Python prints it; write its'
            " text, such as document.page_content"
        )


def _by_ids(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Convert an object of passages keyed by id to a list; empty for other objects."""
    if not all(any(map(str.isdigit, key)) for key in value):
        return []
    passages = [
        {"id": key, **(passage if isinstance(passage, dict) else {"text": passage})}
        for key, passage in value.items()
    ]
    texts = [_text(first_called(unfolded(passage), PASSAGE_TEXT)) for passage in passages]
    return passages if all(isinstance(text, str) and " " in text for text in texts) else []


def _names_document(item: object) -> bool:
    return isinstance(item, str) and DOCUMENT_NAME.fullmatch(item) is not None


def read_written(value: object, what: str, place: str) -> object:
    """Read passages, or ids, that are a list or object written as text.

    A passage whose text is itself an object or list of something else stays a text.
    """
    if not isinstance(value, str):
        return value
    parsed = read_literal(value, what, place, LIST_OPENING)
    items = parsed if isinstance(parsed, list) else [parsed]
    are_passages = all(
        not isinstance(item, dict) or first_called(item, (*PASSAGE_TEXT, *PASSAGE_ID)) is not None
        for item in items
    )
    return parsed if are_passages else value


def find_gold(
    row: Mapping[str, object], passages: Sequence[Listed], place: str
) -> tuple[list[Listed], tuple[str, ...]]:
    """Return a row's gold passages and the ids of gold passages, if given.

    Passages in a column of positives are gold, otherwise those marked or named as such.
    """
    named = read_literal(first(row, GOLD_IDS), "the list of gold ids", place)
    ids = [_id(item, place) for item in (named if isinstance(named, list) else [named])]
    gold: list[Listed] = []
    for column in (*GOLD_PASSAGES, GOLD_TEXTS):
        if not gold and row.get(column) is not None:
            value = read_written(row[column], f'"{column}"', place)
            gold = list_passages(value, f'{place}, "{column}"', ids_suffice=column != GOLD_TEXTS)
    gold = gold or [passage for passage in passages if passage.gold]
    marked = {passage.id for passage in gold} - {None}
    if any(ids) and marked and marked.isdisjoint(ids):
        raise DataError(
            f"{place}: its passages marked as gold have the ids {', '.join(map(str, marked))}, but"
            f" it lists {', '.join(map(str, ids))} as gold; leave the wrong ones out"
        )
    if not any(ids):
        ids = [passage.id for passage in gold]
    gold_ids = tuple(dict.fromkeys(filter(None, ids)))
    return gold or [passage for passage in passages if passage.id in gold_ids], gold_ids


def in_ranked_order(passages: list[Listed], place: str) -> list[Listed]:
    """Sort passages by their ranks, if these differ; DataError if some are missing."""
    ranks = [passage.rank for passage in passages]
    if not are_ranks(ranks):
        return passages
    ranked = sorted(passages, key=lambda passage: passage.rank or 0)
    if any(rank is None for rank in ranks) or not are_consecutive([item.rank for item in ranked]):
        raise DataError(f"{place}: its passages have the ranks {list_ranks(ranks)}")
    return ranked


def first(item: Mapping[str, object], columns: Iterable[str]) -> object:
    """Return the first column's value that is not None."""
    return next((item[column] for column in columns if item.get(column) is not None), None)


def _listed(
    item: Mapping[str, object], number: int, place: str, only: Listed, ids_suffice: bool
) -> Listed:
    item = unfolded(item)
    text, passage_id = _text(first_called(item, PASSAGE_TEXT)), first_called(item, PASSAGE_ID)
    passage_id = passage_id if isinstance(passage_id, str | int | float) else None
    if text is None and (not ids_suffice or passage_id is None):
        raise DataError(
            f"{place}: passage {number} has no text under text, contents, content or the like; "
            f"it has {', '.join(map(str, item))}"
        )
    return Listed(
        text,
        _title(item) or only.title,
        only.id if passage_id is None else composed(passage_id),
        read_score(first_called(item, SCORE), f"score of passage {number}", place),
        read_rank(first_called(item, RANK), f"rank of passage {number}", place),
        any(flag(item[mark]) for mark in columns_called(GOLD_MARKS, tuple(item))),
    )


def unfolded(item: Mapping[str, object]) -> Mapping[str, object]:
    """Merge in the columns of a nested object that holds the passage's text, if any."""
    if isinstance(first_called(item, PASSAGE_TEXT), str | list):
        return item
    names = columns_called(WITHIN, tuple(item))
    for name in names:
        if isinstance(inner := item[name], dict):
            return unfolded({**{key: item[key] for key in item if key != name}, **inner})
    return item


def _title(item: Mapping[str, object]) -> str:
    title = first_called(item, TITLES)
    for column in ABOUT:
        about = item.get(column)
        if title is None and isinstance(about, dict):
            title = first_called(about, TITLES)
    return title if isinstance(title, str) else ""


def _text(value: object) -> str | None:
    """Return a passage's text, joining a list of sentences or paragraphs."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " ".join(part.strip() for part in value)
    return value if isinstance(value, str) else None


def _id(value: object, place: str) -> str | None:
    if value is None or isinstance(value, str | int | float):
        return None if value is None else composed(value)
    raise DataError(f"{place}: {describe(value)} among the ids of gold passages; write texts")


def one_each(columns: Mapping[str, object], place: str) -> list[object]:
    """Convert an object of lists, as in hub data sets, to one object per passage."""
    lists = {column: value for column, value in columns.items() if isinstance(value, list)}
    if not isinstance(first_called(columns, (*PASSAGE_TEXT, *PASSAGE_ID)), list):
        return [columns]
    if all(len(value) == 1 and isinstance(value[0], list) for value in lists.values()):
        lists = {column: value[0] for column, value in lists.items()}  # RAFT
    rows = column_rows(lists)
    if rows is None:
        lengths = ", ".join(f"{len(values)} of {column}" for column, values in lists.items())
        raise DataError(f"{place}: lists of passages that differ in length, {lengths}")
    return list(rows)
