"""Natural Questions: simplified, in full, and as the hub has it; passages by its paragraphs."""

from collections.abc import Iterator, Sequence

from aqa.data.shape import Row, as_object, as_objects, joined, shape

SAID = {"YES": "yes", "NO": "no", 1: "yes", 0: "no"}  # what else there is means neither


@shape("long_answer_candidates", any_of=("document_text", "document_tokens", "document"))
def natural_questions(row: Row) -> Iterator[Row]:
    words = _words(row)
    annotations = as_objects(row.get("annotations"))
    long = [as_object(each.get("long_answer")).get("start_token", -1) for each in annotations]
    starts = [start for start in long if start >= 0]
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
    answers = list(filter(None, (_answer(words, each) for each in annotations)))
    yield {
        "id": row.get("example_id", row.get("id")),
        "question": row.get("question_text") or as_object(row.get("question")).get("text"),
        "passages": passages or " ".join(filter(None, words)),
        "answers": answers if annotations else None,  # a long answer alone counts as none
    }


def _words(row: Row) -> list[str]:
    """The tokens of the page, "" for those of HTML, so that places stay what they are."""
    if "document_text" in row:
        tokens = row["document_text"].split(" ")
        return ["" if token[:1] == "<" and token[-1:] == ">" else token for token in tokens]
    tokens = as_objects(row.get("document_tokens")) or as_objects(row["document"].get("tokens"))
    return ["" if each.get("html_token", each.get("is_html")) else each["token"] for each in tokens]


def _answer(words: Sequence[str], annotation: Row) -> str:
    """What one person answered; several spans are all of it."""
    if (said := SAID.get(annotation.get("yes_no_answer", ""))) is not None:
        return said
    spans = as_objects(annotation.get("short_answers"))
    return joined(filter(None, (_between(words, span) for span in spans)))


def _between(words: Sequence[str], span: Row) -> str:
    return " ".join(filter(None, words[span["start_token"] : span["end_token"]]))
