"""Samples of a stream that hold the same things whatever their order, in little memory."""

import hashlib
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def sample(items: Iterable[tuple[str, T]], most: int) -> list[T]:
    """Keep the first of each key, for the `most` keys of the least hashes, in their order.

    Memory holds at most twice as many: Broder (1997), "On the resemblance and containment of
    documents", takes such samples.
    """
    kept: dict[int, T] = {}
    for key, item in items:
        kept.setdefault(_hash(key), item)
        if len(kept) >= 2 * most:
            kept = _least(kept, most)
    return list(_least(kept, most).values())


def _least(kept: dict[int, T], most: int) -> dict[int, T]:
    return {key: kept[key] for key in sorted(kept)[:most]}


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest)
