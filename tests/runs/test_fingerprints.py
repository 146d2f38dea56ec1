"""Which differences between two runs decide about their answers."""

from typing import Any

from aqa.runs.fingerprints import differences

ONE, OTHER = "1" * 64, "2" * 64


def reader(**changed: object) -> dict[str, Any]:
    """A fingerprint with a reader that has these fields, too."""
    base = {"model": "runs/mine", "weights": ONE, "adapter": None, "seed": 1}
    return {"prompt": {"name": "mine", "sha256": ONE}, "reader": {**base, **changed}}


def test_a_reader_that_was_moved_is_the_same() -> None:
    assert not differences(reader(), reader(model="/srv/reader"))
    assert [*differences(reader(), reader(model="/srv/reader", weights=OTHER))] == [
        "reader.model",
        "reader.weights",
    ]
    changed = differences(reader(), reader(model="/srv/reader", adapter=OTHER))
    assert changed == {"reader.adapter": f'reader.adapter was null and is now "{OTHER[:37]}..."'}


def test_a_name_decides_where_the_content_is_not_known() -> None:
    assert [*differences(reader(weights=None), reader(weights=None, model="other"))] == [
        "reader.model"
    ]


def test_a_copied_template_is_the_same() -> None:
    assert not differences(reader(), {**reader(), "prompt": {"name": "prompt", "sha256": ONE}})
    changed = differences(reader(), {**reader(), "prompt": {"name": "mine", "sha256": OTHER}})
    assert changed == {"prompt.sha256": "prompt has changed"}
