"""Collects `polygon/tickers`: the dated tickers of the universe's issuers, those delisted included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from signaldelta_assets.contracts import Security
from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import NEW_YORK
from signaldelta_assets.warehouse.stores import reference
from signaldelta_assets.warehouse.stores.reference import Identifier, SecurityRow

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
from .lines import Line, TickerSpell, line, primary_line, reference_object, shares, spells, ticker_changes
from .paging import pages

SOURCE = "ticker_reference"
_PATH = "/v3/reference/tickers"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Fact:
    """Something that happened to a line on a day: listed, ticker_change, delisted (from the day after its last)."""

    kind: str
    day: date
    ticker: str
    previous: str | None
    said_by: Fetched


@register_collector
class TickersCollector(Collector):
    """`/v3/reference/tickers` as of the window's last day by CIK, with each line's history of tickers.

    A record is a fact of one day: a line was listed, changed its ticker, or was delisted. It acts from the midnight of
    New York that starts that day, a delisting from the one after the last day of trading. The security master gets
    all spells known by the window's last day.
    """

    name = "polygon/tickers"
    source_types = (SOURCE,)
    schema_version = "ticker_reference/1"
    schedule = Schedule("0 6 * * 1-5")
    upstream = POLYGON
    modules = (
        "signaldelta_assets.collectors.polygon.lines",
        "signaldelta_assets.collectors.polygon.fields",
        "signaldelta_assets.collectors.polygon.parsers",
        "signaldelta_assets.collectors.polygon.paging",
        "signaldelta_assets.collectors.reading",
    )
    after = ("edgar/submissions",)

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per entity."""
        known = reference.read_securities(context.warehouse, [entity.entity_id for entity in context.universe])
        for done, entity in enumerate(context.universe, 1):
            batch = Batch(done=done, total=len(context.universe), text=f"{entity.cik} {entity.name}".strip())
            try:
                self._entity(context, window, entity, known.get(entity.entity_id), batch)
            except UpstreamError as error:
                context.upstream_failed(error)
            yield batch

    def _entity(
        self, context: CollectContext, window: Window, entity: UniverseEntity, known: Security | None, batch: Batch
    ) -> None:
        rows = self._list(context, window, entity, batch)
        found: list[tuple[Line, Sequence[TickerSpell]]] = []
        for of in shares(rows, context.counts):
            try:
                own, said_by = self._history(context, window.end, of, rows[of])
            except RecordError as error:
                refused = error.fetched if isinstance(error, DocumentRecordError) else rows[of]
                batch.quarantined.append(context.refuse(error, SOURCE, refused, refused.url))
                continue
            found.append((of, own))
            for fact in _facts(of, own, said_by, rows[of]):
                if fact.day in window:
                    self._record(context, entity, of, fact, batch)
        if not found:
            context.counts["entities_without_line"] += 1
            return
        preferred = [*entity.tickers, known.primary_ticker if known is not None else None]
        batch.securities.append(_security(entity, known, found, primary_line(found, preferred), window.end))

    def _list(
        self, context: CollectContext, window: Window, entity: UniverseEntity, batch: Batch
    ) -> dict[Line, Fetched]:
        """Return the rows of both lists that are this issuer's, with the document of each."""
        rows: dict[Line, Fetched] = {}
        for active in ("true", "false"):
            params = {"cik": entity.cik, "market": "stocks", "active": active, "date": window.end.isoformat()}
            try:
                for fetched, page in pages(context, _PATH, {**params, "sort": "ticker", "limit": "1000"}):
                    for number, row in enumerate(page.rows):
                        try:
                            read = line(row, f"tickers:{entity.cik}:{active}:{number}")
                        except RecordError as error:
                            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
                            continue
                        if read.cik == entity.cik:
                            rows.setdefault(read, fetched)
                        else:
                            context.counts["other_cik"] += 1
            except RecordError as error:
                url = context.transport.public_url(POLYGON, _PATH)
                batch.quarantined.append(context.refuse(error, SOURCE, None, url))
        return rows

    def _history(
        self, context: CollectContext, day: date, of: Line, listed_by: Fetched
    ) -> tuple[list[TickerSpell], Fetched]:
        """Return a line's spells and the document that gives their days."""
        record = f"events:{of.composite_figi or of.ticker}"
        if of.composite_figi is None:
            # By ticker the vendor tells of whoever has it today.
            context.counts["line_without_figi"] += 1
            return spells(of, (), day, record), listed_by
        path = f"/vX/reference/tickers/{of.composite_figi}/events"
        fetched = context.transport.get(POLYGON, path, {"types": "ticker_change"})
        context.upstream_answered()
        if fetched is None:
            context.counts["line_without_history"] += 1
            return spells(of, (), day, record), listed_by
        try:
            changes = ticker_changes(reference_object(fetched.body, record), record)
        except RecordError as error:
            raise DocumentRecordError(error, fetched) from error
        # Where history and list contradict each other, it is the list that is refused.
        return spells(of, changes, day, record), fetched

    def _record(self, context: CollectContext, entity: UniverseEntity, of: Line, fact: _Fact, batch: Batch) -> None:
        """Add the record of a fact, with name, type and exchange as they were on its day, whichever day is asked."""
        shown = fact.day if fact.kind != "delisted" else fact.day - _DAY
        fetched = context.transport.get(POLYGON, f"{_PATH}/{fact.ticker}", {"date": shown.isoformat()})
        context.upstream_answered()
        then: Line | None = None
        if fetched is None:
            context.counts["details_absent"] += 1
        else:
            record = f"details:{fact.ticker}:{shown}"
            try:
                then = line(reference_object(fetched.body, record), record)
                if then.composite_figi != of.composite_figi:
                    raise RecordError(record, "composite_figi", str(of.composite_figi), then.composite_figi)
            except RecordError as error:
                then = None
                batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url, fact.day))
        payload = {
            "fact": fact.kind,
            "date": fact.day.isoformat(),
            "ticker": fact.ticker,
            "previous_ticker": fact.previous,
            "cik": entity.cik,
            "composite_figi": of.composite_figi,
            "share_class_figi": of.share_class_figi,
            "name": then.name if then else None,
            "type": then.kind if then else None,
            "primary_exchange": then.exchange if then else None,
        }
        batch.records.append(
            context.record(
                fact.said_by,
                source_type=SOURCE,
                entity_id=entity.entity_id,
                natural_key=f"{of.share_class or of.ticker}|{fact.kind}|{fact.day}",
                event_time=datetime.combine(fact.day, time(0), NEW_YORK),
                payload=payload,
            )
        )


def _facts(of: Line, own: Sequence[TickerSpell], said_by: Fetched, listed_by: Fetched) -> Iterator[_Fact]:
    for spell in own:
        if spell.valid_from is not None:
            kind = "listed" if spell.previous is None else "ticker_change"
            yield _Fact(kind, spell.valid_from, spell.ticker, spell.previous, said_by)
    if of.delisted is not None:
        yield _Fact("delisted", of.delisted + _DAY, own[-1].ticker, None, listed_by)


def _security(
    entity: UniverseEntity,
    known: Security | None,
    found: Sequence[tuple[Line, Sequence[TickerSpell]]],
    primary: int | None,
    as_of: date,
) -> SecurityRow:
    identifiers: list[Identifier] = []
    for place, (of, own) in enumerate(found):
        marks: Mapping[str, Any] = {"share_class": of.share_class, "primary": place == primary}
        first, last = own[0].valid_from, own[-1].valid_to
        spans = [("ticker", spell.ticker, spell.valid_from, spell.valid_to) for spell in own]
        spans += [
            ("figi", of.composite_figi or "", first, last),
            ("share_class_figi", of.share_class_figi or "", first, last),
        ]
        # The exchange is that of the day asked for; since when it is, the vendor does not say.
        spans.append(("exchange", of.exchange or "", None, last))
        identifiers += [
            Identifier(kind, value, TickersCollector.name, since, until, **marks)
            for kind, value, since, until in spans
            if value
        ]
    starts = [own[0].valid_from for _, own in found]
    ends = [of.delisted for of, _ in found]
    return SecurityRow(
        entity_id=entity.entity_id,
        asset_class="equity",
        name=known.name if known is not None else entity.name or found[0][0].name or f"CIK {entity.cik}",
        cik=entity.cik,
        identifiers=tuple(identifiers),
        as_of=as_of,
        listed_on=min((day for day in starts if day is not None), default=None) if None not in starts else None,
        delisted_on=max(day for day in ends if day is not None) if None not in ends else None,
    )
