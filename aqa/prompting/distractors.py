"""Distractors: passages of other questions, near or random, that do not contain the answer."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from aqa.prompting.gold_passages import answer_finder, text_finder
from aqa.records import Example, Passage

WORD = re.compile(r"\w+")
HANGUL_WORD = re.compile("[가-힣]+")
T = TypeVar("T")


def distractors(
    passages: Iterable[Passage], texts: set[str], example: Example
) -> Iterator[Passage]:
    """Yield the passages without the answer whose text is not in `texts`, and add it there.

    Even if gold passages are marked, a passage that states the answer is no distractor: without
    the gold passage, the example must have no answer.
    """
    holds, says = answer_finder(example), text_finder(example)
    for passage in passages:
        holding = holds is not None and (holds(passage) or says(passage))
        if passage.text not in texts and not holding:
            texts.add(passage.text)
            yield passage


class OtherPassages:
    """The distinct passages of all examples, searched by BM25 (Robertson, Zaragoza 2009).

    They lose their ids, which are meaningless in other examples; only texts are compared.
    All are kept in memory, or a sample of `most`; see `sample`.
    """

    def __init__(self, examples: Iterable[Example], most: int | None = None) -> None:
        passages = (
            passage
            for example in examples
            for passage in (*example.own_passages, *example.passages)
        )
        distinct = ((passage.text, passage) for passage in passages)
        chosen = dict(distinct).values() if most is None else sample(distinct, most)
        self._passages = [replace(passage, id=None) for passage in chosen]
        self._index: Any = None

    def __len__(self) -> int:
        return len(self._passages)

    def __iter__(self) -> Iterator[Passage]:
        """Iterate in no meaningful order."""
        return iter(self._passages)

    def nearest(self, question: str, number: int) -> list[Passage]:
        """Return the passages nearest to a question, best first."""
        import bm25s

        if self._index is None:
            words = [list(terms(f"{p.title} {p.text}")) for p in self._passages]
            if not any(words):
                return []  # nothing to search
            self._index = bm25s.BM25()
            self._index.index(words, show_progress=False)
        number = min(number, len(self._passages))
        results = self._index.retrieve([list(terms(question))], k=number, show_progress=False)
        return [self._passages[index] for index in results.documents[0].tolist()]

    def draw(self, number: int, random: Random) -> list[Passage]:
        """Draw random passages."""
        return random.sample(self._passages, min(number, len(self._passages)))


def terms(text: str) -> Iterator[str]:
    """Yield search terms: words, or letter pairs for Hangul, whose words take endings."""
    for word in WORD.findall(text.lower()):
        if HANGUL_WORD.fullmatch(word) and len(word) > 1:
            yield from (word[start : start + 2] for start in range(len(word) - 1))
        else:
            yield word


def ranked(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """Number passages from 1 and drop their scores, which reflect another order."""
    return tuple(
        replace(passage, rank=rank, score=None) for rank, passage in enumerate(passages, 1)
    )


def sample(items: Iterable[tuple[str, T]], most: int) -> list[T]:
    """Keep the first item of each key, for the `most` keys with the smallest hashes.

    Holds at most twice as many in memory. Such samples: Broder (1997), "On the resemblance and
    containment of documents".
    """
    by_hash: dict[int, T] = {}
    for key, item in items:
        digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
        by_hash.setdefault(int.from_bytes(digest), item)
        if len(by_hash) >= 2 * most:
            by_hash = _least(by_hash, most)
    return list(_least(by_hash, most).values())


def _least(by_hash: dict[int, T], most: int) -> dict[int, T]:
    return {key: by_hash[key] for key in sorted(by_hash)[:most]}
