"""Data sets with unusual columns of references: DROP, BoolQ, PubMedQA, BioASQ, NewsQA."""

import re
from collections.abc import Iterator

from aqa.data.shape import (
    Row,
    UnreadableError,
    are_objects,
    as_object,
    as_objects,
    column_of,
    completed,
    joined,
    lacks,
    shape,
    without,
)

# answer1, answer2 of NarrativeQA's tables; answer_0 of FreshQA
NUMBERED = re.compile(r"answer_?\d")
HANGUL = re.compile("[가-힣]")
YES_OR_NO = {"true": 0, "1": 0, "false": 1, "0": 1}  # including pandas's and Excel's spelling


@shape("answer_list", knows=lambda row: are_objects(row["answer_list"], "answer_text"))
def qampari(row: Row) -> Iterator[Row]:
    texts = [answer.get("answer_text") for answer in row["answer_list"]]
    yield {**without(row, "answer_list"), "answers": joined(texts)}


@shape("passage", "qa_pairs")
def drop(row: Row) -> Iterator[Row]:
    yield {
        "context": row["passage"],
        "qas": [_of_drop(pair) for pair in as_objects(row["qa_pairs"])],
    }


def _of_drop(pair: Row) -> Row:
    answers = [pair.get("answer"), *as_objects(pair.get("validated_answers"))]
    texts = [_text_of_drop(answer) for answer in map(as_object, answers) if answer]
    question = {"id": pair.get("query_id"), "question": pair.get("question")}
    return {**question, **({"answers": [text for text in texts if text]} if texts else {})}


def _text_of_drop(answer: Row) -> str:
    date = as_object(answer.get("date"))
    day = " ".join(str(date[part]) for part in ("day", "month", "year") if date.get(part))
    return str(answer.get("number") or joined(answer.get("spans") or []) or day)


@shape("passage", "answers_spans")
def drop_of_the_hub(row: Row) -> Iterator[Row]:
    spans = list(dict.fromkeys(as_object(row["answers_spans"]).get("spans") or []))
    if len(spans) > 1:
        raise UnreadableError(
            "the hub's version of DROP, which mixes up the parts of one answer and the answers of"
            " several people; give drop_dataset_dev.json as published"
        )
    yield {**without(row, "answers_spans"), "answers": spans}


def _is_yes_or_no(row: Row) -> bool:
    question, answer = row["question"], row.get("answer")
    if not isinstance(question, str):
        return False
    column = column_of(row, "answers")
    if column != "answer":
        of_kobest = row.keys() == {"paragraph", "question", "label"}
        return not column and (of_kobest or {"idx", "passage", "label"} <= row.keys())
    is_known = "passage" in row or "facts" in row
    as_text = (
        str(answer).casefold() in ("true", "false") and "true or false" not in question.casefold()
    )
    return isinstance(answer, bool) or (is_known and as_text)


@shape("question", any_of=("answer", "label"), knows=_is_yes_or_no)
def yes_or_no(row: Row) -> Iterator[Row]:
    """BoolQ, including SuperGLUE's and KoBEST's, and StrategyQA: true is yes."""
    answer = row.get("answer", row.get("label"))
    words = ("예", "아니요") if HANGUL.search(row["question"]) else ("yes", "no")
    index = YES_OR_NO.get(str(answer).casefold())
    plain = {
        **without(row, "answer", "label"),
        "answers": None if index is None else [words[index]],
    }
    yield completed(plain, id=row.get("idx"), passages=row.get("facts"))


@shape(
    "question",
    "answers",
    "yes_no_answer",
    knows=lambda row: row["answers"] == [] and str(row["yes_no_answer"]).lower() in ("yes", "no"),
)
def yes_or_no_beside(row: Row) -> Iterator[Row]:
    yield {**row, "answers": [row["yes_no_answer"].lower()]}


@shape("final_decision", any_of=("CONTEXTS", "context"), knows=lambda row: lacks(row, "answers"))
def pubmedqa(row: Row) -> Iterator[Row]:
    context = row.get("context")
    texts = row.get("CONTEXTS") or as_object(context).get("contexts", context)
    rest = without(row, "CONTEXTS", "context", "final_decision", "pubid")
    yield completed(rest, id=row.get("pubid"), passages=texts, answers=[row["final_decision"]])


@shape("body", any_of=("snippets", "ideal_answer"), knows=lambda row: lacks(row, "question"))
def bioasq(row: Row) -> Iterator[Row]:
    exact, kind = row.get("exact_answer"), row.get("type")
    if isinstance(exact, list) and kind == "list":  # each with its synonyms
        exact = joined(item[0] if isinstance(item, list) and item else item for item in exact)
    elif isinstance(exact, list):
        exact = [text for item in exact for text in (item if isinstance(item, list) else [item])]
    answers = row.get("ideal_answer") if exact is None else exact
    rest = without(row, "body", "snippets", "documents", "exact_answer", "ideal_answer")
    yield completed(rest, question=row["body"], passages=row.get("snippets"), answers=answers)


@shape(
    "story_text",
    "question",
    any_of=("answer_char_ranges", "answer_token_ranges"),
    knows=lambda row: isinstance(row["story_text"], str),
)
def newsqa(row: Row) -> Iterator[Row]:
    """Read spans of characters or words: "|" separates annotators, "," one annotator's spans."""
    story = row["story_text"]
    words = story.split(" ") if "answer_token_ranges" in row else None
    ranges = row.get("answer_token_ranges") or row.get("answer_char_ranges") or ""
    answers = []
    for person in ranges.split("|"):
        spans = [(int(start), int(end)) for start, end in re.findall(r"(\d+):(\d+)", person)]
        parts = [" ".join(words[a:b]) if words else story[a:b].strip() for a, b in spans]
        answers += [joined(parts)] if parts else []
    yield {"question": row["question"], "passages": story, "answers": answers}


@shape("storyId", "text", "questions")
def newsqa_json(row: Row) -> Iterator[Row]:
    pairs = []
    for question in as_objects(row["questions"]):
        agreed = as_object(question.get("consensus"))
        span = row["text"][agreed["s"] : agreed["e"]].strip() if "s" in agreed else ""
        pairs.append({"question": question["q"], "answers": [span]})
    yield {"context": row["text"], "qas": pairs}


@shape(
    any_of=("answer1", "answer_0"),
    knows=lambda row: (
        ({"answer2", "document_id"} <= row.keys() or "effective_year" in row)
        and lacks(row, "answers")
    ),
)
def numbered_answers(row: Row) -> Iterator[Row]:
    """Read numbered answers, which in other data may be several systems'."""
    names = [name for name in row if NUMBERED.fullmatch(name)]
    answers = [row[name] for name in names if row[name]]
    yield {**without(row, *names), "answers": answers or None}


@shape("context", "question", "text", "answer_start", knows=lambda row: lacks(row, "answers"))
def span(row: Row) -> Iterator[Row]:
    """Read a row of SQuAD's in a table, without a text if it is unanswerable."""
    yield {**without(row, "text"), "answers": [row["text"] or ""]}


@shape("Correct Answers", "Best Answer", knows=lambda row: isinstance(row["Correct Answers"], str))
def truthfulqa(row: Row) -> Iterator[Row]:
    yield {**row, "Correct Answers": row["Correct Answers"].split("; ")}
