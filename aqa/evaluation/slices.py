"""Scores of subsets of the examples, by a column of the data or a property of the answers.

Systems are also compared within each subset.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from math import inf
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

import numpy as np

from aqa.data.columns import as_label, value_called
from aqa.errors import UsageError
from aqa.evaluation.comparison import Comparison, Measured, Values, corrected, measure
from aqa.evaluation.predictions import AnsweredRow, evidence_of
from aqa.metrics.languages import KOREAN
from aqa.metrics.pairs import Pairs
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import mean_intervals
from aqa.records import Score
from aqa.runs.cluster_labels import read_labels

UNKNOWN = "unknown"
_NUMBER = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)(?:-[0-9]+|\+)?\Z")  # or a range that it starts
MOST_GROUPS = 60

Groups = dict[str, dict[str, list[int]]]  # by key and name: indices of the examples
Slices = dict[str, dict[str, dict[str, Any]]]
SliceComparisons = Mapping[str, Mapping[str, tuple[Comparison, ...]]]  # by key and group
Group = TypeVar("Group", bound=Hashable)
OF_EVIDENCE = ("evidence_length", "gold_rank", "gold_in_evidence")  # only our runs record them


class _Example(NamedTuple):
    """What a built-in key may use."""

    expected: Sequence[str]  # the references; none for an unanswerable question
    has_abstained: bool | None  # None without a prediction
    row: AnsweredRow | None
    language: str


def _steps(value: object, ends: Sequence[int]) -> str | None:
    """Return the range that a count is in: "1-5" for 3 with ends (5, ...)."""
    if type(value) is not int:
        return None
    start = 1
    for end in ends:
        if value <= end:
            return "0" if value <= 0 else str(end) if start == end else f"{start}-{end}"
        start = end + 1
    return f"{start}+"


def _yes(value: object) -> str | None:
    return {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else None


def _gold_rank(example: _Example) -> str | None:
    ranks = evidence_of(example.row).get("gold_ranks")
    if ranks is None:
        return None
    return _steps(min(ranks), (1, 2, 3, 5, 10, 20)) if ranks else "none"


BUILT_IN: Mapping[str, Callable[[_Example], str | None]] = {
    "language": lambda example: KOREAN if example.language == KOREAN else "other",
    # Characters of the shortest reference.
    "answer_length": lambda example: _steps(
        min(map(len, example.expected), default=0), (5, 10, 20, 50)
    ),
    # Characters of the evidence that the reader saw.
    "evidence_length": lambda example: _steps(
        evidence_of(example.row).get("characters"), (500, 1000, 2000, 4000, 8000)
    ),
    "gold_rank": _gold_rank,
    "gold_in_evidence": lambda example: _yes(evidence_of(example.row).get("gold_in_evidence")),
    "answerable": lambda example: _yes(bool(example.expected)),
    "abstained": lambda example: _yes(example.has_abstained),
}


def group_examples(
    keys: Sequence[str],
    pairs: Pairs,
    rows: Sequence[AnsweredRow | None],
    data: Sequence[Mapping[str, Any]],
) -> Groups:
    """Group the examples by each key; `rows` and `data` (the data's columns) match the pairs.

    A column of the data takes precedence over a built-in key, and that over a column of the
    predictions.

    Raises:
        UsageError: a key has too many values to be a slice.
    """
    if not keys:
        return {}
    facts = (pairs.expected, pairs.abstained, rows, pairs.languages)
    examples = [_Example(*fields) for fields in zip(*facts, strict=True)]
    by_key: Groups = {}
    for key in keys:
        in_data = any(key in columns for columns in data)
        groups: dict[str, list[int]] = {}
        for index, (example, columns) in enumerate(zip(examples, data, strict=True)):
            if in_data or key not in BUILT_IN:
                value = columns.get(key) if in_data else _row_value(example.row, key)
                name = _yes(value) if isinstance(value, bool) else as_label(value)
            else:
                name = BUILT_IN[key](example)
            groups.setdefault(UNKNOWN if name is None else name, []).append(index)
        if len(groups) > MOST_GROUPS:
            raise UsageError(
                f'"{key}" has {len(groups)} values, too many to be slices; name a column of at'
                f" most {MOST_GROUPS}"
            )
        by_key[key] = {name: groups[name] for name in sorted(groups, key=_order)}
    return by_key


def check_keys(systems: Sequence[Groups]) -> None:
    """Raise UsageError for a key that is unknown for all examples."""
    for key in systems[0]:
        if all(groups[key].keys() <= {UNKNOWN} for groups in systems):
            if key in OF_EVIDENCE:
                raise UsageError(
                    f'no file of predictions has "{key}": what a reader saw is recorded in the run'
                    " folders of aqa predict; give such a folder, or leave this out"
                )
            raise UsageError(
                f'no example has "{key}" as a word or a number, so there is nothing to slice by;'
                " name a column of the data or of the predictions, or one of"
                f" {', '.join(BUILT_IN)}"
            )


def slice_scores(
    groups: Mapping[str, Sequence[int]], scores: Mapping[str, Score], clusters: Clusters
) -> dict[str, dict[str, Any]]:
    """Score the groups of a key: n, and each score with its 95 % interval."""
    results: dict[str, dict[str, Any]] = {}
    scored = [score for score in scores.values() if score.per_example]
    for name, indices in groups.items():
        results[name] = {"n": len(indices)}
        columns = [[score.per_example[index] for index in indices] for score in scored]
        if not scored:
            continue
        intervals = mean_intervals(np.array(columns).T, clusters.at(indices)).intervals()
        for score, values, (low, high, _) in zip(scored, columns, intervals, strict=True):
            results[name][score.name] = {"value": fmean(values), "low": low, "high": high}
    return results


def _row_value(row: AnsweredRow | None, key: str) -> object:
    """Return a row's value of a column or, as in run folders for titles, of a cluster label."""
    if row is None:
        return None
    value = value_called(row.metadata, key)
    return read_labels(row.metadata.get("clusters")).get(key) if value is None else value


def _order(name: str) -> tuple[bool, float, str]:
    """Sort numbers by size, then words, then unknown."""
    number = _NUMBER.match(name)
    return name == UNKNOWN, float(number[1]) if number else inf, name


def means_by_answer(pairs: Pairs, scores: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    """Split the means as SQuAD 2.0 does, into answerable and unanswerable questions."""
    answerable = pairs.answerable
    groups: dict[str, dict[str, float]] = {}
    for name, wanted in (("has_answer", True), ("no_answer", False)):
        indices = [index for index, group in enumerate(answerable) if group is wanted]
        groups[name] = {"n": len(indices)}
        for score in scores.values():
            if indices and score.per_example:
                groups[name][score.name] = fmean(score.per_example[index] for index in indices)
    return groups


def compare_slices(
    groups: Mapping[str, Groups],
    values: Values,
    clusters: Clusters,
    baseline: str | None,
    seed: int,
) -> SliceComparisons:
    """Compare the systems within each group, corrected over all groups and pairs of a key.

    `groups` and `values` are by system. Groups that depend on what a reader saw or said may
    contain other examples for another system; such systems are not compared.
    """
    by_key = {}
    for key in next(iter(groups.values())) if len(values) > 1 else ():
        measured = []
        by_system = {system: groups[system][key] for system in values}
        for group, systems, indices in _of_same_examples(by_system):
            if len(systems) > 1 and baseline in (None, *systems):
                part = {
                    system: {
                        metric: [column[index] for index in indices]
                        for metric, column in values[system].items()
                    }
                    for system in systems
                }
                measured.append((group, measure(part, clusters.at(indices), baseline, seed)))
        by_key[key] = corrected_groups(measured)
    return by_key


def corrected_groups(
    measured: Iterable[tuple[Group, Mapping[str, Sequence[Measured]]]],
) -> dict[Group, tuple[Comparison, ...]]:
    """Correct each metric's comparisons over all groups; return them by group."""
    families: dict[str, list[tuple[Group, Measured]]] = {}
    for group, by_metric in measured:
        for metric, pairs in by_metric.items():
            families.setdefault(metric, []).extend((group, pair) for pair in pairs)
    compared: dict[Group, list[Comparison]] = {}
    for family in families.values():
        adjusted = corrected([pair for _, pair in family])
        for (group, _), comparison in zip(family, adjusted, strict=True):
            compared.setdefault(group, []).append(comparison)
    return {group: tuple(pairs) for group, pairs in compared.items()}


def _of_same_examples(
    groups: Mapping[str, Mapping[str, Sequence[int]]],
) -> Iterator[tuple[str, list[str], tuple[int, ...]]]:
    """Yield each group with the systems for which it contains the same examples."""
    for group in dict.fromkeys(group for by_group in groups.values() for group in by_group):
        systems_of: dict[tuple[int, ...], list[str]] = {}
        for system, by_group in groups.items():
            if group in by_group:
                systems_of.setdefault(tuple(by_group[group]), []).append(system)
        yield from ((group, systems, indices) for indices, systems in systems_of.items())
