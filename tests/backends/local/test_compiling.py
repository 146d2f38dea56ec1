"""Layers compiled by PyTorch: the same losses, and one sentence if that is not possible."""

from pathlib import Path

import pytest
import torch
from tiny_llama import Training, make_reader

from aqa.backends.local import compiling
from aqa.backends.local.compiling import check_compiling
from aqa.backends.local.devices import ZERO
from aqa.errors import ConfigError
from aqa.records import Template


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_layers_have_the_same_losses(
    tiny: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")  # without machine code
    torch._dynamo.reset()
    losses = []
    for compiled in ("false", "true"):
        settings = ("training.max_steps=2", "training.evaluate_before=false")
        settings += ("backend.quantization=4bit", "backend.lora.dropout=0")
        reader = make_reader(tiny, *settings, f"training.torch_compile={compiled}")
        training = Training(reader, template, tmp_path / compiled)
        torch._dynamo.utils.counters.clear()
        training.run()
        losses.append(training.losses)
        # Once per kind of layer, not per layer, and not for answers.
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert 0 < graphs < 4 if compiled == "true" else graphs == 0
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


@pytest.mark.parametrize(
    ("device", "spread", "told"),
    [
        ("mps", None, "not on Apple's GPUs"),
        ("cuda:0", None, "it needs the package triton"),
        ("cuda:0", ZERO, "DeepSpeed's ZeRO stage 3 assembles each layer"),
        ("cpu", None, "a C"),
    ],
)
def test_where_nothing_can_be_compiled_it_is_said(
    device: str, spread: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "local_device", lambda: device)
    monkeypatch.setattr(compiling, "sharded_by", lambda: spread)
    monkeypatch.setattr(compiling, "find_spec", lambda name: None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=f"torch_compile = true can't work here: .*{told}"):
        check_compiling(True)
    check_compiling(False)
