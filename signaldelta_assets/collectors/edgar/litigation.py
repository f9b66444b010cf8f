"""Collects `edgar/litigation`: the SEC's litigation releases, from the feed of the newest and the lists of each year.

A release gives up to two records of source type `litigation`, each one document's facts: form `page`, key `LR-n`, its
text; form `feed`, key `LR-n/feed`, the moment of publication. Neither is about one entity: whom a release names is
for the classifier, so they stand under their publisher.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from signaldelta_assets.contracts import PUBLISHER_SEC
from signaldelta_assets.errors import RecordError
from signaldelta_assets.warehouse.stores import collection

from ..base import EDGAR, EDGAR_WWW, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import ALWAYS_FINAL, Fetched, UpstreamError
from .parsers import FeedItem, parse_litigation_feed, parse_litigation_list, release_payload

SOURCE = "litigation"
PAGE, FEED = "page", "feed"
_FEED_PATH = "/enforcement-litigation/litigation-releases/rss"
_BATCH = 50


@register_collector
class LitigationCollector(Collector):
    """Litigation releases by the day of their feed entry, header or, failing both, the first date in their text."""

    name = "edgar/litigation"
    source_types = (SOURCE,)
    schema_version = "litigation/1"
    schedule = Schedule("5 7-21 * * 1-5")
    upstream = EDGAR
    modules = (
        "signaldelta_assets.collectors.edgar.parsers.litigation",
        "signaldelta_assets.collectors.edgar.parsers.text",
        "signaldelta_assets.collectors.edgar.parsers.values",
        "signaldelta_assets.collectors.edgar.parsers.xml",
    )

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield a batch with the feed's entries, then batches of pages by release number."""
        batch = Batch(text="feed and lists")
        # Where a release's page is: as a year's list links it, else where the SEC keeps new ones.
        feed = self._feed(context, window, batch)
        pages = {item.number: f"/enforcement-litigation/litigation-releases/lr-{item.number}" for item in feed}
        years = {item.number: item.published.year for item in feed}
        # A release may be dated by its complaint alone, of the year before it.
        for year in range(window.start.year, window.end.year + 2):
            for number, path in self._list(context, year, batch):
                pages[number], years[number] = path, year
        keys = {number: f"LR-{number}" for number in pages}
        known = collection.known_keys(context.warehouse, SOURCE, self.version, keys.values())
        context.counts["releases_found"] += len(pages)
        context.counts["releases_known"] += len(known)
        wanted = sorted((n for n, key in keys.items() if key not in known), key=lambda n: (len(n), n))
        for done, number in enumerate(wanted, 1):
            try:
                self._page(context, window, number, pages[number], years[number], batch)
            except UpstreamError as error:
                context.upstream_failed(error)
            if done % _BATCH == 0:
                batch.done, batch.total, batch.text = done, len(wanted), f"LR-{number}"
                yield batch
                batch = Batch()
        batch.done, batch.total, batch.text = len(wanted), len(wanted), "done"
        yield batch

    def _feed(self, context: CollectContext, window: Window, batch: Batch) -> list[FeedItem]:
        """Put the entries of the window into the batch and return them."""
        found: list[FeedItem] = []
        fetched = self._get(context, _FEED_PATH, None)
        if fetched is None:
            return found
        try:
            for item in parse_litigation_feed(fetched.body, "litigation-releases/rss"):
                if isinstance(item, RecordError):
                    batch.quarantined.append(context.refuse(item, SOURCE, fetched, fetched.url))
                elif item.published > context.clock.now():
                    error = RecordError(f"LR-{item.number}", "pubDate", "a moment not to come", item.published)
                    batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
                elif item.published.date() in window:
                    found.append(item)
                    batch.records.append(
                        context.record(
                            fetched,
                            source_type=SOURCE,
                            entity_id=PUBLISHER_SEC,
                            natural_key=f"LR-{item.number}/feed",
                            form=FEED,
                            event_time=item.published,
                            payload={
                                "number": item.number,
                                "title": item.title,
                                "published": item.published.isoformat(),
                                "link": item.link,
                            },
                        )
                    )
                else:
                    context.counts["outside_window"] += 1
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
        return found

    def _list(self, context: CollectContext, year: int, batch: Batch) -> Iterator[tuple[str, str]]:
        path = f"/litigation/litreleases/litrelarchive/litarchive{year}.shtml"
        # A year's list is whole some weeks after it.
        fetched = self._get(context, path, datetime.combine(date(year + 1, 2, 1), time(0), UTC))
        if fetched is None:
            context.counts["year_lists_absent"] += 1
            return
        try:
            for release in parse_litigation_list(fetched.body, f"litarchive{year}"):
                yield release.number, release.path
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))

    def _page(self, context: CollectContext, window: Window, number: str, path: str, year: int, batch: Batch) -> None:
        fetched = self._get(context, path, ALWAYS_FINAL)
        if fetched is None:
            context.counts["pages_absent"] += 1
            return
        try:
            payload = release_payload(fetched.body, number)
            day, source = _placed(payload, year)
            if day > fetched.observed_time.date() + timedelta(days=1):
                raise RecordError(f"LR-{number}", "date", f"a day not after {fetched.observed_time.date()}", day)
        except RecordError as error:
            # Refused in any case; kept where the list's year is collected.
            refused = context.refuse(error, SOURCE, fetched, fetched.url)
            if window.start.year <= year <= window.end.year:
                batch.quarantined.append(refused)
            return
        if day not in window:
            context.counts["outside_window"] += 1
            return
        batch.records.append(
            context.record(
                fetched,
                source_type=SOURCE,
                entity_id=PUBLISHER_SEC,
                natural_key=f"LR-{number}",
                form=PAGE,
                # A page says no time of day; the feed does.
                event_time=None,
                fallback_date=day,
                payload=payload | {"date": day.isoformat(), "date_from": source},
            )
        )

    def _get(self, context: CollectContext, path: str, final_after: datetime | None) -> Fetched | None:
        fetched = context.transport.get(EDGAR_WWW, path, final_after=final_after)
        context.upstream_answered()
        return fetched


def _placed(payload: dict[str, Any], year: int) -> tuple[date, str]:
    """Return the day that a page of that year's list is kept under, and by what: its header, its text, or the list.

    A header of another year than the list's is a slip of the pen: it would date the case a year off. A date in the text
    is taken where it can be that of the complaint: of the list's year or the one before.
    """
    if payload["released_on"] is not None and date.fromisoformat(payload["released_on"]).year == year:
        return date.fromisoformat(payload["released_on"]), "header"
    if payload["first_on"] is not None:
        day = date.fromisoformat(payload["first_on"]["date"])
        if day.year in (year - 1, year):
            return day, "text"
    return date(year, 1, 1), "year"
