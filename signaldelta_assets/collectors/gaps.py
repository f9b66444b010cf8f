"""Completeness: what EDGAR announced against what is here, and fetching exactly what is missing.

`reconcile` is pure; `find_gaps` reads what it needs, `backfill_gaps` runs the collectors for what is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from signaldelta_assets.settings import Settings
from signaldelta_assets.timeline import is_edgar_business_day
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import completeness

from .base import Collector, Window, registered_collectors
from .edgar.daily_index import DailyIndexCollector, grown_at, index_path
from .edgar.filings import archive_path
from .edgar.submissions import SubmissionsCollector, submissions_path
from .runner import CollectionFailedError, CollectorRunReport, run_collector
from .transport import UpstreamError
from .universe import UniverseEntity

INDEX, LISTS = DailyIndexCollector.name, SubmissionsCollector.name
_ARCHIVES, _DATA = "https://www.sec.gov", "https://data.sec.gov"

# What a gap can be. The open ones are for us to close; the others say what the upstream itself does not have.
NOT_LISTED = "not_listed"  # in the daily index, not in the entity's submissions list
DOCUMENT_MISSING = "document_missing"  # announced, and neither held nor refused nor known to be absent
QUARANTINED = "quarantined"  # announced, and refused
INDEX_UNREAD = "index_unread"  # a business day whose index was not read since EDGAR closed: what is in it is not known
DOCUMENT_ABSENT = "document_absent"  # announced, and the upstream has no such document
LIST_ABSENT = "list_absent"  # in the daily index, of an entity of which the upstream has no submissions list
INDEX_ABSENT = "index_absent"  # the upstream has no index of that business day
NOT_ANNOUNCED = "not_announced"  # in a submissions list, and in no index though that of its day was read
OPEN = (DOCUMENT_MISSING, INDEX_UNREAD, NOT_LISTED, QUARANTINED)
KINDS = (*OPEN, DOCUMENT_ABSENT, LIST_ABSENT, INDEX_ABSENT, NOT_ANNOUNCED)


@dataclass(frozen=True, slots=True)
class Announced:
    """A filing of an entity as EDGAR announced it.

    `day` is the index's, without one the filing date. `indexed`: a daily index lists it; `listed`: the submissions
    list of the entity does.
    """

    accession: str
    form: str
    entity_id: str
    day: date
    filed: date
    indexed: bool
    listed: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """Something announced that is not here: its kind, its day, and which collector it is a matter of.

    `accession`, `form`, `entity_id` and `filed` are None where the gap is a whole index.
    """

    kind: str
    day: date
    collector: str
    accession: str | None = None
    form: str | None = None
    entity_id: str | None = None
    filed: date | None = None
    detail: str | None = None

    @property
    def open(self) -> bool:
        """Whether it is for us to close."""
        return self.kind in OPEN


def reconcile(
    announced: Iterable[Announced],
    takers: Mapping[str, Sequence[str]],
    held: Mapping[str, Collection[str]],
    refused: Mapping[str, Mapping[str, str]],
    absent: Collection[str],
    unlisted: Collection[str],
    indexes: Mapping[date, bool | None],
) -> list[Gap]:
    """Return the gaps, by day, kind, collector, accession and entity.

    `takers`: the collectors that hold every filing of a form, by form; `held`: accessions by collector; `refused`: by
    collector the accessions that stand refused, with the reason; `absent`: accessions the upstream has no document
    of; `unlisted`: entities it has no submissions list of; `indexes`: the business days, True for an index read, False
    for one the upstream does not have, None for one not asked for since it grew no more. A document is one gap, whoever
    it is announced for; a list has a gap per entity.
    """
    gaps = {
        Gap(INDEX_UNREAD if state is None else INDEX_ABSENT, day, INDEX)
        for day, state in indexes.items()
        if state is not True
    }
    documents: dict[tuple[str, str], Gap] = {}
    for one in announced:
        about = (one.accession, one.form, one.entity_id, one.filed)
        if one.indexed and not one.listed:
            reason = refused.get(LISTS, {}).get(one.accession)
            kind = QUARANTINED if reason else LIST_ABSENT if one.entity_id in unlisted else NOT_LISTED
            gaps.add(Gap(kind, one.day, LISTS, *about, detail=reason))
        if one.listed and not one.indexed and indexes.get(one.filed):
            gaps.add(Gap(NOT_ANNOUNCED, one.day, INDEX, *about))
        for collector in takers.get(one.form, ()):
            if one.accession in held.get(collector, ()):
                continue
            reason = refused.get(collector, {}).get(one.accession)
            kind = QUARANTINED if reason else DOCUMENT_ABSENT if one.accession in absent else DOCUMENT_MISSING
            gap = Gap(kind, one.day, collector, *about, detail=reason)
            known = documents.setdefault((collector, one.accession), gap)
            if _order(gap) < _order(known):
                documents[collector, one.accession] = gap
    return sorted(gaps.union(documents.values()), key=_order)


def _order(gap: Gap) -> tuple[Any, ...]:
    return (gap.day, gap.kind, gap.collector, gap.accession or "", gap.entity_id or "", gap.form or "")


def takers_of_forms(collectors: Mapping[str, Collector]) -> dict[str, list[str]]:
    """Return which collectors hold every filing of a form, by form."""
    found: dict[str, list[str]] = {}
    for name, collector in collectors.items():
        for form in collector.forms:
            found.setdefault(form, []).append(name)
    return found


def find_gaps(warehouse: Warehouse, window: Window, collectors: Collection[str] | None = None) -> list[Gap]:
    """Return the gaps of what was announced on the days of `window`, of these collectors or of all."""
    registered = registered_collectors()
    takers = takers_of_forms(registered)
    announced = list(_announced(warehouse, window))
    accessions = {one.accession for one in announced if one.form in takers}
    sources = {name: registered[name].source_types[0] for names in takers.values() for name in names}
    by_source = completeness.held_documents(warehouse, sorted(set(sources.values())), accessions)
    gaps = reconcile(
        announced,
        takers,
        {name: by_source[source] for name, source in sources.items()},
        completeness.refused_filings(warehouse),
        _absent(warehouse, announced),
        _unlisted(warehouse, announced),
        _indexes(warehouse, window),
    )
    return [gap for gap in gaps if collectors is None or gap.collector in collectors]


def _announced(warehouse: Warehouse, window: Window) -> Iterator[Announced]:
    indexed = completeness.announced_by_index(warehouse, window.start, window.end)
    listed = completeness.listed_filings(
        warehouse, (row["entity_id"] for row in indexed), (row["accession"] for row in indexed)
    )
    for row in indexed:
        known = (row["entity_id"], row["accession"]) in listed
        yield Announced(
            row["accession"], row["form"], row["entity_id"], row["partition_date"], row["filed"], True, known
        )
    for row in completeness.announced_by_lists(warehouse, window.start, window.end):
        if not row["indexed"]:
            yield Announced(row["accession"], row["form"], row["entity_id"], row["filed"], row["filed"], False, True)


def _absent(warehouse: Warehouse, announced: Sequence[Announced]) -> frozenset[str]:
    """Return the accessions of which the upstream had no submission text under any party it was asked under."""
    urls = {
        _ARCHIVES + archive_path(one.entity_id, one.accession, f"{one.accession}.txt"): one.accession
        for one in announced
        if one.entity_id.isdigit()
    }
    answers = _answers(warehouse, urls)
    there = {urls[url] for url, has in answers.items() if has}
    return frozenset(urls[url] for url, has in answers.items() if not has) - there


def _unlisted(warehouse: Warehouse, announced: Sequence[Announced]) -> frozenset[str]:
    """Return the entities of which the upstream had no submissions list when last asked."""
    urls = {_DATA + submissions_path(one.entity_id): one.entity_id for one in announced}
    return frozenset(urls[url] for url, has in _answers(warehouse, urls).items() if not has)


def _indexes(warehouse: Warehouse, window: Window) -> dict[date, bool | None]:
    days = [day for day in window.days() if is_edgar_business_day(day)]
    urls = {_ARCHIVES + index_path(day): day for day in days}
    answers = _answers(warehouse, urls, {url: grown_at(day) for url, day in urls.items()})
    return {day: answers.get(url) for url, day in urls.items()}


def _answers(
    warehouse: Warehouse, urls: Collection[str], since: Mapping[str, datetime] | None = None
) -> dict[str, bool]:
    """Return which URLs have been answered (`since`: from that moment on), and whether with a document."""
    return completeness.asked_urls(warehouse, list(urls), since) if urls else {}


def counts_by_day(gaps: Iterable[Gap]) -> dict[tuple[date, str, str], int]:
    """Return how many gaps there are by (day, collector, kind), in that order."""
    return dict(sorted(Counter((gap.day, gap.collector, gap.kind) for gap in gaps).items()))


def wanted_window(gaps: Collection[Gap]) -> Window:
    """Return the days that the acceptance of these filings can lie on.

    Around the filing date, and up to the day of the index: what is released late bears the date of its letter and is
    accepted weeks after it.
    """
    days = [day for gap in gaps for day in (gap.filed, gap.day) if day is not None]
    before, after = timedelta(days=completeness.DAYS_BEFORE), timedelta(days=completeness.DAYS_AFTER)
    return Window(min(days) - before, max(days) + after)


def day_ranges(days: Iterable[date]) -> list[Window]:
    """Return days as windows of consecutive business days: what lies between two of them is no day of an index."""
    ranges: list[Window] = []
    for day in sorted(set(days)):
        between = [] if not ranges else list(Window(ranges[-1].end, day).days())[1:-1]
        if ranges and not any(is_edgar_business_day(one) for one in between):
            ranges[-1] = Window(ranges[-1].start, day)
        else:
            ranges.append(Window(day, day))
    return ranges


@dataclass(frozen=True, slots=True)
class Backfill:
    """What a backfill of gaps found, ran and left. `errors` name the runs that could not be finished."""

    before: list[Gap]
    after: list[Gap]
    reports: list[CollectorRunReport]
    errors: list[str]


Run = Callable[..., CollectorRunReport]


def backfill_gaps(
    warehouse: Warehouse,
    archive: ArtifactStore,
    settings: Settings,
    window: Window,
    universe: tuple[UniverseEntity, ...],
    collectors: Collection[str] | None = None,
    *,
    again: bool = False,
    dagster_run_id: str | None = None,
    run: Run = run_collector,
) -> Backfill:
    """Fetch what is missing of what was announced on the days of `window`, and nothing else; say what is left.

    First the indexes not read, then the lists of the entities that lack a filing, then single documents. Refused
    documents are read once more, by the parsers there are now; `again` asks the upstream at once for those, and for
    what it did not have.
    """
    registered = registered_collectors()
    reports: list[CollectorRunReport] = []
    errors: list[str] = []

    def go(name: str, days: Window, **more: Any) -> None:
        try:
            reports.append(
                run(registered[name], warehouse, archive, settings, days, dagster_run_id, again=again,
                    **({"universe": universe} | more))
            )  # fmt: skip
        except CollectionFailedError as failed:
            reports.append(failed.report)
            errors.append(str(failed))
        except UpstreamError as failed:
            # One upstream that is down must not keep the others' documents away, nor what was fetched from being told.
            errors.append(f"{name}: {failed}")

    def find() -> list[Gap]:
        return find_gaps(warehouse, window, collectors)

    before = gaps = find()
    unread = [gap.day for gap in gaps if gap.kind == INDEX_UNREAD or (again and gap.kind == INDEX_ABSENT)]
    for days in day_ranges(unread):
        go(INDEX, days)
    gaps = find() if unread else gaps
    kinds = (NOT_LISTED, QUARANTINED, *((LIST_ABSENT,) if again else ()))
    unlisted = [gap for gap in gaps if gap.collector == LISTS and gap.kind in kinds]
    if unlisted:
        entities = {gap.entity_id for gap in unlisted}
        own = tuple(entity for entity in universe if entity.entity_id in entities)
        go(LISTS, wanted_window(unlisted), universe=own)
        gaps = find()
    for name in registered:
        kinds = (DOCUMENT_MISSING, QUARANTINED, *((DOCUMENT_ABSENT,) if again else ()))
        wanted = [gap for gap in gaps if gap.collector == name and name not in (LISTS, INDEX) and gap.kind in kinds]
        if wanted:
            go(name, wanted_window(wanted), only={str(gap.accession) for gap in wanted})
    return Backfill(before, find(), reports, errors)
