"""Notes on the data of a run."""

import json
from pathlib import Path

import pytest
from aqa_stub import StubBackend

from aqa.config.backend_options import RawConfig
from aqa.config.load import build_config
from aqa.progress import SilentProgress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.records import Prompt

ENGLISH, KOREAN = ["Who is she?", "Where?"], ["누구입니까?", "어디에 있나요?", "Who?"]


@pytest.mark.parametrize(
    ("questions", "file", "call", "inherited", "told"),
    [
        (KOREAN, {}, {}, {}, True),
        (KOREAN, {"prompt": "eng_v1"}, {}, {}, True),
        (KOREAN, {}, {"prompt": "eng_v1"}, {}, False),
        (KOREAN, {}, {}, {"prompt": "eng_v1"}, False),  # inherited from its training
        (KOREAN, {"prompt": "kor_v1"}, {}, {}, False),
        (ENGLISH, {}, {}, {}, False),
    ],
)
def test_korean_questions_may_be_asked_in_korean(
    questions: list[str],
    file: RawConfig,
    call: RawConfig,
    inherited: RawConfig,
    told: bool,
    tmp_path: Path,
) -> None:
    data = tmp_path / "data.json"
    data.write_text(
        json.dumps([{"question": each, "passages": ["x"], "answers": ["x"]} for each in questions])
    )
    asked = {**call, "data": {"path": str(data)}}
    config = build_config(StubBackend.Options, [file, asked], inherited)
    progress = SilentProgress()
    Inputs(config, load_template(config.prompt), progress)
    note = "2 of 3 questions are Korean, and the template eng_v1 is English; kor_v1 asks in Korean"
    assert any(each.startswith(note) for each in progress.notes) == told


def test_examples_are_given_by_their_places_whatever_the_limit(tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    rows = [{"question": f"{n}?", "passages": ["x"], "answers": ["x"]} for n in range(9)]
    data.write_text(json.dumps(rows))
    config = build_config(StubBackend.Options, [{"data": {"path": str(data), "limit": 3}}])
    inputs = Inputs(config, load_template(config.prompt), SilentProgress())
    found = [(index, example.question) for index, example in inputs.examples_at([0, 1, 5, 8, 20])]
    assert found == [(0, "0?"), (1, "1?"), (5, "5?"), (8, "8?")]


@pytest.mark.parametrize("title", [True, False])
def test_an_answer_in_a_title_that_is_not_shown_is_not_read(title: bool, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    passages = [{"title": "Rome", "text": "It is a city."}, {"title": "", "text": "No."}]
    data.write_text(json.dumps([{"question": "Where?", "passages": passages, "answers": ["Rome"]}]))
    asked = {"data": {"path": str(data)}, "evidence": {"title": title}}
    config = build_config(StubBackend.Options, [asked])
    inputs = Inputs(config, load_template(config.prompt), SilentProgress())
    (prompt,) = inputs.prompts(StubBackend(config, SilentProgress()), inputs.examples())
    assert isinstance(prompt, Prompt)
    assert (prompt.gold_ranks, prompt.gold_in_evidence) == ((1,), title)
