"""EDGAR's daily form index (`form.YYYYMMDD.idx`): fixed columns below a line of dashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from signaldelta_assets.errors import RecordError

from .values import compact_date, iso_date, padded_cik

# Read from the right: a long form type or company name may run over its column, the last three never do.
_TAIL = re.compile(r"\s(\d{1,10})\s+(\d{8}|\d{4}-\d{2}-\d{2})\s+(edgar/data/\d+/(?:\d{18}/)?([0-9-]{20})\.txt)\s*$")


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line: a filing under one CIK. A filing of several parties has a line for each of them."""

    form: str
    cik: str
    filed: date
    accession: str
    path: str


def parse_form_index(body: bytes, record: str) -> Iterator[IndexEntry | RecordError]:
    """Yield the entries of a daily form index, and a RecordError for each line that is none.

    Raises RecordError where the body is no index at all. An index without lines is a day without filings.
    """
    lines = body.decode("latin-1").splitlines()
    rule = next((n for n, line in enumerate(lines) if re.fullmatch(r"-{20,}\s*", line)), None)
    if rule is None or rule == 0:
        raise RecordError(record, "header", "a form index with a line of dashes", body[:80])
    name_column = lines[rule - 1].find("Company Name")
    if name_column <= 0:
        raise RecordError(record, "header", "columns Form Type and Company Name", lines[rule - 1])
    for number, line in enumerate(lines[rule + 1 :], rule + 2):
        if not line.strip():
            continue
        tail = _TAIL.search(line)
        form = line[:name_column].rstrip()
        if len(form) == name_column:
            # The form type fills its column and runs on: it ends where two blanks follow.
            form = re.split(r"\s{2,}", line, maxsplit=1)[0]
        if tail is None or not form:
            yield RecordError(f"{record}:{number}", "line", "form, company, CIK, date and file name", line.strip())
            continue
        cik, filed, path, accession = tail.groups()
        day = iso_date(record, "Date Filed", filed) if "-" in filed else compact_date(record, "Date Filed", filed)
        assert day is not None
        yield IndexEntry(form, padded_cik(record, "CIK", cik), date.fromisoformat(day), accession, path)
