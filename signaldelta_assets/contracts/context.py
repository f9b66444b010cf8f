"""SecurityContext: the entities as an extractor or classifier may know them, frozen and point in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from .listings import Holder, Listing, TickerBook

# Who published a record that is about no one entity: its text names whom it concerns.
PUBLISHER_SEC = "publisher:sec"
PUBLISHER_ETHEREUM = "publisher:ethereum"
PUBLISHERS = (PUBLISHER_ETHEREUM, PUBLISHER_SEC)


@dataclass(frozen=True, slots=True)
class Pool:
    """What does not change of a Uniswap V2 pool: its tokens in the contract's order, addresses in lower case.

    Decimals are None where a token does not say; `created_block` where the creation was not seen.
    """

    token0: str
    token1: str
    decimals0: int | None = None
    decimals1: int | None = None
    created_block: int | None = None


@dataclass(frozen=True, slots=True)
class Security:
    """One entity. `names` are (name, from, to) with half-open dates; None means unbounded on that side.

    A name whose first day is not known must not be joined on. `listings` are its tickers, dated alike, with the share
    class each belongs to; `primary_ticker` is the one of today, for where nothing is dated.
    """

    entity_id: str
    name: str
    asset_class: str = "equity"
    cik: str | None = None
    listings: tuple[Listing, ...] = ()
    primary_ticker: str | None = None
    sic: str | None = None
    fiscal_year_end: str | None = None
    currency: str = "USD"
    names: tuple[tuple[str, date | None, date | None], ...] = ()
    # Of entities of the asset class "pool".
    pool: Pool | None = None
    listed_on: date | None = None
    delisted_on: date | None = None

    def class_of(self, ticker: str, day: date) -> str:
        """Return the share class that `ticker` meant on `day`: a class keeps its name through a change of ticker.

        A download names all its days by the ticker of the day it was made, so a ticker that only ever meant one class
        means it on any day. The ticker itself where no source names the class.
        """
        own = [one for one in self.listings if one.ticker == ticker and one.share_class]
        classes = {one.share_class for one in own if one.covers(day)} or {one.share_class for one in own}
        return classes.pop() if len(classes) == 1 else ticker

    def primary_on(self, day: date) -> Listing | None:
        """Return the listing of the primary share class on `day`, else the one listed longest; None where undated."""
        own = [one for one in self.listings if one.is_dated and one.covers(day)]
        return min(own, key=lambda one: (not one.primary, one.valid_from, one.ticker), default=None)

    def primary_class_on(self, day: date) -> str | None:
        """Return the primary share class on `day` as `class_of` names it; None where nothing was listed or known.

        Dates come first: today's primary ticker says nothing of a day on which the dated listings have another.
        """
        listing = self.primary_on(day)
        if listing is not None:
            return listing.share_class or listing.ticker
        if self.primary_ticker is None or any(one.is_dated for one in self.listings):
            return None
        return self.class_of(self.primary_ticker, day)


@dataclass(frozen=True)
class SecurityContext:
    """The securities by entity id; what is absent here gives no event and a counted reason."""

    securities: Mapping[str, Security] = field(default_factory=dict)

    def get(self, entity_id: str) -> Security | None:
        """Return the security of `entity_id`, or None."""
        return self.securities.get(entity_id)

    def entity_of_ticker(self, ticker: str, day: date) -> Holder:
        """Return whom `ticker` meant on `day`; there is no other way from a ticker to an entity."""
        return self.tickers.holder(ticker, day)

    @cached_property
    def tickers(self) -> TickerBook:
        """The listings of all securities by ticker."""
        return TickerBook.of(one for security in self.securities.values() for one in security.listings)

    def with_publishers(self) -> SecurityContext:
        """Return the context with those beside whose records are about no one entity."""
        return SecurityContext({**self.securities, **{name: Security(name, name, "none") for name in PUBLISHERS}})
