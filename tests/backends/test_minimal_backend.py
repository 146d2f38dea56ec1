"""A third-party backend needs only its options and `generate`: the rest has defaults."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import pytest

from aqa import backends
from aqa.backends import find_backend
from aqa.backends.base import Backend
from aqa.config.backend_options import BackendOptions
from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.errors import ModelError, RunError, UsageError
from aqa.evaluation.inputs import Scoring
from aqa.evaluation.scoring import evaluate
from aqa.progress import SilentProgress
from aqa.records import Encoding, Prediction, Prompt
from aqa.verbs.predict import Resume, dry_run, predict
from aqa.verbs.preview import preview
from aqa.verbs.train_plan import TrainingPlan


class EchoOptions(BackendOptions):
    name: Literal["echo"] = "echo"
    model: str = "echo"
    last: bool = False


class Echo(Backend[EchoOptions]):
    Options = EchoOptions

    def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
        for prompt in prompts:
            words = prompt.evidence.context.split()
            yield prompt, Prediction(prompt.id, words[-1 if self.options.last else 0])


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("echo", f"{__name__}:Echo", "aqa.backends")
    monkeypatch.setattr(backends, "entry_points", lambda **_: [point])
    monkeypatch.setattr(EntryPoint, "load", lambda self: Echo)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    data = tmp_path / "data.json"
    rows = [
        {"id": "a", "question": "who", "passages": ["Anna and Ben"], "answers": ["Anna"]},
        {"id": "b", "question": "who", "passages": ["Ben and Anna"], "answers": ["Anna"]},
    ]
    data.write_text(json.dumps(rows), encoding="utf-8")
    return build_config(find_backend("echo").Options, [{"data": {"path": str(data)}}])


def test_it_predicts_and_is_evaluated(config: RunConfig, tmp_path: Path) -> None:
    done = predict(config, tmp_path / "out", SilentProgress())
    assert (done.answered, done.failed) == (2, 0)
    report = evaluate([done.folder], None, Scoring(["em"]), SilentProgress())
    assert report.systems[0].scores["em"].value == 50.0


def test_it_is_previewed(config: RunConfig) -> None:
    first, _ = preview(config, SilentProgress())
    assert "Anna and Ben" in first.prompt.messages[0].content
    assert (first.encoding, first.prompt.target) == (None, "Anna")


def test_all_its_options_decide_its_answers(config: RunConfig, tmp_path: Path) -> None:
    predict(config, tmp_path / "out", SilentProgress())
    other = build_config(
        EchoOptions, [{"data": {"path": config.data.path}, "backend": {"last": True}}]
    )
    with pytest.raises(RunError, match=r"reader.last was false and is now true"):
        predict(other, tmp_path / "out", SilentProgress())
    assert predict(other, tmp_path / "out", SilentProgress(), Resume(fresh=True)).answered == 2


def test_what_it_can_not_do_is_refused(config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="echo asks none"):
        dry_run(config, tmp_path / "out", SilentProgress())
    with pytest.raises(ModelError, match="echo can't be trained here"):
        TrainingPlan(config, SilentProgress())


class Words(Echo):
    """The same with tokens, and a maximum length."""

    limit = 10

    def encode(self, prompt: Prompt) -> Encoding:
        return Encoding(tuple(len(word) for word in prompt.messages[-1].content.split()))


def test_one_that_encodes_and_has_a_limit_is_fitted(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntryPoint, "load", lambda self: Words)
    tight = config.generation.model_copy(update={"max_new_tokens": 5})
    settings = {"generation": tight, "prompt": "t5_qa"}
    reader = Words(config.model_copy(update=settings), SilentProgress())
    shown = list(preview(reader.config, SilentProgress()))
    kept = [each.prompt.evidence.context for each in shown]
    assert all(reader.length(each.prompt) <= 10 for each in shown)
    assert all(len(text) < len("Anna and Ben") for text in kept)
    assert shown[0].read[:2] == ("<9>", "<3>")
    assert all(each.prompt.encoding == reader.encode(replace(each.prompt)) for each in shown)
