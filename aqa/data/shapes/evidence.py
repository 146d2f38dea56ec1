"""Data sets whose passages lie in columns of their own: HotpotQA, DPR, TriviaQA, CRAG, ELI5."""

from collections.abc import Iterator
from typing import Any

from aqa.data.literals import read_literal
from aqa.data.passages import one_each
from aqa.data.shape import (
    Row,
    Shape,
    are_objects,
    as_object,
    as_objects,
    completed,
    lacks,
    without,
)

# DPR's lists of passages, in the order in which a row of questions gets them.
DPR_LISTS = ("positive_ctxs", "hard_negative_ctxs", "negative_ctxs")
TEVATRON_LISTS = ("positive_passages", "negative_passages")
# TriviaQA's pages of Wikipedia and of the web, SearchQA's results: the names of their texts.
PAGES = ("wiki_context", "search_context", "snippets")


def _hotpotqa(row: Row) -> Iterator[Row]:
    """Passages as objects, with the marks that the supporting facts give them."""
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


def _dpr(row: Row) -> Iterator[Row]:
    yield {**row, "ctxs": list(_of_dpr(row))}


def _of_dpr(row: Row) -> Iterator[object]:
    for column in (*DPR_LISTS, *TEVATRON_LISTS):
        value = row.get(column)
        listed = one_each(value, column) if isinstance(value, dict) else value
        for item in listed if isinstance(listed, list) else []:
            is_gold = column in (DPR_LISTS[0], TEVATRON_LISTS[0])
            yield {**item, "is_gold": is_gold, "score": None} if isinstance(item, dict) else item


def _triviaqa(row: Row) -> Iterator[Row]:
    pages = [*_pages(row.get("entity_pages")), *_pages(row.get("search_results"))]
    yield {**row, "passages": pages} if pages else row


def _pages(pages: Any) -> Iterator[Row]:
    """The texts of pages, an object of lists; some have none."""
    columns = as_object(pages)
    texts: object = next((columns[name] for name in PAGES if name in columns), None)
    titles = columns.get("title", columns.get("titles", []))
    if isinstance(texts, list) and isinstance(titles, list):
        for title, text in zip(titles, texts, strict=False):
            if text:
                yield {"title": title, "text": text}


def _crag(row: Row) -> Iterator[Row]:
    found = [
        {"title": page.get("page_name"), "text": page["page_snippet"]}
        for page in row["search_results"]
        if page.get("page_snippet")
    ]
    yield completed(without(row, "search_results"), passages=found)


def _narrativeqa(row: Row) -> Iterator[Row]:
    """With the summary of a story, not the whole."""
    document = row["document"]
    summary = {**as_object(document.get("summary")), "id": document.get("id")}
    yield {
        "question": row["question"].get("text"),
        "answers": row.get("answers"),
        "passages": [without(summary, "tokens")],
    }


HOTPOTQA = Shape(
    lambda row: "supporting_facts" in row and "context" in row, _hotpotqa, ("supporting_facts",)
)
DPR = Shape(
    lambda row: (
        ("positive_ctxs" in row or are_objects(row.get("positive_passages"), "text"))
        and lacks(row, "passages")
    ),
    _dpr,
    ("positive_ctxs", "positive_passages"),
)
TRIVIAQA = Shape(
    lambda row: (
        any(isinstance(row.get(name), dict) for name in ("entity_pages", "search_results"))
        and lacks(row, "passages")
    ),
    _triviaqa,
    ("entity_pages", "search_results"),
)
CRAG = Shape(
    lambda row: are_objects(row.get("search_results"), "page_snippet"), _crag, ("search_results",)
)
NARRATIVEQA = Shape(
    lambda row: (
        "summary" in as_object(row.get("document")) and "text" in as_object(row.get("question"))
    ),
    _narrativeqa,
    ("document",),
)
ALCE = Shape(
    lambda row: are_objects(row.get("docs"), "text") and lacks(row, "passages"),
    lambda row: [{**without(row, "docs"), "ctxs": row["docs"]}],
    ("docs",),
)
HALUEVAL = Shape(
    lambda row: {"knowledge", "right_answer"} <= row.keys(),
    lambda row: [completed(row, passages=row["knowledge"], answers=[row["right_answer"]])],
    ("right_answer",),
)
SCIQ = Shape(
    lambda row: {"support", "correct_answer"} <= row.keys(),
    lambda row: [completed(without(row, "support"), passages=row["support"])],
    ("support",),
)
WIKIHOP = Shape(
    lambda row: {"query", "supports", "candidates"} <= row.keys(),
    lambda row: [completed(without(row, "supports"), passages=row["supports"])],
    ("supports",),
)
ELI5 = Shape(
    lambda row: {"q_id", "title", "selftext"} <= row.keys() and lacks(row, "question"),
    lambda row: [{**without(row, "title"), "question": row["title"]}],
    ("selftext",),
)
QRECC = Shape(
    lambda row: {"Rewrite", "Context", "Conversation_no"} <= row.keys(),
    # its context is what was said before, which the rewritten question does without
    lambda row: [{**without(row, "Context", "Question"), "question": row["Rewrite"]}],
    ("Conversation_no",),
)
