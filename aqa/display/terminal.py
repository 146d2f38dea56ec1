"""The only way to the terminal: text from data, models and servers can't steer it there."""

import json
import re
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# What a terminal obeys instead of showing it: control characters (C0 but tab and line feed, C1),
# and characters that turn the direction of what follows. Half a surrogate pair can't be written.
STEERS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def safe_text(text: str) -> str:
    """The text without what would steer a terminal; what is taken out has no width."""
    return STEERS.sub("", text)


def safe_json(value: object) -> str:
    """A value as JSON for people to read, in which such characters are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class SafeConsole(Console):
    """A Rich console that takes all text as it is, and leaves out what steers a terminal.

    There is no markup, so that nothing needs to be escaped; styles are given apart.
    """

    def __init__(self, file: TextIO) -> None:
        super().__init__(file=file, highlight=False, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Rich's own; all that is printed passes here before it gets colours."""
        for segment in super().render(renderable, options):
            if segment.control or not STEERS.search(segment.text):
                yield segment
            else:
                yield Segment(safe_text(segment.text), segment.style)
