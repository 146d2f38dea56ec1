"""Select and order each question's passages, the same way for every backend."""

from collections.abc import Callable, Iterable

from aqa.backends.truncation import shorten
from aqa.config.options import EvidenceOptions
from aqa.records import Dropped, Evidence, Example, Passage


def select(
    example: Example, options: EvidenceOptions, count_tokens: Callable[[str], int] | None = None
) -> Evidence:
    """Select the passages of one example and put them in reading order.

    They are ranked in the data's order (`given`) or by descending score (`score`, `best_last`;
    ties keep the data's order, passages without a score come last). Of identical passages
    (`dedupe`) the best ranked is kept; `top_k` and the budget (`max_chars`, or `max_tokens` by
    `count_tokens`) keep the best ranked. `best_last` then reverses the order, so that the best
    passage is next to the question.
    """
    ranked = list(example.passages)
    if options.order != "given":
        ranked.sort(key=lambda p: float("inf") if p.score is None else -p.score)
    dropped = []
    if options.dedupe:
        ranked, doubles = _dedupe(ranked)
        dropped += [Dropped(passage, "duplicate") for passage in doubles]
    top = options.top_k or len(ranked)
    dropped += [Dropped(passage, "top_k") for passage in ranked[top:]]
    evidence = Evidence(
        tuple(ranked[:top]),
        tuple(dropped),
        best_last=options.order == "best_last",
        title=options.title,
        join=options.join,
        numbered=options.numbered,
    )

    def fullness(trial: Evidence) -> float:
        context = trial.context
        parts = [0.0]
        if options.max_chars is not None:
            parts.append(len(context) / options.max_chars)
        if options.max_tokens is not None and count_tokens is not None:
            parts.append(count_tokens(context) / options.max_tokens)
        return max(parts)

    shorter = shorten(evidence, fullness, "budget")
    assert shorter is not None, "no passages at all take no room"
    return shorter


def _dedupe(ranked: Iterable[Passage]) -> tuple[list[Passage], list[Passage]]:
    """Split passages into first occurrences and repetitions of a title and text."""
    first: dict[tuple[str, str], Passage] = {}
    doubles = []
    for passage in ranked:
        key = (" ".join(passage.title.split()), " ".join(passage.text.split()))
        if key in first:
            doubles.append(passage)
        else:
            first[key] = passage
    return list(first.values()), doubles
