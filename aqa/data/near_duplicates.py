"""Find nearly equal texts among many, by their character trigrams."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

WINDOW = 3  # letters per n-gram
NEAR = 0.8  # the least Jaccard similarity of near texts' sets of n-grams
SHARED = 4  # rare n-grams by which near texts are found
AT_ONCE = 200  # texts looked up together
PAIRS_AT_ONCE = 200_000


def nearest_texts(corpus: Sequence[str], queries: Sequence[str]) -> list[int | None]:
    """Return for each text of `queries` the index of the nearest near text in `corpus`.

    Texts are near if the Jaccard similarity of their trigrams is at least `NEAR`; None if there
    is no near text, or fewer than three letters. Candidates are found by each set's rarest
    members: as many as may differ in a near set, plus `SHARED`, so that near sets share at least
    `SHARED` of them (prefix filtering; Chaudhuri, Ganti and Kaushik 2006; Wang, Li and Feng 2012).
    """
    from scipy.sparse import csr_matrix

    nearest: list[int | None] = [None] * len(queries)
    pieces = [*map(letters, corpus), *map(letters, queries)]
    if not corpus or not queries or not any(len(piece) for piece in pieces):
        return nearest
    values, sizes = np.concatenate(pieces), np.array([len(piece) for piece in pieces])
    texts = np.repeat(np.arange(len(pieces)), sizes)
    _, members, counts = np.unique(values, return_inverse=True, return_counts=True)
    shape = (len(pieces), len(counts))
    sets = csr_matrix((np.ones(len(members), np.int32), (texts, members)), shape)
    is_rare = _rarest(texts, members, counts, sizes)
    rare = csr_matrix((np.ones(is_rare.sum(), np.int32), (texts[is_rare], members[is_rare])), shape)
    needed = np.minimum(_least(sizes), SHARED)
    corpus_by_member = rare[: len(corpus)].T.tocsr()
    for start in range(0, len(queries), AT_ONCE):
        block = rare[len(corpus) + start : len(corpus) + start + AT_ONCE]
        shared = (block @ corpus_by_member).tocoo()
        rows, columns = shared.row + start, shared.col
        ratio = sizes[len(corpus) + rows] / sizes[columns]
        is_likely = (ratio >= NEAR) & (ratio <= 1 / NEAR)
        is_likely &= shared.data >= np.minimum(needed[len(corpus) + rows], needed[columns])
        rows, columns = rows[is_likely], columns[is_likely]
        best = np.full(len(queries), NEAR - 1e-9)
        for first in range(0, len(rows), PAIRS_AT_ONCE):
            pairs = slice(first, first + PAIRS_AT_ONCE)
            left, right = rows[pairs], columns[pairs]
            both = sets[len(corpus) + left].multiply(sets[right]).sum(axis=1).A1
            similarities = both / (sizes[len(corpus) + left] + sizes[right] - both)
            for row, column, similarity in zip(left, right, similarities, strict=True):
                if similarity > best[row]:
                    best[row], nearest[row] = similarity, int(column)
    return nearest


@lru_cache(256)  # questions about one text are adjacent
def sketch(text: str) -> tuple[int, ...]:
    """Return the eight smallest hashes of a long text's 8-grams; near texts share most."""
    return tuple(np.unique(_windows(text, 8))[:8].tolist())


def letters(text: str) -> Ints:
    """Return the hashes of a text's distinct n-grams."""
    return np.unique(_windows(text, WINDOW))


def _windows(text: str, window: int) -> Ints:
    """Hash each run of `window` letters."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    count = len(codes) - window + 1
    if count < 1:
        return np.empty(0, np.int64)
    hashes = np.zeros(count, np.uint64)
    for offset in range(window):
        hashes = hashes * np.uint64(0x100000001B3) + codes[offset : offset + count]
    hashes = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return hashes.view(np.int64)


def _least(sizes: Ints) -> Ints:
    """The least number of members that sets of these sizes share with near ones."""
    least: Ints = np.ceil(NEAR * sizes - 1e-9).astype(np.int64)
    return least


def _rarest(texts: Ints, members: Ints, counts: Ints, sizes: Ints) -> NDArray[np.bool_]:
    """Mark each text's rarest members, of which near texts share some."""
    order = np.lexsort((members, counts[members], texts))
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(texts), np.int64)
    rank[order] = np.arange(len(texts)) - np.repeat(starts, sizes)
    wanted = sizes - _least(sizes) + SHARED
    return rank < wanted[texts]
