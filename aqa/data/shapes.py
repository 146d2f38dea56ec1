"""Rows of known data sets whose shape is their own, made into one row for each question."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from aqa.data.columns import COLUMNS, columns_called, first_called, fold
from aqa.data.files import Row
from aqa.data.json_stream import as_row, describe
from aqa.data.passages import one_each
from aqa.errors import DataError

# Of an article or paragraph, what would be taken for a field of its questions is left behind.
NOT_INHERITED = {"paragraphs", "qas"}.union(*COLUMNS.values())
# What pandas makes of nothing, once it is a text; and columns in which it says nothing else.
AS_TEXT = {"nan", "NaN", "<NA>"}
NEVER_NAN = {*COLUMNS["id"], *COLUMNS["question"], *COLUMNS["passages"]}
# DPR's lists of passages, in the order in which a row of questions gets them.
DPR = ("positive_ctxs", "hard_negative_ctxs", "negative_ctxs")
# TriviaQA's, as the hub has them: whole pages of Wikipedia, then pages of the web.
TRIVIAQA = ("entity_pages", "search_results")


def short_hash(text: str) -> str:
    """Give the first 16 hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_id(title: str, text: object) -> str:
    """Make an id for a passage that has none."""
    return short_hash(f"{title}\n{text}")


def plain_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Give each question of the rows a row with columns that have the usual names."""
    for place, given in rows:
        row = _without_nan(given)
        inner = row.get("row")
        if "row_idx" in row and isinstance(inner, dict):  # as the hub's server gives rows
            row = inner
        if _holds_questions(row.get("paragraphs")):
            yield from _article(re.sub(r", (row|item) (\d+)$", r", article \2", place), row)
        elif isinstance(row.get("qas"), list):
            yield from _paragraph(place, row, _title(row), _inherited(row))
        elif row.keys() == {"header"} or _is_empty(row):  # MRQA's first line, or an empty article
            continue
        else:
            yield place, _plain(row, place)


def _without_nan(row: Mapping[str, object]) -> Mapping[str, object]:
    """The row with null where a table has nothing, which pandas calls NaN, or writes as nan."""
    missing = {name for name, value in row.items() if _is_nothing(name, value)}
    return {**row, **dict.fromkeys(missing)} if missing else row


def _is_nothing(name: str, value: object) -> bool:
    if isinstance(value, str):
        return value in AS_TEXT and fold(name) in NEVER_NAN
    return isinstance(value, float) and value != value


def _is_empty(row: Mapping[str, object]) -> bool:
    return row.get("paragraphs") == [] and not columns_called(COLUMNS["question"], tuple(row))


def _holds_questions(paragraphs: object) -> bool:
    if not isinstance(paragraphs, list):
        return False
    first = next(iter(paragraphs), None)
    return isinstance(first, dict) and ("qas" in first or "context" in first)


def _article(place: str, article: Mapping[str, object]) -> Iterator[Row]:
    """SQuAD's (KorQuAD, KLUE-MRC, XQuAD): paragraphs with their questions."""
    paragraphs = article["paragraphs"]
    assert isinstance(paragraphs, list)
    for number, item in enumerate(paragraphs, 1):
        paragraph_place = f"{place}, paragraph {number}"
        paragraph = as_row(item, paragraph_place)
        inherited = {**_inherited(article), **_inherited(paragraph)}
        yield from _paragraph(paragraph_place, paragraph, _title(article), inherited)


def _paragraph(
    place: str, paragraph: Mapping[str, object], title: str, inherited: Mapping[str, object]
) -> Iterator[Row]:
    """One text with its questions: a paragraph of SQuAD's, or a row of MRQA's or KorQuAD 2's."""
    context = first_called(paragraph, ("context", "contexttext"))
    if context is None:
        raise DataError(f'{place}: no "context" among its members {", ".join(paragraph)}')
    passage = {"text": context, "title": title, "id": content_id(title, context)}
    questions = paragraph.get("qas")
    if not isinstance(questions, list):
        raise DataError(f'{place}: "qas" is {describe(questions)}, where a list is needed')
    for number, item in enumerate(questions, 1):
        question_place = f"{place}, question {number}"
        question = dict(as_row(item, question_place))
        question.pop("plausible_answers", None)  # they are wrong on purpose
        if "detected_answers" in question and question.get("qid"):
            question["id"] = question["qid"]  # MRQA's own; "id" is that of the data set before it
        yield question_place, {**inherited, **question, "passages": [passage]}


def _title(record: Mapping[str, object]) -> str:
    return str(first_called(record, COLUMNS["title"]) or "")


def _inherited(record: Mapping[str, object]) -> dict[str, object]:
    return {
        key: value
        for key, value in record.items()
        if fold(key) not in NOT_INHERITED and key not in ("raw_html", "context_tokens")
    }


def _plain(row: Mapping[str, object], place: str) -> Mapping[str, object]:
    names = row.keys()
    if "supporting_facts" in names and "context" in names:
        return {**row, "context": _with_marks(row["context"], row["supporting_facts"])}
    if "positive_ctxs" in names and not columns_called(COLUMNS["passages"], tuple(row)):
        return {**row, "ctxs": list(_of_dpr(row, place))}
    pages = [row[name] for name in TRIVIAQA if isinstance(row.get(name), dict)]
    if pages and not columns_called(COLUMNS["passages"], tuple(row)):
        return {**row, "passages": list(chain.from_iterable(map(_pages, pages)))}
    if generated := _generated(row):
        return {key: value for key, value in row.items() if key not in generated}
    if _is_alpaca(row):
        rest = {key: value for key, value in row.items() if key not in ("instruction", "input")}
        return {**rest, "question": row["instruction"], "passages": row["input"]}
    return row


def _generated(row: Mapping[str, object]) -> tuple[str, ...]:
    """The columns that hold what a chain of LangChain's or a pipeline of Haystack's answered."""
    context, answers = row.get("context"), row.get("answers")
    if "source_documents" in row or ("input" in row and _are(context, "page_content")):
        return ("answer", "result", "output_text")
    return ("answers",) if _are(answers, "score") and _are(answers, "answer", "data") else ()


def _are(listed: object, *columns: str) -> bool:
    """Tell whether it is a list of objects with one of the columns each."""
    return (
        isinstance(listed, list)
        and bool(listed)
        and all(isinstance(item, dict) and any(map(item.__contains__, columns)) for item in listed)
    )


def _with_marks(context: object, facts: object) -> object:
    """HotpotQA's passages as objects, with the marks that its supporting facts give them."""
    if isinstance(context, dict) and isinstance(context.get("sentences"), list):
        titles, texts = context.get("title"), context["sentences"]
        pairs = list(zip(titles, texts, strict=False)) if isinstance(titles, list) else []
    elif isinstance(context, list) and all(
        isinstance(item, list) and len(item) == 2 for item in context
    ):
        pairs = [(title, text) for title, text in context]
    else:
        return context
    if isinstance(facts, dict):
        named = facts.get("title")
    else:
        listed = facts if isinstance(facts, list) else []
        named = [fact[0] for fact in listed if isinstance(fact, list) and fact]
    gold = named if isinstance(named, list) else []
    return [{"title": title, "sentences": text, "is_gold": title in gold} for title, text in pairs]


def _of_dpr(row: Mapping[str, object], place: str) -> Iterator[object]:
    for column in DPR:
        value = row.get(column)
        listed = one_each(value, place) if isinstance(value, dict) else value
        for item in listed if isinstance(listed, list) else []:
            is_gold = column == DPR[0]
            yield {**item, "is_gold": is_gold, "score": None} if isinstance(item, dict) else item


def _pages(pages: object) -> Iterator[Mapping[str, object]]:
    """The texts of TriviaQA's pages, an object of lists; some have none."""
    if not isinstance(pages, dict):
        return
    texts = pages.get("wiki_context", pages.get("search_context"))
    titles = pages.get("title")
    if isinstance(texts, list) and isinstance(titles, list):
        for title, text in zip(titles, texts, strict=False):
            if text:
                yield {"title": title, "text": text}


def _is_alpaca(row: Mapping[str, object]) -> bool:
    """Tell whether a row of instruction, input and output asks a question about a text."""
    question, text = row.get("instruction"), row.get("input")
    return (
        isinstance(question, str)
        and question.rstrip().endswith("?")
        and isinstance(text, str)
        and bool(text.strip())
        and "output" in row
        and "question" not in row
    )


def what_to_do(row: Mapping[str, object]) -> str:
    """Say what to do with a row that is known, but has no question or no passages; "" for others.

    It completes "no passages among the columns ...; ".
    """
    names = {fold(name) for name in row}
    if {"questions", "answers"} <= names:
        return (
            "this looks like a conversation (CoQA, QuAC), whose questions build on earlier ones:"
            " give rows with one question each that can be answered by itself"
        )
    if names and names <= {"train", "dev", "validation", "valid", "test"}:
        return "these are splits: write each into a file of its own"
    if "instruction" in names:
        return (
            "these are instructions: name the columns, such as --field question=instruction"
            " --field passages=input"
        )
    if names & {"messages", "conversations"}:
        return (
            "these are chats, whose passages lie in the prompts: give the data from which they"
            " were made, with a question, passages and answers in each row"
        )
    if names & {"entitypages", "questionsource"}:
        return (
            "this is TriviaQA, whose evidence lies in files beside it: give the passages with"
            " --passages FILE, or the data set trivia_qa/rc of the hub"
        )
    outputs = row.get("output")
    if isinstance(outputs, list) and any(
        isinstance(item, dict) and "provenance" in item for item in outputs
    ):
        return (
            "this is KILT, which names pages without their texts: give the passages with"
            " --passages FILE"
        )
    if "goldenanswers" in names:
        return "this is FlashRAG's data: give what was retrieved with --passages FILE"
    if names <= {"id", "text", "title", "metadata"} and "text" in names:
        return "name the text with --field question=text if these are questions"
    return ""
