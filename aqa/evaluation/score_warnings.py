"""Warnings that scores may not mean what they seem to: wrong profile, texts or files."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from aqa.data.columns import fold
from aqa.errors import DataError
from aqa.evaluation.predictions.answered_row import AnsweredRow
from aqa.evaluation.predictions.columns import NO_ANSWERS
from aqa.metrics.languages import KOREAN, WITHOUT_SPACES
from aqa.metrics.pairs import Pairs
from aqa.metrics.unicode_forms import form_warnings
from aqa.runs.cleaning import phrase_key

SHARE = 0.1  # of the unanswerable questions; a phrase used so often may mean "no answer"
TOLD = 3  # phrases reported
SHOWN = 60  # characters of an answer
MANY = 10  # answers; more than coincidence
NEARLY = 0.95  # of the answers
# Text around answers: its pattern, what it is, and what to do.
WRAPPINGS = (
    (
        re.compile(
            r"<\|\w+\|>|</?s>|</think>|<(?:pad|eos|bos|unk|end_of_turn|start_of_turn|extra_id_\d+)>"
        ),
        "text with a model's special tokens or thoughts",
        "--answer line or text removes them",
    ),
    (
        re.compile(
            r"""\A\s*(?:```\w*\s*)?(?:\[\s*['"].*['"]\s*\]|\{\s*['"]\w+['"]\s*:.*\})[\s`]*\Z""",
            re.DOTALL,
        ),
        "a list or an object written as text",
        "it is scored as it is: give only the answer",
    ),
    (
        re.compile(r"&(?:amp|lt|gt|quot|nbsp|#0?39|#x27);"),
        "text with HTML entities",
        "unescape them",
    ),
)

Rows = Mapping[str, AnsweredRow]


def profile_warnings(profile: str, languages: Sequence[str]) -> Iterator[str]:
    """Warn of languages that the profile does not suit."""
    if profile == "squad" and KOREAN in languages:
        yield "the squad profile compares whole words: for Korean, use korquad"
    spaceless = Counter(language for language in languages if language in WITHOUT_SPACES)
    if spaceless and profile in ("squad", "mixed"):
        yield (
            f"the squad profile compares whole words, and {spaceless.total()} of the examples are"
            f" in languages without spaces ({', '.join(sorted(spaceless))}): use chrf for those"
        )


def reference_warnings(pairs: Pairs) -> Iterator[str]:
    """Warn of gold answers that are empty once normalised."""
    silent = [index for index, is_empty in enumerate(pairs.empty_references) if is_empty]
    if silent:
        count = len(silent)
        yield (
            f"of {count} gold answer{'s' * (count > 1)} (such as"
            f' "{pairs.expected[silent[0]][0]}") nothing is left once normalised; by the rule of'
            " SQuAD's script, answers that come to nothing, too, silence included, are right"
        )


def system_warnings(name: str, pairs: Pairs, no_answer: Sequence[str] = ()) -> Iterator[str]:
    """Warn of anything that may make one system's scores lower than they should be."""
    for caution in (*form_warnings(pairs), *_wrapped(pairs)):
        yield f"{name}: {caution}"
    phrases = _phrases_for_no_answer(pairs, no_answer)
    if phrases:
        listed = ", ".join(f'"{text}" ({count} times)' for text, count in phrases)
        options = " ".join(f'--no-answer "{text}"' for text, _ in phrases)
        yield (
            f"{name}: it answers some unanswerable questions with {listed};"
            f' if that means "no answer", add {options}'
        )


def _wrapped(pairs: Pairs) -> Iterator[str]:
    """Warn of wrapped answers, unless references are wrapped in the same way."""
    for mark, what, advice in WRAPPINGS:
        wrapped = [
            text
            for text, references in zip(pairs.predictions, pairs.references, strict=True)
            if text is not None and mark.search(text) and not any(map(mark.search, references))
        ]
        if wrapped:
            sample = " ".join(wrapped[0].split())
            yield (
                f"{len(wrapped)} of its answers {'is' if len(wrapped) == 1 else 'are'} {what}, such"
                f" as {sample if len(sample) <= SHOWN else sample[: SHOWN - 3] + '...'}; {advice}"
            )


def _phrases_for_no_answer(pairs: Pairs, no_answer: Sequence[str]) -> list[tuple[str, int]]:
    """Find frequent answers to unanswerable questions that are no gold answer anywhere."""
    phrases_by_key: dict[str, list[str]] = {}
    for text, texts, abstained in zip(
        pairs.predictions, pairs.expected, pairs.abstained, strict=True
    ):
        if text is not None and not texts and not abstained:
            phrases_by_key.setdefault(phrase_key(text), []).append(text)
    least = max(2, SHARE * pairs.answerable.count(False))
    frequent = {key: texts for key, texts in phrases_by_key.items() if len(texts) >= least}
    if frequent:
        meant = [*no_answer, *(text for texts in pairs.expected for text in texts)]
        for key in map(phrase_key, meant):
            frequent.pop(key, None)
    ordered = sorted(frequent.values(), key=len, reverse=True)[:TOLD]
    return [(texts[0], len(texts)) for texts in ordered]


def same_rows(systems: Mapping[str, Rows]) -> Iterator[str]:
    """Warn of files with identical predictions."""
    for (name, rows), (other, others) in combinations(systems.items(), 2):
        if len(rows) >= MANY and rows == others:
            yield f"{name} and {other} hold the same predictions; was one file given for the other?"


def references_as_answers(
    name: str, rows: Rows, expected: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Warn if answers equal the first references, unless their column is certain.

    Raises:
        DataError: nearly all do, and another column of the row may hold the answers.
    """
    pairs = [(row, expected[key][0]) for key, row in rows.items() if expected.get(key)]
    alike = sum(row.prediction == first for row, first in pairs)
    several = len({(row.prediction, first) for row, first in pairs}) >= MANY
    if not several or alike < NEARLY * len(pairs) or any(row.column is None for row, _ in pairs):
        return
    column = pairs[0][0].column
    if column and (others := _other_texts([row for row, _ in pairs])):
        raise DataError(
            f"{name}: {column} equals the first reference in {alike} of {len(pairs)} rows, so the"
            f" answers may be in {' or '.join(others)}; name the right column with"
            " --prediction-field answer=COLUMN"
        )
    if alike == len(pairs):
        yield (
            f"{name}: all {alike} of its answers equal the first reference; if the references were"
            " read as answers, name the column of the answers with --prediction-field"
            " answer=COLUMN"
        )


def _other_texts(rows: Sequence[AnsweredRow]) -> list[str]:
    """Return the columns with many texts that are not part of a question."""
    columns = []
    for column in rows[0].metadata:
        cells = (row.metadata.get(column) for row in rows)
        texts = {cell for cell in cells if isinstance(cell, str) and any(map(str.isalpha, cell))}
        if len(texts) >= MANY and fold(column) not in NO_ANSWERS:
            columns.append(column)
    return columns
