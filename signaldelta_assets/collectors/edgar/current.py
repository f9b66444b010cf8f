"""Collects `edgar/current`: what the feed of current filings announces, minutes after acceptance.

Every entry of an entity of the universe becomes a `current_entry`: there the document collectors find filings that no
submissions list has yet. Filings with a subject and a filer give their `filing_role` at once, from the submission where
EDGAR has it already, else from the feed's own entries: the same record where the document says no more than the feed.
The feed reaches back a few days: what it no longer shows, the submissions lists and daily indexes have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta

from signaldelta_assets.contracts import RawRecord
from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import NEW_YORK, is_edgar_business_day, new_york
from signaldelta_assets.warehouse.stores import feeds

from ..base import EDGAR, EDGAR_WWW, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import Fetched, UpstreamError
from .filings import get_submission_body
from .parsers import ROLE_FORMS, CurrentEntry, entry_role_payloads, is_feed, parse_current_feed
from .roles import SOURCE as ROLE
from .roles import role_records

SOURCE = "current_entry"
_PATH = "/cgi-bin/browse-edgar"
# EDGAR gives at most 100 entries a page. More pages than this the feed never had (52 are recorded at most).
_COUNT, _MOST_PAGES = 100, 200
# A filing may come into the feed this much later than its stamp says.
_DELAY = timedelta(minutes=30)
_CUTOFF, _OPENING = time(17, 30), time(6)
# In every report, so that what an entry came to can be added up.
_COUNTED = (
    *("entries_read", "entries_repeated", "outside_window", "not_in_universe"),
    *("roles_found", "roles_known", "roles_from_header", "roles_from_feed", "roles_not_read_yet"),
)


@register_collector
class CurrentFeedCollector(Collector):
    """The feed of current filings: entries of the universe, and the roles of filings with a subject."""

    name = "edgar/current"
    source_types = (SOURCE,)
    schema_version = "current_entry/1"
    schedule = Schedule("*/5 6-22 * * 1-5")
    upstream = EDGAR
    moving = True
    modules = (
        "signaldelta_assets.collectors.edgar.parsers.feed",
        "signaldelta_assets.collectors.edgar.parsers.roles",
        "signaldelta_assets.collectors.edgar.parsers.schedule13",
        "signaldelta_assets.collectors.edgar.parsers.sgml",
        "signaldelta_assets.collectors.edgar.parsers.values",
        "signaldelta_assets.collectors.edgar.parsers.xml",
        "signaldelta_assets.collectors.edgar.roles",
    )

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch: nothing of a feed that was read in part counts as read."""
        batch = Batch(text="current filings")
        context.counts.update(dict.fromkeys(_COUNTED, 0))
        began = context.clock.now()
        last = feeds.last_read(context.warehouse, self.name, self.version, window.start)
        found: dict[tuple[str, str, str], tuple[CurrentEntry, Fetched]] = {}
        whole = self._pages(context, _read_back_to(window, last, began), found, batch)
        followed = {entity.cik for entity in context.universe}
        filings: dict[str, list[tuple[CurrentEntry, Fetched]]] = {}
        for entry, fetched in found.values():
            if entry.accepted_at.date() not in window:
                context.counts["outside_window"] += 1
                continue
            filings.setdefault(entry.accession, []).append((entry, fetched))
            if entry.party.cik in followed:
                batch.records.append(_announcement(context, entry, fetched))
            else:
                context.counts["not_in_universe"] += 1
        batch.records += self._roles(context, filings, followed)
        batch.done = batch.total = len(found)
        if whole and not context.failures:
            context.counts[feeds.READ_AT] = int(began.timestamp())
        yield batch

    # --- pages ------------------------------------------------------------------------------------------------------

    def _pages(
        self,
        context: CollectContext,
        until: datetime,
        found: dict[tuple[str, str, str], tuple[CurrentEntry, Fetched]],
        batch: Batch,
    ) -> bool:
        """Put the entries of all pages down to `until` into `found`; return whether none was left out."""
        whole = True
        for number in range(_MOST_PAGES):
            fetched = self._page(context, number)
            if fetched is None or not is_feed(fetched.body):
                # Past its end the feed answers with a page for people, and so does a site under maintenance: then the
                # first page is none either.
                first = self._page(context, 0) if number else None
                if first is None or not is_feed(first.body):
                    raise UpstreamError(self._url(context, number), "no feed of current filings: site unavailable")
                return whole
            name = f"getcurrent:{number * _COUNT}"
            shown = 0
            oldest = None
            try:
                for entry in parse_current_feed(fetched.body, name):
                    shown += 1
                    if isinstance(entry, RecordError):
                        batch.quarantined.append(context.refuse(entry, SOURCE, fetched, fetched.url))
                        continue
                    if entry.accepted_at > context.clock.now():
                        error = RecordError(entry.accession, "updated", "a moment not to come", entry.accepted_at)
                        batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
                        continue
                    context.counts["entries_read"] += 1
                    context.judgement.seen.add(entry.accession)
                    oldest = entry.accepted_at if oldest is None else min(oldest, entry.accepted_at)
                    # The feed moves on while it is paged: an entry comes again on the next page.
                    key = (entry.accession, entry.party.role, entry.party.cik)
                    context.counts["entries_repeated"] += key in found
                    found.setdefault(key, (entry, fetched))
            except RecordError as error:
                batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
                whole = False
                continue
            context.judgement.seen.add(name)
            # A page of which every entry was refused is no end: what is older stands behind it.
            if not shown:
                return whole
            if oldest is not None and oldest < until:
                return whole
        return False

    def _page(self, context: CollectContext, number: int) -> Fetched | None:
        parameters = {
            "action": "getcurrent",
            "owner": "include",
            "count": str(_COUNT),
            "start": str(number * _COUNT),
            "output": "atom",
        }
        fetched = context.transport.get(EDGAR_WWW, _PATH, parameters)
        context.upstream_answered()
        return fetched

    def _url(self, context: CollectContext, number: int) -> str:
        return f"{context.transport.public_url(EDGAR_WWW, _PATH)}?action=getcurrent&start={number * _COUNT}"

    # --- roles ------------------------------------------------------------------------------------------------------

    def _roles(
        self,
        context: CollectContext,
        filings: dict[str, list[tuple[CurrentEntry, Fetched]]],
        followed: set[str],
    ) -> Iterator[RawRecord]:
        wanted = {
            accession: entries
            for accession, entries in filings.items()
            if entries[0][0].form in ROLE_FORMS and any(entry.party.cik in followed for entry, _ in entries)
        }
        # What is held already came from the header, or will be replaced by what the header says.
        held = feeds.held_keys(context.warehouse, ROLE, wanted)
        context.counts["roles_found"] += len(wanted)
        context.counts["roles_known"] += len(held)
        for accession in sorted(wanted.keys() - held):
            entries = [entry for entry, _ in wanted[accession]]
            try:
                yield from self._role(context, entries, wanted[accession][0][1])
            except UpstreamError as error:
                context.upstream_failed(error)
            except RecordError:
                # Of an unreadable header `edgar/roles` keeps the reason; of half a filing the feed shows the rest.
                context.counts["roles_not_read_yet"] += 1

    def _role(self, context: CollectContext, entries: Sequence[CurrentEntry], page: Fetched) -> list[RawRecord]:
        first = entries[0]
        fetched = get_submission_body(context, first.party.cik, first.accession)
        if fetched is not None:
            context.counts["roles_from_header"] += 1
            return role_records(context, fetched, first.accession, first.accepted_at)
        payloads = entry_role_payloads(entries)
        context.counts["roles_from_feed"] += 1
        return [
            context.record(
                page,
                source_type=ROLE,
                entity_id=cik,
                natural_key=first.accession,
                form=first.form,
                event_time=first.accepted_at,
                payload=payload,
            )
            for cik, payload in payloads
        ]


def _announcement(context: CollectContext, entry: CurrentEntry, fetched: Fetched) -> RawRecord:
    return context.record(
        fetched,
        source_type=SOURCE,
        entity_id=entry.party.cik,
        natural_key=f"{entry.accession}/{entry.party.role}",
        form=entry.form,
        event_time=entry.accepted_at,
        payload={
            "accession": entry.accession,
            "form": entry.form,
            "role": entry.party.role,
            "cik": entry.party.cik,
            "name": entry.party.name,
            "accepted_at": entry.accepted_at.isoformat(),
            "filing_date": entry.filed.isoformat(),
        },
    )


def _read_back_to(window: Window, last: datetime | None, now: datetime) -> datetime:
    """Return the oldest stamp that an entry not seen by a reading at `last` may have; None is: never read.

    What is accepted after 17:30 comes into the feed at the next opening, below entries of the evening that it shows
    already: a reading across an opening goes back to the cut-off before it.
    """
    start = datetime.combine(window.start, time(0), tzinfo=now.tzinfo)
    if last is None:
        return start
    since = last - _DELAY
    day = new_york(since).date()
    while day <= new_york(now).date():
        opening = datetime.combine(day, _OPENING, tzinfo=NEW_YORK)
        if is_edgar_business_day(day) and since < opening <= now:
            before = day - timedelta(days=1)
            while not is_edgar_business_day(before):
                before -= timedelta(days=1)
            return max(start, min(since, datetime.combine(before, _CUTOFF, tzinfo=NEW_YORK)))
        day += timedelta(days=1)
    return max(start, since)
