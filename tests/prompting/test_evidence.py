import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aqa.backends.truncation import SENTENCE_END, WORD_END, fit, fit_each
from aqa.config.options import EvidenceOptions
from aqa.errors import PromptError
from aqa.prompting.evidence import select
from aqa.records import Encoding, Evidence, Example, Message, Passage, Prompt, Template

TEMPLATE = Template("t", (Message("system", "Read: {context}"), Message("user", "{question}")))


def passages(*texts: str, scores: tuple[float | None, ...] = ()) -> tuple[Passage, ...]:
    filled = (*scores, *(None for _ in texts[len(scores) :]))
    return tuple(
        Passage(text, score=score, rank=rank)
        for rank, (text, score) in enumerate(zip(texts, filled, strict=True), 1)
    )


def chosen(example: Example, **options: object) -> Evidence:
    return select(example, EvidenceOptions.model_validate(options))


def prompt_of(*texts: str, question: str = "who ?", best_last: bool = False) -> Prompt:
    evidence = Evidence(passages(*texts), best_last=best_last)
    return Prompt("q1", 0, question, evidence, TEMPLATE, target="an answer")


def words(prompt: Prompt) -> int:
    read = sum(len(turn.content.split()) for turn in prompt.messages)
    return read + len((prompt.target or "").split())


def characters(prompt: Prompt) -> int:
    return sum(len(turn.content) for turn in prompt.messages) + len(prompt.target or "")


SCORED = passages("a", "b", "c", "d", scores=(1.0, None, 3.0, 3.0))


@pytest.mark.parametrize(
    ("options", "reading", "dropped"),
    [
        ({}, "abcd", ""),
        ({"top_k": 2}, "ab", "cd"),
        ({"top_k": 9}, "abcd", ""),
        ({"order": "score"}, "cdab", ""),
        ({"order": "score", "top_k": 3}, "cda", "b"),
        ({"order": "best_last"}, "badc", ""),
        ({"order": "best_last", "top_k": 2}, "dc", "ab"),
        ({"max_chars": 7}, "abc", "d"),  # two characters separate passages
        ({"max_chars": 10}, "abcd", ""),
        ({"max_chars": 7, "join": ""}, "abcd", ""),
        ({"max_chars": 5, "order": "best_last"}, "dc", "ab"),
    ],
)
def test_select(options: dict[str, object], reading: str, dropped: str) -> None:
    evidence = chosen(Example("q", "?", SCORED), **options)
    assert "".join(passage.text for passage in evidence.reading_order) == reading
    assert "".join(drop.passage.text for drop in evidence.dropped) == dropped


def test_passages_are_numbered_as_they_are_read() -> None:
    example = Example("q", "who ?", passages("a", "b", "c"))
    plan = {"numbered": True, "order": "best_last", "join": "\n", "max_chars": 11}
    assert chosen(example, **plan).context == "[1] b\n[2] a"
    assert "numbered" not in EvidenceOptions().plan()
    assert EvidenceOptions(numbered=True).plan()["numbered"] is True


def test_titles_count_and_can_be_left_out() -> None:
    example = Example("q", "?", (Passage("one two", "Title"), Passage("three", rank=2)))
    assert chosen(example).context == "Title\none two\n\nthree"
    assert chosen(example, title=False, join=" | ").context == "one two | three"
    assert chosen(example, max_chars=13).context == "Title\none two"
    assert chosen(example, max_chars=12).context == "Title\none"
    assert chosen(example, max_chars=3).passages == ()


KOREAN = "서울은 대한민국의 수도이다. 한강이 도시를 가로지른다. 인구는 많다."


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("One is here. Two is there.", 25, "One is here."),
        ("One is here. Two is there.", 12, "One is here."),
        ("One is here. Two is there.", 11, "One is"),
        ("One. Then a very long sentence goes on", 30, "One. Then a very long sentence"),
        ('He said "no." Then he left.', 20, 'He said "no."'),
        ("It takes 3.14159 metres of it", 11, "It takes"),
        ("It takes 3.14159 metres of it", 15, "It takes"),
        ("See www.example.org for the rest", 12, "See"),
        (KOREAN, 29, "서울은 대한민국의 수도이다."),
        (KOREAN, 15, "서울은 대한민국의 수도이다."),
        (KOREAN, 14, "서울은 대한민국의"),
        (KOREAN, 32, "서울은 대한민국의 수도이다. 한강이 도시를 가로지른다."),
        ("東京は日本の首都です。人口は多い。", 8, "東京は日本の首都"),
        ("Incomprehensibilities abound", 10, None),
        ("{a} {question} {{}} {context}", 19, "{a} {question} {{}}"),
    ],
)
def test_where_a_passage_is_cut(text: str, limit: int, kept: str | None) -> None:
    prompt = prompt_of(text)
    room = characters(prompt) - len(text)
    fitted = fit(prompt, characters, room + limit)
    found = [passage.text for passage in fitted.evidence.passages]
    assert found == ([] if kept is None else [kept])
    if kept is not None:
        assert fitted.evidence.reader_cut_characters == len(text) - len(kept)


def test_what_fits_is_left_alone() -> None:
    prompt = prompt_of("one two", "three")
    assert fit(prompt, words, words(prompt)) is prompt


def test_a_shorter_text_may_take_more_tokens() -> None:
    prompt = prompt_of("a bb cccc dddd")

    def length(trial: Prompt) -> int:
        return characters(trial) + 50 * (trial.evidence.context == "a bb cccc")

    fitted = fit(prompt, length, characters(prompt) - 3)
    assert fitted.evidence.context == "a bb"


def test_the_plans_cut_and_the_readers_are_counted_apart() -> None:
    text = "one two three four five six seven"
    evidence = chosen(Example("q", "?", passages(text)), max_chars=24)
    prompt = Prompt("q", 0, "?", evidence, TEMPLATE)
    fitted = fit(prompt, words, 5)
    assert fitted.evidence.passages[0].text == "one two three"
    assert evidence.cut_characters == fitted.evidence.cut_characters == len(text) - 23
    assert fitted.evidence.reader_cut_characters == 23 - len("one two three")
    bare = fit(prompt, words, 2)
    assert (bare.evidence.passages, bare.evidence.reader_cut_characters) == ((), 0)
    assert [drop.passage.rank for drop in bare.evidence.dropped] == [1]


def test_too_long_without_any_passage() -> None:
    prompt = prompt_of("short", question="a question of six whole words")
    with pytest.raises(PromptError, match=r"q1: .* take 9 tokens, more than the 8 that fit"):
        fit(prompt, words, 8)
    assert fit(prompt, words, 9).evidence.passages == ()


texts = st.lists(
    st.sampled_from(
        ["word", "서울은", "수도이다.", "3.14", "{context}", "{x}", "end!", "\n", "끝."]
    ),
    max_size=12,
).map(" ".join)
prompts = st.builds(
    lambda parts, question, best_last: prompt_of(*parts, question=question, best_last=best_last),
    st.lists(texts, max_size=5),
    st.sampled_from(["who ?", "{context} {question}", "누가 언제 어디서 ?"]),
    st.booleans(),
)


def unstable(prompt: Prompt) -> int:
    """Count like some tokenizers: a shorter text can take more tokens."""
    return words(prompt) + (3 if len(prompt.evidence.context) % 3 == 0 else 0)


@given(prompts, st.integers(0, 60), st.sampled_from([words, characters, unstable]))
def test_fit_spends_the_budget_on_passages_only(prompt: Prompt, limit: int, length) -> None:  # type: ignore[no-untyped-def]
    original = prompt.evidence
    empty = replace(prompt, evidence=replace(original, passages=()))
    try:
        fitted = fit(prompt, length, limit)
    except PromptError:
        assert length(empty) > limit
        return
    assert length(fitted) <= limit
    assert replace(fitted, evidence=original) == prompt
    evidence = fitted.evidence
    whole = [passage.rank for passage in original.passages]
    left = [*evidence.passages, *(drop.passage for drop in evidence.dropped)]
    assert [passage.rank for passage in left] == whole
    kept = len(evidence.passages)
    if kept > 1 or not evidence.reader_cut_characters:
        assert evidence.passages == original.passages[:kept]
    if length is not unstable and kept != len(whole) and kept > 0:
        more = replace(original, passages=original.passages[: kept + 1])
        assert length(replace(prompt, evidence=more)) > limit
    if evidence.reader_cut_characters:
        text, full = evidence.passages[0].text, original.passages[0].text
        assert full.startswith(text)
        assert text
        assert evidence.reader_cut_characters == len(full) - len(text)
        assert full[len(text)].isspace() or not any(c.isspace() for c in full.strip())
        assert (
            length(replace(prompt, evidence=replace(original, passages=(original.passages[0],))))
            > limit
        )


@given(texts, st.integers(1, 80))
def test_a_cut_keeps_all_that_can_be_kept(text: str, limit: int) -> None:
    """No longer prefix ending at a word fits, unless a sentence ends beyond half-way."""
    prompt = prompt_of(text)
    room = characters(prompt_of(""))
    fitted = fit(prompt, characters, room + limit)
    if not fitted.evidence.reader_cut_characters:
        return
    kept = fitted.evidence.passages[0].text
    longer = [
        end
        for end in range(len(kept) + 1, limit + 1)
        if text[end].isspace() and not text[end - 1].isspace()
    ]
    if longer:
        assert SENTENCE_END.search(text[len(kept) - 1 : len(kept) + 1])
        assert len(kept) >= limit // 2


def test_identical_passages_are_read_once() -> None:
    texts = ("a b", " a  b ", "c", "a b")
    example = Example("q", "?", passages(*texts, scores=(1.0, 4.0, 3.0, 2.0)))
    evidence = chosen(example, order="score")
    assert [passage.rank for passage in evidence.passages] == [2, 3]
    assert [(d.passage.rank, d.reason) for d in evidence.dropped] == [
        (4, "duplicate"),
        (1, "duplicate"),
    ]
    assert len(chosen(example, dedupe=False).passages) == 4
    assert [passage.rank for passage in chosen(example, top_k=2).passages] == [1, 3]
    titled = (Passage("a", title="x", rank=1), Passage("a", title="y", rank=2))
    assert len(chosen(Example("q", "?", titled)).passages) == 2


def test_a_budget_of_tokens_needs_a_named_tokenizer() -> None:
    with pytest.raises(ValidationError, match=r"max_tokens needs evidence\.tokenizer"):
        EvidenceOptions(max_tokens=5)
    options = EvidenceOptions(max_tokens=5, tokenizer="some/model")
    example = Example("q", "?", passages("one two three", "four five", "six"))

    def count(text: str) -> int:
        return len(text.split())

    evidence = select(example, options, count)
    assert evidence.context == "one two three\n\nfour five"
    assert [(d.passage.rank, d.reason) for d in evidence.dropped] == [(3, "budget")]


def test_passages_that_are_read_one_by_one_are_cut_one_by_one() -> None:
    prompt = prompt_of("one two three four five", "six", "seven eight nine ten")
    fitted = fit_each(prompt, words, 8)  # instruction, question and answer have five words
    assert [passage.text for passage in fitted.evidence.passages] == [
        "one two three",
        "six",
        "seven eight nine",
    ]
    assert fitted.evidence.reader_cut_characters == len(" four five") + len(" ten")
    assert fitted.evidence.dropped == ()
    bare = fit_each(prompt, words, 5)
    assert bare.evidence.passages == ()
    assert [drop.reason for drop in bare.evidence.dropped] == ["reader"] * 3
    with pytest.raises(PromptError, match="alone take 5"):
        fit_each(prompt, words, 4)
    assert fit_each(prompt_of(), words, 5).evidence.passages == ()


def boundary(text: str, end: int) -> int:
    """The last sentence end in the second half of text[:end], or the last word end, or 0.

    In text without white space it is `end` itself.
    """
    # Look one character further, or the "3." of "3.14" would pass for a sentence end.
    sentences, words = (
        [match.end() for match in ending.finditer(text, 0, end + 1) if match.end() <= end]
        for ending in (SENTENCE_END, WORD_END)
    )
    if sentences and sentences[-1] >= end // 2:
        return sentences[-1]
    if words:
        return words[-1]
    return end if not re.search(r"\s", text.strip()) else 0


def plainly(prompt: Prompt, length: Callable[[Prompt], int], limit: int) -> Evidence:
    """The evidence that fits, found by trying all numbers of passages and all ends."""
    original = prompt.evidence

    def fits(changed: Evidence) -> bool:
        return length(replace(prompt, evidence=changed)) <= limit

    for number in range(len(original.passages), 0, -1):
        kept = replace(original, passages=original.passages[:number])
        if fits(kept):
            return kept
    (passage,) = original.passages[:1]
    ends = range(len(passage.text), -1, -1)
    ending = {end: replace(passage, text=passage.text[:end]) for end in ends}
    last = next(e for e in ends if fits(replace(original, passages=(ending[e],) if e else ())))
    while True:
        last = boundary(passage.text, last)
        shorter = replace(original, passages=(ending[last],) if last else ())
        if fits(shorter):
            return shorter
        last -= 1


@given(prompts, st.integers(0, 60), st.sampled_from([words, characters]))
def test_what_is_kept_is_as_much_as_fits(prompt: Prompt, limit: int, length) -> None:  # type: ignore[no-untyped-def]
    empty = replace(prompt, evidence=replace(prompt.evidence, passages=()))
    if not prompt.evidence.passages or length(empty) > limit:
        return
    assert fit(prompt, length, limit).evidence.passages == plainly(prompt, length, limit).passages


@pytest.mark.parametrize(
    ("number", "sentences", "limit", "most"),
    [
        (1, 3, 400, 1),  # it fits
        (100, 3, 400, 4),
        (100, 30, 400, 9),  # not one passage fits entirely
        (1, 600, 400, 8),
        (1, 3000, 400, 10),
    ],
)
def test_a_prompt_is_made_few_times(number: int, sentences: int, limit: int, most: int) -> None:
    """Each attempt tokenizes it again."""
    long = [f"{'It rains in Veld, says Mira. ' * (sentences + n % 3)}" for n in range(number)]
    made: list[int] = []

    def encoded(trial: Prompt) -> Prompt:
        made.append(words(trial))
        return trial.carrying(Encoding(()))

    fitted = fit(prompt_of(*long), words, limit, encoded)
    assert fitted.encoding is not None
    assert words(fitted) <= limit
    assert len(made) <= most
    assert sum(made) < words(prompt_of(*long)) + most * 2 * limit, "long texts, above all"


@pytest.mark.parametrize("limit", [30, 200, 600])
def test_many_passages_take_hardly_longer_than_few(limit: int) -> None:
    """Passages far beyond the limit are never tried, and the right number is soon found."""

    def read_for(number: int) -> tuple[int, int]:
        texts = [" ".join(["word"] * (20 + place * 17 % 41)) for place in range(number)]
        looked_at = 0

        def length(trial: Prompt) -> int:
            nonlocal looked_at
            looked_at += words(trial)
            return words(trial)

        return looked_at, len(fit(prompt_of(*texts), length, limit).evidence.passages)

    few, many = read_for(20), read_for(1000)
    assert few[1] == many[1]
    assert many[0] <= 2 * few[0]
    assert limit < 200 or many[0] <= 2.2 * limit


@pytest.mark.parametrize("limit", [9, 40, 150, 400, 900, 2000])
@pytest.mark.parametrize("length", [words, characters])
def test_of_many_passages_as_many_are_kept_as_fit(limit: int, length) -> None:  # type: ignore[no-untyped-def]
    prompt = prompt_of(*("word " * (place * 13 % 29) + "end" for place in range(60)))
    empty = replace(prompt, evidence=replace(prompt.evidence, passages=()))
    limit += length(empty)
    assert fit(prompt, length, limit).evidence.passages == plainly(prompt, length, limit).passages
