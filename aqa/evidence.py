"""Choose and order passages once, at passage granularity, for every backend alike."""

import re
from collections.abc import Callable
from dataclasses import replace

from aqa.config import EvidenceOptions
from aqa.errors import PromptError
from aqa.records import Evidence, Example, Prompt

# A passage may end after a sentence; failing that, after a word.
SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’」』)\]]*(?=\s|$)")
WORD_END = re.compile(r"\S(?=\s)")


def select(example: Example, options: EvidenceOptions) -> Evidence:
    """Choose the passages of one example and put them in reading order.

    Passages are ranked as the data gives them (`given`) or by falling score (`score`,
    `best_last`; ties and passages without a score keep the data's order, those without a score
    last); `top_k` and `max_chars` keep the best ranked; `best_last` then turns the order round, so
    that the best stands next to the question.
    """
    ranked = list(example.passages)
    if options.order != "given":
        ranked.sort(key=lambda p: float("inf") if p.score is None else -p.score)
    top = options.top_k or len(ranked)
    evidence = Evidence(
        tuple(ranked[:top]),
        tuple(ranked[top:]),
        best_last=options.order == "best_last",
        title=options.title,
        join=options.join,
    )
    if options.max_chars is None:
        return evidence
    limit = options.max_chars
    shorter = _shorten(evidence, lambda trial: len(trial.context) <= limit)
    assert shorter is not None, "no passages at all take 0 characters"
    return shorter


def fit(prompt: Prompt, length: Callable[[Prompt], int], limit: int) -> Prompt:
    """Make a prompt fit into `limit` tokens by spending the budget on passages only.

    Whole passages go first, the lowest ranked before the others; then the end of the last one, at
    a sentence or word boundary. Instructions, question and answer are never cut. `length` gives
    the tokens that a prompt and its answer take.

    Raises:
        PromptError: the prompt does not fit even without passages.
    """
    if length(prompt) <= limit:
        return prompt
    shorter = _shorten(
        prompt.evidence, lambda trial: length(replace(prompt, evidence=trial)) <= limit
    )
    if shorter is None:
        bare = length(replace(prompt, evidence=replace(prompt.evidence, passages=())))
        raise PromptError(
            f"{prompt.id}: instructions, question and answer alone take {bare} tokens, more than"
            f" the {limit} that fit; shorten the template or raise the limit"
        )
    return replace(prompt, evidence=shorter)


def _shorten(evidence: Evidence, fits: Callable[[Evidence], bool]) -> Evidence | None:
    """Drop the lowest ranked passages, then the end of the last; None where nothing fits."""
    if fits(evidence):
        return evidence
    kept = list(evidence.passages)
    dropped = list(evidence.dropped)
    while len(kept) > 1:
        dropped.insert(0, kept.pop())
        trial = replace(evidence, passages=tuple(kept), dropped=tuple(dropped))
        if fits(trial):
            return trial
    if not kept:
        return None  # there was nothing to cut
    return _cut_last(replace(evidence, passages=tuple(kept), dropped=tuple(dropped)), fits)


def _cut_last(evidence: Evidence, fits: Callable[[Evidence], bool]) -> Evidence | None:
    """Keep as much of the only passage's beginning as fits; without it where not a word does."""
    (passage,) = evidence.passages

    def ending_at(end: int) -> Evidence:
        if end == 0:
            dropped = (passage, *evidence.dropped)
            return replace(evidence, passages=(), dropped=dropped, cut_characters=0)
        shorter = replace(passage, text=passage.text[:end])
        cut = evidence.cut_characters + len(passage.text) - end
        return replace(evidence, passages=(shorter,), cut_characters=cut)

    low, high = 0, len(passage.text)  # what ends at `low` fits, what ends at `high` does not
    if not fits(ending_at(0)):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(ending_at(middle)) else (low, middle)
    end = _boundary(passage.text, low)
    while not fits(ending_at(end)):  # a tokenizer may need more tokens for a shorter text
        end = _boundary(passage.text, end - 1)
    return ending_at(end)


def _boundary(text: str, end: int) -> int:
    """The last sentence end in the second half of text[:end], else the last word end, else 0.

    Without any white space (a Chinese or Japanese text, or one long token) `end` itself is taken.
    """
    # One character more is looked at, or "3." of "3.14" would pass for the end of a sentence.
    sentences, words = (
        [match.end() for match in ending.finditer(text, 0, end + 1) if match.end() <= end]
        for ending in (SENTENCE_END, WORD_END)
    )
    if sentences and sentences[-1] >= end // 2:
        return sentences[-1]
    if words:
        return words[-1]
    return end if not re.search(r"\s", text.strip()) else 0
