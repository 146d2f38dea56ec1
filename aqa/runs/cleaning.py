"""Extract the answer from generated text, the same way for every backend."""

import json
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aqa.records import AnswerPart

_LABEL = re.compile(
    r"(?:\*\*)?(?:(?:final\s+)?answer|답변|정답|답|a(?=\s*(?:\*\*)?[:：](?:\*\*)?(?:\s|$)))"
    r"\s*(?:\*\*\s*[:：]|[:：]\s*\*\*|[:：])\s*",
    re.IGNORECASE,
)
# Reasoning that a server left in the text; often the prompt contains the opening mark.
THOUGHTS = (
    ("<think>", "</think>"),
    ("<thought>", "</thought>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<reasoning>", "</reasoning>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker's
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A's
    ("◁think▷", "◁/think▷"),  # Kimi's
    ("<|channel>", "<channel|>"),  # Gemma 4's
    ("<|think|>", "<|content|>"),  # Solar's
)
_THOUGHT_BEGINS = re.compile("|".join(re.escape(begin) for begin, _ in THOUGHTS), re.IGNORECASE)
_THOUGHT_ENDS = re.compile("|".join(re.escape(end) for _, end in THOUGHTS), re.IGNORECASE)
# What models put around an answer after their reasoning.
_WRAPS = re.compile(
    r"<(?:answer|final_answer|response)>|<\|START_RESPONSE\|>|<\|begin_of_(?:box|solution)\|>",
    re.IGNORECASE,
)
_WRAP_ENDS = (
    "</answer>", "</final_answer>", "</response>", "<|END_RESPONSE|>", "<|end_of_box|>",
    "<|end_of_solution|>",
)  # fmt: skip
# End-of-turn tokens that a server may leave at the end of an answer.
_TURN_ENDS = (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|return|>", "<|endoftext|>",
    "<|end_of_text|>", "<|endofturn|>", "<|END_OF_TURN_TOKEN|>", "<end_of_turn>", "<turn|>",
    "[|endofturn|]", "<｜end▁of▁sentence｜>", "</s>",
)  # fmt: skip
# The channels of gpt-oss, and what remains of them without special tokens.
_CHANNEL = "<|channel|>"
_FINAL = re.compile(r"<\|channel\|>final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_BARE_CHANNELS = re.compile(r"\s*analysis.*assistantfinal", re.DOTALL)
_END_OF_TURN = re.compile(r"<\|(?:return|end)\|>")
_FENCE = re.compile(r"```\w*[^\S\n]*\n(.*?)```", re.DOTALL)
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
# A single quotation mark between letters is an apostrophe and may be inside a quotation. The
# possessive ++ saves the memory for going back, which can't find more.
_QUOTED = re.compile(
    r'"([^"]+)"|“([^“”]+)”|`([^`]+)`'
    r"|'((?:[^']|(?<=\w)'(?=\w))++)'|‘((?:[^‘’]|(?<=\w)’(?=\w))++)’"
)
_PUNCTUATION = re.compile(r"[\W_]+")
# White space, controls, and what Unicode calls default ignorable; then a blank of Braille.
_BLANKS = re.compile(
    "[\\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\u2800]*"
)
HALF = "\ufffd"  # what remains of a character whose bytes were cut in the middle
MOST_MARKS = 4  # nested around an answer
MOST_BRACES = 64  # positions at which to look for an object


@dataclass(frozen=True, slots=True)
class CleanAnswer:
    """A cleaned answer; `abstained`: the reader said that there is none."""

    text: str
    abstained: bool


def clean_answer(raw: str, no_answer: Sequence[str], part: AnswerPart = "line") -> CleanAnswer:
    """Reduce generated text to the answer itself.

    In this order: remove reasoning (see `strip_thoughts`); take the first line that shows more
    than a label ("Answer:", "답변:", "답:", "정답:", "A:", bold or not), without its label, and
    the lines after it if the whole text is kept; remove bold marks and then one pair of quotation
    marks around all of it. If the first line is a no-answer phrase, the answer is "".
    """
    lines = deque((strip_thoughts(raw) or "").splitlines(keepends=True))
    opening = line = ""
    while lines and is_blank(line):
        opening = _without_label(_without_blanks(lines.popleft()).rstrip())
        line = _unwrap(opening)
    if is_blank(line):
        return CleanAnswer("", abstained=False)
    abstained = means_no_answer(line, no_answer)
    text = _unwrap("\n".join([opening, "".join(lines)]).strip()) if part == "text" else line
    return CleanAnswer("" if abstained else text, abstained)


def strip_thoughts(raw: str) -> str | None:
    """Return what a model says after its reasoning; None if it never got beyond that.

    Reasoning ends with "</think>" and the like, or where the final channel begins. An answer tag
    around the rest and template marks at its end are removed.
    """
    begin = 0
    for end in _THOUGHT_ENDS.finditer(raw):
        begin = end.end()
    rest = _without_blanks(raw[begin:])
    if _THOUGHT_BEGINS.match(rest):
        return None
    if rest.startswith(_CHANNEL) or _FINAL.search(rest):
        *_, rest = _FINAL.split(rest)
        return None if rest.startswith(_CHANNEL) else _END_OF_TURN.split(rest)[0]
    if _BARE_CHANNELS.match(rest):
        rest = _BARE_CHANNELS.sub("", rest, count=1)
    return _unmarked(rest)


def _unmarked(text: str) -> str:
    text = text.rstrip(HALF)
    for _ in range(MOST_MARKS):
        shorter = _without_end(text, _TURN_ENDS)
        text = shorter if shorter.strip() else text
    for _ in range(MOST_MARKS):
        stripped = _without_blanks(text)
        begin = _WRAPS.match(stripped)
        if begin is None:
            break
        text = _without_end(stripped[begin.end() :], _WRAP_ENDS)
    return text


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: it has only white space and invisible characters."""
    return _BLANKS.fullmatch(text) is not None


def _without_blanks(text: str) -> str:
    """Remove blanks from the start; at the end, some belong to the character before them."""
    return _BLANKS.sub("", text, count=1)


def _without_end(text: str, ends: Iterable[str]) -> str:
    bare = text.rstrip()
    end = next((end for end in ends if bare.endswith(end)), None)
    return text if end is None else bare.removesuffix(end)


def object_in(raw: str) -> dict[str, Any] | None:
    """Return the JSON object in a model's text: alone, in a code fence or within a sentence.

    None if there is none, or if there are several different ones.
    """
    rest = strip_thoughts(raw) or ""
    for text in (rest, *_FENCE.findall(rest)):
        parsed = _parsed(text)
        parsed = _parsed(parsed) if isinstance(parsed, str) else parsed
        if isinstance(parsed, dict):
            return parsed
    objects = list(_objects(rest))
    return objects[0] if objects and all(parsed == objects[0] for parsed in objects) else None


def _parsed(text: str) -> object:
    try:
        # Keep numbers as written (12.50); allow raw line breaks in strings.
        return json.loads(text, strict=False, parse_float=str)
    except (ValueError, RecursionError):
        return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects in a text, trying only its first braces."""
    decoder, start = json.JSONDecoder(strict=False, parse_float=str), -1
    for _ in range(MOST_BRACES):
        start = text.find("{", start + 1)
        if start < 0:
            return
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        yield value
        start = end - 1


def means_no_answer(text: str, phrases: Iterable[str]) -> bool:
    """Whether `text` is one of the phrases, compared by `phrase_key`."""
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
    """Normalise a phrase, so that case, spacing and punctuation don't matter."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return " ".join(_PUNCTUATION.sub(" ", folded).split()) or folded.strip()
