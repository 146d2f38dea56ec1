"""The report for people: scores, differences and every example in one HTML file."""

from aqa.evaluation.report.page import write_report

__all__ = ["write_report"]
