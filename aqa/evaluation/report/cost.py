"""What answers cost, beside how good they are: tokens, money and time, where journals hold them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from markupsafe import Markup

from aqa.evaluation.predictions import AnsweredRow
from aqa.evaluation.report.charts import scatter, score_interval
from aqa.evaluation.report.finding import primary_score, score_name
from aqa.evaluation.results import Report
from aqa.runs.files import known
from aqa.tables import Row, Table, figures, texts


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one answer, or the means of many: tokens, US dollars, seconds; None: not known."""

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
        """What a thousand such answers cost."""
        return None if self.dollars is None else 1000 * self.dollars


def cost_of(row: AnsweredRow | None) -> Cost:
    """What a row's journal says of its cost; any file may have columns of these names."""
    columns = row.metadata if row is not None else {}
    tokens, spent = columns.get("tokens"), columns.get("spent")
    return Cost(
        _number(tokens, "prompt"),
        _number(tokens, "answer"),
        _number(spent, "cost"),
        _number(columns, "seconds"),
    )


def cost_json(cost: Cost) -> dict[str, float]:
    """What the page's script is given of an answer's cost."""
    seconds = None if cost.seconds is None else round(cost.seconds, 2)
    return known({**asdict(cost), "seconds": seconds})


def system_costs(report: Report) -> list[Cost]:
    """The mean cost of each system's answers; seconds are the median."""
    found = []
    for system in report.systems:
        costs = [cost_of(row) for row in system.rows if row is not None]
        means = {name: _middle(costs, name, fmean) for name in ("read", "written", "dollars")}
        found.append(Cost(**means, seconds=_middle(costs, "seconds", median)))
    return found


def cost_table(report: Report) -> Table:
    """What an answer of each system costs; empty where no file holds any of it."""
    rows = []
    for system, cost in zip(report.systems, system_costs(report), strict=True):
        if cost != Cost():
            dollars = _shown(cost.dollars_for_1000, "{:,.2f}")
            read, written = _shown(cost.read, "{:,.0f}"), _shown(cost.written, "{:,.1f}")
            rows.append(Row([system.name, read, written, dollars, _shown(cost.seconds, "{:,.2f}")]))
    heads = figures("tokens read", "tokens written", "US$ per 1,000", "median seconds")
    return Table([*texts("system"), *heads], rows)


def cost_picture(report: Report) -> tuple[Markup, str] | None:
    """Draw the primary score over the price, or over tokens where not every price is known.

    None where fewer than two systems have a place in it. The text says what the axes are.
    """
    costs = system_costs(report)
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
            return scatter(points, spoken), f"{score_name(name)} over {unit}"
    return None


def _number(columns: object, name: str) -> float | None:
    value: Any = columns.get(name) if isinstance(columns, Mapping) else None
    return float(value) if type(value) in (int, float) and value >= 0 else None


def _middle(
    costs: Iterable[Cost], name: str, of: Callable[[Sequence[float]], float]
) -> float | None:
    """A mean or the like of what is known; None of nothing."""
    found = [value for cost in costs if (value := getattr(cost, name)) is not None]
    return of(found) if found else None


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
