"""Clusters of dependent examples: questions on one passage or article are not independent."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Indices = NDArray[np.intp]

LEVEL = 0.95  # of all intervals


@dataclass(frozen=True, eq=False)
class Clusters:
    """The cluster of each example, as codes 0..count - 1; `by` names their origin.

    `sequence` is for results monitored while examples came in: the size of the largest possible
    cluster, and the number of clusters; see `ConfidenceSequence`.
    """

    codes: Indices
    by: str = "none"
    sequence: tuple[int, int] | None = None

    @classmethod
    def of(cls, labels: Sequence[Hashable], by: str) -> "Clusters":
        """Cluster examples with equal labels."""
        code_of: dict[Hashable, int] = {}
        codes = [code_of.setdefault(label, len(code_of)) for label in labels]
        return cls(np.array(codes, dtype=np.intp), by)

    @classmethod
    def apart(cls, examples: int) -> "Clusters":
        """Make each example its own cluster."""
        return cls(np.arange(examples))

    def at(self, indices: Sequence[int]) -> "Clusters":
        """Return the clusters of some of the examples."""
        codes = self.codes[np.asarray(indices, dtype=np.intp)]
        return Clusters(np.unique(codes, return_inverse=True)[1], self.by, self.sequence)

    @property
    def examples(self) -> int:
        """The number of examples."""
        return len(self.codes)

    @cached_property
    def sizes(self) -> Matrix:
        """The number of examples in each cluster."""
        return np.bincount(self.codes).astype(np.float64)

    @property
    def count(self) -> int:
        """The number of clusters."""
        return len(self.sizes)

    @property
    def are_examples(self) -> bool:
        """Whether each example is its own cluster."""
        return self.count == self.examples

    def sums(self, columns: Matrix) -> Matrix:
        """Sum the rows of each cluster: (examples, k) to (clusters, k)."""
        if self.are_examples:
            return columns
        order = np.argsort(self.codes, kind="stable")
        starts = np.concatenate(([0], np.cumsum(self.sizes)[:-1])).astype(np.intp)
        return np.add.reduceat(columns[order], starts, axis=0)
