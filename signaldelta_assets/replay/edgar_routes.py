"""sec.gov and data.sec.gov: the paths collectors ask for, answered from an archive's EDGAR shelf.

Misses are answered as EDGAR's object store does: 404 `NoSuchKey`, and 403 `AccessDenied` for a daily index that does
not exist (weekends, holidays, days outside the archive).
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import cached_property

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import index_files
from .archive import Document, EdgarShelf, FeedEntry
from .sgml import ACCESSION, dashed
from .wire import serve

_FOLDER = re.compile(r"(\d{18})/(?:xsl[^/]+/)?([^/]+)")
_INDEX = re.compile(r"(company|form|master)\.(\d{8})\.idx")
_RELEASE = re.compile(r"(?:\d{4}/)?lr-?(\d+)(?:\.s?html?)?")
_RELEASES_OF_YEAR = re.compile(r"litarchive(\d{4})\.s?html?")
# What EDGAR's interface offers and no more.
_LARGEST_PAGE, _USUAL_PAGE = 100, 40


def _missing(status: int = 404) -> Response:
    code, text = (
        ("AccessDenied", "Access Denied") if status == 403 else ("NoSuchKey", "The specified key does not exist.")
    )
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{text}</Message></Error>'
    return Response(body, status, media_type="application/xml")


def _optional(request: Request, document: Document | None) -> Response:
    return serve(request, document) if document else _missing()


class EdgarRoutes:
    """The routes of one shelf."""

    def __init__(self, shelf: EdgarShelf) -> None:
        self._shelf = shelf

    def routes(self) -> list[Route]:
        """Return the routes, hosts as path prefixes."""
        return [
            Route("/data.sec.gov/submissions/{name}", self.submissions),
            Route("/data.sec.gov/api/xbrl/companyfacts/{name}", self.companyfacts),
            Route("/www.sec.gov/files/company_tickers.json", self.tickers),
            Route("/www.sec.gov/Archives/edgar/data/{cik:int}/{rest:path}", self.archives),
            Route("/www.sec.gov/Archives/edgar/daily-index/{year:int}/QTR{quarter:int}/{name}", self.daily_index),
            Route("/www.sec.gov/cgi-bin/browse-edgar", self.current),
            Route("/www.sec.gov/enforcement-litigation/litigation-releases/rss", self.litigation_feed),
            Route("/www.sec.gov/enforcement-litigation/litigation-releases/{rest:path}", self.litigation_release),
            Route("/www.sec.gov/litigation/litreleases/litrelarchive/{name}", self.litigation_list),
            Route("/www.sec.gov/litigation/litreleases/{rest:path}", self.litigation_release),
        ]

    async def submissions(self, request: Request) -> Response:
        return _optional(request, self._shelf.submissions(request.path_params["name"]))

    async def companyfacts(self, request: Request) -> Response:
        return _optional(request, self._shelf.companyfacts(request.path_params["name"]))

    async def tickers(self, request: Request) -> Response:
        return _optional(request, self._shelf.company_tickers())

    async def archives(self, request: Request) -> Response:
        cik, rest = request.path_params["cik"], request.path_params["rest"]
        folder = _FOLDER.fullmatch(rest)
        accession = dashed(folder[1]) if folder else rest.removesuffix(".txt")
        name = folder[2] if folder else rest
        if not ACCESSION.fullmatch(accession):
            return _missing()
        filing = self._shelf.filing(accession)
        if filing is not None and cik not in filing.ciks:
            # EDGAR keeps a filing under its parties only.
            return _missing()
        if name == f"{accession}.txt":
            return _optional(request, self._shelf.submission_text(accession))
        if name == "index.json" and filing is not None:
            listing = index_files.folder_listing(cik, filing, self._shelf.filing_documents(accession))
            return JSONResponse(listing, headers={"x-replay-assembled": "1"})
        return _optional(request, self._shelf.filing_document(accession, name))

    @cached_property
    def _filed(self) -> tuple[date, date] | None:
        days = [filing.filed for filing in self._shelf.filings().values() if filing.filed]
        return (min(days), max(days)) if days else None

    def _has_index(self, day: date) -> bool:
        return self._filed is not None and self._filed[0] <= day <= self._filed[1] and index_files.has_index(day)

    async def daily_index(self, request: Request) -> Response:
        year, quarter, name = (request.path_params[key] for key in ("year", "quarter", "name"))
        if name == "index.json":
            return self._quarter(year, quarter)
        match = _INDEX.fullmatch(name)
        day = _day(match[2]) if match else None
        if match is None or day is None or (day.year, (day.month + 2) // 3) != (year, quarter):
            return _missing(403)
        recorded = self._shelf.daily_index(name)
        if recorded is not None:
            return serve(request, recorded)
        if not self._has_index(day):
            return _missing(403)
        body = index_files.daily_index(match[1], day, self._shelf.filings().values())
        return serve(request, Document(body, "text/plain", "filing headers", assembled=True))

    def _quarter(self, year: int, quarter: int) -> Response:
        if not (1 <= quarter <= 4 and 1993 <= year <= 9998):
            return _missing(403)
        first = date(year, 3 * quarter - 2, 1)
        days = [first + timedelta(days=n) for n in range(92)]
        days = [day for day in days if (day.month + 2) // 3 == quarter and day.year == year and self._has_index(day)]
        names = {f"{kind}.{day:%Y%m%d}.idx" for day in days for kind in index_files.KINDS}
        for name in self._shelf.daily_index_names():
            day = _day(name.split(".")[1])
            if day and (day.year, (day.month + 2) // 3) == (year, quarter):
                names.add(name)
        if not names:
            return _missing(403)
        return JSONResponse(index_files.quarter_listing(year, quarter, names), headers={"x-replay-assembled": "1"})

    @cached_property
    def _entries(self) -> list[FeedEntry]:
        """Recorded entries where there are any; else what the newest filings would have put into the feed."""
        return list(self._shelf.current_entries()) or index_files.feed_entries(self._shelf.filings().values())

    async def current(self, request: Request) -> Response:
        query = request.query_params
        if query.get("action") != "getcurrent":
            return _missing()
        form = query.get("type", "")
        form = "" if form.lower() == "all" else form
        start = int(query["start"]) if query.get("start", "").isdigit() else 0
        count = int(query["count"]) if query.get("count", "").isdigit() else _USUAL_PAGE
        count = min(max(count, 1), _LARGEST_PAGE)
        page = self._shelf.current_page(form, start, count)
        if page is not None:
            return serve(request, page)
        # EDGAR's `type` is a prefix: type=4 brings 424B2 and 40-APP as well, as the recorded pages show.
        chosen = [entry for entry in self._entries if entry.form.startswith(form)]
        body = index_files.feed(chosen[start : start + count], self._entries[0].updated if self._entries else "")
        return serve(request, Document(body, "application/atom+xml", "feed entries", assembled=True))

    async def litigation_feed(self, request: Request) -> Response:
        return _optional(request, self._shelf.litigation_feed())

    async def litigation_list(self, request: Request) -> Response:
        match = _RELEASES_OF_YEAR.fullmatch(request.path_params["name"])
        return _optional(request, self._shelf.litigation_list(int(match[1])) if match else None)

    async def litigation_release(self, request: Request) -> Response:
        match = _RELEASE.fullmatch(request.path_params["rest"])
        return _optional(request, self._shelf.litigation_release(match[1]) if match else None)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(f"{text[:4]}-{text[4:6]}-{text[6:]}")
    except ValueError:
        return None
