from typing import Any

import pytest

from aqa.errors import UsageError
from aqa.evaluation.predictions import AnsweredRow
from aqa.evaluation.slices import check_keys, group_examples, slice_scores
from aqa.metrics.f1 import exact_match
from aqa.metrics.pairs import Pairs
from aqa.metrics.statistics.clusters import Clusters

PREDICTIONS = ["Paris", "", None, "서울"]
REFERENCES = [["Paris", "the city of Paris"], [], ["x" * 21], ["서울"]]
EVIDENCE = [
    {"characters": 500, "gold_ranks": [4, 2], "gold_in_evidence": True},
    {"characters": 501, "gold_ranks": None, "gold_in_evidence": None},
    {},
    {"characters": 9000, "gold_ranks": [], "gold_in_evidence": False},
]


def sliced(key: str, data: list[dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    pairs = Pairs(PREDICTIONS, REFERENCES, "mixed")
    score = exact_match("em", pairs)
    rows = [
        None
        if prediction is None
        else AnsweredRow(str(place), prediction, metadata={"evidence": evidence, "source": "web"})
        for place, (prediction, evidence) in enumerate(zip(PREDICTIONS, EVIDENCE, strict=True))
    ]
    groups = group_examples([key], pairs, rows, data or [{}] * len(rows))
    check_keys([groups])
    return slice_scores(groups[key], {"em": score}, Clusters.apart(4))


@pytest.mark.parametrize(
    ("key", "groups"),
    [
        ("language", {"ko": 1, "other": 3}),
        ("answer_length", {"0": 1, "1-5": 2, "21-50": 1}),
        ("evidence_length", {"1-500": 1, "501-1000": 1, "8001+": 1, "unknown": 1}),
        ("gold_rank", {"2": 1, "none": 1, "unknown": 2}),
        ("gold_in_evidence", {"no": 1, "yes": 1, "unknown": 2}),
        ("answerable", {"no": 1, "yes": 3}),
        ("abstained", {"no": 2, "yes": 1, "unknown": 1}),
        ("source", {"web": 3, "unknown": 1}),
    ],
)
def test_groups(key: str, groups: dict[str, int]) -> None:
    found = {name: group["n"] for name, group in sliced(key).items()}
    assert list(found.items()) == list(groups.items())


def test_only_references_that_count_have_a_length() -> None:
    pairs = Pairs(["x"] * 4, [[" "], [".", "old Rome"], ["."], ["Rome", ""]], "squad")
    groups = group_examples(["answer_length", "answerable"], pairs, [None] * 4, [{}] * 4)
    assert groups["answer_length"] == {"0": [0], "1-5": [2, 3], "6-10": [1]}
    assert groups["answerable"] == {"no": [0], "yes": [1, 2, 3]}


def test_scores_have_intervals() -> None:
    (yes,) = (group for name, group in sliced("answerable").items() if name == "yes")
    assert yes["em"]["value"] == pytest.approx(200 / 3)
    assert 0 <= yes["em"]["low"] < yes["em"]["value"] < yes["em"]["high"] <= 100


def test_the_data_come_first_and_numbers_in_order() -> None:
    data = [{"language": 10}, {"language": 9}, {"language": True}, {"language": ["de"]}]
    assert list(sliced("language", data)) == ["9", "10", "yes", "unknown"]
    data = [{"hours": 1}, {"hours": 0.5}, {"hours": -2}, {"hours": "2021-01-01"}]
    assert list(sliced("hours", data)) == ["-2", "0.5", "1", "2021-01-01"]


def test_a_key_that_nobody_knows() -> None:
    with pytest.raises(UsageError, match=r'no example has "colour".* or one of language, answer'):
        sliced("colour")


def test_evidence_that_no_file_tells() -> None:
    pairs = Pairs(["x"], [["x"]], "squad")
    groups = group_examples(["gold_in_evidence"], pairs, [AnsweredRow("q", "x")], [{}])
    with pytest.raises(UsageError, match=r"has \"gold_in_evidence\".* folders of aqa predict"):
        check_keys([groups])


def test_a_value_of_thousands_of_digits() -> None:
    data = [{"code": "9" * 5000}, {"code": "10"}, {"code": "9"}, {}]
    assert list(sliced("code", data)) == ["9", "10", "9" * 5000, "unknown"]


def test_a_key_that_one_of_two_systems_knows() -> None:
    pairs = Pairs(["x"], [["x"]], "squad")
    rows = [AnsweredRow("q", "x", metadata={"evidence": EVIDENCE[0]})], [AnsweredRow("q", "x")]
    groups = [group_examples(["gold_rank"], pairs, own, [{}]) for own in rows]
    check_keys(groups)
    assert groups == [{"gold_rank": {"2": [0]}}, {"gold_rank": {"unknown": [0]}}]


def test_too_many_values() -> None:
    pairs = Pairs(["x"] * 61, [["x"]] * 61, "squad")
    rows = [AnsweredRow(str(place), "x") for place in range(61)]
    data = [{"id": place} for place in range(61)]
    with pytest.raises(UsageError, match='"id" has 61 values'):
        group_examples(["id"], pairs, rows, data)
