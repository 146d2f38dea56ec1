"""`aqa train llama --merge`: one model that answers like base and adapter."""

import json
import shutil
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import pytest
from calls import Call
from tiny_adapters import save_adapter
from tiny_families import save_causal
from tiny_llama import (
    Training,
    make_config,
    make_prompts,
    make_reader,
    rows,
    write_rows,
    write_template,
)
from transformers import Gemma3TextConfig, GPT2Config, LagunaConfig, LlamaConfig

from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.llama_qlora.models import linear_4bit
from aqa.config.options import RunConfig
from aqa.errors import ModelError
from aqa.library_output import quiet
from aqa.progress import SilentProgress
from aqa.records import Template
from aqa.runs.files import hash_files
from aqa.verbs.train_plan import TrainingPlan
from aqa.verbs.verify import verify


@pytest.mark.parametrize(("variant", "init"), [("rslora", "orthogonal"), ("dora", "gaussian")])
def test_kinds_of_adapters_answer_as_peft_does(
    variant: str, init: str, tiny: Path, template: Template, tmp_path: Path
) -> None:
    """The adapter's answers are those of peft's own sum of adapter and base."""
    settings = (
        "training.max_steps=6",
        "training.learning_rate=0.01",
        "backend.lora.dropout=0",
        "backend.quantization=none",
        f"backend.lora.variant={variant}",
        f"backend.lora.init={init}",
        "generation.max_new_tokens=6",
    )
    training = Training(make_reader(tiny, *settings), template, tmp_path / "run", with_dev=False)
    training.run()
    saved = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_bytes())
    assert (saved["use_rslora"], saved["use_dora"]) == (variant == "rslora", variant == "dora")
    with make_reader(tmp_path / "run", *settings[-1:]) as trained:
        prompts = make_prompts(trained, template, with_target=False)
        said = {prompt.id: answer.text for prompt, answer in trained.generate(prompts)}
    assert len(set(said.values())) > 1
    merged = training.reader.merge(tmp_path / "run", prompts)
    assert (merged.compared, merged.different) == (len(rows()), 0)
    config = json.loads((merged.folder / "config.json").read_bytes())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] > 0


@pytest.mark.parametrize(
    ("targets", "ties"),
    [(["embed_tokens"], True), (["q_proj", "lm_head"], True), (["embed_tokens"], False)],
)
def test_layers_that_shared_their_weights_answer_as_with_the_adapter(
    targets: list[str], ties: bool, template: Template, tmp_path: Path
) -> None:
    """By peft alone, what was learnt for one of them would change both."""
    base = save_causal("llama", tmp_path / "base", tie_word_embeddings=ties)
    save_adapter(base, tmp_path / "adapter", target_modules=targets)
    reader = make_reader(tmp_path)
    prompts = make_prompts(reader, template, with_target=False)
    merged = reader.merge(tmp_path, prompts)
    assert (merged.compared, merged.different) == (len(rows()), 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"lora_bias": True}, "has no bias"), ({"alora_invocation_tokens": [3]}, "aLoRA")],
)
def test_what_peft_can_not_merge_is_told(
    options: dict[str, Any], said: str, tiny: Path, template: Template, tmp_path: Path
) -> None:
    save_adapter(tiny, tmp_path / "adapter", **options)
    reader = make_reader(tmp_path)
    prompts = make_prompts(reader, template, with_target=False)
    with pytest.raises(ModelError, match=rf"adapter: .* can't be merged .*{said}.* as they are"):
        reader.merge(tmp_path, prompts)


ROPE = {"rope_theta": 100000.0, "rope_type": "default"}
LLAMA3 = {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0}
WINDOWS = {"full_attention": ROPE, "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"}}


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        (ROPE, {"rope_theta": 100000.0}),
        (LLAMA3, {"rope_theta": 500000.0, "rope_scaling": {**LLAMA3, "type": "llama3"}}),
        (WINDOWS, {"rope_theta": 100000.0, "rope_local_base_freq": 1e4}),
        (None, {}),
    ],
)
def test_positions_are_where_older_programs_look(
    parameters: dict[str, Any] | None, wanted: dict[str, Any]
) -> None:
    """Otherwise llama.cpp used 10,000 instead of SmolLM2's 100,000, and 3 of 5 answers differed."""
    from aqa.backends.llama_qlora.merging import rope_keys

    assert rope_keys({"rope_parameters": parameters}, LlamaConfig) == wanted
    assert rope_keys({}, GPT2Config) == {}


@pytest.mark.parametrize(("kind", "splits"), [(Gemma3TextConfig, True), (LagunaConfig, False)])
def test_one_scaling_is_not_read_for_layers_with_windows(kind: Any, splits: bool) -> None:
    """transformers prefers `rope_scaling` to `rope_parameters`, and few classes split it again."""
    from aqa.backends.llama_qlora.merging import rope_keys

    scaled = {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
    layers = {"full_attention": scaled, "sliding_attention": {**ROPE, "rope_theta": 1e4}}
    types = ["full_attention", "sliding_attention"]
    saved = kind(num_hidden_layers=2, layer_types=types, rope_parameters=layers).to_dict()
    found = rope_keys(saved, kind)
    assert found["rope_theta"] == 1e6
    assert ("rope_scaling" in found) is splits
    with catch_warnings(action="ignore"):  # about an old key
        again = kind.from_dict({**found, **saved}).rope_parameters
    assert again["full_attention"]["factor"] == 8.0
    assert again["sliding_attention"]["rope_type"] == "default"


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["4bit", "none"])
def test_the_merged_model_answers_as_its_parts(
    quantization: str,
    tiny: Path,
    tmp_path: Path,
    call_aqa: Call,
) -> None:
    data = write_rows(tmp_path / "rows.jsonl")
    run, merged = tmp_path / "run", tmp_path / "run" / "merged"
    settings = {
        "backend.quantization": quantization,
        "backend.compute_dtype": "float32",
        "backend.max_seq_length": "200",
        "backend.lora.dropout": "0",
        "generation.max_new_tokens": "8",
        "training.num_train_epochs": "12",
        "training.learning_rate": "0.01",
        "training.warmup_steps": "0",
        "training.eval_strategy": "no",
    }
    words = ["train", "llama", "--model", tiny, "--data", data, "--dev-data", data, "--merge"]
    words += ["--prompt", write_template(tmp_path), "--output-dir", run, "--json"]
    words += [word for pair in settings.items() for word in ("--set", "=".join(pair))]
    done = call_aqa(*words, code=0)
    told = json.loads(done.stdout)
    assert (told["merged"], told["merged_differs"]) == (str(merged), 0)
    manifest = json.loads((run / "run.json").read_bytes())
    assert manifest["merged"] == {"compared": len(rows()), "different": 0}
    checked = {each.what: each.status for each in verify(run).checked}
    assert checked == dict.fromkeys(
        ["data", "dev_data", "prompt", "model", "weights", "merged", "predictions"], "same"
    )
    adapter = hash_files(run / "adapter")
    exported = {"exported": {"file": "model.gguf", "compared": 4, "different": 0}}
    (run / "run.json").write_text(json.dumps({**manifest, **exported}), encoding="utf-8")
    call_aqa(*(word for word in words if word != "--merge"), "--resume", code=0)
    assert hash_files(run / "adapter") == adapter, "the same weights are the same bytes"
    assert {each.status for each in verify(run).checked} == {"same"}
    again = json.loads((run / "run.json").read_bytes())
    assert {key: again.get(key) for key in ("merged", "exported")} == {
        "merged": manifest["merged"],
        **exported,
    }
    (merged / "config.json").write_bytes((merged / "config.json").read_bytes() + b"\n")
    (changed,) = [each for each in verify(run).checked if each.status == "changed"]
    assert changed.what == "merged"
    assert (merged / "model.safetensors").is_file()
    assert not list(merged.glob("*.bin"))
    assert "quantization_config" not in json.loads((merged / "config.json").read_bytes())

    # It is an ordinary model folder, with the template and settings of its training. Its answers
    # are inside that folder, and do not change the model.
    before = hash_files(merged)
    for _ in range(2):
        call_aqa("predict", "llama", "--model", merged, "--data", data, code=0)
    assert hash_files(merged) == before
    ours = json.loads((merged / "predict-rows" / "predictions.json").read_bytes())
    theirs = json.loads((run / "predictions.json").read_bytes())
    assert {key: row["raw"] for key, row in ours.items()} == {
        key: row["raw"] for key, row in theirs.items()
    }
    # The adapter has learned something: the base alone answers differently.
    with quiet():
        base = call_aqa("predict", "llama", "--model", tiny, "--data", data, "-o", tmp_path / "b",
                        "--prompt", write_template(tmp_path))  # fmt: skip
    assert base.returncode == 0, base.stderr
    alone = json.loads((tmp_path / "b" / "predictions.json").read_bytes())
    assert any(alone[key]["raw"] != row["raw"] for key, row in ours.items())


def test_a_difference_is_counted(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aqa.backends.llama_qlora import merging
    from aqa.backends.llama_qlora.merging import merge_adapter

    run = tmp_path / "run"
    shutil.copytree(tiny, run)
    config = make_config(run, f"data.path={write_rows(tmp_path / 'rows.jsonl')}")
    config = config.model_copy(update={"prompt": str(write_template(tmp_path))})
    plan = TrainingPlan(config, SilentProgress())
    prompts = list(plan.data.prompts(plan.reader, plan.data.examples()))

    class Changing(LlamaQloraBackend):
        """Answers the first question differently once its model is merged."""

        def generate(self, prompts):  # type: ignore[no-untyped-def]
            merged = self.options.model.endswith("merged")
            assert not merged or (run / "merged" / "run.json").is_file(), "killed here, it is whole"
            for number, (prompt, answer) in enumerate(super().generate(prompts)):
                raw = "other" if merged and not number else answer.raw
                yield prompt, type(answer)(prompt.id, raw)

    def open_reader(config: RunConfig) -> Changing:
        return Changing(config, SilentProgress())

    monkeypatch.setattr(merging, "_write", lambda reader, folder: shutil.copytree(tiny, folder))
    merged = merge_adapter(open_reader, config, run, prompts)
    assert (merged.compared, merged.different) == (len(rows()), 1)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_4_bits_are_gone_before_an_adapter_lies_over_them(
    device: str, tiny: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a GPU, for which `cpu:0` stands in: our code does not treat it as a CPU."""
    settings = ("backend.quantization='4bit'", "backend.dequantize_on_cpu=false")
    settings += ("training.max_steps=2", "training.eval_strategy='no'")
    monkeypatch.setattr("aqa.backends.llama_qlora.models.local_device", lambda: device)
    Training(make_reader(tiny, *settings), template, tmp_path).run()
    reader = make_reader(tmp_path, *settings)
    with reader:
        assert list(linear_4bit(reader.model)), "prediction keeps them"
        prompts = make_prompts(reader, template, with_target=False)
    merged = reader.merge(tmp_path, prompts)
    assert (merged.compared, merged.different) == (len(rows()), 0)
    with make_reader(merged.folder) as whole:
        assert not getattr(whole.model, "is_quantized", False)
