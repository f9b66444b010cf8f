"""EDGAR's daily indexes (`form.YYYYMMDD.idx`, `company.YYYYMMDD.idx`): fixed columns below a line of dashes.

Both list the same filings: the first sorted by form type, the second by company name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from signaldelta_assets.errors import RecordError

from .values import compact_date, filed_date, form_type, padded_cik

# Read from the right: a long form type or company name may run over its column, the last three never do.
_TAIL = re.compile(
    r"\s(\d{1,10})\s+(\d{8}|\d{4}-\d{2}-\d{2})\s+(edgar/data/\d+/(?:\d{18}/)?(\d{10}-\d{2}-\d{6})\.txt)\s*$", re.ASCII
)
_EXPECTED = "form, company, CIK, date and file name"
# The line of column names is the last above the dashes, and in some files goes on in the line below it.
_HEADER_LINES = 2


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line: a filing under one CIK. A filing of several parties has a line for each of them.

    `filed` need not be the index's day: a filing that is released late stands in the index of its release.
    """

    form: str
    cik: str
    filed: date
    accession: str
    path: str
    company: str


def parse_daily_index(body: bytes, record: str) -> Iterator[IndexEntry | RecordError]:
    """Yield the entries of a daily form or company index, and a RecordError for each line that is none.

    Raises RecordError where the body is no index at all. An index without lines is a day without filings.
    """
    lines = body.decode("latin-1").split("\n")
    rule = next((n for n, line in enumerate(lines) if re.fullmatch(r"-{20,}\s*", line)), None)
    if rule is None or rule == 0:
        raise RecordError(record, "header", "an index with a line of dashes", body[:80])
    # Where the second column begins, and whether the first is the form type.
    form_first, column = _columns(record, lines[max(rule - _HEADER_LINES, 0) : rule])
    for number, line in enumerate(lines[rule + 1 :], rule + 2):
        if not line.strip():
            continue
        try:
            yield _entry(f"{record}:{number}", line, form_first, column)
        except RecordError as error:
            yield error


def _columns(record: str, header: list[str]) -> tuple[bool, int]:
    for line in reversed(header):
        form, company = line.find("Form Type"), line.find("Company Name")
        if form == 0 and company > 0:
            return True, company
        if company == 0 and form > 0:
            return False, form
    raise RecordError(record, "header", "columns Form Type and Company Name", header[-1])


def _entry(record: str, line: str, form_first: bool, column: int) -> IndexEntry:
    tail = _TAIL.search(line)
    if tail is None:
        raise RecordError(record, "line", _EXPECTED, line.strip())
    head = line[: tail.start()]
    first, second = head[:column].rstrip(), head[column:].strip()
    parts = re.split(r"\s{2,}", head.strip(), maxsplit=1)
    if len(first) == column and len(parts) == 2:
        # The first column is full and runs on: it ends where two blanks follow. Without any it ends at its width.
        first, second = parts
    form, company = (first, second) if form_first else (second, first)
    # What begins with a stroke is the rest of a form type that ran into the name.
    if not form or not company or company.startswith("/") or "\0" in line:
        raise RecordError(record, "line", _EXPECTED, line.strip())
    cik, filed, path, accession = tail.groups()
    day = filed_date(record, "Date Filed", filed if "-" in filed else compact_date(record, "Date Filed", filed))
    return IndexEntry(
        form_type(record, "Form Type", form), padded_cik(record, "CIK", cik), day, accession, path, company
    )
