"""Tables of an evaluation's results, for people, papers and programs."""

import json
from collections.abc import Iterator, Mapping, Sequence

from aqa.evaluation.difference_tables import difference_tables, slice_comparison_table
from aqa.evaluation.mistakes import CATEGORIES
from aqa.evaluation.results import Report, SystemScores
from aqa.tables import Cell, Column, Figure, Row, Table, figures, shown_interval, texts

DISPUTED = 3  # examples in the table
LONGEST = 200  # characters of an answer in it
ON_ONE_LINE = 2  # scores with their intervals on one line of 80 columns
KEPT = (25, 50, 75, 100)  # percentages of answers kept, with their risks
ABREAST = 5  # systems with a column each within 80 columns


def tables_for_people(report: Report) -> Iterator[Table]:
    """Yield all tables: scores, verdicts, slices, mistakes, ..., comparisons."""
    yield score_table(report)
    yield from verdict_tables(report)
    yield from slice_tables(report)
    yield from mistake_tables(report)
    doubts = (abstention_table(report), confidence_table(report), calibration_table(report))
    for table in (*doubts, disputed_table(report)):
        if table.rows:
            yield table
    yield from difference_tables(report)


def score_table(report: Report) -> Table:
    """Make a table with a row per system and score, and for failures."""
    groups, rows = report.by_answer, list[Row]()
    for system in report.systems:
        label = system.name
        for name, score in system.scores.items():
            parts = [system.groups[group].get(name) for group in groups]
            interval = shown_interval(score.low, score.high)
            cells = [None if part is None else Figure(part) for part in parts]
            rows.append(Row([label, name, Figure(score.value), interval, *cells]))
            label = ""
        if listed := _without_answer(system):
            rows.append(Row(["", listed, *[""] * (2 + len(groups))], "warning"))
    title = f"{_count(report.ids, 'example')}, profile {report.profile}"
    heads = [*texts("system", "score"), *figures("value", "95 % interval", *groups.values())]
    return Table(heads, rows, title)


def wide_table(report: Report) -> Table:
    """Make a table with a row per system and a column per score with its interval."""
    names = list(report.systems[0].scores)
    rows = []
    for system in report.systems:
        scores = system.scores.values()
        rows.append(Row([system.name, *(Figure(s.value, low=s.low, high=s.high) for s in scores)]))
    labelled = map(str, filter(None, [report.labelled]))
    failures = {system.name: _without_answer(system) for system in report.systems}
    lost = (f"{name}: {counts}" for name, counts in failures.items() if counts)
    notes = [f"{report.sample}, 95 % intervals", *labelled, *lost, *report.signatures]
    return Table([*texts("system"), *figures(*names)], rows, notes=notes)


def slice_tables(report: Report) -> Iterator[Table]:
    """Yield tables for each key: each system's groups by score, then differences."""
    for key in report.systems[0].slices:
        for system in report.systems:
            names = [name for name, score in system.scores.items() if score.per_example]
            rows = [
                Row([group, scores["n"], *(_in_slice(scores[name], len(names)) for name in names)])
                for group, scores in system.slices[key].items()
            ]
            title = f"{system.name} by {key}, with 95 % intervals"
            yield Table([*texts("group"), *figures("n", *names)], rows, title)
        compared = slice_comparison_table(report, key)
        if compared.rows:
            yield compared


def mistake_tables(report: Report) -> Iterator[Table]:
    """Count each system's right answers and kinds of mistakes."""
    for systems in _side_by_side(report):
        counts = {
            meaning: [system.errors.get(name, 0) for system in systems]
            for name, meaning in CATEGORIES.items()
        }
        rows = [Row([meaning, *row]) for meaning, row in counts.items() if any(row)]
        yield _by_system("Answers", "kind", systems, rows)


def verdict_tables(report: Report) -> Iterator[Table]:
    """Count a judge's verdicts, and show how a panel's judges differ."""
    for systems in _side_by_side(report):
        summaries = [system.verdicts.to_json() for system in systems if system.verdicts]
        if not summaries:
            return
        rows = [
            Row([name.replace("_", " "), *(summary["verdicts"][name] for summary in summaries)])
            for name in summaries[0]["verdicts"]
        ]
        rows.append(Row(["failed", *(summary["failed_verdicts"] for summary in summaries)]))
        for name in summaries[0].get("judges", ()):
            scores = (Figure(summary["judges"][name]["score"]) for summary in summaries)
            rows.append(Row([f"score by {name}", *scores]))
        yield _by_system("Verdicts of the judge", "verdict", systems, rows)


def abstention_table(report: Report) -> Table:
    """Make a table of precision and recall of each system's abstentions."""
    rows = []
    for system in report.systems:
        if (rates := system.abstention) is not None:
            shares = ((rates.precision, rates.abstained), (rates.recall, rates.unanswerable))
            cells = [
                f"{rate.value:.1f} of {of} ({shown_interval(rate.low, rate.high)})"
                if rate
                else "of 0"
                for rate, of in shares
            ]
            rows.append(Row([system.name, *cells]))
    heads = figures("precision (95 %)", "recall (95 %)")
    return Table([*texts("system"), *heads], rows, "Abstention")


def confidence_table(report: Report) -> Table:
    """Make a table of how well confidences separate right from wrong answers."""
    rows = []
    for system in report.systems:
        if (curve := system.risk_coverage) is not None:
            values = (*map(curve.risk_at, KEPT), curve.aurc, curve.best_aurc)
            shares = (Figure(value, 1) for value in values)
            rows.append(Row([system.name, curve.confident, *shares]))
    heads = figures("n", *(f"{share} %" for share in KEPT), "AURC", "at best")
    title = "Wrong (not exact) among the most confident answers"
    return Table([*texts("system"), *heads], rows, title)


def calibration_table(report: Report) -> Table:
    """Make a table with a row per system whose confidences are probabilities."""
    rows = []
    for system in report.systems:
        if (errors := system.calibration) is not None:
            error, interval = Figure(errors.ece, 1), shown_interval(errors.low, errors.high)
            more = [Figure(errors.plain_ece, 1), Figure(errors.overconfidence, 1, is_signed=True)]
            rows.append(Row([system.name, errors.kind, errors.n, error, interval, *more]))
    heads = figures("n", "ECE", "95 % interval", "plain ECE", "too sure by")
    title = "Calibration: confidence and the share of right (exact) answers"
    return Table([*texts("system", "confidence"), *heads], rows, title)


def disputed_table(report: Report) -> Table:
    """Show the examples on which the systems' scores differ most, with all answers."""
    disagreement = report.disagreement
    if disagreement is None:
        return Table([], [])
    rows = []
    for index in disagreement.order[:DISPUTED]:
        expected = " | ".join(dict.fromkeys(report.references[index])) or "(no answer)"
        rows.append(Row([report.ids[index], "(gold)", "", _shortened(expected)]))
        for system in report.systems:
            value = Figure(system.scores[disagreement.score].per_example[index], 1)
            answer = system.predictions[index]
            listed = "(missing)" if answer is None else _shortened(answer)
            is_last = system is report.systems[-1]
            rows.append(Row(["", system.name, value, listed], ends_section=is_last))
    heads = [*texts("id", "system"), *figures(disagreement.score), *texts("answer")]
    return Table(heads, rows, f"Disagreement: {_count(disagreement.order, 'example')}, the widest")


def _without_answer(system: SystemScores) -> str:
    any_lost = system.missing or system.failed
    return f"missing {system.missing}, failed {system.failed}" if any_lost else ""


def _in_slice(score: Mapping[str, float], count: int) -> Cell:
    """Format a value with its interval, on a second line if there are many scores."""
    figure = Figure(score["value"], 1, score["low"], score["high"])
    if count <= ON_ONE_LINE:
        return figure
    return f"{score['value']:.1f}\n{shown_interval(score['low'], score['high'])}"


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _side_by_side(report: Report) -> Iterator[Sequence[SystemScores]]:
    for start in range(0, len(report.systems), ABREAST):
        yield report.systems[start : start + ABREAST]


def _by_system(
    title: str, rows_are: str, systems: Sequence[SystemScores], rows: Sequence[Row]
) -> Table:
    names = figures(*(system.name for system in systems))
    return Table([Column(rows_are, least=24), *names], rows, title)


def _shortened(text: str) -> str:
    """Truncate a long text visibly; quote one that is only white space."""
    if not text.strip():
        return json.dumps(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
