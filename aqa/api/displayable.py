"""Display results: as tables in notebooks, as text in a console and by `print`."""

from collections.abc import Iterable
from io import StringIO

from aqa.display.terminal import SafeConsole, rich_table
from aqa.tables import Table
from aqa.tables.forms import sentences_to_html, to_html


class Displayable:
    """A result with tables, and sentences below them."""

    __slots__ = ()

    def _tables(self) -> Iterable[Table]:
        raise NotImplementedError

    def _sentences(self) -> Iterable[str]:
        return ()

    def __repr__(self) -> str:
        text = StringIO()
        console = SafeConsole(text)
        for table in self._tables():
            console.print(rich_table(table, console.width))
        for sentence in self._sentences():
            console.print(sentence, soft_wrap=True)
        return text.getvalue().rstrip("\n")

    def _repr_html_(self) -> str:
        return "".join(map(to_html, self._tables())) + sentences_to_html(self._sentences())
