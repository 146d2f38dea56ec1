"""Concurrent threads load models, for which transformers changes global state of torch."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aqa
from aqa.backends.model_errors import explained
from aqa.library_output import LOADING

ROWS = [{"id": "1", "question": "Who?", "context": "Ada did it in 1843."}]


def test_models_are_loaded_one_after_the_other(tiny_t5: Path, tiny: Path) -> None:
    """Weights that two layers of T5 share were not found, or the wrong ones were used."""

    def answers(backend: str, model: Path) -> list[aqa.Prediction]:
        settings: dict[str, object] = {"generation.max_new_tokens": 2}
        if backend == "llama":
            settings["backend.quantization"] = "none"
        return list(aqa.predict(backend, ROWS, model=model, settings=settings))

    asked = [("t5", tiny_t5), ("llama", tiny)] * 2
    alone = [answers(*own) for own in asked]  # which also imports everything needed
    with ThreadPoolExecutor(len(asked)) as pool:
        assert [each.result() for each in [pool.submit(answers, *own) for own in asked]] == alone


def test_who_loads_holds_the_others_up() -> None:
    with ThreadPoolExecutor(1) as other:
        with explained("a"), explained("b"):
            assert not other.submit(LOADING.acquire, blocking=False).result()
        assert other.submit(LOADING.acquire, blocking=False).result()
        other.submit(LOADING.release).result()
