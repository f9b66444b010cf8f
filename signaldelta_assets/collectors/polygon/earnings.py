"""Collects `polygon/earnings`: reported earnings of the universe's tickers, in the Benzinga shape."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import NEW_YORK

from ..base import POLYGON, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import Fetched, UpstreamError
from .identity import TickerDesk, named_on
from .paging import pages
from .parsers import earnings

SOURCE = "earnings_actual"
_PATH = "/benzinga/v1/earnings"
# Tickers of one request: its URL stays well below what servers take.
_TICKERS = 50


@register_collector
class EarningsCollector(Collector):
    """`/benzinga/v1/earnings` by announcement date. Announcements to come are counted and left out."""

    name = "polygon/earnings"
    source_types = (SOURCE,)
    schema_version = "earnings_actual/1"
    schedule = Schedule("*/30 6-20 * * 1-5")
    upstream = POLYGON
    modules = (
        "signaldelta_assets.collectors.polygon.parsers",
        "signaldelta_assets.collectors.polygon.fields",
        "signaldelta_assets.collectors.polygon.paging",
        "signaldelta_assets.collectors.reading",
        "signaldelta_assets.collectors.polygon.identity",
        "signaldelta_assets.contracts.listings",
    )
    after = ("polygon/tickers",)

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per page."""
        desk = TickerDesk(context)
        tickers = desk.tickers(window)
        for start in range(0, len(tickers), _TICKERS):
            group = tickers[start : start + _TICKERS]
            done = start + len(group)
            params = {
                "ticker.any_of": ",".join(group),
                "date.gte": window.start.isoformat(),
                "date.lte": window.end.isoformat(),
                "sort": "date.asc",
                "limit": "1000",
            }
            try:
                for fetched, page in pages(context, _PATH, params):
                    batch = Batch(done=done, total=len(tickers), text=f"{group[0]} to {group[-1]}")
                    for number, row in enumerate(page.rows):
                        self._row(context, window, desk, fetched, number, row, batch)
                    yield batch
            except UpstreamError as error:
                context.upstream_failed(error)
            except RecordError as error:
                url = context.transport.public_url(POLYGON, _PATH)
                yield Batch(quarantined=[context.refuse(error, SOURCE, None, url)])

    def _row(
        self,
        context: CollectContext,
        window: Window,
        desk: TickerDesk,
        fetched: Fetched,
        number: int,
        row: Any,
        batch: Batch,
    ) -> None:
        try:
            if not isinstance(row, dict):
                raise RecordError(f"earnings:{number}", "row", "an object", type(row).__name__)
            name = f"{row.get('ticker')}|{row.get('date')}|{row.get('benzinga_id') or number}"
            payload = earnings(row, name)
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
            return
        if payload is None:
            context.counts["not_reported_yet"] += 1
            return
        released = None if payload["released_at"] is None else datetime.fromisoformat(payload["released_at"])
        day = date.fromisoformat(payload["date"])
        if day not in window:
            context.counts["outside_window"] += 1
            return
        try:
            entity = desk.entity(name, payload["ticker"], named_on(row, _announced(released, day)))
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url, day))
            return
        if entity is None:
            return
        fiscal = f"{payload['fiscal_period'] or ''}{payload['fiscal_year'] or ''}"
        batch.records.append(
            context.record(
                fetched,
                source_type=SOURCE,
                entity_id=entity.entity_id,
                natural_key=payload["vendor_id"] or f"{payload['ticker']}|{payload['date']}|{fiscal}",
                event_time=released,
                fallback_date=day,
                payload=payload,
            )
        )


def _announced(released: datetime | None, day: date) -> date:
    """Return the day in New York, whose tickers are meant: an evening release is on the next day in UTC."""
    return day if released is None else released.astimezone(NEW_YORK).date()
