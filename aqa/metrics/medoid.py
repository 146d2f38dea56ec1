"""The most central of several answers to one question: that of minimum Bayes risk under F1."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from aqa.metrics.languages import example_languages, language_of_passages
from aqa.metrics.normalize import PROFILES, Profile, f1, profile_for


@dataclass(frozen=True, slots=True)
class Medoid:
    """The place of the chosen text, and how far each text agrees with all the others, 0..1.

    `agreements` are means of the profile's F1; 1 where there is no other text.
    """

    place: int
    agreements: tuple[float, ...]

    @property
    def agreement(self) -> float:
        """How far the others agree with the chosen text, 0..1."""
        return self.agreements[self.place]


def medoid(texts: Sequence[str], profile: Profile) -> Medoid:
    """Choose the text with the highest expected F1 if each were right as likely as the others.

    Minimum Bayes risk with the texts themselves as the candidates and the evidence: Kumar & Byrne
    (2004), "Minimum Bayes-Risk Decoding for Statistical Machine Translation", HLT-NAACL. Of equals
    the first is chosen. "" is silence, which agrees with silence alone.

    Raises:
        ValueError: there are no texts.
    """
    if not texts:
        raise ValueError("there are no texts to choose from")
    normalized = [profile.normalize(text) for text in texts]
    alike = [fsum(likeness(one, other, profile) for other in normalized) for one in normalized]
    others = len(texts) - 1
    agreements = tuple((found - 1) / others if others else 1.0 for found in alike)
    return Medoid(max(range(len(texts)), key=alike.__getitem__), agreements)


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
