"""What counts as the answer in generated text: one clean-up, the same for every backend."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aqa.records import AnswerPart

_LABEL = re.compile(
    r"(?:\*\*)?(?:(?:final\s+)?answer|답변|정답|답|a(?=\s*(?:\*\*)?[:：](?:\*\*)?(?:\s|$)))"
    r"\s*(?:\*\*\s*[:：]|[:：]\s*\*\*|[:：])\s*",
    re.IGNORECASE,
)
# Of models that think first, where nobody takes that out; often the prompt has the opening mark.
_ENDS_OF_THOUGHT = ("</think>", "</thought>")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
# A single quotation mark between letters is an apostrophe and may stand inside a quotation.
_QUOTED = re.compile(
    r'"([^"]+)"|“([^“”]+)”|`([^`]+)`'
    r"|'((?:[^']|(?<=\w)'(?=\w))+)'|‘((?:[^‘’]|(?<=\w)’(?=\w))+)’"
)
_PUNCTUATION = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class CleanAnswer:
    """An answer after the clean-up; `abstained` means that the reader said there is none."""

    text: str
    abstained: bool


def clean_answer(raw: str, no_answer: Sequence[str], kept: AnswerPart = "line") -> CleanAnswer:
    """Reduce generated text to the answer itself.

    In this order: what a model thought before (up to "</think>" or "</thought>") goes; the first
    line that holds more than a label ("Answer:", "답변:", "답:", "정답:", "A:", bold or not)
    without that label, and the lines after it where the whole text is kept; bold marks, then one
    pair of quotation marks, where they wrap the whole of it. Where the first line is a no-answer
    phrase, the answer is "". Nothing else is changed.
    """
    said = raw
    for mark in _ENDS_OF_THOUGHT:
        said = said.rpartition(mark)[-1]
    lines = said.splitlines(keepends=True)
    opening = line = ""
    while lines and not line:
        opening = _without_label(lines.pop(0).strip())
        line = _unwrap(opening)
    abstained = means_no_answer(line, no_answer)
    text = _unwrap("\n".join([opening, "".join(lines)]).strip()) if kept == "text" else line
    return CleanAnswer("" if abstained else text, abstained)


def means_no_answer(text: str, phrases: Iterable[str]) -> bool:
    """Tell whether `text` is one of the phrases, see `phrase_key`."""
    key = phrase_key(text)
    return any(key == phrase_key(phrase) for phrase in phrases)


def _without_label(line: str) -> str:
    label = _LABEL.match(line)
    if label is None:
        return line
    answer = line[label.end() :]
    opened = label[0].count("**") == 1
    return answer.removesuffix("**").rstrip() if opened else answer


def _unwrap(line: str) -> str:
    for wrapped in (_BOLD, _QUOTED):
        if match := wrapped.fullmatch(line):
            line = next(group for group in match.groups() if group is not None).strip()
    return line


def phrase_key(text: str) -> str:
    """Give what is equal for one phrase, whatever its case, spacing and punctuation."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return " ".join(_PUNCTUATION.sub(" ", folded).split()) or folded.strip()
