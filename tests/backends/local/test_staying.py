"""Readers whose weights stay loaded between predictions, without traces of earlier ones."""

import gc
import weakref

import pytest
from house_readers import house_rows

import aqa
from aqa.progress import SilentProgress
from aqa.verbs.launch import KeepLoaded

DATA = house_rows(3)
SHORT = {"generation.max_new_tokens": 4}
KINDS = {"tiny": ("llama", {**SHORT, "backend.quantization": "none"}), "tiny_t5": ("t5", SHORT)}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_a_reader_of_each_call(
    kind: str, request: pytest.FixtureRequest
) -> None:
    backend, settings = KINDS[kind]
    config = aqa.load_config(backend, model=request.getfixturevalue(kind), settings=settings)
    alone = {answer.id: answer.text for answer in aqa.predict(config, DATA)}
    with aqa.Reader(config) as reader:
        with aqa.predict(reader, DATA) as begun:  # stopped in the middle
            next(iter(begun))
        answers = aqa.predict(reader, DATA)
        assert {answer.id: answer.text for answer in answers} == alone
        kept = reader.kept(config, SilentProgress())
        assert isinstance(kept, KeepLoaded)
        model = weakref.ref(kept.model)
        assert model() is not None
    gc.collect()
    assert model() is None
