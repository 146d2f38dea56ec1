"""One prediction in four processes, some of which are killed; and what memory more prompts take.

kills     10,000 questions through four processes of the stub backend, ten of which are killed
          (`kill -9`) at random moments; where none is left, the same command is run again. No
          answer may be lost, none given twice but those in flight, and the files are one process's.
memory    the peak of the process that leads, from 10,000 to 1,000,000 questions

Run: python tests/benchmarks/many_processes.py [--seed N]
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "fakes")]

PROCESSES, KILLS, QUESTIONS, WINDOW = 4, 10, 10_000, 64
FEW, MANY = 10_000, 1_000_000
QUICK = {"questions": 600, "kills": 3, "few": 100, "many": 1000}
TARGET = 100  # MiB that the memory may grow


def configured(data: Path, asked: Path | None, seconds: float, window: int) -> object:
    """A run of the stub, which may note what it is asked."""
    from aqa_stub import StubBackend

    from aqa.config.load import build_config

    backend = {"seconds_per_answer": seconds, "asked": None if asked is None else str(asked)}
    settings = {"data": {"path": str(data)}, "generation": {"window": window}, "backend": backend}
    return build_config(StubBackend.Options, [settings])


def survive(folder: Path, questions: int, kills: int, seed: int) -> bool:
    """Kill processes of a run again and again; tell whether its files are those of one process."""
    from aqa_stub import StubBackend
    from memory import write_examples
    from shared_runs import Launch

    from aqa.progress import SilentProgress
    from aqa.verbs.predict import predict

    data, asked = folder / "questions.jsonl", folder / "asked"
    write_examples(data, questions)
    predict(configured(data, None, 0, WINDOW), StubBackend, folder / "one", SilentProgress())
    config = configured(data, asked, 0.004, WINDOW)
    moments, left, launches = random.Random(seed), kills, 0
    start = time.perf_counter()
    while True:
        launch = Launch(config, folder / "many", PROCESSES)
        launches += 1
        while left and launch.living():
            before = len(lines_of(asked))
            while launch.living() and len(lines_of(asked)) == before:
                time.sleep(0.05)
            time.sleep(moments.uniform(0.0, 0.5))
            if living := launch.living():
                launch.kill(moments.choice(living))
                left -= 1
        codes = launch.exit_codes()
        if 0 in codes:
            break
    seconds = time.perf_counter() - start
    twice = sum(count - 1 for count in Counter(lines_of(asked)).values())
    files = [(folder / name / "predictions.json").read_bytes() for name in ("one", "many")]
    lines = [
        sorted((folder / name / "predictions.jsonl").read_bytes().splitlines())
        for name in ("one", "many")
    ]
    print(
        f"kills: {kills - left} of processes, in {launches} launches of {PROCESSES};"
        f" {questions:,} questions in {seconds:.0f} s; {twice} asked twice"
        f" (at most {(kills - left) * WINDOW} were in flight);"
        f" files {'equal' if files[0] == files[1] and lines[0] == lines[1] else 'DIFFER'}"
    )
    return files[0] == files[1] and lines[0] == lines[1] and twice <= (kills - left) * WINDOW


def lines_of(path: Path) -> list[str]:
    """What was asked so far."""
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def peak(folder: Path, count: int) -> float:
    """MiB that the first of two processes takes at most."""
    from memory import write_examples
    from shared_runs import Launch

    data = folder / f"{count}.jsonl"
    write_examples(data, count)
    launch = Launch(configured(data, None, 0, 512), folder / str(count), 2, measured=folder)
    assert launch.exit_codes() == [0, 0]
    return max(json.loads((folder / f"peak-{rank}").read_text()) for rank in range(2))


def main() -> None:
    """Kill and measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument(
        "--quick", action="store_true", help="Tiny sizes; the figures mean nothing."
    )
    arguments = parser.parse_args()
    sizes = {"questions": QUESTIONS, "kills": KILLS, "few": FEW, "many": MANY}
    if arguments.quick:
        sizes = QUICK
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        survived = survive(folder, sizes["questions"], sizes["kills"], arguments.seed)
        few, many = (peak(folder, sizes[size]) for size in ("few", "many"))
        print(
            f"memory: {few:.1f} MiB at {sizes['few']:,} questions, {many - few:+.1f} MiB at"
            f" {sizes['many']:,} (target: at most {TARGET} more)"
        )
    sys.exit(not survived or (many - few > TARGET and not arguments.quick))


if __name__ == "__main__":
    main()
