"""The named profiles: how texts are normalised and compared for EM and F1."""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches

from aqa.errors import UsageError
from aqa.metrics.languages import KOREAN

Overlap = tuple[int, int, int]  # sizes of the overlap, the prediction and the reference
_PUNCTUATION = string.punctuation.encode()
_KORQUAD_MARKS = re.compile("['\"《》<>〈〉()‘’]")
# \b(a|an|the)\b, with its first boundary after the letters, which makes the search faster.
_ARTICLE = re.compile(r"(?:an?\b(?<!\wa)(?<!\wan)|the\b(?<!\wthe))")
_SEPARATOR = "\0"  # unchanged by all profiles, and not part of a word
_BATCH = 4096  # texts at a time, to fit into the processor's cache


def shared_words(prediction: str, reference: str) -> Overlap:
    """Compare the multisets of words, as SQuAD does."""
    return _shared(prediction.split(), reference.split())


def shared_characters(prediction: str, reference: str) -> Overlap:
    """Compare the multisets of characters without white space, as KorQuAD does."""
    return _shared(list(prediction.replace(" ", "")), list(reference.replace(" ", "")))


def longest_run(prediction: str, reference: str) -> Overlap:
    """Find the longest common run of characters, on which KLUE-MRC's ROUGE-W is based.

    difflib's default autojunk is kept, as in KLUE's own script: in references of 200 characters
    or more, frequent characters can't begin a run.
    """
    matcher = SequenceMatcher(None, prediction, reference)
    longest = matcher.find_longest_match(0, len(prediction), 0, len(reference)).size
    return longest, len(prediction), len(reference)


def _shared(prediction: list[str], reference: list[str]) -> Overlap:
    predicted, expected = len(prediction), len(reference)
    if predicted * expected > 400:
        return (Counter(prediction) & Counter(reference)).total(), predicted, expected
    for part in prediction:  # faster than counting for short texts
        if part in reference:
            reference.remove(part)
    return expected - len(reference), predicted, expected


def f1(overlap: Overlap) -> float:
    """2PR/(P+R) with P = shared/predicted and R = shared/expected, simplified."""
    shared, predicted, expected = overlap
    return 2 * shared / (predicted + expected) if shared else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A way to compare two texts.

    `clean` does all the normalising except white space; `overlap` compares two normalised texts
    that are not equal; `second` is the name of its F1 in reports, beside `em`.
    """

    name: str
    clean: Callable[[str], str]
    second: str
    overlap: Callable[[str, str], Overlap]

    def normalize(self, text: str) -> str:
        """Normalise one text."""
        return " ".join(self.clean(text).split())

    def normalize_all(self, texts: Iterable[str]) -> dict[str, str]:
        """Normalise each distinct text; a batch is cleaned at once, as one long text."""
        distinct = sorted(set(texts), key=str.isascii)  # pure ASCII is faster to clean
        normalized: dict[str, str] = {}
        for start in range(0, len(distinct), _BATCH):
            batch = distinct[start : start + _BATCH]
            cleaned = self.clean(_SEPARATOR.join(batch)).split(_SEPARATOR)
            if len(cleaned) != len(batch):  # a text contains the separator
                cleaned = [self.clean(text) for text in batch]
            normalized.update(zip(batch, [" ".join(text.split()) for text in cleaned], strict=True))
        return normalized


def without_punctuation(text: str) -> str:
    """Delete ASCII punctuation; on bytes, which takes a tenth of the time."""
    cleaned = text.encode("utf-8", "surrogatepass").translate(None, _PUNCTUATION)
    return cleaned.decode("utf-8", "surrogatepass")


def clean_squad(text: str) -> str:
    """Clean like the official SQuAD script: no case, punctuation or articles."""
    return _ARTICLE.sub(" ", without_punctuation(text.lower()))


def clean_korquad(text: str) -> str:
    """Clean like the official KorQuAD 1.0 script: brackets and quotes separate words."""
    return without_punctuation(_KORQUAD_MARKS.sub(" ", text).lower())


def clean_klue_mrc(text: str) -> str:
    """Clean as KLUE's official script does in effect: its pattern for brackets never matches."""
    return without_punctuation(text.lower())


PROFILES = {
    "squad": Profile("squad", clean_squad, "f1", shared_words),
    "korquad": Profile("korquad", clean_korquad, "f1", shared_characters),
    "klue-mrc": Profile("klue-mrc", clean_klue_mrc, "rouge_w", longest_run),
}


def choose_profile(name: str, languages: Sequence[str]) -> str:
    """Check a profile's name, and choose one for `auto` by the examples' languages.

    `korquad` if all are Korean, `squad` if none is, and `mixed`, which decides for each example,
    otherwise.
    """
    if name == "auto":
        count = languages.count(KOREAN)
        return "mixed" if 0 < count < len(languages) else "korquad" if count else "squad"
    names = ("auto", "mixed", *PROFILES)
    if name not in names:
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}."
        raise UsageError(f"unknown profile {name!r}; {hint}")
    return name


def profile_for(name: str, language: str) -> Profile:
    """Return the profile for one example; `mixed` depends on its language."""
    if name == "mixed":
        name = "korquad" if language == KOREAN else "squad"
    return PROFILES[name]


def main_score(names: Sequence[str]) -> str:
    """Choose a score that distinguishes near misses, F1 or ROUGE-W; else the first one."""
    return next((name for name in ("f1", "rouge_w") if name in names), names[0])


def second_score(name: str) -> str:
    """Return the name of a profile's second score, "f1" or "rouge_w"."""
    return "f1" if name == "mixed" else PROFILES[name].second
