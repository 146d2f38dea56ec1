"""SQuAD-shaped JSON: articles of paragraphs of questions (SQuAD, KorQuAD, KLUE-MRC, XQuAD)."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from aqa.data.examples import COLUMNS, content_id
from aqa.data.files import Row
from aqa.data.json_stream import as_row, describe, read_items
from aqa.errors import DataError

# Of an article or paragraph, what would be taken for a field of its questions is left behind.
NOT_INHERITED = {"paragraphs", "qas"}.union(*COLUMNS.values())


def read_squad(path: Path, prefix: str) -> Iterator[Row]:
    """Read the questions of a file; an article is held in memory at a time."""
    return flatten(read_items(path, prefix), path.name)


def flatten(articles: Iterable[object], name: str) -> Iterator[Row]:
    """Give one row per question; places begin with the `name`."""
    for article_number, item in enumerate(articles, 1):
        place = f"{name}, article {article_number}"
        article = as_row(item, place)
        title = str(article.get("title") or "")
        for number, paragraph_item in enumerate(_list(article, "paragraphs", place), 1):
            paragraph_place = f"{place}, paragraph {number}"
            paragraph = as_row(paragraph_item, paragraph_place)
            inherited = {**_inherited(article), **_inherited(paragraph)}
            context = paragraph.get("context")
            passage = {"text": context, "title": title, "id": content_id(title, context)}
            for question_number, question_item in enumerate(
                _list(paragraph, "qas", paragraph_place), 1
            ):
                question_place = f"{paragraph_place}, question {question_number}"
                question = as_row(question_item, question_place)
                question.pop("plausible_answers", None)  # they are wrong on purpose
                yield question_place, {**inherited, **question, "passages": [passage]}


def _inherited(record: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if key not in NOT_INHERITED}


def _list(record: Mapping[str, object], key: str, place: str) -> list[object]:
    value = record.get(key)
    if not isinstance(value, list):
        raise DataError(f'{place}: "{key}" is {describe(value)}, where a list is needed')
    return value
