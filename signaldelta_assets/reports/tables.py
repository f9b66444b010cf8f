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

    def without(self, *names: str) -> Table:
        """Return the table without some of its columns of figures, or with fewer columns of words."""
        kept = [place for place, name in enumerate(self.columns) if name not in names]
        fewer = sum(name in names for name in self.columns[: self.words])
        rows = [[row[place] for place in kept] for row in self.rows]
        return Table(self.caption, tuple(self.columns[place] for place in kept), rows, self.words - fewer)
