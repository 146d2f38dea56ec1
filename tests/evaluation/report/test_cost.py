"""The cost of answers in the report."""

from collections.abc import Callable

import pytest

from aqa.evaluation.report.cost import Cost, cost_picture, cost_table, system_costs
from aqa.evaluation.results import Report
from aqa.records import Example

EXAMPLES = [Example("1", "Where?", (), ("Paris",)), Example("2", "When?", (), ("1801",))]


def answered(text: str, **columns: object) -> dict[str, object]:
    return {"predicted_answer": text, **columns}


def paid(read: int, written: int, cost: float | None, seconds: float) -> dict[str, object]:
    spent = {"input": read, "output": written, "cached": 0, "cost": cost}
    return {"tokens": {"prompt": read, "answer": written}, "spent": spent, "seconds": seconds}


def costs(report: Report) -> list[Cost]:
    return system_costs(report, [{} for _ in report.systems])


@pytest.fixture
def report(score: Callable[..., Report]) -> Report:
    answers = {
        "dear": {
            "1": answered("Paris", **paid(100, 4, 0.002, 1.5)),
            "2": answered("1801", **paid(300, 8, 0.004, 2.5)),
        },
        "cheap": {
            "1": answered("Paris", **paid(100, 2, 0.0002, 0.1)),
            "2": answered("1799", **paid(300, 2, 0.0004, 0.3)),
        },
    }
    return score(answers, EXAMPLES)


def test_means_of_tokens_and_money_and_the_median_of_seconds(report: Report) -> None:
    dear, cheap = costs(report)
    assert dear == Cost(200, 6, pytest.approx(0.003), 2.0)
    assert cheap == Cost(200, 2, pytest.approx(0.0003), pytest.approx(0.2))
    assert [row.cells for row in cost_table(report, costs(report)).rows] == [
        ["dear", "200", "6.0", "3.00", "2.00"],
        ["cheap", "200", "2.0", "0.30", "0.20"],
    ]


def test_the_picture_is_over_money_where_all_prices_are_known(report: Report) -> None:
    picture, axes = cost_picture(report, costs(report)) or ("", "")
    assert axes == "F1 over US$ per 1,000 answers"
    assert "dear: 100.0" in picture
    assert "at 3.00 US$" in picture


def test_else_it_is_over_tokens(score: Callable[..., Report]) -> None:
    answers = {
        name: {
            "1": answered("Paris", **paid(100, 4, cost, 1.0)),
            "2": answered("x", tokens={"prompt": "many", "answer": True}),
        }
        for name, cost in (("local", None), ("api", 0.001))
    }
    found = score(answers, EXAMPLES)
    _, axes = cost_picture(found, costs(found)) or ("", "")
    assert axes == "F1 over tokens per answer"


def test_files_of_other_tools_have_no_cost(score: Callable[..., Report]) -> None:
    other = score(
        {"a": {"1": answered("Paris", tokens=7), "2": answered("1801", spent="much")}}, EXAMPLES
    )
    assert cost_table(other, costs(other)).rows == []
    assert cost_picture(other, costs(other)) is None
