"""The forms in which rows leave the API: JSON, CSV, Arrow and Parquet, chosen in one place and written in one place.

`FormatOf` is what the caller asked for; `answer_rows` sends a page, `answer_stream` as many rows as there are, a batch
at a time. What columns there are, of which types and units, is read from the schema of the row.
"""

from .answers import BULK_RESPONSES, PAGE_RESPONSES, Origin, answer_rows, answer_shown, answer_stream, forms, in_zulu
from .columns import arrow_schema, record_batch
from .negotiation import BULK, JSON, Format, FormatOf, PageName, StreamFormatOf, page_format
from .writing import encoded

__all__ = [
    "BULK",
    "BULK_RESPONSES",
    "JSON",
    "PAGE_RESPONSES",
    "Format",
    "FormatOf",
    "Origin",
    "PageName",
    "StreamFormatOf",
    "answer_rows",
    "answer_shown",
    "answer_stream",
    "arrow_schema",
    "encoded",
    "forms",
    "in_zulu",
    "page_format",
    "record_batch",
]
