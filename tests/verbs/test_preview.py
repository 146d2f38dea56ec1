import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from aqa_stub import StubBackend
from rich.console import Console

from aqa.cli.tables import describe, plan_table, preview_json, show_previews
from aqa.config.load import build_config
from aqa.config.options import RunConfig, TrainingEvidenceOptions
from aqa.display.terminal import rich_table
from aqa.errors import DataError
from aqa.progress import SilentProgress
from aqa.records import Encoding, Prompt
from aqa.verbs.predict import predict
from aqa.verbs.preview import Preview, preview

ROWS: list[dict[str, object]] = [
    {
        "id": "a",
        "question": "Who {x}?",
        "ctxs": ["one two", "three four", "five"],
        "answers": ["one"],
    },
    {"id": "b", "question": "Why?", "ctxs": ["여섯"], "answers": []},
    {"id": "c", "question": "When?", "ctxs": ["seven"]},
]


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    data, prompt = tmp_path / "data.jsonl", tmp_path / "t.txt"
    data.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    prompt.write_text("---\nno_answer: none\n---\nRead: {context}", encoding="utf-8")
    layer = {"data": {"path": str(data)}, "prompt": str(prompt), "backend": {"max_length": 10}}
    return build_config(StubBackend.Options, [layer])


class Letters(StubBackend):
    """A stub with tokens: UTF-8 bytes, after a begin-of-text token of 256."""

    begin_token_id: int | None = 256

    def encode(self, prompt: Prompt) -> Encoding:
        text = "\n".join(turn.content for turn in prompt.messages)
        return Encoding((256, *text.encode()), tuple((prompt.target or "").encode()))

    def decode(self, token_ids: Sequence[int]) -> str:
        begin = "<s>" * list(token_ids).count(256)
        return begin + bytes(token for token in token_ids if token < 256).decode(errors="replace")


def shown(config: RunConfig, **options) -> list[Preview]:  # type: ignore[no-untyped-def]
    return list(preview(config, SilentProgress(), **options))


def test_the_first_prompts_or_one_by_its_id(config: RunConfig) -> None:
    assert [each.prompt.id for each in shown(config)] == ["a", "b", "c"]
    assert [each.prompt.id for each in shown(config, number=1)] == ["a"]
    assert [each.prompt.id for each in shown(config, example_id="c")] == ["c"]
    with pytest.raises(DataError, match="no example has the id d"):
        shown(config, example_id="d")


def test_the_evidence_of_a_training_is_shown(config: RunConfig) -> None:
    mixed = TrainingEvidenceOptions(passages="gold")
    evidence = config.evidence.model_copy(update={"train": mixed})
    first, *_ = shown(config.model_copy(update={"evidence": evidence}), training=True)
    assert [passage.text for passage in first.prompt.evidence.passages] == ["one two"]
    assert first.prompt.target == "one"
    silent = {"passages": "mixed", "gold_probability": 0.0}
    evidence = config.evidence.model_copy(
        update={"train": TrainingEvidenceOptions.model_validate(silent)}
    )
    with pytest.raises(DataError, match="a training leaves a out"):
        shown(config.model_copy(update={"evidence": evidence}), training=True, example_id="a")


def test_the_plan_at_work_fits_a_terminal(config: RunConfig) -> None:
    (first,) = shown(config, number=1)
    console = Console(width=80, file=io.StringIO())
    console.print(rich_table(plan_table(first.prompt), console.width))
    assert isinstance(console.file, io.StringIO)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert lines[1] == ["1", "one", "two", "read", "as", "1", "here"]
    assert lines[2] == ["2", "three", "four", "read", "as", "2"]
    assert lines[3][-5:] == ["too", "much", "for", "the", "reader"]


def test_what_is_shown_of_a_reader_of_text(config: RunConfig) -> None:
    first, second, third = shown(config)
    assert preview_json(first) == {
        "id": "a",
        "messages": [
            {"role": "system", "content": "Read: one two\n\nthree four"},
            {"role": "user", "content": "Who {x}?"},
        ],
        "target": "one",
        "evidence": {
            "ranks": [1, 2],
            "characters": 19,
            "dropped": {"reader": [3]},
            "cut_characters": 0,
            "reader_cut_characters": 0,
            "gold_ranks": [1],
            "gold_in_evidence": True,
        },
    }
    assert describe(first) == (
        "passages used: 2 of 3 (1 too much for the reader); the answer is in the evidence"
    )
    assert [each.prompt.target for each in (second, third)] == ["none", None]


def test_what_is_shown_of_a_reader_of_tokens(
    config: RunConfig, as_stub: Callable[[type], None]
) -> None:
    as_stub(Letters)
    (second,) = shown(config, example_id="b")
    assert second.encoding is not None
    # A Hangul letter, three tokens here, is one piece; all others are single.
    assert second.read == ("<s>", *"Read: 여섯\nWhy?")
    assert second.trained == tuple("none")
    assert second.begin_tokens == 1
    assert describe(second).endswith("18 tokens read, 4 trained on; begin-of-text tokens: 1")
    told = preview_json(second)
    assert told["prompt_ids"] == [256, *"Read: 여섯\nWhy?".encode()]
    assert told["target_ids"] == [*b"none"]


def test_tokens_in_colours(
    config: RunConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    as_stub: Callable[[type], None],
) -> None:
    of_text = shown(config)
    as_stub(Letters)
    previews = shown(config)
    for tokens in (False, True):
        show_previews(previews, tokens, as_json=False)
        printed = capsys.readouterr().out
        assert "<s>Read: 여섯\nWhy?none\n" in printed
        assert "Who {x}?one\n" in printed
        assert ("is trained on" in printed) == tokens
    show_previews(of_text, tokens=False, as_json=False)
    assert "system: Read: 여섯\nuser: Why?\n" in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    show_previews(previews, tokens=True, as_json=False)
    printed = capsys.readouterr().out
    assert "\x1b[32mn\x1b[0m\x1b[32mo" in printed


def test_begin_of_text_is_counted(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, as_stub: Callable[[type], None]
) -> None:
    as_stub(Letters)
    monkeypatch.setattr(Letters, "encode", lambda self, prompt: Encoding((256, 256, 65)))
    assert shown(config)[0].begin_tokens == 2
    monkeypatch.setattr(Letters, "begin_token_id", None)
    assert shown(config)[0].begin_tokens == 0


def test_the_reader_is_sent_what_is_shown(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Prompt] = []

    def noting(self, prompts):  # type: ignore[no-untyped-def]
        for prompt in prompts:
            sent.append(prompt)
            yield prompt, self.answer(prompt)

    monkeypatch.setattr(StubBackend, "generate", noting)
    predict(config, tmp_path / "out", SilentProgress())
    assert [p.messages for p in sent] == [each.prompt.messages for each in shown(config)]
    assert [p.target for p in sent] == [None] * 3


def test_a_target_takes_no_room_from_a_prediction(config: RunConfig) -> None:
    """The target of c is longer than an answer, so training reads fewer passages for it."""
    data = Path(str(config.data.path))
    row = {"id": "c", "question": "Who?", "ctxs": ["one two", "three four"], "answers": ["a " * 6]}
    data.write_text(json.dumps(row), encoding="utf-8")
    (answered,), (trained,) = shown(config), shown(config, training=True)
    assert len(answered.prompt.evidence.passages) == 2
    assert len(trained.prompt.evidence.passages) == 1
    assert answered.prompt.target == trained.prompt.target


def test_passages_that_are_read_apart(config: RunConfig, as_stub: Callable[[type], None]) -> None:
    class Apart(Letters):
        def encode(self, prompt: Prompt) -> Encoding:
            return replace(super().encode(prompt), part_lengths=(1, 17))

    as_stub(Apart)
    (second,) = shown(config, example_id="b")
    assert preview_json(second)["part_lengths"] == [1, 17]
    assert describe(second).endswith("passages are read separately, with 1, 17 tokens")
