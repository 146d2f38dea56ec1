"""ROUGE by the package rouge-score-rs, with a tokenizer for each language.

It computes the scores of rouge-score, the reference implementation, many times faster.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from aqa.metrics.kiwi import drop_punctuation, has_kiwi, kiwi_version, morphemes
from aqa.metrics.languages import KOREAN, LATIN, has_hangul, language_of
from aqa.metrics.pairs import Pairs
from aqa.records import Score

_WORD = re.compile("[a-z0-9]")  # the characters of the default tokenizer's words
_ENDS = re.compile(r"^[\W_]+|[\W_]+$")
ROUGE = ("rouge1", "rouge2", "rougeL")
_RUN = 6  # tokens that may be joined if a text is spaced differently


Tokenizer = Callable[[str], Sequence[str]]


def characters(text: str) -> Sequence[str]:
    """Make every letter and digit a token, or every mark if there are only marks.

    ROUGE's own tokenizer keeps only [a-z0-9].
    """
    return drop_punctuation(tuple("".join(text.lower().split())))


def by_morphemes(text: str) -> Sequence[str]:
    """Make every morpheme found by Kiwi a token, except punctuation, which ROUGE ignores.

    Punctuation at the ends is removed first, since it changes Kiwi's analysis ("btv." is one).
    """
    text = text.lower()
    return morphemes(_ENDS.sub("", text) or text)


def rouge(name: str, pairs: Pairs) -> Score:
    """F1 of shared tokens, bigrams (rouge2), or the longest common subsequence (L).

    A text of one token has no bigrams and scores 0 in rouge2.
    """
    values, details = _score_all(pairs)
    return pairs.score(name, values[name], details)


@lru_cache(maxsize=1)
def _score_all(pairs: Pairs) -> tuple[dict[str, list[float]], str]:
    """Compute all three scores at once, cached for the others, and the signature's details."""
    from importlib.metadata import version

    from rouge_score_rs import RougeScorer

    single = pairs.single()
    predictions, references = list(single.predictions), list(single.references)
    words: dict[str, str] = {}
    used: set[Tokenizer | None] = set()
    korean = by_morphemes if has_kiwi() else characters
    for index, owner in enumerate(single.owners):
        tokenizer = _tokenizer(pairs.languages[owner], references[index], korean)
        used.add(tokenizer)
        if tokenizer is not None:
            expected = tokenizer(references[index])
            answer = tokenizer(predictions[index])
            if tokenizer is by_morphemes:
                answer = split_like(answer, expected)
            predictions[index] = _written(answer, words)
            references[index] = _written(expected, words)
    scores = RougeScorer(list(ROUGE)).score_batch(references, predictions)
    return (
        {name: single.best([100.0 * score[name].fmeasure for score in scores]) for name in ROUGE},
        f"tokenizer:{_named(used)}|stemmer:no|rouge-score-rs:{version('rouge-score-rs')}",
    )


def _tokenizer(language: str, reference: str, korean: Tokenizer) -> Tokenizer | None:
    """Choose how to tokenize a reference of an example in that language; `korean` if Korean.

    None is ROUGE's own tokenizer, which sees only Latin letters and digits: of references in other
    scripts it would see nothing, or only digits.
    """
    if language in (LATIN, "en"):
        language = language_of(reference) or LATIN
        if language == LATIN and _WORD.search(reference.lower()):
            return None
    return korean if language == KOREAN else characters


def _named(used: set[Tokenizer | None]) -> str:
    names = ["default"] if None in used or not used else []
    names += [f"kiwi-{kiwi_version()}"] if by_morphemes in used else []
    return "+".join([*names, *(["characters"] if characters in used else [])])


def split_like(tokens: Sequence[str], model: Sequence[str]) -> Sequence[str]:
    """Split a text's Hangul like the reference's, if they differ only in that.

    Spacing changes which morphemes are found: 김구 is one, 김 구 are two.
    """
    ours, theirs = set(tokens), set(model)
    if ours <= theirs or theirs <= ours:
        return tokens
    run_of = {"".join(run): run for run in _runs(model)}
    split: list[str] = []
    index = 0
    while index < len(tokens):
        ends = range(min(len(tokens), index + _RUN), index, -1)
        longest = next((end for end in ends if "".join(tokens[index:end]) in run_of), index)
        split += run_of["".join(tokens[index:longest])] if longest > index else [tokens[index]]
        index = max(longest, index + 1)
    return split


def _runs(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(len(tokens)):
        for end in range(start + 1, min(len(tokens), start + _RUN) + 1):
            if not has_hangul([tokens[end - 1]]):
                break
            yield tokens[start:end]


def _written(tokens: Sequence[str], words: dict[str, str]) -> str:
    """Encode tokens as a text of made-up words, equal tokens as equal words.

    The default tokenizer, which does not run in Python, splits these words correctly, and ROUGE
    only compares tokens for equality.
    """
    return " ".join([words.setdefault(token, str(len(words))) for token in tokens])
