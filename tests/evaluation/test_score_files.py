import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from calls import Call

from aqa.cli.score_tables import show_report
from aqa.errors import RunError, ScoreError, UsageError
from aqa.evaluation.inputs import Scoring
from aqa.evaluation.long_table import long_table
from aqa.evaluation.results import Report
from aqa.evaluation.score_files import (
    check_limit_names,
    check_limits,
    check_places,
    parse_limits,
    write_per_example,
)
from aqa.evaluation.scoring import evaluate
from aqa.evaluation.tables import wide_table
from aqa.metrics import possible_scores
from aqa.progress import SilentProgress
from aqa.records import Example
from aqa.tables import Column, Row, Table
from aqa.tables.forms import latex_escape, to_csv, to_latex, to_markdown


@pytest.fixture
def report(tmp_path: Path) -> Report:
    (tmp_path / "a_1&b.json").write_text('{"q1": "Paris", "q2": "old Rome"}', encoding="utf-8")
    (tmp_path / "=b|c.json").write_text('{"q1": "서울 tower"}', encoding="utf-8")
    data = [Example("q1", "?", (), ("Paris",)), Example("q2", "?", (), ("Rome", "roma"))]
    files = [tmp_path / "a_1&b.json", tmp_path / "=b|c.json"]
    return evaluate(files, data, Scoring(["em", "f1"], slices=["answer_length"]), SilentProgress())


def test_per_example(report: Report, tmp_path: Path) -> None:
    write_per_example(tmp_path / "scores.jsonl", report)
    lines = (tmp_path / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "id": "q1",
            "references": ["Paris"],
            "systems": {
                "a_1&b": {
                    "prediction": "Paris",
                    "scores": {"em": 100.0, "f1": 100.0},
                    "category": "exact",
                },
                "=b|c": {
                    "prediction": "서울 tower",
                    "scores": {"em": 0.0, "f1": 0.0},
                    "category": "wrong",
                },
            },
            "disagreement": 100.0,
        },
        {
            "id": "q2",
            "references": ["Rome", "roma"],
            "systems": {
                "a_1&b": {
                    "prediction": "old Rome",
                    "scores": {"em": 0.0, "f1": pytest.approx(200 / 3)},
                    "category": "extra_words",
                },
                "=b|c": {"scores": {"em": 0.0, "f1": 0.0}, "category": "missing"},
            },
            "disagreement": pytest.approx(200 / 3),
        },
    ]


def test_csv(report: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(long_table(report)))))
    table = [row for row in lines if not row["minus"]]
    rows = [row for row in table if not row["slice"]]
    assert [row["system"] for row in rows] == ["a_1&b", "a_1&b", "'=b|c", "'=b|c"]
    assert float(rows[1]["value"]) == pytest.approx((100 + 200 / 3) / 2)
    assert (rows[2]["n"], rows[2]["missing"]) == ("2", "1")
    parts = [row for row in table if row["slice"]]
    assert {(row["slice"], row["group"], row["n"]) for row in parts} == {
        ("answer_length", "1-5", "2")
    }
    assert [row["value"] for row in parts] == [row["value"] for row in rows]
    differences = [row for row in lines if row["minus"]]
    assert [(row["system"], row["minus"]) for row in differences] == [("'=b|c", "a_1&b")] * 4
    assert [row["metric"] for row in differences] == ["em", "f1"] * 2
    assert [row["group"] for row in differences] == ["", "", "1-5", "1-5"]
    assert [float(row["value"]) for row in differences[:2]] == pytest.approx([-50, -250 / 3])
    assert [row["p_holm"] for row in differences[:2]] == ["1.0", "0.5"]
    assert [row["value"] for row in differences[:2]] == [row["value"] for row in differences[2:]]


def test_csv_names_groups_as_the_data_do_but_for_formulas(report: Report) -> None:
    first = replace(
        report.systems[0],
        slices={"kind": {"=1+1": {"n": 1, "em": {"value": 100.0, "low": 100.0, "high": 100.0}}}},
    )
    alone = replace(report, systems=(first,), comparisons=(), slice_comparisons={})
    table = to_csv(long_table(alone))
    assert table.splitlines()[-1] == "a_1&b,em,100.0,100.0,100.0,1,,,kind,'=1+1,,,"


def test_markdown(report: Report) -> None:
    table, _, notes = to_markdown(wide_table(report)).partition("\n\n")
    first, lost, signature, _ = notes.replace(r"\|", "|").splitlines()
    assert (first, lost) == ("- 2 questions, 95 % intervals", "- =b|c: missing 1, failed 0")
    assert signature.startswith("- em|profile:squad|refs:max|v:")  # what is so of both
    assert table.splitlines() == [
        "| system | em | f1 |",
        "| --- | ---: | ---: |",
        r"| a\_1\&b | 50.00 (9.5–90.5) | 83.33 (24.1–98.6) |",
        r"| =b\|c | 0.00 (0.0–65.8) | 0.00 (0.0–65.8) |",
    ]


def test_latex(report: Report) -> None:
    written = to_latex(wide_table(report)).splitlines()
    assert written[8] == "% 2 questions, 95 % intervals"
    assert written[9] == "% =b|c: missing 1, failed 0"
    assert written[10].startswith("% em|profile:squad|refs:max|v:")
    assert written[:8] == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"system & em & f1 \\",
        r"\midrule",
        r"a\_1\&b & 50.00 (9.5--90.5) & 83.33 (24.1--98.6) \\",
        r"=b\textbar{}c & 0.00 (0.0--65.8) & 0.00 (0.0--65.8) \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert latex_escape(r"\^~{50 %}") == (
        r"\textbackslash{}\textasciicircum{}\textasciitilde{}\{50 \%\}"
    )


def test_hangul_in_latex_says_what_it_needs() -> None:
    table = Table([Column("system")], [Row(["김 구"])])
    assert "% Hangul needs \\usepackage{kotex}" in to_latex(table)
    assert "%" not in to_latex(Table([Column("system")], [Row(["Kim Gu"])]))


def test_limits(report: Report) -> None:
    check_limits(parse_limits(["em=0", "f1=0"]), report)
    with pytest.raises(ScoreError) as error:
        check_limits(parse_limits(["em=60", " f1 =70"]), report)
    assert error.value.exit_code == 4
    assert str(error.value) == (
        "a_1&b: em 50.00 is under 60; =b|c: em 0.00 is under 60; =b|c: f1 0.00 is under 70"
    )
    with pytest.raises(UsageError, match="f2: there is no such score; the scores are em, "):
        check_limit_names({"f2": 1}, report.systems[0].scores)
    check_limit_names({"f2": 1}, None)


@pytest.mark.parametrize(
    ("words", "limit", "refused"),
    [
        ((), "jugde", True),
        ((), "bleu", False),
        ((), "rouge_w", False),  # instead of f1 in the profile klue-mrc
        (("em", "judge"), "jugde", True),
        (("em", "judge"), "f1", True),
        (("em", "f1"), "rouge_w", False),
        (("em", "hf:mine"), "anything", False),
        (("evidence",), "evidence", True),
    ],
)
def test_limits_of_scores_that_can_not_come_are_refused_before_scoring(
    words: tuple[str, ...], limit: str, refused: bool
) -> None:
    known = possible_scores(words)
    if not refused:
        check_limit_names({limit: 1}, known)
        return
    with pytest.raises(UsageError, match=f"--fail-under {limit}: there is no such score"):
        check_limit_names({limit: 1}, known)


def test_a_score_at_its_limit_is_not_under_it(report: Report) -> None:
    first = report.systems[0]
    score = replace(first.scores["em"], value=69.99999999999999)
    met = replace(report, systems=(replace(first, scores={"em": score}),))
    check_limits({"em": 70}, met)
    missed = replace(first, scores={"em": replace(score, value=69.99996)})
    with pytest.raises(ScoreError, match=r"a_1&b: em 69\.99996 is under 70"):
        check_limits({"em": 70}, replace(report, systems=(missed,)))


@pytest.mark.parametrize(
    ("flag", "name", "message"),
    [
        ("--report", "gone/r.html", "there is no folder .*gone; make it first"),
        ("--per-example", "gone/p.jsonl", "there is no folder .*gone; make it first"),
        ("--output", "gone/m.json", "there is no folder .*gone; make it first"),
        ("--report", "", "that is a folder; name a file in it"),
        ("--report", "metrics.json", "would overwrite --output"),
        ("--per-example", "a.json", r"would overwrite .*a\.json; name another file"),
        ("--output", "data.json", r"would overwrite .*data\.json; name another file"),
        ("--fail-under", "rouge9=3", "there is no such score"),
    ],
)
def test_nothing_is_written_where_one_place_is_none(
    flag: str, name: str, message: str, call_aqa: Call, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text('{"q1": "Paris"}', encoding="utf-8")
    rows = [{"id": "q1", "question": "?", "answers": ["Paris"]}]
    (tmp_path / "data.json").write_text(json.dumps(rows), encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    value = name if flag == "--fail-under" else str(tmp_path / name)
    found = call_aqa(
        "evaluate", str(tmp_path / "a.json"), "--data", str(tmp_path / "data.json"), flag, value
    )
    assert found.returncode == (2 if flag == "--fail-under" else 1)
    assert re.search(message, " ".join(found.stderr.split()))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("word", ["f1", "=70", "f1=much", "f1=nan", "f1=101", "f1=-1"])
def test_limits_that_are_none(word: str) -> None:
    with pytest.raises(UsageError, match=r"--fail-under .*: write a score"):
        parse_limits([word])


def test_several_forms_stand_below_each_other(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = {}
    for form in ("csv", "markdown", "latex"):
        show_report(report, [form])
        alone[form] = capsys.readouterr().out
    show_report(report, ["csv", "latex"])
    assert capsys.readouterr().out == f"{alone['csv']}\n{alone['latex']}"
    assert len(set(alone.values())) == 3


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "latex"])
def test_forms(
    report: Report, form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show_report(report, [] if form == "table" else [form])
    shown = capsys.readouterr().out
    if form == "json":
        assert json.loads(shown) == json.loads(json.dumps(report.to_json()))
    elif form == "table":
        assert max(map(len, shown.splitlines()[:30])) <= 80
        assert "Abstention" not in shown
        for words in (
            "by answer_length",
            "Answers",
            "Disagreement: 2",
            "Differences, b - a",
            "Differences by answer_length, b - a",
            "2 questions can show no difference",
        ):
            assert words in shown
    assert shown.count("\n") > 3


def test_abstention_and_confidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = {
        "q1": {"predicted_answer": "Paris", "answers": ["Paris"], "confidence": -0.1},
        "q2": {"predicted_answer": "", "answers": [], "confidence": -0.3},
        "q3": {"predicted_answer": "", "answers": ["Rome"], "confidence": -0.2},
        "q4": {"predicted_answer": "Oslo", "answers": ["Oslo"], "confidence": -0.4},
    }
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    show_report(evaluate([tmp_path / "a.json"], None, Scoring(["em"]), SilentProgress()))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "│ a │ 50.0 of 2 (9.5 to 90.5) │ 100.0 of 1 (20.7 to 100.0) │" in lines
    # Most confident first: right, wrong, right, right.
    assert "│ a │ 4 │ 0.0 │ 50.0 │ 33.3 │ 25.0 │ 27.1 │ 6.2 │" in lines


def test_many_systems_in_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every pair is in the table, but in words only for the most informative score."""
    monkeypatch.setenv("COLUMNS", "80")
    files = [tmp_path / f"{name}.json" for name in "abcd"]
    for file in files:
        file.write_text('{"q1": "Paris"}', encoding="utf-8")
    data = [Example("q1", "?", (), ("Paris",))]
    scoring = Scoring(["em", "f1", "rougeL", "chrf"], slices=["answer_length"])
    report = evaluate(files, data, scoring, SilentProgress())
    show_report(report)
    shown = capsys.readouterr().out
    assert "1 example, profile squad" in shown
    assert max(len(line) for line in shown.splitlines() if line[:1] in "│┃┏┡└") <= 80
    assert shown.count("told apart by F1") == 6 == shown.count("can't be told apart")
    assert len(report.comparisons) == 24
    (group,) = [line for line in shown.splitlines() if line.startswith("│ 1-5")][:1]
    assert group.split() == ["│", "1-5", "│", "1", *["│", "100.0"] * 4, "│"]


def test_one_system_is_compared_with_none(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = replace(report, systems=report.systems[:1], comparisons=(), slice_comparisons={})
    show_report(alone)
    assert "Differences" not in capsys.readouterr().out


def test_a_dozen_systems_keep_their_words_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    files = [tmp_path / f"reader-number-{place}.json" for place in range(12)]
    for file in files:
        file.write_text('{"q1": "Rome"}', encoding="utf-8")
    data = [Example("q1", "?", (), ("Paris",))]
    show_report(evaluate(files, data, Scoring(["em"], baseline=files[0].stem), SilentProgress()))
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines() if line[:1] in "│┃┏┡└") <= 80
    assert shown.count("│ wrong; the file does ") == 3


@pytest.mark.parametrize("name", ["predictions.json", "predictions.jsonl", "run.json"])
@pytest.mark.parametrize("read", ["run", "run/predictions.json"])
def test_what_a_run_is_made_of_is_not_written_over(
    name: str, read: str, call_aqa: Call, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    row = '{"q1": {"predicted_answer": "Paris", "answers": ["Paris"]}}'
    (tmp_path / "run/predictions.json").write_text(row, encoding="utf-8")
    (tmp_path / "run/run.json").write_text('{"status": "done"}', encoding="utf-8")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    found = call_aqa("evaluate", read, "--output", f"run/{name}", code=1)
    assert f"--output run/{name} would overwrite" in found.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize(
    "content",
    ['{"eval_exact_match": 81.2, "eval_f1": 88.0}', "[1, 2]", "em: 81.2\n", "[" * 100_000],
)
@pytest.mark.parametrize(
    "words", [[], ["--output", "metrics.json"], ["--choose-threshold", "risk=50"]]
)
def test_metrics_of_another_tool_are_not_written_over(
    content: str, words: list[str], call_aqa: Call, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(
        '{"q1": {"predicted_answer": "Paris", "answers": ["Paris"]}}', encoding="utf-8"
    )
    (tmp_path / "metrics.json").write_text(content, encoding="utf-8")
    found = call_aqa("evaluate", "a.json", *words, code=1)
    assert "metrics.json would be overwritten, and holds no scores" in found.stderr
    assert "name another file with --output" in found.stderr
    assert (tmp_path / "metrics.json").read_text(encoding="utf-8") == content
    call_aqa("evaluate", "a.json", "--output", "own.json", code=0)
    call_aqa("evaluate", "a.json", "--output", "own.json", code=0)  # ours
    (tmp_path / "metrics.json").write_bytes(b"")  # as created by mktemp
    call_aqa("evaluate", "a.json", code=0)


@pytest.mark.parametrize(
    ("flag", "what"), [("--report", "report"), ("--per-example", "scores of examples")]
)
@pytest.mark.parametrize("content", ["<p>mine</p>\n", '{"id": "1"}\n', '{"version": 1}'])
def test_files_of_another_program_are_not_written_over(
    flag: str, what: str, content: str, call_aqa: Call, tmp_path: Path
) -> None:
    row = '{"q1": {"predicted_answer": "Paris", "answers": ["Paris"]}}'
    (tmp_path / "a.json").write_text(row, encoding="utf-8")
    (tmp_path / "theirs").write_text(content, encoding="utf-8")
    told = " ".join(call_aqa("evaluate", "a.json", flag, "theirs", code=1).stderr.split())
    assert f"theirs would be overwritten, and holds no {what} by" in told
    assert f"name another file with {flag}" in told
    assert (tmp_path / "theirs").read_text(encoding="utf-8") == content
    assert not (tmp_path / "metrics.json").exists()
    (tmp_path / "own").touch()
    call_aqa("evaluate", "a.json", flag, "own", code=0)
    call_aqa("evaluate", "a.json", flag, "own", code=0)  # ours


def test_what_was_written_where_is_told(call_aqa: Call, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"q1": {"predicted_answer": "Paris", "answers": ["Paris"]}}', encoding="utf-8"
    )
    words = ["evaluate", "a.json", "--report", "r.html", "--per-example", "e.jsonl"]
    told = "scores: metrics.json\nreport: r.html\nper example: e.jsonl\n"
    assert call_aqa(*words).stdout.endswith(told)
    as_json = call_aqa(*words, "--json")
    assert as_json.stderr.endswith(told)
    assert json.loads(as_json.stdout)["n"] == 1
    assert call_aqa(*words, "--json", "--quiet").stderr == ""


RAW = "Answer: Paris\nIt is the capital."


def test_raw_texts_of_a_run_are_cleaned_again(call_aqa: Call, tmp_path: Path) -> None:
    rows = {
        "q1": {"predicted_answer": "Paris", "answers": ["Paris It is the capital"], "raw": RAW},
        "q2": {"predicted_answer": "", "answers": [], "raw": "None.\nNo.", "abstained": True},
        "q3": {
            "predicted_answer": "Rome",
            "answers": ["Rome on the Tiber"],
            "raw": json.dumps({"answer": "Rome\non the Tiber", "passages": [1]}),
            "evidence": {"named_ranks": [1]},
        },
    }
    (tmp_path / "predictions.json").write_text(json.dumps(rows), encoding="utf-8")

    def exact(*words: str) -> list[float]:
        found = call_aqa("evaluate", *words, "--json", "--metrics", "em")
        return [system["scores"]["em"]["value"] for system in json.loads(found.stdout)["systems"]]

    assert exact(".") == exact(".", "--answer", "line") == [pytest.approx(100 / 3)]
    assert exact(".", "--answer", "text") == [100.0]
    plain = {"q1": RAW, "q2": "", "q3": "<think>?</think>Rome\non the Tiber"}
    (tmp_path / "plain.json").write_text(json.dumps(plain), encoding="utf-8")
    assert exact(".", "plain.json", "--answer", "text") == [100.0, 100.0]
    told = call_aqa("evaluate", ".", "plain.json", "--answer", "text").stderr
    assert "plain: it has no raw texts, so its stored answers are cleaned" in told


def test_a_place_without_permission_is_told_before_anything_is_scored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Not by the folder's mode, since root may write anywhere.
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path)
    with pytest.raises(RunError, match=r"--output .*metrics\.json: no permission to write there"):
        check_places({"--output": tmp_path / "metrics.json"}, [tmp_path / "a.json"])
    check_places({"--output": Path("/dev/null")}, [tmp_path / "a.json"])


@pytest.mark.parametrize("name", ["circle", "circle.json"])
def test_links_in_a_circle_are_no_predictions(name: str, call_aqa: Call, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to(name)
    found = call_aqa("evaluate", tmp_path / name, code=1)
    assert "can't be read (Too many levels of symbolic links)" in found.stderr


def test_a_link_is_followed_before_anything_is_scored(tmp_path: Path) -> None:
    """Circular links contain nothing, so a file replaces them."""
    circle, stray = tmp_path / "circle.html", tmp_path / "stray.html"
    circle.symlink_to(circle.name)
    stray.symlink_to(tmp_path / "none" / "report.html")
    check_places({"--report": circle}, [circle.with_name("a.json")])
    with pytest.raises(RunError, match=r"--report .*: there is no folder .*none; make it first"):
        check_places({"--report": stray}, [])
    with pytest.raises(RunError, match=r"--report .* would overwrite"):
        check_places({"--report": circle}, [circle])


def test_one_limit_a_score() -> None:
    assert parse_limits(["f1=70", "f1=70.0"]) == {"f1": 70}
    with pytest.raises(UsageError, match="--fail-under f1=10: f1 has another limit, too"):
        parse_limits(["f1=70", "f1=10"])


def test_names_that_begin_like_an_option_of_latex() -> None:
    # \\[x] would be read as the height of the preceding line break, \\* as its variant.
    assert latex_escape("[x] *<a|b>") == (r"{[}x{]} {*}\textless{}a\textbar{}b\textgreater{}")


def test_answers_that_are_long_or_blank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "long.json").write_text(json.dumps({"q1": "Rome " * 50}), encoding="utf-8")
    (tmp_path / "blank.json").write_text('{"q1": "\\t "}', encoding="utf-8")
    data = [Example("q1", "?", (), ("Rome",))]
    files = [tmp_path / "long.json", tmp_path / "blank.json"]
    show_report(evaluate(files, data, Scoring(["em", "f1"]), SilentProgress()))
    shown = capsys.readouterr().out
    assert f"{'Rome ' * 40}…" in shown
    assert r'"\t "' in shown
