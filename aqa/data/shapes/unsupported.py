"""Recognise data that can't be read directly, and say what they are and what to do instead."""

import re
from typing import Any

from aqa.data.columns import COLUMNS, columns_called, first_called, fold
from aqa.data.literals import read_literal
from aqa.data.shape import (
    Row,
    Shape,
    are_objects,
    as_object,
    as_objects,
    column_of,
    lacks,
    text_of,
    unreadable,
)

SPLITS = {"train", "dev", "validation", "valid", "test"}
# Folded names of the right option and of the options.
INDICES_OF_THE_RIGHT_ONE = (
    "label", "gold", "correct", "correctanswerid", "correctanswernum", "correctanswerindex",
)  # fmt: skip
OF_CHOICES = (
    "answer", "answerkey", "goldlabel", "정답", "correctanswer", "correctoption", "answeridx",
    "answerindex", *INDICES_OF_THE_RIGHT_ONE,
)  # fmt: skip
SURE_OPTIONS = ("options", "choices", "선택지", "보기")
CANDIDATES = "candidates"  # options, or what a retriever found
OPTIONS = (*SURE_OPTIONS, CANDIDATES)
LEAST_OPTIONS = 3  # in a list of "answers", since two may be the forms of one
LETTERED = re.compile(
    r"(?:(?:mc_)?answer|choice|option|op|alternative|보기|선택지)[ _]?[A-Ea-e0-5]|[A-E]"
)
LETTERED_OPTIONS = re.compile(r"(?:choice|option|보기|선택지)[ _]?[A-Ea-e0-5]|[A-E]")
MANY_COLUMNS = 20  # more texts than a row of data has named columns
MARKS = set("ABCDEFGHIJ0123456789①②③④⑤")
OF_A_CORPUS = {
    "docid", "corpusid", "queryid", "qid", "contents", "text", "title", "url", "score", "rank",
    "id", "metadata",
}  # fmt: skip
OF_CANDIDATES = {
    "question_id", "question", "document_title", "paragraph", "answer", "label", "idx",
}  # fmt: skip
RIGHT_OR_WRONG = ("0", "1", "true", "false")
HEADERLESS = "put a line with the columns' names before the first, which holds a question"
# Parts of a file about one document, as AI Hub publishes thousands.
OF_AI_HUB = (
    "sourceDataInfo", "source_data_info", "Source_Data_Info", "rawDataInfo", "raw_data_info",
    "Raw_Data_Info", "labeledDataInfo", "labeled_data_info", "learningDataInfo",
    "learning_data_info", "Learning_Data_Info", "taskinfo", "taskInfo",
)  # fmt: skip
CONVERSATION = (
    "a conversation (CoQA, QuAC), whose questions build on earlier ones: give rows with one"
    " question each that can be answered by itself"
)


def _is_choice(row: Row, unlabelled: bool = False) -> bool:
    """Whether the answer is one of several options, which the question does not list.

    Of `unlabelled` rows, which have no answer, the options' names must be certain.
    """
    questions = row.get("questions")
    if are_objects(questions, "options") or (questions and isinstance(row.get("options"), list)):
        return True
    answer = first_called(row, OF_CHOICES)
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    question = first_called(row, COLUMNS["question"]) or ""
    is_index = isinstance(answer, int) or (
        isinstance(answer, str) and answer.strip(" ().") in MARKS
    )
    fits = (question and answer in (None, "")) if unlabelled else is_index
    if not fits or not isinstance(question, str):
        return False
    if column_of(row, "answers") not in ("", *columns_called(OF_CHOICES, tuple(row))):
        return False
    texts = _options(row, unlabelled)
    return (
        isinstance(texts, list)
        and len(texts) > 1
        and not (unlabelled and not all(isinstance(text, str) for text in texts))
        # WikiHop names the text; a retriever's candidates are objects.
        and not (CANDIDATES in row and (answer in texts or are_objects(texts)))
        and not all(str(text) in question for text in texts)
    )


def _options(row: Row, unlabelled: bool) -> Any:
    lettered = LETTERED_OPTIONS if unlabelled else LETTERED  # LongBench 2, CosmosQA
    names = SURE_OPTIONS if unlabelled else OPTIONS
    listed = first_called(row, names) or [row[name] for name in row if lettered.fullmatch(name)]
    options = read_literal(listed, "options", "")
    return options.get("text", list(options.values())) if isinstance(options, dict) else options


def _are_options(row: Row) -> bool:
    """Whether the "answers" are options, of which a column holds the index of the right one."""
    index = first_called(row, INDICES_OF_THE_RIGHT_ONE)
    if index is None and "id_string" in row:
        index = 0  # ReClor's test questions have no label
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    if not isinstance(index, int) or isinstance(index, bool):
        return False
    answers = read_literal(row["answers"], "answers", "")
    return (
        isinstance(answers, list)
        and all(isinstance(text, str) for text in answers)
        and max(LEAST_OPTIONS, index + 1) <= len(answers)
    )


SHAPES: tuple[Shape, ...] = (
    unreadable(
        "a file about one document (AI Hub): write the questions of all such files into one, each"
        " as a row with its question, passages and answers",
        any_of=OF_AI_HUB,
        knows=lambda row: lacks(row, "question"),
    ),
    unreadable(
        "a multiple-choice question (RACE, QuALITY): write the options into the question, and the"
        " text of the right one into answers",
        knows=_is_choice,
    ),
    unreadable(
        "like a multiple-choice question without its answer: write the options into the question;"
        " or, if they are something else, say so with --field question=NAME",
        knows=lambda row: _is_choice(row, unlabelled=True),
    ),
    unreadable(
        "like a multiple-choice question (ReClor, QuAIL), with options for answers: write them into"
        " the question, and the text of the right one into answers; or, if all of them are right,"
        " say so with --field answers=answers",
        "question", "answers",
        knows=_are_options,
    ),
    unreadable(CONVERSATION, "Conversation_no", "Turn_no", knows=lambda row: "Rewrite" not in row),
    unreadable(
        CONVERSATION,
        "questions", "answers",
        knows=lambda row: (
            isinstance(row["questions"], list)
            and isinstance(row["answers"], list | dict)
            and lacks(row, "question")
        ),
    ),
    unreadable(
        "a candidate answer that a label calls right or wrong (WikiQA, MultiRC): keep only the"
        " right ones, and say so with --field answers=answer",
        "question", "answer", "label",
        knows=lambda row: (
            row.keys() <= OF_CANDIDATES and str(row["label"]).lower() in RIGHT_OR_WRONG
        ),
    ),
    unreadable(
        "answers that labels judge (ARES): keep those whose Answer_Relevance_Label is 1, and leave"
        " the labels out",
        "Answer", "Answer_Relevance_Label",
    ),
    unreadable(
        "Prodigy's annotations, whose \"answer\" says whether they are right; write the text of"
        " each span that was accepted into answers",
        "_task_hash", "answer",
        knows=lambda row: row["answer"] in ("accept", "reject", "ignore"),
    ),
    unreadable(
        "MultiRC, whose answers are right or wrong choices: it has no answers to write",
        "passage",
        knows=lambda row: are_objects(as_object(row["passage"]).get("questions"), "answers"),
    ),
    unreadable(
        "TyDi QA's primary task, with answers by bytes: give its gold passage task"
        " (tydiqa-goldp), which has SQuAD's shape",
        "passage_answer_candidates", "document_plaintext",
    ),
    unreadable(
        "QASPER, whose questions are about whole papers: give a row for each question, with its"
        " evidence as passages, and answers",
        "full_text", "qas",
        knows=lambda row: isinstance(row["full_text"], list | dict),
    ),
    unreadable(
        "ReCoRD, whose queries are sentences with a gap: it has no questions",
        "passage", "qas",
        knows=lambda row: are_objects(row["qas"], "query"),
    ),
    unreadable(
        "AmbigQA, with answers for each meaning of a question: give a row for each, with question"
        " and answers",
        any_of=("nq_answer", "annotations"),
        knows=lambda row: (
            "nq_answer" in row or are_objects(as_objects(row["annotations"]), "qaPairs")
        ),
    ),
    unreadable(
        "ASQA, with answers for each meaning of a question: give a row for each of qa_pairs, with"
        " question and answers (its short_answers), or the long answer as answers",
        "ambiguous_question", "qa_pairs",
    ),
    unreadable(
        "MKQA, with all languages in a row: give a row with question and answers in one of them",
        "queries", "answers",
        knows=lambda row: isinstance(row["queries"], dict) and isinstance(row["answers"], dict),
    ),
)  # fmt: skip

# For rows without a question or passages, by folded names: each text completes "no passages among
# the columns ...; ".
ADVICE: tuple[Shape, ...] = (
    unreadable(
        "these are splits: write each into its own file",
        knows=lambda row: row.keys() <= SPLITS or str(row.get("id")) in SPLITS,
    ),
    unreadable(
        "these are answers: score them with `aqa evaluate ANSWERS --data DATA`",
        any_of=("predictions", "predictedanswer", "predictiontext"),
    ),
    unreadable(
        "these are instructions: name the columns, such as --field question=instruction --field"
        " passages=input",
        "instruction", "input",
    ),
    unreadable(
        "these are instructions: name the column, such as --field question=instruction",
        "instruction",
    ),
    unreadable(
        "these are chats, whose passages lie in the prompts: give the data from which they were"
        " made, with a question, passages and answers in each row",
        any_of=("messages", "conversations", "conversation", "chosen"),
    ),
    unreadable(
        "this is TriviaQA, whose evidence is in separate files: give the passages with --passages"
        " FILE, or the data set trivia_qa/rc of the hub",
        any_of=("entitypages", "questionsource"),
    ),
    unreadable(
        "this is KILT, which names pages without their texts: give the passages with --passages"
        " FILE",
        "output",
        knows=lambda row: any("provenance" in item for item in as_objects(row["output"])),
    ),
    unreadable(
        "this is FlashRAG's data: give what was retrieved with --passages FILE", "goldenanswers"
    ),
    unreadable(
        "these are questions of NarrativeQA: give the summaries, too, with --corpus summaries.csv",
        "documentid", "set", "questiontokenized",
    ),
    unreadable(
        "this looks like a corpus, or what a retriever found: give it with --corpus or --passages,"
        " and the questions with --data",
        any_of=("docid", "contents", "corpusid"),
        knows=lambda row: row.keys() <= OF_A_CORPUS,
    ),
    unreadable(
        "name the text with --field question=text if these are questions",
        "text",
        knows=lambda row: row.keys() <= {"id", "text", "title", "metadata"},
    ),
)  # fmt: skip


def are_predictions(row: Row) -> bool:
    """Whether a row maps ids to answers, as a document of predictions does."""
    are_ids = len(row) > MANY_COLUMNS or all(re.search(r"\d", name) for name in row)
    return are_ids and all(isinstance(value, str | None) for value in row.values())


def what_to_do(row: Row) -> str:
    """Say what to do with a recognised row without a question or passages; "" for others."""
    if any(name.rstrip().endswith("?") for name in row):
        return HEADERLESS
    return text_of(ADVICE, {fold(name): value for name, value in row.items()})
