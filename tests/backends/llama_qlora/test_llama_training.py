from math import isfinite, nan
from pathlib import Path
from typing import Any

import pytest
from tiny_llama import (
    AT_THE_END,
    Training,
    adapter_weights,
    greatest_difference,
    make_config,
    make_prompts,
    make_reader,
    notes,
    rows,
)

from aqa.backends.base import TrainJob
from aqa.backends.llama_qlora.training import AdapterTrainer, answer_loss
from aqa.backends.local.checkpoints import STATE
from aqa.backends.local.training import run_training
from aqa.backends.local.training_arguments import (
    checkpoints_gradients,
    optimizer_name,
    training_arguments,
)
from aqa.errors import ConfigError, ModelError
from aqa.records import Template

NO_EVALUATION = "training.eval_strategy='no'"
BY_HEART = (
    "training.num_train_epochs=30",
    "training.learning_rate=0.01",
    "backend.lora.dropout=0",
    AT_THE_END,
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "tiny_pad_is_end"])
def test_a_model_learns_to_answer_and_to_stop(
    name: str, request: pytest.FixtureRequest, template: Template, tmp_path: Path
) -> None:
    reader = make_reader(request.getfixturevalue(name), *BY_HEART, "generation.max_new_tokens=30")
    asked = make_prompts(reader, template, with_target=False)
    with reader:
        before = {p.id: p.raw for _, p in reader.generate(asked)}
    assert all(before[example.id] != example.answers[0] for example in rows())

    training = Training(reader, template, tmp_path)
    training.run()
    assert training.losses[-1] < 0.1 < 1 < training.losses[0]
    # The best weights stay loaded, so no `with` is needed.
    found = {p.id: p for _, p in reader.generate(asked)}
    targets = make_prompts(reader, template, with_target=True)
    for prompt in targets:
        assert found[prompt.id].raw == prompt.target
        ended = len(reader.encode(prompt).target_ids) - 1
        assert found[prompt.id].answer_tokens == ended < 30, "it did not stop by itself"
    # So does the saved adapter.
    for named in (tmp_path, tmp_path / "adapter"):
        with make_reader(named) as reader:
            again = reader.generate(make_prompts(reader, template, with_target=False))
            assert {p.id: p.raw for _, p in again} == {p.id: p.target for p in targets}


def test_the_adapter_folder_holds_safetensors_and_where_its_base_lies(
    tiny: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    monkeypatch.chdir(tiny.parent)
    reader = make_reader(tiny.name, "training.num_train_epochs=1")
    folder = Training(reader, template, tmp_path / "run").run()
    assert folder == tmp_path / "run" / "adapter"
    assert {path.name for path in folder.iterdir()} - {"README.md"} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    # Named by a relative path, found from anywhere.
    assert config["base_model_name_or_path"] == str(tiny.resolve())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (16, 32, 0.05)
    weights = adapter_weights(folder)
    assert {name.split(".")[-3] for name in weights} == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }
    leftovers = {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert ".bin" not in leftovers
    assert [path.name for path in (tmp_path / "run" / "training_rows").iterdir()] == ["rows.json"]


@pytest.mark.slow
def test_evaluating_leaves_the_training_as_it_is(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    settings = ["training.num_train_epochs=4", "training.per_device_train_batch_size=3"]
    plain = Training(make_reader(tiny, *settings, NO_EVALUATION), template, tmp_path / "plain")
    often = Training(
        make_reader(
            tiny,
            *settings,
            "training.evaluate_before=true",
            "training.eval_strategy=steps",
            "training.eval_steps=1",
            "training.metric_for_best_model=loss",
            "training.save_total_limit=20",
        ),
        template,
        tmp_path / "often",
    )
    plain_folder = plain.run()
    often.run()
    assert often.losses == plain.losses
    last = tmp_path / "often" / "checkpoints" / "checkpoint-12"
    assert greatest_difference(adapter_weights(plain_folder), adapter_weights(last)) == 0
    assert [step.step for step in often.evaluations] == list(range(13))


def test_steps_tell_what_a_progress_bar_shows(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    reader = make_reader(
        tiny,
        "training.num_train_epochs=2",
        "training.per_device_train_batch_size=4",
        "training.learning_rate=0.01",
        "training.evaluate_before=true",
        "training.eval_limit=3",
    )
    training = Training(reader, template, tmp_path)
    training.run()
    learnt = [step for step in training.steps if not step.scores]
    assert [(step.step, step.total_steps) for step in learnt] == [(n, 4) for n in (1, 2, 3, 4)]
    assert [step.epoch for step in learnt] == [0.5, 1.0, 1.5, 2.0]
    assert [step.learning_rate for step in learnt] == pytest.approx([0.01, 0.0075, 0.005, 0.0025])
    assert all(step.tokens_per_second for step in learnt)
    assert [step.step for step in training.evaluations] == [0, 2, 4]
    assert [set(step.scores) for step in training.evaluations] == [{"em", "f1"}] * 3
    # All of the dev data before training, then the first three, and all for the best weights.
    assert [len(answers) for answers in training.answers] == [8, 3, 3, 8]


F1 = [10.0, 50.0, 30.0, 20.0]
EM = [10.0, 20.0, 60.0, 30.0]
LAST = {"em": 0.0, "f1": 0.0}  # of the best weights, after they were chosen
LOSS = [0.5, 0.9, 0.8, 0.7]


@pytest.mark.parametrize(("metric", "best"), [("f1", 2), ("em", 3), ("loss", 1)])
def test_the_best_checkpoint_is_loaded_and_saved(
    metric: str,
    best: int,
    tiny: Path,
    template: Template,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from peft import get_peft_model_state_dict

    losses = iter(LOSS)
    monkeypatch.setattr(AdapterTrainer, "dev_loss", lambda self: next(losses))
    reader = make_reader(
        tiny,
        "training.num_train_epochs=4",
        "training.learning_rate=0.01",
        "training.save_total_limit=9",
        f"training.metric_for_best_model={metric}",
    )
    training = Training(
        reader,
        template,
        tmp_path,
        scores=lambda n: {"em": EM[n - 1], "f1": F1[n - 1]} if n <= len(F1) else LAST,
    )
    saved = adapter_weights(training.run())
    assert [step.scores["f1"] for step in training.evaluations] == F1
    for step in (1, 2, 3, 4):
        checkpoint = adapter_weights(tmp_path / "checkpoints" / f"checkpoint-{step}")
        assert (greatest_difference(saved, checkpoint) == 0) is (step == best)
    loaded = get_peft_model_state_dict(reader.model, save_embedding_layers=False)
    assert greatest_difference(saved, loaded) == 0


def test_the_best_checkpoint_outlives_newer_ones(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    reader = make_reader(tiny, "training.num_train_epochs=5", "training.save_total_limit=2")
    training = Training(reader, template, tmp_path, scores=lambda n: {"em": 0.0, "f1": 10.0 / n})
    training.run()
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("checkpoint-*"))
    assert kept == ["checkpoint-1", "checkpoint-5"]


@pytest.mark.parametrize("copied", [False, True])
def test_a_run_folder_that_was_moved_keeps_its_best_checkpoint(
    copied: bool, tiny: Path, template: Template, tmp_path: Path
) -> None:
    """Interrupted after the last step: no later checkpoint refers to the best one."""
    settings = ("training.num_train_epochs=3", "training.learning_rate=0.01")
    training = Training(
        make_reader(tiny, *settings),
        template,
        tmp_path / "here",
        scores=lambda n: {"em": 0.0, "f1": 10.0 / n},
    )
    training.run()
    (tmp_path / "here").rename(tmp_path / "there")
    if copied:  # another training may be there by now
        (tmp_path / "here/checkpoints/checkpoint-1").mkdir(parents=True)
    resumed = Training(make_reader(tiny, *settings), template, tmp_path / "there", resume=True)
    saved = adapter_weights(resumed.run())
    assert not resumed.losses
    checkpoints = tmp_path / "there" / "checkpoints"
    first, last = (adapter_weights(checkpoints / f"checkpoint-{step}") for step in (1, 3))
    assert greatest_difference(saved, first) == 0 < greatest_difference(saved, last)


def test_without_a_checkpoint_the_training_begins_anew(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    note = "there is no checkpoint to resume from: training starts from the beginning"
    for resume in (True, False):
        reader = make_reader(tiny, "training.max_steps=1")
        folder = tmp_path / str(resume)
        trained = Training(reader, template, folder, with_dev=False, resume=resume)
        trained.run()
        assert len(trained.losses) == 1
        assert (note in notes(reader)) == resume


def test_without_progress_the_training_stops_early(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    reader = make_reader(tiny, "training.num_train_epochs=9", "training.early_stopping_patience=2")
    training = Training(
        reader, template, tmp_path, scores=lambda n: {"em": 0.0, "f1": 50.0 if n == 2 else 10.0}
    )
    saved = adapter_weights(training.run())
    assert [step.step for step in training.evaluations] == [1, 2, 3, 4]
    best = adapter_weights(tmp_path / "checkpoints" / "checkpoint-2")
    assert greatest_difference(saved, best) == 0


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("training.optim=adamx", "adamx is not a valid"),
        ("training.optim=galore_adamw", "GaLore|optim_target_modules"),
        ("training.optim=schedule_free_sgd", "schedule_free_sgd answers with other weights"),
        ("training.report_to=[nonsense]", "nonsense is not supported"),
        ("backend.lora.target_modules=[nope]", "the model has no layer 'nope'; "),
        ("backend.lora.target_modules=[v_proj, q_porj]", "'q_porj'; did you mean q_proj"),
        ("backend.lora.target_modules=no.*pe", "the model has no layer 'no.*pe'; "),
        ("backend.lora.target_modules=[norm]", "RMSNorm.* is not supported"),
    ],
)
def test_an_option_that_the_libraries_refuse_is_one_sentence(
    setting: str, named: str, tiny: Path, template: Template, tmp_path: Path
) -> None:
    training = Training(make_reader(tiny, setting), template, tmp_path)
    with pytest.raises(ConfigError, match=named) as caught:
        training.run()
    assert "\n" not in str(caught.value)


PISSA = ("backend.quantization=none", "backend.lora.variant=pissa")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["training.optim=adamx"], "adamx is not a valid"),
        (["training.optim=schedule_free_sgd"], "answers with other weights"),
        (["training.report_to=nonsense"], "training.report_to: nonsense is not supported"),
        (["backend.lora.target_modules=q_proj"], r"no layer 'q_proj'; .* a list, \[q_proj\]"),
        (["backend.lora.target_modules=all-liner"], "'all-liner'; did you mean all-linear"),
        (["backend.lora.target_modules=[v_porj]"], "'v_porj'; did you mean v_proj"),
        (['backend.lora.target_modules="[q"'], "not a regular expression .unterminated"),
        ([*PISSA, "backend.lora.r=33"], "lora.r = 33: pissa can't have a rank above 32"),
        (["backend.quantization=4bit", "backend.lora.init=orthogonal"], "init = orthogonal"),
    ],
)
def test_options_are_refused_before_weights_are_loaded(
    settings: list[str], told: str, tiny: Path
) -> None:
    """By the verb's check, which runs first."""
    with pytest.raises(ConfigError, match=told):
        make_reader(tiny, *settings).check_training()


@pytest.mark.parametrize(
    "settings",
    [
        ("backend.lora.target_modules=.*_proj",),
        ("backend.lora.target_modules=[q_proj, layers.1.mlp.down_proj]",),
        (*PISSA, "backend.lora.r=32"),
        ("backend.quantization=none", "backend.lora.init=orthogonal"),
    ],
)
def test_what_can_be_trained_passes(settings: tuple[str, ...], tiny: Path) -> None:
    make_reader(tiny, *settings).check_training()


def test_without_dev_data_the_last_weights_are_kept(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    reader = make_reader(tiny, "training.num_train_epochs=3", "training.evaluate_before=true")
    training = Training(reader, template, tmp_path, with_dev=False)
    saved = adapter_weights(training.run())
    last = adapter_weights(tmp_path / "checkpoints" / "checkpoint-3")
    assert greatest_difference(saved, last) == 0
    assert not training.evaluations


LOST = "step 2: the {} is nan, so the training stops; earlier checkpoints are kept"


@pytest.mark.parametrize("what", ["loss", "gradient's norm", "validation loss"])
def test_a_training_without_finite_numbers_ends(
    what: str, tiny: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that have become NaN are neither saved nor chosen."""

    def lost(model: Any, *others: Any) -> Any:
        loss, count = answer_loss(model, *others)
        if training.evaluations and model.training is (what != "validation loss"):
            if what != "gradient's norm":
                return loss * nan, count
            loss.register_hook(lambda gradient: gradient * nan)
        return loss, count

    monkeypatch.setattr(AdapterTrainer, "answer_loss", staticmethod(lost))
    settings = ("training.num_train_epochs=4", "training.metric_for_best_model=loss")
    training = Training(make_reader(tiny, *settings), template, tmp_path)
    with pytest.raises(ModelError, match=LOST.format(what)):
        training.run()
    assert (tmp_path / "checkpoints/checkpoint-1" / STATE).is_file()
    assert not (tmp_path / "adapter").exists()


def test_a_step_that_float16_leaves_out_ends_no_training(
    tiny: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loss is reported, and those of later steps are reported without it."""

    def overflown(model: Any, *others: Any) -> Any:
        loss, count = answer_loss(model, *others)
        return loss + (nan if len(told.losses) == 1 else 0.0), count

    def in_float16(trainer: AdapterTrainer, *others: Any) -> None:
        trainer.args.fp16 = True  # in which no CPU trains
        run_training(trainer, *others)

    monkeypatch.setattr(AdapterTrainer, "answer_loss", staticmethod(overflown))
    monkeypatch.setattr("aqa.backends.local.training.run_training", in_float16)
    told = Training(make_reader(tiny, "training.max_steps=4"), template, tmp_path, with_dev=False)
    told.run()
    assert [isfinite(loss) for loss in told.losses] == [True, False, True, True]


@pytest.mark.parametrize(("warmup", "steps", "reaches"), [(2, 2, False), (2, 3, True)])
def test_a_warm_up_longer_than_the_training_is_told(
    warmup: int, steps: int, reaches: bool, tiny: Path, template: Template, tmp_path: Path
) -> None:
    settings = (f"training.warmup_steps={warmup}", f"training.max_steps={steps}")
    reader = make_reader(tiny, *settings, "training.learning_rate=0.01")
    training = Training(reader, template, tmp_path, with_dev=False)
    training.run()
    assert (max(step.learning_rate or 0.0 for step in training.steps) == 0.01) is reaches
    note = "the learning rate never reaches 0.01: its warm-up takes 2 steps, and the training has 2"
    assert any(each.startswith(note) for each in notes(reader)) is not reaches


@pytest.mark.slow
def test_seed_decides_the_adapter(tiny: Path, template: Template, tmp_path: Path) -> None:
    def train(name: str, *settings: str) -> dict[str, object]:
        reader = make_reader(tiny, "training.num_train_epochs=2", NO_EVALUATION, *settings)
        return adapter_weights(Training(reader, template, tmp_path / name).run())

    first = train("first")
    assert greatest_difference(first, train("again")) == 0
    assert greatest_difference(first, train("other", "seed=1")) > 0


@pytest.mark.slow
def test_gradient_checkpointing_changes_memory_only(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    found = {}
    for choice in ("on", "off"):
        reader = make_reader(
            tiny,
            f"training.gradient_checkpointing='{choice}'",
            "training.num_train_epochs=3",
            "training.learning_rate=0.01",
        )
        found[choice] = adapter_weights(Training(reader, template, tmp_path / choice).run())
        assert reader.model.get_base_model().is_activation_checkpointing is (choice == "on")
    assert greatest_difference(found["on"], found["off"]) <= 1e-6


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    return TrainJob(list, [], lambda predictions: {}, tmp_path, resume=False)


@pytest.mark.parametrize(
    ("named", "passed"),
    [("[]", []), ("[tensorboard]", ["tensorboard"]), ("[wandb, mlflow]", ["wandb", "mlflow"])],
)
def test_report_to_passes_through(named: str, passed: list[str], tiny: Path, job: TrainJob) -> None:
    config = make_config(tiny, f"training.report_to={named}")
    assert training_arguments(config, config.backend, job).report_to == passed


def test_training_arguments_are_those_of_the_config(tiny: Path, job: TrainJob) -> None:
    given = {
        "num_train_epochs": 3.5,
        "max_steps": 70,
        "learning_rate": 1.5e-4,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 7,
        "weight_decay": 0.02,
        "max_grad_norm": 0.3,
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 5,
        "neftune_noise_alpha": 5.0,
        "logging_steps": 4,
        "eval_steps": 11,
        "save_total_limit": 6,
        "optim": "adafactor",
    }
    settings = (f"training.{key}={value}" for key, value in given.items())
    config = make_config(tiny, "training.eval_strategy=steps", *settings)
    arguments = training_arguments(config, config.backend, job)
    assert {key: getattr(arguments, key) for key in given} == given
    assert arguments.seed == config.seed
    assert not arguments.bf16
    assert not arguments.fp16


@pytest.mark.parametrize(("asked", "passed"), [(0, -1), (-1, -1), (7, 7)])
def test_no_steps_are_those_of_the_epochs(
    asked: int, passed: int, tiny: Path, job: TrainJob
) -> None:
    config = make_config(tiny, f"training.max_steps={asked}")
    assert training_arguments(config, config.backend, job).max_steps == passed


def test_precision_follows_compute_dtype(tiny: Path, job: TrainJob) -> None:
    config = make_config(tiny, "backend.compute_dtype=bfloat16")
    assert training_arguments(config, config.backend, job).bf16


@pytest.mark.parametrize(
    ("cuda", "optimizer", "checkpointing"),
    [(True, "paged_adamw_8bit", True), (False, "adamw_torch_fused", False)],
)
def test_auto_follows_the_hardware(
    cuda: bool, optimizer: str, checkpointing: bool, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    options = make_config(tiny).training
    assert optimizer_name(options) == optimizer
    assert checkpoints_gradients(options) is checkpointing
