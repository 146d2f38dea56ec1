import pytest

from aqa.evaluation.results import MOST, disagreement

IDS = ("q1", "q2", "q3", "q4")
A = {"em": [100.0, 0.0, 0.0, 100.0], "f1": [100.0, 50.0, 0.0, 100.0]}
B = {"em": [100.0, 100.0, 0.0, 0.0], "f1": [100.0, 100.0, 20.0, 50.0]}
C = {"em": [100.0, 0.0, 0.0, 0.0], "f1": [100.0, 80.0, 0.0, 0.0]}


def test_the_widest_spread_comes_first() -> None:
    found = disagreement(IDS, [A, B, C])
    assert found is not None
    assert (found.score, list(found.spreads)) == ("f1", [0.0, 50.0, 20.0, 100.0])
    assert [IDS[place] for place in found.order] == ["q4", "q2", "q3"]
    assert found.to_json() == {
        "score": "f1",
        "n": 3,
        "most": [
            {"id": "q4", "spread": 100.0},
            {"id": "q2", "spread": 50.0},
            {"id": "q3", "spread": 20.0},
        ],
    }


def test_ties_stay_in_the_order_of_the_data() -> None:
    found = disagreement(IDS, [A, B])
    assert found is not None
    assert found.order == (1, 3, 2)


def test_systems_in_another_order_disagree_as_much() -> None:
    assert disagreement(IDS, [A, B, C]) == disagreement(IDS, [C, A, B])


@pytest.mark.parametrize(
    ("names", "score"),
    [
        (("em", "rouge_w"), "rouge_w"),
        (("chrf", "em"), "chrf"),
        (("em", "judge"), "judge"),
        (("em", "chrf", "f1"), "f1"),
    ],
)
def test_which_score_tells(names: tuple[str, ...], score: str) -> None:
    values = [{name: [value] for name in names} for value in (0.0, 100.0)]
    found = disagreement(["q"], [{"bleu": [0.0], **values[0]}, values[1]])
    assert found is not None
    assert found.score == score


def test_nothing_to_compare() -> None:
    assert disagreement(IDS, [A]) is None
    assert disagreement(IDS, [{"em": A["em"]}, {"f1": A["f1"]}]) is None
    same = disagreement(IDS, [A, A])
    assert same is not None
    assert (same.order, same.to_json()) == ((), {"score": "f1", "n": 0, "most": []})


def test_metrics_json_names_a_few() -> None:
    ids = [str(number) for number in range(3 * MOST)]
    values = [{"em": [value] * len(ids)} for value in (0.0, 100.0)]
    found = disagreement(ids, values)
    assert found is not None
    assert [one["id"] for one in found.to_json()["most"]] == ids[:MOST]
    assert found.to_json()["n"] == 3 * MOST
