import random
from itertools import permutations
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqa.backends.ensemble.backend import read_answer
from aqa.evaluation.abstention import (
    POINTS,
    abstention,
    confidence_of,
    risk_coverage,
    selective_risks,
)
from aqa.evaluation.predictions import AnsweredRow
from aqa.metrics.pairs import Pairs
from aqa.metrics.statistics.clusters import Clusters
from aqa.spent import Spent

# Right, wrong abstention, right abstention, answered the unanswerable, missing, "..."
PREDICTIONS = ["Paris", "", " ", "Rome", None, "..."]
REFERENCES = [["Paris"], ["Oslo"], [], [""], [], ["Bern"]]


def approx(**figures: float) -> dict[str, Any]:
    return {name: pytest.approx(value, abs=0.01) for name, value in figures.items()}


def test_rates_go_by_clusters() -> None:
    """Of ten articles, five have only abstentions and five have none."""
    silent = [at // 8 % 2 > 0 for at in range(80)]
    pairs = Pairs(["" if is_silent else "x" for is_silent in silent], [[]] * 80, "squad")
    widths = []
    for clusters in (Clusters.apart(80), Clusters.of([at // 8 for at in range(80)], "title")):
        found = abstention(pairs, clusters)
        assert found is not None
        assert found.recall is not None
        widths.append(found.recall.high - found.recall.low)
    assert widths[1] > 2 * widths[0]


def test_precision_and_recall_of_abstention() -> None:
    found = abstention(Pairs(PREDICTIONS, REFERENCES, "squad"), Clusters.apart(6))
    assert found is not None
    assert (found.abstained, found.unanswerable, found.rightly) == (3, 3, 1)
    assert found.precision is not None
    assert found.precision.value == pytest.approx(100 / 3)
    assert found.recall is not None
    assert found.recall.value == pytest.approx(100 / 3)
    assert found.to_json() == {
        "abstained": 3,
        "unanswerable": 3,
        "rightly": 1,
        "precision": approx(value=100 / 3, low=6.15, high=79.23),  # Wilson's, of 1 in 3
        "recall": approx(value=100 / 3, low=6.15, high=79.23),
    }


def test_a_share_of_nothing_is_left_out() -> None:
    silent = abstention(Pairs(["", "x"], [["Rome"], ["Oslo"]], "squad"), Clusters.apart(2))
    assert silent is not None
    assert (silent.precision is not None and silent.precision.value, silent.recall) == (0.0, None)
    assert "recall" not in silent.to_json()
    talkative = abstention(Pairs(["x", "y"], [[], ["b"]], "squad"), Clusters.apart(2))
    assert talkative is not None
    assert (talkative.precision, talkative.recall and talkative.recall.value) == (None, 0.0)
    assert abstention(Pairs(["x", None], [["Rome"], ["Oslo"]], "squad"), Clusters.apart(2)) is None


def answered(confidences: list[Any], right: list[bool]) -> tuple[Pairs, list[AnsweredRow]]:
    texts = ["a b" if is_right else "x y" for is_right in right]
    rows = [
        AnsweredRow(str(place), text, metadata={} if value is None else {"confidence": value})
        for place, (text, value) in enumerate(zip(texts, confidences, strict=True))
    ]
    return Pairs(texts, [["a b"]] * len(texts), "squad"), rows


def test_the_curve_by_hand() -> None:
    pairs, rows = answered([-0.1, -0.4, -0.2, -0.3], [True, False, False, True])
    found = risk_coverage(pairs, rows)
    assert found is not None
    # Most confident first: right, wrong, right, wrong.
    assert found.coverage == (25, 50, 75, 100)
    assert found.risk == pytest.approx((0, 50, 100 / 3, 50))
    assert found.aurc == pytest.approx((0 + 50 + 100 / 3 + 50) / 4)
    assert found.best_aurc == pytest.approx((0 + 0 + 100 / 3 + 50) / 4)
    assert found.confident == 4
    assert found.to_json().keys() == {"confident", "aurc", "best_aurc", "coverage", "risk"}


@pytest.mark.parametrize("useless", [None, True, "0.9", float("nan"), float("inf")])
def test_what_has_no_confidence_comes_last(useless: object) -> None:
    pairs, rows = answered([useless, -5, useless], [True, True, False])
    found = risk_coverage(pairs, rows)
    assert found is not None
    assert found.risk == pytest.approx((0, 25, 100 / 3))
    assert found.confident == 1
    assert risk_coverage(pairs, [rows[0], None, rows[2]]) is None


def test_a_failed_prediction_is_wrong_however_confident() -> None:
    pairs = Pairs(["a", None], [["a"], ["b"]], "squad", failed=1)
    rows = [AnsweredRow("1", "a", metadata={"confidence": -9})]
    rows.append(AnsweredRow("2", None, failed=True, metadata={"confidence": 0}))
    found = risk_coverage(pairs, rows)
    assert found is not None
    assert (found.confident, found.coverage, found.risk) == (1, (50, 100), (0, 50))


LOSSES = st.lists(
    st.tuples(st.sampled_from([0.0, 100.0]), st.integers(0, 2)), min_size=1, max_size=5
)


def test_many_equal_confidences_take_no_longer_than_others() -> None:
    # In time quadratic in the number of examples, this would take an hour.
    assert set(selective_risks([50.0] * 1_000_000, [1.0] * 1_000_000)) == {50.0}


@given(LOSSES)
def test_equal_confidences_are_the_mean_over_their_orders(pairs: list[tuple[float, int]]) -> None:
    orders = [
        [fmean(loss for loss, _ in order[: kept + 1]) for kept in range(len(order))]
        for order in permutations(pairs)
        if [-value for _, value in order] == sorted(-value for _, value in order)
    ]
    losses, confidences = zip(*pairs, strict=True)
    assert selective_risks(losses, confidences) == pytest.approx(
        [fmean(column) for column in zip(*orders, strict=True)]
    )


def test_many_examples_make_few_points_and_the_area_of_all() -> None:
    generator = random.Random(3)
    sure = [generator.random() for _ in range(12_345)]
    right = [generator.random() < value for value in sure]
    found = risk_coverage(*answered(sure, right))
    assert found is not None
    assert len(found.risk) == POINTS
    assert (found.coverage[-1], found.risk[-1]) == (100, pytest.approx(100 * (1 - fmean(right))))
    # If a confidence c is right with probability c, the risk is (coverage / 2): area 25.
    assert found.aurc == pytest.approx(25, abs=1)
    assert found.best_aurc < found.aurc < found.risk[-1]
    no_sense = risk_coverage(*answered([generator.random() for _ in sure], right))
    assert no_sense is not None
    assert no_sense.aurc == pytest.approx(100 * (1 - fmean(right)), abs=1.5)


def test_a_number_that_no_float_holds_is_no_confidence() -> None:
    row = AnsweredRow("q", "answer", None, {"confidence": 10**400})
    assert confidence_of(row) is None
    told = read_answer("answer", {"confidence": 10**400, "spent": {"usd": 1, "cost": "much"}})
    assert told.candidates == (("answer", None),)
    assert told.spent == Spent()
