"""What counts as an answer in a body with status 200, and what is kept of other bodies."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fault_server import Fault, Server, turns
from gpt4_runs import USAGE, completion, configured, predictions, run

from aqa.backends.openai_api.access import Access
from aqa.backends.openai_api.body_parsing import in_utf8, read_reply, read_response
from aqa.backends.openai_api.failures import Kind, classify_body
from aqa.backends.openai_api.replies import BadBodyError, ErrorInBodyError
from aqa.backends.openai_api.schemas import READER_ANSWER
from aqa.spent import Spent

pytestmark = pytest.mark.usefixtures("hurried")

Body = dict[str, Any]
OBJECT = '{"answer": "Ann", "passages": [1], "answerable": true}'
THOUGHT = "<think>Is it Bob?"
CALL = '<tool_call>{"name": "search", "arguments": {}}</tool_call>'
HIDDEN = "\u200b\ufeff\u202e\u00ad"  # a zero-width space, a BOM, a bidi control, a soft hyphen


def chat(content: object, finish: object = "stop", **message: object) -> bytes:
    choice = {"message": {"content": content, **message}, "finish_reason": finish}
    return json.dumps({"model": "m", "choices": [choice], "usage": USAGE}).encode()


def response(*messages: Body, **more: object) -> bytes:
    return json.dumps({"status": "completed", "output": messages, "model": "m"} | more).encode()


def message(text: str, **more: object) -> Body:
    part = {"type": "output_text", "text": text}
    return {"type": "message", "content": [part], **more}


@pytest.mark.parametrize(
    "text",
    [
        OBJECT,
        f"```json\n{OBJECT}\n```",
        f"```\n{OBJECT}```",
        f"Here it is:\n\n```JSON\n{OBJECT}\n```\nI hope it helps.",
        f"{THOUGHT} {{no}}</think>\n{OBJECT}",
        f"Bob? {{}}</think>```json\n{OBJECT}\n```",
        f"[THINK]Bob?[/THINK]{OBJECT}",
        f"The answer of the set {{Ann, Bob}} is {OBJECT}.",
        f"<|channel|>analysis<|message|>{{}}<|end|><|start|>assistant<|channel|>final"
        f" <|constrain|>json<|message|>{OBJECT}<|return|>",
        OBJECT[:-1] + ', "confidence": 0.9}',
        '{"answer": "Ann", "passages": ["1"], "answerable": "true"}',
        f"{OBJECT}\n{OBJECT}",
        f'{{"reader_answer": {OBJECT}}}',
        json.dumps(OBJECT),
    ],
)
def test_an_object_is_found_wherever_it_is_clear(text: str) -> None:
    reply = read_reply(chat(text), READER_ANSWER)
    assert reply.structured is not None
    assert (reply.structured.text, reply.structured.passages) == ("Ann", (1,))
    assert reply.text == text


@pytest.mark.parametrize(
    ("answer", "text"), [("1801", "1801"), ("12.50", "12.50"), ('"12\n50"', "12\n50")]
)
def test_an_answer_is_what_was_written(answer: str, text: str) -> None:
    said = f'{{"answer": {answer}, "passages": [1], "answerable": true}}'
    reply = read_reply(chat(said), READER_ANSWER)
    assert reply.structured is not None
    assert reply.structured.text == text


@pytest.mark.parametrize("passages", ["[]", "null"])
@pytest.mark.parametrize("answer", ['""', "null"])
def test_nothing_is_an_answer_where_there_is_none(answer: str, passages: str) -> None:
    said = f'{{"answer": {answer}, "passages": {passages}, "answerable": false}}'
    reply = read_reply(chat(said), READER_ANSWER)
    assert reply.structured is not None
    assert reply.structured.abstained


@pytest.mark.parametrize(
    "text", ["Ann", f"{OBJECT} or {OBJECT.replace('Ann', 'Bob')}", f"<think>{OBJECT}", "[1]", "{}"]
)
def test_no_object_is_guessed(text: str) -> None:
    reply = read_reply(chat(text), READER_ANSWER)
    assert (reply.text, reply.rejected) == (None, text)
    assert reply.misfit


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (CALL, "the model called a tool instead of answering"),
        (HIDDEN, "the model gave no answer"),
        (OBJECT.replace("Ann", HIDDEN), "answerable is true, but answer is empty"),
    ],
)
def test_what_is_no_answer_is_none_of_the_schema_either(text: str, error: str) -> None:
    reply = read_reply(chat(text), READER_ANSWER)
    assert reply.misfit
    assert error in (reply.error or "")


def test_an_object_within_a_call_of_a_tool_is_an_answer() -> None:
    text = f"<tool_call>{OBJECT}</tool_call>"
    assert read_reply(chat(text), READER_ANSWER).structured is not None


def test_the_answer_within_a_fence_is_that_of_the_run(tmp_path: Path, server: Server) -> None:
    text = f"```json\n{OBJECT}\n```"
    server.answer = lambda body: text
    assert run(configured(tmp_path, server, 2, structured=True), tmp_path / "out").answered == 2
    assert server.requests == 2
    row = predictions(tmp_path / "out")["q0"]
    assert (row["predicted_answer"], row["raw"]) == ("Ann", text)


@pytest.mark.parametrize("structured", [True, False])
def test_a_failure_keeps_what_was_said(tmp_path: Path, server: Server, structured: bool) -> None:
    server.script = lambda number, body: completion(THOUGHT, "length") if number == 0 else None
    server.answer = lambda body: OBJECT
    config = configured(tmp_path, server, 3, structured=structured, max_concurrency=1)
    run(config, tmp_path / "out")
    row = predictions(tmp_path / "out")["q0"]
    assert row["raw"] == THOUGHT
    assert row["predicted_answer"] is None
    assert "the model's thought was cut off; raise" in row["error"]
    assert row["tokens"] == {"prompt": 10, "answer": 2}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (chat(THOUGHT), "the model thought, but gave no answer"),
        (chat(f"{THOUGHT}</think>\n"), "the model thought, but gave no answer"),
        (chat(None, reasoning_content="hm"), "the model thought, but gave no answer"),
        (chat(None, "length", reasoning_content="hm"), "the model's thought was cut off"),
        (chat(THOUGHT, "length"), "the model's thought was cut off"),
        (chat("<|channel|>analysis<|message|>Bob?"), "the model thought, but gave no answer"),
        (chat("", "MAX_TOKENS"), "no token was left"),
        (chat("An", "SAFETY"), "content filter"),
        (chat("An", "content_filter: RECITATION"), "content filter"),
        (chat("An", "sensitive"), "content filter"),
        (chat("An", "ContentFilter"), "content filter"),
        (chat("", "max-tokens"), "no token was left"),
        (chat("", "token_limit"), "no token was left"),
        (chat("", {"type": "length", "length": 16}), "no token was left"),
        (chat(True), "the model gave no answer"),
        (b'{"choices": [{"message": null, "finish_reason": "SPII"}]}', "content filter"),
        (chat(None, "tool_calls"), "called a tool"),
        (chat(None, "stop", tool_calls=[{"id": "t"}]), "called a tool"),
        (chat(None, "function_call"), "called a tool"),
        (chat(CALL), "called a tool"),
        (chat(f"{THOUGHT}</think>{CALL}"), "called a tool"),
        (chat(CALL[:30], "length"), "called a tool"),
        (response(message(CALL)), "called a tool"),
        (chat(HIDDEN), "the model gave no answer"),
        (response(message(HIDDEN)), "the model gave no answer"),
        (chat(f"{THOUGHT}</think>{HIDDEN}"), "the model thought, but gave no answer"),
        (chat(f"{HIDDEN}{THOUGHT}"), "the model thought, but gave no answer"),
        (chat(HIDDEN, refusal="No."), "the model refused: No."),
        (chat(HIDDEN, "length"), "no token was left"),
        (chat("", reasoning_details=[{"text": "hm"}]), "the model thought, but gave no answer"),
        (chat([{"type": "reasoning", "text": "hm"}]), "the model gave no answer"),
        (chat([{"type": "refusal", "refusal": "No."}]), "the model refused: No."),
        (chat({}), "the model gave no answer"),
        (b'{"choices": [], "model": "m"}', "gave no answer (choices holds none)"),
        (response(message("I look.", phase="commentary")), "thought, but gave no answer"),
        (response({"type": "reasoning"}), "thought, but gave no answer"),
        (response({"type": "reasoning"}, {"type": "function_call"}), "called a tool"),
        (response({"type": "message", "content": None}), "thought, but gave no answer"),
    ],
)
def test_a_thought_is_no_answer(content: bytes, error: str) -> None:
    reply = (read_response if b'"output"' in content else read_reply)(content)
    assert reply.text is None
    assert error in (reply.error or "")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (chat("Ann", None), "Ann"),
        (chat(f"{HIDDEN}Ann"), f"{HIDDEN}Ann"),  # the text as it came
        (chat(f"It writes {CALL}"), f"It writes {CALL}"),
        (chat("Ann", "eos_token"), "Ann"),
        (chat(1801), "1801"),
        (b'{"choices": [{"index": 1, "text": "Bo"}, {"index": 0, "text": "Ann"}]}', "Ann"),
        (chat(["An", {"type": "text", "text": "n"}]), "Ann"),
        (chat({"type": "text", "text": "Ann"}), "Ann"),
        (chat([None, {"text": "An"}, {"type": "output_text", "text": "n"}]), "Ann"),
        (chat([{"type": "text", "text": {"value": "Ann"}}]), "Ann"),
        (chat({"answer": "Ann"}), '{"answer": "Ann"}'),
        (b"\xef\xbb\xbf" + chat("Ann"), "Ann"),
        (b'{"choices": [{"text": "Ann", "finish_reason": "stop"}]}', "Ann"),
        (b'{"choices": [{"delta": {"content": "Ann"}, "finish_reason": "stop"}]}', "Ann"),
        (response(message("I look."), message("Ann")), "I look.Ann"),
        (response({"type": "web_search_call"}, message("Ann")), "Ann"),
        (response({"type": "message", "content": "Ann"}), "Ann"),
        (response({"type": "message", "content": [{"type": "text", "text": "Ann"}]}), "Ann"),
        (response(message("I look.", phase="commentary"), message("Ann")), "Ann"),
        (response(message("x", phase="commentary"), message("Ann", phase="final_answer")), "Ann"),
    ],
)
def test_where_an_answer_stands(content: bytes, text: str) -> None:
    reply = (read_response if b'"output"' in content else read_reply)(content)
    assert (reply.text, reply.error, reply.cut) == (text, None, False)


def test_a_cut_answer_is_marked(tmp_path: Path, server: Server) -> None:
    server.script = lambda number, body: completion("as far as", "length") if number == 0 else None
    run(configured(tmp_path, server, 2, max_concurrency=1), tmp_path / "out")
    rows = predictions(tmp_path / "out")
    assert rows["q0"]["predicted_answer"] == "as far as"
    assert rows["q0"]["cut"] is True
    assert "cut" not in rows["q1"]


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_one_that_fills_its_room_is_cut_whatever_the_server_says(
    tmp_path: Path, server: Server, api: str
) -> None:
    room = 16
    texts = {"who 0": "a " * (room - 1), "who 1": "a " * room, "who 2": "a " * (room + 1)}
    server.answer = lambda body: texts[turns(body)[-1]["content"]]
    run(configured(tmp_path, server, 3, api=api, reasoning_tokens=room - 4), tmp_path / "out")
    rows = predictions(tmp_path / "out")
    assert [row.get("cut") for row in rows.values()] == [None, True, None]


# Servers that stream what they should send whole.


def stream(*events: object, end: str = "\r\n\r\n") -> bytes:
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return "".join(f"data: {text}{end}" for text in texts).encode()


def piece(text: str | None, finish: str | None = None) -> Body:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


def test_a_stream_of_a_completion_is_joined(tmp_path: Path, server: Server) -> None:
    events = [piece("An") | {"model": "m"}, piece("n\u2028"), piece(None, "stop")]
    content = b": hello\n" + stream(*events, {"choices": [], "usage": USAGE}, "[DONE]", end="\n\n")
    server.script = lambda number, body: Fault(raw=content)
    run(configured(tmp_path, server, 1), tmp_path / "out")
    row = predictions(tmp_path / "out")["q0"]
    assert (row["predicted_answer"], row["tokens"]) == ("Ann", {"prompt": 10, "answer": 2})


def test_other_streams() -> None:
    assert read_reply(stream(piece("Ann"), "[DONE]")).text == "Ann"
    assert read_reply(stream(piece("Ann", "stop"))).text == "Ann"
    assert read_reply(stream(piece("An"), piece("n", "length"))).cut
    of_groq = {**piece("Ann", "stop"), "x_groq": {"id": "r", "usage": USAGE}}
    assert read_reply(stream(of_groq, "[DONE]")).spent == Spent(10, 2)
    assert read_reply(stream({**of_groq, "x_groq": "r"}, "[DONE]")).text == "Ann"
    assert read_reply(b"\xef\xbb\xbf" + stream(piece("Ann", "stop"))).text == "Ann"
    assert read_reply(b"id: 1\r\nevent: x\r\n" + stream(piece("Ann", "stop"))).text == "Ann"
    in_parts = {"delta": {"content": [{"type": "text", "text": "Ann"}]}, "finish_reason": "stop"}
    assert read_reply(stream({"choices": [in_parts]})).text == "Ann"
    whole = {"type": "response.completed", "response": json.loads(response(message("Ann")))}
    assert read_response(b"event: x\n" + stream({"type": "response.created"}, whole)).text == "Ann"
    pieces = [{"type": "response.output_text.delta", "delta": text} for text in ("An", "n")]
    empty = {"type": "response.completed", "response": {"status": "completed", "output": []}}
    assert read_response(stream(*pieces, empty)).text == "Ann"
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"code": 429}}}
    with pytest.raises(ErrorInBodyError):
        read_response(stream(failed))
    for broken in (stream(piece("An")), stream(), b"data: {", stream({"type": "response.created"})):
        for read in (read_reply, read_response):
            with pytest.raises(BadBodyError):
                read(broken)
    texts = [{"choices": [{"index": 0, "text": text}]} for text in ("An", "n")]
    assert read_reply(stream(*texts, "[DONE]")).text == "Ann"


@pytest.mark.parametrize(
    "logprobs",
    [
        [{"content": [{"token": word, "logprob": value}]} for word, value in (("An", -1), ("n", 0))]
        + [{"content": None}],
        [{"tokens": [word], "token_logprobs": [value]} for word, value in (("An", -1), ("n", 0))]
        + [None],
    ],
    ids=["chat", "text"],
)
def test_a_stream_keeps_the_log_probabilities(logprobs: list[Body | None]) -> None:
    """They were dropped, so that answers had no confidence, for which the server was blamed."""
    events = [piece("An"), piece("n"), piece("", "stop")]
    for event, given in zip(events, logprobs, strict=True):
        event["choices"][0]["logprobs"] = given
    reply = read_reply(stream(*events, "[DONE]"))
    assert (reply.text, reply.tokens) == ("Ann", ((b"An", -1.0), (b"n", 0.0)))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("between", [1, 2])  # some servers omit blank lines
def test_the_data_of_an_event_may_take_several_lines(end: str, between: int) -> None:
    events = [piece("An"), piece("n\u2028", "stop") | {"service_tier": "flex"}]
    texts = [json.dumps(event, ensure_ascii=False) for event in events]
    split = [text.replace(", ", f",{end}data:") for text in texts] if between == 2 else texts
    content = "".join(f"id: 1{end}retry: 9{end}data: {text}{end * between}" for text in split)
    for last in ("", f": done{end}data: [DONE]"):
        reply = read_reply((content + last).encode())
        assert (reply.text, reply.tier) == ("Ann\u2028", "flex")


BUSY = {"message": "busy", "code": 503}


@pytest.mark.parametrize(
    "error",
    [
        stream({"error": BUSY}),
        stream({"object": "error", **BUSY}),
        stream(BUSY),
        stream({"type": "error", **BUSY}),
        stream({"choices": [{"delta": {}, "error": BUSY, "finish_reason": "error"}]}),
        stream({"choices": [], "x_groq": {"id": "r", "error": "too many requests"}}),
        b"event: error\n" + stream(BUSY),
        b"event: error\n" + stream({"detail": BUSY}),
        b"event: error\n" + stream("rate limit"),
    ],
)
@pytest.mark.parametrize("read", [read_reply, read_response])
def test_an_error_within_a_stream_ends_it(read: Any, error: bytes) -> None:
    with pytest.raises(BadBodyError) as broken:
        read(stream(piece("An")) + error + stream("[DONE]"))
    failure = classify_body(broken.value, Access("https://x/v1", False, "k"))
    assert failure.kind == "busy" or (read is read_response and b"choices" in error)


def test_what_follows_an_event_of_another_name_is_no_error() -> None:
    content = b"event: ping\ndata: {}\n\n" + stream(piece("Ann", "stop"), "[DONE]")
    assert read_reply(content).text == "Ann"


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        (chat("서울").decode("unicode_escape").encode("euc-kr"), "euc-kr", "서울"),
        (chat("Süd").decode("unicode_escape").encode("latin-1"), "iso-8859-1", "Süd"),
        (chat("서울").decode("unicode_escape").encode(), "iso-8859-1", "서울"),  # wrongly declared
        (chat("Ann").decode().encode("utf-16"), None, "Ann"),
        (b'{"choices": [{"text": "\xec\x84\x9c\xec\x9a"}]}', None, "서\ufffd"),
        (b'{"choices": [{"text": "A\xff"}]}', "klingon", "A\ufffd"),
    ],
)
def test_an_answer_in_another_encoding(content: bytes, charset: str | None, text: str) -> None:
    assert read_reply(in_utf8(content, charset)).text == text


# Errors sent with the status of an answer.


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Provider returned error", "code": 429}, "busy"),
        ({"message": "Provider returned error", "code": "429"}, "busy"),
        ({"message": "busy", "type": "rate_limit_error"}, "busy"),
        ({"message": "busy", "status": "UNAVAILABLE"}, "busy"),
        ({"message": "no money", "code": 402}, "denied"),
        ({"message": "no money", "code": "insufficient_quota"}, "fatal"),
        ({"message": "who are you", "code": 401}, "fatal"),
        ({"message": "not you", "code": 403}, "denied"),
        ({"message": "flagged", "code": 403, "metadata": {"flagged_input": "x"}}, "own"),
        ({"message": "no", "code": 400}, "own"),
        ({"message": "down", "code": 502}, "broken"),
        ({"message": "down", "code": 12}, "broken"),
        ({"message": "too long", "code": "context_length_exceeded"}, "own"),
        ("down", "broken"),
        ("insufficient balance", "denied"),
        ("Too many requests", "busy"),
        ({"error": {"message": "no money", "code": 402}}, "denied"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        lambda error: [{"error": error}],
        lambda error: {"detail": {"error": error}},
        lambda error: {"choices": [{"finish_reason": "error"}], "error": error},
        lambda error: {"choices": [{"message": {"content": ""}, "error": error}]},
        lambda error: {"choices": [{"message": {"content": "as far as"}}], "error": error},
        lambda error: {"error": error},
        lambda error: {"choices": None, "error": error},
        lambda error: {"choices": [{"finish_reason": "error", "error": error, "message": {}}]},
        lambda error: {"choices": [{"message": {"content": None}}], "error": error},
        lambda error: {"status": "failed", "error": error},
    ],
)
def test_an_error_is_told_by_its_code(error: object, kind: Kind, body: Any) -> None:
    content = json.dumps(body(error)).encode()
    reads = [read_reply] if b"choices" in content else [read_reply, read_response]
    for read in reads:
        with pytest.raises(BadBodyError) as broken:
            read(content)
        assert classify_body(broken.value, Access("https://x/v1", False, "k")).kind == kind


def test_an_answer_that_came_to_its_end_is_one_beside_an_error() -> None:
    content = json.dumps({"error": "logging failed", **json.loads(chat("Ann"))}).encode()
    assert read_reply(content).text == "Ann"
    none = {"error": {"code": 0, "message": ""}, **json.loads(chat("Ann", None))}
    assert read_reply(json.dumps(none).encode()).text == "Ann"


def test_a_completion_without_choices_is_an_empty_one() -> None:
    """Gemini's, if it blocks a prompt: others may be answered, and its tokens are known."""
    body = {"object": "chat.completion", "model": "m", "usage": USAGE}
    reply = read_reply(json.dumps(body).encode())
    assert (reply.text, reply.empty, reply.spent) == (None, True, Spent(10, 2))


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (b'{"code": 401, "message": "who are you", "success": false}', "fatal", "who are you"),
        (b'{"status": {"code": "40102", "message": "Invalid access token"}}', "fatal", "the key"),
        (b'{"choices": null, "base_resp": {"status_msg": "busy"}}', "broken", "an error: busy"),
        (b'{"done": true, "response": "Ann"}', "denied", "is not a chat completion; see backend"),
        (b'{"error": "Unexpected endpoint or method. (POST /chat)"}', "denied", "model or address"),
        (b"<html><title>Sign in</title></html>", "broken", "a web page .*: Sign in"),
    ],
)
def test_an_error_by_another_name(content: bytes, kind: Kind, reason: str) -> None:
    with pytest.raises(BadBodyError) as broken:
        read_reply(content)
    failure = classify_body(broken.value, Access("https://x/v1", False, "k"))
    assert failure.kind == kind
    assert re.search(reason, failure.reason)
    is_answer = kind != "fatal" and not content.startswith((b"<", b'{"error"'))
    assert failure.maybe_paid == is_answer


def test_a_chat_completion_is_no_response() -> None:
    with pytest.raises(BadBodyError, match=r"is not a response; see backend\.base_url") as broken:
        read_response(chat("Ann"))
    assert classify_body(broken.value, Access("https://x/v1", False, "k")).kind == "denied"


def test_a_response_that_failed_for_all_is_told_so() -> None:
    told = {"code": "insufficient_quota", "message": "You exceeded your current quota"}
    with pytest.raises(BadBodyError) as broken:
        read_response(response(status="failed", error=told))
    failure = classify_body(broken.value, Access("https://x/v1", False, "k"))
    assert (failure.kind, failure.maybe_paid) == ("fatal", False)
