"""api.polygon.io: daily aggregates, splits and the Benzinga earnings table, with the vendor's paging.

Shapes: polygon-io/client-python `test_rest/mocks` (recorded) and the vendor's reference pages. `t` of a daily bar is
midnight New York in milliseconds (the recorded mock: 1112331600000 = 2005-04-01T05:00Z before daylight saving,
1112587200000 = 2005-04-04T04:00Z after): the bar's session closes hours later.
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
from .archive import Bars, MarketShelf
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
            Route(_HOST + "/benzinga/v1/earnings", self.earnings),
        ]

    @_guarded
    async def aggregates(self, request: Request) -> Response:
        path, query = request.path_params, dict(request.query_params)
        if "cursor" in query:
            query = {**query, **read_cursor(query["cursor"])}
        if (path["multiplier"], path["span"]) != ("1", "day"):
            raise BadRequest("only range/1/day is held here")
        first, last = _moment(path["first"], time(0)), _moment(path["last"], time(23, 59, 59, 999000))
        if first > last:
            raise BadRequest("'from' must not be after 'to'")
        limit = whole(query, "limit", 5000, 50_000)
        adjusted = query.get("adjusted", "true").lower() != "false"
        ticker, ascending = path["ticker"], query.get("sort", "asc") != "desc"
        bars = self._shelf.bars(ticker, query.get("vintage"))
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
        if len(chosen) > limit:
            following = chosen[limit]["t"]
            start, end = (following, path["last"]) if ascending else (path["first"], following)
            kept = {key: query[key] for key in ("adjusted", "sort", "limit", "vintage") if key in query}
            url = f"{base_url(request)}{_HOST}/v2/aggs/ticker/{ticker}/range/1/day/{start}/{end}"
            body["next_url"] = f"{url}?cursor={write_cursor({**kept, 'limit': str(limit)})}"
        return JSONResponse(body, headers=headers)

    @_guarded
    async def splits(self, request: Request) -> Response:
        return self._table(request, self._shelf.splits(), _SPLIT_FIELDS, 10, 1000, "execution_date.desc")

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
        body: dict[str, Any] = {"status": "OK", "request_id": _request_id(request), "results": page}
        if offset + limit < len(found):
            kept = {key: value for key, value in query.items() if key != "apiKey"}
            cursor = write_cursor({**kept, "limit": str(limit), "offset": str(offset + limit)})
            body["next_url"] = f"{base_url(request)}{request.url.path}?cursor={cursor}"
        return JSONResponse(body)


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
    for day, opened, high, low, close, volume in bars.rows:
        factor = 1.0
        if adjusted:
            for split in own:
                if split["execution_date"] > day.isoformat():
                    factor *= split["split_to"] / split["split_from"]
        shares = volume * factor
        bar = {"v": int(shares) if shares.is_integer() else shares, "t": midnight(day)}
        prices = (("o", opened), ("c", close), ("h", high), ("l", low))
        results.append(bar | {key: price if factor == 1.0 else round(price / factor, 6) for key, price in prices})
    return results, adjusted or bars.adjustment != "none"
