"""Collects `polygon/daily_bars` and `polygon/splits`: daily aggregates of the universe's tickers, and its splits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

import pandas as pd

from signaldelta_assets.contracts import RawRecord
from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import NEW_YORK, session_close

from ..base import (
    POLYGON,
    Batch,
    CollectContext,
    Collector,
    DocumentRecordError,
    Schedule,
    Window,
    register_collector,
)
from ..transport import Fetched, UpstreamError
from .identity import TickerDesk, named_on
from .paging import pages
from .parsers import VendorPage, bars, split

BARS, SPLITS = "daily_bar", "split"
_MODULES = (
    "signaldelta_assets.collectors.polygon.parsers",
    "signaldelta_assets.collectors.polygon.fields",
    "signaldelta_assets.collectors.polygon.paging",
    "signaldelta_assets.collectors.reading",
    "signaldelta_assets.collectors.polygon.identity",
    "signaldelta_assets.contracts.listings",
    "signaldelta_assets.timeline.sessions",
)


@register_collector
class DailyBarsCollector(Collector):
    """`/v2/aggs` by day, unadjusted: an adjusted series changes with every later split. `event_time` is the close."""

    name = "polygon/daily_bars"
    source_types = (BARS,)
    schema_version = "daily_bar/1"
    schedule = Schedule("30 17 * * 1-5")
    upstream = POLYGON
    modules = _MODULES
    # Unadjusted bars say nothing without the splits of their day, and a ticker little without its dates.
    after = ("polygon/splits", "polygon/tickers")
    # Ask for split-adjusted bars instead. What was answered is in the payload.
    adjusted = False

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per ticker."""
        desk = TickerDesk(context)
        wanted = desk.tickers(window)
        for done, ticker in enumerate(wanted, 1):
            batch = Batch(done=done, total=len(wanted), text=ticker)
            path = f"/v2/aggs/ticker/{ticker}/range/1/day/{window.start}/{window.end}"
            try:
                self._ticker(context, window, desk, ticker, path, batch)
            except UpstreamError as error:
                context.upstream_failed(error)
            except RecordError as error:
                url = context.transport.public_url(POLYGON, path)
                batch.quarantined.append(context.refuse(error, BARS, None, url))
            yield batch

    def _ticker(
        self, context: CollectContext, window: Window, desk: TickerDesk, ticker: str, path: str, batch: Batch
    ) -> None:
        params = {"adjusted": str(self.adjusted).lower(), "sort": "asc", "limit": "50000"}
        for fetched, page in pages(context, path, params):
            payloads: list[dict[str, Any]] = []
            try:
                for bar in bars(page, ticker, ticker):
                    if isinstance(bar, RecordError):
                        batch.quarantined.append(context.refuse(bar, BARS, fetched, fetched.url))
                    else:
                        payloads.append(bar)
            except RecordError as error:
                raise DocumentRecordError(error, fetched) from error
            batch.records += _bar_records(context, window, desk, fetched, page, payloads, batch)


def _bar_records(
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
        day = date.fromisoformat(payload["session"])
        if day not in window:
            context.counts["outside_window"] += 1
            continue
        key = f"{payload['ticker']}|{payload['session']}|{payload['vintage']}"
        if pd.isna(close):
            error = RecordError(key, "session", "a day on which the exchange traded", payload["session"])
            batch.quarantined.append(context.refuse(error, BARS, fetched, fetched.url, day))
            continue
        if close > fetched.observed_time:
            # What was received is the session so far.
            context.counts["session_not_closed"] += 1
            continue
        try:
            entity = desk.entity(key, payload["ticker"], named_on(page.document, day))
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, BARS, fetched, fetched.url, day))
            continue
        if entity is None:
            continue
        yield context.record(
            fetched,
            source_type=BARS,
            entity_id=entity.entity_id,
            natural_key=key,
            event_time=close.to_pydatetime(),
            payload=payload,
        )


@register_collector
class SplitsCollector(Collector):
    """`/v3/reference/splits` by execution date. `event_time` is midnight New York of that day: all of it is after."""

    name = "polygon/splits"
    source_types = (SPLITS,)
    schema_version = "split/1"
    schedule = Schedule("0 7 * * 1-5")
    upstream = POLYGON
    modules = _MODULES
    after = ("polygon/tickers",)

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per page."""
        desk = TickerDesk(context)
        params = {
            "execution_date.gte": window.start.isoformat(),
            "execution_date.lte": window.end.isoformat(),
            "sort": "execution_date",
            "order": "asc",
            "limit": "1000",
        }
        path = "/v3/reference/splits"
        try:
            for done, (fetched, page) in enumerate(pages(context, path, params), 1):
                batch = Batch(done=done, total=done, text=f"page {done}")
                for number, row in enumerate(page.rows):
                    self._row(context, window, desk, fetched, row, f"splits:{number}", batch)
                yield batch
        except UpstreamError as error:
            context.upstream_failed(error)
        except RecordError as error:
            url = context.transport.public_url(POLYGON, path)
            yield Batch(quarantined=[context.refuse(error, SPLITS, None, url)])

    def _row(
        self,
        context: CollectContext,
        window: Window,
        desk: TickerDesk,
        fetched: Fetched,
        row: Any,
        record: str,
        batch: Batch,
    ) -> None:
        try:
            payload = split(row, record)
            day = date.fromisoformat(payload["execution_date"])
            if day not in window:
                context.counts["outside_window"] += 1
                return
            entity = desk.entity(record, payload["ticker"], day)
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SPLITS, fetched, fetched.url))
            return
        if entity is not None:
            batch.records.append(
                context.record(
                    fetched,
                    source_type=SPLITS,
                    entity_id=entity.entity_id,
                    natural_key=f"{payload['ticker']}|{payload['execution_date']}",
                    event_time=datetime.combine(day, time(0), NEW_YORK),
                    payload=payload,
                )
            )
