"""Peak memory with many questions compared with a few, for each way to predict and evaluate.

Each way is an aqa command whose model or server answers at once, so that only aqa's own memory is
measured: the sum over its processes, each at its peak. Stand-in servers and Ray's own processes are
excluded.

A prediction may grow by 100 MiB. An evaluation holds the answers, so it is reported per question.

Run: python tests/benchmarks/memory.py [WAY ...] [--few N] [--many N]
With --quick each way runs once, with few questions: there is no growth to see.
"""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import psutil
from arms import Parser, save_tiny_llama
from loopback import Loopback

TARGET = 100  # MiB of allowed growth
LOOK = 0.3  # seconds between looks at the processes
# In command lines of processes that are not aqa's: stand-in servers, and Ray's own.
OTHERS = re.compile(r"fake_vllm|/ray/|^ray::(?!Reading)")
FAKES = Path(__file__).parents[1] / "fakes"
SMALL = 200  # questions that an ensemble is trained on

STUB, LLAMA = "predict stub -o", "predict llama --model tiny --set backend.quantization=none -o"
API = "predict gpt4 --model m --set 'backend.price={{input: 1, output: 1}}' -o"
COUNT = "--set workers.count=2"
ENSEMBLE = "predict ensemble --model learned -o"
BATCHES = "--batch-api --set backend.batch.poll_seconds=0.1 --set backend.base_url={batches}"
# The words of each way, ordered so that they can use each other's runs.
WAYS = {
    "predict": f"{STUB} predict --data q.jsonl",
    "resume": f"{STUB} predict --data q.jsonl",
    "json": f"{STUB} json --data q.json",
    "split": f"{STUB} split --data split.json",
    "csv": f"{STUB} csv --data q.csv",
    "parquet": f"{STUB} parquet --data q.parquet",
    "processes": f"{STUB} processes --data q.jsonl {COUNT}",
    "torchrun": f"{STUB} torchrun --data q.jsonl",
    "ray": f"{STUB} ray --data q.jsonl {COUNT} --set workers.engine=ray",
    "stress": f"{STUB} stress --data q.jsonl --stress noise-5,conflict",
    "stop": f"{STUB} stop --data q.jsonl --stop-when-decided predict",
    "ensemble": f"{ENSEMBLE} ensemble --data q.jsonl",
    "answers": f"{ENSEMBLE} answers --data q.jsonl --set backend.answers=[whole]",
    "llama": f"{LLAMA} llama --data q.jsonl",
    "vllm": f"{LLAMA} vllm --data q.jsonl --set backend.engine=vllm"
    " --set backend.vllm.python=./python-of-vllm",
    "gpt4": f"{API} gpt4 --data q.jsonl --set backend.base_url={{api}}",
    "batch": f"{API} batch --data q.jsonl {BATCHES}",
    "evaluate": "evaluate predict --metrics em,f1",
    "data": "evaluate predict --metrics em,f1 --data q.jsonl",
    "compare": "evaluate predict processes --metrics em,f1 --data q.jsonl",
    "train": "evaluate predict --metrics em,f1 --data q.jsonl --train q.jsonl",
}
# Commands to run first, which are not measured.
BEFORE = {
    "ensemble": [
        f"{STUB} one --model one --data small.jsonl",
        f"{STUB} two --model two --data small.jsonl",
        "train ensemble -o learned --data small.jsonl --set backend.members=[one,two]"
        " --set backend.rule=majority",
    ],
    "answers": [f"{STUB} whole --model one --data q.jsonl"],
}
EVALUATIONS = {"evaluate", "data", "compare", "train"}
TEXTS = (
    ("How long is river {}?", "River {} rises in the northern hills and is {} km long."),
    ("In which year was book {} written?", "Book {} was written by an unknown author in {}."),
    ("{}번 강의 길이는 얼마인가?", "{}번 강은 북쪽 산지에서 시작하여 {}킬로미터를 흐른다."),
)


def examples(count: int) -> Iterator[dict[str, object]]:
    """Yield so many short examples, every third one in Korean."""
    for number in range(count):
        answer = 1000 + number
        question, context = (text.format(number, answer) for text in TEXTS[number % len(TEXTS)])
        row = {"id": f"row-{number}", "question": question, "context": context}
        yield {**row, "answers": [str(answer)]}


def write_examples(path: Path, count: int) -> None:
    """Write so many examples as JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        for row in examples(count):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_document(path: Path, count: int) -> None:
    """Write them as one JSON document."""
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(examples(count)):
            file.write((",\n" if number else '{"data": [') + json.dumps(row))
        file.write("]}")


def write_split(path: Path, count: int) -> None:
    """Write them as pandas does with `orient="split"`."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"columns": {json.dumps([*next(examples(1))])}, "data": [')
        for number, row in enumerate(examples(count)):
            file.write(",\n" * bool(number) + json.dumps([*row.values()]))
        file.write("]}")


def write_csv(path: Path, count: int) -> None:
    """Write them as a CSV table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(next(examples(1)))
        table.writerows(row.values() for row in examples(count))


def write_parquet(path: Path, count: int) -> None:
    """Write them as most programs do, with a million rows in a row group."""
    import pyarrow
    import pyarrow.parquet

    rows = examples(count)
    batches = iter(lambda: list(islice(rows, 10_000)), [])
    tables = [pyarrow.Table.from_pylist(batch) for batch in batches]
    pyarrow.parquet.write_table(pyarrow.concat_tables(tables), path)


DATA = {
    "q.jsonl": write_examples, "q.json": write_document, "q.csv": write_csv,
    "q.parquet": write_parquet, "split.json": write_split,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with the data and runs, and the servers that answer."""

    folder: Path
    count: int
    api: str
    batches: str

    def command(self, way: str, words: str) -> list[str]:
        """The command of a way, after writing its data."""
        found = shlex.split(words.format(api=self.api, batches=self.batches))
        for name, write in DATA.items():
            if name in found and not (self.folder / name).exists():
                write(self.folder / name, self.count)
        if way == "torchrun":
            start = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "aqa"]
            return [sys.executable, "-m", *start, *found, "--quiet"]
        return [sys.executable, __file__, "--as-aqa", *found, "--quiet"]

    def measure(self, way: str) -> tuple[float, float]:
        """Run a way to its end; return its MiB and seconds."""
        for words in BEFORE.get(way, ()):
            self._peak(self.command("", words))
        started = time.monotonic()
        return self._peak(self.command(way, WAYS[way])), time.monotonic() - started

    def _peak(self, command: list[str]) -> float:
        from fake_vllm import Start

        paths = [str(FAKES), *filter(None, [os.environ.get("PYTHONPATH")])]
        told = {
            "PYTHONPATH": os.pathsep.join(paths),
            "FAKE_VLLM": Start(str(self.folder)).as_json(),
            "OPENAI_API_KEY": "none",
        }
        with (self.folder / "log").open("w+") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **told}, stdout=log, stderr=log
            )
            peaks, known = dict[int, float](), set[int]()
            while process.poll() is None:
                found = peaks_of(process.pid)
                # A process seen for the first time may be a fork of its parent.
                both = {pid: peak for pid, peak in found.items() if pid in known}
                peaks |= {pid: max(peak, peaks.get(pid, 0)) for pid, peak in both.items()}
                known = set(found)
                time.sleep(LOOK)
            if process.returncode:
                log.seek(0)
                sys.exit(f"{shlex.join(command)}\n{log.read()[-4000:]}")
        return sum(peaks.values())


def peaks_of(pid: int) -> dict[int, float]:
    """The peaks so far of a process and its descendants, by process id, in MiB."""
    found = {}
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                words = " ".join(each.cmdline())
                status = Path(f"/proc/{each.pid}/status").read_text(encoding="utf-8")
                lines = [line for line in status.splitlines() if "VmHWM" in line]
                if lines and not OTHERS.search(words):
                    found[each.pid] = int(lines[0].split()[1]) / 1024
    return found


def as_aqa(words: list[str]) -> None:
    """Run the command line with models that answer at once."""
    from aqa.__main__ import main

    if "llama" in words:
        from aqa.backends.llama_qlora.backend import LlamaQloraBackend
        from aqa.backends.local.decoding import GeneratedAnswer

        def answer(reader, rows):  # type: ignore[no-untyped-def]
            for row in rows:
                yield reader._predicted(
                    row, [GeneratedAnswer(row.encoding.prompt_ids[1:4], -1.0, 4, -0.5)]
                )

        LlamaQloraBackend._answer_window = answer  # type: ignore[method-assign]
    sys.argv = ["aqa", *words]
    main()


def main() -> None:
    """Measure each way with few and many questions, and print the comparison."""
    if sys.argv[1:2] == ["--as-aqa"]:
        as_aqa(sys.argv[2:])
        return
    parser = Parser(__doc__, few=(10_000, 60), many=(1_000_000, 120))
    parser.add_argument("ways", nargs="*", choices=[[], *WAYS], default=[])
    asked = parser.parse_args()
    ways = [way for way in WAYS if way in (asked.ways or WAYS)]
    if find_spec("ray") is None and "ray" in ways:
        print("ray: not installed")
        ways.remove("ray")
    sys.path.insert(0, str(FAKES))
    missed = False
    with ExitStack() as opened:
        api, batches = (opened.enter_context(Loopback(batches=kind)).url for kind in (False, True))
        places = [
            made_place(opened.enter_context(tempfile.TemporaryDirectory()), count, api, batches)
            for count in ([asked.few] if asked.quick else [asked.few, asked.many])
        ]
        for way in ways:
            found = [place.measure(way) for place in places]
            (few, _), (many, seconds) = found[0], found[-1]
            growth = many - few
            missed |= way not in EVALUATIONS and growth > TARGET
            each = growth * 2**20 / (asked.many - asked.few)
            bound = f"{each:,.0f} bytes each" if way in EVALUATIONS else f"at most {TARGET}"
            print(
                f"{way}: {few:.0f} MiB at {asked.few:,}, {growth:+.0f} at {asked.many:,} ({bound};"
                f" {seconds:.0f} s)",
                flush=True,
            )
    sys.exit(missed and not asked.quick)


def made_place(name: str, count: int, api: str, batches: str) -> Place:
    """Make what the ways need besides their data."""
    from fake_vllm import make_python

    folder = Path(name)
    save_tiny_llama(folder / "tiny")
    make_python(folder)
    write_examples(folder / "small.jsonl", SMALL)
    return Place(folder, count, api, batches)


if __name__ == "__main__":
    main()
