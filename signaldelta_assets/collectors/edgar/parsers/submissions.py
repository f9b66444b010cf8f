"""The submissions API: one company or person, its names and tickers, and its filings as parallel columns.

Source: data.sec.gov/submissions/CIK##########.json and its older pages. `acceptanceDateTime` ends in Z and is Eastern
time in some files all the same: it stays text here, what it means is decided per file (timeline.decide_clock).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from signaldelta_assets.errors import RecordError

from ...reading import json_object
from .values import ACCESSION, EDGAR_SINCE, filed_date, form_type, iso_date, padded_cik

# Upstream column -> ours. `items` and the rest may be empty text, never absent.
_COLUMNS = {
    "accessionNumber": "accession",
    "form": "form",
    "items": "items",
    "filingDate": "filing_date",
    "reportDate": "report_date",
    "acceptanceDateTime": "accepted_text",
    "primaryDocument": "primary_document",
    "primaryDocDescription": "primary_document_description",
    "fileNumber": "file_number",
    "size": "size",
    "isXBRL": "is_xbrl",
}
_OPTIONAL = {"items": "", "primaryDocDescription": "", "fileNumber": "", "size": 0, "isXBRL": 0, "primaryDocument": ""}
_TEXTS = tuple(ours for ours in _COLUMNS.values() if ours not in ("size", "is_xbrl"))
_PAGE_NAME = re.compile(r"CIK[0-9]{10}-submissions-[0-9]{3}\.json")
# As served, and as copies write it: without fraction, or without Z.
_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z?")
_LONGEST_TEXT = 1_000
_LARGEST_SIZE = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """An older page of a list: its file name and the filing dates it covers."""

    name: str
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class FormerName:
    """A name and the days from and to which EDGAR carried it; None where the file has no date."""

    name: str
    valid_from: date | None
    valid_to: date | None


@dataclass(frozen=True, slots=True)
class SubmissionsFile:
    """The main file. `rows` has the columns of `parse_page`."""

    cik: str
    name: str
    entity_type: str
    sic: str | None
    fiscal_year_end: str | None
    tickers: tuple[str, ...]
    former_names: tuple[FormerName, ...]
    pages: tuple[Page, ...]
    rows: pd.DataFrame
    bad_rows: tuple[RecordError, ...]


def parse_main(body: bytes, record: str) -> SubmissionsFile:
    """Read a main file. Raises RecordError where it is not one."""
    document = json_object(body, record)
    filings = document.get("filings")
    if not isinstance(filings, dict) or "recent" not in filings:
        raise RecordError(record, "filings", "an object with recent and files", type(filings).__name__)
    rows, bad = _rows(filings["recent"], record)
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        raise RecordError(record, "name", "a non-empty text", name)
    return SubmissionsFile(
        cik=padded_cik(record, "cik", document.get("cik")),
        name=name.strip(),
        entity_type=_text(document, "entityType", record),
        sic=_text(document, "sic", record) or None,
        fiscal_year_end=_text(document, "fiscalYearEnd", record) or None,
        # Ticker lists repeat themselves where a company has several exchanges.
        tickers=tuple(dict.fromkeys(ticker for ticker in _tickers(document, record) if ticker)),
        former_names=tuple(
            FormerName(_text(entry, "name", record), _day(entry.get("from")), _day(entry.get("to")))
            for entry in _objects(document, "formerNames", record)
            if entry.get("name")
        ),
        pages=tuple(_page(entry, record) for entry in _objects(filings, "files", record)),
        rows=rows,
        bad_rows=bad,
    )


def parse_page(body: bytes, record: str) -> tuple[pd.DataFrame, tuple[RecordError, ...]]:
    """Read an older page: (rows, the errors of rows that are none).

    Rows: accession, form, items, filing_date, report_date (text, empty where absent), accepted_text, accepted_raw
    (naive datetime64, the stamp without its Z), primary_document, primary_document_description, file_number, size,
    is_xbrl. Raises RecordError where the body is no page.
    """
    return _rows(json_object(body, record), record)


def _text(row: dict[str, Any], name: str, record: str) -> str:
    """Return a text or number as text, stripped; empty where it is absent."""
    value = row.get(name)
    if not isinstance(value, str | int | None) or len(text := str(value or "").strip()) > _LONGEST_TEXT:
        raise RecordError(record, name, f"a text of at most {_LONGEST_TEXT} characters", value)
    return text


def _tickers(document: dict[str, Any], record: str) -> list[str]:
    found = document.get("tickers") or []
    if not isinstance(found, list):
        raise RecordError(record, "tickers", "a list", type(found).__name__)
    return [_text({"tickers": ticker}, "tickers", record) for ticker in found]


def _objects(row: dict[str, Any], name: str, record: str) -> list[dict[str, Any]]:
    found = row.get(name) or []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise RecordError(record, name, "a list of objects", found)
    return found


def _rows(columns: Any, record: str) -> tuple[pd.DataFrame, tuple[RecordError, ...]]:
    if not isinstance(columns, dict):
        raise RecordError(record, "filings.recent", "an object of lists", type(columns).__name__)
    first = columns.get("accessionNumber")
    count = len(first) if isinstance(first, list) else 0
    data: dict[str, Any] = {}
    for theirs, ours in _COLUMNS.items():
        values = columns.get(theirs)
        if values is None and theirs in _OPTIONAL:
            values = [_OPTIONAL[theirs]] * count
        if not isinstance(values, list) or len(values) != count:
            found = len(values) if isinstance(values, list) else type(values).__name__
            raise RecordError(record, theirs, f"a list of {count} values, as long as accessionNumber", found)
        data[ours] = pd.Series(values, dtype=object)
    frame = pd.DataFrame(data, dtype=object)
    good: list[int] = []
    bad: list[RecordError] = []
    for at, values in enumerate(zip(*(data[ours] for ours in _TEXTS), data["size"], data["is_xbrl"], strict=True)):
        try:
            _check(f"{record}:{str(values[0])[:40]}[{at}]", *values)
        except RecordError as error:
            bad.append(error)
        else:
            good.append(at)
    frame = frame.loc[good].reset_index(drop=True)
    for column in _TEXTS:
        frame[column] = frame[column].fillna("").astype(str).str.strip()
    stamps = frame["accepted_text"].str.removesuffix("Z")
    frame["accepted_raw"] = pd.to_datetime(stamps, format="ISO8601", errors="coerce").astype("datetime64[us]")
    return frame, tuple(bad)


def _check(name: str, *values: Any) -> None:
    *texts, size, is_xbrl = values
    row = dict(zip(_TEXTS, texts, strict=True))
    for column, value in row.items():
        # A file number of digits, say, may be a number in JSON.
        if not isinstance(value, str | int | None) or len(str(value)) > _LONGEST_TEXT:
            raise RecordError(name, column, f"a text of at most {_LONGEST_TEXT} characters", value)
    accession, form, filed, stamp = (
        str(row[column] or "").strip() for column in ("accession", "form", "filing_date", "accepted_text")
    )
    if not ACCESSION.fullmatch(accession):
        raise RecordError(name, "accessionNumber", "an accession number", accession)
    form_type(name, "form", form)
    filed_date(name, "filingDate", filed)
    if len(filed) != 10:
        raise RecordError(name, "filingDate", "a date YYYY-MM-DD", filed)
    # An absent one is decided upon with the clock of the file.
    if stamp and not (_STAMP.fullmatch(stamp) and stamp[:4] >= str(EDGAR_SINCE.year)):
        raise RecordError(name, "acceptanceDateTime", f"a moment as ISO 8601 has it, from {EDGAR_SINCE.year} on", stamp)
    if size is not None and not (isinstance(size, int) and 0 <= size <= _LARGEST_SIZE):
        raise RecordError(name, "size", "a number of bytes", size)
    if is_xbrl not in (0, 1, None):
        raise RecordError(name, "isXBRL", "0 or 1", is_xbrl)


def _page(entry: dict[str, Any], record: str) -> Page:
    name = str(entry.get("name") or "")
    # The name becomes part of a URL: only EDGAR's own form of it is taken.
    if not _PAGE_NAME.fullmatch(name):
        raise RecordError(record, "filings.files.name", "CIK##########-submissions-###.json", name)
    first, last = (
        iso_date(record, f"filings.files.{end}", _text(entry, end, record)) for end in ("filingFrom", "filingTo")
    )
    return Page(
        name,
        date.fromisoformat(first) if first else date.min,
        date.fromisoformat(last) if last else date.max,
    )


def _day(stamp: object) -> date | None:
    # "2019-05-10T04:00:00.000Z": midnight Eastern as UTC, so the date of the text is the day meant.
    try:
        return date.fromisoformat(str(stamp or "")[:10])
    except ValueError:
        return None
