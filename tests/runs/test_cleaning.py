import time
from collections.abc import Callable
from typing import Any

import pytest

from aqa.backends.openai_api.error_bodies import error_text
from aqa.metrics.normalize import PROFILES
from aqa.records import AnswerPart
from aqa.runs.cleaning import CleanAnswer, clean_answer, is_blank, means_no_answer, object_in
from aqa.runs.journal_rows import cleaned_again
from aqa.runs.tool_calls import is_tool_call


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("  Paris \n", "Paris"),
        ("\n\nParis\nIt is the capital.", "Paris"),
        ("Answer: Paris", "Paris"),
        ("ANSWER:Paris", "Paris"),
        ("Final answer: Paris", "Paris"),
        ("A: Paris", "Paris"),
        ("A:B ratio", "A:B ratio"),
        ("Apollo: a mission", "Apollo: a mission"),
        ("답변: 서울", "서울"),
        ("답:서울", "서울"),
        ("정답：서울", "서울"),
        ("정답은 서울", "정답은 서울"),
        ("답변:\n서울", "서울"),
        ("**Answer:** Paris", "Paris"),
        ("**정답**: 서울", "서울"),
        ("**Answer: Paris**", "Paris"),
        ("**Paris**", "Paris"),
        ("**A** and **B**", "**A** and **B**"),
        ('"Paris"', "Paris"),
        ("'Paris'", "Paris"),
        ("“서울”", "서울"),
        ("‘서울’", "서울"),
        ("`x + 1`", "x + 1"),
        ('Answer: "Paris"', "Paris"),
        ("'Don't stop'", "Don't stop"),
        ("‘Don’t stop’", "Don’t stop"),
        ('"A" and "B"', '"A" and "B"'),
        ("'A' and 'B'", "'A' and 'B'"),
        ("the ’90s", "the ’90s"),
        ('""Paris""', '""Paris""'),
        ("《송환》", "《송환》"),
        ("서울.", "서울."),
        ("St. John's (Canada)!", "St. John's (Canada)!"),
        ("<think>\nIs it Lyon?\n</think>\n\nAnswer: Paris", "Paris"),
        ("Is it Lyon?\n</think>\nParis", "Paris"),
        ("<thought>리옹일까?</thought>서울", "서울"),
        ("<think>Lyon</think><think>Nice</think>Paris", "Paris"),
        ("<think>Is it Lyon? Or", ""),  # truncated, so there is no answer
        ("[THINK]Lyon?[/THINK]Paris", "Paris"),
        ("Is <think> a tag?", "Is <think> a tag?"),
        (
            "<|channel|>analysis<|message|>Lyon?<|end|><|start|>assistant<|channel|>final<|message|>"
            "Paris<|return|>",
            "Paris",
        ),
        ("<|channel|>analysis<|message|>Lyon? Or", ""),
        ("analysisLyon? No.assistantfinalParis", "Paris"),
        ("analysis of variance", "analysis of variance"),
        ("<Think>Lyon?</Think>Paris", "Paris"),
        ("<reasoning>Lyon?</reasoning>\nParis", "Paris"),
        ("◁think▷리옹?◁/think▷파리", "파리"),
        ("<|START_THINKING|>Lyon<|END_THINKING|><|START_RESPONSE|>Paris<|END_RESPONSE|>", "Paris"),
        ("<|channel>thought\nLyon?<channel|>Paris<turn|>", "Paris"),
        ("<|channel>thought\nLyon?", ""),
        ("<|think|>Lyon?<|end|><|begin|>assistant<|content|>Paris<|end|>", "Paris"),
        ("<think>\n</think>\n<answer>\nParis\n</answer>", "Paris"),
        (
            "<|begin_of_thought|>Lyon<|end_of_thought|>\n\n<|begin_of_solution|>Paris"
            "<|end_of_solution|>",
            "Paris",
        ),
        ("<think>Lyon</think><answer><|begin_of_box|>Paris<|end_of_box|></answer>", "Paris"),
        ("<response>Paris", "Paris"),
        ("<answer></answer>", ""),
        ("the <answer> tag", "the <answer> tag"),
        ("Paris<|im_end|>", "Paris"),
        ("서울특별\ufffd", "서울특별"),  # cut inside a character
        ("서\ufffd울", "서\ufffd울"),
        ("Paris</s><|endoftext|>\n", "Paris"),
        ("서울[|endofturn|]", "서울"),
        ("<|im_end|>", "<|im_end|>"),  # perhaps the question was about it
        ("the <|im_end|> token", "the <|im_end|> token"),
        ("", ""),
        (" \n\t\n", ""),
        ("Answer:", ""),
        ("\u200b", ""),
        ("\u200b\n\ufeffAnswer: Paris", "Paris"),
        ("Answer: \u2060\nParis", "Paris"),
        ("\ufeff<think>Lyon? Or", ""),
        ("<think>Lyon?</think>\u200b<answer>\u200bParis</answer>", "Paris"),
        ("Is it?</think>\u200b", ""),
        ('"\u00ad"', ""),
        ("\u2764\ufe0f", "\u2764\ufe0f"),  # the second makes the first an emoji
        ("\u0645\u06cc\u200c\u0631\u0648\u062f", "\u0645\u06cc\u200c\u0631\u0648\u062f"),
    ],
)
def test_clean_up(raw: str, text: str) -> None:
    assert clean_answer(raw, ()) == CleanAnswer(text, abstained=False)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Paris\nIt is the capital.\n", "Paris\nIt is the capital."),
        ("Answer:\n\nFirst.\n\nSecond.", "First.\n\nSecond."),
        ("답변: 첫째.\r\n둘째.", "첫째.\n둘째."),
        ("<think>\nLyon?\n</think>\nParis,\n  then Rome", "Paris,\n  then Rome"),
        ('"Paris\nand Rome"', "Paris\nand Rome"),
        ("**Paris**\nis the capital", "**Paris**\nis the capital"),
        ("- one\n- two", "- one\n- two"),
        ("**Paris**", "Paris"),
        (" \n\t\n", ""),
        ("\u200b\n\u2060\n", ""),
        ("\ufeffParis\nand Rome", "Paris\nand Rome"),
    ],
)
def test_the_whole_text_is_kept(raw: str, text: str) -> None:
    assert clean_answer(raw, ("no answer",), "text") == CleanAnswer(text, abstained=False)


@pytest.mark.parametrize("kept", ["line", "text"])
def test_who_begins_with_a_no_answer_phrase_abstains(kept: AnswerPart) -> None:
    said = "No answer.\nThe passages are about trains."
    assert clean_answer(said, ("no answer",), kept) == CleanAnswer("", abstained=True)
    said = "Trains.\nNo answer."
    assert not clean_answer(said, ("no answer",), kept).abstained


@pytest.mark.parametrize(
    "raw",
    [
        "No answer",
        "no  ANSWER.",
        '"No answer."',
        "Answer: no answer!",
        "(no answer)",
        "- No answer",
        "no-answer",
        "<think>Lyon?</think>No answer",
        "*No answer*.",
        "모름",
        "답: 모름。",
        "'모름'.",
    ],
)
def test_no_answer_phrases_become_empty(raw: str) -> None:
    assert clean_answer(raw, ("No answer.", "모름")) == CleanAnswer("", abstained=True)


def test_what_no_reader_sees_is_blank() -> None:
    """What Unicode calls default ignorable; the others have a glyph, if the font has it."""
    hidden = (
        "\u00ad\u034f\u061c\u115f\u180e\u200b\u200d\u200f\u202e\u2060\u2069\u3164\ufe0f\ufeff\uffa0"
    )
    assert all(map(is_blank, ("", " \n", "\x00", *hidden, hidden, "\U000e0020", "\U000e01ef")))
    assert not any(map(is_blank, (".", "\u0301", "\u0600", "\ue000", "\ufffd", f"{hidden}a")))


def test_a_phrase_within_an_answer_is_an_answer() -> None:
    assert clean_answer("No answer is known", ("no answer",)).text == "No answer is known"
    assert not means_no_answer("Paris", ("no answer",))


def test_nothing_is_not_an_abstention() -> None:
    assert not clean_answer("", ("no answer",)).abstained


def test_a_phrase_of_marks_does_not_swallow_every_mark() -> None:
    assert means_no_answer("-", ("-",))
    assert not means_no_answer("?", ("-",))


def test_decomposed_phrases_are_known() -> None:
    assert means_no_answer("\u1106\u1169\u1105\u1173\u11b7", ("모름",))


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({}, "Paris"),
        ({"evidence": 3}, "Paris"),
        ({"evidence": ["named_ranks"]}, "Paris"),
        ({"abstained": "False"}, "Paris"),
        ({"abstained": True}, ""),
        ({"raw": ["Paris"]}, None),
    ],
)
def test_rows_of_other_tools_are_cleaned_again(columns: dict[str, Any], text: str | None) -> None:
    assert cleaned_again({"raw": "Answer: Paris\nbecause", **columns}, "line") == text


def seconds(work: Callable[[str], object], text: str) -> float:
    """The processor's time for the work."""
    start = time.process_time()
    work(text)
    return time.process_time() - start


BEGIN = ["", "Answer: '"]
MARKS = [
    "Answer:", "Answer:\n", "a: ", "\n", " ", "**", "'a", "a'", '"', "‘a", "```", "```\n```x",
    "<think>", "</think>", "<|channel|>final", "<|channel|>final<|constrain|>", "analysis",
    "assistantfinal", "<answer>", "</answer>", "<|im_end|>", "<|end|>", "{", "[", '{"a":', "{}\n",
    '\\"', "the ", "《", "<", "<title>", "\u200b", "<tool_call>{}</tool_call>",
    "[TOOL_CALLS]a[b]{}", "<|python_tag|>{}", "<function=a><",
]  # fmt: skip
WORKS: list[Callable[[str], object]] = [
    lambda text: clean_answer(text, ["unknown"], "text"),
    object_in,
    is_tool_call,
    PROFILES["squad"].normalize,
    error_text,
]


@pytest.mark.slow
@pytest.mark.parametrize("mark", MARKS)
def test_ten_times_the_text_takes_about_ten_times_as_long(mark: str) -> None:
    for begin in BEGIN:
        short, long = (begin + mark * (size // len(mark)) + "x" for size in (100_000, 1_000_000))
        for work in WORKS:
            usual = min(seconds(work, short) for _ in range(3))
            assert seconds(work, long) < 50 * usual, begin
