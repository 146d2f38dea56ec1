"""Exact match, F1 (or KLUE's ROUGE-W), precision and recall."""

from aqa.metrics.pairs import Pairs
from aqa.records import Score


def exact_match(name: str, pairs: Pairs) -> Score:
    """Score 100 if the normalised prediction equals one of the references."""
    return pairs.score(name, pairs.agreement[0])


def f1(name: str, pairs: Pairs) -> Score:
    """Score the profile's second score: F1 or ROUGE-W."""
    return pairs.score(pairs.second, pairs.agreement[1])


def precision(name: str, pairs: Pairs) -> Score:
    """Score the share of the prediction's words (or characters) that are in a reference."""
    return _share(name, pairs, 1)


def recall(name: str, pairs: Pairs) -> Score:
    """Score the share of a reference's words (or characters) that are in the prediction."""
    return _share(name, pairs, 2)


def _share(name: str, pairs: Pairs, side: int) -> Score:
    """Score the overlap as a share of one `side` of an Overlap, the best over the references."""
    values = []
    for text, texts, exact, profile in zip(
        pairs.predictions, pairs.expected, pairs.agreement[0], pairs.profiles, strict=True
    ):
        answer = profile.normalize(text or "")
        gold = [] if exact == 100 or not answer else filter(None, map(profile.normalize, texts))
        overlaps = [profile.overlap(answer, reference) for reference in gold]
        values.append(max((100.0 * part[0] / part[side] for part in overlaps), default=exact))
    return pairs.score(name, values)
