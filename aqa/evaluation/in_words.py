"""What an evaluation found, in sentences, as they stand below its tables."""

from collections.abc import Iterator

from aqa.evaluation.comparison import verdict
from aqa.evaluation.results import Report
from aqa.evaluation.stress import STRESS
from aqa.evaluation.stress_words import stress_in_words

VERDICTS = 12  # differences that are all put in words; of more, those by one score


def in_words(report: Report) -> Iterator[str]:
    """Say what differences mean, then what plans, labels, stress, prompts and contracts came to."""
    shown = report.comparisons
    if len(shown) > VERDICTS and report.disagreement is not None:
        score = report.disagreement.score
        shown = tuple(found for found in shown if found.metric == score)
    yield from (verdict(found, report.sample) for found in shown)
    if len(shown) < len(report.comparisons):
        yield "the other scores are in the table; --baseline compares with one system"
    if report.labelled is not None:
        yield str(report.labelled)
    yield from map(str, report.needs)
    yield from stress_in_words(report.stress, report.slice_comparisons.get(STRESS, {}))
    yield from map(str, report.prompts.ranked if report.prompts is not None else ())
    yield from map(str, report.silence)
