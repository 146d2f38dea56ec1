from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.sign_flips import (
    ENUMERATED,
    Significance,
    holm,
    least_p,
    mcnemar,
    saddlepoint_p,
    sign_flip_tests,
)


def chance(values: list[float], labels: list[int] | None = None, seed: int = 1) -> Significance:
    clusters = Clusters.apart(len(values)) if labels is None else Clusters.of(labels, "title")
    (found,) = sign_flip_tests(np.array([values], dtype=float).T, clusters, seed)
    return found


def by_all_signs(sums: list[float]) -> float:
    far = abs(sum(sums)) - 1e-9
    signs = list(product((1, -1), repeat=len(sums)))
    return sum(abs(np.dot(each, sums)) >= far for each in signs) / len(signs)


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [  # statsmodels 0.15.0: mcnemar([[10, wins], [losses, 10]], exact=True).pvalue
        (12, 3, 0.03515625),
        (0, 5, 0.0625),
        (86, 150, 3.7159361395713866e-05),
        (7, 7, 1.0),
        (1, 0, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar(wins: int, losses: int, p: float) -> None:
    assert mcnemar(wins, losses) == pytest.approx(p, rel=1e-12)
    assert mcnemar(losses, wins) == mcnemar(wins, losses)
    found = chance([100.0] * wins + [-100.0] * losses + [0.0] * 9)
    assert (found.p, found.test) == (mcnemar(wins, losses), "mcnemar-exact")


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_binomial_test(wins: int, losses: int) -> None:
    if wins + losses:
        expected = stats.binomtest(wins, wins + losses).pvalue
        assert mcnemar(wins, losses) == pytest.approx(expected, rel=1e-6)


def test_mcnemar_counts_millions() -> None:
    """By the normal law with a continuity correction; exact integers would take an hour."""
    normal = 2 * stats.norm.sf((4000 - 1) / 6_000_000**0.5)
    assert mcnemar(3_002_000, 2_998_000) == pytest.approx(normal, rel=1e-4)


def test_five_wins_and_a_small_loss_of_eight_questions() -> None:
    assert chance([100.0] * 5 + [-6.0, 0.0, 0.0]) == Significance(0.0625, "sign-flip-exact")


FEW = st.lists(st.sampled_from([-100.0, -61.5, -50, -7.25, 0, 3.5, 50, 100, 200]), max_size=9)


@given(FEW.filter(any))
def test_few_examples_are_tested_by_all_signs(values: list[float]) -> None:
    assert chance(values).p == pytest.approx(by_all_signs(values))


@given(st.lists(st.sampled_from([-100.0, 0.0, 50.0, 100.0, 33.3]), min_size=12, max_size=12))
def test_clusters_turn_round_as_a_whole(values: list[float]) -> None:
    sums = np.reshape(values, (4, 3)).sum(axis=1)
    assert chance(values, [place // 3 for place in range(12)]).p == pytest.approx(
        by_all_signs(sums.tolist())
    )


@pytest.mark.parametrize("differing", [ENUMERATED, ENUMERATED + 1, 60, 700])
def test_many_examples_have_about_the_p_of_student(differing: int) -> None:
    values = np.random.default_rng(differing).normal(0, 20, differing)
    values += 2.1 * stats.sem(values) - values.mean()
    found = chance([*values.tolist(), *[0.0] * 50])
    assert found.test == ("sign-flip-exact" if differing == ENUMERATED else "sign-flip")
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.012)


@pytest.mark.parametrize("kind", ["right or wrong", "half right"])
def test_clusters_of_right_and_wrong_are_tested_exactly(kind: str) -> None:
    generator = np.random.default_rng(9)
    steps = [-100, 0, 0, 100, 100] if kind == "right or wrong" else [-100, -50, 0, 50, 100, 100]
    values = generator.choice(steps, 400).astype(float)
    labels = generator.integers(0, 60, 400).tolist()
    found = chance(values.tolist(), labels)
    assert found.test == "sign-flip-exact"
    sums = np.bincount(labels, values)
    signs = generator.choice([-1, 1], (40_000, len(sums)))
    p = np.mean(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9)
    assert found.p == pytest.approx(p, abs=0.006)


def test_rare_chances_are_not_cut_off_at_the_number_of_draws() -> None:
    values = np.random.default_rng(2).uniform(1, 100, 200)
    found = chance(values.tolist())
    assert found.test == "sign-flip"
    assert least_p(200) <= found.p < 1e-40
    assert min(holm([found.p, *[0.5] * 527])) < 1e-37


@pytest.mark.parametrize("far", [3.2, 3.8, 4.5])
@pytest.mark.parametrize("kind", ["normal", "skewed", "f1"])
def test_the_p_of_rare_chances_is_never_too_small(kind: str, far: float) -> None:
    """Compared with importance sampling of signs that favour the far side."""
    generator = np.random.default_rng(5)
    sizes = {
        "normal": np.abs(generator.normal(0, 20, 60)),
        "skewed": generator.lognormal(0, 1, 80),
        "f1": generator.choice([100, 50, 66.67, 33.3, 80], 60),
    }[kind]
    total = far * float((sizes**2).sum() ** 0.5)
    slope = next(
        at for at in np.arange(1e-4, 9, 1e-4) if (sizes * np.tanh(at * sizes)).sum() > total
    )
    leaning = generator.random((100_000, len(sizes))) < 1 / (1 + np.exp(-2 * slope * sizes))
    sums = np.where(leaning, sizes, -sizes).sum(axis=1)
    weights = np.exp(-slope * sums + np.log(np.cosh(slope * sizes)).sum())
    p = 2 * float(np.mean(weights * (sums >= total)))
    assert p < 1.02 * 1.25 * saddlepoint_p(sizes, total) < 1.5 * p


def test_another_seed_gives_other_draws() -> None:
    values = np.random.default_rng(3).normal(3, 20, 90).tolist()
    assert chance(values) == chance(values)
    one, two = chance(values).p, chance(values, seed=7).p
    assert one != two
    assert one == pytest.approx(two, abs=0.03)


@pytest.mark.parametrize("labels", [None, np.repeat(np.arange(60), 5).tolist()])
def test_neither_the_order_of_examples_nor_of_systems_changes_p(labels: list[int] | None) -> None:
    random = np.random.default_rng(1)
    values, order = random.normal(4, 40, 300), random.permutation(300)
    moved = None if labels is None else np.array(labels)[order].tolist()
    found = chance(values.tolist(), labels)
    assert found.test == "sign-flip"
    assert found.p >= 25 / 10_001, "what is drawn, not approximated"
    assert found == chance(values[order].tolist(), moved) == chance((-values).tolist(), labels)


def test_what_is_tested_beside_it_changes_nothing() -> None:
    columns = np.random.default_rng(4).normal(2, 20, (120, 3))
    together = sign_flip_tests(columns, Clusters.apart(120), 1)
    assert [chance(column.tolist()) for column in columns.T] == together


def test_the_p_of_no_chance_at_all_is_above_zero() -> None:
    assert 0 < chance([100.0] * 2000).p < 1e-300
    assert 0 < chance([100.0, 50.0] * 1500).p < 1e-300


@pytest.mark.parametrize(
    ("given", "corrected"),
    [  # statsmodels 0.15.0: multipletests(given, method="holm")[1]
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, 0.02, 0.9], [0.06, 0.06, 0.9]),
        ([0.7, 0.8], [1.0, 1.0]),
        ([0.2], [0.2]),
    ],
)
def test_holm(given: list[float], corrected: list[float]) -> None:
    assert holm(given) == pytest.approx(corrected)


@pytest.mark.parametrize("count", [8, 20])
def test_false_alarms_between_like_systems(count: int) -> None:
    """For F1, where a paired bootstrap has 11 % with 8 questions and 7 % with 20."""
    generator = np.random.default_rng(12)
    quality = generator.normal(0, 1, (count, 3000))
    a, b = (
        np.clip(50 + 40 * (quality + generator.normal(0, 1, quality.shape)), 0, 100) for _ in "ab"
    )
    found = sign_flip_tests(b - a, Clusters.apart(count))
    assert np.mean([each.p < 0.05 for each in found]) < 0.062
