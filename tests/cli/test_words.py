"""Malformed words on the command line, and interrupts before a command is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from calls import Call

from aqa.cli.app import prepare_words
from aqa.errors import UsageError

DATA = '{"id": "1", "question": "Who?", "context": "Ada did."}\n'


def test_a_home_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    words = ["evaluate", "~/a b.json", "--data=~/x", "--no-answer", "~", "--set", "a=~/b", "x~/y"]
    found = ["/home/ada/a b.json", "--data=/home/ada/x", "--no-answer", "~", "--set", "a=~/b"]
    assert list(prepare_words(words)) == ["evaluate", *found, "x~/y"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["evaluate", ""], "the word after evaluate is empty"),
        (["predict", "t5", "-o", "", "-q"], "the word after -o is empty"),
        (["predict", "t5", "--data="], "--data= is empty"),
        ([""], "the word after aqa is empty"),
    ],
)
def test_an_empty_word_is_refused(words: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=f"^{told}; give a value, or check that its variable"):
        list(prepare_words(words))


def test_a_word_of_no_characters_is_refused() -> None:
    """Like a name in EUC-KR, or Hangul in the C locale without UTF-8."""
    with pytest.raises(UsageError, match=r"^'\\udcc7\\udcd1\.json' is not UTF-8; set LC_ALL"):
        list(
            prepare_words(
                ["predict", "t5", "--data", b"\xc7\xd1.json".decode(errors="surrogateescape")]
            )
        )


def test_nothing_is_written_where_one_works(call_aqa: Call, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(DATA)
    call_aqa("predict", "stub", "--data", "d.jsonl", "-o", "", code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["d.jsonl"]


def test_paths_of_a_config_begin_at_home(
    call_aqa: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "d.jsonl").write_text(DATA)
    (tmp_path / "c.yaml").write_text("output_dir: ~/runs\ndata: {path: ~/d.jsonl}\n")
    call_aqa("predict", "stub", "--config", "c.yaml", "--set", "backend.model=~/m", code=0)
    assert (tmp_path / "home" / "runs" / "predict-base-d" / "run.json").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(DATA)
    words = ["prompt-preview", "stub", "--data", "d.jsonl", "-q"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "aqa", *words],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: can't write to standard output (No space left on")
    assert len(done.stderr.splitlines()) == 1


def test_an_output_without_the_letters_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "한국.json").write_text('{"q": {"predicted_answer": "b", "answers": ["b"]}}')
    done = subprocess.run(
        [sys.executable, "-m", "aqa", "evaluate", "한국.json", "-q"],
        cwd=tmp_path, capture_output=True, check=False,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: standard output is latin-1, which has no ")
    assert len(done.stderr.splitlines()) == 1


def test_an_interrupt_while_the_command_is_loaded(tmp_path: Path) -> None:
    """It comes while the first of the program's own modules is imported."""
    code = (
        "import builtins, os, signal, sys; signal.signal(2, signal.default_int_handler)\n"
        "from aqa.__main__ import main; real = builtins.__import__\n"
        "def slow(name, *rest):\n"
        "    if name == 'aqa.cli.app': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = slow; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
