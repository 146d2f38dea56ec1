"""Read and check the ranks and scores of passages."""

import math
from collections.abc import Sequence

from aqa.errors import DataError

RANKS_SHOWN = 10
HIGHEST_RANK = 1 << 53  # larger floats are not exact


def are_ranks(ranks: Sequence[int | None]) -> bool:
    """Whether ranks are meaningful: retrievers without ranks may always write 0 or 1."""
    ranked = {rank for rank in ranks if rank is not None}
    return len(ranked) > 1 or (len(ranked) == 1 and None in ranks)


def are_consecutive(ranks: Sequence[int | None]) -> bool:
    """Whether sorted ranks count up from 0 or 1."""
    start = 0 if ranks[0] == 0 else 1
    return list(ranks) == list(range(start, start + len(ranks)))


def list_ranks(ranks: Sequence[int | None]) -> str:
    """Describe unusable ranks, and what to do, for a message."""
    listed = ", ".join("none" if rank is None else str(rank) for rank in ranks[:RANKS_SHOWN])
    more = ", ..." if len(ranks) > RANKS_SHOWN else ""
    return f"{listed}{more}; number them 1, 2, 3, ..., or leave all ranks out"


def read_score(value: object, what: str, place: str) -> float | None:
    """Read a score; DataError if it is not a finite number."""
    number = _number(value)
    if value is None or math.isfinite(number):
        return None if value is None else number
    raise DataError(f"{place}: the {what} is {value!r:.40}, which is not a number")


def read_rank(value: object, what: str, place: str) -> int | None:
    """Read a rank; DataError if it is not a whole number."""
    number = _number(value)
    if value is None or (number.is_integer() and abs(number) <= HIGHEST_RANK):
        return None if value is None else int(number)
    raise DataError(f"{place}: the {what} is {value!r:.40}, which is not a whole number")


def _number(value: object) -> float:
    """Convert a value to a number; NaN if it is none."""
    try:
        return float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return math.nan
