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
CALL = "call"  # an open bracket of NumPy's, of which the first value alone counts
NAMED = (".", tokenize.NAME)  # what follows NumPy's name
YES = {"true", "yes", "y", "t", "1", "1.0", "참", "예"}
NO = {"false", "no", "n", "f", "0", "0.0", "거짓", "아니요"}
NOTHING = {"", "nan", "none", "null"}
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
        source = "".join(_Rewriter(text).tokens())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that are none
            return ast.literal_eval(source)
    except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        return None


class _Rewriter:
    """Writes arrays as lists, NaN as None, and the commas that NumPy leaves out.

    A list in which some commas are missing and others are not is nobody's: a ValueError.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._open: list[str] = []
        self._commas: list[set[bool]] = []  # whether commas are between values, by open bracket
        self._after_value = False

    def tokens(self) -> Iterator[str]:
        """Give the pieces of the text anew."""
        lines = io.StringIO(self._text).readline
        tokens = (token for token in tokenize.generate_tokens(lines) if token.type not in BLANK)
        for token in tokens:
            if token.string in ("array", "np"):
                if token.string == "np" and (_next(tokens).string, _next(tokens).type) != NAMED:
                    raise ValueError
                if _next(tokens).string != "(":
                    raise ValueError
                yield from self._opened(CALL, "(")
            elif token.type == tokenize.OP and token.string in "[{(":
                yield from self._opened(token.string)
            elif token.string in CLOSING:
                yield self._closed(token.string)
            elif token.string == "," and self._open[-1:] == [CALL]:
                if all(skipped.string != ")" for skipped in tokens):  # dtype=...
                    raise ValueError
                yield self._closed(")")
            elif token.string in (",", ":"):
                if self._open:
                    self._commas[-1].add(True)
                self._after_value = False
                yield token.string
            elif token.string in ("-", "+"):
                yield from self._separated()
                self._after_value = False
                yield token.string
            else:
                yield from self._separated()
                self._after_value = True
                yield f" {_value(token)} "

    def _opened(self, bracket: str, written: str = "") -> Iterator[str]:
        yield from self._separated()
        self._open.append(bracket)
        self._commas.append(set())
        self._after_value = False
        yield written or bracket

    def _closed(self, bracket: str) -> str:
        if not self._open or self._open.pop() not in (CLOSING[bracket], CALL):
            raise ValueError
        if len(self._commas.pop()) > 1:
            raise ValueError
        self._after_value = True
        return bracket

    def _separated(self) -> Iterator[str]:
        if self._after_value:
            if self._open[-1:] != ["["]:
                raise ValueError
            self._commas[-1].add(False)
            yield ","


def _value(token: tokenize.TokenInfo) -> str:
    if token.type in (tokenize.STRING, tokenize.NUMBER):
        return token.string
    if token.string not in NAMES:
        raise ValueError
    return NAMES[token.string]


def _next(tokens: Iterator[tokenize.TokenInfo]) -> tokenize.TokenInfo:
    token = next(tokens, None)
    if token is None:
        raise ValueError
    return token


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
