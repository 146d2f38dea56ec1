"""A prompt is tokenized once, and its ids go wherever they are needed."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_llama as llama
import tiny_t5 as t5
from files import write
from transformers import PreTrainedTokenizerBase

from aqa.config.options import RunConfig
from aqa.progress import SilentProgress
from aqa.records import Encoding, Evidence, Message, Prompt, Template
from aqa.verbs.predict import predict
from aqa.verbs.preview import preview
from aqa.verbs.train import train

COUNT = 6


@pytest.fixture
def tokenized(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each text was passed to a tokenizer."""
    found: Counter[str] = Counter()
    tokenize = PreTrainedTokenizerBase.__call__

    def count(self: Any, text: str, *args: Any, **options: Any) -> Any:
        found[text] += 1
        return tokenize(self, text, *args, **options)

    monkeypatch.setattr(PreTrainedTokenizerBase, "__call__", count)
    return found


def write_data(folder: Path, word: str) -> Path:
    """Questions that contain the word, with two passages each."""
    rows = [
        {
            "id": f"{word}{n}",
            "question": f"Where is {word} number {n}?",
            "passages": [f"Number {n} was in Ostry.", f"Number {n} is in Veld."],
            "answers": ["Veld"],
        }
        for n in range(COUNT)
    ]
    return write(folder, f"{word}.json", rows)


@pytest.fixture(params=["llama", "t5", "fid"])
def config(request: pytest.FixtureRequest, tiny: Path, tiny_t5: Path, tmp_path: Path) -> RunConfig:
    settings = ["training.max_steps=2", "training.evaluate_before=true"]
    settings += [f"data.path={write_data(tmp_path, 'asked')}"]
    if request.param == "llama":
        return llama.make_config(tiny, *settings)
    fusion = "fid" if request.param == "fid" else "concat"
    return t5.make_config(tiny_t5, *settings, f"backend.fusion={fusion}")


def counts(tokenized: Counter[str], word: str) -> tuple[int, set[int]]:
    """Texts with questions containing this word, and how often each was tokenized."""
    found = [count for text, count in tokenized.items() if f"{word} number" in text]
    return len(found), set(found)


def parts(config: RunConfig) -> int:
    """The number of texts that a reader makes of one prompt."""
    return 2 if getattr(config.backend, "fusion", "") == "fid" else 1


def test_a_prediction_tokenizes_each_prompt_once(
    config: RunConfig, tmp_path: Path, tokenized: Counter[str]
) -> None:
    assert predict(config, tmp_path / "out", SilentProgress()).answered == COUNT
    assert counts(tokenized, "asked") == (COUNT * parts(config), {1})


@pytest.mark.parametrize(("training", "times"), [(True, 1), (False, 2)])
def test_a_preview_tokenizes_each_prompt_once(
    config: RunConfig, tokenized: Counter[str], training: bool, times: int
) -> None:
    """And once more with the target, which a prediction ignores."""
    shown = list(preview(config, SilentProgress(), COUNT, training=training))
    assert all(each.encoding and each.read and each.trained for each in shown)
    assert counts(tokenized, "asked") == (COUNT * parts(config), {times})


def test_a_training_tokenizes_each_prompt_once_however_often_it_evaluates(
    config: RunConfig, tmp_path: Path, tokenized: Counter[str]
) -> None:
    dev = {"dev_path": str(write_data(tmp_path, "checked"))}
    config = config.model_copy(update={"data": config.data.model_copy(update=dev)})
    done = train(config, tmp_path / "run", SilentProgress())
    assert done.before
    assert done.report
    assert counts(tokenized, "asked") == (COUNT * parts(config), {1})
    assert counts(tokenized, "checked") == (COUNT * parts(config), {1})


def test_a_changed_prompt_leaves_its_token_ids_behind() -> None:
    template = Template("t", (Message("user", "{question}"),))
    prompt = Prompt("p", 0, "who?", Evidence(()), template).carrying(Encoding((1, 2)))
    assert prompt.encoding == Encoding((1, 2))
    for changes in ({"question": "why?"}, {"evidence": Evidence(())}, {"target": "Anna"}, {}):
        assert replace(prompt, **changes).encoding is None
    assert replace(prompt) == prompt
