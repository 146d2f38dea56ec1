"""What an evaluation found, in sentences, as they stand below its tables."""

from collections.abc import Iterable, Iterator

from aqa.evaluation.comparison import SEQUENCE, Comparison, written
from aqa.evaluation.results import Report
from aqa.evaluation.stress_cards import stress_in_words

VERDICTS = 12  # differences that are all put in words; of more, those by one score


def in_words(report: Report) -> Iterator[str]:
    """Say what differences mean, then what plans, labels, stress, prompts and contracts came to."""
    shown = report.comparisons
    if len(shown) > VERDICTS and report.disagreement is not None:
        score = report.disagreement.score
        shown = tuple(found for found in shown if found.metric == score)
    yield from map(verdict, shown)
    yield from power_in_words(shown, report.sample)
    if len(shown) < len(report.comparisons):
        yield "the other scores are in the table; --baseline compares with one system"
    if report.labelled is not None:
        yield str(report.labelled)
    yield from map(str, report.needs)
    yield from stress_in_words(report.stress, report.between_readers)
    yield from map(str, report.prompts.ranked if report.prompts is not None else ())
    yield from map(str, report.silence)


def verdict(comparison: Comparison) -> str:
    """Say in plain words what a comparison came to."""
    metric = written(comparison.metric)
    if comparison.test.startswith(SEQUENCE):
        power = "valid at any time"
    elif comparison.detectable is None:
        power = "detectable: none"
    else:
        power = f"detectable: {comparison.detectable:.1f}"
    if not comparison.is_real:
        a, b, size = comparison.a, comparison.b, f"{comparison.difference:+z.1f}"
        return (
            f"{a} and {b} can't be told apart by {metric}"
            f" ({b} - {a}: {size}; {comparison.interval}; {power})"
        )
    found = comparison if comparison.difference > 0 else comparison.turned()
    by = f"{found.difference:z.1f} {metric} ({found.interval}; {power})"
    return f"{found.b} is better than {found.a} by {by}"


def power_in_words(comparisons: Iterable[Comparison], sample: str) -> Iterator[str]:
    """Say once what the verdicts on comparisons made with a `sample` call detectable, if any do."""
    fixed = [found for found in comparisons if not found.test.startswith(SEQUENCE)]
    if any(found.detectable is not None for found in fixed):
        yield (
            f"with {sample}, of true differences of the detectable size four in five would be"
            " found; smaller ones less often"
        )
    elif fixed:
        yield f"{sample} can show no difference, however large"
