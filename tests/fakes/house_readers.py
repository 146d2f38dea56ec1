"""Questions about who lives in a house, and stub readers that answer them."""

from pathlib import Path
from typing import Any

from aqa_stub import StubBackend
from files import lines, write

from aqa.records import Prediction, Prompt

_copy = StubBackend.answer


def house_rows(count: int) -> list[dict[str, Any]]:
    """Questions with one passage each, whose answer is what the stub says of a first passage."""
    return [
        {
            "id": f"q{n}",
            "question": f"Who lives in house {n}?",
            "context": f"Mr Person {n} lives in house {n}.",
            "answers": [f"Mr Person {n}"],
        }
        for n in range(count)
    ]


def write_houses(folder: Path, count: int) -> Path:
    """Write them to data.jsonl."""
    return write(folder, "data.jsonl", lines(house_rows(count)))


def house_answer(self: StubBackend, prompt: Prompt) -> Prediction:
    """Answer instead of the stub, which copies the beginning.

    The model "finder" finds the right passage; "half" is knowingly wrong on every second question.
    """
    if self.options.model == "stub":
        return _copy(self, prompt)
    house = prompt.question.removeprefix("Who lives in ").removesuffix("?")
    if self.options.model == "half" and int(house.split()[1]) % 2:
        return Prediction(prompt.id, "nobody", confidence=-2.0)
    texts = [p.text for p in prompt.evidence.passages if p.text.endswith(f" {house}.")]
    found = texts[0].partition(" lives")[0] if texts else ""
    return Prediction(prompt.id, found, confidence=-0.1)
