"""The metric citation: whether the passages that an answer cites contain it."""

from aqa.errors import UsageError
from aqa.metrics.pairs import Pairs
from aqa.records import Score


def citation(name: str, pairs: Pairs) -> Score:
    """The share of cited passages that are gold; for recall, of gold passages that are cited.

    An answer without citations is right if no gold passage was shown, and wrong otherwise. An
    example counts 0 if the cited or the gold passages are not known.

    Raises:
        UsageError: no answer says which passages it cites.
    """
    if not any(pairs.citations):
        raise UsageError(
            "the metric citation needs the passages that answers name: evidence.named_ranks and"
            " evidence.gold_ranks of aqa predict gpt4 --set backend.structured=true"
        )
    values = []
    for cited in pairs.citations:
        named, gold = (frozenset(), frozenset()) if cited is None else (cited.named, cited.gold)
        of = gold if name == "citation_recall" else named
        share = len(named & gold) / len(of) if of else float(named == gold)
        values.append(0.0 if cited is None else 100.0 * share)
    return pairs.score(name, values, "of:named_ranks", refs="all")
