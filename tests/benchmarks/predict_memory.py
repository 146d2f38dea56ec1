"""Memory and speed of a prediction run: peak memory of many examples against that of a few.

Run: python tests/benchmarks/predict_memory.py [--examples 1000000]
The stub backend of the tests answers, so that all that is measured is what aqa itself needs.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FEW = 10_000
TARGET = 100  # MiB that the memory may grow
STUB = Path(__file__).parents[1] / "stub"


def write_examples(path: Path, count: int) -> None:
    """Write `count` short examples of JSON Lines, every other one in Korean."""
    texts = (
        ("Who wrote book {}?", "Book {} was written by an unknown author in 1801."),
        ("{}번 강은 어디에서 시작하는가?", "{}번 강은 북쪽 산지에서 시작하여 남쪽으로 흐른다."),
    )
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            question, context = (text.format(number) for text in texts[number % len(texts)])
            row = {"id": f"row-{number}", "question": question, "context": context}
            file.write(json.dumps({**row, "answers": [str(number)]}, ensure_ascii=False) + "\n")


def measure(path: Path) -> None:
    """Predict a file, and again to see what resuming takes; print the figures as JSON."""
    sys.path.insert(0, str(STUB))
    from aqa_stub import StubBackend

    from aqa.config import build_config
    from aqa.predict import predict
    from aqa.progress import SilentProgress

    config = build_config(StubBackend.Options, [{"data": {"path": str(path)}}])
    figures = {}
    for name in ("predict", "resume"):
        start = time.perf_counter()
        result = predict(config, StubBackend, path.parent / path.stem, SilentProgress())
        figures[name] = time.perf_counter() - start
        assert result.answered == result.examples
    figures["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def main() -> None:
    """Measure few examples and many, each in a process of its own, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1_000_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (FEW, arguments.examples):
            path = Path(folder, f"examples-{count}.jsonl")
            write_examples(path, count)
            command = [sys.executable, __file__, "--measure", str(path)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[count] = json.loads(output)
    few, many = results[FEW], results[arguments.examples]
    growth = many["peak"] - few["peak"]
    print(f"peak memory: {few['peak']:.1f} MiB for {FEW:,} examples")
    print(f"growth for {arguments.examples:,} examples: {growth:.1f} MiB (target: {TARGET})")
    for name in ("predict", "resume"):
        print(
            f"{name}: {many[name]:.0f} s, {arguments.examples / many[name]:,.0f} examples a second"
        )
    sys.exit(growth > TARGET)


if __name__ == "__main__":
    main()
