"""Examples with the passages that a retriever found for them."""

import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from aqa.data.retrieved import Retrieved
from aqa.errors import DataError
from aqa.records import Example

MissingPassages = Literal["error", "empty"]


def with_passages(
    examples: Iterable[tuple[Example, bool]], retrieved: Retrieved, missing: MissingPassages
) -> Iterator[Example]:
    """Give each example, that comes with whether its row has an id, the passages retrieved for it.

    Raises:
        DataError: examples have none, and `missing` is "error".
    """
    examples = iter(examples)
    for example, has_id in examples:
        found = retrieved.find(example, has_id)
        if found is None and missing == "error":
            count = 1 + sum(retrieved.find(*later) is None for later in examples)
            raise _missing(count, example, has_id, retrieved)
        passages, gold = found or ((), "[]")
        yield replace(
            example, passages=passages, gold_ids=example.gold_ids or tuple(json.loads(gold))
        )


def _missing(count: int, example: Example, has_id: bool, retrieved: Retrieved) -> DataError:
    some_id = retrieved.some_id()
    like = f' (its ids are like "{some_id}")' if some_id else " (it has no ids, but questions)"
    others = f"is the first of {count} that have" if count > 1 else "has"
    forms = {unicodedata.normalize(form, example.question) for form in ("NFC", "NFD")}
    forms.discard(example.question)
    if any(retrieved.find(replace(example, question=form), has_id) for form in forms):
        mend = "its question is there in another form of Unicode: give --normalize nfc"
    else:
        mend = "retrieve for all, or choose --missing-passages empty"
    return DataError(
        f'{example.place}: the question "{example.id}" {others} no passages in '
        f"{retrieved.name}{like}; {mend}"
    )
