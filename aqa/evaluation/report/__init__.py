"""The HTML report: scores, differences and every example in one file."""

from aqa.evaluation.report.page import write_report

__all__ = ["write_report"]
