"""Recorded feeds and lists of sec.gov: current filings (Atom), daily index files, tickers, litigation releases."""

from __future__ import annotations

import html
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from ..archive import Document, FeedEntry, Tally
from ..sgml import ACCESSION, compact
from .files import document, listing, read, relative, rows

_PAGE = re.compile(r"getcurrent_type-(.+)_start-(\d+)")
_ENTRY = re.compile(rb"<entry>.*?</entry>", re.DOTALL)
_PAGE_ACCESSION = re.compile(rb"ACCESSION NUMBER:\s*\d{10}-\d{2}-\d{6}")
_INDEX = re.compile(r"(?:form|company|master)\.\d{8}\.idx")
_ATOM = "application/atom+xml"


_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


class CurrentFeed:
    """`sec/atom_getcurrent`: pages of the current-filings feed, as recorded at several moments."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def _pages(self) -> dict[tuple[str, int, int], Path]:
        """(form, start, count) -> file. A page past the end has no entry; it is filed under a count of 100."""
        found: dict[tuple[str, int, int], Path] = {}
        for path in listing(self._root / "sec/atom_getcurrent", "*.atom*"):
            name = _PAGE.match(path.name)
            count = read(path).count(b"<entry>")
            form, start = (name[1], int(name[2])) if name else ("all", 0)
            found[("" if form == "all" else form, start, count or 100)] = path
        return found

    def page(self, form: str, start: int, count: int) -> Document | None:
        """Return the page recorded for these parameters, or the recorded page before it (else after it).

        A live feed shifts while it is being paged, so entries repeat from page to page and a client has to cope; a
        hole in the recording answers in the same way. None where no page of this form and size was recorded.
        """
        starts = sorted(s for f, s, c in self._pages if f == form and c == count)
        if not starts or start > starts[-1]:
            return None
        nearest = max((s for s in starts if s <= start), default=starts[0])
        path = self._pages[form, nearest, count]
        body = read(path)
        kind = _ATOM if b"<feed" in body[:500] else "text/html"
        return Document(body, kind, relative(self._root, path), assembled=nearest != start)

    @cached_property
    def entries(self) -> list[FeedEntry]:
        """Every recorded entry once, newest first: what pages of another size or form are cut from."""
        found: dict[bytes, FeedEntry] = {}
        for path in self._pages.values():
            for xml in _ENTRY.findall(read(path)):
                form = re.search(rb'term="([^"]*)"', xml)
                updated = re.search(rb"<updated>([^<]*)", xml)
                if form and updated:
                    found.setdefault(xml, FeedEntry(form[1].decode(), updated[1].decode(), xml))
        return sorted(found.values(), key=lambda entry: entry.updated, reverse=True)

    def inventory(self) -> dict[str, Any]:
        """Return which pages were recorded."""
        return {"pages": sorted([f or "all", start, count] for f, start, count in self._pages)}


class ListFiles:
    """Daily index files, the ticker table and filing index pages: whole files, found by name."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def _indexes(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in listing(self._root / "sec/index_files", "*.idx*"):
            # `company.20221003.idx.gz` is company.20221003.idx
            name = path.name.removesuffix(".gz")
            if _INDEX.fullmatch(name):
                found[name] = path
        return found

    def daily_index(self, name: str) -> Document | None:
        """Return the recorded index file of this name."""
        path = self._indexes.get(name)
        return document(self._root, path, "text/plain") if path else None

    def daily_index_names(self) -> list[str]:
        """Return the names of the recorded index files."""
        return sorted(self._indexes)

    def company_tickers(self) -> Document | None:
        """Return the newest recorded copy of the ticker table (copies are named by year)."""
        paths = listing(self._root / "reference/company_tickers", "*.json*")
        return document(self._root, paths[-1], "application/json") if paths else None

    @cached_property
    def _pages(self) -> dict[tuple[str, str], Path]:
        found: dict[tuple[str, str], Path] = {}
        for folder in ("filing_index_html", "header_pages"):
            for path in listing(self._root / "sec" / folder, "*.html*"):
                inside = _PAGE_ACCESSION.search(read(path))
                accession = ACCESSION.search(path.name) or (inside and ACCESSION.search(inside[0].decode()))
                if accession:
                    number = accession.group()
                    kind = "index-headers" if folder == "header_pages" else "index"
                    found[compact(number), f"{number}-{kind}.htm"] = path
        return found

    def page(self, folder: str, name: str) -> Document | None:
        """Return the index page or headers page `name` (`.htm` and `.html` are one) of a filing's folder."""
        path = self._pages.get((folder, name.removesuffix("l")))
        return document(self._root, path, "text/html") if path else None

    def unserved(self, tally: Tally) -> None:
        """Count what has no address."""
        files = listing(self._root / "sec/index_files", "*")
        tally.add("sec/index_files", len(files) - len(self._indexes), "not a daily index file by name")
        pages = [p for f in ("filing_index_html", "header_pages") for p in listing(self._root / "sec" / f, "*.html*")]
        tally.add("sec/header_pages", len(pages) - len(self._pages), "no accession number")
        tickers = listing(self._root / "reference/company_tickers", "*.json*")
        tally.add("reference/company_tickers", max(len(tickers) - 1, 0), "an older copy")


class Litigation:
    """`sec/litigation_releases`: the RSS feed as served, and older releases from tables of their text."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def feed(self) -> Document | None:
        """Return the newest recorded feed, byte for byte."""
        paths = listing(self._root / "sec/litigation_releases/rss", "*.xml*")
        return document(self._root, paths[-1], "application/rss+xml") if paths else None

    @cached_property
    def _releases(self) -> dict[str, tuple[str, str, str, str]]:
        found: dict[str, tuple[str, str, str, str]] = {}
        for path in listing(self._root / "sec/litigation_releases/by_year", "*.csv*"):
            for row in rows(path):
                number, source = row["lt_no"].strip(), relative(self._root, path)
                found.setdefault(number, (row["title"], row["lt"], source, row["yr"].strip()))
        return found

    def year(self, year: int) -> Document | None:
        """Return the list of a year's releases, assembled: links by number, newest first, as the SEC's lists have."""
        listed = [(number, source) for number, (_, _, source, of) in self._releases.items() if of == str(year)]
        if not listed:
            return None
        listed.sort(key=lambda one: (len(one[0]), one[0]), reverse=True)
        lines = "\n".join(
            f'<tr><td><a href="/litigation/litreleases/{year}/lr{number}.htm">LR-{number}</a></td></tr>'
            for number, _ in listed
        )
        head = f"<html><head><title>Litigation Releases {year}</title></head>"
        body = f"{head}<body><table>\n{lines}\n</table></body></html>\n"
        return Document(body.encode(), "text/html", listed[0][1], assembled=True)

    def release(self, number: str) -> Document | None:
        """Return the page of release `number`, assembled from its recorded title fragments and text."""
        if number not in self._releases:
            return None
        title, text, source, _ = self._releases[number]
        # The title column keeps the page's own tags; the text column has lost most of them, and with them its
        # paragraphs. Both are written as the lists and byte strings of the program that made the tables.
        title = re.sub(r">,\s*<", ">\n<", title.strip().removeprefix("[").removesuffix("]"))
        text = text.replace("\\r", "\n").replace("\\n", "\n").strip().removeprefix("b\n").strip("[]")
        text = html.unescape(_TAG.sub("", text))
        body = f"<html><head><title>{number}</title></head><body>\n{title}\n<p>{html.escape(text, quote=False)}</p>\n"
        return Document(f"{body}</body></html>\n".encode(), "text/html", source, assembled=True)

    def inventory(self) -> dict[str, Any]:
        """Return how many releases there are, and their numbers."""
        return {"releases": len(self._releases), "numbers": sorted(self._releases)}
