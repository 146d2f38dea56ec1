"""One table in all its forms: safe in each format, with the same content."""

import csv
import io
from html.parser import HTMLParser

import pytest
from rich.console import Console

from aqa.display.terminal import rich_table
from aqa.tables import Figure, Row, Table, figures, texts
from aqa.tables.forms import in_a_sheet, out_of_a_sheet, to_csv, to_html, to_latex, to_markdown

NAME = '=a|b_<script>"&'
THIRD = 100 / 3
TABLE = Table(
    [*texts("system"), *figures("f1", "gain", "n")],
    [
        Row([NAME, Figure(THIRD, low=20.0, high=45.25), Figure(THIRD, 1, is_signed=True), 1000]),
        Row(["b\nc", None, Figure(-0.04, 1, is_signed=True), ""], "strong"),
    ],
    "A <b>title</b>",
)


def test_csv_is_unrounded_and_runs_nothing() -> None:
    head, first, second = csv.reader(io.StringIO(to_csv(TABLE)))
    assert head == ["system", "f1", "gain", "n"]
    assert first == [f"'{NAME}", str(THIRD), str(THIRD), "1000"]
    assert second == ["b\nc", "", "-0.04", ""]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("-5", "-5"),
        ("+1,000.5", "+1,000.5"),
        ("-2+3", "'-2+3"),
        ("+82 10", "'+82 10"),
        ("@x", "'@x"),
        ("'-x", "'-x"),
        ("a=b", "a=b"),
    ],
)
def test_a_number_is_no_formula(text: str, written: str) -> None:
    assert in_a_sheet(text) == written
    assert written == text or out_of_a_sheet(written) == text


def test_markdown() -> None:
    assert to_markdown(TABLE).splitlines() == [
        "| system | f1 | gain | n |",
        "| --- | ---: | ---: | ---: |",
        r'| =a\|b\_\<script\>"\& | 33.33 (20.0–45.2) | +33.3 | 1000 |',
        "| b c |  | +0.0 |  |",
    ]


def test_latex() -> None:
    assert to_latex(TABLE).splitlines()[1:-1] == [
        r"\toprule",
        r"system & f1 & gain & n \\",
        r"\midrule",
        r'=a\textbar{}b\_\textless{}script\textgreater{}"\& & 33.33 (20.0--45.2) & +33.3 & 1000 \\',
        r"b c &  & +0.0 &  \\",
        r"\bottomrule",
    ]


class Cells(HTMLParser):
    """What a browser would show, element by element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.shown: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


def test_html_shows_texts_as_they_are() -> None:
    cells = Cells(to_html(TABLE))
    assert set(cells.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td", "strong"}
    assert "A <b>title</b>" in cells.shown
    assert NAME in cells.shown
    assert "33.33 (20.0 to 45.2)" in cells.shown
    assert cells.tags.count("strong") == 4


@pytest.mark.parametrize("width", [40, 80])
def test_a_terminal(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO(), markup=False)
    console.print(rich_table(TABLE, console.width))
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= width
    assert "+33.3" in shown
    if width == 80:
        assert NAME in shown


def test_a_list_of_facts_has_no_heads() -> None:
    table = Table(texts("what", "value"), [Row(["model", "tiny"])], plain=True, has_heads=False)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(rich_table(table, console.width))
    assert console.export_text().split() == ["model", "tiny"]
    assert "<th" not in to_html(table)
