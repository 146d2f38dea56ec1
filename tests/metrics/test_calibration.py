"""Calibration: known figures, and coverage of the intervals."""

from math import log

import numpy as np
import pytest

from aqa.metrics.calibration import LEAST, as_probability, calibrate
from aqa.metrics.statistics.clusters import Clusters


def test_the_plain_error_is_the_mean_distance_over_bins() -> None:
    claimed = [0.5] * 40 + [1.0] * 60
    right = [True] * 30 + [False] * 10 + [True] * 45 + [False] * 15
    found = calibrate("agreement", claimed, right, Clusters.apart(100))
    assert found is not None
    assert [(one.n, one.confidence, one.right) for one in found.bins] == [
        (40, 50, 75),
        (60, 100, 75),
    ]
    assert found.plain_ece == pytest.approx(0.4 * 25 + 0.6 * 25)
    assert found.overconfidence == pytest.approx(-0.4 * 25 + 0.6 * 25)
    assert found.low < found.ece < found.high
    assert found.ece < found.plain_ece, "chance adds to the plain one"


def test_of_a_calibrated_reader_no_error_is_claimed() -> None:
    random = np.random.default_rng(3)
    claimed = random.random(500)
    right = random.random(500) < claimed
    found = calibrate("probability", claimed.tolist(), right.tolist(), Clusters.apart(500))
    assert found is not None
    assert (len(found.bins), found.low) == (10, 0)
    assert found.ece < found.plain_ece


@pytest.mark.slow
def test_the_interval_holds_the_truth_where_questions_hang_together() -> None:
    """A reader that is overconfident by 20 points throughout, with articles of ten questions."""
    random, held = np.random.default_rng(4), 0
    for _ in range(40):
        article = np.repeat(np.arange(30), 10)
        claimed = random.uniform(0.5, 0.9, 300)
        chance = (claimed - 0.2 + random.normal(0, 0.1, 30)[article]).clip(0, 1)
        right = random.random(300) < chance
        clusters = Clusters.of(article.tolist(), "title")
        found = calibrate("probability", claimed.tolist(), right.tolist(), clusters)
        assert found is not None
        held += found.low <= 20 <= found.high
    assert held >= 35


@pytest.mark.parametrize(
    ("right", "count", "is_refuted"), [(39, 40, False), (58, 60, False), (60, 60, True)]
)
def test_nearly_all_right_may_be_the_luck_of_a_calibrated_reader(
    right: int, count: int, is_refuted: bool
) -> None:
    """Wilson's interval of the share contains 90 %, or not."""
    is_right = [at < right for at in range(count)]
    found = calibrate("probability", [0.9] * count, is_right, Clusters.apart(count))
    assert found is not None
    assert (found.low > 0) is is_refuted
    assert (found.bins[0].low > 90) is is_refuted


def test_few_or_equal_answers() -> None:
    few = LEAST - 1
    assert calibrate("agreement", [1.0] * few, [True] * few, Clusters.apart(few)) is None
    found = calibrate("agreement", [1.0] * LEAST, [True] * LEAST, Clusters.apart(LEAST))
    assert found is not None
    assert (found.ece, found.low, len(found.bins)) == (0, 0, 1)
    assert found.high == pytest.approx(100 - 83.887, abs=0.01), "Wilson's interval of 20 of 20"
    assert type(found.high) is float, "not one of NumPy's"


@pytest.mark.slow
@pytest.mark.parametrize("confidences", [[1.0] * 50, np.linspace(0.998, 1.0, 50).tolist()])
def test_the_interval_holds_the_truth_where_readers_are_sure(confidences: list[float]) -> None:
    """Three of a hundred confident answers are wrong, so that often none of fifty is."""
    random, held = np.random.default_rng(6), 0
    for _ in range(40):
        right = (random.random(50) < 0.97).tolist()
        found = calibrate("probability", confidences, right, Clusters.apart(50))
        assert found is not None
        held += found.low <= 100 * np.mean(confidences) - 97 <= found.high
    assert held >= 36


@pytest.mark.parametrize(
    ("kind", "confidence", "probability"),
    [
        ("mean_logprob", log(0.25), 0.25),
        ("mean_logprob", 0.1, 1.0),
        ("agreement", 0.4, 0.4),
        ("agreement", 1.5, None),
        ("probability", 0.0, 0.0),
        ("min_logprob", -0.5, None),
        ("", 0.5, None),
    ],
)
def test_kinds(kind: str, confidence: float, probability: float | None) -> None:
    assert as_probability(kind, confidence) == pytest.approx(probability)
