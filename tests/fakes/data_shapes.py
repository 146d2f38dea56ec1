"""Small files of questions in the formats of data sets and tools, with their meaning.

Each format: the file's name, its content, and its examples as (id, question, references, titles
and texts of passages, texts of gold passages). An id of None is generated from the content.
"""

import json
from typing import Any

Expected = list[tuple[str | None, str, tuple[str, ...] | None, list[tuple[str, str]], list[str]]]

BUILT = "The old mill was built in 1874."
BURNED = "It burned in 1910."
WHEN = "When was the mill built?"


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def one(
    answers: tuple[str, ...] | None = ("1874",),
    passages: list[tuple[str, str]] | None = None,
    gold: list[str] | None = None,
    key: str | None = "q1",
) -> Expected:
    given = [("", BUILT)] if passages is None else passages
    known = ([BUILT] if len(given) == 1 else []) if gold is None else gold
    return [(key, WHEN, answers, given, known)]


HEAD = "id,question,context,answers"
BOTH = [("", BUILT), ("", BURNED)]
ROW = {"id": "q1", "question": WHEN}
ASKED = {**ROW, "context": BUILT}
PANDAS = (
    ",id,question,answers,ctxs\n"
    f"0,q1,{WHEN},['1874'],\"[{{'id': '0', 'text': '{BURNED}'}}, {{'id': '1', 'text': '{BUILT}'}}]"
    '"\n'
)
SHAPES: dict[str, tuple[str, Any, Expected]] = {
    "pandas' index": ("p.csv", PANDAS, one(passages=BOTH[::-1])),
    "datasets.to_csv": ("h.csv",
        f"id,title,context,question,answers\nq1,Mill,{BUILT},{WHEN},\"{{'text': array(['1874',"
         " 'in 1874'], dtype=object), 'answer_start': array([26, 23], dtype=int32)}\"\n",
        one(("1874", "in 1874"), [("Mill", BUILT)])),
    "numbered passages": ("t.csv",
        f"id,question,context_2,context_1,answer\nq1,{WHEN},{BURNED},{BUILT},1874\n",
        one(passages=BOTH)),
    "a passage and a second": ("t.csv",
        f"id,question,context,context_2,answer\nq1,{WHEN},{BUILT},{BURNED},1874\n",
        one(passages=BOTH)),
    "a table of SQL": ("e.csv", f"{HEAD}\nq1,{WHEN},{BUILT},NULL\n", one(None)),
    "impossible": ("i.csv", f"{HEAD},impossible\nq1,{WHEN},{BUILT},x,TRUE\n", one(())),
    "BoolQ, saved by Excel": ("b.csv", f"id,question,passage,answer\nq1,{WHEN},{BUILT},FALSE\n",
        one(("no",))),
    "Excel's mark for nothing": ("e.csv", f"{HEAD}\nq1,{WHEN},{BUILT},#N/A\n", one(None)),
    "Langfuse's items": ("i.jsonl",
        lines({"id": "q1", "input": {"question": WHEN, "context": BUILT},
               "expectedOutput": {"answer": "1874"}, "metadata": {}}), one()),
    "Braintrust's items": ("i.jsonl",
        lines({"id": "q1", "input": {"question": WHEN, "context": [BUILT]}, "expected": "1874"}),
        one()),
    "yes beside no span": ("y.jsonl",
        lines({**ROW, "context": BUILT, "answers": [], "yes_no_answer": "YES"}), one(("yes",))),
    "true of a context": ("y.jsonl", lines({**ROW, "context": BUILT, "answer": True}),
        one(("yes",))),
    "ConditionalQA, unanswerable": ("c.json",
        [{**ASKED, "answers": ["x"], "not_answerable": True}], one(())),
    "ComplexWebQuestions": ("c.json",
        [{**ASKED, "answers": [{"answer": "1874", "aliases": ["in 1874"], "answer_id": "m.1"}]}],
        one(("1874", "in 1874"))),
    "StreamingQA": ("s.jsonl",
        lines({"qa_id": "q1", "question": WHEN, "context": BUILT, "answers": ["1874"],
               "answers_additional": ["in 1874"]}), one(("1874", "in 1874"))),
    "TimeQA": ("t.jsonl", lines({**ASKED, "targets": ["1874", "in 1874"], "level": "easy"}),
        one(("1874", "in 1874"))),
    "ASQA of ALCE": ("a.json",
        [{"sample_id": "q1", "question": WHEN, "answer": "1874", "docs": [{"text": BUILT}],
          "qa_pairs": [{"question": "x?", "short_answers": ["y"]}], "annotations": []}], one()),
    "answers marked as wrong": ("m.json",
        [{**ASKED, "answers": [{"text": "1874", "correct": True}, {"text": "1900", "correct": 0},
                               {"text": "1910", "is_correct": "false"}]}], one()),
    "RGB": ("en.json",
        lines({"id": "q1", "query": WHEN, "answer": ["1874"], "positive": [BUILT],
               "negative": [BURNED]}), one(passages=BOTH, gold=[BUILT])),
    "MultiHop-RAG": ("m.json",
        [{"query": WHEN, "answer": "1874", "evidence_list": [{"title": "Mill", "fact": BUILT}]}],
        one(passages=[("Mill", BUILT)], key=None)),
    "HAGRID": ("h.jsonl",
        lines({"query_id": "q1", "query": WHEN, "quotes": [{"idx": 1, "docid": "d", "text": BUILT}],
               "answers": [{"answer": "1874", "sentences": []}]}), one()),
    "DuoRC": ("d.jsonl",
        lines({**ROW, "plot": BUILT, "answers": ["1874"], "no_answer": False}), one()),
    "Dify": ("d.json",
        [{**ROW, "answer": "1874", "records": [{"segment": {"id": "s", "content": BUILT}}]}],
        one()),
    "DeepEval's cases": ("d.json",
        [{"id": "q1", "input": WHEN, "expected_output": "1874", "context": None,
          "retrieval_context": [BUILT]}], one(gold=[])),
    "RAFT": ("r.jsonl",
        lines({**ROW, "answer": "1874",
               "context": {"sentences": [[BUILT, BURNED]], "title": [["Mill", "Fire"]]}}),
        one(passages=[("Mill", BUILT), ("Fire", BURNED)])),
    "LangChain's dump": ("l.json",
        [{**ROW, "answer": "1874",
          "documents": [{"lc": 1, "type": "constructor", "id": ["langchain", "Document"],
                         "kwargs": {"page_content": BUILT, "metadata": {"title": "Mill"}}}]}],
        one(passages=[("Mill", BUILT)])),
    "a list with nan": ("n.csv", f"{HEAD}\nq1,{WHEN},{BUILT},\"['1874', nan]\"\n", one()),
    "nan alone": ("n.csv", f"{HEAD}\nq1,{WHEN},{BUILT},nan\n", one(None)),
    "RAGAS 0.1": ("r.jsonl",
        lines({**ROW, "answer": "In 1900.", "contexts": [BUILT, BURNED], "ground_truth": "1874"}),
        one(passages=BOTH)),
    "RAGAS, several truths": ("r.jsonl",
        lines({**ROW, "answer": "In 1900.", "contexts": [BUILT, BURNED],
            "ground_truths": ["1874"]}), one(passages=BOTH)),
    "RAGAS without a truth": ("r.jsonl",
        lines({**ROW, "answer": "In 1900.", "contexts": [BUILT, BURNED], "ground_truth": None}),
        one(None, passages=BOTH)),
    "rows below a name": ("d.json", {"version": 1, "items": [{**ASKED, "answer": "1874"}]}, one()),
    "AI-Hub's tables": ("t.jsonl",
        lines({**ASKED, "answer": {"answer_text": "1874", "answer_start": 26}}), one()),
    "Giskard": ("g.jsonl",
        lines({**ROW, "reference_answer": "1874", "reference_context": BUILT, "metadata": {}}),
        one()),
    "a whole number of a table with gaps": ("n.jsonl", lines({**ASKED, "answer": 1874.0}), one()),
    "RAGAS 0.2": ("r.jsonl",
        lines({"id": "q1", "user_input": WHEN, "response": "In 1900.", "reference": "1874",
            "retrieved_contexts": [BUILT]}), one(gold=[])),
    "ranks": ("d.jsonl",
        lines({**ROW, "answers": ["1874"],
            "ctxs": [{"text": BURNED, "rank": 2, "score": 1.0},
                {"text": BUILT, "rank": 1, "score": 9.0}]}), one(passages=BOTH)),
    "the same rank everywhere": ("d.jsonl",
        lines({**ROW, "answers": ["1874"],
            "ctxs": [{"text": BUILT, "rank": 0}, {"text": BURNED, "rank": 0}]}),
        one(passages=BOTH)),
    "lists as texts": ("p.jsonl", lines({**ASKED, "possible_answers": '["1874", "in 1874"]'}),
        one(("1874", "in 1874"))),
    "FiD": ("f.json",
        [{**ROW, "target": "1874", "answers": ["in 1874", "1874"],
            "ctxs": [{"id": "7", "title": "Mills", "text": BUILT, "score": "81.2"},
                {"id": "8", "title": "Fire", "text": BURNED, "score": "79.0"}]}],
        one(("in 1874", "1874"), [("Mills", BUILT), ("Fire", BURNED)])),
    "Excel's TRUE": ("e.csv", f"{HEAD},is_impossible\nq1,{WHEN},{BUILT},1874,TRUE\n", one(())),
    "MuSiQue": ("m.jsonl",
        lines({**ROW,
            "paragraphs": [
                {"idx": 0, "title": "Fire", "paragraph_text": BURNED, "is_supporting": False},
                {"idx": 1, "title": "Mill", "paragraph_text": BUILT, "is_supporting": True}],
            "answer": "1874", "answer_aliases": ["in 1874"], "answerable": True}),
        one(("1874", "in 1874"), [("Fire", BURNED), ("Mill", BUILT)], [BUILT])),
    "MuSiQue, unanswerable": ("m.json",
        [{**ROW, "paragraphs": [{"idx": 0, "title": "Fire", "paragraph_text": BURNED}],
            "answer": "1874", "answer_aliases": [], "answerable": False}],
        one((), [("Fire", BURNED)], [BURNED])),
    "MRQA": ("m.jsonl",
        lines({"header": {"dataset": "SQuAD", "mrqa_split": "dev"}},
            {"id": "", "context": BUILT, "context_tokens": [["The", 0]],
                "qas": [{"answers": ["1874"], "question": WHEN, "id": "a", "qid": "q1",
                    "detected_answers": [{"text": "1874", "char_spans": [[26, 29]]}]}]}), one()),
    "KorQuAD 2": ("k.json",
        {"version": "KorQuAD_2.0",
            "data": [{"title": "Mill", "url": "u", "context": BUILT, "raw_html": "<p>",
                "qas": [{"question": WHEN, "id": "q1",
                    "answer": {"text": "1874", "answer_start": 26}}]}]},
        one(passages=[("Mill", BUILT)])),
    "SQuAD, an article a line": ("s.jsonl",
        lines({"title": "Mill",
            "paragraphs": [{"context": BUILT,
                "qas": [{"question": WHEN, "id": "q1",
                    "answers": [{"text": "1874", "answer_start": 26}]}]}]}),
        one(passages=[("Mill", BUILT)])),
    "QuAC": ("q.json",
        {"data": [{"title": "Mill",
            "paragraphs": [{"context": BUILT + " CANNOTANSWER",
                "qas": [{"question": WHEN, "id": "q1", "answers": [{"text": "CANNOTANSWER"}]}]}]}]},
        one((), [("Mill", BUILT + " CANNOTANSWER")], [BUILT + " CANNOTANSWER"])),
    "HotpotQA": ("h.json",
        [{"_id": "q1", "question": WHEN, "answer": "1874", "supporting_facts": [["Mill", 0]],
            "context": [["Mill", ["The old mill was built", " in 1874."]], ["Fire", [BURNED]]]}],
        one(passages=[("Mill", BUILT), ("Fire", BURNED)], gold=[BUILT])),
    "HotpotQA of the hub": ("h.jsonl",
        lines({**ROW, "answer": "1874", "supporting_facts": {"title": ["Mill"], "sent_id": [0]},
            "context": {"title": ["Fire", "Mill"],
                "sentences": [[BURNED], ["The old mill was built", " in 1874."]]}}),
        one(passages=[("Fire", BURNED), ("Mill", BUILT)], gold=[BUILT])),
    "MS MARCO": ("m.json",
        {"answers": {"5": ["1874"], "6": ["No Answer Present."]},
            "passages": {
                "5": [{"is_selected": 0, "passage_text": BURNED, "url": "u"},
                    {"is_selected": 1, "passage_text": BUILT, "url": "v"}],
                "6": [{"is_selected": 0, "passage_text": BURNED, "url": "u"}]},
            "query": {"5": WHEN, "6": "Who?"}, "query_id": {"5": "q1", "6": 17},
            "query_type": {"5": "NUMERIC", "6": "PERSON"},
            "wellFormedAnswers": {"5": "[]", "6": "[]"}},
        [*one(passages=BOTH[::-1], gold=[BUILT]), ("17", "Who?", (), [("", BURNED)], [BURNED])]),
    "MS MARCO of the hub": ("m.jsonl",
        lines({"query_id": "q1", "query": WHEN, "answers": ["1874"],
            "passages": {"is_selected": [0, 1], "passage_text": [BURNED, BUILT],
                "url": ["u", "v"]}}), one(passages=BOTH[::-1], gold=[BUILT])),
    "DuReader": ("d.jsonl",
        lines({"question_id": 186, "question": WHEN, "question_type": "ENTITY", "answers": ["1874"],
            "documents": [
                {"title": "Mill", "paragraphs": ["The old mill", "was built in 1874."],
                    "is_selected": True},
                {"title": "Fire", "paragraphs": [BURNED], "is_selected": False}]}),
        one(passages=[("Mill", BUILT), ("Fire", BURNED)], gold=[BUILT], key="186")),
    "TriviaQA of the hub": ("t.jsonl",
        lines({"question_id": "q1", "question": WHEN,
            "answer": {"value": "1874", "aliases": ["in 1874"], "normalized_aliases": ["in 1874"]},
            "entity_pages": {"title": ["Mill"], "wiki_context": [BUILT]},
            "search_results": {"title": ["Fire", "x"], "search_context": [BURNED, ""]}}),
        one(("1874", "in 1874"), [("Mill", BUILT), ("Fire", BURNED)])),
    "DPR": ("d.json",
        [{"dataset": "nq", **ROW, "answers": ["1874"],
            "positive_ctxs": [{"title": "Mill", "text": BUILT, "score": 1000, "psg_id": "7"}],
            "negative_ctxs": [],
            "hard_negative_ctxs": [{"title": "Fire", "text": BURNED, "score": 13.1,
                "psg_id": "8"}]}], one(passages=[("Mill", BUILT), ("Fire", BURNED)], gold=[BUILT])),
    "KILT with texts": ("k.jsonl",
        lines({"id": "q1", "input": WHEN, "context": BUILT,
            "output": [{"answer": "1874", "provenance": [{"wikipedia_id": "1", "title": "Mill"}]},
                {"provenance": [{"wikipedia_id": "2"}]}]}), one()),
    "Haystack": ("h.json",
        [{**ROW, "answers": ["1874"],
            "documents": [{"id": "d1", "content": BUILT, "meta": {"title": "Mill"},
                "score": 0.9}]}], one(passages=[("Mill", BUILT)], gold=[])),
    "LangChain": ("l.json",
        [{**ROW, "answer": "1900",
            "source_documents": [{"page_content": BUILT,
                "metadata": {"source": "a.pdf", "page": 3}}]}], one(None, gold=[])),
    "Alpaca": ("a.json", [{"id": "q1", "instruction": WHEN, "input": BUILT, "output": "1874"}],
        one()),
    "rows of the hub's server": ("r.json",
        {"features": [], "rows": [{"row_idx": 0, "row": {**ASKED, "answer": "1874"}}]}, one()),
    "pandas' columns": ("p.json",
        {"id": {"0": "q1"}, "question": {"0": WHEN}, "context": {"0": BUILT},
            "answers": {"0": ["1874"]}}, one()),
    "lists of columns": ("p.json",
        {"id": ["q1"], "question": [WHEN], "context": [BUILT], "answers": [["1874"]]}, one()),
    "pandas' split": ("p.json",
        {"columns": ["id", "question", "context", "answers"], "index": [0],
            "data": [["q1", WHEN, BUILT, ["1874"]]]}, one()),
    "rows by their ids": ("c.json",
        {"q1": {"question": WHEN, "answers": ["1874"], "contexts": [{"docid": 1, "text": BUILT}]}},
        one()),
    "AI Hub's machine reading": ("a.json",
        {"data": [{"doc_title": "Mill", "doc_class": {"class": "x"},
            "paragraphs": [{"context_id": "c", "context": BUILT,
                "qas": [{"question_id": "q1", "question": WHEN, "is_impossible": False,
                    "answers": {"text": "1874", "clue_text": BUILT}}]}]}]},
        one(passages=[("Mill", BUILT)])),
    "HotpotQA, a page without sentences": ("h.json",
        [{"_id": "q1", "question": WHEN, "answer": "1874", "supporting_facts": [["Mill", 0]],
            "context": [["Empty", []], ["Mill", [BUILT]]]}],
        one(passages=[("Empty", ""), ("Mill", BUILT)], gold=[BUILT])),
    "an article without paragraphs": ("s.json",
        {"data": [{"title": "Nothing", "paragraphs": []},
            {"title": "", "paragraphs": [{"context": BUILT, "qas": [{**ROW, "answer": "1874"}]}]}]},
        one()),
    "CMRC 2018": ("c.json",
        [{"context_text": BUILT, "title": "Mill",
            "qas": [{"query_text": WHEN, "query_id": "q1", "answers": ["1874"]}]}],
        one(passages=[("Mill", BUILT)])),
    "GermanDPR, as the hub has it": ("g.jsonl",
        lines({**ROW, "answers": ["1874"],
            "positive_ctxs": {"title": [""], "text": [BUILT], "passage_id": ["1"]},
            "negative_ctxs": {"title": [], "text": [], "passage_id": []},
            "hard_negative_ctxs": {"title": [""], "text": [BURNED], "passage_id": ["2"]}}),
        one(passages=BOTH, gold=[BUILT])),
    "RAGAS' test set": ("r.csv",
        f"id,user_input,reference_contexts,reference\nq1,{WHEN},\"['{BUILT}', '{BURNED}']\",1874\n",
        one(passages=BOTH, gold=[BUILT, BURNED])),
    "LlamaIndex's labelled set": ("r.json",
        {"examples": [{"id": "q1", "query": WHEN, "reference_contexts": [BUILT],
            "reference_answer": "1874"}]}, one()),
    "what LangChain's chain answered": ("l.jsonl",
        lines({"id": "q1", "input": WHEN, "context": [{"page_content": BUILT}], "answer": "1900"}),
        one(None)),
    "what Haystack answered": ("h.jsonl",
        lines({"id": "q1", "query": WHEN,
            "answers": [{"answer": "1900", "type": "extractive", "score": 0.9}],
            "documents": [{"content": BUILT}]}), one(None)),
    "numbers, and nothing as pandas writes it": ("n.jsonl",
        lines({"id": 1.0, "question": WHEN, "context": BUILT, "answer": 1874, "x": float("nan")}),
        one(key="1")),
    "Korean names": ("k.csv", f"번호,질의,본문,답변\nq1,{WHEN},{BUILT},1874\n", one()),
    "names in any case": ("c.json",
        [{"QuestionId": "q1", "Question": WHEN, "Context": BUILT, "Answer": "1874"}], one()),
}  # fmt: skip

# Natural Questions: its tokens, of which the second paragraph has the answer.
TOKENS = f"<H1> Mill </H1> <P> {BURNED} </P> <P> {BUILT} </P>".split()
IN_ORDER = BOTH[::-1]
CANDIDATES = [
    {"start_token": 3, "end_token": 9, "top_level": True},
    {"start_token": 9, "end_token": 18, "top_level": True},
    {"start_token": 10, "end_token": 12, "top_level": False},
]
ANNOTATION = {
    "long_answer": {"start_token": 10, "end_token": 12, "candidate_index": 2},
    "short_answers": [{"start_token": 15, "end_token": 17}],
    "yes_no_answer": "NONE",
}
NULL = {"start_token": -1, "end_token": -1, "candidate_index": -1}
UNASKED = {"long_answer": NULL, "short_answers": [], "yes_no_answer": "NONE"}
NQ = {
    "example_id": 5,
    "question_text": WHEN,
    "document_text": " ".join(TOKENS),
    "long_answer_candidates": CANDIDATES,
}
NOTHING = {"number": "", "date": {"day": "", "month": "", "year": ""}, "spans": []}


def nq(*annotations: dict[str, Any]) -> str:
    return lines({**NQ, "annotations": annotations})


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """An object of lists, as the hub stores lists of objects."""
    return {name: [row[name] for row in rows] for name in rows[0]}


SHAPES |= {
    "Natural Questions, simplified": (
        "n.jsonl",
        nq(ANNOTATION),
        one(("in 1874.",), IN_ORDER, [BUILT], "5"),
    ),
    "Natural Questions, yes or no": (
        "n.jsonl",
        nq({**ANNOTATION, "short_answers": [], "yes_no_answer": "YES"}),
        one(("yes",), IN_ORDER, [BUILT], "5"),
    ),
    "Natural Questions, without an answer": ("n.jsonl", nq(UNASKED), one((), IN_ORDER, [], "5")),
    "Natural Questions, a long answer alone": (
        "n.jsonl",
        nq({**ANNOTATION, "short_answers": []}, UNASKED),
        one((), IN_ORDER, [BUILT], "5"),
    ),
    "Natural Questions, of the test": ("n.jsonl", lines(NQ), one(None, IN_ORDER, [], "5")),
    "Natural Questions in full": (
        "n.jsonl",
        lines(
            {
                "annotations": [ANNOTATION],
                "document_html": "<H1>...",
                "document_title": "Mill",
                "document_tokens": [
                    {"token": token, "html_token": token[0] == "<", "start_byte": 0}
                    for token in TOKENS
                ],
                "example_id": 5,
                "long_answer_candidates": CANDIDATES,
                "question_text": WHEN,
                "question_tokens": WHEN.split(),
            }
        ),
        one(("in 1874.",), [("Mill", BURNED), ("Mill", BUILT)], [BUILT], "5"),
    ),
    "Natural Questions of the hub": (
        "n.jsonl",
        lines(
            {
                "id": "5",
                "document": {
                    "title": "Mill",
                    "tokens": {"token": TOKENS, "is_html": [token[0] == "<" for token in TOKENS]},
                },
                "question": {"text": WHEN, "tokens": WHEN.split()},
                "long_answer_candidates": columns(CANDIDATES),
                "annotations": {
                    "id": ["1"],
                    "long_answer": [ANNOTATION["long_answer"]],
                    "short_answers": [{"start_token": [15], "end_token": [17], "text": ["x"]}],
                    "yes_no_answer": [-1],
                },
            }
        ),
        one(("in 1874.",), [("Mill", BURNED), ("Mill", BUILT)], [BUILT], "5"),
    ),
    "NarrativeQA of the hub": (
        "n.jsonl",
        lines(
            {
                "document": {
                    "id": "d1",
                    "summary": {"text": BUILT, "tokens": BUILT.split(), "title": "Mill"},
                    "text": "The whole story.",
                },
                "question": {"text": WHEN, "tokens": []},
                "answers": [{"text": "1874", "tokens": []}, {"text": "in 1874", "tokens": []}],
            }
        ),
        one(("1874", "in 1874"), [("Mill", BUILT)], key=None),
    ),
    "DROP": (
        "drop_dataset_dev.json",
        {
            "nfl_1": {
                "passage": BUILT,
                "qa_pairs": [
                    {
                        "question": WHEN,
                        "query_id": "q1",
                        "answer": {**NOTHING, "number": "1874"},
                        "validated_answers": [
                            {**NOTHING, "date": {"day": "", "month": "May", "year": "1874"}}
                        ],
                    },
                    {
                        "question": "Who?",
                        "query_id": "q2",
                        "answer": {**NOTHING, "spans": ["Ann", "Bo"]},
                    },
                ],
                "wiki_url": "u",
            }
        },
        [*one(("1874", "May 1874")), ("q2", "Who?", ("Ann, Bo",), [("", BUILT)], [BUILT])],
    ),
    "DROP of the hub": (
        "d.jsonl",
        lines(
            {
                "section_id": "nfl_1",
                "query_id": "q1",
                "passage": BUILT,
                "question": WHEN,
                "answers_spans": {"spans": ["1874", "1874"], "types": ["number", "number"]},
            }
        ),
        one(),
    ),
    "BoolQ": (
        "b.jsonl",
        lines(
            {"question": WHEN, "title": "Mill", "answer": False, "passage": BUILT},
            {"question": "is it a true story", "title": "Mill", "answer": True, "passage": BUILT},
        ),
        [
            *one(("no",), [("Mill", BUILT)], key=None),
            (None, "is it a true story", ("yes",), [("Mill", BUILT)], [BUILT]),
        ],
    ),
    "BoolQ, as pandas writes it": (
        "b.csv",
        f"question,answer,passage\n{WHEN},True,{BUILT}\n",
        one(("yes",), key=None),
    ),
    "BoolQ of SuperGLUE": (
        "b.jsonl",
        lines({"question": WHEN, "passage": BUILT, "idx": 7, "label": 1}),
        one(("yes",), key="7"),
    ),
    "BoolQ of SuperGLUE, the test": (
        "b.jsonl",
        lines({"question": WHEN, "passage": BUILT, "idx": 7, "label": -1}),
        one(None, key="7"),
    ),
    "columns in Korean": (
        "k.csv",
        f"문항번호,문제,참고문서,모범답안\nq1,{WHEN},{BUILT},1874\n",
        one(),
    ),
    "references": (
        "r.jsonl",
        lines({**ASKED, "references": ["1874", "in 1874"]}),
        one(("1874", "in 1874")),
    ),
    "BoolQ of KoBEST": (
        "b.jsonl",
        lines({"question": WHEN, "paragraph": BUILT, "label": 0}),
        one(("no",), key=None),
    ),
    "QAMPARI with passages": (
        "q.jsonl",
        lines(
            {
                "qid": "q1",
                "question_text": WHEN,
                "context": BUILT,
                "answer_list": [{"answer_text": "1874", "aliases": ["x"]}, {"answer_text": "1910"}],
            }
        ),
        one(("1874, 1910",)),
    ),
    "FinanceBench": (
        "f.jsonl",
        lines({**ROW, "answer": "1874", "evidence": [{"evidence_text": BUILT, "page": 1}]}),
        one(),
    ),
    "RAGTruth": (
        "r.jsonl",
        lines(
            {
                "id": "q1",
                "query": WHEN,
                "context": BUILT,
                "output": "x",
                "model": "m",
                "hallucination_labels": "[]",
            }
        ),
        one(None),
    ),
    "StrategyQA in Korean": (
        "s.json",
        [{"qid": "q1", "question": "타나요?", "answer": True, "facts": [BURNED]}],
        [("q1", "타나요?", ("예",), [("", BURNED)], [BURNED])],
    ),
    "PubMedQA": (
        "ori_pqal.json",
        {
            "q1": {
                "QUESTION": WHEN,
                "CONTEXTS": [BUILT, BURNED],
                "LABELS": ["a", "b"],
                "final_decision": "maybe",
                "LONG_ANSWER": "x",
            }
        },
        one(("maybe",), BOTH),
    ),
    "PubMedQA of the hub": (
        "p.jsonl",
        lines(
            {
                "pubid": 21,
                "question": WHEN,
                "context": {"contexts": [BUILT, BURNED], "labels": ["a", "b"], "meshes": []},
                "long_answer": "x",
                "final_decision": "no",
            }
        ),
        one(("no",), BOTH, key="21"),
    ),
    "BioASQ": (
        "b.json",
        {
            "questions": [
                {
                    "id": kind,
                    "type": kind,
                    "body": WHEN,
                    "documents": ["http://..."],
                    "snippets": [{"text": BUILT, "document": "http://..."}],
                    **answers,
                }
                for kind, answers in (
                    ("factoid", {"exact_answer": [["1874", "in 1874"]], "ideal_answer": ["x"]}),
                    ("list", {"exact_answer": [["Ann", "A."], ["Bo"]], "ideal_answer": ["x"]}),
                    ("summary", {"ideal_answer": ["x", "y"]}),
                )
            ]
        },
        [
            *one(("1874", "in 1874"), key="factoid"),
            *one(("Ann, Bo",), key="list"),
            *one(("x", "y"), key="summary"),
        ],
    ),
    "NewsQA": (
        "combined-newsqa-data-v1.csv",
        "story_id,question,answer_char_ranges,story_text\n"
        f'./cnn/1.story,{WHEN},"26:30|23:30|4:7,8:12|None",{BUILT}\n',
        one(("1874", "in 1874", "old, mill"), key=None),
    ),
    "NewsQA by words": (
        "dev.csv",
        "story_id,story_text,question,answer_token_ranges\n"
        f"./cnn/1.story,{BUILT[:-1]} .,{WHEN},6:7\n",
        one(passages=[("", f"{BUILT[:-1]} .")], gold=[f"{BUILT[:-1]} ."], key=None),
    ),
    "NewsQA as JSON": (
        "combined-newsqa-data-v1.json",
        {
            "data": [
                {
                    "storyId": "./cnn/1.story",
                    "text": BUILT,
                    "questions": [
                        {"q": WHEN, "consensus": {"s": 26, "e": 30}, "answers": []},
                        {"q": "Who?", "consensus": {"noAnswer": True}, "answers": []},
                    ],
                }
            ]
        },
        [*one(key=None), (None, "Who?", (), [("", BUILT)], [BUILT])],
    ),
    "true or false, in so many words": (
        "b.csv",
        f"id,question,answer,passage\nq1,{WHEN} True or false: 1874,True,{BUILT}\n",
        [("q1", f"{WHEN} True or false: 1874", ("True",), [("", BUILT)], [BUILT])],
    ),
    "answers of two systems": (
        "s.csv",
        f"id,question,context,answer1,answer2\nq1,{WHEN},{BUILT},1900,1910\n",
        one(None),
    ),
    "a question in other words": (
        "s.jsonl",
        lines({**ASKED, "questions": ["When did they build it?"], "answers": ["1874"]}),
        one(),
    ),
    "HaluEval": (
        "qa_data.json",
        lines(
            {
                "knowledge": BUILT,
                "question": WHEN,
                "right_answer": "1874",
                "hallucinated_answer": "1900",
            }
        ),
        one(key=None),
    ),
    "SQuAD as a table of spans": (
        "s.csv",
        f"context,question,id,answer_start,text\n{BUILT},{WHEN},q1,26,1874\n{BUILT},Who?,q2,,\n",
        [*one(), ("q2", "Who?", (), [("", BUILT)], [BUILT])],
    ),
    "SciQ": (
        "s.jsonl",
        lines({**ROW, "support": BUILT, "correct_answer": "1874", "distractor1": "1900"}),
        one(),
    ),
    "WikiHop": (
        "w.json",
        [
            {
                "id": "q1",
                "query": WHEN,
                "answer": "1874",
                "candidates": ["1874", "1910"],
                "supports": [BUILT, BURNED],
            }
        ],
        one(passages=BOTH),
    ),
    "Tevatron": (
        "t.jsonl",
        lines(
            {
                "query_id": "q1",
                "query": WHEN,
                "answers": ["1874"],
                "positive_passages": [{"docid": "1", "title": "Mill", "text": BUILT}],
                "negative_passages": [{"docid": "2", "title": "Fire", "text": BURNED}],
            }
        ),
        one(passages=[("Mill", BUILT), ("Fire", BURNED)], gold=[BUILT]),
    ),
    "SearchQA of the hub": (
        "s.jsonl",
        lines(
            {
                "question": WHEN,
                "answer": "1874",
                "search_results": {"snippets": [BUILT, None], "titles": ["Mill", "x"], "urls": []},
            }
        ),
        one(passages=[("Mill", BUILT)], key=None),
    ),
    "CRAG": (
        "c.jsonl",
        lines(
            {
                "query": WHEN,
                "answer": "1874",
                "alt_ans": ["in 1874"],
                "search_results": [
                    {"page_name": "Mill", "page_snippet": BUILT, "page_result": "<html>"},
                    {"page_name": "x", "page_snippet": "", "page_result": "<html>"},
                ],
            }
        ),
        one(("1874", "in 1874"), [("Mill", BUILT)], key=None),
    ),
    "ALCE": (
        "a.json",
        [{**ROW, "answer": "1874", "docs": [{"title": "Mill", "text": BUILT, "id": "3"}]}],
        one(passages=[("Mill", BUILT)]),
    ),
    "RAGChecker": (
        "r.json",
        {
            "results": [
                {
                    "query_id": "q1",
                    "query": WHEN,
                    "gt_answer": "1874",
                    "response": "1900",
                    "retrieved_context": [{"doc_id": "1", "text": BUILT}],
                }
            ]
        },
        one(gold=[]),
    ),
    "Dolly": (
        "d.jsonl",
        lines({"instruction": WHEN, "context": BUILT, "response": "1874", "category": "x"}),
        one(key=None),
    ),
    "HotpotQA in texts": (
        "h.jsonl",
        lines(
            {
                "_id": "q1",
                "question": WHEN,
                "answer": "1874",
                "context": json.dumps([["Mill", [BUILT]], ["Fire", [BURNED]]]),
                "supporting_facts": json.dumps([["Mill", 0]]),
            }
        ),
        one(passages=[("Mill", BUILT), ("Fire", BURNED)], gold=[BUILT]),
    ),
}
# Only questions: their references, without passages.
QUESTIONS_ALONE: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "NQ-open": ("n.jsonl", lines({"question": WHEN, "answer": ["1874", "in 1874"]}),
        ("1874", "in 1874")),
    "NarrativeQA": ("qaps.csv",
        "document_id,set,question,answer1,answer2,question_tokenized\n"
         f"d1,test,{WHEN},1874,in 1874,{WHEN}\n", ("1874", "in 1874")),
    "FreshQA": ("f.csv", f"id,question,effective_year,answer_0,answer_1\n1,{WHEN},2022,1874,\n",
        ("1874",)),
    "a label that is a type": ("l.jsonl",
        lines({"question": WHEN, "answer": "1874", "label": "bridge"}), ("1874",)),
    "SimpleQA": ("s.csv", f"metadata,problem,answer\n{{}},{WHEN},1874\n", ("1874",)),
    "TruthfulQA": ("t.csv", f"Question,Best Answer,Correct Answers\n{WHEN},1874,1874; in 1874\n",
        ("1874", "in 1874")),
    "ELI5": ("e.jsonl",
        lines({"q_id": "x", "title": WHEN, "selftext": "", "answers": {"text": ["1874"]}}),
        ("1874",)),
    "QReCC": ("q.json",
        [{"Context": ["a", "b"], "Question": "It?", "Rewrite": WHEN, "Answer": "1874",
            "Conversation_no": 1}], ("1874",)),
    "TriviaQA, unfiltered": ("t.jsonl",
        lines({"question": WHEN, "question_source": "x",
            "entity_pages": {"title": [], "wiki_context": []},
            "search_results": {"title": [], "search_context": []},
            "answer": {"value": "1874", "aliases": ["in 1874"]}}), ("1874", "in 1874")),
}  # fmt: skip
