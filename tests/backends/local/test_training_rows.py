"""Rows to train on: the same from any number of processes, and kept while they are valid."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import shared_rows
from forked import Forked
from test_processes import PROCESSES, together
from tiny_llama import (
    Training,
    make_config,
    make_prompts,
    make_reader,
    rows,
    write_rows,
    write_template,
)

from aqa.backends.base import TrainJob
from aqa.backends.cuts import Cuts
from aqa.backends.llama_qlora import training as causal_training
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.local import training_rows
from aqa.backends.local.training_rows import TrainingRows, read_rows
from aqa.errors import DataError, RunError
from aqa.progress import SilentProgress
from aqa.records import Encoding, Prompt, Template
from aqa.runs.names import ROWS_PART, ROWS_RECORD, TRAINING_ROWS
from aqa.verbs.train import train
from aqa.verbs.train_plan import TrainingPlan

Row = dict[str, Any]


class Rows:
    """The rows of one training, made by processes simulated one after another."""

    def __init__(self, model: Path, template: Template, folder: Path) -> None:
        self.reader = make_reader(model)
        self.training = Training(self.reader, template, folder)
        self.folder = folder / TRAINING_ROWS
        self.made: list[int] = []  # the parts that were not reused
        self.made_from: dict[str, object] = {"data": "a"}

    def train(self, number: int, count: int, cuts: Cuts) -> Iterator[Prompt]:
        self.made.append(number)
        cuts.shortened += 1 + number
        yield from self.training.train(number, count, cuts)

    def all(
        self, monkeypatch: pytest.MonkeyPatch, processes: int, resume: bool = False
    ) -> tuple[list[Row], int]:
        """What the processes see, and how many shortened prompts they know of."""
        self.made.clear()
        job = partial(TrainJob, self.train, [], lambda _: {}, self.folder.parent, resume)
        jobs = [job(made_from=self.made_from) for _ in range(processes)]
        each = [TrainingRows(self.reader, job) for job in self._in_turn(jobs, monkeypatch)]
        for one in self._in_turn(each, monkeypatch):
            one.make()
        monkeypatch.setattr(training_rows, "all_gather", lambda _: [one._result for one in each])
        seen = [
            (list(one.all()), job.cuts.shortened)
            for one, job in zip(self._in_turn(each, monkeypatch), jobs, strict=True)
        ]
        assert all(found == seen[0] for found in seen)
        return seen[0]

    @staticmethod
    def _in_turn(each: list[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        for rank, one in enumerate(each):
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setenv("WORLD_SIZE", str(len(each)))
            yield one


@pytest.fixture
def made(tiny: Path, template: Template, tmp_path: Path) -> Rows:
    return Rows(tiny, template, tmp_path)


def expected(reader: LlamaQloraBackend, template: Template) -> list[Row]:
    prompts = make_prompts(reader, template, with_target=True)
    return [
        {
            "input_ids": [*ids.prompt_ids, *ids.target_ids],
            "prompt_length": len(ids.prompt_ids),
            "part_lengths": [],
            "length": len(ids.prompt_ids) + len(ids.target_ids),
            "example": prompt.index,
        }
        for prompt in prompts
        for ids in [reader.encode(prompt)]
    ]


@pytest.mark.parametrize("processes", [1, 2, 3, 11])
def test_any_number_of_processes_makes_the_same_rows(
    processes: int, made: Rows, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, shortened = made.all(monkeypatch, processes)
    assert found == expected(made.reader, template)
    assert len(found) == len(rows())
    assert shortened == sum(range(1, processes + 1))
    assert made.made == list(range(processes))
    # Any other number of processes can reuse them.
    assert made.all(monkeypatch, 2, resume=True) == (found, shortened)
    assert not made.made


def cut(made: Rows) -> None:
    path = made.folder / ROWS_PART.format(1)
    path.write_bytes(path.read_bytes()[:-300])


def flip(made: Rows) -> None:
    path = made.folder / ROWS_PART.format(1)
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)


def lose(made: Rows) -> None:
    (made.folder / ROWS_PART.format(1)).unlink()


def cut_record(made: Rows) -> None:
    path = made.folder / ROWS_RECORD
    path.write_bytes(path.read_bytes()[:-20])


def change_data(made: Rows) -> None:
    made.made_from["data"] = "b"


def change_tokenizer(made: Rows) -> None:
    by = made.reader.tokenized_by()
    made.reader.tokenized_by = lambda: {**by, "tokenizers": "0"}  # type: ignore[method-assign]


def change_format(made: Rows) -> None:
    record = json.loads((made.folder / ROWS_RECORD).read_bytes())
    (made.folder / ROWS_RECORD).write_text(json.dumps({"rows": record["parts"]}))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("damage", "again"),
    [
        *[(damage, [1]) for damage in (cut, flip, lose)],
        *[(damage, None) for damage in (cut_record, change_data, change_tokenizer, change_format)],
    ],
)
def test_rows_that_do_not_fit_are_made_again(
    damage: Callable[[Rows], None],
    again: list[int] | None,
    processes: int,
    made: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, _ = made.all(monkeypatch, 2)
    damage(made)
    assert made.all(monkeypatch, processes, resume=True)[0] == found
    assert made.made == (again or list(range(processes)))
    # Nothing useless is left.
    kept = {ROWS_RECORD, *map(ROWS_PART.format, range(2 if again else processes))}
    assert {path.name for path in made.folder.iterdir()} == kept
    assert made.all(monkeypatch, processes, resume=True)[0] == found
    assert not made.made


def test_a_training_that_begins_anew_makes_its_rows_anew(
    made: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.all(monkeypatch, 2)
    made.all(monkeypatch, 1)
    assert made.made == [0]


def test_what_others_put_beside_the_rows_is_no_harm(
    made: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made.folder / ".ipynb_checkpoints").mkdir(parents=True)
    (made.folder / "9.arrow").touch()
    made.all(monkeypatch, 1)
    assert not (made.folder / "9.arrow").exists()
    made.all(monkeypatch, 1, resume=True)
    assert not made.made


def test_processes_that_share_no_folder_are_told(
    made: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.all(monkeypatch, 2)
    with pytest.raises(RunError, match="a folder that they share"):
        read_rows([made.folder / "0.arrow", made.folder / "2.arrow"])


def processes_that_make_rows(model: Path, folder: Path, failing: str = "") -> list[tuple[Any, int]]:
    """What each of them saw."""
    write_template(folder)
    codes, _, errors = together(
        start=lambda env: Forked(shared_rows.make_rows, model, folder, failing, env=env)
    )
    assert codes == [0] * PROCESSES, errors
    return [json.loads((folder / f"seen-{rank}.json").read_bytes()) for rank in range(PROCESSES)]


@pytest.mark.slow
def test_two_real_processes_see_the_same_rows(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    for seen, _ in processes_that_make_rows(tiny, tmp_path):
        assert seen == expected(make_reader(tiny), template)


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["0", "1"])
def test_a_process_that_fails_ends_all_with_its_sentence(
    failing: str, tiny: Path, tmp_path: Path
) -> None:
    found = processes_that_make_rows(tiny, tmp_path, failing)
    assert [seen for seen, _ in found] == ["rows.jsonl, line 6: cut off"] * PROCESSES


class EnoughError(Exception):
    """The rows are made; stop before training."""


def test_a_resumed_training_has_its_rows_and_what_they_lost(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, template = write_rows(tmp_path / "rows.jsonl"), write_template(tmp_path)
    config = make_config(
        tiny, f"data.path={data}", f"prompt={template}", "backend.max_seq_length=70"
    )
    found: list[tuple[list[Row], Cuts]] = []

    def stop(reader: object, job: TrainJob, *arguments: Any) -> None:
        found.append((list(arguments[-1]), job.cuts))
        raise EnoughError

    monkeypatch.setattr(causal_training, "AdapterTrainer", stop)
    for resume in (False, True):
        with pytest.raises(EnoughError):
            train(config, tmp_path / "run", SilentProgress(), resume)
        monkeypatch.setattr(TrainingPlan, "train_part", None)
    assert found[0] == found[1]
    assert found[0][1].shortened


def test_prompts_with_nothing_to_learn_are_named_for_all_processes(
    made: Rows, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = make_prompts(made.reader, template, with_target=True)
    not_learnt = make_prompts(made.reader, template, with_target=False)
    mixed = [learnt[0], not_learnt[1], learnt[2], *not_learnt[3:]]

    def halves(number: int, count: int, cuts: Cuts) -> list[Prompt]:
        return mixed[len(mixed) * number // count : len(mixed) * (number + 1) // count]

    made.training.train = halves  # type: ignore[assignment,method-assign]
    for processes in (1, 2):
        with pytest.raises(DataError, match=r"^6 training examples .*\(q1, q3, q4\)"):
            made.all(monkeypatch, processes)


def test_no_row_at_all_is_refused_with_the_reason(
    made: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(number: int, count: int, cuts: Cuts) -> list[Prompt]:
        cuts.leave_out(f"q{number}: too long")
        return []

    made.training.train = nothing  # type: ignore[assignment,method-assign]
    for processes in (1, 2):
        with pytest.raises(DataError, match=r"^no example is left to train on: q0: too long$"):
            made.all(monkeypatch, processes)


def test_rows_come_back_from_disk_as_they_were(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    prompt = make_prompts(make_reader(tiny), template, with_target=True)[0]
    encoded = [(prompt, Encoding((1, 2, n), (n, 4))) for n in range(2500)]  # three batches
    assert not training_rows.write_rows(iter(encoded), tmp_path / "rows.arrow")
    found = read_rows([tmp_path / "rows.arrow"])
    assert len(found) == 2500
    assert found[2345] == {
        "input_ids": [1, 2, 2345, 2345, 4],
        "prompt_length": 3,
        "part_lengths": [],
        "length": 5,
        "example": 0,
    }
