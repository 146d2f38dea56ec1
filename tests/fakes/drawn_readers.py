"""Stub readers whose answers are randomly right or wrong, seeded by their names and questions."""

import json
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from aqa_stub import StubBackend

from aqa.records import Prediction, Prompt
from aqa.spent import Spent


def draw(*words: object) -> float:
    """A number in 0..1 seeded by these words."""
    return int(sha256(repr(words).encode()).hexdigest()[:12], 16) / 16**12


def write_data(path: Path, name: str, count: int) -> Path:
    rows = [
        {
            "id": f"{name}{at}",
            "question": f"What is number {at}?",
            "context": f"The number of {name} is {at}.",
            "answers": [f"right {at}"],
        }
        for at in range(count)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def drawn_answer(self: StubBackend, prompt: Prompt) -> Prediction:
    """Answer instead of the stub: sometimes right, otherwise in the model's own wrong way.

    The model "sure" knows when it is right; "dear" costs money and is right more often; "lists"
    may give a wrong answer first and the right one second.
    """
    model = self.options.model
    if prompt.id in self.options.fail_ids:
        return Prediction(prompt.id, error=f"{model} was told to fail")
    number = int(re.sub(r"\D", "", prompt.id))
    is_right = draw(model, prompt.id) < {"dear": 0.85}.get(model, 0.6)
    sure = is_right + draw(model, prompt.id, "sure")
    text = f"right {number}" if is_right else f"{model} errs {number}"
    found = Prediction(prompt.id, text, confidence=sure if model == "sure" else None)
    if model == "dear":
        return replace(found, spent=Spent(100, 10, cost=0.01))
    if model == "lists":
        others = [draw(model, prompt.id, place) < 0.6 for place in range(4)]
        said = [f"right {number}" if own else f"slip {at}" for at, own in enumerate(others)]
        return replace(found, nbest=((text, -0.1), *((each, -1.0) for each in said)))
    return found
