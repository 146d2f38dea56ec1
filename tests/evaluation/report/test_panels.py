from dataclasses import replace

import pytest

from aqa.evaluation.comparison import Comparison
from aqa.evaluation.mistakes import CATEGORIES
from aqa.evaluation.report.headline import finding, primary_score, shown_cell
from aqa.evaluation.report.panels import (
    SHORT_CATEGORIES,
    Panel,
    difference_panels,
    mistake_bars,
    mistake_kinds,
    score_panels,
    slice_panels,
)
from aqa.evaluation.results import Report, SystemScores
from aqa.records import Score


def system(name: str, f1: float, **more: object) -> SystemScores:
    scores = {
        key: Score(key, value, f"{key}|v:1", (value,), value - 2, value + 2)
        for key, value in (("em", f1 - 10), ("f1", f1))
    }
    groups = {"has_answer": {"n": 1, "em": f1, "f1": f1}, "no_answer": {"n": 0}}
    return replace(SystemScores(name, f"{name}.json", 0, 0, scores, groups), **more)


def pair(a: str, b: str, difference: float, p: float = 0.001) -> Comparison:
    low, high = difference - 1, difference + 1
    return Comparison(a, b, "f1", difference, low, high, p, p, "sign-flip", 5, 3, 2, 3.0)


def heads(panel: Panel) -> list[str]:
    return [column.name for column in panel.table.columns]


def shown_rows(panel: Panel) -> list[list[str]]:
    return [list(map(shown_cell, row.cells)) for row in panel.table.rows]


def report(*systems: SystemScores, comparisons: tuple[Comparison, ...] = ()) -> Report:
    return Report("squad", ("q",) * 10, systems, (), comparisons)


A, B, C = system("a", 60.0), system("b", 64.0), system("c-d", 62.5)


@pytest.mark.parametrize(
    ("found", "headline", "margin"),
    [
        (report(A), "a reaches 60.0 F1", ""),
        (
            report(A, B, comparisons=(pair("a", "b", 4),)),
            "b answers best: 64.0 F1",
            "+4.0 against a (95 %: 3.0 to 5.0)",
        ),
        (
            report(B, A, comparisons=(pair("b", "a", -4),)),
            "b answers best: 64.0 F1",
            "+4.0 against a (95 %: 3.0 to 5.0)",
        ),
        (
            report(A, B, C, comparisons=(pair("a", "b", 4), pair("b", "c-d", -0.5, p=0.4))),
            "b and c-d can’t be told apart by F1",
            "+0.5 against c-d (95 %: −0.5 to 1.5); +4.0 against a (95 %: 3.0 to 5.0)",
        ),
        (
            report(A, B, C, comparisons=(pair("a", "b", 4, p=0.5), pair("b", "c-d", -0.5, p=0.5))),
            "b, a and c-d can’t be told apart by F1",
            "+0.5 against c-d (95 %: −0.5 to 1.5); +4.0 against a (95 %: 3.0 to 5.0, yet p (Holm)"
            " is 0.5000)",
        ),
        (  # compared only with the baseline a, so nothing is known about b and c
            report(A, B, C, comparisons=(pair("a", "b", 4), pair("a", "c-d", 2.5))),
            "b scores highest: 64.0 F1",
            "+4.0 against a (95 %: 3.0 to 5.0)",
        ),
        (report(A, B, system("d", 64.0)), "b and d score highest: 64.0 F1", ""),
    ],
)
def test_the_finding(found: Report, headline: str, margin: str) -> None:
    assert finding(found) == (headline, margin)


def test_the_primary_score() -> None:
    assert primary_score(report(A)) == "f1"
    assert primary_score(report(replace(A, scores={"em": A.scores["em"]}))) == "em"


def test_score_panels() -> None:
    em, f1 = score_panels(report(A, B))
    assert (em.table.title, f1.table.title) == ("EM", "F1")
    assert heads(f1) == ["system", "score (95 %)"]
    assert shown_rows(f1) == [["a", "60.00 (58.0 to 62.0)"], ["b", "64.00 (62.0 to 66.0)"]]
    assert [plot.count(f"dot s{place}") for place, plot in enumerate(f1.plots)] == [1, 1]


def test_unanswerable_questions_have_columns_of_their_own() -> None:
    groups = {"has_answer": {"n": 1, "em": 10.0, "f1": 20.0}, "no_answer": {"n": 2, "em": 75.0}}
    em, f1 = score_panels(report(replace(A, groups=groups)))
    assert heads(em)[2:] == ["HasAns", "NoAns"]
    assert shown_rows(em)[0][2:] == ["10.00", "75.00"]
    assert shown_rows(f1)[0][2:] == ["20.00", ""]


def test_difference_panels() -> None:
    compared = (pair("b", "c-d", -0.5, p=0.4), pair("b", "a", -4, p=1e-9))
    (panel,) = difference_panels({"": compared})
    close, far = shown_rows(panel)
    assert close == ["c-d − b", "−0.50 (−1.5 to 0.5)", "0.4000", "5 / 3 / 2", "3.0"]
    assert far[2] == "< 0.0001"
    assert ["hollow" in plot for plot in panel.plots] == [True, False]
    assert all('class="band"' in plot for plot in panel.plots)


def test_slices_differ_between_systems() -> None:
    def group(n: int, value: float) -> dict[str, object]:
        scores = {"value": value, "low": value - 1, "high": value + 1}
        return {"n": n, "em": scores, "f1": scores}

    first = replace(A, slices={"evidence_length": {"1-500": group(4, 50), "unknown": group(6, 9)}})
    second = replace(B, slices={"evidence_length": {"1-500": group(1000, 70)}})
    em, _ = slice_panels(report(first, second))["evidence_length"]
    assert heads(em) == ["evidence length", "n", "a", "b"]
    assert shown_rows(em) == [
        ["1-500", "4 / 1,000", "50.0", "70.0"],
        ["unknown", "6 / 0", "9.0", ""],
    ]
    assert em.plots[1].count("<circle") == 1


def test_kinds_of_answers() -> None:
    assert SHORT_CATEGORIES.keys() == CATEGORIES.keys()
    found = report(
        replace(A, categories=("exact", "wrong")), replace(B, categories=("exact", "exact"))
    )
    assert mistake_kinds(found) == {"exact": [1, 2], "wrong": [1, 0]}
    assert [bar.count("<rect") for bar in mistake_bars(found)] == [2, 1]


def test_differences_of_slices() -> None:
    own = {"short": (pair("a", "b", 4),), "long": (pair("a", "b", -2, p=0.2),)}
    (panel,) = difference_panels(own, "kind")
    assert (panel.table.title, heads(panel)[0]) == ("F1", "kind")
    assert [row[:3] for row in shown_rows(panel)] == [
        ["short: b − a", "+4.00 (3.0 to 5.0)", "0.0010"],
        ["long: b − a", "−2.00 (−3.0 to −1.0)", "0.2000"],
    ]
