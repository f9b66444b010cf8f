"""Runs a collector: its run row, its batches, its status. The one way by which records get into the warehouse."""

from __future__ import annotations

import functools
import ssl
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date

import httpx

from signaldelta_assets.contracts import CollectionMode
from signaldelta_assets.errors import DocumentError, SignalDeltaError
from signaldelta_assets.settings import Settings
from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import ArtifactStore, HomeLostError, Warehouse
from signaldelta_assets.warehouse.stores import collection, quarantine, reference
from signaldelta_assets.warehouse.stores.collection import BatchRows

from .base import (
    EDGAR,
    EDGAR_DATA,
    EDGAR_WWW,
    ETHEREUM,
    POLYGON,
    Batch,
    ChainLimits,
    CollectContext,
    Collector,
    Window,
)
from .clock import Clock, FixedClock, SystemClock
from .limiter import Limiter, SharedLimiter, Unlimited
from .pulse import Pulse
from .quarantine import HELD
from .transport import Transport, Upstream
from .universe import UniverseEntity, load_universe

# A whole answer may take this many of the timeouts that hold for each part of it.
_DEADLINE_TIMEOUTS = 5

_GATHERED_RECORDS = 5_000
_GATHERED_SECONDS = 1.0

_ALWAYS_COUNTED = (
    "documents_read",
    "documents_archived",
    "records_written",
    "records_known",
    "records_quarantined",
    "refusals_resolved",
    "clock_decisions",
)

Progress = Callable[[int, int, str], None]


class CollectionFailedError(SignalDeltaError):
    """A run in which an upstream failed. What could be collected was; `report` says what."""

    def __init__(self, report: CollectorRunReport) -> None:
        self.report = report
        first = report.failures[0]
        super().__init__(f"{report.collector}: {len(report.failures)} documents could not be fetched; first: {first}")


@dataclass(frozen=True, slots=True)
class CollectorRunReport:
    """What a run did. `counts`: documents_read, records_written, records_known, records_quarantined and the rest.

    `source_counts`: records offered per source type; `days`: records offered per partition day.
    """

    collector_run_id: str
    collector: str
    collector_version: str
    window_start: date
    window_end: date
    counts: dict[str, int]
    source_counts: dict[str, int] = field(default_factory=dict)
    days: dict[date, int] = field(default_factory=dict)
    failures: tuple[str, ...] = ()

    @property
    def records_written(self) -> int:
        """Records that were new."""
        return self.counts.get("records_written", 0)

    @property
    def records_known(self) -> int:
        """Records that were there already."""
        return self.counts.get("records_known", 0)

    @property
    def records_quarantined(self) -> int:
        """Refusals that were new."""
        return self.counts.get("records_quarantined", 0)


def run_collector(
    collector: Collector,
    warehouse: Warehouse,
    archive: ArtifactStore,
    settings: Settings,
    window: Window,
    dagster_run_id: str | None = None,
    progress: Progress | None = None,
    *,
    universe: tuple[UniverseEntity, ...] | None = None,
    only: Collection[str] | None = None,
    again: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> CollectorRunReport:
    """Collect `window`; return what was done.

    `only`: these filings alone, by accession. `again`: ask at once for documents that were not there or could not be
    read when last asked for, however short that is ago.

    Batches are written as they come, each in one transaction. A run killed halfway leaves whole batches: the same
    command afterwards completes to the same rows. Raises `CollectionFailedError` after everything else was collected
    where an upstream failed for some documents; any other error marks the run as failed and is raised again.
    """
    if universe is None:
        if settings.universe is None:
            raise DocumentError("SIGNALDELTA_UNIVERSE", "the path of a universe file", None)
        universe = load_universe(settings.universe)
    try:
        _require_access(collector, settings)
    except DocumentError as missing:
        collection.refuse_run(
            warehouse, collector.name, collector.source_types, str(collector.schedule), f"DocumentError: {missing}"
        )
        raise
    run_id = new_ulid()
    run = {
        "collector_run_id": run_id,
        "collector": collector.name,
        "collector_version": collector.version,
        "collection_mode": settings.collection_mode,
        "window_start": window.start,
        "window_end": window.end,
        "dagster_run_id": dagster_run_id,
    }
    # An entity whose own list an upstream cannot give is an entity all the same: its filings name it.
    reference.add_missing(warehouse, [_security(entity) for entity in universe if entity.name])
    clock = observation_clock(settings)
    counts: Counter[str] = Counter(dict.fromkeys(_ALWAYS_COUNTED, 0))
    sources: Counter[str] = Counter()
    days: Counter[date] = Counter()
    failures: list[str] = []

    def report() -> CollectorRunReport:
        ordered = dict(sorted(days.items()))
        return CollectorRunReport(
            run_id, collector.name, collector.version, window.start, window.end,
            dict(counts), dict(sources), ordered, tuple(failures),
        )  # fmt: skip

    with (
        collection.running(warehouse, run, collector.source_types, str(collector.schedule)) as beat,
        Pulse(beat) as pulse,
    ):
        error: str | None = "ended without a report"
        standing = quarantine.open_refusals(warehouse, collector.name)
        doubted = {refusal.body_hash for refusal in standing if refusal.body_hash is not None}
        whole = lost = False
        try:
            with open_transport(
                settings, warehouse, archive, clock, sleep=sleep, doubted=doubted, again=again, pulse=pulse
            ) as transport:
                mode = CollectionMode(settings.collection_mode)
                context = CollectContext(
                    collector, run_id, mode, transport, warehouse, clock, universe, counts, failures,
                    only=None if only is None else frozenset(only),
                    chain=_chain_limits(settings),
                )  # fmt: skip

                def write(rows: Batch) -> None:
                    read, gone = transport.drain_read()
                    _write(warehouse, run_id, collector, transport, rows, counts)
                    # Now, and not when the batches came: what could not be written answers no refusal.
                    context.judgement.take(read, {record.source_url for record in rows.records}, gone)

                gathered = _Gathered(write)
                try:
                    for batch in collector.collect(context, window):
                        gathered.add(batch)
                        pulse.beat()
                        sources.update(record.source_type for record in batch.records)
                        days.update(record.partition_date for record in batch.records)
                        if progress is not None:
                            progress(batch.done, batch.total, batch.text)
                    gathered.write()
                    whole = not failures
                except HomeLostError:
                    lost = True
                    raise
                finally:
                    # Bodies received since the last batch are archived already: let them be found again. Where the
                    # database is gone there is nobody to tell, and waiting for it would only hide why.
                    if not lost:
                        gathered.write()
                    counts.update(transport.counts)
                    counts["documents_read"] = sum(
                        transport.counts[kind] for kind in ("received", "not_modified", "from_archive")
                    )
                    if not lost:
                        answered = context.judgement.answered(
                            standing,
                            window,
                            whole_documents=collector.upstream == EDGAR,
                            complete=whole,
                            moving=collector.moving,
                        )
                        held = quarantine.held_since(warehouse, collector.name)
                        held -= {refusal.quarantine_id for refusal in standing if context.judgement.refuses(refusal)}
                        counts["refusals_resolved"] = quarantine.resolve(
                            warehouse, run_id, dict.fromkeys(held, HELD) | answered
                        )
            error = "; ".join(failures[:5]) if failures else None
        except BaseException as raised:
            # An interrupt too leaves a run that says it failed.
            error = f"{type(raised).__name__}: {raised}"
            raise
        finally:
            # A run that cannot even say so is found dead by its lock, and closed by the next one.
            with suppress(*([HomeLostError] if lost else [])):
                if lost:
                    # Whether anybody is there shows sooner here.
                    with warehouse.pulse():
                        pass
                collection.finish_run(warehouse, run_id, collector.name, counts=counts, error=error)
    if failures:
        raise CollectionFailedError(report())
    return report()


class _Gathered:
    """Batches until they are written together: a transaction for each of a thousand small ones takes most of the time.

    At most a second of work, or so many records, is not in the database yet.
    """

    def __init__(self, write: Callable[[Batch], None]) -> None:
        self._write, self._rows, self._since = write, Batch(), time.monotonic()

    def add(self, batch: Batch) -> None:
        """Take a batch; write what has come together where it is due."""
        # An entity is told once per write: of two rows the later one must win.
        if {row.entity_id for row in self._rows.securities} & {row.entity_id for row in batch.securities}:
            self.write()
        self._rows.records += batch.records
        self._rows.quarantined += batch.quarantined
        self._rows.clocks += batch.clocks
        self._rows.securities += batch.securities
        if len(self._rows.records) >= _GATHERED_RECORDS or time.monotonic() - self._since >= _GATHERED_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what has come together."""
        # Taken out first: what could not be written is not tried again on the way out.
        rows, self._rows = self._rows, Batch()
        self._write(rows)
        self._since = time.monotonic()


def _security(entity: UniverseEntity) -> reference.SecurityRow:
    return reference.SecurityRow(
        entity_id=entity.entity_id,
        asset_class="equity",
        name=entity.name,
        cik=entity.cik,
        primary_ticker=entity.tickers[0] if entity.tickers else None,
        identifiers=tuple(reference.Identifier("ticker", ticker, "universe") for ticker in entity.tickers),
    )


def _write(
    warehouse: Warehouse, run_id: str, collector: Collector, transport: Transport, batch: Batch, counts: Counter[str]
) -> None:
    documents, validators = transport.drain()
    absences = transport.drain_absences()
    # Securities first: should the process end between the two, nothing refers to what is not there.
    reference.upsert_securities(warehouse, batch.securities)
    if not (documents or validators or absences or batch.records or batch.quarantined or batch.clocks):
        return
    rows = BatchRows(documents, validators, batch.records, batch.quarantined, batch.clocks, absences)
    written = collection.write_batch(warehouse, run_id, collector.name, rows)
    counts["documents_archived"] += written.documents
    counts["records_written"] += written.records
    counts["records_known"] += written.known
    counts["records_quarantined"] += written.quarantined
    counts["clock_decisions"] += written.clocks


def _chain_limits(settings: Settings) -> ChainLimits:
    return ChainLimits(
        confirmations=settings.ethereum_confirmations,
        blocks_per_request=settings.ethereum_blocks_per_request,
        pools_per_request=settings.ethereum_pools_per_request,
        calls_per_request=settings.ethereum_calls_per_request,
    )


def _require_access(collector: Collector, settings: Settings) -> None:
    if collector.upstream == EDGAR and not settings.edgar_contact:
        raise DocumentError("SIGNALDELTA_EDGAR_CONTACT", "a name and e-mail address, as the SEC's rules ask", None)
    if collector.upstream == POLYGON and settings.polygon_api_key is None:
        raise DocumentError("SIGNALDELTA_POLYGON_API_KEY", "an API key", None)
    if collector.upstream == ETHEREUM and settings.ethereum_url is None:
        raise DocumentError("SIGNALDELTA_ETHEREUM_URL", "the address of an Ethereum JSON-RPC endpoint", None)


def _limiter(warehouse: Warehouse, name: str, per_second: float) -> Limiter:
    return SharedLimiter(warehouse, name, per_second) if per_second else Unlimited()


def observation_clock(settings: Settings) -> Clock:
    """Return the clock that says when something was observed."""
    return SystemClock() if settings.fixed_clock is None else FixedClock(settings.fixed_clock)


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Return what a client trusts, as httpx would make it: reading it once for all runs of a process is enough."""
    return httpx.create_ssl_context()


@contextmanager
def open_transport(
    settings: Settings,
    warehouse: Warehouse,
    archive: ArtifactStore,
    clock: Clock,
    *,
    sleep: Callable[[float], None] = time.sleep,
    doubted: Collection[str] = (),
    again: bool = False,
    pulse: Pulse | None = None,
) -> Iterator[Transport]:
    """Open the transport of one run, with the upstreams that the settings name.

    The SEC asks for a User-Agent with a contact address; without one nothing of EDGAR can be asked for.
    """
    agent = {"User-Agent": f"SignalDelta {settings.edgar_contact}"} if settings.edgar_contact else {}
    # www and data are one upstream to the SEC's limit.
    edgar = _limiter(warehouse, "sec.gov", settings.edgar_requests_per_second)
    vendor = _limiter(warehouse, "polygon.io", settings.polygon_requests_per_second)
    key = settings.polygon_api_key
    bearer = {"Authorization": f"Bearer {key.get_secret_value()}"} if key is not None else {}
    absent = (b"<Code>AccessDenied</Code>", b"<Code>NoSuchKey</Code>")
    upstreams = {
        EDGAR_WWW: Upstream(EDGAR_WWW, settings.edgar_www_url, "https://www.sec.gov", agent, edgar, absent),
        EDGAR_DATA: Upstream(EDGAR_DATA, settings.edgar_data_url, "https://data.sec.gov", agent, edgar, absent),
        POLYGON: Upstream(POLYGON, settings.polygon_url, "https://api.polygon.io", bearer, vendor),
    }
    if settings.ethereum_url is not None:
        token = settings.ethereum_api_key
        bearer = {"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None else {}
        node = _limiter(warehouse, ETHEREUM, settings.ethereum_requests_per_second)
        # Every node answers for the same chain: what is stored names the chain, not the node.
        upstreams[ETHEREUM] = Upstream(ETHEREUM, settings.ethereum_url, "ethereum:1", bearer, node)
    timeout = httpx.Timeout(settings.http_timeout_seconds)
    with httpx.Client(
        timeout=timeout, headers={"Accept-Encoding": "gzip, deflate"}, follow_redirects=False, verify=_trusted()
    ) as client:
        yield Transport(
            client,
            archive,
            warehouse,
            upstreams,
            clock,
            attempts=settings.http_attempts,
            deadline_seconds=_DEADLINE_TIMEOUTS * settings.http_timeout_seconds,
            sleep=sleep,
            doubted=doubted,
            again=again,
            pulse=pulse,
        )
