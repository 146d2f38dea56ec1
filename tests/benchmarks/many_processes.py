"""One prediction in four processes, some of which are killed.

Four processes ask 10,000 questions of two stand-ins for vLLM; ten times, one of the six is killed
(`kill -9`) at a random moment. Servers are restarted, and when no process is left, the same command
is run again. No answer may be lost, or given twice except those in flight, and the files must equal
those of a single process.

Run: python tests/benchmarks/many_processes.py [--seed N]
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from arms import Parser

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "fakes")]

PROCESSES, SERVERS, WINDOW = 4, 2, 64
OPEN = 16  # requests of a process to a server


class Servers:
    """Stand-ins for vLLM, which record what they answer."""

    def __init__(self, folder: Path, asked: Path) -> None:
        from fake_vllm import Start

        from aqa.backends.llama_qlora.vllm.process import free_port

        self._folder, self._ports = folder, [free_port() for _ in range(SERVERS)]
        self._said = Start(str(folder), asked=str(asked), latency=0.02).as_json()
        self.urls = [f"http://127.0.0.1:{port}" for port in self._ports]
        self._processes = [self._started(number) for number in range(SERVERS)]

    def _started(self, number: int) -> "subprocess.Popen[bytes]":
        words = ["serve", "--served-model-name", "base", "--port", str(self._ports[number])]
        program = HERE.parent / "fakes" / "fake_vllm.py"
        told = {"FAKE_VLLM": self._said, "VLLM_API_KEY": ""}
        return subprocess.Popen([sys.executable, program, *words], env={**os.environ, **told})

    def kill(self, number: int) -> None:
        """Kill it with -9 and start it again."""
        self._processes[number].kill()
        self._processes[number].wait()
        self._processes[number] = self._started(number)

    def close(self) -> None:
        """Stop all."""
        for process in self._processes:
            process.kill()
            process.wait()


def asking(model: Path, data: Path, urls: list[str]) -> object:
    """A run with a tiny model's prompts, answered by servers."""
    from aqa.config.backend_options import LlamaQloraOptions
    from aqa.config.load import build_config

    vllm = {"urls": urls, "served_model": "base", "max_concurrency": OPEN}
    backend = {"model": str(model), "engine": "vllm", "max_seq_length": 512, "vllm": vllm}
    generation = {"max_new_tokens": 8}
    settings = {"data": {"path": str(data)}, "generation": generation, "backend": backend}
    config = build_config(LlamaQloraOptions, [settings])
    smaller = config.generation.model_copy(update={"window": WINDOW})  # so that work is shared
    return config.model_copy(update={"generation": smaller})


def survive(folder: Path, questions: int, kills: int, seed: int) -> bool:
    """Kill processes and servers; return whether the run's files are those of one process."""
    from memory import write_examples
    from shared_runs import CONTEXT, Launch
    from tiny_llama import make_tokenizer, save_tiny

    CONTEXT.set_forkserver_preload(["shared_runs", "numpy", "heavy"])
    data, asked = folder / "questions.jsonl", folder / "asked"
    write_examples(data, questions)
    model = save_tiny(folder / "model", make_tokenizer())
    servers = Servers(folder, asked)
    try:
        config = asking(model, data, servers.urls)
        assert Launch(config, folder / "one", 1).exit_codes() == [0]
        asked.unlink()
        moments, done, launches = random.Random(seed), {"process": 0, "server": 0}, 0
        start = time.perf_counter()
        while True:
            launch = Launch(config, folder / "many", PROCESSES)
            launches += 1
            while sum(done.values()) < kills and launch.living():
                before = len(lines_of(asked))
                while launch.living() and len(lines_of(asked)) == before:
                    time.sleep(0.05)
                time.sleep(moments.uniform(0.0, 0.5))
                if living := launch.living():
                    victim = moments.choice([*living, *range(-SERVERS, 0)])
                    done["process" if victim >= 0 else "server"] += 1
                    launch.kill(victim) if victim >= 0 else servers.kill(victim)
            if 0 in launch.exit_codes():
                break
        seconds = time.perf_counter() - start
    finally:
        servers.close()
    twice = sum(count - 1 for count in Counter(lines_of(asked)).values())
    most = done["process"] * WINDOW + done["server"] * PROCESSES * OPEN
    files = [(folder / name / "predictions.json").read_bytes() for name in ("one", "many")]
    lines = [
        sorted((folder / name / "predictions.jsonl").read_bytes().splitlines())
        for name in ("one", "many")
    ]
    is_same = files[0] == files[1] and lines[0] == lines[1]
    print(
        f"kills: {done['process']} of processes and {done['server']} of servers, in {launches}"
        f" launches of {PROCESSES}; {questions:,} questions in {seconds:.0f} s; {twice} answered"
        f" twice (at most {most} were in flight); files {'equal' if is_same else 'DIFFER'}"
    )
    return is_same and twice <= most


def lines_of(path: Path) -> list[str]:
    """What has been answered so far."""
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def main() -> None:
    """Kill, and print the outcome."""
    parser = Parser(__doc__, questions=(10_000, 200), kills=(10, 3))
    parser.add_argument("--seed", type=int, default=13)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        survived = survive(folder, asked.questions, asked.kills, asked.seed)
    sys.exit(not survived)


if __name__ == "__main__":
    main()
