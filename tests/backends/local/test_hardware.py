"""A run's hardware is reported before weights are loaded, and recorded in the manifest."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_llama
import tiny_t5
import torch
from tiny_llama import write_rows, write_template
from tiny_t5 import make_reader as make_t5_reader

from aqa.backends.base import Backend
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.t5.backend import T5Backend
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, ModelError
from aqa.evaluation.contracts import Contract
from aqa.progress import SilentProgress
from aqa.runs.fingerprints import differences
from aqa.runs.folder import read_manifest
from aqa.verbs.predict import predict
from aqa.verbs.train import train

KINDS: dict[str, tuple[Callable[..., RunConfig], type[Backend[Any]], str]] = {
    "tiny": (tiny_llama.make_config, LlamaQloraBackend, "llama_qlora"),
    "tiny_t5": (tiny_t5.make_config, T5Backend, "t5"),
}


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("verb", [predict, train])
def test_hardware_is_said_and_kept_before_weights_are_loaded(
    model: str,
    verb: Callable[..., object],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_config, _, module = KINDS[model]
    told: list[str] = []
    progress = SilentProgress()

    def load(*arguments: object) -> None:
        told.extend(progress.notes)
        raise ModelError("no weights today")

    monkeypatch.setattr(f"aqa.backends.{module}.backend.load_model", load)
    data = write_rows(tmp_path / "rows.jsonl")
    settings = (f"data.path={data}", f"prompt={write_template(tmp_path)}")
    engine = ("backend.engine=transformers",) * (module == "t5")
    config = make_config(request.getfixturevalue(model), *settings, *engine)
    with pytest.raises(ModelError, match="no weights today"):
        verb(config, tmp_path / "out", progress)
    assert "device: cpu, float32" in told
    manifest = read_manifest(tmp_path / "out")
    assert manifest["hardware"] == {"device": "cpu", "dtype": "float32"}


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_auto_came_to_is_part_of_the_reader(
    model: str, dtype: torch.dtype, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqa.backends.local.devices.compute_dtype", lambda options: dtype)
    make_config, backend, _ = KINDS[model]
    folder = request.getfixturevalue(model)
    engine = ("backend.engine=transformers",) * (model == "tiny_t5")
    config = make_config(folder, "backend.compute_dtype=auto", *engine)
    identity = dict(backend(config, SilentProgress()).identity())
    assert identity["dtype"] == str(dtype).removeprefix("torch.")
    asked = make_config(folder, "backend.compute_dtype=float32", *engine)
    assert "dtype" not in backend(asked, SilentProgress()).identity(), "it says so itself"

    # Runs from before it was recorded can be resumed; one in another precision can't.
    earlier = {key: value for key, value in identity.items() if key != "dtype"}
    assert differences({"reader": earlier}, {"reader": identity}) == {}
    other = {"reader": {**identity, "dtype": "float16"}}
    assert list(differences(other, {"reader": identity})) == ["reader.dtype"]
    contract = Contract(0.5, 5, 95, "f1", 50, 90, 4, 100, 100, "document", {"reader": earlier})
    contract.check_reader({"reader": identity})
    with pytest.raises(ConfigError, match="made with other settings"):
        replace(contract, reader=other).check_reader({"reader": identity})


def test_ctranslate2_says_its_own_type(tiny_t5: Path) -> None:
    settings = ("backend.engine=ctranslate2", "backend.ctranslate2_type=int8")
    pytest.importorskip("ctranslate2", reason="the extra `fast` is not installed")
    reader = make_t5_reader(tiny_t5, *settings)
    assert reader.hardware() == {"device": "cpu", "dtype": "int8"}
