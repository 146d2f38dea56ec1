"""Log-probabilities of exactly the answer's tokens, in every format that servers use."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fault_server import Fault, Server, failure
from gpt4_runs import USAGE, configured, predictions, run

from aqa.backends.openai_api.body_parsing import read_reply, read_response
from aqa.backends.openai_api.logprobs import answer_logprobs, tokens_of
from aqa.backends.openai_api.schemas import READER_ANSWER
from aqa.errors import ModelError
from aqa.runs.folder import read_manifest

pytestmark = pytest.mark.usefixtures("hurried")

Body = dict[str, Any]
Parts = Sequence[tuple[str | bytes, float]]


def told(parts: Parts, with_bytes: bool = True) -> list[Body]:
    """Tokens as servers return them: text, and bytes if they may be parts of a character."""
    found = []
    for part, value in parts:
        raw = part if isinstance(part, bytes) else part.encode()
        own: Body = {"token": raw.decode("utf-8", "replace"), "logprob": value}
        found.append(own | ({"bytes": list(raw)} if with_bytes else {}))
    return found


def chat(parts: Parts, with_bytes: bool = True, text: str | None = None) -> bytes:
    joined = b"".join(part if isinstance(part, bytes) else part.encode() for part, _ in parts)
    message = {"content": joined.decode() if text is None else text}
    logprobs = {"content": told(parts, with_bytes)}
    choice = {"message": message, "finish_reason": "stop", "logprobs": logprobs}
    return json.dumps({"model": "m", "choices": [choice], "usage": USAGE}).encode()


def found(content: bytes, structured: bool = False) -> list[float]:
    read = read_response if b'"output"' in content else read_reply
    reply = read(content, READER_ANSWER if structured else None)
    assert reply.text is not None
    return answer_logprobs(reply.text, reply.structured, "line", reply.tokens)


SEOUL = "서울".encode()
ENGLISH: Parts = [("{", -5), ('"answer"', -5), (': "', -5), ("New", -1), (" York", -2), ('",', -5),
                  (' "passages": [1], "answerable": true}', -5)]  # fmt: skip
KOREAN: Parts = [('{"answer": "', -5), (SEOUL[:2], -1), (SEOUL[2:4], -2), (SEOUL[4:], -3),
                 ('", "passages": [1], ', -5), ('"answerable": true}', -5)]  # fmt: skip
SILENT: Parts = [('{"answer": "", "passages": [], "answerable": ', -5), ("false", -0.5), ("}", -5)]


@pytest.mark.parametrize("with_bytes", [True, False])
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (ENGLISH, [-1, -2]),
        (KOREAN, [-1, -2, -3]),
        (SILENT, [-0.5]),
        ([*KOREAN, ("<|im_end|>", -9)], [-1, -2, -3]),
        ([('{"answer": 18', -1), ('01, "passages": [], "answerable": true}', -2)], [-1, -2]),
    ],
)
def test_of_an_object_only_the_value_counts(
    parts: Parts, expected: list[float], with_bytes: bool
) -> None:
    text = b"".join(p if isinstance(p, bytes) else p.encode() for p, _ in parts).decode()
    content = chat(parts, with_bytes, text.removesuffix("<|im_end|>"))
    assert found(content, structured=True) == expected


def test_escapes_and_thoughts_are_no_hindrance() -> None:
    parts: Parts = [
        ('<think>{"answer": "no"}', -7), ("</think>", -7), ('{"answer":"', -7),
        ('say \\"', -1), ("ja\\u00e4", -2), ('\\""', -3), (',"passages":[],"answerable":true}', -7),
    ]  # fmt: skip
    assert found(chat(parts), structured=True) == [-1, -2, -3]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([("New", -1), (" York", -2)], [-1, -2]),
        ([("Answer", -5), (": ", -5), ("Paris", -1), ("\n", -5), ("since it", -5)], [-1]),
        ([("<think>Rome?", -5), ("</think>\n", -5), ("Rome", -1)], [-1]),
        ([(SEOUL[:4], -1), (SEOUL[4:], -2), ("<|eot|>", -5)], [-1, -2]),
        ([("I don't", -1), (" know", -2)], [-1, -2]),
    ],
)
def test_of_a_text_what_is_left_once_it_is_cleaned(parts: Parts, expected: list[float]) -> None:
    text = b"".join(p if isinstance(p, bytes) else p.encode() for p, _ in parts).decode()
    assert found(chat(parts, text=text.removesuffix("<|eot|>"))) == expected


def test_text_completions_and_responses_have_shapes_of_their_own() -> None:
    logprobs = {"tokens": ["New", " York"], "token_logprobs": [-1, -2], "text_offset": [0, 3]}
    choice = {"text": "New York", "finish_reason": "stop", "logprobs": logprobs}
    assert found(json.dumps({"choices": [choice]}).encode()) == [-1, -2]
    split = ["bytes:\\xec\\x84", "bytes:\\x9c", "울"]
    logprobs = {"tokens": split, "token_logprobs": [-1, -2, -3]}
    choice = {"text": "서울", "finish_reason": "stop", "logprobs": logprobs}
    assert found(json.dumps({"choices": [choice]}).encode()) == [-1, -2, -3]
    part = {"type": "output_text", "text": "서울", "logprobs": told([(SEOUL, -0.25)])}
    message = {"type": "message", "content": [part]}
    response = {"status": "completed", "output": [message], "model": "m"}
    assert found(json.dumps(response).encode()) == [-0.25]


@pytest.mark.parametrize(
    "logprobs",
    [
        None, [], {}, "x", {"content": None}, {"content": [None]}, {"content": [{"token": "Rome"}]},
        {"content": [{"token": "Rome", "logprob": None}]},
        {"content": [{"token": "Rome", "logprob": True}]},
        {"content": [{"token": "Paris", "logprob": -1}]},
        {"tokens": ["Rome"], "token_logprobs": []},
        {"tokens": ["Rome"], "token_logprobs": [None]},
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_fit_is_no_log_probability(logprobs: object) -> None:
    choice = {"message": {"content": "Rome"}, "finish_reason": "stop", "logprobs": logprobs}
    assert found(json.dumps({"choices": [choice]}).encode()) == []


def test_infinite_ones_are_none() -> None:
    assert tokens_of([{"token": "a", "logprob": float("-inf")}]) == ()


def answering(parts: Parts) -> Any:
    return lambda number, body: Fault(200, json.loads(chat(parts)))


@pytest.mark.parametrize(
    ("parts", "answer", "structured"),
    [([("New", -0.1), (" York", -0.3)], "New York", False), (KOREAN, "서울", True)],
)
def test_rows_tell_the_mean_and_the_lowest(
    tmp_path: Path, server: Server, parts: Parts, answer: str, structured: bool
) -> None:
    server.script = answering(parts)
    run(configured(tmp_path, server, 2, logprobs=True, structured=structured), tmp_path / "a")
    row = predictions(tmp_path / "a")["q0"]
    values = [-0.1, -0.3] if not structured else [-1, -2, -3]
    assert row["predicted_answer"] == answer
    assert row["confidence"] == pytest.approx(sum(values) / len(values))
    assert row["confidence_kind"] == "mean_logprob"
    assert row["other_confidences"] == {"min_logprob": min(values)}
    assert server.bodies[0]["logprobs"] is True


def test_responses_ask_for_them_by_their_own_name(tmp_path: Path, server: Server) -> None:
    config = configured(tmp_path, server, 1, logprobs=True, api="responses", reasoning_tokens=16)
    run(config, tmp_path / "a")
    assert server.bodies[0]["include"] == ["message.output_text.logprobs"]
    assert "logprobs" not in server.bodies[0]


def test_nobody_asks_for_them_by_default(tmp_path: Path, server: Server) -> None:
    server.script = answering([("Rome", -1)])  # some servers return them anyway
    run(configured(tmp_path, server, 1), tmp_path / "a")
    assert "logprobs" not in server.bodies[0]
    assert "confidence" not in predictions(tmp_path / "a")["q0"]


def test_a_server_that_ignores_the_wish_is_told_of_once(tmp_path: Path, server: Server) -> None:
    notes: list[str] = []
    run(configured(tmp_path, server, 5, logprobs=True), tmp_path / "a", notes=notes)
    (told_once,) = [note for note in notes if "log-probabilities" in note]
    assert "generation.samples" in told_once
    assert told_once in read_manifest(tmp_path / "a")["served"]["learnt"]
    assert all("confidence" not in row for row in predictions(tmp_path / "a").values())


def test_a_server_that_refuses_the_wish_stops_the_run(tmp_path: Path, server: Server) -> None:
    refusal = failure("logprobs is not supported with this model", "unsupported", "logprobs")
    server.script = lambda number, body: Fault(400, refusal)
    config = configured(tmp_path, server, 5, logprobs=True)
    config.note_asked(["backend.logprobs"])
    with pytest.raises(ModelError, match=r"refuses backend\.logprobs = True"):
        run(config, tmp_path / "a")
