"""What is wrong with text that is not valid JSON or YAML, in words."""

import json

# What begins no value of JSON, and what it may be.
HINTS = {
    "'": "texts go in double quotes, as Python's json.dumps writes them",
    "/": "JSON has no comments",
    "#": "JSON has no comments",
    "\ufeff": "a byte-order mark, which only the beginning of a file may have; remove it",
    "]": "a value is missing, or the comma is one too many",
    "}": "a key is missing, or the comma is one too many",
}
# How the messages of Python's parser begin, and of PyYAML; others are kept.
JSON_FAULTS = {
    "Extra data": "something follows the value",
    "Expecting ','": 'a comma is missing here, or a bracket before; in texts, write " as \\"',
    "Expecting ':'": "a colon is missing",
    "Expecting property name": "a key in double quotes is needed",
    "Expecting value": 'a value is missing: null, true, false, a number, "text", [...] or {...}',
    "Illegal trailing comma": "a comma is one too many",  # since Python 3.13
    "Invalid control": "line breaks and tabs in texts are written \\n and \\t",
    "Invalid \\": "a backslash is written \\\\",
}
YAML_FAULTS = {
    "mapping values": 'a colon too many: put texts with ": " in quotes, and check the indentation',
    "found character '\\t'": "a tab: indent with spaces",
    "found character": "a character that begins no text: put the text in quotes",
    "found undefined alias": "a * that begins no text: put the text in quotes",
    "expected ','": "a comma is missing, or a bracket is not closed",
    "found unexpected end": "a quotation mark is not closed",
    "expected <block end>, but found '<scalar>'": (
        "more text after a closing quotation mark or bracket: put all of the value in quotes"
    ),
    "expected <block end>, but found ','": "a comma after a value: remove it",
    "expected <block end>": "this line is not indented like those before it",
    "expected '<document start>', but found '<block": "this line is indented less than the first",
    "could not find expected": "a key without a colon",
    "could not determine a constructor": "tags (!) are not supported",
    "but found another document": "a second document begins; keep one",
}


def json_fault(error: Exception) -> str:
    """Say why text is not valid JSON."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
            return "it ends too early"
        fault = _fault(error.msg, JSON_FAULTS)
        is_missing = not error.msg.startswith(("Extra", "Expecting ',", "Expecting ':"))
        return HINTS.get(error.doc[error.pos], fault) if is_missing else fault
    if "integer string conversion" in str(error):
        return "a number has more than 4,300 digits"
    return str(error)


def yaml_fault(error: Exception) -> str:
    """Say why text is not valid YAML."""
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return _fault(problem, YAML_FAULTS)


def _fault(message: str, faults: dict[str, str]) -> str:
    return next((words for begun, words in faults.items() if message.startswith(begun)), message)
