"""Label the article and passage of each question, to find questions that are not independent."""

import hashlib
from collections.abc import Mapping

from aqa.records import Example, Passage

TITLE, PASSAGE = "title", "passage"


def cluster_labels(example: Example) -> dict[str, str]:
    """Label the article and the passage that the question is about, as far as known.

    That is the gold passage, or else the only one. With several passages and no gold one, only a
    title given for the question itself counts.
    """
    source = _source(example)
    title = source.title if source is not None else ""
    stored = example.metadata.get(TITLE)
    labels = {TITLE: title or (stored if isinstance(stored, str) else "")}
    if source is not None:
        digest = hashlib.sha256(source.text.encode(errors="surrogatepass")).hexdigest()[:16]
        labels[PASSAGE] = digest if source.text.strip() else source.id or ""
    return {name: label for name, label in labels.items() if label}


def read_labels(value: object) -> Mapping[str, str]:
    """Read the labels of a row, tolerating an unrelated column of that name."""
    if not isinstance(value, dict):
        return {}
    return {
        name: label
        for name, label in value.items()
        if isinstance(name, str) and isinstance(label, str) and label
    }


def _source(example: Example) -> Passage | None:
    """Return the passage that the question is about, or the first of several gold ones."""
    if example.own_passages:
        return example.own_passages[0]
    gold = (passage for passage in example.passages if passage.id in example.gold_ids)
    only = example.passages[0] if len(example.passages) == 1 else None
    return next(gold, only)
