"""Agreement of two or more raters, checked on published examples."""

import hypothesis
import pytest
from hypothesis import strategies as st

from aqa.metrics.agreement import agreement, krippendorff_alpha, panel_agreement


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


def test_krippendorff_alpha_of_a_published_example() -> None:
    """Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part C: 0.743."""
    raters = ["123321412   ", "1233224125 3", " 3332342251 ", "12332441251 "]
    items = [[rater[place] for rater in raters if rater[place] != " "] for place in range(12)]
    assert krippendorff_alpha(items) == pytest.approx(0.743, abs=0.0005)


def test_a_panel() -> None:
    found = panel_agreement([["a", "a", "a"], ["a", "b", "b"], ["b", "b", None], [None, None, "a"]])
    assert found.n == 2
    assert found.agreement == 50
    # Of the 8 labels of items with two or more, 4 are a: D_e = 32/56, and D_o = 2/8.
    assert found.krippendorff_alpha == pytest.approx(1 - (2 / 8) / (32 / 56))
    assert panel_agreement([["a", "a"], ["a", "a"]]).to_json() == {"n": 2, "agreement": 100}
    assert panel_agreement([["a", None]]).to_json() == {"n": 0}
