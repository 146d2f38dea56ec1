"""Predictions beside their references, and how far they agree: what every metric is given."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from aqa.errors import DataError
from aqa.metrics.languages import example_languages
from aqa.metrics.normalize import PROFILES, Profile, f1, profile_for, second_score
from aqa.metrics.verdicts import Verdicts
from aqa.records import Score
from aqa.version import __version__

FULL, NOTHING = (100.0, 100.0), (0.0, 0.0)  # exact match and the second score

_WORD = re.compile("[^\\W_AEHNTaehnt]")  # a letter or digit that no article is made of


@dataclass(frozen=True, slots=True)
class Citation:
    """The ranks of the passages that an answer names, and of the gold ones that it could name."""

    named: frozenset[int]
    gold: frozenset[int]


@dataclass(frozen=True, slots=True)
class Single:
    """Predictions and references one by one, each pair of two texts that both say something.

    As for the other metrics a missing prediction scores 0, and an unanswerable question scores 100
    where nothing is predicted; such texts never meet the metric. `owners` are the examples that
    the pairs belong to, `settled` what each example scores at least.
    """

    predictions: Sequence[str]
    references: Sequence[str]
    owners: Sequence[int]
    settled: Sequence[float]

    def best(self, found: Sequence[float]) -> list[float]:
        """Turn the pairs' scores, 0..100, into each example's best."""
        values = list(self.settled)
        for owner, value in zip(self.owners, found, strict=True):
            values[owner] = max(values[owner], value)
        return values


@dataclass(frozen=True, eq=False)
class Pairs:
    """Aligned predictions and references with the profile that compares them.

    A prediction is None where it is missing or failed, and then scores 0; `failed` says how many
    of them failed. References () mean unanswerable: the reference is the empty string. `profile`
    is settled, never "auto". `unicode_form` says what the texts were put in: "none", "nfc" or
    "nfkc". `verdicts` are a judge's, where one was asked. `questions` are "" or () where they are
    not known; `known_languages` are those of the examples, where more than references is known.
    `citations` are None where an answer tells nothing of the passages that it goes by.
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
        settled = list(map(_is_settled, self.predictions, self.references))
        known = self._normalized(settled)
        facts = zip(self.predictions, self.references, self.profiles, settled, strict=True)
        found = [
            NOTHING
            if text is None
            else FULL
            if is_settled
            else _compare(text, references, profile, known[profile])
            for text, references, profile, is_settled in facts
        ]
        return [exact for exact, _ in found], [second for _, second in found]

    @property
    def missing(self) -> int:
        """How many examples have no prediction, failures apart."""
        return self.predictions.count(None) - self.failed

    @cached_property
    def languages(self) -> Sequence[str]:
        """The language of each example, see `example_languages`."""
        return self.known_languages or example_languages(self.references)

    @cached_property
    def expected(self) -> list[tuple[str, ...]]:
        """The references of each example that count; () means that it is unanswerable.

        As in SQuAD 2.0, one of which nothing is left once normalised (data sets hold ".", "A")
        counts only where no other says more; an example is answerable if it has one at all.
        """
        found = []
        for texts, profile in zip(self.references, self.profiles, strict=True):
            given = tuple(text for text in dict.fromkeys(texts) if text.strip())
            spoken = tuple(text for text in given if _says_something(text, profile))
            found.append(spoken or given)
        return found

    @property
    def answerable(self) -> list[bool]:
        """Tell of each example whether there is an answer to give."""
        return list(map(bool, self.expected))

    @cached_property
    def silent_references(self) -> list[bool]:
        """Tell where an answerable example's references say nothing once normalised."""
        return [
            bool(texts) and not _says_something(texts[0], profile)
            for texts, profile in zip(self.expected, self.profiles, strict=True)
        ]

    @cached_property
    def abstained(self) -> list[bool | None]:
        """Tell whether a prediction says nothing once normalised; None where it is missing.

        Where "A" is the reference, only one of white space says nothing.
        """
        return [
            None
            if text is None
            else not (text.strip() if is_silent else _says_something(text, profile))
            for text, profile, is_silent in zip(
                self.predictions, self.profiles, self.silent_references, strict=True
            )
        ]

    @cached_property
    def silence(self) -> tuple[float, ...]:
        """What each example scores at least, 0..100: silence is right where there is no answer."""
        return tuple(
            100.0 if has_abstained and not texts else 0.0
            for has_abstained, texts in zip(self.abstained, self.expected, strict=True)
        )

    def single(self) -> Single:
        """Take predictions and references apart, one reference at a time."""
        said: list[str] = []
        expected: list[str] = []
        owners: list[int] = []
        for owner, (text, texts) in enumerate(zip(self.predictions, self.expected, strict=True)):
            if text is not None and text.strip():
                owners += [owner] * len(texts)
                said += [text] * len(texts)
                expected += texts
        return Single(said, expected, owners, self.silence)

    def score(
        self, name: str, values: Sequence[float], details: str = "", refs: str = "max"
    ) -> Score:
        """Sum up values per example (0..100) as a signed score."""
        if not values:
            raise DataError("there are no examples to score")
        return Score(name, fmean(values), self.signature(name, details, refs), tuple(values))

    def signature(self, name: str, details: str = "", refs: str = "max") -> str:
        """Say how a score was made; without details by the profile."""
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
        """The profile's name, and of a mixed one how many examples each of its two compares."""
        if self.profile != "mixed":
            return self.profile
        counts = Counter(profile.name for profile in self.profiles)
        return f"mixed({','.join(f'{name}:{counts[name]}' for name in sorted(counts))})"

    @cached_property
    def profiles(self) -> list[Profile]:
        """The profile that compares each example."""
        if self.profile == "mixed":
            return [profile_for("mixed", language) for language in self.languages]
        return [PROFILES[self.profile]] * len(self.references)

    def _normalized(self, settled: Sequence[bool]) -> dict[Profile, dict[str, str]]:
        """Normalise the texts of all pairs that are not settled, each distinct one once."""
        texts: list[str] = []
        for prediction, references, is_settled in zip(
            self.predictions, self.references, settled, strict=True
        ):
            if prediction is not None and not is_settled:
                texts.append(prediction)
                texts.extend(references)
        return {profile: profile.normalize_all(texts) for profile in set(self.profiles)}


def _says_something(text: str, profile: Profile) -> bool:
    """Tell whether a text is more than "" once normalised; cheaply where a letter makes it sure."""
    return bool(_WORD.search(text) or profile.normalize(text))


def _is_settled(prediction: str | None, references: Sequence[str]) -> bool:
    """Tell cheaply where the texts need no normalising: none, or surely a reference's own words."""
    return prediction is None or (prediction in references and bool(_WORD.search(prediction)))


def _compare(
    prediction: str, references: Sequence[str], profile: Profile, normalized: Mapping[str, str]
) -> tuple[float, float]:
    """Give exact match and the second score of one pair, the best over the references.

    As in SQuAD 2.0, a reference of which nothing is left (data sets hold ".") counts only where
    no other says more: else silence would be right.
    """
    answer = normalized[prediction]
    expected = [text for text in map(normalized.__getitem__, references) if text] or [""]
    if answer in expected:
        return FULL
    return 0.0, 100.0 * max([f1(profile.overlap(answer, text)) for text in expected])
