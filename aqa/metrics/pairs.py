"""Predictions beside their references, and how far they agree: what every metric is given."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from aqa import __version__
from aqa.errors import DataError
from aqa.metrics.normalize import Profile, profile_for, second_score
from aqa.metrics.verdicts import Verdicts
from aqa.records import Score

FULL, NOTHING = (100.0, 100.0), (0.0, 0.0)  # exact match and the second score

_WORD = re.compile("[^\\W_AEHNTaehnt]")  # a letter or digit that no article is made of


@dataclass(frozen=True, eq=False)
class Pairs:
    """Aligned predictions and references with the profile that compares them.

    A prediction is None where it is missing or failed, and then scores 0; `failed` says how many
    of them failed. References () mean unanswerable: the reference is the empty string. `profile`
    is settled, never "auto". `unicode_form` says what the texts were put in: "none" or "nfc".
    `verdicts` are a judge's, where one was asked.
    """

    predictions: Sequence[str | None]
    references: Sequence[Sequence[str]]
    profile: str
    failed: int = 0
    unicode_form: str = "none"
    verdicts: Verdicts | None = None

    @cached_property
    def agreement(self) -> tuple[list[float], list[float]]:
        """Exact match and the second score of each example, 0..100."""
        settled = list(map(_is_settled, self.predictions, self.references))
        known = self._normalized(settled)
        exact, second = [], []
        for prediction, texts, profile, is_settled in zip(
            self.predictions, self.references, self._profiles, settled, strict=True
        ):
            if prediction is None:
                scores = NOTHING
            elif is_settled:
                scores = FULL
            else:
                scores = _compare(prediction, texts, profile, known[profile])
            exact.append(scores[0])
            second.append(scores[1])
        return exact, second

    @property
    def missing(self) -> int:
        """How many examples have no prediction, failures apart."""
        return self.predictions.count(None) - self.failed

    @cached_property
    def answerable(self) -> list[bool]:
        """Tell for each example whether a reference is more than "" once normalised."""
        return [
            any(_says_something(text, profile) for text in texts)
            for texts, profile in zip(self.references, self._profiles, strict=True)
        ]

    @cached_property
    def abstained(self) -> list[bool | None]:
        """Tell whether a prediction says nothing once normalised; None where it is missing."""
        return [
            None if text is None else not _says_something(text, profile)
            for text, profile in zip(self.predictions, self._profiles, strict=True)
        ]

    @property
    def silence(self) -> list[float]:
        """What saying nothing counts, 0..100: right where there is no answer to give."""
        return [
            0.0 if answerable or prediction is None else 100.0
            for prediction, answerable in zip(self.predictions, self.answerable, strict=True)
        ]

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
            details or f"profile:{self.profile}",
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

    @cached_property
    def _profiles(self) -> list[Profile]:
        return [profile_for(self.profile, texts) for texts in self.references]

    def _normalized(self, settled: Sequence[bool]) -> dict[Profile, dict[str, str]]:
        """Normalise the texts of all pairs that are not settled, each distinct one once."""
        texts: list[str] = []
        for prediction, references, is_settled in zip(
            self.predictions, self.references, settled, strict=True
        ):
            if prediction is not None and not is_settled:
                texts.append(prediction)
                texts.extend(references)
        return {profile: profile.normalize_all(texts) for profile in set(self._profiles)}


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
    return 0.0, 100.0 * max([profile.overlap(answer, text) for text in expected])
