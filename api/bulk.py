"""All rows of a question, page after page: what holds the pages together is the question's clocks, not a transaction.

Between two pages nothing is held, neither a connection nor a view of the database: a reader who is slow, or never
comes back, costs nobody anything. That the pages are of one state is what their pinned clocks and keys are for, as
with the pages that a caller asks for one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from signaldelta_assets.warehouse import Warehouse

from .formats import arrow_schema, record_batch
from .reading import View, glancing

Row = dict[str, Any]
Key = tuple[Any, ...]
# A page is a batch: a few megabytes at most, whatever the table.
ROWS = 5_000


def pages(
    warehouse: Warehouse, page: Callable[[View, Key | None, int], list[Row]], key: Sequence[str]
) -> Iterator[list[Row]]:
    """Yield what `page` gives after each key, `ROWS` at a time, until there is no more."""
    after: Key | None = None
    while True:
        with glancing(warehouse) as view:
            found = page(view, after, ROWS)
        if found:
            yield found
        if len(found) < ROWS:
            return
        after = tuple(found[-1][name] for name in key)


def batches(row: type[BaseModel], found: Iterator[list[Row]]) -> Iterator[pa.RecordBatch]:
    """Yield pages as batches of the schema of `row`."""
    schema = arrow_schema(row)
    for one in found:
        yield record_batch(one, schema)
