"""Progress inside a user's program: in a terminal, in a notebook, and where nobody sees it."""

import io
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType
from typing import Any, Self

import pytest

import aqa
from aqa.display import console
from aqa.display.console import PlainProgress, RichProgress, watched_progress
from aqa.display.terminal import SafeConsole
from aqa.progress import SilentProgress

DATA = [{"id": "1", "question": "Who?", "context": "Ada wrote it."}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_shown_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(watched_progress(False), SilentProgress)
    assert [answer.id for answer in aqa.predict("stub", DATA)] == ["1"]
    assert capsys.readouterr() == ("", "")


def test_bars_come_and_go_with_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert isinstance(watched_progress(True), SilentProgress)
    progress = watched_progress(False)
    assert isinstance(progress, RichProgress)
    progress.note("worth knowing")
    assert "worth knowing" in screen.getvalue()
    with progress.task("Outer", 2) as outer, progress.task("Inner", 1) as inner:
        inner.advance()
        outer.advance()
    shown = screen.getvalue()
    assert "Outer" in shown
    assert "Inner" in shown
    with progress.task("Later", 1):
        pass
    assert "Later" in screen.getvalue()


def test_an_abandoned_stream_leaves_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    rows = [{**DATA[0], "id": str(number)} for number in range(3)]
    with aqa.predict("stub", rows) as answers:
        next(iter(answers))
    assert "\x1b[?25h" in screen.getvalue()  # the cursor is shown again
    size = len(screen.getvalue())
    print("afterwards")
    assert len(screen.getvalue()) == size


class Output:
    """A notebook's output area, as in ipywidgets."""

    def __init__(self) -> None:
        self.times = 0

    def __enter__(self) -> Self:
        self.times += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def clear_output(self, wait: bool) -> None: ...


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a notebook displayed; it has no ipywidgets."""
    shown: list[Any] = []
    made = ModuleType("IPython")
    made.display = ModuleType("IPython.display")  # type: ignore[attr-defined]
    made.display.display = shown.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", made)
    monkeypatch.setitem(sys.modules, "IPython.display", made.display)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    return shown


def test_a_notebook_shows_bars(notebook: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    widgets = ModuleType("ipywidgets")
    widgets.Output = Output  # type: ignore[attr-defined]
    widgets.__spec__ = ModuleSpec("ipywidgets", None)
    monkeypatch.setitem(sys.modules, "ipywidgets", widgets)
    assert [answer.id for answer in aqa.predict("stub", DATA)] == ["1"]
    areas = [each for each in notebook if isinstance(each, Output)]
    assert len(areas) == 2  # checking, and answering
    assert all(area.times for area in areas)


def test_a_notebook_without_widgets_has_lines(notebook: list[Any]) -> None:
    assert isinstance(watched_progress(False), PlainProgress)
    assert [answer.id for answer in aqa.predict("stub", DATA)] == ["1"]
    assert any("Answering 1/1" in each.text for each in notebook)


def test_only_the_first_process_shows_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "errors", lambda: SafeConsole(Terminal()))
    monkeypatch.setenv("RANK", "1")
    assert not isinstance(watched_progress(False), SilentProgress), "one alone is no group"
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert isinstance(watched_progress(False), SilentProgress)
