"""The backend gpt4 with a third-party server: `transformers serve`, on loopback.

It serves the real chat model of the extra `offline` in float32: in bfloat16, the logits of a batch,
in which `aqa predict llama` reads its prompts, differ by rounding from those of a single prompt,
and so did 2 of 30 answers; in float32 none did.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calls import Call

from aqa.backends.llama_qlora.conversion import convert_gguf
from aqa.backends.model_files import find_model
from aqa.config.backend_options import LlamaQloraOptions
from aqa.progress import SilentProgress

QUESTIONS = 8
SAMPLE = ["--data", "package:aqa/samples/english_dev.json", "--limit", str(QUESTIONS)]
DECODING = ["--max-new-tokens", "8", "--set", "generation.temperature=0"]
UP = re.compile(r"running on (http://127\.0\.0\.1:\d+)")


@pytest.fixture(scope="module")
def weights(smollm2: str) -> str:
    """The model's folder with unpacked weights, which both readers load."""
    return convert_gguf(find_model(LlamaQloraOptions(model=smollm2)), SilentProgress()).base


@pytest.fixture(scope="module")
def url(weights: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address; it chooses a free port and prints it."""
    for name in ("fastapi", "uvicorn"):
        pytest.importorskip(name, reason="the extra serving is not installed")
    log = tmp_path_factory.mktemp("served") / "log.txt"
    words = ["serve", weights, "--host", "127.0.0.1", "--port", "0"]
    words += ["--device", "cpu", "--dtype", "float32"]
    with log.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "transformers.cli.transformers", *words],
            stdout=file,
            stderr=file,
            # Threads wait for each other in vain if the machine has other work.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        yield f"{_address(server, log)}/v1"
    finally:
        server.kill()
        server.wait()


def _address(server: "subprocess.Popen[bytes]", log: Path) -> str:
    until = time.monotonic() + 300
    while time.monotonic() < until and server.poll() is None:
        if found := UP.search(log.read_text(errors="replace")):
            return found[1]
        time.sleep(0.1)
    pytest.fail(f"transformers serve does not come up:\n{log.read_text(errors='replace')}")


def predictions(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "predictions.json").read_bytes())  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_served_model_answers_as_the_same_one_read_here(
    url: str, weights: str, tmp_path: Path, call_aqa: Call
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    plain = ["--set", "backend.quantization=none", "--set", "backend.compute_dtype=float32"]
    words = [*SAMPLE, *DECODING, "--model", weights, "--quiet"]
    call_aqa("predict", "llama", *words, *plain, "-o", ours, code=0)
    asking = ["predict", "gpt4", *words, "--set", f"backend.base_url={url}"]
    asking += ["--set", f"backend.tokenizer={weights}"]
    asking += ["--set", "backend.request_timeout=600"]  # for a busy machine
    told = json.loads(call_aqa(*asking, "--dry-run", "--json").stdout)
    call_aqa(*asking, "-o", theirs, code=0)
    read, served = predictions(ours), predictions(theirs)
    assert list(read) == list(served)
    assert len(read) == QUESTIONS
    counted = sum(row["tokens"]["prompt"] for row in served.values())
    assert (told["exact"], told["input_tokens"]) == (True, counted)
    # The same evidence, template and chat template make identical prompts.
    for id_, row in read.items():
        assert row["tokens"]["prompt"] == served[id_]["tokens"]["prompt"], id_
        assert row["evidence"] == served[id_]["evidence"]
    different = [
        (row["raw"], served[id_]["raw"])
        for id_, row in read.items()
        if row["raw"].strip() != served[id_]["raw"].strip()
    ]
    assert len(different) <= 0.1 * QUESTIONS, different
    assert len({row["raw"] for row in served.values()}) > QUESTIONS / 2  # not always one phrase


def test_a_served_model_is_asked_as_the_folder_of_a_training_says(
    tmp_path: Path, call_aqa: Call
) -> None:
    """It takes template and decoding from the training; loading is up to the server."""
    merged = tmp_path / "run" / "merged"
    merged.mkdir(parents=True)
    config = {
        "backend": {"name": "llama-qlora", "model": "base"},
        "prompt": "eng_v2",
        "generation": {"max_new_tokens": 3},
    }
    manifest = json.dumps({"verb": "train", "config": config})
    (tmp_path / "run" / "run.json").write_text(manifest)
    words = ["--model", merged, *SAMPLE, "--set", "backend.base_url=http://127.0.0.1:9/v1"]
    done = call_aqa("predict", "gpt4", *words, "--dry-run", "--json", "--quiet", code=0)
    told = json.loads(done.stdout)
    assert told["output_tokens"] == [QUESTIONS, 3 * QUESTIONS]
    other = call_aqa("predict", "gpt4", *words, "--dry-run", "--json", "--quiet", "-p", "eng_v1")
    assert json.loads(other.stdout)["input_tokens"] != told["input_tokens"]
