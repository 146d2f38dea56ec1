import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Forked
from killed_training import die_in_training
from safetensors.torch import load_file, save_file
from tiny_llama import (
    Training,
    adapter_weights,
    greatest_difference,
    make_reader,
    rows,
    tiny_template,
)

from aqa.backends.local.checkpoints import STATE
from aqa.errors import ModelError
from aqa.records import Template, TrainStep

# Eight rows in batches of 3, two batches per step: two steps per epoch, of which the second is
# smaller; six steps in all, with dropout.
SETTINGS = [
    "training.num_train_epochs=3",
    "training.per_device_train_batch_size=3",
    "training.gradient_accumulation_steps=2",
    "training.learning_rate=0.01",
    "training.warmup_steps=2",
    "backend.lora.dropout=0.2",
    "training.evaluate_before=true",
]
STRATEGIES = {
    "epoch": "training.eval_strategy=epoch",
    "steps": "training={eval_strategy: steps, eval_steps: 3}",  # in the middle of an epoch
}
EVALUATED = {"epoch": [0, 2, 4, 6], "steps": [0, 3, 6]}


class Crash(BaseException):
    """Not caught by any library."""


def training(
    strategy: str, tiny: Path, template: Template, folder: Path, **options: Any
) -> Training:
    reader = make_reader(tiny, *SETTINGS, STRATEGIES[strategy])
    return Training(reader, template, folder, **options)


@pytest.fixture(scope="module")
def whole(
    tiny: Path, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Training]:
    """Uninterrupted trainings."""
    found = {}
    for strategy in STRATEGIES:
        found[strategy] = training(strategy, tiny, template, tmp_path_factory.mktemp(strategy))
        found[strategy].run()
        assert [step.step for step in found[strategy].evaluations] == EVALUATED[strategy]
    return found


def assert_same(resumed: Training, whole: Training) -> None:
    saved, expected = (adapter_weights(t.folder / "adapter") for t in (resumed, whole))
    assert greatest_difference(saved, expected) <= 1e-6
    known = {step.step: step.loss for step in whole.steps if not step.scores}
    for step in resumed.steps:
        if not step.scores:
            assert step.loss == pytest.approx(known[step.step], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "step", "goes_on_from"),
    [("epoch", 1, 0), ("epoch", 3, 2), ("steps", 5, 3), ("steps", 6, 3)],
)
def test_a_crashed_training_resumes_as_if_nothing_had_happened(
    strategy: str,
    step: int,
    goes_on_from: int,
    whole: Mapping[str, Training],
    tiny: Path,
    template: Template,
    tmp_path: Path,
) -> None:
    def crash(told: TrainStep) -> None:
        if told.step == step and not told.scores:
            raise Crash

    with pytest.raises(Crash):
        training(strategy, tiny, template, tmp_path).run(crash)
    torch.rand(100)  # random numbers drawn elsewhere must not matter
    resumed = training(strategy, tiny, template, tmp_path, resume=True)
    resumed.run()
    assert [s.step for s in resumed.steps if not s.scores] == list(range(goes_on_from + 1, 7))
    assert_same(resumed, whole[strategy])


@pytest.mark.parametrize(
    "limit",
    [
        "training.max_steps=3",
        "training.num_train_epochs=1.5",
        "training={max_steps: 3, save_total_limit: 1}",
    ],
    ids=["steps", "fraction", "one checkpoint"],
)
@pytest.mark.parametrize("strategy", ["epoch", "steps"])
def test_a_finished_training_is_not_trained_on(
    strategy: str, limit: str, tiny: Path, template: Template, tmp_path: Path
) -> None:
    """It stops after three steps, in the middle of the second epoch."""
    settings = [*SETTINGS, STRATEGIES[strategy], limit]
    Training(make_reader(tiny, *settings), template, tmp_path).run()
    before = adapter_weights(tmp_path / "adapter")
    for _ in range(2):
        again = Training(make_reader(tiny, *settings), template, tmp_path, resume=True)
        again.run()
        assert again.losses == []
        assert len(again.answers) == 1, "the dev prompts are answered for the report"
        assert greatest_difference(adapter_weights(tmp_path / "adapter"), before) == 0


@pytest.mark.parametrize("how", ["missing", "unknown"])
def test_a_checkpoint_of_other_weights_is_not_resumed_from(
    how: str, tiny: Path, template: Template, tmp_path: Path
) -> None:
    """peft would silently start with new ones, or ignore some."""
    settings = [*SETTINGS, STRATEGIES["steps"], "training.max_steps=3"]
    Training(make_reader(tiny, *settings), template, tmp_path).run()
    file = tmp_path / "checkpoints" / "checkpoint-3" / "adapter_model.safetensors"
    found = load_file(file)
    name = sorted(found)[0]
    if how == "missing":
        del found[name]
    else:
        found[name.replace("layers.0", "layers.7")] = found[name].clone()
    save_file(found, file)
    fault = "are not in its files" if how == "missing" else "have no place in the model"
    with pytest.raises(ModelError, match=rf"checkpoint-3: 1 of .*{fault}"):
        Training(make_reader(tiny, *settings), template, tmp_path, resume=True).run()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "moment", "checkpoint"),
    [
        # Noticed between two batches of the next step, which is abandoned ...
        ("epoch", 0, 0),
        ("steps", 2, 2),
        # ... after it, at the end of an epoch, with or without an evaluation there ...
        ("epoch", 3, 4),
        ("epoch", 5, 6),
        ("steps", 1, 2),
        # ... or during an evaluation.
        ("epoch", 2, 2),
        ("steps", 3, 3),
    ],
)
def test_an_interrupt_writes_a_checkpoint_and_the_training_can_go_on(
    strategy: str,
    moment: int,
    checkpoint: int,
    whole: Mapping[str, Training],
    tiny: Path,
    template: Template,
    tmp_path: Path,
) -> None:
    def interrupt(told: TrainStep) -> None:
        if told.step == moment and not (told.scores and moment):
            os.kill(os.getpid(), signal.SIGINT)

    interrupted = training(strategy, tiny, template, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(interrupt)
    assert not (tmp_path / "adapter").exists()
    assert len([s.step for s in interrupted.steps if not s.scores]) == checkpoint
    state = tmp_path / "checkpoints" / f"checkpoint-{checkpoint}" / STATE
    assert state.exists() == (checkpoint > 0)

    resumed = training(strategy, tiny, template, tmp_path, resume=True)
    resumed.run()
    assert [s.step for s in resumed.steps if not s.scores] == list(range(checkpoint + 1, 7))
    before = interrupted.evaluations if checkpoint else []
    evaluated = [s.step for s in (*before, *resumed.evaluations)]
    assert evaluated == EVALUATED[strategy], "the best checkpoint is chosen among the same"
    assert_same(resumed, whole[strategy])


@pytest.mark.slow
def test_one_killed_in_an_evaluation_makes_up_for_it(
    whole: Mapping[str, Training], tiny: Path, template: Template, tmp_path: Path
) -> None:
    """The checkpoint had been written before."""

    def crash(number: int) -> Mapping[str, float]:
        if number == 3:  # after step 4
            raise Crash
        return whole["epoch"].evaluations[number - 1].scores

    with pytest.raises(Crash):
        training("epoch", tiny, template, tmp_path, scores=crash).run()
    resumed = training("epoch", tiny, template, tmp_path, resume=True)
    resumed.run()
    assert [s.step for s in resumed.steps] == [4, 5, 6, 6]
    assert_same(resumed, whole["epoch"])


def test_checkpoints_may_be_written_more_often_than_evaluations(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    settings = ["training.save_steps=1", "training.save_total_limit=9", "training.max_steps=3"]
    made = Training(
        make_reader(tiny, *SETTINGS, STRATEGIES["epoch"], *settings), template, tmp_path
    )
    made.run()
    found = sorted(path.name for path in (tmp_path / "checkpoints").glob("checkpoint-*"))
    assert found == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    assert [step.step for step in made.evaluations] == [0, 2, 3]


@pytest.mark.slow
def test_killed_trainings_resume_too(
    whole: Mapping[str, Training], tiny: Path, tmp_path: Path
) -> None:
    """SIGKILL between two steps, and while writing a checkpoint."""
    template = tiny_template(tmp_path)
    for strategy, step, while_saving in (("epoch", 3, False), ("steps", 6, True)):
        settings = [*SETTINGS, STRATEGIES[strategy]]
        made = (tiny, tmp_path / "tiny.txt", tmp_path / strategy, settings, step, while_saving)
        process = Forked(die_in_training, *made)
        told = process.communicate()
        assert process.returncode == -signal.SIGKILL, told
    half = tmp_path / "steps" / "checkpoints" / "checkpoint-6"
    assert (half / "adapter_model.safetensors").exists()

    for strategy, steps in (("epoch", [3, 4, 5, 6]), ("steps", [4, 5, 6])):
        resumed = training(strategy, tiny, template, tmp_path / strategy, resume=True)
        resumed.run()
        assert [step.step for step in resumed.steps if not step.scores] == steps
        assert_same(resumed, whole[strategy])


@pytest.mark.slow
def test_a_finished_training_can_be_resumed_without_harm(
    tiny: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = training("epoch", tiny, template, tmp_path)
    first.run()
    saved = adapter_weights(tmp_path / "adapter")
    again = training("epoch", tiny, template, tmp_path, resume=True)
    monkeypatch.setattr(again, "train", None)  # no text is tokenized again
    again.run()
    assert not again.losses
    assert greatest_difference(saved, adapter_weights(tmp_path / "adapter")) == 0


@pytest.mark.slow
def test_a_resumed_training_has_the_patience_that_was_left(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    f1 = {1: 10.0, 2: 50.0, 3: 20.0, 4: 20.0, 5: 20.0, 6: 20.0}

    def run(folder: Path, resume: bool = False, first: int = 1, crash_at: int = 0) -> list[int]:
        reader = make_reader(
            tiny, "training.num_train_epochs=6", "training.early_stopping_patience=2"
        )
        made = Training(
            reader,
            template,
            folder,
            resume=resume,
            scores=lambda n: {"em": 0.0, "f1": f1[n + first - 1]},
        )

        def crash(told: TrainStep) -> None:
            if told.step == crash_at and not told.scores:
                raise Crash

        try:
            made.run(crash)
        except Crash:
            assert crash_at
        return [step.step for step in made.evaluations]

    assert run(tmp_path / "whole") == [1, 2, 3, 4]
    assert run(tmp_path / "crashed", crash_at=4) == [1, 2, 3]
    assert run(tmp_path / "crashed", resume=True, first=4) == [4]
    assert len(rows()) == 8, "one step an epoch"
