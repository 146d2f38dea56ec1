"""The cost of answers beside their score: tokens, money and time, if journals record them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from markupsafe import Markup

from aqa.evaluation.comparison import metric_label
from aqa.evaluation.predictions import AnsweredRow
from aqa.evaluation.report.charts import scatter, score_interval
from aqa.evaluation.report.headline import primary_score
from aqa.evaluation.results import Report
from aqa.runs.files import filled
from aqa.runs.journal import read_lines
from aqa.runs.names import JOURNAL
from aqa.tables import Row, Table, figures, texts


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens, US dollars and seconds of one answer, or means of many; None if unknown."""

    read: float | None = None
    written: float | None = None
    dollars: float | None = None
    seconds: float | None = None

    @property
    def tokens(self) -> float | None:
        """Tokens read and written."""
        return None if self.read is None else self.read + (self.written or 0.0)

    @property
    def dollars_for_1000(self) -> float | None:
        """The cost of a thousand such answers."""
        return None if self.dollars is None else 1000 * self.dollars


def cost_of(row: AnsweredRow | None, seconds: Mapping[str, Any] = {}) -> Cost:
    """Read the cost in a row, or in `seconds` by id, ignoring other tools' columns."""
    columns = {} if row is None else {"seconds": seconds.get(row.id), **row.metadata}
    tokens, spent = columns.get("tokens"), columns.get("spent")
    return Cost(
        _number(tokens, "prompt"),
        _number(tokens, "answer"),
        _number(spent, "cost"),
        _number(columns, "seconds"),
    )


def cost_json(cost: Cost) -> dict[str, float]:
    """Return an answer's cost for the page's script."""
    seconds = None if cost.seconds is None else round(cost.seconds, 2)
    return filled({**asdict(cost), "seconds": seconds})


def journal_seconds(run: Path) -> dict[str, Any]:
    """Return the seconds of a run's answers by id, which only its journal has."""
    journal = (run if run.is_dir() else run.parent) / JOURNAL
    return {line["id"]: line["seconds"] for line in read_lines(journal) if "seconds" in line}


def system_costs(report: Report, seconds: Sequence[Mapping[str, Any]]) -> list[Cost]:
    """Return the mean cost of each system's answers, with median seconds."""
    system_means = []
    for system, by_id in zip(report.systems, seconds, strict=True):
        costs = [cost_of(row, by_id) for row in system.rows if row is not None]
        means = {name: _middle(costs, name, fmean) for name in ("read", "written", "dollars")}
        system_means.append(Cost(**means, seconds=_middle(costs, "seconds", median)))
    return system_means


def cost_table(report: Report, costs: Sequence[Cost]) -> Table:
    """Make a table of each system's cost per answer; empty if no file records any."""
    rows = []
    for system, cost in zip(report.systems, costs, strict=True):
        if cost != Cost():
            dollars = _text(cost.dollars_for_1000, "{:,.2f}")
            read, written = _text(cost.read, "{:,.0f}"), _text(cost.written, "{:,.1f}")
            rows.append(Row([system.name, read, written, dollars, _text(cost.seconds, "{:,.2f}")]))
    heads = figures("tokens read", "tokens written", "US$ per 1,000", "median seconds")
    return Table([*texts("system"), *heads], rows)


def cost_picture(report: Report, costs: Sequence[Cost]) -> tuple[Markup, str] | None:
    """Draw the primary score over the price, or over tokens if a price is missing.

    None for fewer than two systems with both. The text names the axes.
    """
    name = primary_score(report)
    for unit, prices in (
        ("US$ per 1,000 answers", [cost.dollars_for_1000 for cost in costs]),
        ("tokens per answer", [cost.tokens for cost in costs]),
    ):
        points = {
            series: (price, score_interval(report.systems[series].scores[name], series))
            for series, price in enumerate(prices)
            if price is not None
        }
        if len(points) == len(costs) > 1:
            spoken = "; ".join(
                f"{report.systems[series].name}: {interval.spoken} at {price:,.2f} {unit}"
                for series, (price, interval) in points.items()
            )
            return scatter(points, spoken), f"{metric_label(name)} over {unit}"
    return None


def _number(columns: object, name: str) -> float | None:
    value: Any = columns.get(name) if isinstance(columns, Mapping) else None
    return float(value) if type(value) in (int, float) and value >= 0 else None


def _middle(
    costs: Iterable[Cost], name: str, of: Callable[[Sequence[float]], float]
) -> float | None:
    """Apply `of`, such as a mean, to the known values; None if there are none."""
    values = [value for cost in costs if (value := getattr(cost, name)) is not None]
    return of(values) if values else None


def _text(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
