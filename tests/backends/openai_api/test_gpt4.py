"""The backend gpt4 with a server on loopback, and its error messages."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from calls import Call
from fault_server import (
    BAD_KEY,
    FAULTS,
    FILTERED,
    NO_MODEL,
    QUOTA,
    Fault,
    Server,
    by_chance,
    failure,
    serving,
)
from forked import Forked, wait_until
from gpt4_runs import KEY, command_line, completion, configured, predictions, run, write_questions
from pydantic import BaseModel, ConfigDict

from aqa.backends.base import Remote, Trainable
from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.backends.openai_api.body_parsing import read_reply
from aqa.backends.openai_api.policy import ALIKE
from aqa.backends.openai_api.replies import BadBodyError
from aqa.backends.openai_api.schemas import ReaderAnswer, ResponseSchema
from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.errors import AqaError, ConfigError, ModelError, StoppedError
from aqa.progress import SilentProgress
from aqa.records import StructuredAnswer
from aqa.runs.folder import read_manifest
from aqa.runs.names import JOURNAL
from aqa.spent import Spent
from aqa.verbs.predict import Resume, dry_run

pytestmark = pytest.mark.usefixtures("hurried")

Script = Callable[[int, dict[str, Any]], Fault | None]


def test_it_is_a_remote_reader_that_is_not_trained() -> None:
    assert issubclass(Gpt4Backend, Remote)
    assert not issubclass(Gpt4Backend, Trainable)


def test_a_run_and_what_it_leaves(tmp_path: Path, server: Server) -> None:
    server.cached = 10
    result = run(configured(tmp_path, server, 30), tmp_path / "out")
    assert (result.answered, result.failed) == (30, 0)
    rows = predictions(tmp_path / "out")
    assert [row["predicted_answer"] for row in rows.values()] == [str(n) for n in range(30)]
    manifest = read_manifest(tmp_path / "out")
    served = manifest["served"]
    assert served["models"] == {"reader-1-2026-01-01": 30}
    assert served["requests"] == {"answered": 30, "sent": 30}
    spent = served["spent"]
    assert spent["input_tokens"] == server.prompt_tokens == manifest["tokens"]["prompt"]
    assert spent["output_tokens"] == server.answer_tokens == 30
    assert spent["cached_input_tokens"] == 300
    assert spent["usd"] == pytest.approx(server.cost(1, 2))
    body = server.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("reader-1", 0.0, 4)
    assert [turn["role"] for turn in body["messages"]] == ["system", "user"]


def test_few_shot_turns_are_sent_as_such(tmp_path: Path, server: Server) -> None:
    config = configured(tmp_path, server, 1)
    run(config.model_copy(update={"prompt": "eng_fewshot"}), tmp_path / "out")
    roles = [turn["role"] for turn in server.bodies[0]["messages"]]
    assert roles[-1] == "user"
    assert "assistant" in roles


@pytest.mark.slow
def test_mixed_faults_lose_and_double_nothing(tmp_path: Path, server: Server) -> None:
    server.script = by_chance(0.2)
    notes: list[str] = []
    result = run(configured(tmp_path, server, 300), tmp_path / "out", notes=notes)
    assert (result.answered, result.failed) == (300, 0)
    assert set(server.answered.values()) == {1}
    assert server.requests <= 1.6 * 300
    assert server.cost(1, 2) <= read_manifest(tmp_path / "out")["served"]["spent"]["usd"]


@pytest.mark.slow
def test_a_server_that_is_never_well(tmp_path: Path, server: Server) -> None:
    server.script = lambda number, body: FAULTS["500"]
    assert run(configured(tmp_path, server, 2), tmp_path / "out").failed == 2
    for row in predictions(tmp_path / "out").values():
        assert row["error"] == "gave up after 8 attempts: it broke"
    server.script = lambda number, body: None
    again = run(configured(tmp_path, server, 2), tmp_path / "out", Resume(retry_errors=True))
    assert (again.answered, again.failed) == (2, 0)


@pytest.mark.slow
def test_a_question_that_takes_too_long_is_not_paid_for_again_and_again(
    tmp_path: Path, server: Server
) -> None:
    """Truncated reasoning is paid for, and would take as long if it were asked for again."""
    asked: Counter[str] = Counter()

    def script(number: int, body: dict[str, Any]) -> Fault | None:
        question = body["messages"][-1]["content"]
        asked[question] += 1
        return Fault(hang=300) if question == "who 3" else None

    server.script = script
    config = configured(tmp_path, server, 12, request_timeout=10)
    result = run(config, tmp_path / "out")
    assert (result.answered, result.failed) == (11, 1)
    assert asked == {f"who {n}": 2 if n == 3 else 1 for n in range(12)}
    told = predictions(tmp_path / "out")["q3"]["error"]
    assert told.startswith("gave up after 2 attempts: the server did not answer in time")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (QUOTA, "quota is used up"),
        (BAD_KEY, "refuses the key of OPENAI_API_KEY"),
        (NO_MODEL, "does not know this model"),
        (Fault(403, failure("no")), "refuses access"),
        (Fault(302, {}, {"Location": "http://localhost:9/v1"}), "to http://localhost:9, "),
    ],
)
@pytest.mark.slow
def test_what_concerns_every_request_stops_the_run(
    tmp_path: Path, server: Server, fault: Fault, sentence: str
) -> None:
    server.script = lambda number, body: fault if number >= 20 else None
    config = configured(tmp_path, server, 200, max_concurrency=4)
    with pytest.raises(ModelError, match=sentence) as error:
        run(config, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert server.requests < 40
    manifest = read_manifest(tmp_path / "out")
    assert manifest["status"] == "failed"
    assert manifest["counts"]["answered"] == sum(server.answered.values()) == 20
    server.script = lambda number, body: None
    assert run(config, tmp_path / "out").resumed == 20
    assert set(server.answered.values()) == {1}


def test_one_examples_error_is_recorded_for_it_alone(tmp_path: Path, server: Server) -> None:
    server.script = lambda number, body: (
        FILTERED if body["messages"][-1]["content"] == "who 3" else None
    )
    result = run(configured(tmp_path, server, 6), tmp_path / "out")
    assert (result.answered, result.failed) == (5, 1)
    assert predictions(tmp_path / "out")["q3"]["error"] == "the prompt was filtered"
    assert server.requests == 6


@pytest.mark.slow
def test_a_server_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    with serving(Server()) as gone:
        config = configured(tmp_path, gone, 20)
    with pytest.raises(ModelError, match="no connection to http"):
        run(config, tmp_path / "out")
    assert read_manifest(tmp_path / "out")["counts"]["failed"] == 0


REFUSED = {
    "temperature": "Unsupported value: 'temperature' does not support 0 with this model.",
    "seed": "Unknown parameter: 'seed'.",
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
    " 'max_completion_tokens' instead.",
    "system": "'messages[0].role' does not support 'system' role with this model.",
}


@pytest.mark.parametrize("param", REFUSED)
def test_a_refused_parameter_is_learnt_once(tmp_path: Path, server: Server, param: str) -> None:
    def script(number: int, body: dict[str, Any]) -> Fault | None:
        refused = param in body or param in [turn["role"] for turn in body["messages"]]
        return Fault(400, failure(REFUSED[param], "unsupported", param)) if refused else None

    server.script = script
    notes: list[str] = []
    config = configured(tmp_path, server, 40, max_concurrency=4)
    assert run(config, tmp_path / "out", notes=notes).answered == 40
    assert server.requests <= 40 + 4
    assert len(notes) == 1
    assert ("max_completion_tokens" in server.bodies[-1]) == (param == "max_tokens")


@pytest.mark.slow
def test_a_cap_is_never_passed_and_the_run_goes_on(tmp_path: Path, server: Server) -> None:
    server.script = by_chance(0.2)
    whole = 200 * (count_words(server, tmp_path) + 2 * 1) / 1e6
    config = configured(tmp_path, server, 200, max_cost=whole / 2)
    with pytest.raises(StoppedError, match="--max-cost") as error:
        run(config, tmp_path / "out")
    assert error.value.exit_code == 3
    assert server.cost(1, 2) <= whole / 2
    manifest = read_manifest(tmp_path / "out")
    assert manifest["status"] == "stopped"
    kept = manifest["counts"]["answered"]
    assert kept == sum(server.answered.values()) > 20
    before = server.requests
    with pytest.raises(StoppedError):  # earlier spending counts for a resumed run, too
        run(config, tmp_path / "out")
    assert server.requests <= before + 1
    result = run(configured(tmp_path, server, 200), tmp_path / "out")
    assert (result.answered, result.resumed) == (200, kept)
    assert set(server.answered.values()) == {1}


def count_words(server: Server, folder: Path) -> int:
    """The number of words in a prompt, as the server counts them."""
    run(configured(folder, server, 1), folder / "one")
    words = server.prompt_tokens
    server.prompt_tokens = server.answer_tokens = 0
    server.answered.clear()
    return words


def test_a_run_that_never_got_an_answer_goes_on_otherwise(tmp_path: Path, server: Server) -> None:
    server.script = lambda number, body: NO_MODEL if body["model"] == "gpt-9" else None
    with pytest.raises(ModelError, match="does not know this model"):
        run(configured(tmp_path, server, 5, model="gpt-9"), tmp_path / "out")
    assert run(configured(tmp_path, server, 5, model="reader-1"), tmp_path / "out").answered == 5
    assert read_manifest(tmp_path / "out")["fingerprint"]["reader"]["model"] == "reader-1"
    with pytest.raises(AqaError, match="holds another run"):
        run(configured(tmp_path, server, 5, model="gpt-9"), tmp_path / "out")


def spent(folder: Path) -> dict[str, float]:
    return read_manifest(folder)["served"]["spent"]  # type: ignore[no-any-return]


@pytest.mark.slow
def test_no_session_forgets_what_was_paid_for_nothing(tmp_path: Path, server: Server) -> None:
    """Misfits of an unfinished example are not in the journal, but count against a cap."""
    folder = tmp_path / "out"
    options = {"structured": True, "max_concurrency": 1}
    server.script = lambda number, body: NO_MODEL if number else None  # a plain text, no object
    with pytest.raises(ModelError):
        run(configured(tmp_path, server, 5, **options), folder)
    lost = spent(folder)
    assert lost["input_tokens"] == server.prompt_tokens > 0
    assert read_manifest(folder)["served"]["unfinished"] == lost
    server.script, before = lambda number, body: Fault(hang=60), server.requests
    config = configured(tmp_path, server, 5, **options)
    killed = Forked(run, config, folder)
    wait_until(lambda: server.requests > before, killed)
    killed.kill()
    assert read_manifest(folder)["status"] == "running"
    assert spent(folder) == lost
    server.script = lambda number, body: None
    server.answer = lambda body: '{"answer": "x", "passages": [], "answerable": true}'
    assert run(config, folder).answered == 5  # whose answers cost more than what was lost
    worst = spent(folder)["input_tokens"] - server.prompt_tokens  # in flight at the kill
    longest = config.generation.max_new_tokens
    assert spent(folder)["output_tokens"] == server.answer_tokens + longest
    assert worst > 0
    assert spent(folder)["usd"] == pytest.approx(
        server.cost(1, 2) + (worst + 2 * longest) / 1e6, abs=2e-6
    )


def test_what_is_broken_off_counts_at_its_worst(tmp_path: Path, server: Server) -> None:
    server.script = lambda number, body: Fault(hang=60) if number else None
    config = configured(tmp_path, server, 1, max_concurrency=2)
    with Gpt4Backend(config, SilentProgress()) as reader:
        answers = reader.generate(many_prompts(config, reader, []))
        _, first = next(answers)
        wait_until(lambda: server.requests >= 3)  # keep a reference: once closed, it asks no more
        del answers
    assert server.requests == 3
    told: Any = reader.facts(first.spent or Spent())
    assert told["unfinished"]["output_tokens"] == 2 * config.generation.max_new_tokens
    assert told["unfinished"]["input_tokens"] >= server.prompt_tokens


def test_tokens_of_before_a_price_was_known_count_for_a_cap(tmp_path: Path, server: Server) -> None:
    folder, few = tmp_path / "out", {"model": "nobody-knows", "price": None}
    server.script = lambda number, body: BAD_KEY if number >= 10 else None
    with pytest.raises(ModelError):
        run(configured(tmp_path, server, 20, max_concurrency=1, **few), folder)
    assert spent(folder)["usd"] is None
    server.script = lambda number, body: None
    before, paid = server.requests, server.cost(1, 2)
    with pytest.raises(StoppedError):
        run(configured(tmp_path, server, 20, model="nobody-knows", max_cost=paid), folder)
    assert server.requests == before
    run(configured(tmp_path, server, 20, model="nobody-knows"), folder)
    assert spent(folder)["usd"] == pytest.approx(server.cost(1, 2), abs=2e-6)


def test_a_cap_on_tokens(tmp_path: Path, server: Server) -> None:
    config = configured(tmp_path, server, 50, max_tokens_total=1500)
    with pytest.raises(StoppedError, match="--max-tokens-total"):
        run(config, tmp_path / "out")
    assert 500 < server.prompt_tokens + server.answer_tokens <= 1500


def test_prompts_are_read_as_needed(tmp_path: Path, server: Server) -> None:
    config = configured(tmp_path, server, 1, max_concurrency=3)
    with Gpt4Backend(config, SilentProgress()) as reader:
        read: list[str] = []
        prompts = many_prompts(config, reader, read)
        for _ in zip(range(5), reader.generate(prompts), strict=False):
            assert len(read) <= 5 + 3 + ALIKE  # which may wait if they fail
    assert server.most_active <= 3


def many_prompts(config: RunConfig, reader: Gpt4Backend, read: list[str]) -> Iterator[Any]:
    from dataclasses import replace

    from aqa.prompting.build import Inputs
    from aqa.prompting.templates import load_template

    inputs = Inputs(config, load_template(config.prompt), SilentProgress())
    (prompt,) = inputs.prompts(reader, inputs.examples())
    for number in range(100):
        read.append(f"p{number}")
        yield replace(prompt, id=f"p{number}")


@pytest.mark.slow
def test_concurrency_adapts(tmp_path: Path, server: Server) -> None:
    many = Fault(until=lambda: server.most_active > 16)
    server.script = lambda number, body: many if number >= 16 else None
    run(configured(tmp_path, server, 200, max_concurrency=32), tmp_path / "a")
    assert 16 < server.most_active <= 32
    server.most_active, server.latency = 0, 0.05
    before, few = server.requests, Fault(until=lambda: server.most_active > 4)

    def script(number: int, body: dict[str, Any]) -> Fault | None:
        return FAULTS["503"] if server.active > 4 else few if number < before + 4 else None

    server.script = script
    result = run(configured(tmp_path, server, 100, max_concurrency=32), tmp_path / "b")
    assert result.answered == 100
    assert server.most_active <= 16


@pytest.mark.slow
def test_requests_a_minute(tmp_path: Path, server: Server) -> None:
    from time import monotonic

    start = monotonic()
    run(configured(tmp_path, server, 30, requests_per_minute=1200), tmp_path / "out")
    assert monotonic() - start > 25 / 20


@pytest.mark.slow
def test_limits_that_headers_tell_are_kept(tmp_path: Path, server: Server) -> None:
    """With 2,400 words per second in x-ratelimit headers, hardly anything is refused."""
    server.tokens_per_second = server.level = 2400
    server.headers = {"x-ratelimit-limit-tokens": str(2400 * 60)}
    result = run(configured(tmp_path, server, 150), tmp_path / "out")
    assert result.answered == 150
    assert server.refused <= 15


# Answers following a JSON schema.


def reader_answer(answer: str, passages: list[int], answerable: bool) -> str:
    return json.dumps({"answer": answer, "passages": passages, "answerable": answerable})


def test_structured_answers_go_where_plain_ones_go(tmp_path: Path, server: Server) -> None:
    rows = [
        {
            "id": f"q{n}",
            "question": f"who {n}",
            "passages": [{"text": f"text {p}", "rank": 3 - p} for p in range(3)],
            "answers": ["x"],
        }
        for n in range(3)
    ]
    replies = {
        "0": reader_answer(' "Ann". ', [2, 9, 2, -1], True),
        "1": reader_answer("", [], False),
        "2": reader_answer("guess", [1], False),
    }
    server.answer = lambda body: replies[body["messages"][-1]["content"].split()[-1]]
    config = configured(tmp_path, server, 1, structured=True, max_tokens_total=100_000)
    Path(config.data.path or "").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(config, tmp_path / "out").answered == 3
    found = predictions(tmp_path / "out")
    assert [row["predicted_answer"] for row in found.values()] == ['"Ann".', "", ""]
    assert [row["abstained"] for row in found.values()] == [False, True, True]
    assert found["q0"]["evidence"]["named_ranks"] == [found["q0"]["evidence"]["ranks"][1]]
    assert found["q0"]["raw"] == replies["0"]
    asked = server.bodies[0]["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["strict"] is True
    schema = asked["json_schema"]["schema"]
    assert set(schema["required"]) == set(schema["properties"]) == set(ReaderAnswer.model_fields)
    assert schema["additionalProperties"] is False
    assert "response_format" not in json.dumps(found)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Ann", "does not match the schema reader_answer: it holds no JSON object"),
        ('{"answer": "Ann", "passages": []}', "answerable is missing"),
        ('{"answer": "Ann", "passages": ["one"], "answerable": true}', "passages.0: 'one' is not"),
        ('{"answer": ["Ann"], "passages": [1], "answerable": true}', "['Ann'] is not text"),
        (reader_answer(" ", [], True), "answer is empty"),
        (f"{reader_answer('Ann', [1], True)} {reader_answer('Bob', [1], True)}", "or several that"),
        ("[" * 100_000, "it holds no JSON object"),
        ('{"a":' * 100_000, "it holds no JSON object"),
    ],
)
def test_what_is_no_object_is_asked_again_twice(
    tmp_path: Path, server: Server, text: str, sentence: str
) -> None:
    """From a server that returns objects; other servers are not paid again for it."""
    server.script = lambda number, body: completion(good()) if number == 0 else None
    server.answer = lambda body: text
    config = configured(tmp_path, server, 2, structured=True, max_concurrency=1)
    result = run(config, tmp_path / "out")
    assert (result.answered, result.failed, server.requests) == (1, 1, 4)
    row = predictions(tmp_path / "out")["q1"]
    assert sentence in row["error"]
    assert row["raw"] == text
    assert row["spent"]["input"] == server.prompt_tokens  # for all three
    server.answer = lambda body: good(str(server.requests))
    server.script = lambda number, body: REFUSAL if number == 4 else None
    retried = Resume(retry_errors=True)
    assert run(config, tmp_path / "out", retried).answered == 2
    assert predictions(tmp_path / "out")["q1"]["predicted_answer"] == "6"


def good(answer: str = "Ann") -> str:
    return reader_answer(answer, [], True)


@pytest.mark.parametrize("text", ["Ann", None])
def test_a_server_that_never_gave_an_object_is_asked_once(
    tmp_path: Path, server: Server, text: str | None
) -> None:
    server.script = lambda number, body: completion(text)
    result = run(configured(tmp_path, server, 3, structured=True), tmp_path / "out")
    assert (result.failed, server.requests) == (3, 3)


def test_one_that_gives_some_is_asked_again(tmp_path: Path, server: Server) -> None:
    """The first requests learn that from the others."""
    server.script = lambda number, body: Fault() if number < 3 else completion(good())
    result = run(configured(tmp_path, server, 6, structured=True), tmp_path / "out")
    assert (result.answered, server.requests) == (6, 9)


def test_an_object_that_is_cut_off_would_be_so_again(tmp_path: Path, server: Server) -> None:
    server.script = lambda number, body: completion(good()) if number == 0 else CUT_OFF
    config = configured(tmp_path, server, 2, structured=True, max_concurrency=1)
    assert run(config, tmp_path / "out").failed == 1
    assert "raise generation.max_new_tokens" in predictions(tmp_path / "out")["q1"]["error"]
    assert server.requests == 2


def test_a_refused_object_is_one_failure(tmp_path: Path, server: Server) -> None:
    server.script = lambda number, body: completion(good()) if number == 0 else REFUSAL
    config = configured(tmp_path, server, 2, structured=True, max_concurrency=1)
    assert run(config, tmp_path / "out").failed == 1
    assert predictions(tmp_path / "out")["q1"]["error"] == "the model refused: I won't"
    assert server.requests == 4


REFUSAL = completion(None, refusal="I won't")
CUT_OFF = completion('{"answer": "An', "length")


def test_a_server_without_schemas_stops_the_run(tmp_path: Path, server: Server) -> None:
    told = "Invalid parameter: 'response_format' of type 'json_schema' is not supported"
    server.script = lambda number, body: Fault(400, failure(told, None, "response_format"))
    config = configured(tmp_path, server, 40, structured=True, max_concurrency=2)
    with pytest.raises(ModelError, match="takes no JSON schema for answers"):
        run(config, tmp_path / "out")
    assert server.requests <= 4


def test_another_caller_asks_in_a_schema_of_its_own(tmp_path: Path, server: Server) -> None:
    class Judgement(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        verdict: Literal["correct", "incorrect"]
        reason: str

    schema = ResponseSchema.of("judgement", Judgement, lambda j: StructuredAnswer(j.verdict))
    config = configured(tmp_path, server, 1)
    server.answer = lambda body: '{"verdict": "correct", "reason": "it is"}'
    with Gpt4Backend(config, SilentProgress(), schema) as judge:
        prompts = many_prompts(config, judge, [])
        ((_, found),) = judge.generate([next(prompts)])
        assert found.structured == StructuredAnswer("correct")
        assert json.loads(found.raw or "")["reason"] == "it is"
        server.answer = lambda body: '{"verdict": "perhaps", "reason": "it is"}'
        ((_, found),) = judge.generate([next(prompts)])
        assert "schema judgement: verdict: " in (found.error or "")
        assert judge.identity() != Gpt4Backend(config, SilentProgress()).identity()
    assert server.bodies[0]["response_format"]["json_schema"]["name"] == "judgement"


def test_a_text_that_no_file_can_hold(tmp_path: Path, server: Server) -> None:
    """Half a surrogate pair, and a body nested too deep to parse."""
    half = completion("half \ud83d of it")
    server.script = lambda number, body: (
        Fault(200, (half.body or {}) | {"model": "m\ud83d"}) if number == 0 else None
    )
    assert run(configured(tmp_path, server, 1), tmp_path / "out").answered == 1
    assert predictions(tmp_path / "out")["q0"]["predicted_answer"] == "half \ufffd of it"
    with pytest.raises(BadBodyError):
        read_reply(b"[" * 200_000)


# What is reported before anything is asked.


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (None, "no API key for api.openai.com"),
        ("https://api.example.org/v1", "no API key for api.example.org"),
        ("http://api.example.org/v1", "unencrypted"),
        ("https://me:pass@example.org/v1", "holds a user"),
        ("ftp://example.org", "not the address of a server"),
        ("localhost:8000", "not the address of a server"),
    ],
)
def test_no_way_to_the_server(tmp_path: Path, url: str | None, sentence: str) -> None:
    layer: dict[str, Any] = {"data": {"path": "no such file"}, "backend": {"base_url": url}}
    with pytest.raises(ConfigError, match=sentence) as error:
        run(build_config(Gpt4Backend.Options, [layer]), tmp_path / "out")
    assert "pass" not in str(error.value).replace("password", "")
    assert not (tmp_path / "out").exists()


def test_a_cap_needs_a_price(tmp_path: Path, server: Server) -> None:
    with pytest.raises(ConfigError, match=r"price of reader-1 at .* is not known"):
        run(configured(tmp_path, server, 1, price=None, max_cost=1), tmp_path / "out")


def test_a_dry_run_writes_and_asks_nothing(tmp_path: Path, server: Server) -> None:
    config = configured(tmp_path, server, 20, tokens_per_minute=6000)
    before = sorted(tmp_path.iterdir())
    found = dry_run(config, tmp_path / "out", SilentProgress())
    assert (found.examples, found.output_tokens, found.exact) == (20, (20, 80), False)
    assert sorted(tmp_path.iterdir()) == before
    assert server.requests == 0
    run(configured(tmp_path, server, 20), tmp_path / "out")  # which does not wait for tokens
    assert found.cost is not None
    assert 0.5 < found.input_tokens / server.prompt_tokens < 3
    assert found.seconds == pytest.approx((found.input_tokens + 80) / 100)


def test_a_dry_run_counts_what_is_left(tmp_path: Path, server: Server) -> None:
    server.script = lambda number, body: (
        FILTERED if body["messages"][-1]["content"] == "who 3" else None
    )
    run(configured(tmp_path, server, 12), tmp_path / "out")
    config = configured(tmp_path, server, 12)

    def left(config: RunConfig, **resume: bool) -> tuple[int, int]:
        found = dry_run(config, tmp_path / "out", SilentProgress(), Resume(**resume))
        return found.examples, found.answered

    with (tmp_path / "out" / JOURNAL).open("ab") as journal:
        journal.write(b'{"index": 12, "id": "q12", "torn')
    assert left(config) == (0, 12)
    assert left(config, retry_errors=True) == (1, 11)
    assert left(config, fresh=True) == (12, 0)
    assert left(configured(tmp_path, server, 12, model="other")) == (12, 0)


def test_a_dry_run_needs_no_key_and_knows_prices(tmp_path: Path) -> None:
    layer: dict[str, Any] = {"data": {"path": str(write_questions(tmp_path, 3))}}
    config = build_config(Gpt4Backend.Options, [layer])
    found = dry_run(config, tmp_path / "out", SilentProgress())
    assert found.cost is not None
    assert 0 < found.cost[0] < found.cost[1]
    assert "genai-prices" in found.price
    unknown = {**layer, "backend": {"model": "nobody-knows-it"}}
    found = dry_run(
        build_config(Gpt4Backend.Options, [unknown]),
        tmp_path / "out",
        SilentProgress(),
    )
    assert found.cost is None
    assert "not known" in found.price


@pytest.mark.parametrize("address", ["localhost:8000/v1", "ftp://x/v1", "http://10.0.0.1/v1"])
def test_a_dry_run_refuses_an_address_that_can_not_be_asked(address: str, tmp_path: Path) -> None:
    layer: dict[str, Any] = {"data": {"path": str(write_questions(tmp_path, 1))}}
    layer["backend"] = {"base_url": address}
    with pytest.raises(ConfigError, match=r"config key backend\.base_url"):
        dry_run(build_config(Gpt4Backend.Options, [layer]), tmp_path / "out", SilentProgress())


def test_beams_are_not_for_an_api(tmp_path: Path, server: Server) -> None:
    config = configured(tmp_path, server, 1)
    beams = config.generation.model_copy(update={"num_beams": 4})
    with pytest.raises(AqaError, match="num_beams"):
        run(config.model_copy(update={"generation": beams}), tmp_path / "out")


# The command line, and the key.


def test_the_key_is_nowhere(
    tmp_path: Path,
    server: Server,
    call_aqa: Call,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not in files, streams or logs, although the server puts it into answers and errors."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level("DEBUG")
    write_questions(tmp_path, 12)
    words = command_line(server)
    server.answer = lambda body: f"it is {KEY} [bold]red[/] \x1b[2J"
    server.script = lambda number, body: (
        Fault(400, failure(f"bad {KEY}")) if number == 3 else BAD_KEY if number > 7 else None
    )
    stopped = call_aqa(*words, code=1)
    assert "refuses the key" in stopped.stderr
    dry = call_aqa(*words, "--dry-run")
    server.script = lambda number, body: None
    done = call_aqa(*words, code=0)
    streams = [text for call in (stopped, dry, done) for text in (call.stdout, call.stderr)]
    files = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for text in [*streams, *files, caplog.text]:
        assert KEY not in text
    assert "\x1b[2J" not in "".join(streams)
    assert "***" in (tmp_path / "out" / JOURNAL).read_text(encoding="utf-8")


def test_the_command_line_stops_at_a_cap_with_3(
    tmp_path: Path, server: Server, call_aqa: Call
) -> None:
    write_questions(tmp_path, 50)
    words = command_line(server)
    stopped = call_aqa(*words, "--max-tokens-total", "1000", code=3)
    assert "stopped at" in stopped.stderr
    call_aqa(*words, code=0)


def test_it_is_not_trained(tmp_path: Path, call_aqa: Call) -> None:
    write_questions(tmp_path, 2)
    done = call_aqa("train", "gpt4", "-d", "questions.jsonl", code=1)
    assert "gpt4" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_dry_run_of_a_local_reader(tmp_path: Path, call_aqa: Call) -> None:
    write_questions(tmp_path, 2)
    call_aqa("predict", "stub", "-d", "questions.jsonl", "--dry-run", code=2)
