"""Recognise tool calls that a model wrote as text, since its server did not parse them."""

import re

from aqa.runs.cleaning import clean_answer

CALLED = "the model called a tool instead of answering"
# What models put around calls; the end may be missing, since some servers stop there.
_FRAMES = (
    (r"<(?:\w+:)?(?:tool|function)_calls?>", r"</(?:\w+:)?(?:tool|function)_calls?>"),
    (r"<function=[\w.-]+>", "</function>"),  # Llama 3's and Qwen3-Coder's
    (r"<\|tool_call\|>", r"<\|/tool_call\|>"),  # Phi-4's and Granite's
    (r"<\|tool_call>", r"<tool_call\|>"),  # Gemma 4's
    ("<start_function_call>", "<end_function_call>"),  # FunctionGemma's
    (r"<\|tool_call_start\|>", r"<\|tool_call_end\|>"),  # LFM2's
    (r"<\|START_ACTION\|>", r"<\|END_ACTION\|>"),  # Command A's
    (r"<\|tool_calls_section_begin\|>", r"<\|tool_calls_section_end\|>"),  # Kimi's
    ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),  # DeepSeek's
)
# How a call begins: as JSON, as another element, or with the function's name.
_BEGIN = r"\s*(?:[\[{<]|[\w.:-]+[\n({<])"
# Marks before calls that run to the end of the text: Mistral's, and Llama 3's, also for code.
_MARKED = (
    r"(?:\[TOOL_CALLS\]\s*(?:(?:\[\s*)?\{|[\w.-]+(?:\[\w+\]\w*)*\s*\{)"
    r"|<\|python_tag\|>\s*(?:\{|[\w.]+\(|(?:import|from)\s+\w|\w+ = ))"
)


def _framed(begin: str, end: str) -> str:
    return rf"{begin}(?={_BEGIN})(?:(?!{end}).)*(?:{end}|(?<=[\]}})>])\Z)"


_CALL = "|".join(_framed(*frame) for frame in _FRAMES)
_CALLS = re.compile(rf"(?:(?:{_CALL})[\s,;]*)+|{_MARKED}.*(?<=[\]}})])", re.DOTALL)
_BEGUN = re.compile("|".join([_MARKED, *(rf"{begin}{_BEGIN}" for begin, _ in _FRAMES)]))


def is_tool_call(raw: str, cut: bool = False) -> bool:
    """Whether a model wrote nothing but tool calls after its reasoning; `cut`: to its limit."""
    text = clean_answer(raw, (), "text").text
    return (_BEGUN.match(text) if cut else _CALLS.fullmatch(text)) is not None
