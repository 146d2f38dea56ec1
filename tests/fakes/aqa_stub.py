"""A backend as a third-party package adds it: it answers with the evidence's first words."""

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal

from aqa.backends.base import Backend
from aqa.config.backend_options import BackendOptions
from aqa.records import Prediction, Prompt

WINDOW = 8  # prompts held at a time
ANSWER_WORDS = 3


def asked_ids(path: Path) -> list[str]:
    """The ids that stubs noted in their file `asked`, one for each time."""
    return path.read_text(encoding="utf-8").split() if path.exists() else []


class StubOptions(BackendOptions):
    """The stub's options."""

    name: Literal["stub"] = "stub"
    model: str = "stub"
    max_length: int = 400  # words of prompt and answer together
    seconds_per_answer: float = 0.0
    fail_ids: tuple[str, ...] = ()
    asked: str | None = None  # a file to append every prompt's id to
    held_by: str | None = None  # a file: as long as it exists, only two prompts are answered
    up_to: str | None = None  # a file with the index of the first prompt that has to wait


class StubBackend(Backend[StubOptions]):
    """Answers each window's prompts in reverse order."""

    Options: ClassVar[type[BackendOptions]] = StubOptions
    _asked = 0

    @property
    def limit(self) -> int:
        return self.options.max_length

    def length(self, prompt: Prompt) -> int:
        """Words of the prompt, plus those of the target or an answer, whichever is longer."""
        read = sum(len(turn.content.split()) for turn in prompt.messages)
        return read + max(ANSWER_WORDS, len((prompt.target or "").split()))

    def identity(self) -> Mapping[str, object]:
        return {"model": self.options.model, "max_length": self.options.max_length}

    def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
        waiting = iter(prompts)
        while window := list(islice(waiting, WINDOW)):
            self._note(window)
            for prompt in reversed(window):
                if self.options.seconds_per_answer:
                    time.sleep(self.options.seconds_per_answer)
                while self._waits(prompt):
                    time.sleep(0.01)
                self._asked += 1
                yield prompt, self.answer(prompt)

    def _waits(self, prompt: Prompt) -> bool:
        held_by, file = self.options.held_by, self.options.up_to
        if held_by is not None and self._asked >= 2 and Path(held_by).exists():
            return True
        return file is not None and prompt.index >= int(Path(file).read_text() or 0)

    def _note(self, window: list[Prompt]) -> None:
        if self.options.asked is not None:
            with Path(self.options.asked).open("a", encoding="utf-8") as file:
                file.write("".join(f"{prompt.id}\n" for prompt in window))

    def answer(self, prompt: Prompt) -> Prediction:
        """Answer with the first words of the evidence; tests replace this."""
        if prompt.id in self.options.fail_ids:
            return Prediction(prompt.id, error="the stub was told to fail")
        words = prompt.evidence.passages[0].text.split() if prompt.evidence.passages else []
        answer = words[:ANSWER_WORDS]
        return Prediction(
            prompt.id,
            " ".join(answer),
            prompt_tokens=self.length(prompt) - ANSWER_WORDS,
            answer_tokens=len(answer),
        )
