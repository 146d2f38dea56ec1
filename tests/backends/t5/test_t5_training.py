"""Training an encoder-decoder: labels, stopping, resuming, targets, precision."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_families import save_seq2seq
from tiny_llama import Training, greatest_difference, rows, take_out
from tiny_t5 import (
    BY_HEART,
    answers,
    golds,
    make_config,
    make_prompts,
    make_reader,
    save_t5,
    several,
    t5_tokenizer,
    t5_training,
    weights,
)

from aqa.backends.local.training_arguments import training_arguments
from aqa.backends.local.training_batches import IGNORED, as_row
from aqa.backends.t5.training import Seq2SeqCollator, answer_loss
from aqa.errors import DataError, ModelError
from aqa.records import Example, Passage, TrainStep

FID = "backend.fusion=fid"
# Eight rows in batches of 3, two batches per step: two steps per epoch, of which the second is
# smaller; six steps in all, with dropout.
SETTINGS = (
    "training.num_train_epochs=3",
    "training.per_device_train_batch_size=3",
    "training.gradient_accumulation_steps=2",
    "training.learning_rate=0.005",
    "training.warmup_steps=2",
)


class Crash(BaseException):
    """Not caught by any library."""


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny T5 with dropout."""
    return save_t5(tmp_path_factory.mktemp("dropping"), t5_tokenizer(), dropout=0.2)


@pytest.mark.parametrize("fusion", ["concat", "fid"])
def test_labels_are_the_answer_and_its_end_token_alone(fusion: str, tiny_t5: Path) -> None:
    reader = make_reader(tiny_t5, f"backend.fusion={fusion}")
    examples = [*rows(), several(3), Example("long", "Who?", (), ("far away " * 9,))]
    encoded = [reader.encode(p) for p in make_prompts(reader, True, examples)]
    collator = Seq2SeqCollator()
    batch = collator([as_row(e) for e in encoded])
    assert collator.tokens == sum(len(e.prompt_ids) + len(e.target_ids) for e in encoded)
    for labels, encoding in zip(batch["labels"], encoded, strict=True):
        length = len(encoding.target_ids)
        assert labels[:length].tolist() == list(encoding.target_ids)
        assert labels[length - 1] == reader._encoder.end_id
        assert (labels[length:] == IGNORED).all()
    read = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    assert [token for part in read for token in part] == [t for e in encoded for t in e.prompt_ids]
    assert batch["part_counts"].tolist() == [1] * 8 + [3 if fusion == "fid" else 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fusion"),
    [("tiny_t5", "concat"), ("tiny_t5", "fid"), ("tiny_bart", "fid"), ("tiny_plain", "concat")],
)
def test_a_model_learns_to_answer_and_to_stop(
    name: str, fusion: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    epochs = 70 if name == "tiny_bart" else 40
    settings = (
        *BY_HEART,
        f"training.num_train_epochs={epochs}",
        f"backend.fusion={fusion}",
        "generation.max_new_tokens=30",
    )
    reader = make_reader(request.getfixturevalue(name), *settings)
    training = t5_training(reader, tmp_path)
    assert training.run() == tmp_path / "model"
    assert training.losses[-1] < 0.3 < 3 < training.losses[0]
    found = {p.id: p for _, p in reader.generate(make_prompts(reader))}
    assert {key: p.raw for key, p in found.items()} == golds()
    assert all(p.answer_tokens < 12 for p in found.values()), "it stops by itself"
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt"))]
    assert weights(tmp_path / "model").popitem()[1].dtype == torch.float32


def training(model: Path, folder: Path, *settings: str, resume: bool = False) -> Training:
    reader = make_reader(model, *SETTINGS, *settings)
    each = 3 if reader.config.training.targets == "random" else 1
    return t5_training(reader, folder, resume=resume, targets_each=each)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "crash_at"),
    [
        (("training.eval_strategy=epoch",), 3),
        (("training={eval_strategy: steps, eval_steps: 3}", "training.optim=adafactor"), 5),
        ((FID, "training.targets=random"), 3),
    ],
    ids=["epochs", "steps", "fid"],
)
def test_a_crashed_training_resumes_as_if_nothing_had_happened(
    settings: tuple[str, ...], crash_at: int, dropping: Path, tmp_path: Path
) -> None:
    whole = training(dropping, tmp_path / "whole", *settings)
    whole.run()

    def crash(told: TrainStep) -> None:
        if told.step == crash_at and not told.scores:
            raise Crash

    with pytest.raises(Crash):
        training(dropping, tmp_path / "crashed", *settings).run(crash)
    torch.rand(100)  # random numbers drawn elsewhere must not matter
    resumed = training(dropping, tmp_path / "crashed", *settings, resume=True)
    resumed.run()
    assert 0 < len(resumed.losses) < len(whole.losses) == 6
    saved, expected = (weights(t.folder / "model") for t in (resumed, whole))
    assert greatest_difference(saved, expected) <= 1e-5
    assert resumed.losses == pytest.approx(whole.losses[-len(resumed.losses) :], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["t5gemma2", "mbart"])
def test_families_whose_weights_have_other_names_in_files_resume(
    family: str, tmp_path: Path
) -> None:
    """T5Gemma 2 does; by another model's names, most of its weights would stay uninitialised."""
    model = save_seq2seq(family, tmp_path / "model")
    settings = ("training={eval_strategy: steps, eval_steps: 2}", "training.max_steps=6")
    whole = training(model, tmp_path / "whole", *settings)
    whole.run()

    def crash(told: TrainStep) -> None:
        if told.step == 5 and not told.scores:
            raise Crash

    with pytest.raises(Crash):
        training(model, tmp_path / "crashed", *settings).run(crash)
    resumed = training(model, tmp_path / "crashed", *settings, resume=True)
    resumed.run()
    saved, expected = (weights(t.folder / "model") for t in (resumed, whole))
    assert greatest_difference(saved, expected) <= 1e-5
    for file in (tmp_path / "crashed" / "checkpoints").glob("*/model.safetensors"):
        take_out(file, next(name for name in weights(file.parent) if "q_proj" in name))
    with pytest.raises(ModelError, match="1 of this model's weights are not in its files"):
        training(model, tmp_path / "crashed", *settings, resume=True).run()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ("training.max_steps=5",),  # not the end of an epoch of 2 steps
        ("training.num_train_epochs=1.5",),
        ("training.num_train_epochs=2", "training.eval_strategy=epoch"),
        ("training={eval_strategy: steps, eval_steps: 2}", "training.max_steps=5"),
        (
            "training={eval_strategy: epoch, early_stopping_patience: 1, num_train_epochs: 9}",
            "training.learning_rate=1e-12",
        ),
    ],
    ids=["steps", "fraction", "epochs", "evaluated", "impatient"],
)
def test_a_finished_training_is_not_trained_on(
    settings: tuple[str, ...], tiny_t5: Path, tmp_path: Path
) -> None:
    first = training(tiny_t5, tmp_path, *settings)
    first.run()
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    checkpoints = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    for _ in range(2):
        again = training(tiny_t5, tmp_path, *settings, resume=True)
        again.run()
        assert again.losses == []
        assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
        assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == checkpoints
        told, expected = (
            answers(reader.generate(make_prompts(reader)))
            for reader in (again.reader, first.reader)
        )
        assert told == expected


@pytest.mark.parametrize(("targets", "steps"), [("all", 6), ("random", 2)])
def test_targets_all_takes_every_row_and_random_one_of_each_example(
    targets: str, steps: int, tiny_t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    reader = make_reader(
        tiny_t5,
        f"training.targets={targets}",
        "training.num_train_epochs=3",
        "training.per_device_train_batch_size=4",
        "training.eval_strategy='no'",
    )
    collate = Seq2SeqCollator.__call__

    def spy(self: Seq2SeqCollator, batch: Any) -> Any:
        seen.extend(reader.decode(row["input_ids"][row["prompt_length"] :]) for row in batch)
        return collate(self, batch)

    monkeypatch.setattr(Seq2SeqCollator, "__call__", spy)
    made = t5_training(reader, tmp_path, targets_each=3)
    made.run()
    assert len(made.losses) == 3 * steps
    epochs = [seen[start : start + 4 * steps] for start in range(0, len(seen), 4 * steps)]
    assert len(epochs) == 3
    for epoch in epochs:
        towns = sorted(text.strip().removesuffix("</s>").rstrip("12") for text in epoch)
        assert towns == sorted(list(golds().values()) * (3 if targets == "all" else 1))
    assert len({frozenset(epoch) for epoch in epochs}) == (1 if targets == "all" else 3)


def test_the_loss_is_the_mean_over_all_accumulated_answer_tokens(
    tiny_t5: Path, tmp_path: Path
) -> None:
    """One step of 8 equals one of 4 x 2 with answers of different lengths."""
    unlike = [
        Example(f"u{n}", "Where?", (Passage("Somewhere."),), (" ".join(["far"] * (1 + n * n)),))
        for n in range(8)
    ]
    found = []
    for size, steps in ((8, 1), (2, 4)):
        reader = make_reader(
            tiny_t5,
            "training.num_train_epochs=1",
            "training.optim=sgd",
            "training.learning_rate=0.5",
            "training.eval_strategy='no'",
            f"training.per_device_train_batch_size={size}",
            f"training.gradient_accumulation_steps={steps}",
        )
        made = t5_training(reader, tmp_path / str(size), train_rows=unlike)
        found.append((weights(made.run()), made.losses))
    (one, losses), (other, other_losses) = found
    assert greatest_difference(one, other) < 1e-5
    assert losses == pytest.approx(other_losses, abs=1e-4)
    assert greatest_difference(one, weights(tiny_t5)) > 1e-3


def test_label_smoothing_is_that_of_transformers(tiny_t5: Path) -> None:
    from transformers.trainer_pt_utils import LabelSmoother

    with make_reader(tiny_t5) as reader:
        batch = Seq2SeqCollator()(
            [as_row(reader.encode(p)) for p in make_prompts(reader, with_target=True)]
        )
        with torch.no_grad():
            loss, count = answer_loss(reader.model, batch, label_smoothing=0.1)
            plain, _ = answer_loss(reader.model, batch)
            logits = reader.model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                labels=batch["labels"],
            ).logits
        wanted = LabelSmoother(epsilon=0.1)({"logits": logits}, batch["labels"])
    assert (loss / count).item() == pytest.approx(wanted.item(), abs=1e-5)
    assert abs(loss - plain) > 0.01


@pytest.mark.slow
def test_smoothing_and_optimizer_reach_the_training(tiny_t5: Path, tmp_path: Path) -> None:
    losses = {}
    for setting in ("seed=42", "training.label_smoothing_factor=0.3", "training.optim=adafactor"):
        made = t5_training(
            make_reader(tiny_t5, "training.max_steps=2", "training.eval_strategy='no'", setting),
            tmp_path / setting,
        )
        made.run()
        losses[setting] = made.losses
    plain, smooth, adafactor = losses.values()
    assert smooth[0] != pytest.approx(plain[0], abs=1e-3)
    assert adafactor[0] == pytest.approx(plain[0], abs=1e-6)
    assert adafactor[1] != plain[1]


@pytest.mark.slow
def test_bfloat16_trains_float32_weights(tiny_t5: Path, tmp_path: Path) -> None:
    reader = make_reader(tiny_t5, *BY_HEART, "backend.compute_dtype=bfloat16")
    seen: set[torch.dtype] = set()

    def look(told: TrainStep) -> None:
        seen.update(p.dtype for p in reader.model.parameters())

    made = t5_training(reader, tmp_path)
    made.run(look)
    assert seen == {torch.float32}
    assert reader.model.dtype == torch.bfloat16, "as it is loaded for prediction"
    assert answers(reader.generate(make_prompts(reader))) == golds()


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["concat", "fid"])
def test_gradient_checkpointing_changes_memory_only(
    fusion: str, dropping: Path, tmp_path: Path
) -> None:
    found = {}
    for choice in ("on", "off"):
        reader = make_reader(
            dropping,
            f"backend.fusion={fusion}",
            f"training.gradient_checkpointing='{choice}'",
            "training.max_steps=3",
            "training.learning_rate=0.01",
            "training.eval_strategy='no'",
        )
        made = t5_training(reader, tmp_path / choice, train_rows=[*rows(), several(3)])
        found[choice] = weights(made.run())
        assert reader.model.is_activation_checkpointing is (choice == "on")
    assert greatest_difference(found["on"], found["off"]) <= 1e-5
    assert greatest_difference(found["on"], weights(dropping)) > 1e-3


def test_precision_follows_the_hardware(tiny_t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = make_reader(tiny_t5, "backend.compute_dtype=auto")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: False)
    from aqa.backends.local.devices import compute_dtype

    assert compute_dtype(reader.options) == torch.float32, "never float16"


def test_the_best_checkpoint_is_kept(tiny_t5: Path, tmp_path: Path) -> None:
    reader = make_reader(tiny_t5, "training.num_train_epochs=4", "training.learning_rate=0.005")
    made = t5_training(reader, tmp_path)
    f1 = iter([10.0, 50.0, 20.0, 30.0, 0.0])  # the last is that of the best weights
    made._score = lambda predictions: {"em": 0.0, "f1": [*predictions] and next(f1)}  # type: ignore[method-assign,dict-item]
    made.run()
    best = weights(tmp_path / "checkpoints" / "checkpoint-2")
    assert greatest_difference(weights(tmp_path / "model"), best) == 0


def test_rows_with_nothing_to_learn_are_named(tiny_t5: Path, tmp_path: Path) -> None:
    nothing = Example("blank", "Where?", (Passage("Here."),), None)
    made = t5_training(make_reader(tiny_t5), tmp_path, train_rows=[*rows(), nothing])
    with pytest.raises(DataError, match=r"\(blank\)"):
        made.run()


def test_arguments_follow_the_config(tiny_t5: Path, tmp_path: Path) -> None:
    from aqa.backends.base import TrainJob

    job = TrainJob(list, [], lambda predictions: {}, tmp_path, resume=False)

    def made(*settings: str) -> Any:
        config = make_config(tiny_t5, *settings)
        return training_arguments(config, config.backend, job)

    assert made("training.optim=adafactor").optim == "adafactor"
    assert made().optim == "adamw_torch_fused"
    assert made("backend.compute_dtype=bfloat16").bf16
    assert not made().fp16
    assert made().ddp_broadcast_buffers is False  # some processes call the model more often


def test_the_encoder_is_in_bfloat16_too(tiny_t5: Path, tmp_path: Path) -> None:
    """It is called separately, outside of what transformers' Trainer wraps."""
    import torch

    seen: set[tuple[str, torch.dtype]] = set()
    reader = make_reader(
        tiny_t5,
        "backend.compute_dtype=bfloat16",
        "training.max_steps=1",
        "training.eval_strategy=no",
    )
    load = reader._load

    def watched(training: bool) -> None:
        load(training)
        for name, part in reader.model.named_modules():
            if isinstance(part, torch.nn.Linear):
                side = name.partition(".")[0]
                part.register_forward_hook(
                    lambda module, inputs, output, side=side: seen.add((side, output.dtype))
                )

    reader._load = watched  # type: ignore[method-assign]
    t5_training(reader, tmp_path, with_dev=False).run()
    assert seen == {(side, torch.bfloat16) for side in ("encoder", "decoder", "lm_head")}
    assert {weight.dtype for weight in weights(tmp_path / "model").values()} == {torch.float32}


@pytest.mark.parametrize("family", ["t5gemma", "t5gemma2", "led", "switch"])
def test_a_dry_run_finds_the_sizes_of_any_family(family: str, tmp_path: Path) -> None:
    reader = make_reader(save_seq2seq(family, tmp_path), "backend.max_seq_length=256")
    estimate = reader.estimate()
    assert estimate.memory_bytes > estimate.all_parameters * 16
