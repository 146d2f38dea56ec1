"""On which part of the examples one system is better: differences within the groups of slices."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from aqa.evaluation.comparison import Comparison, Measured, Values, corrected, measure
from aqa.evaluation.slices import Groups
from aqa.metrics.statistics.clusters import Clusters

SliceComparisons = Mapping[str, Mapping[str, tuple[Comparison, ...]]]  # by key and group


def compare_slices(
    groups: Mapping[str, Groups],
    values: Values,
    clusters: Clusters,
    baseline: str | None,
    seed: int,
) -> SliceComparisons:
    """Compare the systems within each group, corrected over all groups and pairs of a key.

    `groups` and `values` are those of each system. A group that depends on what a reader saw or
    said may hold other examples of one system than of another, and then does not compare them.
    """
    if len(values) < 2:
        return {}
    keys = list(next(iter(groups.values())))

    def compared(part: Values, of: Clusters) -> dict[str, list[Measured]]:
        return measure(part, of, baseline, seed)

    return {
        key: _compare_key(
            {system: groups[system][key] for system in values}, values, clusters, baseline, compared
        )
        for key in keys
    }


def _compare_key(
    groups: Mapping[str, Mapping[str, Sequence[int]]],
    values: Values,
    clusters: Clusters,
    baseline: str | None,
    compared_by: Callable[[Values, Clusters], dict[str, list[Measured]]],
) -> dict[str, tuple[Comparison, ...]]:
    measured: list[tuple[str, Mapping[str, Sequence[Measured]]]] = []
    for group in dict.fromkeys(name for own in groups.values() for name in own):
        for systems, places in _of_same_examples(group, groups):
            if len(systems) < 2 or (baseline is not None and baseline not in systems):
                continue
            part = {
                system: {
                    metric: [column[place] for place in places]
                    for metric, column in values[system].items()
                }
                for system in systems
            }
            measured.append((group, compared_by(part, clusters.at(places))))
    return corrected_groups(measured)


def corrected_groups(
    measured: Iterable[tuple[str, Mapping[str, Sequence[Measured]]]],
) -> dict[str, tuple[Comparison, ...]]:
    """Correct the comparisons of each metric together, over all groups; give those of each."""
    families: dict[str, list[tuple[str, Measured]]] = {}
    for group, by_metric in measured:
        for metric, found in by_metric.items():
            families.setdefault(metric, []).extend((group, one) for one in found)
    compared: dict[str, list[Comparison]] = {}
    for family in families.values():
        adjusted = corrected([one for _, one in family])
        for (group, _), comparison in zip(family, adjusted, strict=True):
            compared.setdefault(group, []).append(comparison)
    return {group: tuple(found) for group, found in compared.items()}


def _of_same_examples(
    group: str, groups: Mapping[str, Mapping[str, Sequence[int]]]
) -> list[tuple[list[str], tuple[int, ...]]]:
    """Put together the systems of which the group holds the same examples."""
    found: dict[tuple[int, ...], list[str]] = {}
    for system, own in groups.items():
        if group in own:
            found.setdefault(tuple(own[group]), []).append(system)
    return [(systems, places) for places, systems in found.items()]
