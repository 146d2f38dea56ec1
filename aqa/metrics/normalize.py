"""The named profiles: how texts are made comparable, and what they then share: words, or a run."""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches

from aqa.errors import UsageError
from aqa.metrics.languages import KOREAN

Overlap = tuple[int, int, int]  # what is shared, what the prediction has, what the reference has
_PUNCTUATION = string.punctuation.encode()
_KORQUAD_MARKS = re.compile("['\"《》<>〈〉()‘’]")
# \b(a|an|the)\b, with its first boundary behind the letters: so the search can leap to them.
_ARTICLE = re.compile(r"(?:an?\b(?<!\wa)(?<!\wan)|the\b(?<!\wthe))")
_SEPARATOR = "\0"  # no step of any profile touches it, and it is part of no word
_BATCH = 4096  # texts at a time: what the processor's cache holds


def shared_words(prediction: str, reference: str) -> Overlap:
    """Compare the multisets of words, as SQuAD counts them."""
    return _shared(prediction.split(), reference.split())


def shared_characters(prediction: str, reference: str) -> Overlap:
    """Compare the multisets of characters without white space, as KorQuAD counts them."""
    return _shared(list(prediction.replace(" ", "")), list(reference.replace(" ", "")))


def longest_run(prediction: str, reference: str) -> Overlap:
    """Find the longest common run of characters, of which KLUE-MRC makes its ROUGE-W.

    difflib's default autojunk is kept, as in KLUE's own script: in references of 200 characters
    or more, frequent characters begin no run.
    """
    matcher = SequenceMatcher(None, prediction, reference)
    longest = matcher.find_longest_match(0, len(prediction), 0, len(reference)).size
    return longest, len(prediction), len(reference)


def _shared(prediction: list[str], reference: list[str]) -> Overlap:
    predicted, expected = len(prediction), len(reference)
    if predicted * expected > 400:
        return (Counter(prediction) & Counter(reference)).total(), predicted, expected
    for part in prediction:  # faster than counting where there is little to count
        if part in reference:
            reference.remove(part)
    return expected - len(reference), predicted, expected


def f1(overlap: Overlap) -> float:
    """2PR/(P+R) with P = shared/predicted and R = shared/expected, in its shortest form."""
    shared, predicted, expected = overlap
    return 2 * shared / (predicted + expected) if shared else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A way to compare two texts.

    `clean` does all of the normalising but the white space; `overlap` tells what two normalised
    texts share that are not equal; `second` is the name in reports of its F1, beside `em`.
    """

    name: str
    clean: Callable[[str], str]
    second: str
    overlap: Callable[[str, str], Overlap]

    def normalize(self, text: str) -> str:
        """Make one text comparable."""
        return " ".join(self.clean(text).split())

    def normalize_all(self, texts: Iterable[str]) -> dict[str, str]:
        """Make each distinct text comparable; many are cleaned in one go, as one long text."""
        distinct = sorted(set(texts), key=str.isascii)  # ASCII alone is faster to clean
        normalized: dict[str, str] = {}
        for start in range(0, len(distinct), _BATCH):
            batch = distinct[start : start + _BATCH]
            cleaned = self.clean(_SEPARATOR.join(batch)).split(_SEPARATOR)
            if len(cleaned) != len(batch):  # a text holds the separator
                cleaned = [self.clean(text) for text in batch]
            normalized.update(zip(batch, [" ".join(text.split()) for text in cleaned], strict=True))
        return normalized


def without_punctuation(text: str) -> str:
    """Delete the marks of ASCII; as bytes, which takes a tenth of the time."""
    kept = text.encode("utf-8", "surrogatepass").translate(None, _PUNCTUATION)
    return kept.decode("utf-8", "surrogatepass")


def clean_squad(text: str) -> str:
    """Clean as the official SQuAD script does: no case, punctuation or articles."""
    return _ARTICLE.sub(" ", without_punctuation(text.lower()))


def clean_korquad(text: str) -> str:
    """Clean as the official KorQuAD 1.0 script does: brackets and quotes part words."""
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
    """Check a profile's name and settle `auto` by the languages of the examples.

    Korean alone is compared by `korquad`, other languages alone by `squad`, and each example by
    its own where they mix.
    """
    if name == "auto":
        count = languages.count(KOREAN)
        return "mixed" if 0 < count < len(languages) else "korquad" if count else "squad"
    known = ("auto", "mixed", *PROFILES)
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}."
        raise UsageError(f"unknown profile {name!r}; {hint}")
    return name


def profile_for(name: str, language: str) -> Profile:
    """Give the profile of one example; `mixed` goes by its language."""
    if name == "mixed":
        name = "korquad" if language == KOREAN else "squad"
    return PROFILES[name]


def main_score(names: Sequence[str]) -> str:
    """Choose the score that tells near misses from misses, F1 or ROUGE-W; else the first one."""
    return next((name for name in ("f1", "rouge_w") if name in names), names[0])


def second_score(name: str) -> str:
    """Give the name of a profile's second score, "f1" or "rouge_w"."""
    return "f1" if name == "mixed" else PROFILES[name].second
