import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llama import (
    Training,
    adapter_weights,
    greatest_difference,
    make_prompts,
    make_reader,
    notes,
    rows,
)
from tiny_quantized import change_json
from transformers import AutoModelForCausalLM

from aqa.backends.llama_qlora import models
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.llama_qlora.fresh_adapters import add_adapter
from aqa.backends.llama_qlora.training import answer_loss
from aqa.backends.local.training_batches import IGNORED, Collator, PackingCollator
from aqa.config.backend_options import LlamaQloraOptions
from aqa.errors import AqaError, ConfigError, DataError, ModelError
from aqa.library_output import quiet
from aqa.records import Example, Passage, Prompt, Template

# Answers of different lengths, so that a mean of means differs from the mean over all tokens.
UNLIKE = [
    Example(f"u{n}", "Where?", (Passage("Somewhere."),), (" ".join(["far"] * (1 + n * n)),))
    for n in range(8)
]


def as_rows(reader: LlamaQloraBackend, prompts: list[Prompt]) -> list[dict[str, Any]]:
    encodings = [reader.encode(prompt) for prompt in prompts]
    return [
        {
            "input_ids": [*e.prompt_ids, *e.target_ids],
            "prompt_length": len(e.prompt_ids),
            "length": len(e.prompt_ids) + len(e.target_ids),
        }
        for e in encodings
    ]


@pytest.mark.parametrize("name", ["tiny", "tiny_pad_is_end", "tiny_no_template"])
def test_labels_are_the_answer_and_its_end_of_turn_alone(
    name: str, request: pytest.FixtureRequest, template: Template
) -> None:
    reader = make_reader(request.getfixturevalue(name))
    prompts = make_prompts(reader, template, with_target=True, examples=UNLIKE)
    batch = Collator()(as_rows(reader, prompts))
    end = reader._encoder.end_token_ids[0]
    for prompt, ids, mask, labels in zip(
        prompts, batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True
    ):
        encoding = reader.encode(prompt)
        assert labels[labels != IGNORED].tolist() == list(encoding.target_ids)
        assert labels[labels != IGNORED][-1] == end, "the end-of-turn token is trained on"
        assert ids[mask.bool()].tolist() == [*encoding.prompt_ids, *encoding.target_ids]
        assert (labels[~mask.bool()] == IGNORED).all()
        assert mask.sum() == mask.cumprod(0).sum(), "padding is on the right"
        first = len(encoding.prompt_ids)
        assert labels[first - 1] == IGNORED != labels[first]


def test_the_collator_counts_tokens_without_padding(tiny: Path, template: Template) -> None:
    reader = make_reader(tiny)
    found = as_rows(reader, make_prompts(reader, template, with_target=True, examples=UNLIKE))
    collator = Collator()
    collator(found)
    assert collator.tokens == sum(row["length"] for row in found)


class Adapted:
    """The tiny model in float32 with an adapter whose B is not zero, so that A gets gradients."""

    def __init__(self, folder: Path, template: Template) -> None:
        reader = make_reader(folder, "backend.lora.dropout=0")
        reader._load(training=True)
        with quiet():
            self.model = add_adapter(reader.model, reader.options.lora, "tiny")
        torch.manual_seed(1)
        for name, parameter in self.model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.05)
        prompts = make_prompts(reader, template, with_target=True, examples=[*UNLIKE, *rows()])
        self.batch = Collator()(as_rows(reader, prompts))

    def gradients(self, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        self.model.zero_grad()
        loss.backward()
        found = {n: p.grad.clone() for n, p in self.model.named_parameters() if p.requires_grad}
        assert len(found) == 28, "seven linear layers in each of two, with A and B"
        assert all(gradient.abs().max() > 0 for gradient in found.values())
        return found

    def plain(self) -> torch.Tensor:
        """The loss as the model itself computes it, from logits at every position."""
        names = ("input_ids", "attention_mask", "labels")
        loss: torch.Tensor = self.model(**{name: self.batch[name] for name in names}).loss
        return loss


def test_logits_only_at_labels_give_the_same_loss_and_gradients(
    tiny: Path, template: Template
) -> None:
    adapted = Adapted(tiny, template)
    total, count = answer_loss(adapted.model, adapted.batch)
    plain = adapted.plain()
    assert count == (adapted.batch["labels"] != IGNORED).sum()
    assert (total / count).item() == pytest.approx(plain.item(), rel=1e-5)
    ours, theirs = adapted.gradients(total / count), adapted.gradients(plain)
    assert greatest_difference(ours, theirs) <= 1e-5


def test_logits_are_computed_at_the_labels_of_each_row_only(tiny: Path, template: Template) -> None:
    adapted = Adapted(tiny, template)
    seen: list[int] = []
    head = adapted.model.get_output_embeddings()
    head.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[:-1]))
    _, count = answer_loss(adapted.model, adapted.batch)
    assert seen == [(1, (adapted.batch["labels"] != IGNORED).sum())]
    assert count == seen[0][1]


def test_no_mask_keeps_attention_from_its_fastest_kernel(tiny: Path, template: Template) -> None:
    """Padding comes after the rows, so its content changes neither loss nor gradients."""
    adapted = Adapted(tiny, template)
    given: list[object] = []
    base = adapted.model.get_base_model()
    base.register_forward_pre_hook(
        lambda _, __, words: given.append(words.get("attention_mask")), with_kwargs=True
    )
    loss, _ = answer_loss(adapted.model, adapted.batch)
    padding = adapted.batch["attention_mask"] == 0
    assert padding.any()
    other = {**adapted.batch, "input_ids": adapted.batch["input_ids"].masked_fill(padding, 7)}
    again, _ = answer_loss(adapted.model, other)
    assert again.item() == pytest.approx(loss.item(), rel=1e-6)
    assert given == [None, None]


def test_label_smoothing_is_that_of_transformers(tiny: Path, template: Template) -> None:
    from transformers.trainer_pt_utils import LabelSmoother

    adapted = Adapted(tiny, template)
    total, count = answer_loss(adapted.model, adapted.batch, label_smoothing=0.2)
    inputs = {name: adapted.batch[name] for name in ("input_ids", "attention_mask")}
    logits = adapted.model(**inputs).logits
    smoother = LabelSmoother(epsilon=0.2)
    wanted = smoother({"logits": logits}, adapted.batch["labels"], shift_labels=True)
    assert (total / count).item() == pytest.approx(wanted.item(), rel=1e-5)
    plain, _ = answer_loss(adapted.model, adapted.batch)
    assert abs(total - plain) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_accumulated_batches_learn_what_one_batch_learns(
    size: int, tiny: Path, template: Template, tmp_path: Path
) -> None:
    """Answers of different lengths are weighted by token, whatever micro-batch they are in."""

    def train(name: str, batch: int, steps: int) -> tuple[Mapping[str, torch.Tensor], list[float]]:
        reader = make_reader(
            tiny,
            f"training.per_device_train_batch_size={batch}",
            f"training.gradient_accumulation_steps={steps}",
            "training.num_train_epochs=3",
            "training.optim=sgd",  # Adam would hide a wrong scale
            "training.learning_rate=0.05",
            "training.max_grad_norm=1000",
            "training.eval_strategy='no'",
            "backend.lora.dropout=0",
        )
        training = Training(reader, template, tmp_path / name, train_rows=UNLIKE)
        return adapter_weights(training.run()), training.losses

    whole, losses = train("whole", 8, 1)
    parts, part_losses = train("parts", size, -(-8 // size))
    assert greatest_difference(whole, parts) <= 1e-5
    assert part_losses == pytest.approx(losses, rel=1e-4)
    assert losses[-1] < losses[0]


def test_the_loss_that_is_told_is_the_mean_over_answer_tokens(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    reader = make_reader(
        tiny, "training.num_train_epochs=1", "training.eval_strategy='no'", "backend.lora.dropout=0"
    )
    training = Training(reader, template, tmp_path, train_rows=UNLIKE)
    training.run()
    fresh = make_reader(tiny)
    prompts = make_prompts(fresh, template, with_target=True, examples=UNLIKE)
    batch = Collator()(as_rows(fresh, prompts))
    with fresh:
        names = ("input_ids", "attention_mask", "labels")
        expected = fresh.model(**{name: batch[name] for name in names}).loss.item()
    assert training.losses == [pytest.approx(expected, rel=1e-4)]


def test_the_dev_loss_is_the_mean_over_answer_tokens_of_all_batches(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    reader = make_reader(
        tiny,
        "training.num_train_epochs=1",
        "training.per_device_train_batch_size=3",
        "training.metric_for_best_model=loss",
        "training.learning_rate=1e-9",
        "backend.lora.dropout=0.5",  # off in evaluation
    )
    training = Training(reader, template, tmp_path)
    training.run()
    fresh = make_reader(tiny)
    batch = Collator()(as_rows(fresh, make_prompts(fresh, template, with_target=True)))
    with fresh:
        names = ("input_ids", "attention_mask", "labels")
        expected = fresh.model(**{name: batch[name] for name in names}).loss.item()
    (evaluation,) = training.evaluations
    assert evaluation.scores["loss"] == pytest.approx(expected, rel=1e-4)


def test_the_dev_loss_leaves_out_answers_that_do_not_fit(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    """Their prompts fit, with room for a new answer, but not with the one to take the loss of."""
    long = ("far " * 600,)
    settings = ("training.num_train_epochs=1", "training.metric_for_best_model=loss")
    found = []
    for dev in (rows(), [replace(rows()[0], answers=long), *rows()]):
        reader = make_reader(tiny, *settings)
        training = Training(reader, template, tmp_path / str(len(dev)), dev_rows=dev)
        training.run()
        found.append(training.evaluations[0].scores["loss"])
    assert found[0] == pytest.approx(found[1])
    (note,) = [note for note in notes(reader) if "no loss" in note]
    assert note.startswith("1 validation answers don't fit and have no loss: q0: instructions")
    all_long = [replace(one, answers=long) for one in rows()]
    with pytest.raises(DataError, match=r"no validation example is left to take the loss .*: q0"):
        Training(make_reader(tiny, *settings), template, tmp_path / "no", dev_rows=all_long).run()


def test_the_collator_makes_no_use_of_token_identity_for_padding() -> None:
    """A row may contain the padding token; only positions after its end are padding."""
    rows = [
        {"input_ids": [0, 5, 0, 0], "prompt_length": 2, "length": 4},
        {"input_ids": [0, 4], "prompt_length": 1, "length": 2},
    ]
    batch = Collator()(rows)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 0, 0], [IGNORED, 4, IGNORED, IGNORED]]
    assert batch["label_positions"].tolist() == [[0, 0, 1], [1, 2, 0]]


def unlike_rows(reader: LlamaQloraBackend, template: Template) -> list[dict[str, Any]]:
    return as_rows(reader, make_prompts(reader, template, with_target=True, examples=UNLIKE[:3]))


def test_a_pack_holds_rows_one_behind_the_other(tiny: Path, template: Template) -> None:
    packed = unlike_rows(make_reader(tiny), template)
    packed.append({"input_ids": [7, 8], "prompt_length": 0, "length": 2})
    batch = PackingCollator()(packed)
    ids, positions, labels = (batch[k][0] for k in ("input_ids", "position_ids", "labels"))
    assert ids.tolist() == [token for row in packed for token in row["input_ids"]]
    starts = (positions == 0).nonzero().flatten().tolist()
    lengths = [row["length"] for row in packed]
    assert starts == [sum(lengths[:n]) for n in range(len(lengths))]
    for row, start in zip(packed, starts, strict=True):
        length, begins = row["length"], max(row["prompt_length"], 1)  # token 0 has no label
        assert positions[start : start + length].tolist() == list(range(length))
        own = labels[start : start + length].tolist()
        assert own == [IGNORED] * begins + row["input_ids"][begins:]


def test_a_pack_has_the_loss_of_its_rows(tiny: Path, template: Template) -> None:
    with make_reader(tiny, "backend.quantization=none") as reader, torch.no_grad():
        unlike = unlike_rows(reader, template)
        expected, count = answer_loss(reader.model, Collator()(unlike))
        batch = PackingCollator()(unlike)
        found, packed_count = answer_loss(reader.model, batch)
        # The same with an explicit mask.
        row_of = torch.repeat_interleave(torch.tensor([row["length"] for row in unlike]))
        own = (row_of[:, None] == row_of) & torch.ones(len(row_of), len(row_of)).tril().bool()
        mask = torch.zeros(own.shape).masked_fill(~own, torch.finfo(torch.float32).min)
        logits = reader.model(
            input_ids=batch["input_ids"],
            position_ids=batch["position_ids"],
            attention_mask=mask[None, None],
        ).logits[0]
        masked = torch.nn.functional.cross_entropy(
            logits[:-1], batch["labels"][0, 1:], ignore_index=IGNORED, reduction="sum"
        )
    assert count == packed_count
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(masked, expected, rtol=1e-5, atol=1e-4)


LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 8,
    "long_factor": [4.0] * 8,
    "original_max_position_embeddings": 80,
}


@pytest.mark.parametrize("rope", [LONGROPE, {"rope_type": "dynamic", "factor": 4.0}])
def test_rows_of_a_batch_turn_positions_by_themselves(
    rope: dict[str, Any], tiny: Path, template: Template, tmp_path: Path
) -> None:
    """Rows longer than 80 tokens are rotated differently from shorter ones."""
    model = shutil.copytree(tiny, tmp_path / "model")
    theta = {"rope_theta": 10_000.0}
    change_json(
        model / "config.json", max_position_embeddings=80, rope_parameters={**rope, **theta}
    )
    with make_reader(model) as reader, torch.no_grad():
        unlike = as_rows(reader, make_prompts(reader, template, True, [*rows(), UNLIKE[0]]))
        assert min(row["length"] for row in unlike) < 80 < max(row["length"] for row in unlike)
        found, _ = answer_loss(reader.model, Collator()(unlike))
        expected = 0.0
        for row in unlike[::-1]:
            alone = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
            ids = torch.tensor(row["input_ids"])
            logits = alone(input_ids=ids[None]).logits[0, row["prompt_length"] - 1 : -1]
            cross_entropy = torch.nn.functional.cross_entropy
            expected += float(cross_entropy(logits, ids[row["prompt_length"] :], reduction="sum"))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_packs_train_as_rows_do(tiny: Path, template: Template, tmp_path: Path) -> None:
    losses = []
    for packing in ("false", "true"):
        settings = ("training.max_steps=4", "backend.lora.dropout=0", "backend.quantization=none")
        reader = make_reader(tiny, *settings, f"training.packing={packing}")
        training = Training(reader, template, tmp_path / packing, with_dev=False)
        training.run()
        losses.append(training.losses)
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


@pytest.mark.parametrize(
    ("attention", "device", "kind", "error", "told"),
    [
        (
            "auto",
            "cuda:0",
            "llama",
            ConfigError,
            r"flash_attention_2 \(or _3\).*; set it or leave",
        ),
        ("sdpa", "cuda:0", "llama", ConfigError, "set it or leave packing out"),
        ("flash_attention_2", "cpu", "llama", ConfigError, "use a machine with an NVIDIA GPU"),
        ("flash_attention_3", "mps", "llama", ConfigError, "use a machine with an NVIDIA GPU"),
        (
            "flash_attention_2",
            "cuda:0",
            "bloom",
            ModelError,
            r"kind of model \(bloom\) can't keep packed rows",
        ),
        (
            "flash_attention_2",
            "cuda:0",
            "jamba",
            ModelError,
            r"kind of model \(jamba\) can't keep packed rows",
        ),
        ("flash_attention_2", "cuda:0", "longrope", ModelError, r"\(phi3\) can't keep packed rows"),
        ("flash_attention_2", "cuda:0", "llama", None, ""),
        ("flash_attention_3", "cuda:1", "qwen3", None, ""),
    ],
)
def test_packs_need_attention_that_keeps_rows_apart(
    attention: str,
    device: str,
    kind: str,
    error: type[AqaError] | None,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers import AutoConfig

    monkeypatch.setattr(models, "local_device", lambda: device)
    asked = {"model": "m", "attn_implementation": attention}
    options = LlamaQloraOptions.model_validate(asked)
    config = AutoConfig.for_model("phi3" if kind == "longrope" else kind)
    if kind == "longrope":
        config.rope_parameters = LONGROPE
    if error is None:
        models.check_packing(options, config)
        return
    with pytest.raises(error, match=told):
        models.check_packing(options, config)


def test_packs_are_refused_before_weights_are_loaded(tiny: Path) -> None:
    reader = make_reader(tiny, "training.packing=true")
    with pytest.raises(ConfigError, match=r"training\.packing needs a GPU"):
        reader.check_training()
