"""Collects `edgar/companyfacts`: one `xbrl_facts` record per accession, out of the company's one document.

Facts carry a filing date only; the acceptance is the filing index's, and decides day and availability. The document
is the latest state of the whole company: a record holds what its own accession said (`parsers.companyfacts`), so it
is the same whether it was read on the day or years later. Of an entity that has no filing index at all the records
have no event_time and stand on the day of filing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from signaldelta_assets.errors import RecordError
from signaldelta_assets.warehouse.stores import collection

from ..base import EDGAR, EDGAR_DATA, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import Fetched, UpstreamError
from ..universe import UniverseEntity
from .parsers import CompanyFacts, company_facts_payload, parse_company_facts

SOURCE = "xbrl_facts"


@register_collector
class CompanyFactsCollector(Collector):
    """XBRL facts of the universe's filings. Only companies that filed some in the window are asked for."""

    name = "edgar/companyfacts"
    source_types = (SOURCE,)
    schema_version = "xbrl_facts/1"
    schedule = Schedule("20,50 6-22 * * 1-5")
    upstream = EDGAR
    modules = (
        "signaldelta_assets.collectors.edgar.parsers.companyfacts",
        "signaldelta_assets.collectors.edgar.parsers.values",
        "signaldelta_assets.collectors.reading",
    )
    after = ("edgar/submissions",)

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per entity."""
        entities = [entity.entity_id for entity in context.universe]
        expected: dict[str, set[str]] = {}
        for row in collection.reporting_filings(context.warehouse, entities, window.start, window.end):
            expected.setdefault(row["entity_id"], set()).add(row["accession"])
        indexed = collection.indexed_entities(context.warehouse, entities)
        for done, entity in enumerate(context.universe, 1):
            batch = Batch(done=done, total=len(context.universe), text=f"{entity.cik} {entity.name}".strip())
            own = expected.get(entity.entity_id, set())
            if own or entity.entity_id not in indexed:
                try:
                    self._entity(context, window, entity, own if entity.entity_id in indexed else None, batch)
                except UpstreamError as error:
                    context.upstream_failed(error)
            yield batch

    def _entity(
        self,
        context: CollectContext,
        window: Window,
        entity: UniverseEntity,
        expected: set[str] | None,
        batch: Batch,
    ) -> None:
        """Put the facts of the window's filings into the batch.

        `expected` are those that should have some; None stands for an entity without filing index.
        """
        fetched = context.transport.get(EDGAR_DATA, f"/api/xbrl/companyfacts/CIK{entity.cik}.json")
        context.upstream_answered()
        if fetched is None:
            context.counts["companyfacts_absent"] += 1
            return
        try:
            facts = parse_company_facts(fetched.body, f"CIK{entity.cik}.json")
            if facts.cik != entity.cik:
                raise RecordError(f"CIK{entity.cik}.json", "cik", entity.cik, facts.cik)
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
            return
        bad = dict(facts.bad)
        index = None
        if expected is not None:
            # A filing can have facts though the index does not mark it, so all of them are looked up.
            index = collection.indexed_filings(context.warehouse, entity.entity_id, {*facts.filings, *bad})
            # Filed today and not among the facts yet, or without any (an exhibit that repeats a statement).
            context.counts["filings_without_facts"] += len(expected - facts.filings.keys() - bad.keys())
        self._records(context, window, entity, facts, index, fetched, batch)
        for accession, wrong in bad.items():
            row = (index or {}).get(accession)
            day = None if row is None else row["partition_date"]
            if day is None or day in window:
                batch.quarantined.append(context.refuse(wrong, SOURCE, fetched, fetched.url, day))

    def _records(
        self,
        context: CollectContext,
        window: Window,
        entity: UniverseEntity,
        facts: CompanyFacts,
        index: Mapping[str, Mapping[str, Any]] | None,
        fetched: Fetched,
        batch: Batch,
    ) -> None:
        for accession, filing in facts.filings.items():
            filed = date.fromisoformat(filing.filed)
            row = (index or {}).get(accession)
            if row is not None:
                if row["partition_date"] not in window:
                    continue
                form, accepted = row["form"], row["event_time"]
            elif filed not in window:
                continue
            elif index is None:
                context.counts["acceptance_unknown"] += 1
                form, accepted = filing.form, None
            else:
                # Its time is not known, and the index may get it yet: then a later run of the day has it.
                context.counts["filings_not_indexed"] += 1
                continue
            text = None if accepted is None else accepted.isoformat()
            batch.records.append(
                context.record(
                    fetched,
                    source_type=SOURCE,
                    entity_id=entity.entity_id,
                    natural_key=accession,
                    form=form,
                    event_time=accepted,
                    fallback_date=filed,
                    payload=company_facts_payload(entity.cik, filing, form, text),
                )
            )
