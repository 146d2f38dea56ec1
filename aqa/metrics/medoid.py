"""The medoid of several answers to a question: minimum Bayes risk under F1."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from aqa.metrics.languages import example_languages, language_of_passages
from aqa.metrics.normalize import PROFILES, Profile, f1, profile_for


@dataclass(frozen=True, slots=True)
class Medoid:
    """The index of the chosen text, and each text's mean agreement with the others, 0..1.

    `agreements` are means of the profile's F1; 1 for a single text.
    """

    place: int
    agreements: tuple[float, ...]

    @property
    def agreement(self) -> float:
        """The mean agreement of the others with the chosen text, 0..1."""
        return self.agreements[self.place]


def medoid(texts: Sequence[str], profile: Profile) -> Medoid:
    """Choose the text with the highest expected F1, each being equally likely to be right.

    Minimum Bayes risk with the texts as both candidates and evidence: Kumar & Byrne (2004),
    "Minimum Bayes-Risk Decoding for Statistical Machine Translation", HLT-NAACL. The first of
    equals is chosen. "" is an abstention, which agrees only with abstentions.

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
    """Return the profile that compares answers to one question, by `evaluation.profile`.

    While answers come in, the whole data are not known, so `auto` uses the question's language,
    like `mixed`; see `example_languages`.
    """
    if name not in ("auto", "mixed"):
        return PROFILES[name]
    read = [language_of_passages(passages)] if passages else []
    (language,) = example_languages([answers], [question], read)
    return profile_for("mixed", language)


def likeness(one: str, other: str, profile: Profile) -> float:
    """The profile's F1 of two normalised texts, 0..1, made symmetric.

    The longest run, on which KLUE's score is based, may be found in one direction only.
    """
    if one == other:
        return 1.0
    if not one or not other:
        return 0.0
    return (f1(profile.overlap(one, other)) + f1(profile.overlap(other, one))) / 2
