"""Tool calls as models write them where the server has no parser for them."""

import pytest

from aqa.backends.local.decoding import GeneratedAnswer, as_prediction
from aqa.config.options import GenerationOptions
from aqa.runs.tool_calls import CALLED, is_tool_call

CALL = '{"name": "search", "arguments": {"query": "Merrow"}}'
HERMES = f"<tool_call>\n{CALL}\n</tool_call>"
PYTHON_TAG = "<|python_tag|>"


@pytest.mark.parametrize(
    "text",
    [
        HERMES,
        "<tool_call>{...}</tool_call>",
        f"{HERMES}\n{HERMES}",
        f"<think>I search.</think>\n\n{HERMES}<|im_end|>",
        f"\u200b{HERMES}\n",
        f"<tool_call>\n{CALL}\n",  # the end tag may be a stop
        "<tool_call>\n<function=search>\n<parameter=query>\nMerrow\n</parameter>\n</function>\n"
        "</tool_call>",
        "<tool_call>search\n<arg_key>query</arg_key>\n<arg_value>Merrow</arg_value>\n</tool_call>",
        f"<tool_calls>[{CALL}]</tool_calls>",
        f"<function_call>{CALL}</function_call>",
        '<minimax:tool_call>\n<invoke name="search"></invoke>\n</minimax:tool_call>',
        '<function=search>{"query": "Merrow"}</function>',
        "<function=now></function>",
        f"{PYTHON_TAG}{CALL}",
        f'{PYTHON_TAG}brave_search.call(query="Merrow")<|eom_id|>',
        f"{PYTHON_TAG}import math\nprint(math.pi)",
        f"[TOOL_CALLS][{CALL}]",
        f"[TOOL_CALLS] [{CALL}]</s>",
        '[TOOL_CALLS]search[ARGS]{"query": "Merrow"}',
        '[TOOL_CALLS]search[CALL_ID]a1[ARGS]{"query": "a"}[TOOL_CALLS]now[ARGS]{}',
        f"<|tool_call|>[{CALL}]<|/tool_call|>",
        f"<|tool_call|>[{CALL}]",
        "<|tool_call>call:search{query:Merrow}<tool_call|>",
        "<start_function_call>call:search{query:Merrow}<end_function_call>",
        '<|tool_call_start|>[search(query="Merrow")]<|tool_call_end|>',
        f"<|START_ACTION|>[{CALL}]<|END_ACTION|>",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.search:0"
        "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>search\n```json\n{}\n```"
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ],
)
def test_a_call_alone_is_one(text: str) -> None:
    assert is_tool_call(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Merrow",
        "<tool_call>",
        "[TOOL_CALLS]",
        PYTHON_TAG,
        "[TOOL_CALLS] is Mistral's token",
        f"{PYTHON_TAG} is Llama's (from 3.1)",
        "<tool_call> and </tool_call>",
        "<|tool_call_start|> and <|tool_call_end|>",
        f"It writes {HERMES}",
        f"{HERMES} is how Hermes writes a call",
        f"{HERMES}\nMerrow",
        f"{HERMES} or {HERMES}",
        f"<tool_call>{CALL} is how it begins",
        f"[TOOL_CALLS][{CALL}] is how Mistral writes it",
        f"{PYTHON_TAG}{CALL} is how Llama writes it",
        "<function=search> is a tag",
        CALL,
    ],
)
def test_what_mentions_one_stays(text: str) -> None:
    assert not is_tool_call(text)


@pytest.mark.parametrize(
    "text", ['<tool_call>\n{"name": "sea', '[TOOL_CALLS][{"name": "sea', '<function=a>{"b": "c']
)
def test_a_call_may_be_cut_off(text: str) -> None:
    assert is_tool_call(text, cut=True)
    assert not is_tool_call(text)
    assert not is_tool_call(f"It writes {text}", cut=True)


def test_a_local_reader_answers_with_none() -> None:
    """The best of its other answers counts."""
    options = GenerationOptions(num_return_sequences=2, num_beams=2)
    texts = {1: HERMES, 2: "Merrow"}

    def predicted(*ids: int) -> tuple[str | None, str | None]:
        answers = [GeneratedAnswer([own], -float(own), 1) for own in ids]
        found = as_prediction("q", 1, answers, lambda ids: (texts[ids[0]], True), options)
        return found.raw, found.error

    assert predicted(1) == (HERMES, CALLED)
    assert predicted(1, 2) == ("Merrow", None)
