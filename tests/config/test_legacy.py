import re
from pathlib import Path

import pytest

from aqa.config.backend_options import BackendOptions, LlamaQloraOptions
from aqa.config.legacy import SECTIONS
from aqa.config.load import build_config, read_config
from aqa.config.options import RunConfig
from aqa.errors import ConfigError

CONFIG = """\
model_args:
  model_name_or_path: google/flan-t5-small
  use_fast_tokenizer: true
data_args:
  train_file: train.json
  validation_file: dev.json
  max_seq_length: 1024
  max_answer_length: 30
  pad_to_max_length: false
  num_beams: 2
training_args:
  output_dir: runs/old
  do_train: true
  learning_rate: 3.0e-4
  num_train_epochs: 4
  warmup_steps: 100
  optim: adafactor
  evaluation_strategy: epoch
  save_strategy: epoch
  predict_with_generate: true
  load_best_model_at_end: true
  metric_for_best_model: exact_match
  seed: 7
"""


def test_its_t5_config_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    config = build_config(LlamaQloraOptions, [read_config(path)])
    assert config.backend.model == "google/flan-t5-small"
    assert (config.data.path, config.data.dev_path) == ("train.json", "dev.json")
    assert (config.generation.max_new_tokens, config.generation.num_beams) == (30, 2)
    training = config.training
    assert (training.learning_rate, training.num_train_epochs) == (3e-4, 4)
    assert (training.warmup_steps, training.optim, training.eval_strategy) == (
        100,
        "adafactor",
        "epoch",
    )
    assert training.metric_for_best_model == "em"
    assert (config.output_dir, config.seed) == ("runs/old", 7)


@pytest.mark.parametrize(
    ("value", "found"),
    [("none", []), ("wandb", ["wandb"]), ("[wandb, mlflow]", ["wandb", "mlflow"])],
)
def test_where_it_reports_to(value: str, found: list[str], tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(
        f"model_args: {{model_name_or_path: m}}\ntraining_args: {{report_to: {value}}}",
        encoding="utf-8",
    )
    config = build_config(LlamaQloraOptions, [read_config(path)])
    assert config.training.report_to == found


def test_null_leaves_a_key_out(tmp_path: Path) -> None:
    """It is the default of many of transformers' arguments, which configs often spell out."""
    path = tmp_path / "old.yaml"
    path.write_text(
        "data_args: {train_file: a.json, dataset_name: null, max_answer_length: 30,"
        " val_max_answer_length: null, num_beams: null, preprocessing_num_workers: null}\n"
        "training_args: {generation_max_length: null, metric_for_best_model: null,"
        " per_device_eval_batch_size: 16}",
        encoding="utf-8",
    )
    raw = read_config(path)
    assert raw == {"data": {"path": "a.json"}, "generation": {"max_new_tokens": 30}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("training_args: {fp16: true}", r"training_args\.fp16 = True.*T5 overflows in float16"),
        ("training_args: {learning_rat: 1}", r"unknown .* training_args\.learning_rat; did"),
        ("data_args: {doc_stride: 128}", "not read in windows"),
        ("training_args: {warmup_ratio: 0.1}", "give warmup_steps, a number of steps"),
        ("data_args: {pad_to_max_length: true}", "padded to the longest"),
        ("training_args: {metric_for_best_model: bleu}", "f1, em or loss"),
        ("data_args: {xyz: 1}", r"unknown config key data_args\.xyz; leave it out"),
        ("model_args: flan", "model_args is a section of keys, not a str"),
    ],
)
def test_a_key_that_means_nothing_here_is_named(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(path))}: .*{told}"):
        read_config(path)


def test_every_key_has_a_home() -> None:
    for ours in (home for section in SECTIONS.values() for home in section.values()):
        section, _, key = ours.partition(".")
        field = RunConfig.model_fields[section]
        if section == "backend":
            kinds: list[type[BackendOptions]] = [BackendOptions, LlamaQloraOptions]
            assert any(key in kind.model_fields for kind in kinds), ours
        elif key:
            assert isinstance(field.annotation, type)
            assert key in field.annotation.model_fields, ours
