"""`aqa train t5` on the command line, with an untrained model and the sample data."""

import json
from pathlib import Path

import pytest
from calls import Call
from files import read
from forked import start_aqa, wait_until
from tiny_llama import greatest_difference
from tiny_t5 import weights

from aqa.backends.t5.encoding import learn_tokenizer
from aqa.runs.files import hash_files
from aqa.verbs.verify import verify

SIZES = {"vocab_size": 500, "d_model": 64, "d_ff": 128, "d_kv": 16, "num_heads": 4, "num_layers": 2}


def words(*settings: str, limit: int = 12) -> list[str]:
    """The built-in config, made smaller."""
    sizes = [f"backend.from_scratch.{name}={value}" for name, value in SIZES.items()]
    small = [
        *sizes,
        f"data.limit={limit}",
        f"data.dev_limit={limit}",
        "backend.compute_dtype=float32",
        "training.num_train_epochs=40",
        "training.learning_rate=0.004",
        "training.eval_steps=40",
        *settings,
    ]
    return ["train", "t5", "-c", "t5_tiny", *(word for s in small for word in ("--set", s))]


def em(folder: Path) -> float:
    value: float = read(folder / "metrics.json")["systems"][0]["scores"]["em"]["value"]
    return value


@pytest.mark.slow
def test_it_reproduces_its_training_answers(call_aqa: Call, tmp_path: Path) -> None:
    done = call_aqa(*words(), "-o", "run", code=0)
    assert "model: run/model" in done.stdout
    run = tmp_path / "run"
    assert em(run) >= 90
    manifest = read(run / "run.json")
    assert manifest["weights_sha256"] == hash_files(run / "model")
    assert [past["step"] for past in manifest["history"]] == [40, 80]
    assert manifest["config"]["prompt"] == "t5_qa"

    data = "package:aqa/samples/english_train.json"
    done = call_aqa(
        "predict", "t5", "-m", "run", "-d", data, "--limit", "12", "-o", "p", "-q", code=0
    )
    trained, predicted = read(run / "predictions.json"), read(tmp_path / "p/predictions.json")
    assert {key: row["raw"] for key, row in predicted.items()} == {
        key: row["raw"] for key, row in trained.items()
    }
    assert all(-2 < row["confidence"] <= 0 for row in predicted.values())
    assert "nbest" not in next(iter(predicted.values()))
    statuses = {each.what: each.status for each in verify(tmp_path / "p").checked}
    assert statuses == dict.fromkeys(["data", "prompt", "model", "predictions"], "same")
    statuses = {each.what: each.status for each in verify(run).checked}
    assert statuses == dict.fromkeys(
        ["data", "dev_data", "prompt", "weights", "predictions"], "same"
    ), "a model from scratch is made from no other"

    beams = ["--set", "generation.num_beams=3", "--set", "generation.num_return_sequences=2"]
    done = call_aqa(
        "predict", "t5", "-m", "run", "-d", data, "--limit", "12", "-o", "p", *beams, code=1
    )
    assert "holds another run: reader." in done.stderr
    done = call_aqa(
        "predict", "t5", "-m", "run", "-d", data, "--limit", "8", "-o", "b", *beams, code=0
    )
    for row in read(tmp_path / "b/predictions.json").values():
        first, second = row["nbest"]
        assert first["answer"] == row["predicted_answer"]
        assert first["score"] >= second["score"]


@pytest.mark.slow
def test_killed_and_resumed_the_weights_are_those_of_one_run(
    call_aqa: Call, tmp_path: Path
) -> None:
    settings = words("training.num_train_epochs=6", "training.eval_steps=4", limit=16)
    call_aqa(*settings, "-o", "whole", "-q", code=0)
    process = start_aqa(*settings, "-o", "killed", "-q", folder=tmp_path)
    wait_until((tmp_path / "killed/checkpoints/checkpoint-4/trainer_state.json").exists, process)
    process.kill()
    assert not (tmp_path / "killed/model").exists()
    call_aqa(*settings, "-o", "killed", "--resume", "-q", code=0)
    whole, resumed = (weights(tmp_path / name / "model") for name in ("whole", "killed"))
    assert greatest_difference(whole, resumed) <= 1e-5
    tokenizers = [(tmp_path / name / "model/tokenizer.json") for name in ("whole", "killed")]
    assert tokenizers[0].read_bytes() == tokenizers[1].read_bytes()


def test_without_a_training_there_is_nothing_to_predict_with(call_aqa: Call) -> None:
    done = call_aqa("predict", "t5", "-c", "t5_tiny", code=1)
    assert "made from scratch by `aqa train t5`; name the run folder" in done.stderr


def test_a_dry_run_counts_what_would_be_trained(call_aqa: Call, tmp_path: Path) -> None:
    done = call_aqa(*words(), "--dry-run", "--json", "-q", code=0)
    told = json.loads(done.stdout)
    assert told["counts"]["train"] == 12
    assert told["trainable_parameters"] == told["all_parameters"]
    assert not list(tmp_path.iterdir())
    done = call_aqa(*words("training.max_steps=1"), "-o", "run", "-q", code=0)
    saved = weights(tmp_path / "run/model")
    assert sum(weight.numel() for weight in saved.values()) == told["all_parameters"]
    counts = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))["counts"]
    assert counts["train"] == 12, "of 174 examples, these were trained on"


def test_targets_all_makes_a_row_of_each_reference(call_aqa: Call, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    rows = [
        {"id": "a", "question": "Who?", "context": "Ann Lee.", "answers": ["Ann", "Lee", "Ann"]},
        {"id": "b", "question": "Where?", "context": "Here.", "answers": ["Here"]},
        {"id": "c", "question": "Why?", "context": "Nobody knows.", "answers": []},
    ]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    counts = {}
    for targets in ("first", "all", "random"):
        settings = words(f"training.targets={targets}", limit=9)
        done = call_aqa(*settings, "-d", data, "--dry-run", "--json", "-q", code=0)
        counts[targets] = json.loads(done.stdout)["counts"]["train"]
    assert counts == {"first": 3, "all": 4, "random": 4}


def test_preview_shows_passages_apart_with_the_learnt_tokenizer(call_aqa: Call) -> None:
    done = call_aqa(
        *("prompt-preview", "t5", "-c", "t5_tiny", "--n", "1", "--json", "-q"),
        *("--set", "backend.fusion=fid"),
        code=0,
    )
    (shown,) = json.loads(done.stdout)
    assert shown["text"].startswith("question: In which gulf is the island of Tarvenna? context:")
    assert shown["text"].endswith("</s>the Gulf of Merrow</s>")
    assert shown["begin_of_text_tokens"] == 0


@pytest.mark.parametrize(
    "text", ["임진왜란은 1592년에 일어났다. 훈민정음", "Ünïcode 🙂 \n\t漢字", "</s>"]
)
def test_nothing_is_unknown_to_a_learnt_tokenizer(text: str) -> None:
    corpus = ["Where does Mira live?", "Mira lives in Ostry."]
    tokenizer = learn_tokenizer(iter(corpus), 300)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text
    again = learn_tokenizer(iter(corpus), 300)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
