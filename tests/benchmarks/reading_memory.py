"""Memory and speed of reading: peak memory of many rows against that of a few.

Run: python tests/benchmarks/reading_memory.py [--rows 1000000]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FEW_ROWS = 10_000


def write_rows(path: Path, count: int) -> None:
    """Write `count` short rows of JSON Lines, every third of them Korean."""
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


def measure(path: Path) -> None:
    """Survey and read a file; print the figures as JSON."""
    from aqa.data import Source, read_examples, survey

    source = Source(str(path))
    start = time.perf_counter()
    found = survey(source)
    surveyed = time.perf_counter()
    count = sum(1 for _ in read_examples(source, found))
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps(
            {
                "peak": peak,
                "survey": found.count / (surveyed - start),
                "read": count / (end - surveyed),
            }
        )
    )


def main() -> None:
    """Measure few rows and many, each in a process of its own, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        for rows in (FEW_ROWS, arguments.rows):
            write_rows(path, rows)
            command = [sys.executable, __file__, "--measure", str(path)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[rows] = json.loads(output)
    few, many = results[FEW_ROWS], results[arguments.rows]
    growth = (many["peak"] - few["peak"]) / 2**20
    print(f"peak memory: {few['peak'] / 2**20:.1f} MiB at {FEW_ROWS:,} rows")
    print(f"growth at {arguments.rows:,} rows: {growth:.1f} MiB")
    print(f"rows a second: {many['survey']:,.0f} surveyed, {many['read']:,.0f} read")


if __name__ == "__main__":
    main()
