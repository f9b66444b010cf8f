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
from ..universe import UniverseEntity
from .paging import pages
from .parsers import bars, split

BARS, SPLITS = "daily_bar", "split"
_MODULES = (
    "signaldelta_assets.collectors.polygon.parsers",
    "signaldelta_assets.collectors.polygon.paging",
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
    # Unadjusted bars say nothing without the splits of their day.
    after = ("polygon/splits",)
    # Ask for split-adjusted bars instead. What was answered is in the payload.
    adjusted = False

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per ticker."""
        wanted = [(entity, ticker) for entity in context.universe for ticker in entity.tickers]
        for done, (entity, ticker) in enumerate(wanted, 1):
            batch = Batch(done=done, total=len(wanted), text=ticker)
            path = f"/v2/aggs/ticker/{ticker}/range/1/day/{window.start}/{window.end}"
            try:
                self._ticker(context, window, entity, ticker, path, batch)
            except UpstreamError as error:
                context.upstream_failed(error)
            except RecordError as error:
                url = context.transport.public_url(POLYGON, path)
                batch.quarantined.append(context.refuse(error, BARS, None, url))
            yield batch

    def _ticker(
        self, context: CollectContext, window: Window, entity: UniverseEntity, ticker: str, path: str, batch: Batch
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
            batch.records += _bar_records(context, window, entity, fetched, payloads, batch)


def _bar_records(
    context: CollectContext,
    window: Window,
    entity: UniverseEntity,
    fetched: Fetched,
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

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per page."""
        entities = {ticker: entity for entity in context.universe for ticker in entity.tickers}
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
                    entity = entities.get(str(row.get("ticker"))) if isinstance(row, dict) else None
                    if entity is None:
                        context.counts["not_in_universe"] += 1
                        continue
                    try:
                        batch.records.append(_split_record(context, entity, fetched, split(row, f"splits:{number}")))
                    except RecordError as error:
                        batch.quarantined.append(context.refuse(error, SPLITS, fetched, fetched.url))
                yield batch
        except UpstreamError as error:
            context.upstream_failed(error)
        except RecordError as error:
            url = context.transport.public_url(POLYGON, path)
            yield Batch(quarantined=[context.refuse(error, SPLITS, None, url)])


def _split_record(
    context: CollectContext, entity: UniverseEntity, fetched: Fetched, payload: dict[str, Any]
) -> RawRecord:
    day = date.fromisoformat(payload["execution_date"])
    return context.record(
        fetched,
        source_type=SPLITS,
        entity_id=entity.entity_id,
        natural_key=f"{payload['ticker']}|{payload['execution_date']}",
        event_time=datetime.combine(day, time(0), NEW_YORK),
        payload=payload,
    )
