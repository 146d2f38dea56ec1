"""Parameters: what model families accept, what is learned from a server, what was asked for."""

from pathlib import Path
from typing import Any

import pytest
from fault_batches import BatchingServer
from fault_server import Body, Fault, Server, failure, serving
from gpt4_runs import KEY, configured, predictions, run

from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.backends.openai_api.failures import Failure
from aqa.backends.openai_api.parameters import Parameters
from aqa.config.backend_options import Gpt4Options
from aqa.config.load import build_config
from aqa.config.model_families import end_of, thinks
from aqa.config.options import RunConfig
from aqa.errors import ModelError
from aqa.progress import SilentProgress
from aqa.records import Message
from aqa.runs.folder import read_manifest

SAMPLES = {"temperature", "top_p"}
CHAT = [Message(*turn) for turn in [("system", "s"), ("user", "a"), ("assistant", "b")]]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def config_of(*layers: dict[str, Any], inherited: dict[str, Any] | None = None) -> RunConfig:
    return build_config(Gpt4Options, layers, inherited or {})


def body_of(config: RunConfig, openai: bool = True) -> dict[str, Any]:
    return Parameters(config, openai, lambda note: None).body(CHAT)


@pytest.mark.parametrize(
    ("model", "effort", "openai", "role", "names"),
    [
        ("gpt-4.1", None, True, "system", {"max_completion_tokens"} | SAMPLES),
        ("gpt-4o-mini", None, False, "system", {"max_tokens"} | SAMPLES),
        ("o3-mini", None, True, "developer", {"max_completion_tokens"}),
        ("o1-mini", None, True, "user", {"max_completion_tokens"}),
        ("gpt-5.1", None, True, "developer", {"max_completion_tokens"}),
        ("gpt-6-luna", None, True, "developer", {"max_completion_tokens"}),
        ("gpt-6-luna", "none", True, "developer", {"max_completion_tokens"} | SAMPLES),
        ("gpt-6-luna", "max", True, "developer", {"max_completion_tokens"}),
        ("gpt-5-chat-latest", None, True, "system", {"max_completion_tokens"} | SAMPLES),
        ("openai/gpt-5-mini", None, False, "system", {"max_completion_tokens"}),
        ("openai:gpt-5.4", None, False, "system", {"max_completion_tokens"}),
        ("us.openai.gpt-6-sol", None, False, "system", {"max_completion_tokens"}),
        ("ft:o4-mini:us::x", None, True, "developer", {"max_completion_tokens"}),
        ("ft:gpt-4.1-mini:us:o3:x", None, True, "system", {"max_completion_tokens"} | SAMPLES),
        ("meta-llama/Llama-3.1-8B", None, False, "system", {"max_tokens"} | SAMPLES),
        ("claude-sonnet-4-5-20250929", None, False, "system", {"max_tokens"} | SAMPLES),
        ("claude-opus-4-20250514", None, False, "system", {"max_tokens"} | SAMPLES),
        ("claude-opus-4-7", None, False, "system", {"max_tokens"}),
        ("anthropic/claude-opus-4.8", None, False, "system", {"max_tokens"}),
        ("us.anthropic.claude-sonnet-5-v1:0", None, False, "system", {"max_tokens"}),
        ("gemini-3.5-flash", None, False, "system", {"max_tokens"} | SAMPLES),
    ],
)
def test_what_families_of_models_take(
    model: str, effort: str | None, openai: bool, role: str, names: set[str]
) -> None:
    generation = {"top_p": 0.9, "temperature": 0.5}
    # Like a trained reader's inherited decoding, which nobody asked for here.
    config = config_of(
        {"backend": {"model": model, "reasoning_effort": effort}},
        inherited={"generation": generation},
    )
    body = body_of(config, openai)
    assert body["messages"][0]["role"] == role
    assert [turn["role"] for turn in body["messages"]][-2:] == ["user", "assistant"]
    assert body.pop("stream") is False
    assert set(body) - {"model", "messages", "seed", "reasoning_effort"} == names
    assert body.get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("model", "effort", "does"),
    [
        ("gpt-6-luna", None, True),
        ("gpt-6-luna", "none", False),
        ("gpt-4.1", None, False),
        ("o3", None, True),
        ("claude-sonnet-4-5", None, False),
        ("claude-opus-5", None, True),
        ("gemini-2.5-pro", None, True),
        ("gemini-2.0-flash", None, False),
        ("Qwen/Qwen3-8B", None, True),
        ("Qwen/Qwen3-4B-Instruct-2507", None, False),
        ("grok-4-fast-non-reasoning", None, False),
        ("deepseek-reasoner", None, True),
        ("openai/gpt-oss-120b", None, True),
        ("runs/qwen3/merged", None, False),
    ],
)
def test_who_thinks_has_more_time(model: str, effort: Any, does: bool) -> None:
    assert thinks(model, effort) is does
    options = Gpt4Options(model=model, reasoning_effort=effort)
    times = (options.request_timeout, options.example_deadline)
    assert times == ((600, 1500) if does else (120, 900))
    assert Gpt4Options(model=model, request_timeout=50).request_timeout == 50


# Parameters asked for, and refused.

ASKED: dict[str, tuple[dict[str, Any], str, Any]] = {
    "generation.temperature": (
        {"generation": {"temperature": 0.7}},
        "temperature",
        "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default"
        " (1) value is supported.",
    ),
    "seed": ({"seed": 7}, "seed", 'Unknown name "seed": Cannot find field.'),
    "backend.reasoning_effort": (
        {"backend": {"reasoning_effort": "minimal"}},
        "reasoning_effort",
        "Unsupported value: 'minimal' is not supported with the 'gpt-5.1' model. Supported values"
        " are: 'none', 'low', 'medium', and 'high'.",
    ),
}


def asking(folder: Path, server: Server, layer: dict[str, Any], **backend: Any) -> RunConfig:
    base = configured(folder, server, 5, **backend)
    options = {"base_url": server.url, "price": {"input": 1, "output": 2}, **backend}
    own = {**options, **layer.get("backend", {})}
    return config_of({"data": {"path": base.data.path}, **layer, "backend": own})


@pytest.mark.parametrize("key", ASKED)
@pytest.mark.parametrize("model", ["reader-1", "gpt-6-luna"])
def test_a_refused_value_that_was_asked_for_stops(tmp_path: Path, key: str, model: str) -> None:
    """The server's error is shown; the value is not dropped, nor omitted for a known family."""
    layer, name, told = ASKED[key]

    def script(number: int, body: Body) -> Fault | None:
        return Fault(400, failure(told, "unsupported_value", name)) if name in body else None

    with serving(Server(script=script)) as server:
        with pytest.raises(ModelError, match=f"refuses {key} = .*: {told[:20]}") as error:
            run(asking(tmp_path, server, layer, model=model), tmp_path / "out")
        assert told in str(error.value)
        assert sum(server.answered.values()) == 0


# Error messages of LiteLLM 1.110, Anthropic, Cerebras, Mistral and others.
WORDS = [
    "litellm.UnsupportedParamsError: gpt-6-luna doesn't support temperature=0.0 while reasoning is"
    " active. Only temperature=1 is supported",
    "`temperature` is deprecated for this model.",
    "property 'temperature' is unsupported",
    "Unsupported parameter: temperature",
    "This model does not support temperature",
    "body.temperature: Extra inputs are not permitted",
    'Unknown name "temperature": Cannot find field.',
]


@pytest.mark.parametrize("told", WORDS)
def test_a_refusal_in_any_words_is_understood(tmp_path: Path, told: str) -> None:
    def script(number: int, body: Body) -> Fault | None:
        return Fault(400, {"error": {"message": told}}) if "temperature" in body else None

    with serving(Server(script=script)) as server:
        assert run(configured(tmp_path, server, 3), tmp_path / "out").answered == 3
        with pytest.raises(ModelError, match=r"refuses generation\.temperature = 0\.7: "):
            run(asking(tmp_path, server, {"generation": {"temperature": 0.7}}), tmp_path / "asked")


def test_the_question_is_no_refusal(tmp_path: Path) -> None:
    """Parts of the question quoted in an error are not parameter names."""
    told = "the prompt on the temperature of a seed was filtered"
    with serving(
        Server(script=lambda n, b: Fault(400, failure(told)) if n == 0 else None)
    ) as server:
        notes: list[str] = []
        run(configured(tmp_path, server, 3), tmp_path / "out", notes=notes)
        assert notes == []
        assert "temperature" in server.bodies[-1]


def test_a_refused_effort_stops_responses_and_batches(tmp_path: Path) -> None:
    told = "Unsupported value: 'minimal' is not supported with the 'gpt-5.1' model."
    fault = Fault(400, failure(told, "unsupported_value", "reasoning.effort"))
    layer = {"backend": {"reasoning_effort": "minimal"}}
    with serving(Server(script=lambda number, body: fault)) as server:
        config = asking(tmp_path, server, layer, api="responses")
        with pytest.raises(ModelError, match=told[:20]):
            run(config, tmp_path / "out")
    named = Fault(400, failure(told, "unsupported_value", "reasoning_effort"))
    with serving(BatchingServer(line=lambda body: named)) as batching:
        options = {"batch_api": True, "batch": {"poll_seconds": 0.01}}
        with pytest.raises(ModelError, match=told[:20]):
            run(asking(tmp_path, batching, layer, **options), tmp_path / "batch")


def test_a_default_is_left_out_and_the_manifest_says_so(tmp_path: Path) -> None:
    """The next session does not send it again."""

    def script(number: int, body: Body) -> Fault | None:
        name = next((name for name in ("seed", "temperature") if name in body), None)
        told = f"Unsupported parameter: '{name}'"
        return None if name is None else Fault(400, failure(told, "unsupported", name))

    with serving(Server(script=script)) as server:
        run(configured(tmp_path, server, 3, max_concurrency=1), tmp_path / "out")
        served = read_manifest(tmp_path / "out")["served"]
        assert served["left_out"] == ["seed", "temperature"]
        assert served["learnt"] == [
            f"the model refuses {name}, which is left out from now on"
            for name in ("seed", "temperature")
        ]
        path = tmp_path / "questions.jsonl"
        before, known = server.requests, path.read_text(encoding="utf-8")
        rows = predictions(tmp_path / "out")
        assert len(rows) == 3
        (tmp_path / "out" / "predictions.jsonl").write_text(
            "".join((tmp_path / "out" / "predictions.jsonl").read_text().splitlines(True)[:2])
        )
        run(configured(tmp_path, server, 3, max_concurrency=1), tmp_path / "out")
        assert path.read_text(encoding="utf-8") == known
        assert server.requests == before + 2  # two answers were lost, none refused
        again = read_manifest(tmp_path / "out")["served"]
        assert (again["left_out"], again["learnt"]) == (served["left_out"], served["learnt"])


# Error messages of Bedrock, xAI, Anthropic, Moonshot, Gemini, pydantic, LiteLLM and others.
NAMED = [
    ("seed", None, "Malformed input request: #: extraneous key [seed] is not permitted"),
    ("reasoning_effort", None, "Model m does not support parameter reasoningEffort."),
    ("seed", None, "seed: Extra inputs are not permitted"),
    ("temperature", None, "invalid temperature: only 1 is allowed for this model"),
    ("temperature", None, "temperature is not supported by this model"),
    ("logprobs", None, "Logprobs is not enabled for models/m"),
    ("seed", None, "1 validation error\nbody -> seed\n  extra fields not permitted"),
    ("seed", None, "Unrecognized request argument supplied: seed"),
    ("seed", None, "The following parameters are not supported: seed, top_p"),
    ("seed", None, "지원하지 않는 파라미터입니다: seed"),
    ("seed", None, "Argument not supported on this model: seed"),
    ("reasoning_effort", None, "Argument not supported on this model: reasoningEffort"),
    ("seed", None, "The model returned the following errors: seed: Extra inputs are not permitted"),
    ("temperature", None, "Temperature must be in (0.0, 2.0)"),
    ("temperature", None, "temperature is out of range, the range is (0, 1.0]"),
    ("temperature", None, "temperature 参数非法。取值范围应为 (0.0, 1.0)"),
    ("seed", "None", "m does not support parameters: ['seed']"),
    ("seed", "$.seed", "bad"),
]
UNNAMED = [
    "This model's maximum context length is 4096 tokens; plant a shorter seed",
    "The prompt is not supported here: seed and temperature of riots",
    "the prompt was flagged: how to seed a riot by the temperature of a logprobs",
]


def learn(param: str | None, message: str) -> list[str]:
    layer = {"backend": {"model": "m", "logprobs": True, "reasoning_effort": "low"}}
    parameters = Parameters(config_of(inherited=layer), True, lambda note: None)
    parameters.learn(parameters.body(CHAT), Failure("own", message, param=param))
    return parameters.left_out


@pytest.mark.parametrize(("name", "param", "told"), NAMED)
def test_a_refused_parameter_is_found_by_name(name: str, param: str | None, told: str) -> None:
    assert learn(param, told) == [name]


@pytest.mark.parametrize("told", UNNAMED)
def test_other_errors_name_no_parameter(told: str) -> None:
    assert learn(None, told) == []


@pytest.mark.parametrize(
    "told",
    [
        "System role not supported",
        "Developer instruction is not enabled for models/gemma-3-27b-it",
        "This model doesn't support system messages.",
        "The input system_instruction is not supported.",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ],
)
def test_a_system_turn_that_is_refused_goes_before_the_question(told: str) -> None:
    parameters = Parameters(config_of({"backend": {"model": "m"}}), False, lambda note: None)
    parameters.learn(parameters.body(CHAT), Failure("own", told))
    assert parameters.body(CHAT)["messages"][0] == {"role": "user", "content": "s\n\na"}


# Retired models.


@pytest.mark.parametrize(
    ("model", "day"),
    [
        ("gpt-4.1", "14 January 2027"),
        ("gpt-4.1-mini-2025-04-14", "14 January 2027"),
        ("ft:gpt-4.1-2025-04-14:us::x", "14 January 2027"),
        ("openai/gpt-5-mini", "11 December 2026"),
        ("gpt-4o-2024-05-13", "23 October 2026"),
        ("gpt-4o-2024-11-20", "14 January 2027"),
        ("gpt-6-luna", None),
        ("my-gpt-4.1", None),
        ("llama", None),
    ],
)
def test_the_end_of_a_model(model: str, day: str | None) -> None:
    told = end_of(model)
    assert (told is None) if day is None else (told is not None and f"by OpenAI on {day}" in told)


def test_a_run_tells_of_its_models_end(tmp_path: Path) -> None:
    for model, notes in (("gpt-4.1", 1), ("gpt-6-luna", 0)):
        progress = SilentProgress()
        Gpt4Backend(config_of({"backend": {"model": model}}), progress).check()
        assert len(progress.notes) == notes


def test_the_default_lives_and_its_price_and_context_are_known() -> None:
    from aqa.backends.openai_api.prices import find_context, find_price

    options = Gpt4Options()
    assert end_of(options.model) is None
    price = find_price(options)
    assert price is not None
    assert price.tiers[0].output < 1
    assert (find_context(options) or 0) > 128_000
