"""Questions about where people live, with passages that differ only in names."""

from collections.abc import Sequence
from dataclasses import replace

from aqa.records import Example, Passage

TOWNS = ["Ostry", "Velm", "Karst", "Bolina", "Tarn", "Morva", "Lund", "Sefton", "Arka", "Dorn"]


def people(homes: Sequence[str], retrieved: bool = False) -> list[Example]:
    """Questions with a passage each; with `retrieved`, the gold one is the second of four."""
    own = [Passage(f"Person {n} lives in {home}.", id=f"p{n}") for n, home in enumerate(homes)]
    found = []
    for n, home in enumerate(homes):
        places = (n + 1, n, n + 2, n + 3) if retrieved else (n,)
        passages = tuple(
            replace(own[place % len(own)], rank=rank, score=9.0 - rank)
            for rank, place in enumerate(places, 1)
        )
        question = f"Where does person {n} live?"
        found.append(Example(f"q{n}", question, passages, (home,), own_passages=(own[n],)))
    return found
