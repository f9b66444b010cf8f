"""A table as a report shows it: a caption, heads, rows of text; the first cell of a row names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` in the order of `columns`. `words` counts the leading columns that hold words; the others hold figures."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    words: int = 1
    note: str = ""
