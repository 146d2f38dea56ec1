"""Texts that are nearly the same, found among many by the letters that they share."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

WINDOW = 3  # letters of a piece of a text
NEAR = 0.8  # of two texts' pieces, those in both among all (Jaccard)
SHARED = 4  # rare members that near texts are found by
AT_ONCE = 200  # texts looked up together
PAIRS_AT_ONCE = 200_000


def nearest_texts(known: Sequence[str], asked: Sequence[str]) -> list[int | None]:
    """Give, for each text asked about, the place of the nearest known one that is near.

    Near are texts whose sets of three letters in a row have at least `NEAR` in common; None is
    given where none is. Texts of fewer letters are near to nothing. No pair is overlooked: two
    sets that have so much in common share `SHARED` of their rarest members, of which as many are
    looked at as need not be in common, and `SHARED` more (prefix filtering; Chaudhuri, Ganti and
    Kaushik 2006; Wang, Li and Feng 2012).
    """
    from scipy.sparse import csr_matrix

    found: list[int | None] = [None] * len(asked)
    pieces = [*map(letters, known), *map(letters, asked)]
    if not known or not asked or not any(len(own) for own in pieces):
        return found
    values, sizes = np.concatenate(pieces), np.array([len(own) for own in pieces])
    texts = np.repeat(np.arange(len(pieces)), sizes)
    _, members, counts = np.unique(values, return_inverse=True, return_counts=True)
    shape = (len(pieces), len(counts))
    sets = csr_matrix((np.ones(len(members), np.int32), (texts, members)), shape)
    is_rare = _rarest(texts, members, counts, sizes)
    rare = csr_matrix((np.ones(is_rare.sum(), np.int32), (texts[is_rare], members[is_rare])), shape)
    needed = np.minimum(_least(sizes), SHARED)
    known_by_member = rare[: len(known)].T.tocsr()
    for start in range(0, len(asked), AT_ONCE):
        block = rare[len(known) + start : len(known) + start + AT_ONCE]
        shared = (block @ known_by_member).tocoo()
        rows, columns = shared.row + start, shared.col
        ratio = sizes[len(known) + rows] / sizes[columns]
        is_likely = (ratio >= NEAR) & (ratio <= 1 / NEAR)
        is_likely &= shared.data >= np.minimum(needed[len(known) + rows], needed[columns])
        rows, columns = rows[is_likely], columns[is_likely]
        best = np.full(len(asked), NEAR - 1e-9)
        for first in range(0, len(rows), PAIRS_AT_ONCE):
            own, other = rows[first : first + PAIRS_AT_ONCE], columns[first : first + PAIRS_AT_ONCE]
            both = sets[len(known) + own].multiply(sets[other]).sum(axis=1).A1
            shares = both / (sizes[len(known) + own] + sizes[other] - both)
            for row, column, share in zip(own, other, shares, strict=True):
                if share > best[row]:
                    best[row], found[row] = share, int(column)
    return found


@lru_cache(256)  # the questions about one text follow each other
def sketch(text: str) -> tuple[int, ...]:
    """Give a long text's eight smallest hashes of eight letters: near texts share most."""
    return tuple(np.unique(_windows(text, 8))[:8].tolist())


def letters(text: str) -> Ints:
    """Give the distinct pieces of a text as numbers."""
    return np.unique(_windows(text, WINDOW))


def _windows(text: str, window: int) -> Ints:
    """Hash each run of `window` letters."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    count = len(codes) - window + 1
    if count < 1:
        return np.empty(0, np.int64)
    hashes = np.zeros(count, np.uint64)
    for place in range(window):
        hashes = hashes * np.uint64(0x100000001B3) + codes[place : place + count]
    hashes = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return hashes.view(np.int64)


def _least(sizes: Ints) -> Ints:
    """How many members at least sets of these sizes have in common with those near to them."""
    found: Ints = np.ceil(NEAR * sizes - 1e-9).astype(np.int64)
    return found


def _rarest(texts: Ints, members: Ints, counts: Ints, sizes: Ints) -> NDArray[np.bool_]:
    """Mark of each text's members the rarest ones, one of which near texts share."""
    order = np.lexsort((members, counts[members], texts))
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(texts), np.int64)
    rank[order] = np.arange(len(texts)) - np.repeat(starts, sizes)
    wanted = sizes - _least(sizes) + SHARED
    return rank < wanted[texts]
