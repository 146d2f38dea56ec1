"""What a reader of scores should know of the texts that they compare."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from aqa.metrics.languages import KOREAN, WITHOUT_SPACES
from aqa.metrics.pairs import Pairs
from aqa.metrics.unicode_forms import form_warnings
from aqa.runs.cleaning import phrase_key

SHARE = 0.1  # of the unanswerable questions: a phrase given to so many may mean that
TOLD = 3  # phrases
SHOWN = 60  # characters of an answer
# What is around answers: how it is known, what it is, and what to do.
WRAPPINGS = (
    (
        re.compile(
            r"<\|\w+\|>|</?s>|</think>|<(?:pad|eos|bos|unk|end_of_turn|start_of_turn|extra_id_\d+)>"
        ),
        "text with the special tokens or thoughts of a model",
        "--answer line or text takes them out",
    ),
    (
        re.compile(r"""\A\s*(?:\[\s*['"].*['"]\s*\]|\{\s*['"]\w+['"]\s*:.*\})\s*\Z""", re.DOTALL),
        "a list or an object written as text",
        "it is scored as it stands: write the answer alone",
    ),
    (
        re.compile(r"&(?:amp|lt|gt|quot|nbsp|#0?39|#x27);"),
        "text with entities of HTML",
        "unescape them",
    ),
)


def profile_cautions(profile: str, languages: Sequence[str]) -> Iterator[str]:
    """Tell of languages that the profile's words do not fit."""
    if profile == "squad" and KOREAN in languages:
        yield "the squad profile compares whole words: for Korean, use korquad"
    spaceless = Counter(language for language in languages if language in WITHOUT_SPACES)
    if spaceless and profile in ("squad", "mixed"):
        yield (
            f"the squad profile compares whole words, and {spaceless.total()} of the examples are"
            f" in languages without spaces ({', '.join(sorted(spaceless))}): go by chrf there"
        )


def reference_cautions(pairs: Pairs) -> Iterator[str]:
    """Tell of gold answers of which nothing is left once normalised."""
    silent = [place for place, found in enumerate(pairs.silent_references) if found]
    if silent:
        count = len(silent)
        yield (
            f"of {count} gold answer{'s' * (count > 1)} (such as"
            f' "{pairs.expected[silent[0]][0]}") nothing is left once normalised; by the rule of'
            " SQuAD's script, answers of which nothing is left either, silence included, are right"
        )


def system_cautions(name: str, pairs: Pairs, no_answer: Sequence[str] = ()) -> Iterator[str]:
    """Tell of one system what may make its scores lower than they should be."""
    for caution in (*form_warnings(pairs), *_wrapped(pairs)):
        yield f"{name}: {caution}"
    phrases = _phrases_for_no_answer(pairs, no_answer)
    if phrases:
        said = ", ".join(f'"{text}" ({count} times)' for text, count in phrases)
        options = " ".join(f'--no-answer "{text}"' for text, _ in phrases)
        yield (
            f"{name}: it answers some unanswerable questions with {said};"
            f' if that means "no answer", add {options}'
        )


def _wrapped(pairs: Pairs) -> Iterator[str]:
    """Tell of answers that hold more than their text, where the references hold nothing alike."""
    for mark, what, advice in WRAPPINGS:
        found = [
            text
            for text, references in zip(pairs.predictions, pairs.references, strict=True)
            if text is not None and mark.search(text) and not any(map(mark.search, references))
        ]
        if found:
            shown = " ".join(found[0].split())
            yield (
                f"{len(found)} of its answers {'is' if len(found) == 1 else 'are'} {what}, such as"
                f" {shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + '...'}; {advice}"
            )


def _phrases_for_no_answer(pairs: Pairs, known: Sequence[str]) -> list[tuple[str, int]]:
    """Find what a system says to unanswerable questions again and again, and no gold answer is."""
    said: dict[str, list[str]] = {}
    for text, texts, abstained in zip(
        pairs.predictions, pairs.expected, pairs.abstained, strict=True
    ):
        if text is not None and not texts and not abstained:
            said.setdefault(phrase_key(text), []).append(text)
    least = max(2, SHARE * pairs.answerable.count(False))
    frequent = {key: texts for key, texts in said.items() if len(texts) >= least}
    if frequent:
        meant = [*known, *(text for texts in pairs.expected for text in texts)]
        for key in map(phrase_key, meant):
            frequent.pop(key, None)
    ordered = sorted(frequent.values(), key=len, reverse=True)[:TOLD]
    return [(texts[0], len(texts)) for texts in ordered]
