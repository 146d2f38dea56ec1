"""`aqa train llama` on the command line with the tiny model, and all that it writes."""

import hashlib
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from calls import Call
from files import read
from forked import start_aqa, wait_until
from tiny_llama import adapter_weights, greatest_difference, rows, write_rows, write_template

from aqa.records import Example, Passage
from aqa.runs.files import hash_files
from aqa.verbs.verify import verify

Aqa = Callable[..., tuple[int, str, str]]

# Eight rows to memorise, one that is too long for 200 tokens and gets cut, one whose question alone
# is too long and is left out.
LONG = Example("long", "Where?", (Passage("Here it rains. " * 60),), ("Here",))
UNFIT = Example("unfit", "Where? " * 100, (Passage("Here."),), ("Here",))


@pytest.fixture
def aqa(call_aqa: Call) -> Aqa:
    """Run `aqa` in this process; return its exit code, output and messages."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        done = call_aqa(*arguments)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def words(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments of a training that memorises its rows."""
    folder = tmp_path_factory.mktemp("data")
    train = write_rows(folder / "train.jsonl", [*rows(), LONG, UNFIT])
    dev = write_rows(folder / "dev.jsonl")
    settings = {
        "backend.quantization": "none",
        "backend.compute_dtype": "float32",
        "backend.max_seq_length": "200",
        "backend.lora.dropout": "0",
        "generation.max_new_tokens": "8",
        "training.num_train_epochs": "20",
        "training.learning_rate": "0.01",
        "training.warmup_steps": "0",
        "training.per_device_train_batch_size": "16",
        "training.eval_strategy": "steps",
        "training.eval_steps": "10",
    }
    words = ["train", "llama", "--model", str(tiny), "--data", str(train), "--dev-data", str(dev)]
    words += ["--prompt", str(write_template(folder))]
    return [*words, *(word for pair in settings.items() for word in ("--set", "=".join(pair)))]


@pytest.mark.slow
def test_a_training_leaves_adapter_predictions_scores_and_manifest(
    aqa: Aqa, words: list[str], tiny: Path, tmp_path: Path
) -> None:
    code, out, err = aqa(*words, "--output-dir", tmp_path / "run")
    assert code == 0, err
    assert "before" in out
    assert "next: aqa predict llama" in out
    assert f"--model {tmp_path / 'run'} --data" in out
    assert "1 prompts lost passages" in err
    assert "1 examples don't fit and are left out: unfit" in err
    run = tmp_path / "run"

    predictions = read(run / "predictions.json")
    assert list(predictions) == [example.id for example in rows()]
    for example in rows():
        row = predictions[example.id]
        assert row["predicted_answer"] == row["raw"] == row["answer"] == (example.answers or ())[0]
        assert row["answers"] == list(example.answers or ())

    (system,) = read(run / "metrics.json")["systems"]
    assert {name: score["value"] for name, score in system["scores"].items()} == {
        "em": 100.0,
        "f1": 100.0,
    }

    manifest = read(run / "run.json")
    assert manifest["status"] == "done"
    assert manifest["verb"] == "train"
    assert manifest["counts"] == {"train": 10, "left_out": 1, "shortened": 1, "dev": 8}
    assert manifest["config"]["training"]["learning_rate"] == 0.01
    assert manifest["config"]["backend"]["model"] == str(tiny)
    assert manifest["seed"] == 42 if "seed" in manifest else manifest["config"]["seed"] == 42
    written = (run / "predictions.json").read_bytes()
    assert manifest["predictions_sha256"] == hashlib.sha256(written).hexdigest()
    assert manifest["weights_sha256"] == hash_files(run / "adapter")
    assert [entry["step"] for entry in manifest["history"]] == [0, 10, 20]
    assert manifest["history"][0]["em"] == 0.0

    suffixes = {path.suffix for path in (run / "adapter").iterdir()}
    assert suffixes <= {".safetensors", ".json", ".md", ".txt"}
    predicted = tmp_path / "predicted"
    data = words[words.index("--dev-data") + 1]
    code, _, err = aqa("predict", "llama", "-m", run, "-d", data, "-o", predicted, "--quiet")
    assert code == 0, err
    answers = {key: row["predicted_answer"] for key, row in predictions.items()}
    found = read(predicted / "predictions.json")
    assert {key: row["predicted_answer"] for key, row in found.items()} == answers

    statuses = {each.what: each.status for each in verify(predicted).checked}
    read_files = ["data", "prompt", "model", "adapter", "predictions"]
    assert statuses == dict.fromkeys(read_files, "same")
    weights = run / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    changed = [each.what for each in verify(predicted).checked if each.status == "changed"]
    changed += [each.what for each in verify(run).checked if each.status == "changed"]
    assert changed == ["adapter", "weights"]


@pytest.mark.slow
def test_a_second_start_is_refused_and_another_training_not_resumed(
    aqa: Aqa, words: list[str], tmp_path: Path
) -> None:
    short = [*words, "--output-dir", tmp_path / "run", "--set", "training.max_steps=2", "--quiet"]
    assert aqa(*short)[0] == 0
    before = adapter_weights(tmp_path / "run" / "adapter")

    code, _, err = aqa(*short)
    assert code == 1
    assert "holds a training (done); continue with --resume, start over with --fresh" in err

    for setting, named in [
        ("seed=7", "seed was 42 and is now 7"),
        ("training.learning_rate=0.02", "training.learning_rate was"),
        ("backend.lora.r=4", "options.lora.r was"),
        ("evidence.top_k=1", "evidence.top_k was null and is now 1"),
    ]:
        code, _, err = aqa(*short, "--set", setting, "--resume")
        assert code == 1
        assert f"holds another training: {named}" in err
    other = write_rows(tmp_path / "other.jsonl", rows()[:4])
    code, _, err = aqa(*short, "--resume", "--data", other)
    assert code == 1
    assert "holds another training: data has changed" in err

    code, _, err = aqa(*short, "--resume", "--fresh")
    assert code == 2
    assert "can't be used together" in err
    assert greatest_difference(before, adapter_weights(tmp_path / "run" / "adapter")) == 0
    code, _, err = aqa(*short, "--fresh", "--set", "seed=7")
    assert code == 0, err
    assert greatest_difference(before, adapter_weights(tmp_path / "run" / "adapter")) > 0


def test_a_dry_run_tells_everything_and_writes_nothing(
    aqa: Aqa, words: list[str], tmp_path: Path
) -> None:
    code, out, err = aqa(*words, "--output-dir", "run", "--dry-run", "--json", "--quiet")
    assert code == 0, err
    assert list(tmp_path.iterdir()) == []
    told = json.loads(out)
    assert told["counts"] == {"train": 9, "train_unanswerable": 0, "dev": 8, "steps": 20}
    assert told["cut"] == {"shortened": 1, "left_out": 1}
    lengths = told["prompt_and_answer_tokens"]
    assert 0 < lengths["min"] < lengths["median"] < lengths["max"] <= 200
    assert told["estimated_memory_gib"] >= 0
    assert told["config"]["training"]["num_train_epochs"] == 20
    assert told["config"]["seed"] == 42, "defaults are written out"

    code, _, err = aqa(*words, "--output-dir", "run", "--set", "training.max_steps=1")
    assert code == 0, err
    weights = adapter_weights(tmp_path / "run" / "adapter")
    saved = sum(weight.numel() for weight in weights.values())
    assert told["trainable_parameters"] == saved

    code, out, err = aqa(*words, "--dry-run")
    assert code == 0, err
    assert "nothing was written" in out
    assert f"{saved:,}" in out


@pytest.mark.parametrize(("targets", "steps"), [("first", 2), ("all", 4), ("random", 2)])
def test_targets_decide_how_many_rows_an_epoch_has(
    aqa: Aqa, words: list[str], tmp_path: Path, targets: str, steps: int
) -> None:
    examples = [replace(e, answers=(*(e.answers or ()), "elsewhere")) for e in rows()[:4]]
    data = write_rows(tmp_path / "several.jsonl", examples)
    settings = {
        "training.targets": targets,
        "training.num_train_epochs": "1",
        "training.per_device_train_batch_size": "2",
        "training.eval_strategy": "epoch",
        "training.eval_steps": "100",  # its default, which asks for nothing
        "training.evaluate_before": "false",
        "training.label_smoothing_factor": "0.1",
    }
    pairs = (word for pair in settings.items() for word in ("--set", "=".join(pair)))
    code, _, err = aqa(*words, *pairs, "--data", data, "--output-dir", tmp_path / "run", "-q")
    assert code == 0, err
    assert [entry["step"] for entry in read(tmp_path / "run/run.json")["history"]] == [steps]


@pytest.mark.slow
def test_ctrl_c_writes_a_checkpoint_exits_130_and_resume_finishes(
    aqa: Aqa, words: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    long = [*words, "--set", "training.num_train_epochs=100", "--set", "training.eval_steps=20"]
    long += ["--set", "training.evaluate_before=false", "--set", "data.limit=4"]
    long += ["--output-dir", str(run)]
    process = start_aqa(*long)
    wait_until((run / "checkpoints" / "checkpoint-20" / "trainer_state.json").exists, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "interrupted; run the same command again with --resume" in err
    assert "Traceback" not in err
    assert out == ""
    assert read(run / "run.json")["status"] == "interrupted"
    assert not (run / "adapter").exists()
    steps = sorted(int(path.name.split("-")[1]) for path in (run / "checkpoints").glob("check*"))
    assert 20 <= steps[-1] < 100

    code, out, err = aqa(*long, "--resume")
    assert code == 0, err
    manifest = read(run / "run.json")
    assert manifest["status"] == "done"
    assert manifest["history"][-1]["step"] == 100
    assert read(run / "predictions.json")["q0"]["predicted_answer"] == "Ostry"


def test_examples_without_reference_are_refused_before_anything_is_written(
    aqa: Aqa, words: list[str], tmp_path: Path
) -> None:
    data = tmp_path / "unlabelled.jsonl"
    data.write_text('{"id": "a", "question": "Where?", "context": "Here."}\n', encoding="utf-8")
    code, _, err = aqa(*words, "--data", data, "--output-dir", tmp_path / "run")
    assert code == 1
    assert "no reference answer" in " ".join(err.split())
    assert not (tmp_path / "run").exists()


def test_preview_shows_one_begin_of_text(aqa: Aqa, words: list[str]) -> None:
    options = [word for word in words[2:] if not word.startswith(("training.", "backend.lora."))]
    kept: list[str] = []
    for word, following in zip(options, [*options[1:], ""], strict=True):
        if word == "--set" and following in ("", "--set"):
            continue
        kept.append(word)
    dev = kept.index("--dev-data")
    del kept[dev : dev + 2]
    code, out, err = aqa("prompt-preview", "llama", *kept, "--json", "--quiet", "--n", "2")
    assert code == 0, err
    first, second = json.loads(out)
    assert [first["id"], second["id"]] == ["q0", "q1"]
    assert first["begin_of_text_tokens"] == second["begin_of_text_tokens"] == 1
    assert first["text"].count("<|begin_of_text|>") == 1
    assert first["text"].endswith("Ostry<|eot_id|>")
    code, out, err = aqa("prompt-preview", "llama", *kept, "--tokens", "--id", "q1", "--quiet")
    assert code == 0, err
    assert "begin-of-text tokens: 1" in out
    assert "is trained on, the rest is masked" in out


@pytest.mark.slow
def test_validation_data_count_whole(aqa: Aqa, words: list[str], tmp_path: Path) -> None:
    """What can't fit fails and counts as 0; data without references are refused in advance."""
    dev = write_rows(tmp_path / "dev.jsonl", [*rows(), UNFIT])
    run = tmp_path / "run"
    code, _, messages = aqa(*words, "--dev-data", dev, "--output-dir", run)
    assert code == 0, messages
    assert "1 examples don't fit and are left out: unfit" in messages
    (system,) = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["systems"]
    assert system["failed"] == 1
    assert system["scores"]["em"]["value"] == pytest.approx(100 * 8 / 9)

    blind = tmp_path / "blind.jsonl"
    blind.write_text('{"id": "1", "question": "Who?", "context": "Ann."}\n', encoding="utf-8")
    code, _, messages = aqa(*words, "--dev-data", blind, "--output-dir", tmp_path / "other")
    assert code == 1
    assert "1 of 1 validation examples have no reference" in messages
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--set", "training={early_stopping_patience: 2, eval_strategy: no, eval_steps: 100}"],
         "early_stopping_patience needs evaluations"),
        (["--model", "nowhere/at-all"], "could not be downloaded from the hub"),
    ],
)  # fmt: skip
def test_what_can_be_known_before_writes_nothing(
    aqa: Aqa, words: list[str], tmp_path: Path, extra: list[str], said: str
) -> None:
    code, _, messages = aqa(*words, *extra, "--output-dir", tmp_path / "run")
    assert code == 1
    assert said in messages
    assert not (tmp_path / "run").exists()
