"""Stress cards identify readers with known habits, and the sentences match the measurements."""

import re
from dataclasses import replace
from io import StringIO
from statistics import fmean
from types import SimpleNamespace
from typing import cast

import pytest
from planted_readers import READERS, SIGN_OF, ask, card_of, questions, under_stress
from rich.console import Console

from aqa.display.terminal import rich_table
from aqa.evaluation.difference_tables import card_table
from aqa.evaluation.findings import describe_card, describe_stress
from aqa.evaluation.long_table import stress_rows
from aqa.evaluation.report.curves import stress_curves
from aqa.evaluation.results import Report
from aqa.evaluation.stress import ScoredRun, StressCard, compare_readers, make_card
from aqa.metrics.statistics.clusters import Clusters
from aqa.tables import Table

SEED = 3


@pytest.fixture(scope="module")
def cards() -> dict[str, StressCard]:
    stressed = under_stress(questions(120), passages=6)
    return {name: card_of(name, stressed, SEED) for name in READERS}


def test_readers_are_told_apart(cards: dict[str, StressCard]) -> None:
    assert cards["blind"].findings == []
    for name, sign in SIGN_OF.items():
        assert sign in cards[name].findings
    assert "memory" not in cards["copier"].findings + cards["ignorer"].findings
    assert "position" not in cards["ignorer"].findings + cards["memory"].findings


def test_what_a_card_holds(cards: dict[str, StressCard]) -> None:
    card = cards["copier"]
    last = card.conditions["position-last"]
    assert last.differences["f1"].b == "position-last"
    assert last.differences["f1"].difference == pytest.approx(
        last.scores["f1"].value - card.plain["f1"].value
    )
    assert card.conditions["position-first"].differences["f1"].difference == 0
    assert card.conditions["missing"].differences == {}
    assert card.conditions["missing"].shares["answered"].value == 100
    assert [one.a for one in card.places["f1"]] == ["position-first"] * 2
    assert [one.b for one in card.places["f1"]] == ["position-middle", "position-last"]
    told = card.to_json()
    assert told["findings"][0] == "position"
    assert told["conditions"]["conflict"]["shares"]["memory"]["value"] == 0


def test_the_card_in_words(cards: dict[str, StressCard]) -> None:
    told = "\n".join(describe_card(cards["copier"]))
    lost = -cards["copier"].conditions["position-last"].differences["f1"].difference
    assert f"copier loses {lost:.1f} F1 (95 %: " in told
    assert "when the answer is last of 20" in told
    assert "copier answers 100 % (" in told
    for place in ("middle", "last"):
        assert f"when only the place changes, from the first to the {place}" in told
    told = "\n".join(describe_card(cards["memory"]))
    share = cards["memory"].conditions["conflict"].shares["memory"].value
    assert f"memory gives the old answer to {share:.0f} % (" in told
    told = "\n".join(describe_card(cards["blind"]))
    assert "blind loses" not in told
    assert "blind: no difference was found between places of the answer" in told
    lost = cards["blind"].conditions["noise-2"].differences["f1"]
    assert f"noise-2 ({lost.difference:+.1f})" in told
    assert re.search(rf"; .*\b{lost.detectable:.1f}\b.* would be, four times in five", told)
    none = replace(lost, detectable=None)
    alone = replace(cards["blind"].conditions["noise-2"], differences={"f1": none})
    told = "\n".join(
        describe_card(replace(cards["blind"], conditions={"noise-2": alone}, places={}))
    )
    assert told.endswith("; none could be, with so few questions")
    looked_at = replace(alone, differences={"f1": replace(lost, test="sequence-betting")})
    told = "\n".join(
        describe_card(replace(cards["blind"], conditions={"noise-2": looked_at}, places={}))
    )
    assert told.endswith(f"noise-2 ({lost.difference:+.1f})"), "its power is of no fixed size"
    both = {"noise-2": alone, "noise-5": cards["blind"].conditions["noise-2"]}
    told = "\n".join(describe_card(replace(cards["blind"], conditions=both, places={})))
    assert told.endswith(f"; {lost.detectable:.1f} in noise-5 would be, four times in five")


def test_a_reader_asked_in_one_condition_is_a_dot_beside_the_curves(
    cards: dict[str, StressCard],
) -> None:
    copier = cards["copier"]
    alone = replace(copier, conditions={"noise-2": copier.conditions["noise-2"]})
    (picture, caption), *_ = stress_curves(cast(Report, SimpleNamespace(stress=[copier, alone])))
    assert caption == "F1 over the number of hard passages"
    asked = sum(name.startswith("noise") for name in copier.conditions)
    assert picture.count("<circle") == asked + 1 > 2
    assert not list(stress_curves(cast(Report, SimpleNamespace(stress=[alone, alone]))))


def test_readers_are_compared_in_each_condition() -> None:
    stressed = under_stress(questions(60), ["position-first", "missing"])
    asked = {name: ask(name, stressed, SEED) for name in ("blind", "ignorer")}
    plain = asked["blind"]["plain"].ids[:40]
    found = compare_readers(asked, plain, Clusters.apart(40))
    assert list(found) == ["position-first", "missing"]
    (first,), (missing,) = found.values()
    assert (first.a, first.b, first.is_real) == ("blind", "ignorer", True)
    assert first.wins + first.ties + first.losses == 40
    expected = [fmean(asked[name]["missing"].scores["f1"][:40]) for name in ("ignorer", "blind")]
    assert missing.difference == pytest.approx(expected[0] - expected[1])
    assert missing.p_holm == pytest.approx(max(missing.p, min(1, 2 * min(missing.p, first.p))))
    told = "\n".join(describe_stress([card_of("blind", stressed, SEED)], found))
    assert f"blind is silent {-missing.difference:.1f} points more often than ignorer" in told
    assert re.search(r"blind is better than ignorer by [\d.]+ F1 .* is first of 20", told)
    alone = compare_readers({"blind": asked["blind"]}, plain, Clusters.apart(40))
    assert alone == {}


@pytest.mark.parametrize(("sign", "verb"), [(1, "gains"), (-1, "loses")])
def test_an_interval_keeps_its_sign(cards: dict[str, StressCard], sign: int, verb: str) -> None:
    """With a few large differences, p may be significant where the interval is not."""
    low, high = sorted((-4.2 * sign, 45.5 * sign))
    last = cards["copier"].conditions["position-last"]
    found = replace(
        last.differences["f1"], difference=20.7 * sign, low=low, high=high, p_holm=0.00001
    )
    conditions = {"position-last": replace(last, differences={"f1": found})}
    (told, *_) = describe_card(replace(cards["copier"], conditions=conditions))
    assert told.startswith(
        f"copier {verb} 20.7 F1 (95 %: -4.2 to 45.5, yet p (Holm) is < 0.0001) when"
    )


def test_cards_as_tables(cards: dict[str, StressCard]) -> None:
    tables = list(map(card_table, cards.values()))
    assert [table.title for table in tables[:2]] == ["blind under stress", "copier under stress"]
    for table, tone in zip(tables[:2], ("", "strong"), strict=True):
        (last,) = [row for row in table.rows if row.cells[0] == "position-last"]
        assert last.tone == tone
    lines = _lines(tables[0])
    assert max(map(len, lines)) < 80
    assert any("position-middle" in line for line in lines), "nothing is folded"
    rows = [row.cells for row in stress_rows(cards["copier"])]
    assert all(len(row) == 13 for row in rows)
    assert {row[8] for row in rows} == {"stress"}
    assert {row[9] for row in rows} == set(cards["copier"].conditions)


def _lines(table: Table) -> list[str]:
    console = Console(file=StringIO(), width=80)
    console.print(rich_table(table, console.width))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_only_shared_questions_are_compared() -> None:
    stressed = under_stress(questions(40), ["conflict"])
    asked = ask("blind", stressed, SEED)
    plain, conflict = asked["plain"], asked["conflict"]
    part = conflict.at(range(5, 30))
    card = make_card("blind", plain.at(range(20)), {"conflict": part}, Clusters.apart(20), "squad")
    assert card.conditions["conflict"].n == 15
    others = ScoredRun(["x"], ["a"], [("a",)], {"f1": [100.0]})
    card = make_card("blind", plain, {"conflict": others}, Clusters.apart(40), "squad")
    assert card.conditions == {}


def test_silence_equals_nothing() -> None:
    asked = ScoredRun(["a", "b"], ["", "the Town"], [(), ("town",)], {"f1": [100.0, 100.0]})
    card = make_card("quiet", asked, {"conflict": asked}, Clusters.apart(2), "squad")
    assert card.conditions["conflict"].shares["memory"].value == 50
