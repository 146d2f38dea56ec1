"""Predictions aligned with references, and their agreement: the input of every metric."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from aqa.errors import DataError
from aqa.metrics.languages import example_languages
from aqa.metrics.normalize import PROFILES, Profile, f1, profile_for, second_score
from aqa.metrics.verdicts import Verdicts
from aqa.records import Score
from aqa.version import __version__

FULL, NOTHING = (100.0, 100.0), (0.0, 0.0)  # (exact match, second score)
_BLOCK = 1 << 15  # pairs that are compared at once

_WORD = re.compile("[^\\W_AEHNTaehnt]")  # a letter or digit that is in no article


@dataclass(frozen=True, slots=True)
class Citation:
    """The ranks of the passages that an answer cites, and of the gold ones that it could cite."""

    named: frozenset[int]
    gold: frozenset[int]


@dataclass(frozen=True, slots=True)
class Single:
    """Pairs of one prediction and one reference, both non-empty.

    As in other metrics, a missing prediction scores 0, and an empty one scores 100 if the question
    is unanswerable; such texts are not passed to the metric. `owners` are the examples that the
    pairs belong to, `settled` each example's minimum score.
    """

    predictions: Sequence[str]
    references: Sequence[str]
    owners: Sequence[int]
    settled: Sequence[float]

    def best(self, scores: Sequence[float]) -> list[float]:
        """Convert the pairs' scores, 0..100, to each example's best."""
        values = list(self.settled)
        for owner, value in zip(self.owners, scores, strict=True):
            values[owner] = max(values[owner], value)
        return values


@dataclass(frozen=True, eq=False)
class Pairs:
    """Aligned predictions and references with the profile that compares them.

    A prediction is None if missing or failed, and then scores 0; `failed` counts the failed ones.
    References () mean unanswerable, that is, the reference is the empty string. `profile` is
    never "auto". `unicode_form` is the texts' normalisation: "none", "nfc" or "nfkc". `verdicts`
    are a judge's, if asked. `questions` are "" or () if unknown; `known_languages` are the
    examples', if more than their references is known. `citations` are None for answers that do
    not cite passages.
    """

    predictions: Sequence[str | None]
    references: Sequence[Sequence[str]]
    profile: str
    failed: int = 0
    unicode_form: str = "none"
    verdicts: Verdicts | None = None
    questions: Sequence[str] = ()
    known_languages: Sequence[str] = ()
    citations: Sequence[Citation | None] = ()

    @cached_property
    def agreement(self) -> tuple[list[float], list[float]]:
        """Exact match and the second score of each example, 0..100."""
        both = [
            pair for start in range(0, len(self.predictions), _BLOCK) for pair in self._agree(start)
        ]
        return [exact for exact, _ in both], [second for _, second in both]

    def _agree(self, start: int) -> Iterator[tuple[float, float]]:
        """Compare a block of the pairs, whose normalised texts are in memory at once."""
        block = slice(start, start + _BLOCK)
        texts, references = self.predictions[block], self.references[block]
        profiles = self.profiles[block]
        settled = list(map(_is_settled, texts, references))
        normalized = _normalized(texts, references, settled, set(profiles))
        for text, expected, profile, is_settled in zip(
            texts, references, profiles, settled, strict=True
        ):
            if text is None:
                yield NOTHING
            elif is_settled:
                yield FULL
            else:
                yield _compare(text, expected, profile, normalized[profile])

    @property
    def missing(self) -> int:
        """The number of examples without a prediction, not counting failures."""
        return self.predictions.count(None) - self.failed

    @cached_property
    def languages(self) -> Sequence[str]:
        """The language of each example; see `example_languages`."""
        return self.known_languages or example_languages(self.references)

    @cached_property
    def expected(self) -> list[tuple[str, ...]]:
        """The references of each example that count; () means that it is unanswerable.

        As in SQuAD 2.0, a reference that is empty once normalised (data sets contain ".", "A")
        counts only if all are; an example with any reference is answerable.
        """
        expected = []
        for texts, profile in zip(self.references, self.profiles, strict=True):
            nonblank = tuple(text for text in dict.fromkeys(texts) if text.strip())
            spoken = tuple(text for text in nonblank if _says_something(text, profile))
            counted = spoken or nonblank
            # Most often they are all, and then need no memory of their own.
            expected.append(texts if isinstance(texts, tuple) and texts == counted else counted)
        return expected

    @property
    def answerable(self) -> list[bool]:
        """Whether each example is answerable."""
        return list(map(bool, self.expected))

    @cached_property
    def empty_references(self) -> list[bool]:
        """Whether an answerable example's references are all empty once normalised."""
        return [
            bool(texts) and not _says_something(texts[0], profile)
            for texts, profile in zip(self.expected, self.profiles, strict=True)
        ]

    @cached_property
    def abstained(self) -> list[bool | None]:
        """Whether each prediction is empty once normalised; None if it is missing.

        If a reference like "A" is empty, too, only white space counts as empty.
        """
        return [
            None
            if text is None
            else not (text.strip() if is_silent else _says_something(text, profile))
            for text, profile, is_silent in zip(
                self.predictions, self.profiles, self.empty_references, strict=True
            )
        ]

    @cached_property
    def abstention_scores(self) -> tuple[float, ...]:
        """Each example's minimum score, 0..100: abstaining is right if it is unanswerable."""
        return tuple(
            100.0 if has_abstained and not texts else 0.0
            for has_abstained, texts in zip(self.abstained, self.expected, strict=True)
        )

    def single(self) -> Single:
        """Pair each prediction with each of its references."""
        answers: list[str] = []
        expected: list[str] = []
        owners: list[int] = []
        for owner, (text, texts) in enumerate(zip(self.predictions, self.expected, strict=True)):
            if text is not None and text.strip():
                owners += [owner] * len(texts)
                answers += [text] * len(texts)
                expected += texts
        return Single(answers, expected, owners, self.abstention_scores)

    def score(
        self, name: str, values: Sequence[float], details: str = "", refs: str = "max"
    ) -> Score:
        """Combine values per example (0..100) into a score with a signature."""
        if not values:
            raise DataError("there are no examples to score")
        return Score(name, fmean(values), self.signature(name, details, refs), tuple(values))

    def signature(self, name: str, details: str = "", refs: str = "max") -> str:
        """Describe how a score was made: by `details`, or else by the profile."""
        parts = [
            name,
            details or f"profile:{self.profile_counts}",
            "" if self.unicode_form == "none" else f"unicode:{self.unicode_form}",
            f"refs:{refs}",
            f"missing:{self.missing}",
            f"failed:{self.failed}" if self.failed else "",
            f"v:{__version__}",
        ]
        return "|".join(filter(None, parts))

    @property
    def second(self) -> str:
        """The name of the profile's second score."""
        return second_score(self.profile)

    @property
    def profile_counts(self) -> str:
        """The profile's name; for a mixed one, also how many examples use each profile."""
        if self.profile != "mixed":
            return self.profile
        counts = Counter(profile.name for profile in self.profiles)
        return f"mixed({','.join(f'{name}:{counts[name]}' for name in sorted(counts))})"

    @cached_property
    def profiles(self) -> list[Profile]:
        """The profile of each example."""
        if self.profile == "mixed":
            return [profile_for("mixed", language) for language in self.languages]
        return [PROFILES[self.profile]] * len(self.references)


def _normalized(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str]],
    settled: Sequence[bool],
    profiles: Iterable[Profile],
) -> dict[Profile, dict[str, str]]:
    """Normalise the texts of all pairs that are not settled, each distinct text once."""
    texts: list[str] = []
    for prediction, expected, is_settled in zip(predictions, references, settled, strict=True):
        if prediction is not None and not is_settled:
            texts.append(prediction)
            texts.extend(expected)
    return {profile: profile.normalize_all(texts) for profile in profiles}


def _says_something(text: str, profile: Profile) -> bool:
    """Whether a text is non-empty once normalised; skips normalising if a letter shows it."""
    return bool(_WORD.search(text) or profile.normalize(text))


def _is_settled(prediction: str | None, references: Sequence[str]) -> bool:
    """Whether normalising is unnecessary: no prediction, or it surely equals a reference."""
    return prediction is None or (prediction in references and bool(_WORD.search(prediction)))


def _compare(
    prediction: str, references: Sequence[str], profile: Profile, normalized: Mapping[str, str]
) -> tuple[float, float]:
    """Return exact match and the second score, the best over the references.

    As in SQuAD 2.0, a reference that is empty once normalised (data sets contain ".") counts only
    if all are; otherwise an abstention would be right.
    """
    answer = normalized[prediction]
    expected = [text for text in map(normalized.__getitem__, references) if text] or [""]
    if answer in expected:
        return FULL
    return 0.0, 100.0 * max([f1(profile.overlap(answer, text)) for text in expected])
