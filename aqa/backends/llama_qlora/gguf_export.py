"""Export a merged model to llama.cpp, and compare the answers of both."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from aqa.backends.base import Merged
from aqa.backends.local.decoding import StopConditions
from aqa.backends.local.reader import LocalReader
from aqa.backends.servers import short_line
from aqa.errors import ModelError
from aqa.records import Prompt

CONVERTER = "convert_hf_to_gguf.py"  # llama.cpp's own
LLAMA_CPP = "llama_cpp"  # the import name of llama-cpp-python


def find_converter() -> Path:
    """Find llama.cpp's converter on the PATH or beside llama-cpp-python; else raise ModelError."""
    on_path = shutil.which(CONVERTER)
    package = find_spec(LLAMA_CPP)
    paths = [] if on_path is None else [Path(on_path)]
    if package is not None and package.origin is not None:
        paths.append(Path(package.origin).parents[1] / "bin" / CONVERTER)
    for path in paths:
        if path.is_file():
            return path
    raise ModelError(
        f"llama.cpp's converter ({CONVERTER}) is not installed; run: pip install llama-cpp-python"
        " gguf, or put the folder of a checkout of llama.cpp on the PATH"
    )


def convert_to_gguf(model: Path, kind: str) -> Path:
    """Convert a model's folder to a GGUF file beside it, of the `kind` f16 or q8_0.

    Raises:
        ModelError: the converter is not installed, or cannot convert this model.
    """
    target = model.with_name(f"{model.name}-{kind}.gguf")
    draft = model.with_name(f".{model.name}-{kind}.draft.gguf")
    command = [sys.executable, str(find_converter()), str(model), "--outfile", str(draft)]
    result = subprocess.run(  # noqa: S603
        [*command, "--outtype", kind], capture_output=True, text=True, check=False
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise ModelError(f"{model}: llama.cpp's converter can't convert it: {short_line(last)}")
    draft.replace(target)
    return target


def export_gguf(
    reader: LocalReader, ends: StopConditions, model: Path, kind: str, prompts: Sequence[Prompt]
) -> Merged:
    """Convert the reader's model and, if llama-cpp-python is installed, compare greedy answers."""
    file = convert_to_gguf(model, kind)
    if find_spec(LLAMA_CPP) is None:
        return Merged(file, 0, 0)
    with reader:
        wanted = [(prompt, answer.raw) for prompt, answer in reader.generate(map(replace, prompts))]
    ids = [reader.encode(prompt).prompt_ids for prompt, _ in wanted]
    written = write_answers(file, ids, ends, reader.config.generation.max_new_tokens)
    pairs = zip(wanted, written, strict=True)
    different = sum(raw != reader.text_of(ids_written) for (_, raw), ids_written in pairs)
    return Merged(file, len(wanted), different)


def write_answers(
    file: Path, prompts: Sequence[Sequence[int]], ends: StopConditions, most: int
) -> Iterator[list[int]]:
    """Yield llama.cpp's greedy answers to prompts of token ids, at most `most` tokens each."""
    from llama_cpp import Llama

    longest = max(map(len, prompts), default=0) + most
    model = Llama(model_path=str(file), n_ctx=longest, verbose=False)
    for ids in prompts:
        written: list[int] = []
        for token in model.generate(list(ids), temp=0.0, repeat_penalty=1.0):
            written.append(token)
            if len(written) == most or ends.ended(written):
                break
        yield ends.until(written, [0.0] * len(written)).ids
