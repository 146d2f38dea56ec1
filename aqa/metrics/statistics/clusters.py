"""Which examples hang together: questions on one passage or article are no independent draws."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Places = NDArray[np.intp]

LEVEL = 0.95  # of all intervals


@dataclass(frozen=True, eq=False)
class Clusters:
    """The cluster of each example, as codes 0..count - 1; `by` names what they are made from.

    `sequence` is the size of the largest cluster that might come, and how many might, where someone
    looked at results while examples came in, and could stop: see `ConfidenceSequence`.
    """

    codes: Places
    by: str = "none"
    sequence: tuple[int, int] | None = None

    @classmethod
    def of(cls, labels: Sequence[Hashable], by: str) -> "Clusters":
        """Take examples with equal labels together."""
        known: dict[Hashable, int] = {}
        codes = [known.setdefault(label, len(known)) for label in labels]
        return cls(np.array(codes, dtype=np.intp), by)

    @classmethod
    def apart(cls, examples: int) -> "Clusters":
        """Take each example as a cluster of its own."""
        return cls(np.arange(examples))

    def at(self, places: Sequence[int]) -> "Clusters":
        """Give the clusters of some of the examples."""
        kept = self.codes[np.asarray(places, dtype=np.intp)]
        return Clusters(np.unique(kept, return_inverse=True)[1], self.by, self.sequence)

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(self.codes)

    @cached_property
    def sizes(self) -> Matrix:
        """How many examples each cluster has."""
        return np.bincount(self.codes).astype(np.float64)

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return len(self.sizes)

    @property
    def are_examples(self) -> bool:
        """Whether each example is a cluster of its own."""
        return self.count == self.examples

    def sums(self, columns: Matrix) -> Matrix:
        """Add up the rows of each cluster: (examples, k) to (clusters, k)."""
        if self.are_examples:
            return columns
        order = np.argsort(self.codes, kind="stable")
        starts = np.concatenate(([0], np.cumsum(self.sizes)[:-1])).astype(np.intp)
        return np.add.reduceat(columns[order], starts, axis=0)
