"""Lists that EDGAR makes from filings: daily index files, their folder listing, the current-filings feed, folders.

Written from the headers of the filings an archive holds, in EDGAR's own layouts. A recorded file is served instead
wherever there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from html import escape
from zoneinfo import ZoneInfo

import holidays

from .archive import FeedEntry, Filing, FilingDocument
from .sgml import compact

NEW_YORK = ZoneInfo("America/New_York")
KINDS = ("company", "form", "master")
_ROLES = {
    "filer": "Filer",
    "issuer": "Issuer",
    "reporting-owner": "Reporting",
    "subject": "Subject",
    "filed-by": "Filed by",
    "filed-for": "Filed for",
}
# The live feed reaches back about this far.
FEED_REACH = timedelta(days=7)


@cache
def _closed(year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays("US", years=year))


def has_index(day: date) -> bool:
    """Return whether EDGAR writes a daily index on `day`: not on weekends and federal holidays."""
    return day.weekday() < 5 and day not in _closed(day.year)


def _rows(filings: Iterable[Filing], day: date) -> list[tuple[str, str, int, str]]:
    """(form, company, CIK, file name) of every party of every filing filed on `day`."""
    found = {
        (filing.form, party.name, party.cik, f"edgar/data/{party.cik}/{filing.accession}.txt")
        for filing in filings
        if filing.filed == day
        for party in filing.parties
    }
    return sorted(found)


def daily_index(kind: str, day: date, filings: Iterable[Filing]) -> bytes:
    """Return the daily index of `kind` (company, form or master) with the filings of `day`, Latin-1."""
    title = {"company": "Company Name", "form": "Form Type", "master": "Form Type"}[kind]
    noun = "Master Index" if kind == "master" else "Daily Index"
    lines = [
        f"Description:           {noun} of EDGAR Dissemination Feed by {title}",
        f"Last Data Received:    {day:%b} {day.day:2d}, {day.year}",
        "Comments:              webmaster@sec.gov",
        "Anonymous FTP:         ftp://ftp.sec.gov/edgar/",
        *([" "] * 4),
    ]
    rows = _rows(filings, day)
    if kind == "master":
        lines += ["CIK|Company Name|Form Type|Date Filed|File Name", "-" * 80]
        rows.sort(key=lambda row: (str(row[2]), row[0]))
        lines += [f"{cik}|{name}|{form}|{day:%Y%m%d}|{path}" for form, name, cik, path in rows]
    else:
        form_first = kind == "form"
        widths = (12, 62) if form_first else (62, 12)
        names = ("Form Type", "Company Name") if form_first else ("Company Name", "Form Type")
        lines.append(f"{names[0]:<{widths[0]}}{names[1]:<{widths[1]}}{'CIK':<12}{'Date Filed':<12}File Name")
        lines.append("-" * 141)
        rows.sort(key=lambda row: (row[0], row[1]) if form_first else (row[1], row[0]))
        for form, name, cik, path in rows:
            first, second = (form, name[:60]) if form_first else (name[:60], form)
            # A form type longer than its column pushes the name on; two blanks still part them.
            first = first if len(first) < widths[0] else f"{first}  "
            lines.append(f"{first:<{widths[0]}}{second:<{widths[1]}}{cik:<12}{day:%Y%m%d}    {path:<52}")
    return ("\n".join(lines) + "\n").encode("latin-1", "replace")


def quarter_listing(year: int, quarter: int, names: Iterable[str]) -> dict[str, object]:
    """Return `daily-index/YYYY/QTRn/index.json` for the files `names`."""
    items = []
    for name in sorted(names):
        stamp = name.split(".")[1]
        written = f"{stamp[4:6]}/{stamp[6:]}/{stamp[:4]} 10:00:00 PM"
        items.append({"last-modified": written, "name": name, "type": "file", "href": name, "size": ""})
    folder = f"daily-index/{year}/QTR{quarter}/"
    return {"directory": {"item": items, "name": folder, "parent-dir": "../"}}


def folder_listing(cik: int, filing: Filing, documents: Sequence[FilingDocument]) -> dict[str, object]:
    """Return `index.json` of a filing's folder under Archives."""
    moment = filing.accepted or (datetime.combine(filing.filed, datetime.min.time()) if filing.filed else None)
    written = f"{moment:%Y-%m-%d %H:%M:%S}" if moment else ""
    names = [(f"{filing.accession}.txt", "")] + [(entry.name, str(entry.size)) for entry in documents]
    return {
        "directory": {
            "name": f"/Archives/edgar/data/{cik}/{compact(filing.accession)}",
            "parent-dir": f"/Archives/edgar/data/{cik}",
            "item": [
                {"last-modified": written, "name": name, "type": "text.gif", "size": size} for name, size in names
            ],
        }
    }


def feed_entries(filings: Iterable[Filing]) -> list[FeedEntry]:
    """Return feed entries, newest first, of the filings accepted within `FEED_REACH` of the newest one."""
    timed = [(filing.accepted, filing) for filing in filings if filing.accepted is not None]
    newest = max((accepted for accepted, _ in timed), default=None)
    entries = []
    for accepted, filing in sorted(timed, key=lambda pair: (pair[0], pair[1].accession), reverse=True):
        if newest is not None and newest - accepted <= FEED_REACH:
            stamp = accepted.replace(tzinfo=NEW_YORK).isoformat(timespec="seconds")
            entries += [FeedEntry(filing.form, stamp, _entry(filing, i, stamp)) for i in range(len(filing.parties))]
    return entries


def _entry(filing: Filing, which: int, stamp: str) -> bytes:
    party, folder = filing.parties[which], compact(filing.accession)
    title = f"{filing.form} - {party.name} ({party.cik:010d}) ({_ROLES[party.role]})"
    link = f"https://www.sec.gov/Archives/edgar/data/{party.cik}/{folder}/{filing.accession}-index.htm"
    return f"""<entry>
<title>{escape(title, quote=False)}</title>
<link rel="alternate" type="text/html" href="{link}"/>
<summary type="html">
 &lt;b&gt;Filed:&lt;/b&gt; {filing.filed} &lt;b&gt;AccNo:&lt;/b&gt; {filing.accession} &lt;b&gt;Size:&lt;/b&gt; 5 KB
</summary>
<updated>{stamp}</updated>
<category scheme="https://www.sec.gov/" label="form type" term="{escape(filing.form)}"/>
<id>urn:tag:sec.gov,2008:accession-number={filing.accession}</id>
</entry>""".encode("latin-1", "xmlcharrefreplace")


def feed(entries: Sequence[FeedEntry], updated: str) -> bytes:
    """Return a page of the current-filings feed; `updated` is the newest stamp of the whole feed."""
    moment = datetime.fromisoformat(updated) if updated else None
    when = f"{moment:%a, %d %b %Y %H:%M:%S} {moment.astimezone(NEW_YORK):%Z}" if moment else ""
    head = f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<feed xmlns="http://www.w3.org/2005/Atom">
<title>Latest Filings - {when}</title>
<link rel="alternate" href="/cgi-bin/browse-edgar?action=getcurrent"/>
<link rel="self" href="/cgi-bin/browse-edgar?action=getcurrent"/>
<id>https://www.sec.gov/cgi-bin/browse-edgar?action=getcurrent</id>
<author><name>Webmaster</name><email>webmaster@sec.gov</email></author>
<updated>{updated}</updated>
"""
    return head.encode("latin-1") + b"\n".join(entry.xml for entry in entries) + b"\n</feed>\n"
