"""What a collector is: one class, registered, with its schedule. And what one run hands it.

A collector asks the transport for documents, reads them with pure parsers, and yields batches of records. It writes
nothing itself: the runner does, one transaction per batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from signaldelta_assets.contracts import CollectionMode, QuarantinedRecord, RawRecord
from signaldelta_assets.errors import RecordError
from signaldelta_assets.versioning import code_version
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores.collection import ClockRow
from signaldelta_assets.warehouse.stores.reference import SecurityRow

from .clock import Clock
from .quarantine import Judgement
from .transport import Fetched, Transport, UpstreamError
from .universe import UniverseEntity

# Rate-limit groups, and the hosts within them.
EDGAR = "edgar"
EDGAR_WWW = "edgar_www"
EDGAR_DATA = "edgar_data"
POLYGON = "polygon"
ETHEREUM = "ethereum"

# This many upstream failures in a row, and the upstream is taken to be down: going on would only prolong it.
_FAILURES_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a collector runs by itself: a cron line in a time zone."""

    cron: str
    timezone: str = "America/New_York"

    def __str__(self) -> str:
        return f"{self.cron} {self.timezone}"


class DocumentRecordError(RecordError):
    """A RecordError that knows the document it is about, so that whoever catches it quarantines the bytes as well."""

    def __init__(self, error: RecordError, fetched: Fetched) -> None:
        super().__init__(error.record, error.field, error.expected, error.found)
        self.fetched = fetched


@dataclass(frozen=True, slots=True)
class Window:
    """The days to collect, both included: UTC dates of the records' partitions."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"window: expected end on or after start {self.start}, found {self.end}")

    def __contains__(self, day: date) -> bool:
        return self.start <= day <= self.end

    def days(self) -> Iterator[date]:
        """Yield each day."""
        return (self.start + timedelta(days=n) for n in range((self.end - self.start).days + 1))

    def widened(self, before: int, after: int) -> Window:
        """Return the window with so many days more at each end."""
        return Window(self.start - timedelta(days=before), self.end + timedelta(days=after))


@dataclass(slots=True)
class Batch:
    """What a collector hands over at a time; `done` of `total` steps of the run, and what the step was."""

    records: list[RawRecord] = field(default_factory=list)
    quarantined: list[tuple[QuarantinedRecord, date | None]] = field(default_factory=list)
    clocks: list[ClockRow] = field(default_factory=list)
    securities: list[SecurityRow] = field(default_factory=list)
    done: int = 0
    total: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """How deep a block must lie to be collected, and how much is asked of a node at a time."""

    confirmations: int = 12
    blocks_per_request: int = 10_000
    pools_per_request: int = 1_000
    calls_per_request: int = 100


@dataclass(slots=True)
class CollectContext:
    """What one run may use. `counts` and `failures` go into its report."""

    collector: Collector
    run_id: str
    mode: CollectionMode
    transport: Transport
    warehouse: Warehouse
    clock: Clock
    universe: tuple[UniverseEntity, ...]
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    # Only these filings are wanted, by accession, whatever else the window holds; None for all.
    only: frozenset[str] | None = None
    judgement: Judgement = field(default_factory=Judgement)
    chain: ChainLimits = field(default_factory=ChainLimits)
    _failed_in_a_row: int = 0

    def record(
        self,
        fetched: Fetched,
        *,
        source_type: str,
        entity_id: str,
        natural_key: str,
        payload: dict[str, Any],
        event_time: datetime | None,
        form: str | None = None,
        fallback_date: date | None = None,
    ) -> RawRecord:
        """Return the RawRecord of a payload read from `fetched`, in the name of this run."""
        return RawRecord(
            source_type=source_type,
            entity_id=entity_id,
            natural_key=natural_key,
            form=form,
            event_time=event_time,
            observed_time=fetched.observed_time,
            collection_mode=self.mode,
            collector=self.collector.name,
            collector_version=self.collector.version,
            collector_run_id=self.run_id,
            schema_version=self.collector.schema_version,
            payload=payload,
            body_hash=fetched.body_hash,
            source_url=fetched.url,
            fallback_date=fallback_date,
        )

    def refuse(
        self, error: RecordError, source_type: str, fetched: Fetched | None, url: str, day: date | None = None
    ) -> tuple[QuarantinedRecord, date | None]:
        """Return the quarantine row of `error`; `day` is the partition it would have been in, where known.

        A `DocumentRecordError` brings its document, where there is none at hand.
        """
        if fetched is None and isinstance(error, DocumentRecordError):
            fetched, url = error.fetched, error.fetched.url
        refused = QuarantinedRecord.from_error(
            error, source_type=source_type, body_hash=fetched.body_hash if fetched else None, source_url=url
        )
        self.judgement.refuse(refused)
        return refused, day

    def upstream_failed(self, error: UpstreamError) -> None:
        """Note that an upstream failed for one document: the others go on, the run ends as failed.

        Raises `error` again once several failed in a row.
        """
        self.failures.append(str(error))
        self.counts["upstream_failures"] += 1
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _FAILURES_IN_A_ROW:
            raise error

    def upstream_answered(self) -> None:
        """Note that an upstream answered."""
        self._failed_in_a_row = 0


class Collector(ABC):
    """One upstream feed. Subclasses are registered and made without arguments."""

    name: ClassVar[str]
    source_types: ClassVar[tuple[str, ...]]
    schema_version: ClassVar[str]
    schedule: ClassVar[Schedule]
    # The rate-limit group, also the name of its concurrency pool.
    upstream: ClassVar[str]
    # Modules whose sources decide what the records hold; their hash is the collector's version.
    modules: ClassVar[Sequence[str]]
    # Collectors whose records this one looks documents up from; they run first.
    after: ClassVar[tuple[str, ...]] = ()
    # Forms of which it holds every filing, one document each: what completeness is reckoned by.
    forms: ClassVar[tuple[str, ...]] = ()
    # Whether its URLs lead to something else every time: a feed shows the newest, and what it showed before no more.
    moving: ClassVar[bool] = False

    @cached_property
    def version(self) -> str:
        """The SHA-256 of this collector's own module and its parsers."""
        return code_version([type(self).__module__, *self.modules], {"schema_version": self.schema_version})

    @abstractmethod
    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield batches with the records of the window, and no others."""


_REGISTRY: dict[str, type[Collector]] = {}
_Class = TypeVar("_Class", bound=type[Collector])


def register_collector(collector: _Class) -> _Class:
    """Add a collector class to the registry, under its name. A name is given once."""
    known = _REGISTRY.get(collector.name)
    if known is not None and known is not collector:
        raise ValueError(f"collector {collector.name!r} is registered twice: {known.__qualname__}")
    _REGISTRY[collector.name] = collector
    return collector


def registered_collectors() -> dict[str, Collector]:
    """Return one instance of every registered collector, by name, in the order in which they may run."""
    made = {name: _REGISTRY[name]() for name in sorted(_REGISTRY)}
    ordered: dict[str, Collector] = {}
    while len(ordered) < len(made):
        ready = [n for n, c in made.items() if n not in ordered and all(need in ordered for need in c.after)]
        if not ready:
            raise ValueError(f"collectors wait for each other: {sorted(set(made) - set(ordered))}")
        ordered |= {name: made[name] for name in ready}
    return ordered
