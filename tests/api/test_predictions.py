"""The stream of answers: for several threads and processes, with all its fields."""

import copy
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest
from aqa_stub import StubBackend
from house_readers import house_rows

import aqa
from aqa.records import Prediction, Prompt
from aqa.spent import Spent

DATA = house_rows(6)
COPIES = [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("folder", [None, "run"])
def test_a_copy_has_the_answers_that_were_taken(
    copied: Callable[[Any], Any], folder: str | None, tmp_path: Path
) -> None:
    answers = aqa.predict("stub", DATA, output_dir=folder and tmp_path / folder)
    first = next(iter(answers))
    with copied(answers) as part:
        assert next(iter(part)) == first
        assert len(part) == len(DATA)
        with pytest.raises(aqa.AqaError, match="this copy holds only the answers taken before"):
            list(part)
    whole = list(answers)
    assert list(copied(answers)) == whole
    scores = [aqa.evaluate({"a": each}, DATA).scores for each in (answers, copied(answers))]
    assert scores[0] == scores[1]


def test_threads_share_a_stream() -> None:
    ready = Barrier(3)
    answers = aqa.predict("stub", DATA, settings={"backend.seconds_per_answer": 0.01})

    def take() -> list[str]:
        ready.wait()
        return [answer.id for answer in answers]

    with ThreadPoolExecutor(3) as pool:
        taken = [each.result() for each in [pool.submit(take) for _ in range(3)]]
    assert taken == [[answer.id for answer in answers]] * 3
    assert len(taken[0]) == len(DATA)


def test_closing_waits_for_the_answer_that_another_thread_takes(
    as_stub: Callable[[type], None],
) -> None:
    asked, closing = Event(), Event()

    class Slow(StubBackend):
        def answer(self, prompt: Prompt) -> Prediction:
            asked.set()
            closing.wait()
            return super().answer(prompt)

    as_stub(Slow)
    answers = aqa.predict("stub", DATA)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: next(iter(answers)))
        asked.wait()
        closed = pool.submit(answers.close)
        closing.set()
        closed.result()
        assert first.result() == next(iter(answers))
    with pytest.raises(aqa.AqaError, match="was closed"):
        list(answers)


def test_what_an_answer_took_is_told(as_stub: Callable[[type], None], tmp_path: Path) -> None:
    known = {"spent": Spent(9, 2, cost=0.5), "saved": Spent(3), "unread": 4, "seconds": 1.5}

    class Paid(StubBackend):
        def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
            for prompt in prompts:
                yield prompt, Prediction(prompt.id, "x", **known)  # type: ignore[arg-type]

    as_stub(Paid)
    for _ in range(2):  # answered, and read from the journal
        for answer in aqa.predict("stub", DATA, output_dir=tmp_path / "run"):
            assert {name: getattr(answer, name) for name in known} == known
