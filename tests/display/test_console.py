import io
import re
import time

import pytest
from rich.console import Console

from aqa.display.console import AGAIN, RichProgress, open_progress, show_fields


@pytest.mark.parametrize("columns", [80, 100])
def test_a_bar_tells_count_rate_and_time_left(columns: int) -> None:
    """Also on 80 columns, where only the live figures are wrapped."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=columns, color_system=None)
    progress = RichProgress(console)
    with progress.task("Tokenizing something with a long name", total=200) as task:
        for _ in range(2):
            task.advance(10)
            time.sleep(0.02)
        task.advance(20, {"loss": 0.5613, "learning rate": 2e-4, "tokens/s": 134.25})
        assert progress.bars is not None
        file.truncate(0)
        file.seek(0)
        console.print(progress.bars.get_renderable())
        drawn = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", file.getvalue()).lstrip("\r")
    first = drawn.splitlines()[0]
    assert "40/200" in first
    assert "/s" in first
    assert re.search(r"\d:\d\d:\d\d", first)  # the time left
    assert "Tokenizing something" in first
    for figure in ("0.56", "2.0e-04", "134.25"):
        assert figure in drawn
    assert all(len(line) <= columns for line in drawn.splitlines())


def test_what_was_done_before_tells_nothing_of_the_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr("aqa.display.console.time.monotonic", lambda: next(clock))
    with open_progress(quiet=False) as progress, progress.task("Answering", 1000, done=900) as task:
        task.advance(10)
        task.advance(10)
    told = capsys.readouterr().err
    assert "Answering 920/1000, 0.5 examples/s, 160 s left" in told
    assert told.count("920/1000") == 1  # nothing came after it


def test_the_first_of_a_batch_does_not_tell_how_fast_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("aqa.display.console.time.monotonic", lambda: now)
    with open_progress(quiet=False) as progress, progress.task("Answering", 120) as task:
        for at in (15.0, 30.0):
            now = at
            for _ in range(60):
                task.advance()
    assert capsys.readouterr().err.splitlines() == [
        "Answering 1/120, 15 s",
        "Answering 61/120, 4.0 examples/s, 15 s left",
        "Answering 120/120, 4.0 examples/s, 30 s",
    ]


@pytest.mark.parametrize(
    ("total", "done", "seconds", "told"),
    [
        (1, 1, 60, ["Loading 1/1, 60 s"]),
        (11, 0, 60, ["Loading 0/11, 60 s"]),
        (11, 1, 60, ["Loading 1/11, 60 s each, 600 s left"]),
        (None, 0, 60, ["Loading, 60 s"]),
        (None, 0, 0, []),
        (3, 0, 0, ["Loading 0/3, 0 s"]),
        (None, 120, 60, ["Loading 120, 2.0 models/s, 60 s"]),
    ],
)
def test_a_rate_is_told_where_it_tells_something(
    total: int | None,
    done: int,
    seconds: float,
    told: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("aqa.display.console.time.monotonic", lambda: now)
    with open_progress(quiet=False) as progress, progress.task("Loading", total, "models") as task:
        task.advance(done)
        now = seconds
    assert capsys.readouterr().err.splitlines() == told


@pytest.mark.parametrize(
    ("go_on", "told"), [("", "interrupted\n"), (AGAIN, f"interrupted; {AGAIN}\n")]
)
def test_work_that_is_interrupted_says_how_to_go_on(
    go_on: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), open_progress(quiet=False, go_on=go_on):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == told


def test_a_bar_that_goes_on_begins_where_it_stood() -> None:
    progress = RichProgress(Console(file=io.StringIO(), force_terminal=True, width=80))
    with progress.task("Answering", 1000, done=900) as task:
        for _ in range(3):
            time.sleep(0.02)
            task.advance(2)
        assert progress.bars is not None
        (bar,) = progress.bars.tasks
        assert bar.completed == 906
        assert bar.speed is not None
        assert bar.speed < 2 / 0.02


def test_a_work_that_comes_again_takes_the_place_of_the_last_one() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    progress = RichProgress(console)
    with progress.task("Training", total=9) as training:
        for total in (3, 4, 5):
            with progress.task("Evaluating", total=total) as task:
                task.advance(total)
        training.advance()
        assert progress.bars is not None
        found = [(task.description, task.total) for task in progress.bars.tasks]
    assert found == [("Training", 9), ("Evaluating", 5)]


def test_figures_are_short_and_none_is_rounded_away() -> None:
    shown = show_fields({"em": 40.0, "rate": 2e-5, "tokens/s": 14673.13, "cost": "$1"})
    assert shown == "em 40.00  rate 2.0e-05  tokens/s 14,673  cost $1"


def test_data_printed_beside_bars_stay_on_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with open_progress(quiet=False) as progress, progress.task("Working", total=1):
        print("data")
    assert capsys.readouterr().out == "data\n"
