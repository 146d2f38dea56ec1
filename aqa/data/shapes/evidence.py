"""Data sets with unusual columns of passages: HotpotQA, DPR, NQ, ELI5."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from aqa.data.literals import read_literal
from aqa.data.passages import one_each
from aqa.data.shape import (
    Row,
    are_objects,
    as_object,
    as_objects,
    completed,
    joined,
    lacks,
    shape,
    without,
)

NUMBERED = re.compile(r"(context|passage|document|paragraph|문맥|지문|문서)[ _-]?(\d+)?", re.I)
# DPR's lists of passages, in the order in which a question gets them.
DPR_LISTS = ("positive_ctxs", "hard_negative_ctxs", "negative_ctxs")
TEVATRON_LISTS = ("positive_passages", "negative_passages")
RGB_LISTS = ("positive", "negative")
GOLD_LISTS = (DPR_LISTS[0], TEVATRON_LISTS[0], RGB_LISTS[0])
# Columns of texts in TriviaQA's pages from Wikipedia and the web, and in SearchQA's results.
PAGES = ("wiki_context", "search_context", "snippets")
# Yes-no answers of Natural Questions; other values mean neither.
SAID = {"YES": "yes", "NO": "no", 1: "yes", 0: "no"}


@shape("supporting_facts", "context")
def hotpotqa(row: Row) -> Iterator[Row]:
    """Read passages as objects, marked gold by the supporting facts."""
    context, facts = (
        read_literal(row[name], "the text", name) for name in ("context", "supporting_facts")
    )
    if isinstance(context, dict) and isinstance(context.get("sentences"), list):
        pairs = [(item.get("title"), item["sentences"]) for item in as_objects(context)]
    elif isinstance(context, list) and all(
        isinstance(item, list) and len(item) == 2 for item in context
    ):
        pairs = [(title, text) for title, text in context]
    else:
        yield row
        return
    if isinstance(facts, dict):
        named = facts.get("title")
    else:
        listed = facts if isinstance(facts, list) else []
        named = [fact[0] for fact in listed if isinstance(fact, list) and fact]
    gold = named if isinstance(named, list) else []
    marked = [
        {"title": title, "sentences": text, "is_gold": title in gold} for title, text in pairs
    ]
    yield {**row, "context": marked}


def _marks_passages(row: Row) -> bool:
    of_rgb = all(
        isinstance(row.get(name), list) and all(isinstance(text, str) for text in row[name])
        for name in RGB_LISTS
    )
    are_texts = are_objects(row.get("positive_passages"), "text")
    return ("positive_ctxs" in row or are_texts or of_rgb) and lacks(row, "passages")


@shape(any_of=GOLD_LISTS, knows=_marks_passages)
def dpr(row: Row) -> Iterator[Row]:
    yield {**row, "ctxs": list(_of_dpr(row))}


def _of_dpr(row: Row) -> Iterator[object]:
    for column in (*DPR_LISTS, *TEVATRON_LISTS, *RGB_LISTS):
        value = row.get(column)
        listed = one_each(value, column) if isinstance(value, dict) else value
        for item in listed if isinstance(listed, list) else []:
            passage = {"text": item} if isinstance(item, str) else as_object(item)
            yield {**passage, "is_gold": column in GOLD_LISTS, "score": None}


@shape(
    any_of=("entity_pages", "search_results"),
    knows=lambda row: (
        any(isinstance(row.get(name), dict) for name in ("entity_pages", "search_results"))
        and lacks(row, "passages")
    ),
)
def triviaqa(row: Row) -> Iterator[Row]:
    pages = [*_pages(row.get("entity_pages")), *_pages(row.get("search_results"))]
    yield {**row, "passages": pages} if pages else row


def _pages(pages: Any) -> Iterator[Row]:
    """Yield the texts of pages in an object of lists; some pages have none."""
    columns = as_object(pages)
    texts: object = next((columns[name] for name in PAGES if name in columns), None)
    titles = columns.get("title", columns.get("titles", []))
    if isinstance(texts, list) and isinstance(titles, list):
        for title, text in zip(titles, texts, strict=False):
            if text:
                yield {"title": title, "text": text}


@shape("search_results", knows=lambda row: are_objects(row["search_results"], "page_snippet"))
def crag(row: Row) -> Iterator[Row]:
    passages = [
        {"title": page.get("page_name"), "text": page["page_snippet"]}
        for page in row["search_results"]
        if page.get("page_snippet")
    ]
    yield completed(without(row, "search_results"), passages=passages)


@shape(
    "document",
    "question",
    knows=lambda row: (
        "summary" in as_object(row["document"]) and "text" in as_object(row["question"])
    ),
)
def narrativeqa(row: Row) -> Iterator[Row]:
    """Use a story's summary instead of the whole story."""
    document = row["document"]
    summary = {**as_object(document.get("summary")), "id": document.get("id")}
    yield {
        "question": row["question"].get("text"),
        "answers": row.get("answers"),
        "passages": [without(summary, "tokens")],
    }


@lru_cache(4096)  # all rows of a file have the same names
def _numbered(names: tuple[str, ...]) -> tuple[str, ...]:
    """The numbered columns of passages (the first may lack a number); none if names differ."""
    matches = [match for match in map(NUMBERED.fullmatch, names) if match]
    if len(matches) < 2 or len({match[1].casefold() for match in matches}) > 1:
        return ()
    return tuple(match[0] for match in sorted(matches, key=lambda match: int(match[2] or 0)))


def _are_passages(row: Row) -> bool:
    names = _numbered(tuple(row))
    texts = [row[name] for name in names if row[name]]
    are_texts = all(isinstance(text, str) and " " in text for text in texts)
    return bool(texts) and are_texts and lacks(without(row, *names), "passages")


@shape("question", knows=_are_passages)
def numbered(row: Row) -> Iterator[Row]:
    """Read tables with a column per passage: context_1, context_2."""
    names = _numbered(tuple(row))
    yield {**without(row, *names), "passages": [row[name] for name in names if row[name]]}


@shape("q_id", "title", "selftext", knows=lambda row: lacks(row, "question"))
def eli5(row: Row) -> Iterator[Row]:
    yield {**without(row, "title"), "question": row["title"]}


@shape("Rewrite", "Context", "Conversation_no")
def qrecc(row: Row) -> Iterator[Row]:
    """Ignore the context, which is earlier turns, since the rewritten question needs none."""
    yield {**without(row, "Context", "Question"), "question": row["Rewrite"]}


@shape("long_answer_candidates", any_of=("document_text", "document_tokens", "document"))
def natural_questions(row: Row) -> Iterator[Row]:
    """Read simplified, full or hub rows; passages are the page's paragraphs."""
    words = _words(row)
    annotations = as_objects(row.get("annotations"))
    spans = [as_object(annotation.get("long_answer")) for annotation in annotations]
    starts = [span["start_token"] for span in spans if span.get("start_token", -1) >= 0]
    title = row.get("document_title") or as_object(row.get("document")).get("title")
    passages = [
        {
            "title": title,
            "text": _between(words, candidate),
            "is_gold": any(
                candidate["start_token"] <= at < candidate["end_token"] for at in starts
            ),
        }
        for candidate in as_objects(row["long_answer_candidates"])
        if candidate.get("top_level")
    ]
    answers = list(filter(None, (_answer(words, annotation) for annotation in annotations)))
    yield {
        "id": row.get("example_id", row.get("id")),
        "question": row.get("question_text") or as_object(row.get("question")).get("text"),
        "passages": passages or " ".join(filter(None, words)),
        "answers": answers if annotations else None,  # a long answer alone does not count
    }


def _words(row: Row) -> list[str]:
    """The page's tokens, with "" for HTML tags, so that positions are kept."""
    if "document_text" in row:
        tokens = row["document_text"].split(" ")
        return ["" if token[:1] == "<" and token[-1:] == ">" else token for token in tokens]
    words = as_objects(row.get("document_tokens")) or as_objects(row["document"].get("tokens"))
    return ["" if word.get("html_token", word.get("is_html")) else word["token"] for word in words]


def _answer(words: Sequence[str], annotation: Row) -> str:
    """Return one annotator's answer, joining its spans."""
    if (yes_or_no := SAID.get(annotation.get("yes_no_answer", ""))) is not None:
        return yes_or_no
    spans = as_objects(annotation.get("short_answers"))
    return joined(filter(None, (_between(words, span) for span in spans)))


def _between(words: Sequence[str], span: Row) -> str:
    return " ".join(filter(None, words[span["start_token"] : span["end_token"]]))
