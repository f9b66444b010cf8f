"""Collects `polygon/hourly_bars`: hourly aggregates of the universe's tickers, extended hours included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

import pandas as pd

from signaldelta_assets.contracts import RawRecord
from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import NEW_YORK, session_close

from ..base import POLYGON, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import Fetched, UpstreamError
from .identity import TickerDesk, named_on
from .paging import pages
from .parsers import VendorPage, hours

SOURCE = "hourly_bar"
_OPEN = time(9, 30)


@register_collector
class HourlyBarsCollector(Collector):
    """`/v2/aggs` by hour, unadjusted. `event_time` is the end of the bar, an hour after its start.

    `hours` of the payload is `regular` for a bar inside the session, `extended` for one outside, `mixed` for one with
    the opening or closing bell in it: the vendor cuts at full hours, and the session opens at half past nine.
    """

    name = "polygon/hourly_bars"
    source_types = (SOURCE,)
    schema_version = "hourly_bar/1"
    schedule = Schedule("10 5-21 * * 1-5")
    upstream = POLYGON
    modules = (
        "signaldelta_assets.collectors.polygon.parsers",
        "signaldelta_assets.collectors.polygon.fields",
        "signaldelta_assets.collectors.polygon.paging",
        "signaldelta_assets.collectors.reading",
        "signaldelta_assets.collectors.polygon.identity",
        "signaldelta_assets.contracts.listings",
        "signaldelta_assets.timeline.sessions",
    )
    after = ("polygon/splits", "polygon/tickers")

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per ticker."""
        desk = TickerDesk(context)
        # A bar that ends after midnight UTC started on the evening before in New York.
        asked = window.widened(1, 0)
        wanted = desk.tickers(asked)
        for done, ticker in enumerate(wanted, 1):
            batch = Batch(done=done, total=len(wanted), text=ticker)
            path = f"/v2/aggs/ticker/{ticker}/range/1/hour/{asked.start}/{asked.end}"
            params = {"adjusted": "false", "sort": "asc", "limit": "50000"}
            try:
                for fetched, page in pages(context, path, params):
                    payloads: list[dict[str, Any]] = []
                    for bar in hours(page, ticker, ticker):
                        if isinstance(bar, RecordError):
                            batch.quarantined.append(context.refuse(bar, SOURCE, fetched, fetched.url))
                        else:
                            payloads.append(bar)
                    batch.records += _records(context, window, desk, fetched, page, payloads, batch)
            except UpstreamError as error:
                context.upstream_failed(error)
            except RecordError as error:
                url = context.transport.public_url(POLYGON, path)
                batch.quarantined.append(context.refuse(error, SOURCE, None, url))
            yield batch


def _records(
    context: CollectContext,
    window: Window,
    desk: TickerDesk,
    fetched: Fetched,
    page: VendorPage,
    payloads: list[dict[str, Any]],
    batch: Batch,
) -> Iterator[RawRecord]:
    closes = session_close(pd.DatetimeIndex([payload["session"] for payload in payloads]))
    for payload, close in zip(payloads, closes, strict=True):
        start, end = datetime.fromisoformat(payload["start"]), datetime.fromisoformat(payload["end"])
        day = date.fromisoformat(payload["session"])
        if end.date() not in window:
            context.counts["outside_window"] += 1
            continue
        if end > fetched.observed_time:
            # What was received is the hour so far.
            context.counts["bar_not_ended"] += 1
            continue
        key = f"{payload['ticker']}|{payload['start']}|{payload['vintage']}"
        try:
            if pd.isna(close):
                raise RecordError(key, "session", "a day on which the exchange traded", payload["session"])
            entity = desk.entity(key, payload["ticker"], named_on(page.document, day))
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url, end.date()))
            continue
        if entity is not None:
            yield context.record(
                fetched,
                source_type=SOURCE,
                entity_id=entity.entity_id,
                natural_key=key,
                event_time=end,
                payload={**payload, "hours": hours_of(start, end, close.to_pydatetime())},
            )


def hours_of(start: datetime, end: datetime, close: datetime) -> str:
    """Return regular, extended or mixed for a bar of a session that closes at `close` (all with time zones)."""
    opening = datetime.combine(close.astimezone(NEW_YORK).date(), _OPEN, NEW_YORK)
    if end <= opening or start >= close:
        return "extended"
    return "regular" if start >= opening and end <= close else "mixed"
