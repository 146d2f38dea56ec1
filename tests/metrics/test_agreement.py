"""Agreement of two or more raters, checked on published examples."""

import hypothesis
import pytest
from hypothesis import strategies as st

from aqa.metrics.agreement import agreement, fleiss_kappa, krippendorff_alpha, panel_agreement


def test_kappa_of_a_published_example() -> None:
    """Fleiss, Levin and Paik (2003), "Statistical Methods for Rates and Proportions", table 18.1.

    Two raters diagnose 100 people as psychotic, neurotic or organic: p_o 0.89, p_e 0.66.
    """
    table = {"pp": 75, "pn": 1, "po": 4, "np": 5, "nn": 4, "no": 1, "oo": 10}
    pairs = [(a, b) for (a, b), count in table.items() for _ in range(count)]
    found = agreement(pairs)
    assert found.n == 100
    assert found.agreement == pytest.approx(89)
    assert found.kappa == pytest.approx(0.23 / 0.34)
    assert agreement([(b, a) for a, b in pairs]) == found


LABELS = st.sampled_from(["correct", "partially_correct", "incorrect", "unsupported"])


@hypothesis.given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import cohen_kappa_score  # a slow import

    first, second = zip(*pairs, strict=True)
    kappa = agreement(pairs).kappa
    if kappa is None:
        assert len({*first, *second}) == 1
    else:
        assert kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)


@pytest.mark.parametrize(
    ("pairs", "kappa"),
    [
        ([("a", "a"), ("b", "b")], 1),
        ([("a", "b"), ("b", "a")], -1),
        ([("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")], 0),
        ([("a", "a"), ("a", "a")], None),
        ([("a", "b")], 0),
    ],
)
def test_kappa_at_its_ends(pairs: list[tuple[str, str]], kappa: float | None) -> None:
    assert agreement(pairs).kappa == kappa
    assert ("kappa" in agreement(pairs).to_json()) == (kappa is not None)


def test_fleiss_kappa_of_a_published_example() -> None:
    """Fleiss (1971), table 1 as worked in many textbooks: 14 raters of 10 subjects."""
    table = """0 0 0 0 14, 0 2 6 4 2, 0 0 3 5 6, 0 3 9 2 0, 2 2 8 1 1, 7 7 0 0 0, 3 2 6 3 0,
    2 5 3 2 2, 6 5 2 1 0, 0 2 2 3 7"""
    items = [
        [
            label
            for label, count in zip("abcde", row.split(), strict=True)
            for _ in range(int(count))
        ]
        for row in table.split(",")
    ]
    assert fleiss_kappa(items) == pytest.approx(0.210, abs=0.0005)


def test_krippendorff_alpha_of_a_published_example() -> None:
    """Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part C: 0.743."""
    raters = ["123321412   ", "1233224125 3", " 3332342251 ", "12332441251 "]
    items = [[rater[place] for rater in raters if rater[place] != " "] for place in range(12)]
    assert krippendorff_alpha(items) == pytest.approx(0.743, abs=0.0005)


def test_a_panel() -> None:
    found = panel_agreement([["a", "a", "a"], ["a", "b", "b"], ["b", "b", None], [None, None, "a"]])
    assert found.n == 2
    assert found.agreement == 50
    # P = (1 + 1/3) / 2, P_e = (4/6)^2 + (2/6)^2
    assert found.fleiss_kappa == pytest.approx((2 / 3 - 5 / 9) / (4 / 9))
    assert found.krippendorff_alpha is not None
    assert panel_agreement([["a", "a"], ["a", "a"]]).to_json() == {"n": 2, "agreement": 100}
    assert panel_agreement([["a", None]]).to_json() == {"n": 0}


@hypothesis.given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_two_raters_are_scotts_pi(pairs: list[tuple[str, str]]) -> None:
    """For two raters, Fleiss' kappa is Scott's pi, and alpha approaches it with more items."""
    kappa, alpha = fleiss_kappa(pairs), krippendorff_alpha(pairs)
    if kappa is None:
        assert alpha is None
    else:
        assert alpha == pytest.approx(kappa + (1 - kappa) / (2 * len(pairs)))
