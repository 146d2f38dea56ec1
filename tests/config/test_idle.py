"""Options without effect are refused, except when a run folder merely has them."""

from typing import Any

import pytest

from aqa.backends import find_backend
from aqa.config.backend_options import RawConfig
from aqa.config.load import (
    as_raw,
    build_config,
    find_config,
    parse_assignment,
    read_config,
    set_value,
)
from aqa.config.options import RunConfig
from aqa.config.shipped import shipped_names
from aqa.errors import ConfigError

MODELS = {"gpt4": "gpt-6-luna", "t5": "google/flan-t5-small", "llama": "some/llama"}


def layer(*settings: str) -> RawConfig:
    made: RawConfig = {}
    for text in settings:
        set_value(made, *parse_assignment(text))
    return made


def build(backend: str, *settings: str, inherited: Any = None) -> RunConfig:
    layers = [{"backend": {"model": MODELS[backend]}}, layer(*settings)]
    return build_config(find_backend(backend).Options, layers, inherited or {})


@pytest.mark.parametrize(
    ("backend", "idle", "beside"),
    [
        ("gpt4", "generation.window=64", "workers.count=2"),
        ("gpt4", "generation.batch_tokens=1000", None),
        ("gpt4", "training.learning_rate=0.1", None),
        ("gpt4", "evidence.train=gold", None),
        ("gpt4", "merge=true", None),
        ("t5", "training.neftune_noise_alpha=5", None),
        ("gpt4", "backend.api_version=2024-10-21-preview", "backend.provider=azure"),
        ("gpt4", "backend.cache_path=x.sqlite", "backend.cache=true"),
        ("gpt4", "generation.top_p=0.5", "generation.temperature=1"),
        ("t5", "generation.top_p=0.5", "generation.temperature=0.1"),
        ("llama", "generation.length_penalty=2", "generation.num_beams=2"),
        ("llama", "backend.bnb_4bit_quant_type=fp4", "backend.quantization=4bit"),
        ("llama", "evidence.train.distractors=2", "evidence.train.passages=mixed"),
        ("t5", "backend.ctranslate2_type=float32", "backend.engine=auto"),
        ("t5", "evaluation.bert_num_layers=6", "evaluation.bert_model=x"),
        ("t5", "data.missing_passages=empty", "data.passages=x.jsonl"),
        ("gpt4", "data.dev_split=test", "data.dev_path=x.jsonl"),
        ("llama", "data.dev_limit=9", "data.dev_path=x.jsonl"),
        ("llama", "training.warmup_steps=5", "training.lr_scheduler_type=cosine"),
        ("llama", "training.eval_steps=50", "training.eval_strategy=steps"),
        ("t5", "training.eval_limit=9", "training.eval_strategy=epoch"),
        ("t5", "training.metric_for_best_model=loss", "training.eval_strategy=steps"),
    ],
)
def test_what_has_no_effect_is_refused(backend: str, idle: str, beside: str | None) -> None:
    key, _ = idle.split("=")
    off = ["backend.quantization=none"] if "bnb" in idle else []
    off += ["training.lr_scheduler_type=constant"] if "warmup" in idle else []
    off += ["training.eval_strategy=no"] if "limit" in idle or "metric" in idle else []
    with pytest.raises(ConfigError, match=rf"^config key {key} = .* has no effect: \w"):
        build(backend, *off, idle)
    if beside is not None:
        assert build(backend, idle, beside)


def test_a_window_is_the_share_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("backend.engine=vllm", "generation.window=64")
    with pytest.raises(ConfigError, match=r"window = 64 .*several processes \(workers\.count\)"):
        build("llama", *asked)
    assert build("llama", *asked, "workers.count=2").generation.window == 64
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1")):  # as set by torchrun
        monkeypatch.setenv(name, value)
    assert build("llama", *asked).generation.window == 64


def test_azure_has_no_organization() -> None:
    assert build("gpt4", "backend.organization=org-1")
    with pytest.raises(ConfigError, match=r"backend.organization = 'org-1' has no effect: Azure"):
        build("gpt4", "backend.organization=org-1", "backend.provider=azure")


def test_a_default_may_be_written_out() -> None:
    build("gpt4", "generation.window=512", "generation.top_p=1.0", "training.max_steps=-1")


@pytest.mark.parametrize(
    ("of_file", "of_call"),
    [
        (("training={eval_strategy: steps, eval_steps: 50}",), "training.eval_strategy=epoch"),
        (("generation={temperature: 0.7, top_p: 0.9}",), "generation.temperature=0"),
        (("generation.batch_tokens=9000",), "backend.engine=vllm"),
    ],
)
def test_a_call_may_switch_off_what_a_file_sets(of_file: tuple[str, ...], of_call: str) -> None:
    options, model = find_backend("llama").Options, layer("backend.model=some/llama")
    assert build_config(options, [{**model, **layer(*of_file)}, layer(of_call)])
    with pytest.raises(ConfigError, match="has no effect"):
        build_config(options, [model, layer(*of_file, of_call)])


def test_what_a_file_sets_in_vain_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training.eval_steps = 50 has no effect"):
        build_config(
            find_backend("llama").Options,
            [layer("backend.model=some/llama", "training.eval_steps=50"), layer("seed=7")],
        )


def test_what_a_run_was_trained_with_is_no_wish() -> None:
    run = as_raw(build("llama"))
    for key, value in (("window", 64), ("top_p", 0.5), ("length_penalty", 2.0)):
        run["generation"][key] = value
    run.pop("backend")
    assert build("gpt4", inherited=run).generation.window == 64
    with pytest.raises(ConfigError, match=r"generation.window"):
        build("gpt4", "generation.window=32", inherited=run)
    assert run["generation"]["window"] == 64, "what is given is only read"


@pytest.mark.parametrize("name", shipped_names("configs"))
def test_shipped_configs_are_valid_and_have_nothing_idle(name: str) -> None:
    raw = read_config(find_config(name))
    assert build_config(find_backend(raw["backend"]["name"]).Options, [raw]).output_dir
