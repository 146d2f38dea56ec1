"""Cluster questions that are not independent: by article, passage or a named column."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aqa.data.columns import as_label, value_called
from aqa.errors import UsageError
from aqa.evaluation.predictions.answered_row import AnsweredRow
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import FEW
from aqa.records import Example
from aqa.runs.cluster_labels import PASSAGE, TITLE, cluster_labels, read_labels

AUTO, NONE = "auto", "none"

ExampleLabels = Mapping[str, str]  # the labels of an example, by what they are made from


class Labels:
    """Cluster labels of examples by what they are made from, as 8-byte hashes; 0 if there is none.

    A label that is known stays when another is added.
    """

    def __init__(self, examples: Iterable[ExampleLabels] = ()) -> None:
        self.count = 0
        self.columns: dict[str, array[int]] = {}
        for index, labels in enumerate(examples):
            self.add(index, labels)

    def add(self, index: int, labels: ExampleLabels) -> None:
        """Add what is known of an example, the last or an earlier one."""
        self.count = max(self.count, index + 1)
        for name, label in labels.items():
            column = self.columns.setdefault(name, array("q"))
            column.extend([0] * (self.count - len(column)))
            column[index] = column[index] or hash(label) or 1

    def has_label(self, index: int) -> bool:
        """Whether an example has any label."""
        return any(index < len(column) and column[index] for column in self.columns.values())

    def of(self, name: str) -> "array[int]":
        """The labels that are made from one thing."""
        column = self.columns.get(name, array("q"))
        return column + array("q", [0]) * (self.count - len(column))

    def at(self, indices: Sequence[int]) -> "Labels":
        """Return the labels of some of the examples, by index."""
        chosen = Labels({} for _ in indices)
        for name in self.columns:
            column = self.of(name)
            chosen.columns[name] = array("q", [column[index] for index in indices])
        return chosen


def example_labels(example: Example, key: str) -> ExampleLabels:
    """Return the labels of an example in the data; `key` may name one of its columns."""
    return {**_column(example.metadata, key), **cluster_labels(example)}


def row_labels(row: AnsweredRow, key: str) -> ExampleLabels:
    """Return the labels of a prediction, from its own row."""
    cells = row.metadata
    labels = {**_column(cells, TITLE), **_column(cells, key), **read_labels(cells.get("clusters"))}
    return {name: labels[name] for name in (TITLE, PASSAGE, key) if name in labels}


def agreed_labels(sources: Iterable[ExampleLabels]) -> tuple[ExampleLabels, bool]:
    """Put the labels of an example together, the first of each kind; tell whether they agree."""
    merged: dict[str, str] = {}
    agree = True
    for labels in sources:
        agree = agree and all(merged.get(name, label) == label for name, label in labels.items())
        merged = {**labels, **merged}
    return merged, agree


def choose_clusters(key: str, labels: Labels) -> Clusters:
    """Put together the examples that share a label; one without is a cluster of its own.

    `auto` takes the coarsest grouping with at least ten clusters: title, then passage, then
    none.

    Raises:
        UsageError: no example has such a label, or all have the same one.
    """
    apart = Clusters.apart(labels.count)
    if key == NONE:
        return apart
    if key == AUTO:
        groupings = (_by(name, labels) for name in (TITLE, PASSAGE))
        return next((by for by in groupings if FEW <= by.count < labels.count), apart)
    if not any(labels.of(key)):
        raise UsageError(
            f'--cluster {key}: no example has "{key}" as a word or a number; name a column of the'
            " data or of the predictions, or use auto, title, passage or none"
        )
    chosen = _by(key, labels)
    if chosen.count == 1 < labels.count:
        raise UsageError(
            f'--cluster {key}: all examples have the same "{key}", and a single cluster says'
            " nothing about chance; name another column"
        )
    return chosen


def clusters_note(clusters: Clusters) -> str:
    """Describe the clusters that intervals and tests use."""
    if clusters.by == NONE:
        return (
            "Clusters: none, as questions share fewer than 10 titles or passages; each question"
            " counts as independent."
        )
    return (
        f"Clusters: {clusters.examples:,} questions in {clusters.count:,} by {clusters.by};"
        " intervals and tests use them."
    )


def cluster_warnings(key: str, labels: Labels, clusters: Clusters) -> Iterator[str]:
    """Warn of examples that a named grouping says nothing of, and of too few clusters."""
    without = labels.of(key).count(0)
    if key not in (AUTO, NONE) and without:
        yield f'{without} of {labels.count} examples have no "{key}", and count as independent'
    if clusters.by != NONE and clusters.count < FEW:
        yield (
            f"there {'is' if clusters.count == 1 else 'are'} only {clusters.count}"
            f" cluster{'s' * (clusters.count != 1)} by {clusters.by}: with fewer than {FEW},"
            " intervals are wide, and tests find little"
        )


def _by(name: str, labels: Labels) -> Clusters:
    return Clusters.of([label or object() for label in labels.of(name)], name)


def _column(row: Mapping[str, Any], key: str) -> ExampleLabels:
    label = as_label(value_called(row, key))
    return {} if label is None else {key: label}
