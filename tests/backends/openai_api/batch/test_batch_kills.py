"""Kill -9 between any steps of a batch run: nothing is lost, repeated or submitted twice."""

import json
import signal
from itertools import count
from pathlib import Path

import pytest
from fault_batches import BatchingServer, disordered
from fault_server import FILTERED, Fault, serving
from forked import Forked
from gpt4_runs import write_questions
from killed_batch import NEVER, ask

from aqa.runs.names import JOURNAL, PREDICTIONS

QUESTIONS = 3
OUT = "out"


def filtered(body: dict[str, object]) -> Fault | None:
    return FILTERED if "who 1" in json.dumps(body) else None


def words(server: BatchingServer, *more: str) -> list[str]:
    settings = ["max_requests=2", "poll_seconds=0.01"]
    chosen = [f"backend.base_url={server.url}", *(f"backend.batch.{text}" for text in settings)]
    asked = ["predict", "gpt4", "-d", "questions.jsonl", "-o", OUT, "--quiet", *more]
    return [*asked, *(word for text in chosen for word in ("--set", text))]


class Folder:
    """A folder with questions in which `aqa` runs, and is killed."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        write_questions(path, QUESTIONS)
        self.path = path

    def run(self, command: list[str], moment: int) -> bool:
        """Return whether it finished."""
        process = Forked(ask, command, moment, folder=self.path)
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), self.steps()
        return process.returncode == 0

    def steps(self) -> list[str]:
        return (self.path / "steps").read_text(encoding="utf-8").splitlines()

    def predictions(self) -> bytes:
        return (self.path / OUT / PREDICTIONS).read_bytes()

    def journal_lines(self) -> int:
        return len((self.path / OUT / JOURNAL).read_bytes().splitlines()) - 1


@pytest.fixture(scope="module")
def asked_live(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The predictions of the same questions asked live."""
    folder = Folder(tmp_path_factory.mktemp("live") / "run")
    with serving(BatchingServer(script=lambda number, body: filtered(body))) as server:
        assert isinstance(server, BatchingServer)
        assert folder.run(words(server), NEVER)
    return folder.predictions()


def check(folder: Folder, server: BatchingServer, asked_live: bytes, told: str) -> None:
    assert folder.predictions() == asked_live, told
    assert folder.journal_lines() == QUESTIONS, told
    assert [path.name for path in (folder.path / OUT / "batches").iterdir()] == ["record.json"], (
        told
    )
    assert [len(batch.requests) for batch in server.batches.values()] == [2, 1], told
    assert len(server.answered) == server.answered.total() == QUESTIONS - 1, told


@pytest.mark.slow
def test_killed_before_each_step(tmp_path: Path, asked_live: bytes) -> None:
    met = set()
    for moment in count():
        server = BatchingServer(line=filtered, arrange=disordered)
        with serving(server):
            folder = Folder(tmp_path / str(moment))
            if folder.run(words(server, "--batch-api"), moment):
                break
            step = folder.steps()[-1]
            met.add(step.split()[0])
            assert folder.run(words(server, "--batch-api"), NEVER), step
            check(folder, server, asked_live, f"killed before step {moment}: {step}")
    assert met == {"write", "remove", "journal", "POST"}
    assert moment == len(folder.steps()) > 20
    check(folder, server, asked_live, "not killed")


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path, asked_live: bytes) -> None:
    """Each process gets five steps further, repeating some."""
    server = BatchingServer(line=filtered)
    with serving(server):
        folder = Folder(tmp_path / "run")
        kills = 0
        while not folder.run(words(server, "--batch-api"), 5):
            kills += 1
            assert kills < 30, folder.steps()
    assert kills > 2
    check(folder, server, asked_live, f"{kills} kills")
