"""Find passages in columns whose names do not say that they hold passages."""

from collections.abc import Iterator, Mapping

from aqa.data.columns import (
    COLUMNS,
    MAY_HOLD_PASSAGES,
    candidates,
    columns_called,
    first_called,
    fold,
)
from aqa.data.passages import (
    DOCUMENT_IDS,
    GOLD_IDS,
    GOLD_PASSAGES,
    PASSAGE_TEXT,
    RANK,
    SCORE,
    read_written,
    unfolded,
)
from aqa.data.shape import are_objects

OF_GOLD = "referencecontext"  # the prefix of the names of columns of gold passages
# Names of columns that hold no passages to read, whatever is in them.
OTHERS = {
    *COLUMNS["id"], *COLUMNS["question"], *COLUMNS["answers"], *DOCUMENT_IDS,
    *map(fold, (*GOLD_IDS, *GOLD_PASSAGES)), *RANK, *SCORE,
}  # fmt: skip
SPEAKERS = {"role", "speaker", "from"}  # of the turns of a conversation
LONGEST_NAME = 200  # characters in a title or a URL
SENTENCE_ENDS = (".", "!", "?", "。", "…", '."', ".”", ".'")


def generic_passages(row: Mapping[str, object], place: str) -> list[tuple[str, object]]:
    """Return the columns with generic or unknown names that contain sentences, and their values."""
    columns = columns_called(MAY_HOLD_PASSAGES, tuple(row))
    named = [(name, read_written(row[name], f'"{name}"', place)) for name in columns]
    passages = [(name, value) for name, value in named if _holds_sentences(value)]
    return passages or [column for column in nested_passages(row) if _holds_sentences(column[1])]


def other_passages(row: Mapping[str, object], column: str, place: str) -> list[str]:
    """Return further columns that contain sentences like passages, besides the one read."""
    names = candidates("passages", tuple(row))
    others = [name for name in names if name != column and not fold(name).startswith(OF_GOLD)]
    return [
        name for name in others if _holds_sentences(read_written(row[name], f'"{name}"', place))
    ]


def nested_passages(row: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the lists of objects with texts, in columns of any other name, by their paths."""
    for name, value in row.items():
        if fold(name) in OTHERS or "negative" in fold(name):
            continue
        if isinstance(value, dict):
            yield from ((f"{name}.{path}", inner) for path, inner in nested_passages(value))
        elif isinstance(value, list) and are_objects(value):
            texts = [first_called(unfolded(inner), PASSAGE_TEXT) for inner in value]
            if all(texts) and not any(SPEAKERS & inner.keys() for inner in value):
                yield name, value


def _holds_sentences(value: object) -> bool:
    """Whether a value has texts that are more than names, ids or URLs."""
    parts = value if isinstance(value, list) else [value]
    texts = [
        first_called(unfolded(part), PASSAGE_TEXT) if isinstance(part, dict) else part
        for part in parts
    ]
    return bool(texts) and all(
        isinstance(text, str)
        and (len(text) > LONGEST_NAME or text.rstrip().endswith(SENTENCE_ENDS))
        for text in texts
    )
