"""Readers across prompts: spread, and whether their ranking changes."""

import random

import pytest

from aqa.evaluation.difference_tables import prompt_tables
from aqa.evaluation.prompts import across_prompts
from aqa.metrics.statistics.clusters import Clusters

COUNT = 300


def scores(share: float, seed: int) -> dict[str, list[float]]:
    chance = random.Random(seed)
    return {"f1": [100.0 * (chance.random() < share) for _ in range(COUNT)]}


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ((0.9, 0.4), (0.4, 0.9), "turns"),
        ((0.9, 0.8), (0.4, 0.4), "holds"),
        ((0.6, 0.6), (0.61, 0.59), "may turn"),
    ],
)
def test_whether_a_ranking_turns(
    a: tuple[float, float], b: tuple[float, float], verdict: str
) -> None:
    readers = {
        name: {f"p{n}": scores(share, 10 * n + place) for n, share in enumerate(shares)}
        for place, (name, shares) in enumerate((("a", a), ("b", b)))
    }
    if verdict == "may turn":  # equal except for three answers, in either direction
        for prompt, flip in (("p0", 0.0), ("p1", 100.0)):
            values = readers["a"][prompt]["f1"]
            places = [at for at, value in enumerate(values) if value == flip][:3]
            readers["b"][prompt] = {
                "f1": [100.0 - v if at in places else v for at, v in enumerate(values)]
            }
    found = across_prompts(readers, Clusters.apart(COUNT))
    (ranked,) = found.ranked
    assert ranked.verdict == verdict
    means = [spread.mean for spread in found.spreads]
    assert ranked.of_means.difference == pytest.approx(means[1] - means[0])
    assert set(ranked.by_prompt) == {"p0", "p1"}
    told = found.to_json()
    assert told["rankings"][0]["verdict"] == verdict
    assert "a and b by F1: " in str(ranked)
    tables = list(prompt_tables(found))
    assert [len(table.rows) for table in tables] == [2, 3]


def test_a_prompt_may_be_called_mean() -> None:
    readers = {
        name: {"mean": scores(share, 1), "other": scores(share, 2)}
        for name, share in (("a", 0.4), ("b", 0.9))
    }
    (ranked,) = across_prompts(readers, Clusters.apart(COUNT)).ranked
    assert list(ranked.by_prompt) == ["mean", "other"]
    assert ranked.of_means.difference != ranked.by_prompt["mean"].difference


def test_a_spread() -> None:
    found = across_prompts({"a": {"p": {"f1": [40.0]}, "q": {"f1": [60.0]}}}, Clusters.apart(1))
    (spread,) = found.spreads
    assert (spread.mean, round(spread.standard_deviation, 3)) == (50, 14.142)
    assert found.ranked == ()
    (table,) = prompt_tables(found)
    assert table.rows[0].cells[4:] == ["p 40.0", "q 60.0"]


def test_one_common_prompt_has_no_ranking_that_could_turn() -> None:
    readers = {"a": {"p": scores(0.3, 1), "q": scores(0.5, 2)}, "b": {"p": scores(0.9, 3)}}
    found = across_prompts(readers, Clusters.apart(COUNT))
    (ranked,) = found.ranked
    assert ranked.of_means == ranked.by_prompt["p"]
    assert ranked.of_means.p_holm == ranked.of_means.p
    assert "verdict" not in ranked.to_json()
    assert "a and b by F1, with p, the prompt of both: b - a: +" in str(ranked)
    assert [len(table.rows) for table in prompt_tables(found)] == [2, 1]


def test_readers_without_a_common_prompt_are_not_ranked() -> None:
    readers = {"a": {"p": scores(0.5, 1)}, "b": {"q": scores(0.5, 2)}}
    assert across_prompts(readers, Clusters.apart(COUNT)).ranked == ()
