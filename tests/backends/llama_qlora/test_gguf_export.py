"""Export of a merged model for llama.cpp; its converter does not support tiny tokenizers."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_llama import make_prompts, make_reader

from aqa.backends.llama_qlora import gguf_export
from aqa.backends.llama_qlora.gguf_export import CONVERTER, convert_to_gguf, find_converter
from aqa.backends.local.decoding import StopConditions
from aqa.errors import ModelError
from aqa.records import Template

COPY = (
    "import sys\n"
    "words = sys.argv\n"
    "open(words[words.index('--outfile') + 1], 'w').write(words[words.index('--outtype') + 1])\n"
)


@pytest.fixture
def converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A converter on the PATH that records its arguments."""
    path = tmp_path / CONVERTER
    path.write_text(COPY, encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_the_file_lies_beside_the_model(tmp_path: Path, converter: Path, kind: str) -> None:
    model = tmp_path / "merged"
    model.mkdir()
    assert find_converter() == converter
    file = convert_to_gguf(model, kind)
    assert file == tmp_path / f"merged-{kind}.gguf"
    assert file.read_text() == kind
    assert not list(tmp_path.glob(".*"))


def test_what_the_converter_says_is_one_sentence(tmp_path: Path, converter: Path) -> None:
    converter.write_text("import sys\nprint('x')\nsys.exit('Model Foo is not supported')\n")
    with pytest.raises(ModelError, match=r"can't convert it: Model Foo is not supported$"):
        convert_to_gguf(tmp_path, "f16")


def test_without_a_converter_nothing_begins(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(gguf_export, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install llama-cpp-python gguf"):
        make_reader(tiny).check_export()


@pytest.mark.parametrize("wrong", [0, 3])
def test_answers_are_compared(
    tiny: Path, template: Template, converter: Path, monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    monkeypatch.setattr(gguf_export, "find_spec", lambda name: SimpleNamespace(origin=None))
    reader = make_reader(tiny)
    prompts = make_prompts(reader, template, with_target=False)
    with make_reader(tiny) as native:
        raws = {p.encoding.prompt_ids: a for p, a in native.generate(prompts) if p.encoding}

    def write(
        file: Path, asked: Sequence[Sequence[int]], ends: StopConditions, room: int
    ) -> Iterator[list[int]]:
        assert room == 8
        for number, ids in enumerate(asked):
            text = raws[tuple(ids)].raw or ""
            right = native._tokenizer.encode(text, add_special_tokens=False)
            yield [5] if number < wrong else right

    monkeypatch.setattr(gguf_export, "write_answers", write)
    found = reader.export(tiny, "f16", prompts)
    assert (found.compared, found.different) == (8, wrong)
    found.folder.unlink()


def test_llama_cpp_stops_where_the_native_engine_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Llama:
        def __init__(self, **settings: Any) -> None:
            assert settings["n_ctx"] == 3 + 4

        def generate(self, ids: list[int], **settings: Any) -> Iterator[int]:
            assert settings["temp"] == 0.0
            yield from [7, 8, 2, 9] if ids == [1, 1, 1] else [5] * 9

    monkeypatch.setitem(sys.modules, "llama_cpp", type("module", (), {"Llama": Llama}))  # type: ignore[arg-type]
    written = gguf_export.write_answers(Path("x.gguf"), [[1, 1, 1], [1]], StopConditions((2,)), 4)
    assert list(written) == [[7, 8], [5, 5, 5, 5]]


def test_only_adapters_are_exported(call_aqa: Any, tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = call_aqa(
        "train", "t5", "--config", "t5_tiny", "--export", "gguf", "--output-dir", "run"
    )
    assert done.returncode == 1
    assert "--export" in done.stderr
    assert not (tmp_path / "run").exists()
