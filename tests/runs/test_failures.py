"""Summaries of failures in a run's journal."""

from aqa.runs.failures import FailureSummary, shortfall


def test_reasons_are_alike_whatever_their_numbers() -> None:
    rows = [
        {"predicted_answer": "x", "tokens": {"prompt": 9, "answer": 2}},
        {"predicted_answer": "y", "cut": True, "tokens": {"prompt": 1, "answer": 1}},
        {"error": "it refused"},
        {"error": "gave up after 8 attempts: status 502, request 4f3c2b1a"},
        {"error": "gave up after 1 attempt: status 503, request 0a1b2c3d4e"},
    ]
    reason = "gave up after 8 attempts: status 502, request 4f3c2b1a"
    assert shortfall(rows) == FailureSummary(
        reason, failed_so=2, cut=1, tokens={"prompt": 10, "answer": 3}
    )
    assert shortfall([]) == FailureSummary(tokens={"prompt": 0, "answer": 0})
