"""Prompts are passed to the loop's thread, and answers back, without loss or delay."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from aqa.backends.event_loop import AHEAD, answers, running_loop
from aqa.errors import ModelError, StoppedError
from aqa.records import Evidence, Prediction, Prompt, Template

TEMPLATE = Template("t", ())


def prompts(count: int, read: list[int] | None = None) -> Iterator[Prompt]:
    for number in range(count):
        if read is not None:
            read.append(number)
        yield Prompt(str(number), number, "?", Evidence(()), TEMPLATE)


@pytest.mark.parametrize("room", [1, 3, 64])
def test_all_are_answered_once_and_so_many_at_a_time(room: int) -> None:
    """Answers come at once or after a moment, so that slots become idle and are woken again."""
    active = most = 0
    chance = random.Random(1)

    async def ask(prompt: Prompt) -> Prediction:
        nonlocal active, most
        active += 1
        most = max(most, active)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.choice([0, 0, 0.0001]))
        active -= 1
        return Prediction(prompt.id, "x")

    read: list[int] = []
    found = []
    with running_loop() as loop:
        for prompt, prediction in answers(loop, prompts(3000, read), ask, room):
            assert prediction.id == prompt.id
            found.append(prompt.index)
            assert len(read) <= len(found) + room + room // AHEAD
    assert sorted(found) == list(range(3000))
    assert most <= room


def test_a_stop_waits_for_what_is_in_flight() -> None:
    asked = []

    async def ask(prompt: Prompt) -> Prediction:
        asked.append(prompt.index)
        if prompt.index >= 10:
            raise StoppedError("enough")
        await asyncio.sleep(0.05)
        return Prediction(prompt.id, "x")

    found: list[int] = []
    with running_loop() as loop, pytest.raises(StoppedError, match="enough"):
        found.extend(prompt.index for prompt, _ in answers(loop, prompts(500), ask, 16))
    assert sorted(found) == list(range(10))
    assert len(asked) <= 16 + 16 // AHEAD


@pytest.mark.parametrize("error", [ValueError("a bug"), ModelError("a fault")])
def test_an_error_is_raised_where_answers_are_taken(error: Exception) -> None:
    async def ask(prompt: Prompt) -> Prediction:
        raise error

    with running_loop() as loop, pytest.raises(type(error), match=str(error)):
        list(answers(loop, prompts(100), ask, 4))
