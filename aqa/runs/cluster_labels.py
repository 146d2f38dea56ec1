"""Which questions hang together: what their answers are looked for in, kept beside each answer."""

import hashlib
from collections.abc import Mapping

from aqa.records import Example, Passage

TITLE, PASSAGE = "title", "passage"


def cluster_labels(example: Example) -> dict[str, str]:
    """Name the article and the passage that the question was asked about, as far as it is known.

    That is the gold passage, else the only one. Of several without a gold one only a title that the
    data give the question itself tells anything.
    """
    source = _source(example)
    title = source.title if source is not None else ""
    own = example.metadata.get(TITLE)
    found = {TITLE: title or (own if isinstance(own, str) else "")}
    if source is not None:
        digest = hashlib.sha256(source.text.encode(errors="surrogatepass")).hexdigest()[:16]
        found[PASSAGE] = digest if source.text.strip() else source.id or ""
    return {name: label for name, label in found.items() if label}


def read_labels(value: object) -> Mapping[str, str]:
    """Take the labels of a row; any file may have a column of that name."""
    if not isinstance(value, dict):
        return {}
    return {
        name: label
        for name, label in value.items()
        if isinstance(name, str) and isinstance(label, str) and label
    }


def _source(example: Example) -> Passage | None:
    """Give the passage that the question was asked about; of several gold ones the first."""
    if example.own_passages:
        return example.own_passages[0]
    gold = (passage for passage in example.passages if passage.id in example.gold_ids)
    only = example.passages[0] if len(example.passages) == 1 else None
    return next(gold, only)
