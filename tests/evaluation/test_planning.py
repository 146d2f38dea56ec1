"""The number of questions that a difference needs."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from calls import Call

from aqa.evaluation.comparison import compare
from aqa.evaluation.planning import Need, Sensitivity, plan
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.power import (
    detectable_difference,
    detectable_share,
    needed_clusters,
)
from aqa.metrics.statistics.sign_flips import mcnemar


def scores(count: int, seed: int) -> dict[str, dict[str, list[float]]]:
    chance = random.Random(seed)
    a = [100.0 * (chance.random() < 0.6) for _ in range(count)]
    b = [one if chance.random() < 0.7 else 100.0 * (chance.random() < 0.65) for one in a]
    return {"a": {"em": a}, "b": {"em": b}}


def test_so_many_questions_detect_the_difference() -> None:
    few = Clusters.apart(400)
    (need,) = plan(compare(scores(400, 1), few), few, 3.0)
    assert need.questions is not None
    assert need.clusters == need.questions
    many = compare(scores(need.questions, 2), Clusters.apart(need.questions))[0]
    assert many.detectable == pytest.approx(3.0, rel=0.15)


@pytest.mark.parametrize(
    ("examples", "wins", "losses", "points", "questions"),
    [  # questions: the fewest for which detectable_share is so many points
        (5000, 12, 9, 2.0, 394),
        (5000, 12, 9, 5.0, 157),
        (1000, 10, 8, 1.0, 1508),
        (200, 25, 15, 2.0, 4016),
        (500, 0, 0, 2.0, 394),
    ],
)
def test_right_and_wrong_differ_as_often_as_the_difference_says(
    examples: int, wins: int, losses: int, points: float, questions: int
) -> None:
    a = [0.0] * wins + [100.0] * (examples - wins)
    b = [100.0] * wins + [0.0] * losses + [100.0] * (examples - wins - losses)
    clusters = Clusters.apart(examples)
    (need,) = plan(compare({"a": {"em": a}, "b": {"em": b}}, clusters), clusters, points)
    assert need.questions == pytest.approx(questions, rel=0.1)


def test_a_few_questions_show_nothing_however_large() -> None:
    clusters = Clusters.apart(400)
    (need,) = plan(compare(scores(400, 1), clusters), clusters, 100.0)
    assert need.questions == 6


def test_half_the_difference_needs_four_times_as_many() -> None:
    clusters = Clusters.of([at // 10 for at in range(400)], "title")
    found = compare(scores(400, 1), clusters)
    (large,), (small,) = plan(found, clusters, 6.0), plan(found, clusters, 3.0)
    # A few more, since the variance is larger when the difference is smaller; a few fewer, since
    # the test of 35 clusters is less powerful.
    assert 3.9 <= small.questions / (large.questions or 0) < 4.1
    assert small.clusters == pytest.approx(small.questions / 10, abs=1)


@pytest.mark.parametrize("differing", [0, 1, 600])
def test_what_hardly_varies_is_not_planned_from_as_if_it_always_did(differing: int) -> None:
    """To detect 2 points, at least that many must differ: enough to flip 8 or more answers."""
    clusters = Clusters.of([at // 4 for at in range(600)], "title")
    wins = [100.0 * (at < differing) for at in range(600)]
    values = {"a": {"em": [0.0] * 600}, "b": {"em": wins}}
    found = compare(values, clusters)
    (need,) = plan(found, clusters, 2.0)
    assert need.questions is not None
    assert need.questions > 380
    if differing < 2:
        assert found[0].detectable == pytest.approx(100 * (detectable_share(600, 0) or 0), rel=0.1)


@pytest.mark.parametrize("points", [10.0, 20.0, 40.0])
@pytest.mark.parametrize("differing", [20, 300])
def test_a_plan_for_few_questions_has_the_power_it_says(points: float, differing: int) -> None:
    """McNemar's exact test of 12 questions would find 40 points in a third of the samples."""
    right = [100.0] * 1000
    half = [0.0] * (differing // 2)
    values = {"a": {"em": half + right[len(half) :]}, "b": {"em": right[len(half) :] + half}}
    clusters = Clusters.apart(1000)
    (need,) = plan(compare(values, clusters), clusters, points)
    assert need.questions is not None
    share = max(differing / 1000, points / 100)
    wins = (share + points / 100) / 2
    ways = [wins, share - wins, 1 - share]
    drawn = np.random.default_rng(3).multinomial(need.questions, ways, 4000).tolist()
    assert np.mean([mcnemar(up, down) < 0.05 for up, down, _ in drawn]) > 0.78


def test_a_plan_for_few_clusters_has_the_power_it_says() -> None:
    """Nine clusters, by the square root alone, would find 16 points in two thirds of the samples.

    A few known clusters, on the other hand, never make a plan for many shorter.
    """
    assert needed_clusters(1000, 2.8 / 1000**0.5, 2.8 / 9**0.5) == 12
    few = detectable_difference(1.0, 15)
    assert needed_clusters(15, few or 0, (few or 0) / 10) == 1500
    seen = Sensitivity(2.8 / 1000**0.5, 1000, 1000).seen_by(12) or 0.0
    at_most, beyond = (
        needed_clusters(1000, 2.8 / 1000**0.5, size) for size in (1.001 * seen, 0.999 * seen)
    )
    assert (at_most, beyond) == (12, 13)


def test_too_few_to_plan_from() -> None:
    clusters = Clusters.apart(3)
    (need,) = plan(compare(scores(3, 1), clusters), clusters, 2.0)
    assert need == Need("a", "b", "em", 2.0)
    assert str(need).endswith("these questions are too few to plan from")


def test_the_command(call_aqa: Call, tmp_path: Path) -> None:
    for name, own in scores(400, 1).items():
        rows = {
            str(at): {"predicted_answer": "x" if value else "y", "answers": ["x"]}
            for at, value in enumerate(own["em"])
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    done = call_aqa("evaluate", "a.json", "b.json", "--metrics", "em", "--plan", "2", code=0)
    said = " ".join(done.stdout.split())
    assert "of 2 EM between a and b in four of five tests of fixed size: about " in said
    found = json.loads((tmp_path / "metrics.json").read_bytes())["plan"][0]
    assert f"about {found['questions']:,} questions" in said
    alone = call_aqa("evaluate", "a.json", "--plan", "2", code=2)
    assert "--plan needs two systems" in alone.stderr
