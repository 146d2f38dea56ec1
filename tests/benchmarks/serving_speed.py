"""Speed of predicting 64 questions with the native engine, vLLM and llama.cpp's server.

All get the same token ids (whole SQuAD paragraphs, the built-in prompt) and answer greedily with at
most 64 new tokens; each round has other questions, since the servers cache what they have read. The
native engine uses the adapter over its 4-bit base, or with --merged the run's merged weights (`aqa
train --merge`), which the servers always use, as their fastest way. Servers get many questions at a
time, and are warmed up before timing starts. CPU seconds include their processes.

vllm       `backend.engine=vllm`, the server started by aqa in the environment of --vllm-python
llama.cpp  --llama-server's /completion, with the GGUF file written by `--export gguf`, f16

Run: python tests/benchmarks/serving_speed.py --run FOLDER [--vllm-python P] [--llama-server P]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from arms import (
    ROOT,
    Parser,
    interleave,
    print_table,
    print_verdict,
    ratio,
    run_config,
    save_tiny_llama,
    smollm2_config,
    squad_prompts,
    typical,
)

from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.llama_qlora.merging import merged_config
from aqa.backends.llama_qlora.vllm.process import free_port
from aqa.config.options import RunConfig
from aqa.progress import SilentProgress
from aqa.records import Prompt
from aqa.runs.names import MERGED

TARGET = 1.0
SAME_TARGET = 90.0  # per cent
MAX_NEW_TOKENS = 64
SLOTS = 8  # concurrent questions of llama.cpp
WARM = 2  # questions before timing starts
START = 300.0  # seconds for a server to start

Answers = dict[str, str]
Arm = Callable[[Sequence[Prompt]], Answers]


@contextmanager
def by_aqa(config: RunConfig, warm: Sequence[Prompt]) -> Iterator[Arm]:
    """An engine of aqa, as `aqa predict` uses it."""
    with LlamaQloraBackend(config, SilentProgress()) as reader:

        def answer(prompts: Sequence[Prompt]) -> Answers:
            return {each.id: (each.raw or "").strip() for _, each in reader.generate(prompts)}

        answer(warm)
        yield answer


@contextmanager
def by_llama_cpp(
    server: Path, model: Path, reader: LlamaQloraBackend, warm: Sequence[Prompt]
) -> Iterator[Arm]:
    """llama.cpp's server with a GGUF file, asked with token ids."""
    port = free_port()
    width = 1024 * SLOTS
    threads = torch.get_num_threads()
    words = f"-m {model} --host 127.0.0.1 --port {port} -np {SLOTS} -c {width} -t {threads}"
    process = subprocess.Popen(
        [str(server), *words.split(), "--no-webui"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def ask(prompt: Prompt) -> str:
        body = {
            "prompt": list(reader.encode(prompt).prompt_ids),
            "n_predict": MAX_NEW_TOKENS,
            "temperature": 0.0,
            "cache_prompt": True,
            "repeat_penalty": 1.0,
        }
        return str(post(f"{url}/completion", body)["content"]).strip()

    def answer(prompts: Sequence[Prompt]) -> Answers:
        with ThreadPoolExecutor(SLOTS * 2) as pool:
            return dict(zip((p.id for p in prompts), pool.map(ask, prompts), strict=True))

    try:
        wait_until_up(url, process)
        answer(warm)
        yield answer
    finally:
        process.terminate()
        process.wait()


def post(url: str, body: Mapping[str, object]) -> dict[str, object]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=START) as reply:
        found: dict[str, object] = json.load(reply)
    return found


def wait_until_up(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    sys.exit("llama.cpp's server did not start")


def vllm_config(config: RunConfig, run: Path, settings: Mapping[str, object]) -> RunConfig:
    """The config for a run's merged model, served by vLLM."""
    merged = merged_config(config, run / MERGED)
    options = merged.backend.model_dump() | {"engine": "vllm", "vllm": settings}
    backend = type(merged.backend).model_validate(options)
    return merged.model_copy(update={"backend": backend})


def quick(opened: ExitStack) -> tuple[RunConfig, RunConfig]:
    """A tiny model, and a server that echoes its prompts instead of vLLM."""
    sys.path.insert(0, str(ROOT / "tests" / "fakes"))
    from fake_vllm import VllmServer, serving

    folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
    url = opened.enter_context(serving(VllmServer())).url
    tiny = {"model": str(save_tiny_llama(folder / "tiny")), "quantization": "none"}
    vllm = {"urls": [url.removesuffix("/v1")], "served_model": "base"}
    return (
        smollm2_config(backend=tiny),
        smollm2_config(backend={**tiny, "engine": "vllm", "vllm": vllm}),
    )


def main() -> None:
    parser = Parser(__doc__, questions=(64, 2), rounds=(3, 2), threads=(None, None))
    parser.add_argument("--run", type=Path, default=Path("runs/llama_smollm2"))
    parser.add_argument("--vllm-python", help="The Python of an environment that has vLLM.")
    parser.add_argument("--llama-server", type=Path, help="llama.cpp's program llama-server.")
    parser.add_argument("--gguf", type=Path, help="The run's GGUF file (default: in the run).")
    parser.add_argument("--float32", action="store_true", help="Both of aqa's engines in float32.")
    parser.add_argument("--merged", action="store_true", help="All with the same merged weights.")
    options = parser.parse_args()
    with ExitStack() as opened:
        compare(opened, options)


def compare(opened: ExitStack, options: argparse.Namespace) -> None:
    """Answer with each engine in turn; print a table, identical answers and the verdicts."""
    generation: dict[str, object] = {"max_new_tokens": MAX_NEW_TOKENS}
    other: RunConfig | None = None
    if options.quick:
        own, other = quick(opened)
    else:
        dtype = {"compute_dtype": "float32"} if options.float32 else {}
        own = run_config(options.run, generation=generation, backend=dtype)
        if options.vllm_python:
            settings = {"python": options.vllm_python, "gpu_memory_utilization": 0.1}
            other = vllm_config(own, options.run, settings)
        if options.merged:
            own = merged_config(own, options.run / MERGED)
    reader = opened.enter_context(LlamaQloraBackend(own, SilentProgress()))
    prompts = squad_prompts(reader, WARM + options.questions * options.rounds)
    warm, arms = prompts[:WARM], {}
    arms["aqa"] = opened.enter_context(by_aqa(own, warm))
    if other is not None:
        arms["vllm"] = opened.enter_context(by_aqa(other, warm))
    if options.llama_server:
        file = options.gguf or options.run / f"{MERGED}-f16.gguf"
        server = by_llama_cpp(options.llama_server, file, reader, warm)
        arms["llama.cpp"] = opened.enter_context(server)
    report(arms, prompts[WARM:], options.rounds)


def report(arms: Mapping[str, Arm], prompts: Sequence[Prompt], rounds: int) -> None:
    """Interleave the arms; print their costs, and how many answers equal aqa's."""
    kept: dict[str, Answers] = {name: {} for name in arms}
    each = len(prompts) // rounds

    def work(name: str) -> Callable[[], None]:
        parts = (prompts[start : start + each] for start in range(0, len(prompts), each))
        return lambda: kept[name].update(arms[name](next(parts)))

    costs = interleave({name: work(name) for name in arms}, rounds)
    same = {name: sum(kept[name][key] == kept["aqa"][key] for key in kept["aqa"]) for name in arms}
    rows = [["arm", "seconds", "CPU seconds", "times aqa's", "by CPU", "same answers"]]
    for name in arms:
        cost = typical(costs[name])
        times = (f"{ratio(costs, name, 'aqa', kind):.2f}" for kind in ("wall", "cpu"))
        rows.append([name, f"{cost.wall:.1f}", f"{cost.cpu:.1f}", *times, str(same[name])])
    print(f"{rounds} rounds of {each} questions, {torch.get_num_threads()} threads")
    print_table(rows)
    for name in [*arms][1:]:
        print_verdict(
            f"{name}: same answers, per cent", 100 * same[name] / len(prompts), SAME_TARGET
        )
        for kind in ("wall", "cpu"):
            value = ratio(costs, name, "aqa", kind)
            print_verdict(f"{name} / aqa, seconds ({kind})", value, TARGET)


if __name__ == "__main__":
    main()
