"""Cluster questions that are not independent: by article, passage or a named column."""

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

Labels = Mapping[str, str]  # of an example, by what they derive from


def example_labels(example: Example, key: str) -> Labels:
    """Return the labels of an example in the data; `key` may name one of its columns."""
    return {**_column(example.metadata, key), **cluster_labels(example)}


def row_labels(row: AnsweredRow, key: str) -> Labels:
    """Return the labels of a prediction, from its own row."""
    own = row.metadata
    return {**_column(own, TITLE), **_column(own, key), **read_labels(own.get("clusters"))}


def agreed_labels(given: Iterable[Labels]) -> tuple[Labels, bool]:
    """Merge an example's labels, the first of each kind winning; also whether they agree."""
    found: dict[str, str] = {}
    agree = True
    for labels in given:
        agree = agree and all(found.get(name, label) == label for name, label in labels.items())
        found = {**labels, **found}
    return found, agree


def choose_clusters(key: str, labels: Sequence[Labels]) -> Clusters:
    """Cluster the examples that share a label; an example without one is its own cluster.

    `auto` takes the coarsest grouping with at least ten clusters: title, then passage, then
    none.

    Raises:
        UsageError: no example has such a label, or all have the same one.
    """
    apart = Clusters.apart(len(labels))
    if key == NONE:
        return apart
    if key == AUTO:
        found = (_by(name, labels) for name in (TITLE, PASSAGE))
        return next((one for one in found if FEW <= one.count < len(labels)), apart)
    if not any(key in own for own in labels):
        raise UsageError(
            f'--cluster {key}: no example has "{key}" as a word or a number; name a column of'
            " the data or of the predictions, or say auto, title, passage or none"
        )
    chosen = _by(key, labels)
    if chosen.count == 1 < len(labels):
        raise UsageError(
            f'--cluster {key}: all examples have the same "{key}", and a single cluster says'
            " nothing about chance; name another column"
        )
    return chosen


def clusters_note(clusters: Clusters) -> str:
    """Describe the clusters that intervals and tests use."""
    if clusters.by == NONE:
        return (
            "Clusters: none, as there are fewer than 10 titles or passages; each question counts as"
            " independent."
        )
    return (
        f"Clusters: {clusters.examples:,} questions in {clusters.count:,} by {clusters.by};"
        " intervals and tests use them."
    )


def cluster_cautions(key: str, labels: Sequence[Labels], clusters: Clusters) -> Iterator[str]:
    """Warn of examples without the named label, and of too few clusters."""
    without = sum(key not in own for own in labels)
    if key not in (AUTO, NONE) and without:
        yield f'{without} of {len(labels)} examples have no "{key}", and count as independent'
    if clusters.by != NONE and clusters.count < FEW:
        yield (
            f"there {'is' if clusters.count == 1 else 'are'} only {clusters.count}"
            f" cluster{'s' * (clusters.count != 1)} by {clusters.by}: intervals of fewer than"
            f" {FEW} may be too narrow, and tests find little"
        )


def _by(name: str, labels: Sequence[Labels]) -> Clusters:
    return Clusters.of([own.get(name) or object() for own in labels], name)


def _column(row: Mapping[str, Any], key: str) -> Labels:
    label = as_label(value_called(row, key))
    return {} if label is None else {key: label}
