"""Peak memory of many examples against that of a few: reading them, and predicting.

read      every row is checked, then read again
predict   a whole run; the stub backend of the tests answers, so that all that is measured is what
          aqa itself needs
vllm      the same by the engine vLLM, with a stand-in for its server
resume    the same run once more, to see what resuming takes

Each measurement is a process of its own. Run: python tests/benchmarks/memory.py [--examples N]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from arms import Parser

if TYPE_CHECKING:
    from aqa.config.options import RunConfig

FEW = 10_000
QUICK = 100  # as few, to see that the script works
TARGET = 100  # MiB that the memory may grow
FAKES = Path(__file__).parents[1] / "fakes"

Seconds = dict[str, float]


def write_examples(path: Path, count: int) -> None:
    """Write `count` short examples of JSON Lines, every third one in Korean."""
    texts = (
        ("Where does river {} rise?", "River {} rises in the northern hills and runs south."),
        ("Who wrote book {}?", "Book {} was written by an unknown author in 1801."),
        ("{}번 강은 어디에서 시작하는가?", "{}번 강은 북쪽 산지에서 시작하여 남쪽으로 흐른다."),
    )
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            question, context = (text.format(number) for text in texts[number % len(texts)])
            row = {"id": f"row-{number}", "question": question, "context": context}
            file.write(json.dumps({**row, "answers": [str(number)]}, ensure_ascii=False) + "\n")


@contextmanager
def timed(seconds: Seconds, name: str) -> Iterator[None]:
    """Note how long the work within takes."""
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


def read(path: Path) -> Seconds:
    """Check a file's rows, then read them."""
    from aqa.data import Source, read_examples, survey

    source, seconds = Source(str(path)), Seconds()
    with timed(seconds, "check"):
        found = survey(source)
    with timed(seconds, "read"):
        assert sum(1 for _ in read_examples(source, found)) == found.count
    return seconds


def predict(path: Path) -> Seconds:
    """Predict a file with the stub, and again to see what resuming takes."""
    sys.path.insert(0, str(FAKES))
    from aqa_stub import StubBackend

    from aqa.config.load import build_config

    config = build_config(StubBackend.Options, [{"data": {"path": str(path)}}])
    return run_twice(config, path)


def vllm(path: Path) -> Seconds:
    """The same through a server that echoes a part of its prompts."""
    sys.path.insert(0, str(FAKES))
    from arms import save_tiny_llama, smollm2_config
    from fake_vllm import Start, make_python

    folder = path.parent
    os.environ["FAKE_VLLM"] = Start(str(folder)).as_json()
    config = smollm2_config(
        backend={
            "model": str(save_tiny_llama(folder / "tiny")),
            "quantization": "none",
            "engine": "vllm",
            "vllm": {"python": str(make_python(folder))},
        },
        data={"path": str(path)},
    )
    return run_twice(config, path)


def run_twice(config: "RunConfig", path: Path) -> Seconds:
    """A whole run, and the same command once more."""
    from aqa.progress import SilentProgress
    from aqa.verbs.predict import predict as run

    seconds = Seconds()
    for name in ("predict", "resume"):
        with timed(seconds, name):
            result = run(config, path.parent / path.stem, SilentProgress())
        assert result.answered == result.examples
    return seconds


WORK = {"read": read, "predict": predict, "vllm": vllm}


def main() -> None:
    """Measure few examples and many, and print the comparison."""
    parser = Parser(__doc__, examples=(1_000_000, 1000))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, path = arguments.measure
        seconds = WORK[name](Path(path))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"peak": peak, "seconds": seconds}))
        return
    fewer, more = QUICK if arguments.quick else FEW, arguments.examples
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in WORK:
            found = {}
            for count in (fewer, more):
                path = Path(folder, f"{name}-{count}.jsonl")
                write_examples(path, count)
                command = [sys.executable, __file__, "--measure", name, str(path)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found[count] = json.loads(output.splitlines()[-1])
            few, many = found[fewer], found[more]
            growth = many["peak"] - few["peak"]
            missed |= growth > TARGET
            print(
                f"{name}: {few['peak']:.1f} MiB at {fewer:,} examples, {growth:+.1f} MiB at"
                f" {more:,} (target: at most {TARGET} more)"
            )
            for part, seconds in many["seconds"].items():
                rate = more / seconds
                print(f"  {part}: {seconds:.0f} s, {rate:,.0f} examples a second")
    sys.exit(missed and not arguments.quick)


if __name__ == "__main__":
    main()
