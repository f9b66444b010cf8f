"""What an archive must answer, whatever it is made of: the protocols and values between archive and server.

An archive has three shelves, one per upstream: EDGAR, the market-data vendor and the chain. A shelf returns values;
what they look like on the wire (paths, paging, JSON-RPC) is decided by the routes, never here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple, Protocol

# The vendor's own words for how a series was adjusted; `unknown` where the recording does not say.
ADJUSTMENTS = ("none", "splits", "splits+dividends", "unknown")


@dataclass(frozen=True, slots=True)
class Document:
    """Bytes as an upstream would serve them.

    `assembled` marks bytes that were put together from recorded values instead of recorded whole; `source` names the
    file of the archive they come from; `modified` is POSIX seconds, None where the upstream sends no Last-Modified.
    """

    body: bytes
    media_type: str
    source: str
    assembled: bool = False
    modified: float | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """One company or person of a filing, in the role the submission header gives it."""

    cik: int
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Filing:
    """What the header of one submission says. `accepted` is Eastern wall time without zone, None where not recorded."""

    accession: str
    form: str
    filed: date | None
    accepted: datetime | None
    period: str | None
    items: tuple[str, ...]
    parties: tuple[Party, ...]
    source: str

    @property
    def ciks(self) -> frozenset[int]:
        """The CIKs under which EDGAR keeps this filing."""
        return frozenset(party.cik for party in self.parties)

    @property
    def companies(self) -> frozenset[int]:
        """The CIKs of those that it is about: not of the holders, bidders and insiders who filed it."""
        return frozenset(
            party.cik for party in self.parties if party.role not in ("reporting-owner", "filed-by", "filed-for")
        )


@dataclass(frozen=True, slots=True)
class FilingDocument:
    """One document inside a submission."""

    name: str
    form: str
    size: int


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One entry of the current-filings feed: its form, its Eastern stamp (ISO, for ordering) and its XML."""

    form: str
    updated: str
    xml: bytes


@dataclass(frozen=True, slots=True)
class Bars:
    """One ticker's bars from ONE download. Rows: (start, open, high, low, close, volume), ascending.

    `start` is the session of a daily bar, and of an hourly one the moment in UTC at which its hour starts. `named_on`
    is the day whose tickers the download speaks in; None where every bar stands under the ticker of its own day, as the
    vendor keeps them.
    """

    ticker: str
    vintage: str
    adjustment: str
    rows: Sequence[tuple[date, float, float, float, float, float]]
    vintages: tuple[str, ...]
    dropped: int = 0
    named_on: date | None = None


@dataclass(frozen=True, slots=True)
class ListedLine:
    """One share class of an issuer: its tickers with the first day of each, oldest first, and its last day of trading.

    A first day is None where it was not recorded; nothing of the line is shown before `since` then. `fields` are the
    vendor's other fields, as recorded.
    """

    fields: Mapping[str, Any]
    tickers: Sequence[tuple[str, date | None]]
    since: date
    delisted: date | None
    source: str


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number and time (POSIX seconds); `exact` is False where the time lies between two anchors.

    `error_seconds` is how far an inexact time may be off, 0 of an exact one, None where nothing can be said.
    """

    number: int
    timestamp: int
    exact: bool
    source: str
    error_seconds: int | None = 0
    hash: str | None = None


class Log(NamedTuple):
    """One event log with its position; None where the recording lacks a field."""

    address: str
    topics: tuple[str, ...]
    data: str
    block: int
    log_index: int | None
    transaction: str | None
    transaction_index: int | None
    block_hash: str | None = None
    # True of a log whose block a reorganisation has taken back.
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Unserved:
    """Something the archive holds and no upstream endpoint can address: how many, and why."""

    folder: str
    count: int
    reason: str


class EdgarShelf(Protocol):
    """EDGAR's side of an archive. Every method returns None for what the archive does not hold."""

    def submissions(self, name: str) -> Document | None: ...
    def companyfacts(self, name: str) -> Document | None: ...
    def company_tickers(self) -> Document | None: ...
    def filings(self) -> Mapping[str, Filing]: ...
    def filing(self, accession: str) -> Filing | None: ...
    def submission_text(self, accession: str) -> Document | None: ...
    def filing_documents(self, accession: str) -> Sequence[FilingDocument]: ...
    def filing_document(self, accession: str, name: str) -> Document | None: ...
    def daily_index(self, name: str) -> Document | None: ...
    def daily_index_names(self) -> Sequence[str]: ...
    def current_page(self, form: str, start: int, count: int) -> Document | None: ...
    def current_entries(self) -> Sequence[FeedEntry]: ...
    def litigation_feed(self) -> Document | None: ...
    def litigation_list(self, year: int) -> Document | None: ...
    def litigation_release(self, number: str) -> Document | None: ...
    def inventory(self) -> dict[str, Any]: ...


class MarketShelf(Protocol):
    """The market-data vendor's side of an archive."""

    def bars(self, ticker: str, vintage: str | None = None) -> Bars | None: ...
    def hours(self, ticker: str, vintage: str | None = None) -> Bars | None: ...
    def splits(self) -> Sequence[Mapping[str, Any]]: ...
    def dividends(self) -> Sequence[Mapping[str, Any]]: ...
    def lines(self) -> Sequence[ListedLine]: ...
    def earnings(self) -> Sequence[Mapping[str, Any]]: ...
    def inventory(self) -> dict[str, Any]: ...


class ChainShelf(Protocol):
    """The chain's side of an archive."""

    def head(self) -> int | None: ...
    def block(self, number: int) -> Block | None: ...
    def transactions(self, number: int) -> Sequence[str]: ...
    def logs(self, first: int, last: int, addresses: frozenset[str] | None) -> Sequence[Log]: ...
    def call(self, address: str, selector: str) -> str | None: ...
    def inventory(self) -> dict[str, Any]: ...


class Archive(Protocol):
    """A recorded or simulated archive: a name and three shelves."""

    @property
    def name(self) -> str: ...
    @property
    def edgar(self) -> EdgarShelf: ...
    @property
    def market(self) -> MarketShelf: ...
    @property
    def chain(self) -> ChainShelf: ...
    def universe(self) -> dict[str, Any]: ...


@dataclass(slots=True)
class Tally:
    """Counts of what could not be served, by folder and reason."""

    entries: list[Unserved] = field(default_factory=list)

    def add(self, folder: str, count: int, reason: str) -> None:
        """Note `count` things of `folder`; nothing is noted for a count of 0."""
        if count:
            self.entries.append(Unserved(folder, count, reason))

    def to_list(self) -> list[dict[str, Any]]:
        """Return the entries as JSON-able dicts."""
        return [{"folder": e.folder, "count": e.count, "reason": e.reason} for e in self.entries]
