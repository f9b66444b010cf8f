"""docs/observability.md: its table of metrics, made from their declarations. ``python -m api.metrics.page``."""

from __future__ import annotations

import re
from pathlib import Path

from .families import table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "observability.md"
_TABLE = re.compile(r"(?<=<!-- metrics -->\n\n).*?(?=\n\n<!-- /metrics -->)", re.DOTALL)


def with_table(page: str) -> str:
    """Return a page with the table between its marks. Raises ValueError where it has none."""
    found, times = _TABLE.subn(lambda _: table(), page)
    if times != 1:
        raise ValueError("docs/observability.md: expected one pair of <!-- metrics --> and <!-- /metrics -->")
    return found


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
