"""Citation: whether the passages that an answer names for itself are those that hold it."""

from aqa.errors import UsageError
from aqa.metrics.pairs import Pairs
from aqa.records import Score


def citation(name: str, pairs: Pairs) -> Score:
    """Give the share of named passages that are gold ones; of recall, of gold ones that are named.

    An answer that names none is right where no gold passage was to be seen, and wrong elsewhere.
    An example counts 0 where it is not known what was named or what is gold.

    Raises:
        UsageError: no answer tells which passages it goes by.
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
