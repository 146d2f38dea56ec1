"""Parse lists and objects that programs wrote as text, and values for yes and no."""

import ast
import io
import json
import re
import tokenize
import warnings
from collections.abc import Iterator

from aqa.data.json_stream import describe
from aqa.errors import DataError

LONGEST = 10_000_000  # characters to pass to Python's parser
# How only a list, an object or an array begins.
LIST = r"""(?:array\(\s*)?\[\s*(?:[uUbB]?['"\[{\]]|nan\b|None\b|array\(|np\.|[A-Z]\w*\(\w+=)"""
LIST_OPENING = re.compile(LIST)
OPENING = re.compile(LIST + r"""|\{\s*['"}]""")
# An object as Python prints it, such as a client's reply or LangChain's documents and messages.
PRINTED = re.compile(
    r"\[?(?:\w+\.)*[A-Z]\w+\([a-z_]\w*=.*\)\]?|(?:page_)?content=(['\"]).*\1(?: \w+=.*)?", re.DOTALL
)
NAMES = {"nan": "None", "NaN": "None", "null": "None", "true": "True", "false": "False"}
NAMES |= {name: name for name in NAMES.values()}
CLOSING = {"]": "[", "}": "{", ")": "("}
OPENING_BRACKETS = (*CLOSING.values(),)
CALL = "call"  # an opening bracket in a NumPy repr, of which only the first value counts
NAMED = (".", tokenize.NAME)  # what follows NumPy's name
YES = {"true", "yes", "y", "t", "1", "1.0", "참", "예"}
NO = {"false", "no", "n", "f", "0", "0.0", "거짓", "아니요"}
NOTHING = {"", "nan", "none", "null"}
WRITTEN = (tokenize.STRING, tokenize.NUMBER)
BLANK = (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT)


def read_literal(
    value: object, what: str, place: str, certain: "re.Pattern[str]" = OPENING
) -> object:
    """Return the list or object that a text contains; any other value or text unchanged.

    Raises:
        DataError: the text begins (`certain`) and ends like a list or object, but can't be
            parsed.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] not in ("[", "{", "(", "a") or text[-1:] not in ("]", "}", ")"):
        return value
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        parsed = _python(text)
    if isinstance(parsed, tuple) and all(isinstance(item, str) for item in parsed):
        parsed = list(parsed)
    if isinstance(parsed, list | dict):
        return parsed
    if certain.match(text):
        raise DataError(
            f"{place}: {what} is {' '.join(text.split()):.60} and can't be read as a list or an"
            " object; write it as JSON"
        )
    return value


def is_printed(text: str) -> bool:
    """Whether a text is an object as Python prints it."""
    return PRINTED.fullmatch(text.strip()) is not None


def _python(text: str) -> object:
    """Parse what Python's repr or str wrote; None if it can't be parsed."""
    if len(text) > LONGEST:
        return None
    try:
        source = "".join(_rewritten(text))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes
            return ast.literal_eval(source)
    except (ValueError, KeyError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        return None


def _rewritten(source: str) -> Iterator[str]:
    """Yield the text with arrays as lists, NaN as None, and the commas that NumPy omits.

    A list in which only some commas are missing raises ValueError.
    """
    opened: list[tuple[str, set[bool]]] = []  # brackets, and whether values have commas between
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


def read_flag(value: object, what: str, place: str) -> bool | None:
    """Parse a yes or no; None for a missing value, DataError for anything else."""
    parsed = flag(value)
    if parsed is None and str(value).strip().casefold() not in NOTHING:
        written = f'"{value:.40}"' if isinstance(value, str) else describe(value)
        raise DataError(f'{place}: "{what}" is {written}, where true or false is needed')
    return parsed


def flag(value: object) -> bool | None:
    """Return whether a value means yes or no; None for any other."""
    word = str(value).strip().casefold()
    return word in YES if word in YES | NO else None
