"""The medoid of several answers to a question: minimum Bayes risk under F1."""

from collections.abc import Sequence
from math import fsum

from aqa.metrics.languages import example_languages, language_of_passages
from aqa.metrics.normalize import PROFILES, Profile, f1, profile_for


def agreements(texts: Sequence[str], profile: Profile) -> list[float]:
    """Return each text's mean agreement with the others, by the profile's F1, 0..1.

    A single text agrees fully. The text that agrees most, the medoid, has the highest expected F1
    if each is equally likely to be right. Minimum Bayes risk with the texts as both candidates and
    evidence: Kumar & Byrne (2004), "Minimum Bayes-Risk Decoding for Statistical Machine
    Translation", HLT-NAACL. "" is an abstention, which agrees only with abstentions.
    """
    normalized = [profile.normalize(text) for text in texts]
    alike = (fsum(likeness(text, other, profile) for other in normalized) for text in normalized)
    others = len(texts) - 1
    return [(total - 1) / others if others else 1.0 for total in alike]


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


def likeness(text: str, other: str, profile: Profile) -> float:
    """The profile's F1 of two normalised texts, 0..1, made symmetric.

    The longest run, on which KLUE's score is based, may be found in one direction only.
    """
    if text == other:
        return 1.0
    if not text or not other:
        return 0.0
    return (f1(profile.overlap(text, other)) + f1(profile.overlap(other, text))) / 2
