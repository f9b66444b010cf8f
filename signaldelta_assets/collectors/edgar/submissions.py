"""Collects `edgar/submissions`: one `filing_index` record per filing of an entity, and the entity's names and tickers.

Which clock a file's acceptance times are on is decided per file and stored with its grounds; where the file alone
does not tell, the headers of some of its filings are fetched. What stays undecided is quarantined, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import cached_property
from typing import Any

import pandas as pd

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import (
    NEW_YORK,
    ClockDecision,
    acceptance_times,
    decide_clock,
    header_acceptance_to_utc,
)
from signaldelta_assets.versioning import code_version
from signaldelta_assets.warehouse.stores.collection import ClockRow
from signaldelta_assets.warehouse.stores.reference import Identifier, SecurityRow

from ..base import EDGAR, EDGAR_DATA, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import Fetched, UpstreamError
from ..universe import UniverseEntity
from .filings import get_submission
from .parsers import SubmissionsFile, parse_main, parse_page

SOURCE = "filing_index"
# How many lists are looked up at a time.
_AHEAD = 200
# Filing dates lie up to this many days around the UTC day of acceptance: evening filings get the next business day.
_DAYS_BEFORE, _DAYS_AFTER = 1, 6
# How many headers are fetched where a file does not tell its clock, and among how many of its newest filings.
_HEADERS, _NEWEST = 3, 200


@register_collector
class SubmissionsCollector(Collector):
    """The submissions API: main file of every entity, and older pages where the window reaches into them."""

    name = "edgar/submissions"
    source_types = (SOURCE,)
    schema_version = "filing_index/1"
    schedule = Schedule("*/30 6-22 * * 1-5")
    upstream = EDGAR
    modules = (
        "signaldelta_assets.collectors.edgar.parsers.submissions",
        "signaldelta_assets.collectors.edgar.parsers.values",
        "signaldelta_assets.collectors.reading",
        "signaldelta_assets.timeline.clock",
        "signaldelta_assets.timeline.edgar",
    )

    @cached_property
    def decider_version(self) -> str:
        """The version of the clock decision, kept with every decision."""
        return code_version(["signaldelta_assets.timeline.clock", "signaldelta_assets.timeline.edgar"])

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per entity."""
        for done, entity in enumerate(context.universe, 1):
            if done % _AHEAD == 1:
                ahead = context.universe[done - 1 : done - 1 + _AHEAD]
                context.transport.expect(EDGAR_DATA, [submissions_path(one.cik) for one in ahead])
            batch = Batch(done=done, total=len(context.universe), text=f"{entity.cik} {entity.name}".strip())
            try:
                self._entity(context, window, entity, batch)
            except UpstreamError as error:
                context.upstream_failed(error)
            yield batch

    def _entity(self, context: CollectContext, window: Window, entity: UniverseEntity, batch: Batch) -> None:
        fetched = context.transport.get(EDGAR_DATA, submissions_path(entity.cik), remember_absence=True)
        context.upstream_answered()
        if fetched is None:
            context.counts["submissions_absent"] += 1
            batch.securities.append(_from_universe(entity))
            return
        try:
            main = parse_main(fetched.body, f"CIK{entity.cik}.json")
            if main.cik != entity.cik:
                raise RecordError(f"CIK{entity.cik}.json", "cik", entity.cik, main.cik)
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
            return
        batch.securities.append(_security(main, entity))
        seen: set[str] = set()
        self._rows(context, window, entity, fetched, main.rows, main.bad_rows, seen, batch)
        around = window.widened(_DAYS_BEFORE, _DAYS_AFTER)
        for page in main.pages:
            if page.first <= around.end and page.last >= around.start:
                self._page(context, window, entity, page.name, seen, batch)

    def _page(
        self, context: CollectContext, window: Window, entity: UniverseEntity, name: str, seen: set[str], batch: Batch
    ) -> None:
        fetched = context.transport.get(EDGAR_DATA, f"/submissions/{name}")
        if fetched is None:
            url = context.transport.public_url(EDGAR_DATA, f"/submissions/{name}")
            error = RecordError(name, "page", "the page that the main file lists", "404")
            batch.quarantined.append(context.refuse(error, SOURCE, None, url))
            return
        try:
            rows, bad = parse_page(fetched.body, name)
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
            return
        self._rows(context, window, entity, fetched, rows, bad, seen, batch)

    def _rows(
        self,
        context: CollectContext,
        window: Window,
        entity: UniverseEntity,
        fetched: Fetched,
        rows: pd.DataFrame,
        bad: tuple[RecordError, ...],
        seen: set[str],
        batch: Batch,
    ) -> None:
        batch.quarantined += [context.refuse(error, SOURCE, fetched, fetched.url) for error in bad]
        if rows.empty:
            return
        rows = self._dated(context, fetched, rows, batch)
        if rows.empty:
            return
        filed = pd.to_datetime(rows["filing_date"], format="%Y-%m-%d")
        clock_rows = rows[["accession", "form", "accepted_raw"]].assign(filing_date=filed)
        # By the filing date, and by the stamp on whichever clock: what is released late (letters of the staff, annual
        # reports on paper) is accepted long after the date it bears, and belongs to the day of its acceptance.
        near = filed.between(*_bounds(window.widened(_DAYS_BEFORE, _DAYS_AFTER)))
        near |= rows["accepted_raw"].between(*_bounds(window.widened(1, 2)))
        settled = "-submissions-" in fetched.url
        decision = decide_clock(clock_rows, observed_time=fetched.observed_time, settled=settled)
        headers: dict[str, datetime] = {}
        if (decision.doubtful & near).any():
            # The filings asked for depend on the file alone, never on the window: days together are the range.
            headers = self._headers(context, entity, _telling(rows, filed, decision))
            if headers:
                decision = decide_clock(clock_rows, headers, observed_time=fetched.observed_time, settled=settled)
        batch.clocks.append(
            ClockRow(
                fetched.body_hash,
                self.decider_version,
                entity.entity_id,
                decision.clock,
                {"reason": decision.reason, "header_accessions": sorted(headers), **decision.grounds},
                fetched.url,
            )
        )
        chosen = _timed(clock_rows[near], decision, headers)
        for at, accepted, clock, precision in chosen:
            row: Mapping[str, Any] = rows.loc[at]
            day = filed[at].date() if accepted is None else accepted.date()
            if day not in window:
                continue
            if row["accession"] in seen:
                context.counts["rows_repeated"] += 1
                continue
            seen.add(row["accession"])
            if accepted is None:
                expected = "a time on a clock that the file or its filings' headers tell"
                found = f"{row['accepted_text']} ({decision.clock}: {decision.reason})"
                error = RecordError(f"{entity.cik}:{row['accession']}", "acceptanceDateTime", expected, found)
                batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url, day))
                continue
            batch.records.append(
                context.record(
                    fetched,
                    source_type=SOURCE,
                    entity_id=entity.entity_id,
                    natural_key=row["accession"],
                    form=row["form"],
                    event_time=accepted,
                    payload=_payload(entity.cik, row, accepted, clock, precision),
                )
            )

    def _dated(self, context: CollectContext, fetched: Fetched, rows: pd.DataFrame, batch: Batch) -> pd.DataFrame:
        """Return the rows without those of filings that were still to come when the list was received: refused."""
        received = pd.Timestamp(fetched.observed_time).tz_localize(None)
        filed = pd.to_datetime(rows["filing_date"], format="%Y-%m-%d")
        # On whichever clock the stamps are; an evening's filing bears the date of the next business day.
        ahead = (rows["accepted_raw"] > received) | (filed > received + pd.Timedelta(days=_DAYS_AFTER))
        for at in rows.index[ahead]:
            row = rows.loc[at]
            name = f"{fetched.url.rsplit('/', 1)[-1]}:{row['accession']}"
            found = f"{row['accepted_text']}, filed {row['filing_date']}"
            error = RecordError(name, "acceptanceDateTime", f"a moment before {received.isoformat()}", found)
            batch.quarantined.append(context.refuse(error, SOURCE, fetched, fetched.url))
        return rows[~ahead].reset_index(drop=True)

    def _headers(self, context: CollectContext, entity: UniverseEntity, accessions: list[str]) -> dict[str, datetime]:
        """Return the Eastern acceptance times that the submission headers of these filings give."""
        found: dict[str, datetime] = {}
        for accession in accessions:
            try:
                document = get_submission(context, entity.cik, accession)
            except RecordError:
                # Its own collector quarantines it; here it is merely no evidence.
                context.counts["headers_unreadable"] += 1
                continue
            if document is not None and document[1].accepted_at is not None:
                found[accession] = document[1].accepted_at.astimezone(NEW_YORK).replace(tzinfo=None)
        return found


def submissions_path(cik: str) -> str:
    """Return the path of an entity's main submissions file under EDGAR's data host."""
    return f"/submissions/CIK{cik}.json"


def _telling(rows: pd.DataFrame, filed: pd.Series[Any], decision: ClockDecision) -> list[str]:
    """Return the filings whose headers would tell most, a few of them.

    Of a decided file the newest doubtful ones: a header that fits proves everything before it. Of an undecided file
    the smallest among the newest: any of them would do.
    """
    newest = rows.assign(filed=filed)[decision.doubtful].sort_values(["filed", "accession"], ascending=False)
    if decision.clock == "undecided":
        newest = newest.head(_NEWEST)
        sizes = pd.to_numeric(newest["size"], errors="coerce").fillna(0)
        newest = newest.assign(size=sizes).sort_values(["size", "accession"])
    return [str(accession) for accession in newest["accession"].head(_HEADERS)]


def _bounds(window: Window) -> tuple[pd.Timestamp, pd.Timestamp]:
    return pd.Timestamp(window.start), pd.Timestamp(window.end)


def _timed(
    rows: pd.DataFrame, decision: ClockDecision, headers: Mapping[str, datetime]
) -> Iterator[tuple[Any, datetime | None, str, str]]:
    """Yield (index, acceptance in UTC or None, clock, precision) per row: the header's time where it is known."""
    decided = decision.clock != "undecided" and len(rows) > 0
    times: Any = acceptance_times(rows, decision.clock) if decided else None
    for at in rows.index:
        header = headers.get(str(rows.at[at, "accession"]))
        if header is not None and decision.doubtful[at]:
            # As for every header: an hour that the clocks show twice, or skip, is the later instant.
            yield at, header_acceptance_to_utc(f"{header:%Y%m%d%H%M%S}"), "header", "second"
        elif times is None or decision.doubtful[at]:
            yield at, None, decision.clock, "second"
        else:
            accepted = times.at[at, "accepted_at"].to_pydatetime()
            yield at, accepted, decision.clock, times.at[at, "time_precision"]


def _payload(cik: str, row: Mapping[str, Any], accepted: datetime, clock: str, precision: str) -> dict[str, Any]:
    return {
        "accession": row["accession"],
        "cik": cik,
        "form": row["form"],
        "items": [item.strip() for item in row["items"].split(",") if item.strip()],
        "filing_date": row["filing_date"],
        "report_date": row["report_date"] or None,
        "accepted_at": accepted.isoformat(),
        "accepted_raw": row["accepted_text"],
        "clock": clock,
        "time_precision": precision,
        "primary_document": row["primary_document"] or None,
        "primary_document_description": row["primary_document_description"] or None,
        "file_number": row["file_number"] or None,
        "size": None if pd.isna(row["size"]) else int(row["size"]),
        "is_xbrl": bool(row["is_xbrl"]),
    }


def _security(main: SubmissionsFile, entity: UniverseEntity) -> SecurityRow:
    source = SubmissionsCollector.name
    spans: dict[str, tuple[date | None, date | None]] = {}
    for former in main.former_names:
        known = spans.get(former.name)
        if known is not None:
            # A name carried twice keeps its outer dates.
            first = min((d for d in (known[0], former.valid_from) if d), default=None)
            last = max((d for d in (known[1], former.valid_to) if d), default=None)
            spans[former.name] = (first, last)
        else:
            spans[former.name] = (former.valid_from, former.valid_to)
    ends = [end for name, (_, end) in spans.items() if end is not None and name != main.name]
    # A name never changed is carried since the first filing that the list shows, if not longer.
    since = max(ends, default=None if spans else _first_filed(main))
    spans[main.name] = (spans[main.name][0] if main.name in spans else since, None)
    tickers = main.tickers or entity.tickers
    return SecurityRow(
        entity_id=main.cik,
        asset_class="equity",
        name=main.name,
        cik=main.cik,
        sic=main.sic,
        fiscal_year_end=main.fiscal_year_end,
        primary_ticker=tickers[0] if tickers else None,
        identifiers=(
            *(Identifier("name", name, source, *span) for name, span in spans.items()),
            *(Identifier("ticker", ticker, source) for ticker in main.tickers),
            *(Identifier("ticker", ticker, "universe") for ticker in entity.tickers),
        ),
    )


def _first_filed(main: SubmissionsFile) -> date | None:
    days = [date.fromisoformat(str(day)) for day in main.rows["filing_date"]]
    return min([*days, *(page.first for page in main.pages)], default=None)


def _from_universe(entity: UniverseEntity) -> SecurityRow:
    """What is known of an entity of which EDGAR gives no submissions file."""
    return SecurityRow(
        entity_id=entity.entity_id,
        asset_class="equity",
        name=entity.name or f"CIK {entity.cik}",
        cik=entity.cik,
        primary_ticker=entity.tickers[0] if entity.tickers else None,
        identifiers=tuple(Identifier("ticker", ticker, "universe") for ticker in entity.tickers),
    )
