"""Memory of a report on 10,000 examples, three systems, and ten passages of 600 characters each.

Measures the peak memory of `aqa evaluate --report` as a whole, including Python.

Run: python tests/benchmarks/report_memory.py [--examples N]
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arms import Parser

TARGET = 500  # MB
PASSAGES = 10
SYSTEMS = {"first": 3, "second": 4, "third": 7}  # one in so many answers is wrong
WORDS = ["강", "산", "바다", "왕", "전쟁", "도시", "문화", "역사", "the", "river", "city", "of"]


def write_inputs(folder: Path, count: int) -> None:
    """Write questions with distinct passages, and each system's answers."""
    generator = random.Random(1)
    text = " ".join(generator.choices(WORDS, k=200_000))
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as file:
        for number in range(count):
            starts = (generator.randrange(len(text) - 600) for _ in range(PASSAGES))
            passages = [
                {"id": f"{number}-{place}", "title": f"제목 {place}", "text": text[start:][:600]}
                for place, start in enumerate(starts)
            ]
            row = {"id": f"q{number}", "question": f"{number}번은 무엇인가?", "passages": passages}
            answers = [text[number:][:10]]
            file.write(json.dumps({**row, "answers": answers}, ensure_ascii=False) + "\n")
    for name, step in SYSTEMS.items():
        evidence = {"ranks": list(range(1, PASSAGES + 1)), "characters": 6000, "dropped": {}}
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(count):
                row = {
                    "id": f"q{number}",
                    "predicted_answer": text[number:][:10] if number % step else "모름",
                    "confidence": -generator.random(),
                    "evidence": {**evidence, "gold_in_evidence": True},
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def main() -> None:
    """Measure and compare with the target."""
    arguments = Parser(__doc__, examples=(10_000, 50)).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, arguments.examples)
        files = [folder / f"{system}.jsonl" for system in SYSTEMS]
        options = {"--data": folder / "questions.jsonl", "--report": folder / "report.html"}
        words = [*map(str, files), "--quiet", "--csv"]
        words += [word for option in options.items() for word in map(str, option)]
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "aqa", "evaluate", *words])
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        assert status == 0
        size = (folder / "report.html").stat().st_size
    peak = usage.ru_maxrss * 1024 / 1e6
    print(
        f"{arguments.examples:,} examples, {PASSAGES} passages each: {size / 1e6:.0f} MB of HTML,"
    )
    print(f"{seconds:.1f} s, peak memory {peak:.0f} MB (target: under {TARGET})")
    sys.exit(peak > TARGET and not arguments.quick)


if __name__ == "__main__":
    main()
