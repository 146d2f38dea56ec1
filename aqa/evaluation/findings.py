"""The findings of an evaluation in sentences, shown below its tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aqa.evaluation.comparison import Comparison, metric_label
from aqa.evaluation.results import Report
from aqa.evaluation.stress import CONFLICT, MISSING, TWO_SOURCES, StressCard
from aqa.tables import shown_interval

VERDICTS = 12  # differences put in words; beyond that, only those of one score
SHARES = {
    (MISSING, "answered"): "answers {} of questions whose evidence is missing",
    (MISSING, "unchanged"): "still gives {} of its answers when their evidence is missing",
    (CONFLICT, "memory"): "gives the old answer to {} of questions whose passage gives a new one",
    (TWO_SOURCES, "copy"): "follows the contradicting copy in {} of questions with two sources",
}


def describe_findings(report: Report) -> Iterator[str]:
    """Yield sentences on the judge, differences, plans, labels, stress, prompts and contracts."""
    if report.judge is not None:
        yield from describe_verdicts(report)
        yield _cost_of_verdicts(report.judge)
    comparisons = report.comparisons
    if len(comparisons) > VERDICTS and report.disagreement is not None:
        score = report.disagreement.score
        comparisons = tuple(comparison for comparison in comparisons if comparison.metric == score)
    yield from map(verdict, comparisons)
    yield from explain_power(comparisons, report.sample)
    if len(comparisons) < len(report.comparisons):
        yield "the other scores are in the table; --baseline compares with one system"
    if report.labelled is not None:
        yield str(report.labelled)
    yield from map(str, report.needs)
    yield from describe_stress(report.stress, report.between_readers)
    yield from map(str, report.prompts.ranked if report.prompts is not None else ())
    yield from map(str, report.silence)


def describe_verdicts(report: Report) -> Iterator[str]:
    """Describe how far a judge agrees with itself, with the rest of its panel and with people."""
    for system in report.systems:
        name, verdicts = system.name, {} if system.verdicts is None else system.verdicts.to_json()
        if repeats := verdicts.get("repeats"):
            scores = ", ".join(f"{score:.2f}" for score in repeats["scores"])
            yield f"{name}: repeats {scores}; variance {repeats['variance']:.2f}"
        if corrected := verdicts.get("corrected"):
            interval = f"95 %: {shown_interval(corrected['low'], corrected['high'])}"
            yield (
                f"{name}: {corrected['value']:.2f} ({interval}) when corrected by"
                f" {corrected['n']} human verdicts"
            )
    facts = report.judge or {}
    if panel := facts.get("panel"):
        yield (
            f"the judges agree on {_figure(panel, 'agreement', 1)} % of {panel['n']}"
            f" answer{'s' * (panel['n'] != 1)}; Fleiss' kappa {_figure(panel, 'fleiss_kappa')},"
            f" Krippendorff's alpha {_figure(panel, 'krippendorff_alpha')}"
        )
    if labels := facts.get("human_labels"):
        answers = f"{labels['n']} labelled answer{'s' * (labels['n'] != 1)}"
        line = f"the judge and people agree on {labels['agreement']:.1f} % of {answers}"
        yield f"{line}; Cohen's kappa {_figure(labels, 'kappa')}"


def _figure(figures_of: Mapping[str, float], name: str, digits: int = 2) -> str:
    return f"{figures_of[name]:.{digits}f}" if name in figures_of else "not defined"


def _cost_of_verdicts(facts: Mapping[str, Any]) -> str:
    spent, count = facts["spent"], facts["asked"]
    cost = f"${spent['usd']:.4f}" if "usd" in spent else "price not known"
    tokens = f"{spent['input_tokens'] + spent['output_tokens']:,} tokens"
    line = f"{count} verdict{'s' * (count != 1)} asked for now; all in {facts['folder']}"
    return f"{line}: {tokens}, {cost}"


def verdict(comparison: Comparison) -> str:
    """Put a comparison's result into words."""
    metric = metric_label(comparison.metric)
    if comparison.is_monitored:
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
    gain = comparison if comparison.difference > 0 else comparison.turned()
    by = f"{gain.difference:z.1f} {metric} ({gain.interval}; {power})"
    return f"{gain.b} is better than {gain.a} by {by}"


def explain_power(comparisons: Iterable[Comparison], sample: str) -> Iterator[str]:
    """Explain, once, what the comparisons' verdicts call detectable."""
    fixed = [comparison for comparison in comparisons if not comparison.is_monitored]
    if any(comparison.detectable is not None for comparison in fixed):
        yield (
            f"with {sample}, four in five true differences of the detectable size would be found;"
            " smaller ones less often"
        )
    elif fixed:
        yield f"{sample} can show no difference, however large"


def _condition_in_words(name: str, passages: int) -> str:
    """Describe a condition: "when the answer is last of 20"."""
    family, _, part = name.partition("-")
    if family == "position":
        position = "in the middle" if part == "middle" else part
        return f"when the answer is {position} of {passages}"
    if family == "noise":
        return f"among {part} hard passages" if int(part) else "with only the gold passage"
    return {
        CONFLICT: "when the passage gives another answer than the known one",
        TWO_SOURCES: "when a second source contradicts the first",
        "duplicate": "when all passages are given twice",
    }.get(name, "when the evidence is missing")


def describe_stress(
    cards: Sequence[StressCard], between: Mapping[str, Sequence[Comparison]]
) -> Iterator[str]:
    """Describe each reader's results under stress, then differences between readers."""
    for card in cards:
        yield from describe_card(card)
    if between:
        yield from _between(between, cards[0])


def describe_card(card: StressCard) -> Iterator[str]:
    """Describe what a card shows, then the differences that it did or could not show."""
    score = metric_label(card.metric)
    not_found: list[tuple[str, Comparison]] = []
    for name, results in card.conditions.items():
        for (condition, kind), words in SHARES.items():
            if condition == name and kind in results.shares:
                rate = results.shares[kind]
                share = f"{rate.value:.0f} % ({rate.low:z.0f} to {rate.high:z.0f})"
                yield f"{card.reader} {words.format(share)}"
        difference = results.differences.get(card.metric)
        if difference is None:
            continue
        when = _condition_in_words(name, card.passages)
        if difference.is_real:
            yield f"{card.reader} {_change(difference, score)} {when}"
        else:
            not_found.append((name, difference))
        if results.gold_read is not None and results.gold_read < 100:
            share = f"{results.gold_read:.0f} % of questions"
            yield f"{card.reader} had room for the gold passage in {share} {when}"
    if not_found:
        yield f"{card.reader}: no difference from plain evidence was found in {_listed(not_found)}"
    for shift in card.places.get(card.metric, ()):
        if shift.is_real:
            change, later = _change(shift, score), shift.b.partition("-")[2]
            yield (
                f"{card.reader} {change} when only the place changes, from the first to the {later}"
            )
    if card.metric in card.places and "position" not in card.findings:
        yield f"{card.reader}: no difference was found between places of the answer"


def _between(between: Mapping[str, Sequence[Comparison]], card: StressCard) -> Iterator[str]:
    """Say in which conditions one reader is better by the card's score, and in which none is."""
    score = metric_label(card.metric)
    not_found: dict[str, list[tuple[str, Comparison]]] = {}
    for name, compared in between.items():
        when = _condition_in_words(name, card.passages)
        for pair in (one for one in compared if one.metric == card.metric):
            if not pair.is_real:
                not_found.setdefault(f"{pair.a} and {pair.b}", []).append((name, pair))
                continue
            best = pair if pair.difference > 0 else pair.turned()
            how = f"better than {best.a} by {best.difference:z.1f} {score}"
            if name == MISSING:
                how = f"silent {best.difference:z.1f} points more often than {best.a}"
            yield f"{best.b} is {how} ({best.interval}) {when}"
    for names, listed in not_found.items():
        yield f"{names}: no difference was found in {_listed(listed)}"


def _change(pair: Comparison, score: str) -> str:
    verb, size = ("gains", pair) if pair.difference > 0 else ("loses", pair.turned())
    return f"{verb} {size.difference:z.1f} {score} ({size.interval})"


def _listed(not_found: Sequence[tuple[str, Comparison]]) -> str:
    differences = ", ".join(f"{name} ({pair.difference:+z.1f})" for name, pair in not_found)
    if any(pair.is_monitored for _, pair in not_found):
        return differences
    some = [(name, pair.detectable) for name, pair in not_found if pair.detectable is not None]
    where = " in {}" if len(some) < len(not_found) else ""
    detectable = [f"{size:.1f}{where.format(name)}" for name, size in some]
    if not detectable:
        return f"{differences}; none could be, with so few questions"
    sizes = detectable[:1] if len(set(detectable)) == 1 else detectable
    return f"{differences}; {', '.join(sizes)} would be, four times in five"
