"""Where the answer stands: which passages are known, or seem, to hold it."""

from collections.abc import Callable, Sequence

from aqa.metrics.normalize import has_hangul, profile_for
from aqa.records import Example, Passage

Holds = Callable[[Passage], bool]


def answer_finder(example: Example) -> Holds | None:
    """Give the function that tells whether a passage holds the answer; None where none is known.

    By the passage's id where the data name gold ones and the passage has an id, unless the text
    was cut before the answer; else by an answer that stands in the text or the title, normalised
    like predictions: whole words, or for Hangul, whose words have endings, any characters.
    """
    if not any(example.answers or ()):
        return None
    answers = [text for text in example.answers or () if text]
    profile = profile_for("mixed", answers)
    edge = "" if has_hangul(answers) else " "
    wanted = [f"{edge}{text}{edge}" for text in map(profile.normalize, answers) if text]

    def says(passage: Passage) -> bool:
        text = f" {profile.normalize(passage.title)} {profile.normalize(passage.text)} "
        return any(answer in text for answer in wanted)

    if not example.gold_ids:
        return says
    whole = {passage.id: passage for passage in (*example.passages, *example.own_passages)}

    def is_gold(passage: Passage) -> bool:
        if passage.id is None:
            return says(passage)
        if passage.id not in example.gold_ids:
            return False
        full = whole.get(passage.id, passage)
        return len(passage.text) >= len(full.text) or says(passage) or not says(full)

    return is_gold


def gold_ranks(passages: Sequence[Passage], holds: Holds | None) -> tuple[int, ...] | None:
    """The ranks of the passages that hold the answer; None where no answer is known."""
    return None if holds is None else tuple(p.rank for p in passages if holds(p))
