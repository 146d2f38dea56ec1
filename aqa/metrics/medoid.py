"""The most central of several answers to one question: that of minimum Bayes risk under F1."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from operator import mul

from aqa.metrics.languages import example_languages, language_of_passages
from aqa.metrics.normalize import PROFILES, Profile, f1, profile_for


@dataclass(frozen=True, slots=True)
class Medoid:
    """The place of the chosen text, and how far each text agrees with all the others, 0..1.

    `agreements` are weighted means of the profile's F1; 1 where there is no other text.
    """

    place: int
    agreements: tuple[float, ...]

    @property
    def agreement(self) -> float:
        """How far the others agree with the chosen text, 0..1."""
        return self.agreements[self.place]


def medoid(texts: Sequence[str], profile: Profile, weights: Sequence[float] = ()) -> Medoid:
    """Choose the text with the highest expected F1 if each were right as likely as its weight.

    Minimum Bayes risk with the texts themselves as the candidates and the evidence: Kumar & Byrne
    (2004), "Minimum Bayes-Risk Decoding for Statistical Machine Translation", HLT-NAACL. Of equals
    the first is chosen. Without `weights` all texts count alike; they need not add up to 1. "" is
    silence, which agrees with silence alone.

    Raises:
        ValueError: there are no texts.
    """
    if not texts:
        raise ValueError("there are no texts to choose from")
    shares = list(weights) or [1.0] * len(texts)
    normalized = [profile.normalize(text) for text in texts]
    alike = [[likeness(one, other, profile) for other in normalized] for one in normalized]
    expected = [fsum(map(mul, shares, own)) for own in alike]
    chosen = max(range(len(texts)), key=expected.__getitem__)
    agreements = []
    for place, (share, found) in enumerate(zip(shares, expected, strict=True)):
        others = fsum(shares[:place] + shares[place + 1 :])
        agreements.append(min(max((found - share) / others, 0.0), 1.0) if others else 1.0)
    return Medoid(chosen, tuple(agreements))


def profile_of(
    name: str, question: str, passages: Sequence[str] = (), answers: Sequence[str] = ()
) -> Profile:
    """Give the profile that compares answers to one question, by `evaluation.profile`.

    Nobody knows the whole data while answers come in, so `auto` goes by the question's language,
    as `mixed` does; see `example_languages`.
    """
    if name not in ("auto", "mixed"):
        return PROFILES[name]
    read = [language_of_passages(passages)] if passages else []
    (language,) = example_languages([answers], [question], read)
    return profile_for("mixed", language)


def likeness(one: str, other: str, profile: Profile) -> float:
    """The profile's F1 of two normalised texts, 0..1, the same both ways.

    A longest run, which KLUE's score goes by, may be found in one direction only.
    """
    if one == other:
        return 1.0
    if not one or not other:
        return 0.0
    return (f1(profile.overlap(one, other)) + f1(profile.overlap(other, one))) / 2
