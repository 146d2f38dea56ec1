"""What counts as the answer in generated text: one clean-up, the same for every backend."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aqa.records import AnswerPart

_LABEL = re.compile(
    r"(?:\*\*)?(?:(?:final\s+)?answer|답변|정답|답|a(?=\s*(?:\*\*)?[:：](?:\*\*)?(?:\s|$)))"
    r"\s*(?:\*\*\s*[:：]|[:：]\s*\*\*|[:：])\s*",
    re.IGNORECASE,
)
# Of models that think first, where nobody takes that out; often the prompt has the opening mark.
THOUGHTS = (
    ("<think>", "</think>"),
    ("<thought>", "</thought>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
)
# The channels of gpt-oss, and what is left of them where special tokens are taken out.
_CHANNEL = "<|channel|>"
_FINAL = re.compile(r"<\|channel\|>final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_BARE_CHANNELS = re.compile(r"\s*analysis.*assistantfinal", re.DOTALL)
_END_OF_TURN = re.compile(r"<\|(?:return|end)\|>")
_FENCE = re.compile(r"```\w*\s*\n(.*?)```", re.DOTALL)
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
# A single quotation mark between letters is an apostrophe and may be inside a quotation.
_QUOTED = re.compile(
    r'"([^"]+)"|“([^“”]+)”|`([^`]+)`'
    r"|'((?:[^']|(?<=\w)'(?=\w))+)'|‘((?:[^‘’]|(?<=\w)’(?=\w))+)’"
)
_PUNCTUATION = re.compile(r"[\W_]+")
MOST_BRACES = 64  # at which an object is looked for


@dataclass(frozen=True, slots=True)
class CleanAnswer:
    """An answer after the clean-up; `abstained` means that the reader said there is none."""

    text: str
    abstained: bool


def clean_answer(raw: str, no_answer: Sequence[str], kept: AnswerPart = "line") -> CleanAnswer:
    """Reduce generated text to the answer itself.

    In this order: what a model thought before goes, see `spoken`; the first
    line that holds more than a label ("Answer:", "답변:", "답:", "정답:", "A:", bold or not)
    without that label, and the lines after it where the whole text is kept; bold marks, then one
    pair of quotation marks, where they wrap the whole of it. Where the first line is a no-answer
    phrase, the answer is "". Nothing else is changed.
    """
    lines = (spoken(raw) or "").splitlines(keepends=True)
    opening = line = ""
    while lines and not line:
        opening = _without_label(lines.pop(0).strip())
        line = _unwrap(opening)
    abstained = means_no_answer(line, no_answer)
    text = _unwrap("\n".join([opening, "".join(lines)]).strip()) if kept == "text" else line
    return CleanAnswer("" if abstained else text, abstained)


def spoken(raw: str) -> str | None:
    """What a model says after its thought; None where it only began to think.

    A thought ends with "</think>" and the like, or where the final one of several channels begins.
    """
    said = raw
    for opening, end in THOUGHTS:
        said = said.rpartition(end)[-1]
        if said.lstrip().startswith(opening):
            return None
    if said.lstrip().startswith(_CHANNEL) or _FINAL.search(said):
        *_, said = _FINAL.split(said)
        return None if said.lstrip().startswith(_CHANNEL) else _END_OF_TURN.split(said)[0]
    return _BARE_CHANNELS.sub("", said, count=1) if _BARE_CHANNELS.match(said) else said


def object_in(raw: str) -> dict[str, Any] | None:
    """The JSON object that a model says, alone, in a code fence or within a sentence.

    None where there is none, or where several of them differ.
    """
    said = spoken(raw) or ""
    for text in (said, *_FENCE.findall(said)):
        found = _parsed(text)
        if isinstance(found, dict):
            return found
    objects = list(_objects(said))
    return objects[0] if objects and all(found == objects[0] for found in objects) else None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text, looked for at its first braces."""
    decoder, place = json.JSONDecoder(), -1
    for _ in range(MOST_BRACES):
        place = text.find("{", place + 1)
        if place < 0:
            return
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            continue
        yield found
        place = end - 1


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
