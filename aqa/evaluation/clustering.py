"""By what questions hang together: an article, a passage, or a column that the user names."""

from collections.abc import Mapping, Sequence

from aqa.errors import UsageError
from aqa.evaluation.predictions.answered_row import AnsweredRow
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import FEW
from aqa.records import Example
from aqa.runs.cluster_labels import PASSAGE, TITLE, cluster_labels, read_labels

AUTO, NONE = "auto", "none"

Labels = Mapping[str, str]  # of an example, by what they are made from


def example_labels(example: Example, key: str) -> Labels:
    """Label an example of the data; `key` may name one of its columns."""
    return {**_column(example.metadata.get(key), key), **cluster_labels(example)}


def row_labels(row: AnsweredRow, key: str) -> Labels:
    """Label a prediction by what its own row tells."""
    own = row.metadata
    columns = {**_column(own.get(TITLE), TITLE), **_column(own.get(key), key)}
    return {**columns, **read_labels(own.get("clusters"))}


def choose_clusters(key: str, labels: Sequence[Labels]) -> Clusters:
    """Put together the examples that share a label; one without is a cluster of its own.

    `auto` takes the coarsest grouping of at least ten clusters: by title, else by passage, else
    none.

    Raises:
        UsageError: no example has such a label, or all have the same.
    """
    apart = Clusters.apart(len(labels))
    if key == NONE:
        return apart
    if key == AUTO:
        found = (_by(name, labels) for name in (TITLE, PASSAGE))
        return next((one for one in found if FEW <= one.count < len(labels)), apart)
    if not any(key in own for own in labels):
        raise UsageError(
            f'--cluster {key}: no example has "{key}"; name a column of the data or of the'
            " predictions, or say auto, title, passage or none"
        )
    chosen = _by(key, labels)
    if chosen.count == 1 < len(labels):
        raise UsageError(
            f'--cluster {key}: all examples have the same "{key}", and one cluster tells nothing'
            " of chance; name another column"
        )
    return chosen


def clusters_note(clusters: Clusters) -> str:
    """Say what intervals and tests go by."""
    if clusters.by == NONE:
        return (
            "Clusters: none of at least 10 by title or passage, so each question counts as"
            " independent."
        )
    return (
        f"Clusters: {clusters.examples:,} questions in {clusters.count:,} by {clusters.by}, which"
        " intervals and tests go by."
    )


def few_clusters(clusters: Clusters) -> list[str]:
    """Warn of clusters so few that intervals are not to be trusted."""
    if clusters.by == NONE or clusters.count >= FEW:
        return []
    return [
        f"there {'is' if clusters.count == 1 else 'are'} only {clusters.count}"
        f" cluster{'s' * (clusters.count != 1)} by {clusters.by}: intervals of fewer than"
        f" {FEW} may be too narrow, and tests find little"
    ]


def _by(name: str, labels: Sequence[Labels]) -> Clusters:
    return Clusters.of([own.get(name) or object() for own in labels], name)


def _column(value: object, key: str) -> Labels:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        return {}
    return {key: str(value)}
