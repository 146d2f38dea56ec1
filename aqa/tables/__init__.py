"""A table as a value, and the forms it is written in: a file each; Rich draws it in `display`."""

from aqa.tables.table import Cell, Column, Figure, Row, Table

__all__ = ["Cell", "Column", "Figure", "Row", "Table"]
