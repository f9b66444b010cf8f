"""Collects `polygon/dividends`: cash dividends of the universe's tickers, by when they were known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import NEW_YORK

from ..base import POLYGON, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import Fetched, UpstreamError
from .identity import TickerDesk
from .paging import pages
from .parsers import dividend

SOURCE = "dividend"
_PATH = "/v3/reference/dividends"
_DAY = timedelta(days=1)


@register_collector
class DividendsCollector(Collector):
    """`/v3/reference/dividends`. `event_time` is when the dividend was known for sure, the ex date is in the payload.

    The vendor has the day of declaration and no time: all of that day may be before, so it is the midnight of New York
    that ends it. Without a declaration date it is the midnight that starts the ex date, before which the exchange
    publishes it. `known_by` names which of the two it is.
    """

    name = "polygon/dividends"
    source_types = (SOURCE,)
    schema_version = "dividend/1"
    schedule = Schedule("15 7 * * 1-5")
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
        """Yield one batch per page: those declared the day before a day of the window, then those without that date."""
        desk = TickerDesk(context)
        done = 0
        for field, asked in (("declaration_date", window.widened(1, 0)), ("ex_dividend_date", window)):
            params = {
                f"{field}.gte": asked.start.isoformat(),
                f"{field}.lte": asked.end.isoformat(),
                "sort": field,
                "order": "asc",
                "limit": "1000",
            }
            try:
                for fetched, page in pages(context, _PATH, params):
                    done += 1
                    batch = Batch(done=done, total=done, text=f"{field}, page {done}")
                    for number, row in enumerate(page.rows):
                        self._row(context, window, desk, field, fetched, row, f"dividends:{field}:{number}", batch)
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
        field: str,
        fetched: Fetched,
        row: Any,
        record: str,
        batch: Batch,
    ) -> None:
        try:
            payload = dividend(row, record)
            moment, known_by = known_at(payload)
            if known_by != field:
                # The other question has it.
                return
            if moment.astimezone(NEW_YORK).date() not in window:
                context.counts["outside_window"] += 1
                return
            ex_date = date.fromisoformat(payload["ex_dividend_date"])
            entity = desk.entity(record, payload["ticker"], ex_date)
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
            return
        if entity is None:
            return
        parts = (payload["ticker"], payload["ex_dividend_date"], payload["dividend_type"], payload["pay_date"])
        batch.records.append(
            context.record(
                fetched,
                source_type=SOURCE,
                entity_id=entity.entity_id,
                natural_key=payload["vendor_id"] or "|".join(str(part or "") for part in parts),
                event_time=moment,
                payload={**payload, "known_by": known_by, "time_precision": "day"},
            )
        )


def known_at(payload: dict[str, Any]) -> tuple[datetime, str]:
    """Return when a dividend was known for sure, and by which date: midnight New York, after all that day may hold."""
    declared = payload["declaration_date"]
    if declared is not None:
        return datetime.combine(date.fromisoformat(declared) + _DAY, time(0), NEW_YORK), "declaration_date"
    return datetime.combine(date.fromisoformat(payload["ex_dividend_date"]), time(0), NEW_YORK), "ex_dividend_date"
