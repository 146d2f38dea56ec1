"""The model card beside trained weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aqa_stub import StubBackend, StubOptions

from aqa.backends.base import Trainable, TrainEstimate, TrainJob
from aqa.backends.t5.backend import T5Backend
from aqa.config.load import build_config
from aqa.progress import SilentProgress
from aqa.runs.files import hash_files
from aqa.runs.folder import inherited_config, read_manifest
from aqa.runs.names import MERGED, MODEL
from aqa.tables import Row, Table, texts
from aqa.verbs.model_card import CARD, CardFacts, licence_of, write_card
from aqa.verbs.train import train


def facts(base: str, **changes: Any) -> CardFacts:
    sources = {
        "data": {"name": "/home/somebody/secret/train.json", "sha256": "a1b2"},
        "prompt": {"name": "eng_v1", "sha256": "c3"},
    }
    table = Table(texts("score", "95 % interval"), [Row(["em", "40.1 to 60.2"])])
    settings: dict[str, Any] = {
        "name": "mine", "backend": "llama-qlora", "base": base, "adapts": True,
        "sources": sources, "scores": table,
    }  # fmt: skip
    return CardFacts(**(settings | changes))


def head_and_text(folder: Path) -> tuple[dict[str, Any], str]:
    _, head, text = (folder / CARD).read_text(encoding="utf-8").split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(head)
    return found, text


def test_a_card_tells_base_data_scores_use_and_licence(tmp_path: Path) -> None:
    base = tmp_path / "the-base"
    base.mkdir()
    (base / CARD).write_text("---\nlicense: llama3.1\n---\n# A base\n", encoding="utf-8")
    write_card(tmp_path, facts(str(base)))
    head, text = head_and_text(tmp_path)
    assert head == {
        "license": "llama3.1",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["question-answering", "aqa"],
    }
    assert "a LoRA adapter over `the-base`" in text
    assert "| em | 40.1 to 60.2 |" in text
    assert "| data | train.json | a1b2 |" in text
    assert "aqa predict llama-qlora --model reader" in text
    assert "under the licence llama3.1" in text
    assert "somebody" not in text  # nor any other folder of this machine
    assert str(tmp_path) not in text


def test_a_merged_model_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / MERGED
    folder.mkdir()
    write_card(folder, facts(str(tmp_path), scores=None))
    head, text = head_and_text(folder)
    assert head["library_name"] == "transformers"
    assert "license" not in head
    assert "a whole model, fine-tuned from" in text
    assert "licence of the base is not known here" in text
    assert "no validation data" in text


@pytest.mark.parametrize("card", ["# no head", "---\n[broken\n---\n", "---\n- list\n---\n", ""])
def test_a_base_that_tells_no_licence(tmp_path: Path, card: str) -> None:
    (tmp_path / CARD).write_text(card, encoding="utf-8")
    assert licence_of(str(tmp_path)) is None


def test_a_package_has_a_licence() -> None:
    assert licence_of("package:yaml/any") == "mit"


def test_a_name_on_the_hub_is_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def licence(name: str) -> str:
        asked.append(name)
        return "apache-2.0"

    monkeypatch.setattr("aqa.verbs.model_card._licence_on_hub", licence)
    write_card(tmp_path, facts("owner/base", backend="t5", adapts=False))
    head, _ = head_and_text(tmp_path)
    assert (head["base_model"], head["license"], asked) == ("owner/base", "apache-2.0", asked[:1])
    assert head["pipeline_tag"] == "text2text-generation"


def test_without_the_hub_no_licence_is_known() -> None:
    """A trained model is not lost for it."""
    assert licence_of("owner/of-no-model") is None  # HF_HUB_OFFLINE


class Finished(StubBackend, Trainable[StubOptions]):
    """A stub whose training writes one file, and a card as libraries do."""

    def estimate(self) -> TrainEstimate:
        return TrainEstimate(0, 0, 0)

    def train(self, job: TrainJob, on_step: Callable[..., None]) -> Path:
        folder = job.folder / MODEL
        folder.mkdir(exist_ok=True)
        (folder / "weights").write_text("1")
        (folder / CARD).write_text("More Information Needed")
        return folder


def test_a_resumed_training_leaves_the_same_weights_and_card(
    tmp_path: Path, as_stub: Callable[[type], None]
) -> None:
    """Runs that used the weights identify them by their hash."""
    data, prompt = tmp_path / "rows.jsonl", tmp_path / "t.txt"
    row = {"id": "a", "question": "who", "passages": ["Anna"], "answers": ["Anna"]}
    data.write_text(json.dumps(row), encoding="utf-8")
    prompt.write_text("{context}", encoding="utf-8")
    layer = {"data": {"path": str(data)}, "prompt": str(prompt), "backend": {"model": "stub"}}
    config = build_config(StubBackend.Options, [layer])
    run = tmp_path / "run"
    as_stub(Finished)
    for resume in (False, True):
        train(config, run, SilentProgress(), resume=resume)
        assert read_manifest(run)["weights_sha256"] == hash_files(run / MODEL)
        head, _ = head_and_text(run / MODEL)
        assert head["base_model"] == "stub"
        assert inherited_config(run / MODEL)["prompt"] == str(run / MODEL / "prompt.txt")
    known = read_manifest(run)["weights_sha256"]

    class Older(Finished):
        """Writes what was there when that was hashed."""

        def train(self, job: TrainJob, on_step: Callable[..., None]) -> Path:
            return job.folder / MODEL

    as_stub(Older)
    train(config, run, SilentProgress(), resume=True)
    assert hash_files(run / MODEL) == known


def test_a_model_from_scratch_has_no_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aqa.verbs.model_card.licence_of", lambda _: pytest.fail("it is asked for"))
    write_card(tmp_path, facts("", backend="t5", adapts=False))
    head, text = head_and_text(tmp_path)
    assert "base_model" not in head
    assert "a whole model, made from scratch, trained by aqa" in text
    assert "not derived from another" in text


@pytest.mark.parametrize("named", ["t5-tiny", "a folder"])
def test_only_what_there_is_already_is_a_base(tmp_path: Path, named: str) -> None:
    model = str(tmp_path) if named == "a folder" else named
    scratch = {"vocab_size": 300, "d_model": 8, "d_ff": 8, "d_kv": 4, "num_heads": 2}
    layer = {"prompt": "t5_qa", "backend": {"model": model, "from_scratch": scratch}}
    reader = T5Backend(build_config(T5Backend.Options, [layer]), SilentProgress())
    assert reader.base == (model if named == "a folder" else "")
