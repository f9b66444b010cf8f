"""Collects `edgar/daily_index`: one `index_entry` record per filing that EDGAR's daily index lists of the universe.

It is how filings are discovered that no submissions list has (yet), and what completeness is reckoned against. An
entry stands on the day of its index: that is when EDGAR announced the filing, and about one in thirty was filed on
an earlier day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import NEW_YORK, is_edgar_business_day
from signaldelta_assets.warehouse.stores import completeness

from ..base import EDGAR, EDGAR_WWW, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import Fetched, UpstreamError
from .parsers import IndexEntry, parse_daily_index

SOURCE = "index_entry"


@register_collector
class DailyIndexCollector(Collector):
    """EDGAR's daily index of filings, by the day of the index; an index has a date and no time."""

    name = "edgar/daily_index"
    source_types = (SOURCE,)
    schema_version = "index_entry/1"
    schedule = Schedule("10,40 6-23 * * 1-5")
    upstream = EDGAR
    modules = (
        "signaldelta_assets.collectors.edgar.parsers.index",
        "signaldelta_assets.collectors.edgar.parsers.values",
    )

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per day."""
        days = index_days(context, window)
        ciks = {entity.cik: entity.entity_id for entity in context.universe}
        for done, day in enumerate(days, 1):
            batch = Batch(done=done, total=len(days), text=day.isoformat())
            try:
                self._day(context, ciks, day, batch)
            except UpstreamError as error:
                context.upstream_failed(error)
            yield batch

    def _day(self, context: CollectContext, ciks: dict[str, str], day: date, batch: Batch) -> None:
        # It grows until the evening, and is whole the day after.
        whole = datetime.combine(day + timedelta(days=2), time(0), UTC)
        fetched = context.transport.get(EDGAR_WWW, index_path(day), final_after=whole)
        context.upstream_answered()
        if fetched is None:
            context.counts["daily_indexes_absent"] += 1
            return
        try:
            self._entries(context, ciks, day, fetched, batch)
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url, day))

    def _entries(
        self, context: CollectContext, ciks: dict[str, str], day: date, fetched: Fetched, batch: Batch
    ) -> None:
        for entry in parse_daily_index(fetched.body, f"form.{day:%Y%m%d}.idx"):
            if isinstance(entry, RecordError):
                batch.quarantined.append(context.refuse(entry, SOURCE, fetched, fetched.url, day))
            elif entry.cik not in ciks:
                context.counts["not_in_universe"] += 1
            else:
                batch.records.append(
                    context.record(
                        fetched,
                        source_type=SOURCE,
                        entity_id=ciks[entry.cik],
                        # One filing may be listed under two forms: two lines, two facts.
                        natural_key=f"{entry.accession}|{entry.form}",
                        form=entry.form,
                        event_time=None,
                        fallback_date=day,
                        payload=_payload(entry, day),
                    )
                )


def _payload(entry: IndexEntry, day: date) -> dict[str, str]:
    return {
        "accession": entry.accession,
        "form": entry.form,
        "cik": entry.cik,
        "company": entry.company,
        "filed": entry.filed.isoformat(),
        "index_date": day.isoformat(),
        "file_name": entry.path,
    }


def index_path(day: date) -> str:
    """Return the path of a day's index by form type; those by company or CIK have the same lines."""
    return f"/Archives/edgar/daily-index/{day.year}/QTR{(day.month + 2) // 3}/form.{day:%Y%m%d}.idx"


def grown_at(day: date) -> datetime:
    """Return when the index of a day grows no more: EDGAR closes at 22:00 New York. Before, it is read in part."""
    return datetime.combine(day, time(22), NEW_YORK)


def index_days(context: CollectContext, window: Window) -> list[date]:
    """Return the days of the window on which EDGAR writes an index, up to today."""
    today = context.clock.now().date()
    return [day for day in window.days() if day <= today and is_edgar_business_day(day)]


def unread_days(context: CollectContext, window: Window) -> list[date]:
    """Return the days of the window whose index has not been asked for, or only while it grew."""
    days = index_days(context, window)
    urls = {context.transport.public_url(EDGAR_WWW, index_path(day)): day for day in days}
    since = {url: grown_at(day) for url, day in urls.items()}
    asked = completeness.asked_urls(context.warehouse, list(urls), since)
    return [day for url, day in urls.items() if url not in asked]
