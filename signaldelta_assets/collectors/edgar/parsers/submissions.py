"""The submissions API: one company or person, its names and tickers, and its filings as parallel columns.

Source: data.sec.gov/submissions/CIK##########.json and its older pages. `acceptanceDateTime` ends in Z and is Eastern
time in some files all the same: it stays text here, what it means is decided per file (timeline.decide_clock).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
import pandas as pd

from signaldelta_assets.errors import RecordError

from .values import iso_date, padded_cik

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
_ACCESSION = r"\d{10}-\d{2}-\d{6}"
_PAGE_NAME = re.compile(r"CIK\d{10}-submissions-\d{3}\.json")


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
    document = _json(body, record)
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
        entity_type=str(document.get("entityType") or ""),
        sic=str(document.get("sic") or "").strip() or None,
        fiscal_year_end=str(document.get("fiscalYearEnd") or "").strip() or None,
        # Ticker lists repeat themselves where a company has several exchanges.
        tickers=tuple(dict.fromkeys(t.strip() for t in document.get("tickers") or () if t and t.strip())),
        former_names=tuple(
            FormerName(str(entry["name"]), _day(entry.get("from")), _day(entry.get("to")))
            for entry in document.get("formerNames") or ()
            if entry.get("name")
        ),
        pages=tuple(_page(entry, record) for entry in filings.get("files") or ()),
        rows=rows,
        bad_rows=bad,
    )


def parse_page(body: bytes, record: str) -> tuple[pd.DataFrame, tuple[RecordError, ...]]:
    """Read an older page: (rows, the errors of rows that are none).

    Rows: accession, form, items, filing_date, report_date (text, empty where absent), accepted_text, accepted_raw
    (naive datetime64, the stamp without its Z), primary_document, primary_document_description, file_number, size,
    is_xbrl. Raises RecordError where the body is no page.
    """
    return _rows(_json(body, record), record)


def _json(body: bytes, record: str) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RecordError(record, "body", "a JSON document", error) from error
    if not isinstance(document, dict):
        raise RecordError(record, "body", "a JSON object", type(document).__name__)
    return document


def _rows(columns: dict[str, Any], record: str) -> tuple[pd.DataFrame, tuple[RecordError, ...]]:
    count = len(columns.get("accessionNumber") or ())
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
    for column in frame.columns.difference(["size", "is_xbrl"]):
        frame[column] = frame[column].fillna("").astype(str).str.strip()
    stamps = frame["accepted_text"].str.removesuffix("Z")
    frame["accepted_raw"] = pd.to_datetime(stamps, format="ISO8601", errors="coerce").astype("datetime64[us]")
    checks = {
        "accessionNumber": (frame["accession"].str.fullmatch(_ACCESSION), "accession", "an accession number"),
        "form": (frame["form"] != "", "form", "a form type"),
        "filingDate": (
            pd.to_datetime(frame["filing_date"], format="%Y-%m-%d", errors="coerce").notna(),
            "filing_date",
            "a date YYYY-MM-DD",
        ),
    }
    good = pd.Series(True, index=frame.index)
    bad: list[RecordError] = []
    for field, (fits, column, expected) in checks.items():
        fits = fits.astype(bool)
        bad += [
            RecordError(f"{record}:{frame.at[at, 'accession']!s}[{at}]", field, expected, frame.at[at, column])
            for at in frame.index[good & ~fits]
        ]
        good &= fits
    return frame[good].reset_index(drop=True), tuple(bad)


def _page(entry: dict[str, Any], record: str) -> Page:
    name = str(entry.get("name") or "")
    # The name becomes part of a URL: only EDGAR's own form of it is taken.
    if not _PAGE_NAME.fullmatch(name):
        raise RecordError(record, "filings.files.name", "CIK##########-submissions-###.json", name)
    first = iso_date(record, "filings.files.filingFrom", entry.get("filingFrom"))
    last = iso_date(record, "filings.files.filingTo", entry.get("filingTo"))
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
