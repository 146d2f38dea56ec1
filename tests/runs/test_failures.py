"""Summaries of failures in a run's journal."""

from aqa.runs.failures import FailureSummary, shortfall


def test_reasons_are_alike_whatever_their_numbers() -> None:
    rows = [
        {"predicted_answer": "x"},
        {"predicted_answer": "y", "cut": True},
        {"error": "it refused"},
        {"error": "gave up after 8 attempts: status 502, request 4f3c2b1a"},
        {"error": "gave up after 1 attempt: status 503, request 0a1b2c3d4e"},
    ]
    reason = "gave up after 8 attempts: status 502, request 4f3c2b1a"
    assert shortfall(rows) == FailureSummary(reason, failed_so=2, cut=1)
    assert shortfall([]) == FailureSummary("", 0, 0)
