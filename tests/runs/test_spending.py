"""The spending record, written before each request."""

from pathlib import Path

import pytest

from aqa.backends.openai_api.ledger import Ledger
from aqa.backends.openai_api.prices import priced
from aqa.config.backend_options import Gpt4Options, PriceOptions
from aqa.errors import RunError
from aqa.runs.names import SPENDING
from aqa.runs.spending import SpendingRecord
from aqa.spent import Spent


def test_what_is_under_way_stands_there_until_it_ended(tmp_path: Path) -> None:
    record = SpendingRecord(tmp_path)
    assert record.read() == Spent()
    (tmp_path / SPENDING).touch()
    assert record.read() == Spent()
    price = PriceOptions(input=1.0, output=2.0, cached_input=0.5, cache_write=1.25)
    budget = Ledger(Gpt4Options(price=price))
    budget.resume(Spent(), {}, record, Spent())
    budget.reserve(Spent(999, 9))  # for a batch, which has its own record
    worst = priced(Spent(1000, 64), budget.price)
    budget.start(worst)
    again = SpendingRecord(tmp_path)
    assert again.read() == worst
    budget.end(worst, priced(Spent(100, 5, 50, cache_writes=20), budget.price))
    record.close()
    told = again.read()
    assert (told.input, told.output, told.cached, told.cache_writes) == (100, 5, 50, 20)
    assert told.cost == pytest.approx(90e-6)


@pytest.mark.parametrize("content", ["[]", "{", '{"input": 1}'])
def test_a_changed_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / SPENDING).write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=r"spending\.json: this file should record what was spent"):
        SpendingRecord(tmp_path).read()


@pytest.mark.parametrize(
    ("one", "other", "highest"),
    [
        (Spent(5, 1, 2, 0.5), Spent(3, 4, 0, None), Spent(5, 4, 2, 0.5)),
        (Spent(5, 1), Spent(3, 4), Spent(5, 4)),
        (Spent(cost=0.1), Spent(cost=0.2), Spent(cost=0.2)),
    ],
)
def test_the_highest_of_each_figure(one: Spent, other: Spent, highest: Spent) -> None:
    assert one.highest(other) == other.highest(one) == highest
