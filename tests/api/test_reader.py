"""A reader that stays loaded, for one prediction after another."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aqa_stub import StubBackend
from house_readers import house_rows

import aqa
from aqa.runs.folder import read_manifest

DATA = house_rows(4)
OTHERS = house_rows(6)[4:]


@pytest.fixture
def happened(as_stub: Callable[[type], None]) -> list[str]:
    """Record what happens to the weights."""
    happened: list[str] = []

    class Weighty(StubBackend):
        def __enter__(self) -> "Weighty":
            happened.append("loaded")
            return self

        def __exit__(self, *exc: object) -> None:
            happened.append("freed")

    as_stub(Weighty)
    return happened


def texts(answers: aqa.Predictions) -> dict[str, str | None]:
    return {answer.id: answer.text for answer in answers}


def test_weights_are_loaded_once(happened: list[str], tmp_path: Path) -> None:
    alone = [texts(aqa.predict("stub", data)) for data in (DATA, OTHERS)]
    assert happened == ["loaded", "freed"] * 2
    happened.clear()
    with aqa.Reader("stub") as reader:
        assert happened == []
        assert [texts(aqa.predict(reader, data)) for data in (DATA, OTHERS)] == alone
        kept = aqa.predict(reader, DATA, output_dir=tmp_path / "run")
        assert texts(kept) == alone[0]
        again = aqa.predict(reader, DATA, output_dir=tmp_path / "run")
        assert texts(again) == alone[0]
        runs = aqa.predict(reader, DATA, output_dir=tmp_path / "card", stress=["duplicate"])
        assert len(list(runs)) == 2 * len(DATA)
        few = aqa.predict(reader, DATA, settings={"evidence.max_chars": 9, "prompt": "eng_v2"})
        assert texts(few) != alone[0]
        assert happened == ["loaded"]
    assert happened == ["loaded", "freed"]
    assert texts(few)  # answers already taken are kept


def test_runs_are_those_of_a_reader_of_each_call(happened: list[str], tmp_path: Path) -> None:
    """Manifest and identity are the same, and each can resume the other's runs."""
    list(aqa.predict("stub", DATA, output_dir=tmp_path / "own"))
    with aqa.Reader("stub") as reader:
        list(aqa.predict(reader, OTHERS))
        list(aqa.predict(reader, DATA, output_dir=tmp_path / "kept"))
    own, kept = (read_manifest(tmp_path / name) for name in ("own", "kept"))
    for part in ("config", "fingerprint", "evidence", "counts", "status"):
        assert own[part] == kept[part], part
    assert happened.count("loaded") == 2
    assert len(list(aqa.predict("stub", DATA, output_dir=tmp_path / "kept"))) == len(DATA)
    assert happened.count("loaded") == 2


def test_it_answers_one_call_at_a_time(happened: list[str]) -> None:
    with aqa.Reader("stub") as reader:
        first, second = aqa.predict(reader, DATA), aqa.predict(reader, OTHERS)
        next(iter(first))
        with pytest.raises(aqa.AqaError, match=r"answering another aqa\.predict; take the rest"):
            list(second)
        first.close()
        assert len(list(aqa.predict(reader, OTHERS))) == len(OTHERS)
        dropped = aqa.predict(reader, DATA)
        next(iter(dropped))
        del dropped
        assert len(list(aqa.predict(reader, DATA))) == len(DATA)
        assert happened == ["loaded"]


def test_two_readers_at_once(happened: list[str]) -> None:
    with aqa.Reader("stub") as one, aqa.Reader("stub", settings={"seed": 1}) as other:
        pairs = zip(aqa.predict(one, DATA), aqa.predict(other, DATA), strict=True)
        assert all(a.text == b.text for a, b in pairs)
    assert happened == ["loaded", "loaded", "freed", "freed"]


def test_what_is_not_taken_ends_with_the_reader(happened: list[str]) -> None:
    with aqa.Reader("stub") as reader:
        begun, waiting = aqa.predict(reader, DATA), aqa.predict(reader, OTHERS)
        next(iter(begun))
    for answers in (begun, waiting):
        with pytest.raises(aqa.AqaError, match="was closed"):
            list(answers)
    assert happened == ["loaded", "freed"]
    with pytest.raises(aqa.AqaError, match=r"this aqa\.Reader is closed; make another one"):
        aqa.predict(reader, DATA)
    reader.close()
    assert happened == ["loaded", "freed"]
    assert repr(reader) == "<aqa.Reader: stub, stub, closed>"


@pytest.mark.parametrize(
    "changed", [{"model": "other"}, {"settings": {"generation.max_new_tokens": 3}}]
)
def test_other_settings_want_another_reader(changed: dict[str, Any]) -> None:
    with (
        aqa.Reader("stub") as reader,
        pytest.raises(aqa.AqaError, match=r"made with other settings: \w+\.\w+ was \S+ and is now"),
    ):
        aqa.predict(reader, DATA, **changed)


def test_weights_that_can_not_be_loaded_leave_it_free(
    happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from aqa.backends import find_backend

    with aqa.Reader("stub") as reader:
        with monkeypatch.context() as broken:
            broken.setattr(find_backend("stub"), "__enter__", lambda _: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                list(aqa.predict(reader, DATA))
        assert len(list(aqa.predict(reader, DATA))) == len(DATA)


def test_it_keeps_neither_data_nor_answers() -> None:
    with aqa.Reader("stub") as reader:
        answers = aqa.predict(reader, DATA)
        list(answers)
        gone = weakref.ref(answers)
        del answers
        gc.collect()
        assert gone() is None
        assert aqa.preview(reader, DATA)[0].text == aqa.preview("stub", DATA)[0].text


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_loads_weights_of_its_own(happened: list[str], copied: Callable[[Any], Any]) -> None:
    reader = aqa.Reader("stub", settings={"evidence.top_k": 2})
    with reader, copied(reader) as other:
        assert other.config == reader.config
        assert texts(aqa.predict(other, DATA)) == texts(aqa.predict(reader, DATA))
        assert happened == ["loaded"] * 2
    assert happened == ["loaded"] * 2 + ["freed"] * 2
