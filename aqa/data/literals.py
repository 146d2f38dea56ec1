"""What texts are meant as: lists and objects, as programs write them; yes and no."""

import ast
import io
import json
import math
import re
import tokenize
import warnings
from collections.abc import Iterator

from aqa.data.json_stream import describe
from aqa.errors import DataError

LONGEST = 10_000_000  # characters of a text that Python's parser is given
# What nothing but a list, an object or an array begins with.
LIST = r"""(?:array\(\s*)?\[\s*(?:[uUbB]?['"\[{\]]|nan\b|None\b|array\(|np\.|[A-Z]\w*\(\w+=)"""
LIST_OPENING = re.compile(LIST)
OPENING = re.compile(LIST + r"""|\{\s*['"}]""")
NAMES = {"nan": "None", "NaN": "None", "null": "None", "true": "True", "false": "False"}
NAMES |= {name: name for name in NAMES.values()}
CLOSING = {"]": "[", "}": "{", ")": "("}
OPENING_BRACKETS = (*CLOSING.values(),)
CALL = "call"  # an open bracket of NumPy's, of which the first value alone counts
NAMED = (".", tokenize.NAME)  # what follows NumPy's name
YES = {"true", "yes", "y", "t", "1", "1.0", "참", "예"}
NO = {"false", "no", "n", "f", "0", "0.0", "거짓", "아니요"}
NOTHING = {"", "nan", "none", "null"}
WRITTEN = (tokenize.STRING, tokenize.NUMBER)
BLANK = (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT)


def read_literal(
    value: object, what: str, place: str, certain: "re.Pattern[str]" = OPENING
) -> object:
    """Give the list or object that a text holds; any other value, and any other text, as it is.

    Raises:
        DataError: the text begins as nothing but a list or an object does (`certain`), and ends
            so, but it can't be read.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] not in ("[", "{", "(", "a") or text[-1:] not in ("]", "}", ")"):
        return value
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        found = _python(text)
    if isinstance(found, tuple) and all(isinstance(item, str) for item in found):
        found = list(found)
    if isinstance(found, list | dict):
        return found
    if certain.match(text):
        raise DataError(
            f"{place}: {what} is {' '.join(text.split()):.60} and can't be read as a list or an"
            " object; write it as JSON"
        )
    return value


def _python(text: str) -> object:
    """Read what Python's repr or str wrote; None where it can't be read."""
    if len(text) > LONGEST:
        return None
    try:
        source = "".join(_rewritten(text))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that are none
            return ast.literal_eval(source)
    except (ValueError, KeyError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        return None


def _rewritten(source: str) -> Iterator[str]:
    """The pieces of a text with arrays as lists, NaN as None, and the commas that NumPy leaves out.

    A list in which some commas are missing and others are not is nobody's: a ValueError.
    """
    opened: list[tuple[str, set[bool]]] = []  # brackets, with whether commas are between values
    after_value = False
    lines = io.StringIO(source).readline
    tokens = (token for token in tokenize.generate_tokens(lines) if token.type not in BLANK)
    for token in tokens:
        text = bracket = token.string
        if text in ("array", "np"):
            if text == "np" and (next(tokens, token).string, next(tokens, token).type) != NAMED:
                raise ValueError
            text, bracket = next(tokens, token).string, CALL
            if text != "(":
                raise ValueError
        elif text == "," and opened and opened[-1][0] == CALL:
            if all(skipped.string != ")" for skipped in tokens):  # dtype=...
                raise ValueError
            text = ")"
        if text in CLOSING:
            bracket, commas = opened.pop() if opened else ("", set())
            if bracket not in (CLOSING[text], CALL) or len(commas) > 1:
                raise ValueError
            after_value = True
        elif text in (",", ":"):
            if opened:
                opened[-1][1].add(True)
            after_value = False
        else:
            if after_value:
                if not opened or opened[-1][0] != "[":
                    raise ValueError
                opened[-1][1].add(False)
                yield ","
            if text in OPENING_BRACKETS:
                opened.append((bracket, set()))
            after_value = text not in (*OPENING_BRACKETS, "-", "+")
            if after_value:
                text = f" {text if token.type in WRITTEN else NAMES[text]} "
        yield text


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
