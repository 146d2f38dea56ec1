"""What the verb train does itself, whatever the reader."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aqa_stub import StubBackend

from aqa.backends.base import TrainEstimate
from aqa.config import build_config
from aqa.errors import ConfigError
from aqa.progress import SilentProgress
from aqa.records import Prompt
from aqa.training_plan import Cuts, TrainingPlan

ROW = '{{"id": "{}", "question": "who", "passages": [{}], "answers": ["Anna"]}}\n'


class Trained(StubBackend):
    """A stub that could be trained."""

    def estimate(self) -> TrainEstimate:
        return TrainEstimate(0, 0, 0)

    def train(self, job: object, on_step: object) -> Path:
        raise NotImplementedError


def plan(folder: Path, max_length: int, top_k: int | None = None, **train: object) -> TrainingPlan:
    data, prompt = folder / "rows.jsonl", folder / "t.txt"
    texts = {"near": '"Anna", "one two"', "far": '"one two", "Anna"', "none": '"one", "two"'}
    rows = [ROW.format(name, passages) for name, passages in texts.items()]
    data.write_text("".join(rows), encoding="utf-8")
    prompt.write_text("{context}", encoding="utf-8")
    layer = {
        "data": {"path": str(data)},
        "prompt": str(prompt),
        "backend": {"max_length": max_length},
        "evidence": {"train": train, "top_k": top_k},
    }
    return TrainingPlan(build_config(StubBackend.Options, [layer]), Trained, SilentProgress())


def told(made: TrainingPlan) -> tuple[list[str], list[str]]:
    """The ids of the training prompts, and what is said of the others."""
    cuts = Cuts()
    prompts: Iterator[Prompt] = made.train_prompts(cuts)
    ids = [prompt.id for prompt in prompts]
    progress = SilentProgress()
    cuts.tell(progress)
    return ids, progress.notes


def test_nothing_is_said_where_all_fits(tmp_path: Path) -> None:
    assert told(plan(tmp_path, 100)) == (["near", "far", "none"], [])


def test_answers_that_are_cut_away_are_told(tmp_path: Path) -> None:
    """Question and answer take four words, so that two are left for passages."""
    ids, notes = told(plan(tmp_path, 6))
    assert ids == ["near", "far", "none"]
    assert notes[0].startswith("2 prompts lost passages")
    assert notes[1].startswith("1 prompts lost the passage with the answer")


def test_answers_that_the_plan_leaves_out_are_told(tmp_path: Path) -> None:
    """No text is cut, so the reader's length is not what to raise."""
    ids, (note,) = told(plan(tmp_path, 100, top_k=1))
    assert ids == ["near", "far", "none"]
    assert note.startswith("1 prompts lost the passage with the answer")
    assert "top_k" in note


def test_nothing_is_unanswerable_where_gold_is_never_left_out(tmp_path: Path) -> None:
    """Its template has no phrase for that; one is asked for only where it is needed."""
    train = {"passages": "mixed", "distractors": 0, "unanswerable_probability": 1.0}
    assert told(plan(tmp_path, 100, **train))[0] == ["near", "far"]
    with pytest.raises(ConfigError, match="no no_answer phrase"):
        plan(tmp_path, 100, **train, gold_probability=0.5)


def test_examples_without_a_gold_passage_are_counted(tmp_path: Path) -> None:
    ids, notes = told(plan(tmp_path, 100, passages="gold"))
    assert ids == ["near", "far"]
    assert notes == [
        "1 examples are left out: no passage holds their answer, or evidence.train left the gold"
        " one out"
    ]
