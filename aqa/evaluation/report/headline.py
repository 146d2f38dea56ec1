"""The report's headline finding, and how it writes figures."""

from aqa.evaluation.comparison import metric_label
from aqa.evaluation.results import Report
from aqa.metrics.normalize import main_score
from aqa.tables import Cell, Figure, cell_text

NEAREST = 2  # systems whose distance is in the finding


def example_scores(report: Report) -> list[str]:
    """Return the scores with values per example, which corpus-level scores lack."""
    return [name for name, score in report.systems[0].scores.items() if score.per_example]


def primary_score(report: Report) -> str:
    """Return the score used for the finding and the order of examples."""
    if report.disagreement is not None:
        return report.disagreement.score
    return main_score(example_scores(report) or list(report.systems[0].scores))


def finding(report: Report) -> tuple[str, str]:
    """Return a line on the primary score, and another on how near the next systems are.

    The latter is empty if nothing was compared with the best system.
    """
    name = primary_score(report)
    is_lower = report.systems[0].scores[name].better == "lower"
    choose, side = (min, "lowest") if is_lower else (max, "highest")
    best = choose(report.systems, key=lambda system: system.scores[name].value)
    value = f"{best.scores[name].value:.1f} {metric_label(name)}"
    pairs = [
        pair if pair.b == best.name else pair.turned()
        for pair in report.comparisons
        if pair.metric == name and best.name in (pair.a, pair.b)
    ]
    margins = [
        f"{with_minus(f'{pair.difference:+z.1f}')} against {pair.a} ({with_minus(pair.interval)})"
        for pair in sorted(pairs, key=lambda pair: pair.difference)[:NEAREST]
    ]
    details = "; ".join([*margins, *map(str, filter(None, [report.labelled]))])
    rivals = [pair.a for pair in pairs if not pair.is_real]
    if rivals:
        others = ", ".join([best.name, *rivals[:-1]])
        return f"{others} and {rivals[-1]} can’t be told apart by {metric_label(name)}", details
    if len(report.systems) == 1:
        return f"{best.name} reaches {value}", details
    if len(pairs) < len(report.systems) - 1:  # systems were compared only with the baseline
        same = [s.name for s in report.systems if s.scores[name].value == best.scores[name].value]
        if len(same) > 1:
            return f"{', '.join(same[:-1])} and {same[-1]} score {side}: {value}", details
        return f"{best.name} scores {side}: {value}", details
    return f"{best.name} answers best: {value}", details


def shown_cell(cell: Cell) -> str:
    """Format a cell of a table."""
    return with_minus(cell_text(cell)) if isinstance(cell, Figure) else cell_text(cell)


def with_minus(text: str) -> str:
    """Use real minus signs, which are as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")
