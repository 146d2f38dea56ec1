"""Yes and no, in the spellings that files have."""

import math

from aqa.data.json_stream import describe
from aqa.errors import DataError

YES = {"true", "yes", "y", "t", "1", "1.0", "참", "예"}
NO = {"false", "no", "n", "f", "0", "0.0", "거짓", "아니요"}
NOTHING = {"", "nan", "none", "null"}


def read_flag(value: object, column: str, place: str) -> bool | None:
    """Read a yes or no; None where the row says neither, DataError where it says something else."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, str | int | float):
        word = str(value).strip().casefold()
        if word in YES or word in NO:
            return word in YES
        if word in NOTHING:
            return None
    found = f'"{value:.40}"' if isinstance(value, str) else describe(value)
    raise DataError(f'{place}: "{column}" is {found}, where true or false is needed')


def is_true(value: object) -> bool:
    """Tell whether a value of a file means yes; what means nothing that is known does not."""
    return str(value).strip().casefold() in YES


def is_no(value: object) -> bool:
    """Tell whether a value of a file means no."""
    return str(value).strip().casefold() in NO
