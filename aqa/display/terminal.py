"""The only way to print: text from data, models and servers can't control the terminal."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from aqa.tables import Table, cell_text

# Characters that control a terminal: C0 except tab and line feed, C1, and those that change the
# direction of writing. Half a surrogate pair can't be encoded.
STEERS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
WORD = 16  # the longest word, in columns, that is kept whole where space is short
STYLES: Mapping[str, str] = {
    "strong": "bold",
    "warning": "yellow",
    "bad": "bold red",
    "muted": "dim",
}


def safe_text(text: str) -> str:
    """Remove characters that would control a terminal; all of them are invisible."""
    return STEERS.sub("", text)


def safe_json(value: object) -> str:
    """Format a value as readable JSON, with such characters escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return STEERS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class SafeConsole(Console):
    """A Rich console that prints all text literally, without control characters.

    There is no markup, so nothing needs escaping; styles are passed separately.
    """

    def __init__(self, file: TextIO) -> None:
        # Left to itself, Rich would display in a notebook whatever is written to any file.
        elsewhere = None if file in (sys.stdout, sys.stderr) else False
        super().__init__(
            file=file, highlight=False, markup=False, emoji=False, force_jupyter=elsewhere
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Filter Rich's rendering; all output passes through here before it gets colours."""
        for segment in super().render(renderable, options):
            if segment.control or not STEERS.search(segment.text):
                yield segment
            else:
                yield Segment(safe_text(segment.text), segment.style)


def rich_table(table: Table, width: int) -> RichTable:
    """Convert to a Rich table for a console of this width; long texts are wrapped."""
    rich = RichTable(
        title=table.title or None,
        min_width=cell_len(table.title),
        show_header=table.has_heads,
        pad_edge=not (table.plain and table.has_heads),
        expand=any(column.fills for column in table.columns),
    )
    if table.plain:
        rich.box = None
    widths = [None] * len(table.columns) if table.plain else _fitted(table, width)
    for column, fitted in zip(table.columns, widths, strict=True):
        rich.add_column(
            column.name,
            justify="right" if column.holds == "figures" else "left",
            width=fitted,
            overflow="ellipsis" if column.fills else "fold",
            no_wrap=column.fills,
            ratio=1 if column.fills else None,
        )
    for row in table.rows:
        cells = [Text(cell_text(cell)) for cell in row.cells]
        rich.add_row(*cells, style=STYLES.get(row.tone), end_section=row.ends_section)
    return rich


def _fitted(table: Table, width: int) -> Sequence[int]:
    """Choose the columns' widths: the widest wrap first, words break last, and numbers never.

    Left to itself, Rich breaks numbers, and cuts off columns.
    """
    widths, words, preferred, numbers = [], [], [], []
    for at, column in enumerate(table.columns):
        texts = [cell_text(row.cells[at]) for row in table.rows]
        widths.append(_longest(str.splitlines, [column.name, *texts]))
        word = _longest(str.split, [column.name, *texts])
        words.append(word if word <= WORD else WORD // 2)
        numbers.append(_longest(str.split, texts if column.holds == "figures" else []))
        preferred.append(max(column.least, numbers[-1]))
    excess = sum(widths) - (width - 3 * len(widths) - 1)  # without lines and padding
    for least in (list(map(max, words, preferred)), preferred, numbers):
        while excess > 0 and (wide := [at for at, size in enumerate(widths) if size > least[at]]):
            widths[max(wide, key=widths.__getitem__)] -= 1
            excess -= 1
    return widths


def _longest(split: Callable[[str], list[str]], texts: Iterable[str]) -> int:
    return max((cell_len(part) for text in texts for part in split(text)), default=1)
