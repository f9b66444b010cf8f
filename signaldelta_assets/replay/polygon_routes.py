"""api.polygon.io: daily and hourly aggregates, splits, dividends, tickers as of a date, earnings; the vendor's paging.

Shapes: polygon-io/client-python `test_rest/mocks` (recorded) and the vendor's reference pages. `t` of a daily bar is
midnight New York in milliseconds (the recorded mock: 1112331600000 = 2005-04-01T05:00Z before daylight saving,
1112587200000 = 2005-04-04T04:00Z after): the bar's session closes hours later. `t` of an hourly bar is its start.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..versioning import sha256_hex
from .archive import Bars, ListedLine, MarketShelf
from .wire import BadRequest, base_url, read_cursor, select, whole, write_cursor

NEW_YORK = ZoneInfo("America/New_York")
_HOST = "/api.polygon.io"
_EARNINGS_FIELDS: dict[str, Callable[[str], Any]] = {
    "date": str,
    "ticker": str,
    "importance": int,
    "last_updated": str,
    "date_status": str,
    "eps_surprise_percent": float,
    "revenue_surprise_percent": float,
    "fiscal_year": int,
    "fiscal_period": str,
}
_SPLIT_FIELDS: dict[str, Callable[[str], Any]] = {"ticker": str, "execution_date": str}
_DIVIDEND_FIELDS: dict[str, Callable[[str], Any]] = {
    "ticker": str,
    "ex_dividend_date": str,
    "record_date": str,
    "declaration_date": str,
    "pay_date": str,
    "frequency": int,
    "cash_amount": float,
    "dividend_type": str,
}
_TICKER_FIELDS: dict[str, Callable[[str], Any]] = {
    "ticker": str,
    "cik": str,
    "type": str,
    "market": str,
    "exchange": str,
    "name": str,
}

Handler = Callable[["PolygonRoutes", Request], Awaitable[Response]]


def _request_id(request: Request) -> str:
    # The same question gets the same answer, id included.
    return sha256_hex(str(request.url.path + "?" + request.url.query).encode())[:32]


def _guarded(handler: Handler) -> Handler:
    """Refuse a request without key (401) and answer a bad parameter as the vendor does (400)."""

    @functools.wraps(handler)
    async def answer(self: PolygonRoutes, request: Request) -> Response:
        bearer = request.headers.get("authorization", "")
        if not request.query_params.get("apiKey") and not bearer.removeprefix("Bearer ").strip():
            body = {"status": "ERROR", "request_id": _request_id(request), "error": "API Key was not provided"}
            return JSONResponse(body, 401)
        try:
            return await handler(self, request)
        except BadRequest as error:
            body = {"status": "ERROR", "request_id": _request_id(request), "error": str(error)}
            return JSONResponse(body, 400)

    return answer


def midnight(day: date) -> int:
    """Return midnight New York of `day` in milliseconds of the epoch: the vendor's `t` of a daily bar."""
    return int(datetime.combine(day, time(0), NEW_YORK).timestamp() * 1000)


class PolygonRoutes:
    """The routes of one shelf."""

    def __init__(self, shelf: MarketShelf) -> None:
        self._shelf = shelf

    def routes(self) -> list[Route]:
        """Return the routes, host as path prefix."""
        return [
            Route(_HOST + "/v2/aggs/ticker/{ticker}/range/{multiplier}/{span}/{first}/{last}", self.aggregates),
            Route(_HOST + "/v3/reference/splits", self.splits),
            Route(_HOST + "/v3/reference/dividends", self.dividends),
            Route(_HOST + "/v3/reference/tickers", self.tickers),
            Route(_HOST + "/v3/reference/tickers/{ticker}", self.ticker),
            Route(_HOST + "/vX/reference/tickers/{name}/events", self.ticker_events),
            Route(_HOST + "/benzinga/v1/earnings", self.earnings),
        ]

    @_guarded
    async def aggregates(self, request: Request) -> Response:
        path, query = request.path_params, dict(request.query_params)
        if "cursor" in query:
            query = {**query, **read_cursor(query["cursor"])}
        if path["multiplier"] != "1" or path["span"] not in ("day", "hour"):
            raise BadRequest("only range/1/day and range/1/hour are held here")
        first, last = _moment(path["first"], time(0)), _moment(path["last"], time(23, 59, 59, 999000))
        if first > last:
            raise BadRequest("'from' must not be after 'to'")
        limit = whole(query, "limit", 5000, 50_000)
        adjusted = query.get("adjusted", "true").lower() != "false"
        ticker, ascending = path["ticker"], query.get("sort", "asc") != "desc"
        held = self._shelf.bars if path["span"] == "day" else self._shelf.hours
        bars = held(ticker, query.get("vintage"))
        known, done = _results(bars, adjusted, self._shelf.splits()) if bars else ([], adjusted)
        chosen = [bar for bar in known if first <= bar["t"] <= last]
        if not ascending:
            chosen.reverse()
        page = chosen[:limit]
        body: dict[str, Any] = {
            "ticker": ticker,
            "queryCount": len(page),
            "resultsCount": len(page),
            # The vendor's `adjusted` says whether THIS answer was adjusted for splits.
            "adjusted": done,
            "status": "OK",
            "request_id": _request_id(request),
            "count": len(page),
        }
        headers: dict[str, str] = {}
        if page:
            body["results"] = page
        if bars:
            headers = {"x-replay-vintage": bars.vintage, "x-replay-vintages": ",".join(bars.vintages)}
            kind = ("splits" if done else "none") if bars.adjustment == "none" else bars.adjustment
            body["signaldelta"] = {"vintage": bars.vintage, "adjustment": kind, "dropped_rows": bars.dropped}
            if bars.named_on is not None:
                body["signaldelta"]["named_on"] = bars.named_on.isoformat()
        if len(chosen) > limit:
            following = chosen[limit]["t"]
            start, end = (following, path["last"]) if ascending else (path["first"], following)
            kept = {key: query[key] for key in ("adjusted", "sort", "limit", "vintage") if key in query}
            url = f"{base_url(request)}{_HOST}/v2/aggs/ticker/{ticker}/range/1/{path['span']}/{start}/{end}"
            body["next_url"] = f"{url}?cursor={write_cursor({**kept, 'limit': str(limit)})}"
        return JSONResponse(body, headers=headers)

    @_guarded
    async def splits(self, request: Request) -> Response:
        return self._table(request, self._shelf.splits(), _SPLIT_FIELDS, 10, 1000, "execution_date.desc")

    @_guarded
    async def dividends(self, request: Request) -> Response:
        return self._table(request, self._shelf.dividends(), _DIVIDEND_FIELDS, 10, 1000, "ex_dividend_date.desc")

    @_guarded
    async def tickers(self, request: Request) -> Response:
        query = dict(request.query_params)
        if "cursor" in query:
            query = read_cursor(query["cursor"])
        active = query.get("active", "true").lower() != "false"
        rows = [row for row in rows_of(self._shelf.lines(), _day(query)) if row["active"] is active]
        # The vendor's filter has another name than the column.
        shown = [{**row, "exchange": row.get("primary_exchange")} for row in rows]
        answer = self._table(request, shown, _TICKER_FIELDS, 100, 1000, "ticker.asc", drop=("exchange",))
        answer.headers["x-replay-assembled"] = "1"
        return answer

    @_guarded
    async def ticker(self, request: Request) -> Response:
        wanted, query = request.path_params["ticker"], dict(request.query_params)
        rows = rows_of(self._shelf.lines(), _day(query))
        row = next((row for row in rows if row["ticker"] == wanted and row["active"]), None)
        if row is None:
            return _not_found(request, "Ticker not found.")
        body = {"status": "OK", "request_id": _request_id(request), "results": row}
        return JSONResponse(body, headers={"x-replay-assembled": "1"})

    @_guarded
    async def ticker_events(self, request: Request) -> Response:
        """The history of a line by its FIGI, or by the ticker it has last; of whose changes no day is known, none."""
        name = request.path_params["name"]
        for line in self._shelf.lines():
            if name not in (line.fields.get("composite_figi"), line.tickers[-1][0]):
                continue
            if any(first is None for _, first in line.tickers):
                break
            results = {key: line.fields[key] for key in ("name", "composite_figi", "cik") if key in line.fields}
            events = [
                {"ticker_change": {"ticker": ticker}, "type": "ticker_change", "date": str(first)}
                for ticker, first in reversed(line.tickers)
            ]
            body = {"results": {**results, "events": events}, "status": "OK", "request_id": _request_id(request)}
            return JSONResponse(body, headers={"x-replay-assembled": "1", "x-replay-source": line.source})
        return _not_found(request, "Ticker events not found.")

    @_guarded
    async def earnings(self, request: Request) -> Response:
        return self._table(request, self._shelf.earnings(), _EARNINGS_FIELDS, 100, 50_000, "last_updated.desc")

    def _table(
        self,
        request: Request,
        rows: Sequence[Mapping[str, Any]],
        fields: Mapping[str, Callable[[str], Any]],
        usual: int,
        most: int,
        order: str,
        drop: Sequence[str] = (),
    ) -> Response:
        """A page of a filtered, sorted table; the cursor carries filters, order and offset."""
        query = dict(request.query_params)
        if "cursor" in query:
            query = read_cursor(query["cursor"])
        limit, offset = whole(query, "limit", usual, most), int(query.get("offset", "0"))
        found = select(rows, query, fields)
        for column in reversed(_order(query, order)):
            name, _, direction = column.partition(".")
            if name not in fields:
                raise BadRequest(f"sort by {name} is not offered")
            found.sort(key=functools.partial(_sort_key, name), reverse=direction == "desc")
        page = found[offset : offset + limit]
        if drop:
            page = [{key: value for key, value in row.items() if key not in drop} for row in page]
        body: dict[str, Any] = {"status": "OK", "request_id": _request_id(request), "results": page}
        if offset + limit < len(found):
            kept = {key: value for key, value in query.items() if key != "apiKey"}
            cursor = write_cursor({**kept, "limit": str(limit), "offset": str(offset + limit)})
            body["next_url"] = f"{base_url(request)}{request.url.path}?cursor={cursor}"
        return JSONResponse(body)


def rows_of(lines: Sequence[ListedLine], day: date) -> list[dict[str, Any]]:
    """Return the vendor's list as of a day: each line under the ticker it had then, or last had."""
    found = []
    for line in lines:
        ticker = next((name for name, first in reversed(line.tickers) if first is None or first <= day), None)
        if ticker is None or day < line.since:
            continue
        active = line.delisted is None or day <= line.delisted
        row = {"ticker": ticker, **line.fields, "active": active}
        found.append(row if active else row | {"delisted_utc": f"{line.delisted}T00:00:00Z"})
    return sorted(found, key=lambda row: (row["ticker"], str(row.get("composite_figi"))))


def _not_found(request: Request, message: str) -> Response:
    body = {"status": "NOT_FOUND", "request_id": _request_id(request), "message": message}
    return JSONResponse(body, 404)


def _day(query: Mapping[str, str]) -> date:
    """Return the `date` of a question about tickers; without one it is today, and so after all that is known."""
    try:
        return date.fromisoformat(query["date"]) if "date" in query else date.max
    except ValueError as error:
        raise BadRequest(f"could not parse the time parameter {query['date']!r}") from error


def _order(query: Mapping[str, str], usual: str) -> list[str]:
    # Splits name column and direction apart (`sort`, `order`); the newer table joins them by a dot.
    columns = query.get("sort", usual).split(",")
    direction = query.get("order", "asc")
    return [column if "." in column else f"{column}.{direction}" for column in columns]


def _sort_key(name: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    # A recorded announcement has no `last_updated`; its date stands in. The id makes the order total.
    value = row.get(name)
    if value is None:
        value = row.get("date", "") if name == "last_updated" else None
    return (value is not None, value, str(row.get("benzinga_id", row.get("ticker", ""))))


def _moment(text: str, at: time) -> int:
    """A bound in milliseconds: given as such, or as a day of New York."""
    if text.isdigit() and len(text) > 8:
        return int(text)
    try:
        return int(datetime.combine(date.fromisoformat(text), at, NEW_YORK).timestamp() * 1000)
    except ValueError as error:
        raise BadRequest(f"could not parse the time parameter {text!r}") from error


def _results(bars: Bars, adjusted: bool, splits: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """Bars on the wire, and whether they are split adjusted.

    A raw series is adjusted with the archive's own splits. A series that was recorded adjusted cannot be made raw, so
    it is served as it is, and says so.
    """
    own = [split for split in splits if split["ticker"] == bars.ticker] if bars.adjustment == "none" else []
    results = []
    for start, opened, high, low, close, volume in bars.rows:
        day = start.astimezone(NEW_YORK).date() if isinstance(start, datetime) else start
        factor = 1.0
        if adjusted:
            for split in own:
                if split["execution_date"] > day.isoformat():
                    factor *= split["split_to"] / split["split_from"]
        shares = volume * factor
        stamp = int(start.timestamp() * 1000) if isinstance(start, datetime) else midnight(day)
        bar = {"v": int(shares) if shares.is_integer() else shares, "t": stamp}
        prices = (("o", opened), ("c", close), ("h", high), ("l", low))
        results.append(bar | {key: price if factor == 1.0 else round(price / factor, 6) for key, price in prices})
    return results, adjusted or bars.adjustment != "none"
