import re
from pathlib import Path
from typing import Any

import pytest
from aqa_stub import StubOptions

from aqa.config.backend_options import LlamaQloraOptions, RawConfig
from aqa.config.legacy import FLAT_KEYS
from aqa.config.load import (
    as_raw,
    build_config,
    find_config,
    parse_assignment,
    read_config,
    set_value,
)
from aqa.config.options import RunConfig
from aqa.config.shipped import find_shipped
from aqa.errors import ConfigError, UsageError

LLAMA = LlamaQloraOptions


def at(config: RunConfig, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def built(*layers: RawConfig) -> RunConfig:
    return build_config(LLAMA, [{"backend": {"model": "m"}}, *layers])


def write(folder: Path, content: str | bytes, name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_config_may_name_its_backend_by_an_alias() -> None:
    assert built({"backend": {"name": "llama"}}).backend.name == "llama-qlora"
    with pytest.raises(ConfigError, match="for the backend llamas, not llama-qlora"):
        built({"backend": {"name": "llamas"}})


FLAT_VALUES = {
    "model_name": "some/model",
    "data_path": "dev.json",
    "prompt_path": "prompts/eng_v1.txt",
    "output_dir": "out",
    "bnb_4bit_quant_type": "fp4",
    "num_train_epochs": 3.0,
    "bert_model": "bert",
}


def test_each_flat_key_is_understood_in_a_file_and_in_set(tmp_path: Path) -> None:
    assert FLAT_VALUES.keys() == FLAT_KEYS.keys()
    text = "".join(f"{key}: {value}\n" for key, value in FLAT_VALUES.items())
    spoken: RawConfig = {}
    for key, value in FLAT_VALUES.items():
        set_value(spoken, *parse_assignment(f"{key}={value}"))
    for raw in (read_config(write(tmp_path, text)), spoken):
        config = build_config(LLAMA, [raw])
        assert {key: at(config, FLAT_KEYS[key]) for key in FLAT_VALUES} == FLAT_VALUES


def test_later_layers_win_key_by_key() -> None:
    config = built(
        {"backend": {"lora": {"r": 4, "alpha": 8}}, "seed": 1, "data": {"fields": {"id": "a"}}},
        {"backend": {"lora": {"r": 5}}, "seed": 2, "data": {"fields": {"question": "b"}}},
    )
    lora = at(config, "backend.lora")
    assert (lora.r, lora.alpha, config.seed) == (5, 8, 2)
    assert config.data.fields == {"id": "a", "question": "b"}


def test_what_is_written_out_gives_the_same_config_again() -> None:
    config = built({"evidence": {"order": "best_last"}, "training": {"learning_rate": 1e-3}})
    assert build_config(LLAMA, [as_raw(config)]) == config
    assert as_raw(config)["training"]["warmup_steps"] == config.training.warmup_steps


def test_a_backend_may_have_a_default_model() -> None:
    assert at(build_config(StubOptions, []), "backend.model") == "stub"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.yaml", "seed: 7\ndata:\n  path: 질문.json\n"),
        ("a.yml", "seed: 7\r\ndata: {path: 질문.json}\r\n"),
        ("a.yaml", b"\xef\xbb\xbf" + "data_path: 질문.json\nseed: 7".encode()),
        ("a.yaml", "data_path: 질문.json\ndata: {}\nseed: 7\ntraining:\nprompt:\n"),
        ("a.yaml", "data:\ndata_path: 질문.json\nseed: 7"),
        ("a.json", '{\n\t"seed": 7,\n\t"data": {"path": "질문.json"}\n}'),
    ],
)
def test_files_of_every_kind(tmp_path: Path, name: str, content: str | bytes) -> None:
    config = built(read_config(write(tmp_path, content, name)))
    assert config == built({"seed": 7, "data": {"path": "질문.json"}})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n- b\n", "mapping of keys to values, not a list"),
        ("just words\n", "mapping of keys to values, not a text"),
        ("a: b\n  c: [1\n", "config.yaml, line 2, column 4: not valid YAML: a colon too many"),
        (b"a: \x00\n", "not valid YAML: unacceptable character"),
        (b"a: \xb0\xa1\n", "not UTF-8 at byte 3"),
        ("data: x\ndata_path: y\n", "data.path: data is a text, so it has no path"),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_config(write(tmp_path, content))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_broken_json_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.json, line 2, column 3: not valid JSON"):
        read_config(write(tmp_path, '{"seed":\n1 2 }', "a.json"))
    with pytest.raises(ConfigError, match="can't read this config: Is a directory"):
        read_config(find_config(str(tmp_path)))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a.b=1", "a.b", 1),
        ("a=1.5", "a", 1.5),
        ("a=null", "a", None),
        ("a=x=y", "a", "x=y"),
        (" a =true", "a", True),
        ("a=[1, x]", "a", [1, "x"]),
        ("data.path=답.json", "data.path", "답.json"),
        ("num_train_epochs=3", "training.num_train_epochs", 3),
        ("evidence.join= | ", "evidence.join", " | "),
        ("evidence.join=|", "evidence.join", "|"),
        ("evidence.join= ", "evidence.join", " "),
        ("evidence.join=# ", "evidence.join", "# "),
        ("evidence.join=---", "evidence.join", "---"),
        ("evidence.join=> next: ", "evidence.join", "> next: "),
        ('evidence.join="\\n"', "evidence.join", "\n"),
        ("a=~", "a", None),
        ("a=[]", "a", []),
    ],
)
def test_assignments(text: str, key: str, value: object) -> None:
    assert parse_assignment(text) == (key, value)


@pytest.mark.parametrize("text", ["seed", "=1", " =1", "seed=[1"])
def test_no_assignment(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--set {text}: ")):
        parse_assignment(text)


def test_a_number_in_scientific_notation_is_one() -> None:
    """YAML reads 1e-4, which has no point, as text."""
    spoken: RawConfig = {}
    set_value(spoken, *parse_assignment("training.learning_rate=1e-4"))
    assert built(spoken).training.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ({"trainig": {}}, "unknown config key trainig; did you mean training?"),
        ({"model_nam": "x"}, "unknown config key model_nam; did you mean model_name?"),
        ({"data": {"pth": "x"}}, "unknown config key data.pth; did you mean data.path?"),
        ({"backend": {"lora": {"rr": 1}}}, "key backend.lora.rr; did you mean backend.lora.r?"),
        ({"learning_rate": 1}, "learning_rate; did you mean training.learning_rate?"),
        (
            {"generation": {"max_tokens": 1}},
            "did you mean generation.max_new_tokens or evidence.max_tokens?",
        ),
        ({"backend": {"learning_rate": 1}}, "did you mean training.learning_rate?"),
        ({"training": {"seed": 1}}, "unknown config key training.seed; did you mean seed?"),
        ({"training": {"lr": 1}}, "training.lr; did you mean training.learning_rate?"),
        ({"training": {"epochs": 1}}, "did you mean training.num_train_epochs?"),
        ({"lora_alpha": 1}, "unknown config key lora_alpha; did you mean backend.lora.alpha?"),
        ({"xyzzy": 1}, "unknown config key xyzzy; known here: backend, data, evaluation, "),
        ({"seed": "many"}, "config key seed: 'many' is not a whole number"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate: 0 is not above 0"),
        ({"evidence": {"order": "best"}}, "'best' is not one of 'given', 'score' or 'best_last'"),
        ({"backend": {"quantization": "8bit"}}, "backend.quantization: '8bit' is not one of '"),
        ({"backend": {"name": "t5"}}, "for the backend t5, not llama-qlora"),
        ({"backend": "t5"}, "backend is a mapping of options, not a text"),
        ({"backend": {"model": ""}}, "no model is named"),
        ({"backend": {"model": []}}, "no model is named"),
        ({"model": "x", "backend": {"model": ""}}, "key model; did you mean backend.model?"),
        ({"backend": {"modl": "x", "model": ""}}, "backend.modl; did you mean backend.model?"),
        ({"prompt": ["x"]}, "config key prompt: ['x'] is not text"),
        (
            {"training": {"gradient_checkpointing": "x"}},
            "training.gradient_checkpointing: 'x' is not true or false, nor 'auto'",
        ),
        ({"data": {"fields": {"question": []}}}, "data.fields.question: [] is not text"),
        ({"training": {"report_to": [{}]}}, "training.report_to.0: {} is not text"),
        ({"training": {"report_to": True}}, "training.report_to: True is not a list"),
        ({"generation": {"top_p": 2}}, "config key generation.top_p: 2 is not at most 1"),
        ({"data": []}, "config key data: [] is not a mapping of keys to values"),
    ],
)
def test_what_a_config_may_not_say(layer: RawConfig, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        built(layer)
    assert told in str(error.value)


def test_names_of_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = find_shipped("configs", "llama_smollm2.yaml")
    for name in ("llama_smollm2", "llama_smollm2.yaml", "configs/llama_smollm2.yaml"):
        assert find_config(name) == shipped
    for name in ("mine.yaml", "elsewhere/llama_smollm2.yaml", "llama_smollm2.json"):
        with pytest.raises(ConfigError, match="no such config; name a file, or one of llama_"):
            find_config(name)
    own = write(tmp_path, "seed: 1", "llama_smollm2.yaml")
    assert find_config("llama_smollm2.yaml").resolve() == own


TEXTS = {
    "1": "1",
    "12345": "12345",
    "2024-10-21": "2024-10-21",
    "0123": "0123",
    "1_000": "1_000",
    "1.10": "1.10",
    "1e3": "1e3",
    ".5": ".5",
    "1:30": "1:30",
    "no": "no",
    "on": "on",
    "true": "true",
    "'7'": "7",
}


@pytest.mark.parametrize(("written", "meant"), TEXTS.items())
@pytest.mark.parametrize("key", ["prompt", "backend.model", "backend.revision"])
def test_texts_stay_texts_as_they_were_written(
    tmp_path: Path, key: str, written: str, meant: str
) -> None:
    spoken: RawConfig = {}
    set_value(spoken, *parse_assignment(f"{key}={written}"))
    *sections, name = key.split(".")
    lines = [f"{'  ' * depth}{section}:" for depth, section in enumerate(sections)]
    text = "\n".join([*lines, f"{'  ' * len(sections)}{name}: {written}"])
    for layer in (spoken, read_config(write(tmp_path, text))):
        config = built(layer)
        assert at(config, key) == meant
        assert as_raw(built(as_raw(config))) == as_raw(config)


@pytest.mark.parametrize("written", ["true", "7", "2024-10-21", "no", "1.50"])
def test_texts_within_lists_and_mappings_stay_texts(tmp_path: Path, written: str) -> None:
    text = (
        f"data: {{fields: {{question: {written}}}}}\n"
        f"backend: {{lora: {{target_modules: [{written}, q]}}}}\n"
        f"training: {{report_to: [{written}]}}"
    )
    config = built(read_config(write(tmp_path, text)))
    assert config.data.fields == {"question": written}
    assert at(config, "backend.lora.target_modules") == [written, "q"]
    assert config.training.report_to == [written]


def test_numbers_of_json_are_texts_where_texts_are_asked_for(tmp_path: Path) -> None:
    columns = '{"id": 1, "question": 2.50}'
    data = f'{{"limit": 3, "fields": {columns}}}'
    text = f'{{"prompt": 1.10, "backend": {{"revision": 20241021}}, "seed": 7, "data": {data}}}'
    config = built(read_config(write(tmp_path, text, "config.json")))
    assert (config.prompt, at(config, "backend.revision")) == ("1.10", "20241021")
    assert (config.seed, config.data.limit) == (7, 3)
    assert config.data.fields == {"id": "1", "question": "2.50"}


def test_numbers_and_truths_are_still_what_they_were() -> None:
    spoken: RawConfig = {}
    for text in ("seed=0x10", "training.learning_rate=1.5e-4", "training.num_train_epochs=2_0",
                 "merge=yes", "evidence.dedupe=off", "training.eval_strategy=no",
                 "data.split=null"):  # fmt: skip
        set_value(spoken, *parse_assignment(text))
    config = built(spoken)
    assert (config.seed, config.training.learning_rate) == (16, 1.5e-4)
    assert (config.training.num_train_epochs, config.merge) == (20, True)
    assert (config.evidence.dedupe, config.training.eval_strategy) == (False, "no")
    assert config.data.split is None
    assert type(config.seed) is int


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", "seed: 1\nprompt: p\nseed: 2\n", r'line 3, column 1: .*"seed" appears twice'),
        ("a.yaml", "training:\n  max_steps: 1\n  max_steps: 1\n", "line 3, column 3.* twice"),
        ("a.json", '{"seed": 1,\n "seed": 2}', r'a.json, line 2, column 2: .*"seed" appears twice'),
    ],
)
def test_a_key_appears_once(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_config(tmp_path / name)
