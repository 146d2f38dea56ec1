import base64
import hashlib
import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aqa.errors import RunError
from aqa.evaluation.inputs import Scoring
from aqa.evaluation.report import write_report
from aqa.evaluation.report.examples import BLOCK, Library, rows, script_json
from aqa.evaluation.results import Report
from aqa.evaluation.scoring import evaluate
from aqa.progress import SilentProgress
from aqa.records import Example, Passage


def blocks(page: str, opening: str) -> list[str]:
    return re.findall(rf"<{opening}>(.*?)</script>", page, re.DOTALL)


@pytest.mark.parametrize(
    "text", ["</script>", "<!--<script>", "a & b &lt;", "\u2028\u2029", '"\\', "가", "\x00"]
)
def test_json_for_a_script_element(text: str) -> None:
    written = script_json({text: [text]})
    assert not re.search("[<>&\u2028\u2029]", written)
    assert json.loads(written) == {text: [text]}


def test_the_page_allows_its_own_script_and_style_alone(capitals: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", capitals)
    page = (tmp_path / "report.html").read_text("utf-8")
    (policy,) = re.findall('Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.split(" ", 1) for rule in policy.replace("&#39;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for kind in ("script", "style"):
        (text,) = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    markup = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"\s(style|on\w+|src)=|href=\"(?!#)", markup)


def test_the_same_evaluation_gives_the_same_page(capitals: Report, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(tmp_path / name, capitals)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_no_path_of_this_machine_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("x\ny\n", encoding="utf-8")
    data = [Example(key, "?", (), ("x",)) for key in ("q", "r")]
    report = evaluate([file], data, Scoring(["em"]), SilentProgress())
    assert any(str(tmp_path) in warning for warning in report.warnings)
    write_report(tmp_path / "report.html", report, data)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert '<p class="warning">lines.txt: ' in page
    assert str(tmp_path) not in page


def test_system_names_are_escaped(score: Callable[..., Report], tmp_path: Path) -> None:
    name = "<b>&'\""
    report = score({name: {"q": "x"}, "other": {"q": "y"}}, [Example("q", "?", (), ("x",))])
    write_report(tmp_path / "report.html", report, None, "<i>data")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<b>" not in page
    assert "<i>data" not in page
    assert "&lt;b&gt;" in page


def test_nothing_is_left_where_writing_fails(capitals: Report, tmp_path: Path) -> None:
    def broken() -> Iterator[Example]:
        yield Example("q1", "?", ())
        raise RunError("the data went away")

    with pytest.raises(RunError, match="went away"):
        write_report(tmp_path / "report.html", capitals, broken())
    assert not list(tmp_path.glob("*report*"))
    with pytest.raises(RunError, match="can't write there"):
        write_report(tmp_path / "missing" / "report.html", capitals)


def test_passages_stand_once_in_blocks(capitals: Report) -> None:
    shared = Passage("shared", "S", "d1", 2.0, 1)
    examples = [
        Example(key, f"{key}?", (shared, Passage(f"own {key}", rank=2)))
        for key in (*capitals.ids, *(f"more{n}" for n in range(BLOCK)))
    ]
    library = Library()
    wanted = [example.id for example in examples]
    given = [json.loads(block) for block in library.blocks(examples, wanted)]
    assert [len(block) for block in given] == [BLOCK, len(examples) + 1 - BLOCK]
    assert given[0][:2] == [["S", "shared"], ["", "own q1"]]
    assert library.passages["q2"] == [
        {"place": 0, "rank": 1, "id": "d1", "score": 2.0},
        {"place": 2, "rank": 2},
    ]


def test_examples_that_are_not_scored_are_left_out() -> None:
    library = Library()
    unwanted = Example("other", "?", (Passage("x"),))
    assert list(library.blocks([unwanted], ["q"])) == []
    assert library.questions == {}


def test_gold_passages_beside_retrieved_ones() -> None:
    found, gold = Passage("found", rank=1), Passage("gold")
    example = Example("q", "?", (found,), own_passages=(gold, found))
    library = Library()
    assert json.loads(next(library.blocks([example], ["q"]))) == [["", "found"], ["", "gold"]]
    assert library.passages["q"] == [{"place": 0, "rank": 1}, {"place": 1, "gold": True}]


PLACES = [{"place": 0, "rank": 1, "id": "d7"}, {"place": 1, "rank": 2, "id": "d9"}]


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (
            {"ranks": [2, 1], "ids": ["d9", "d7"], "characters": 9, "gold_in_evidence": True},
            {"characters": 9, "gold": True, "read": 2, "ranks": [2, 1]},
        ),
        ({"ranks": [1]}, {"read": 1, "ranks": [1]}),
        ({"ranks": [1], "ids": ["other"]}, {"read": 1}),  # other passages with the same ranks
        ({"ranks": [7]}, {"read": 1}),
        ({"gold_in_evidence": None}, {}),
    ],
)
def test_what_a_reader_saw(
    score: Callable[..., Report], evidence: dict[str, Any], told: dict[str, Any]
) -> None:
    answers = {"a": {"q": {"predicted_answer": "x", "answers": ["x"], "evidence": evidence}}}
    report = score(answers, [Example("q", "?", (), ("x",))])
    library = Library({"q": "Which?"}, {"q": PLACES})
    (row,) = map(json.loads, rows(report, library, [{}] * len(report.systems)))
    assert row.get("evidence", [{}]) == [told]
    assert row["question"] == "Which?"


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"confidence": 1}, {"confidence": [1]}),
        ({"confidence": float("1e999")}, {}),
        ({"confidence": "high"}, {}),
        ({"evidence": {"ranks": [1], "ids": 5}}, {"evidence": [{"read": 1}]}),
        ({"evidence": {"characters": float("1e999")}}, {}),
        ({"evidence": "none"}, {}),
    ],
)
def test_columns_of_other_tools(
    columns: dict[str, Any], told: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps({"q": {"predicted_answer": "x", **columns}}).replace("Infinity", "1e999"),
        encoding="utf-8",
    )
    report = evaluate(
        [tmp_path / "a.json"], [Example("q", "?", (), ("x",))], Scoring(["em"]), SilentProgress()
    )
    (row,) = map(json.loads, rows(report, Library(), [{}] * len(report.systems)))
    assert {name: row[name] for name in ("confidence", "evidence") if name in row} == told


def test_a_question_of_the_predictions_file(score: Callable[..., Report]) -> None:
    answers = {"a": {"q": {"predicted_answer": "x", "question": "Theirs?", "confidence": 0.25}}}
    report = score(answers, [Example("q", "?", (), ("x",))])
    (row,) = map(json.loads, rows(report, Library(), [{}] * len(report.systems)))
    assert (row["question"], row["confidence"]) == ("Theirs?", [0.25])
    assert row.keys().isdisjoint({"passages", "evidence"})


def test_passages_are_written_as_they_are_read(capitals: Report, tmp_path: Path) -> None:
    def examples() -> Iterator[Example]:
        for n in range(3000):
            key = capitals.ids[n % 4]
            yield Example(key, "?", (Passage(f"{n} " + "long " * 2000),))

    tracemalloc.start()
    write_report(tmp_path / "report.html", capitals, examples())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "report.html").stat().st_size > 30e6
    assert peak < 16e6


# The command


def write_inputs(folder: Path) -> None:
    data = [{"id": "q1", "question": "Where?", "answers": ["Paris"], "context": "In Paris."}]
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "a.json").write_text('{"q1": "Paris"}')
    retrieved = {"id": "q1", "passages": [{"id": "d5", "text": "It is in Lyon.", "score": 2}]}
    (folder / "found.jsonl").write_text(json.dumps(retrieved))


def test_the_command(call_aqa: Callable, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    words = ["evaluate", "a.json", "--data", "data.json", "--report", "report.html"]
    done = call_aqa(*words, "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["n"] == 1
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "data.json" in page
    (passages,) = blocks(page, 'script type="application/json" class="passages"')
    assert json.loads(passages) == [["", "In Paris."]]
    assert "report: report.html" in call_aqa(*words).stdout.replace("\n", " ")


def test_the_command_with_retrieved_passages(call_aqa: Callable, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    words = "evaluate a.json --data data.json --passages found.jsonl --report report.html"
    call_aqa(*words.split(), code=0)
    page = (tmp_path / "report.html").read_text("utf-8")
    (passages,) = blocks(page, 'script type="application/json" class="passages"')
    assert json.loads(passages) == [["", "It is in Lyon."], ["", "In Paris."]]


def test_passages_without_a_report_are_refused(call_aqa: Callable, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    done = call_aqa(
        "evaluate", "a.json", "--data", "data.json", "--passages", "found.jsonl", code=2
    )
    assert "--report" in done.stderr
    assert not (tmp_path / "metrics.json").exists()


def test_a_report_that_cant_be_written(call_aqa: Callable, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    done = call_aqa(
        "evaluate", "a.json", "--data", "data.json", "--report", "missing/report.html", code=1
    )
    assert "there is no folder missing; make it first" in done.stderr
    assert not (tmp_path / "metrics.json").exists()
