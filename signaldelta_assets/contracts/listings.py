"""Dated tickers: whom a ticker meant on a day. It passes from one issuer to another, so no join without a day."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Literal


@dataclass(frozen=True, slots=True)
class Listing:
    """A ticker of an entity's share class, half-open in days; None where the source gives no date.

    `share_class` names the class for good (its FIGI), whatever its ticker is; empty where no source says. `primary`
    marks the tickers of the issuer's primary class.
    """

    entity_id: str
    ticker: str
    valid_from: date | None = None
    valid_to: date | None = None
    share_class: str = ""
    primary: bool = False

    @property
    def is_dated(self) -> bool:
        """Whether a source says since when; without it a former holder of the ticker cannot be told from this one."""
        return self.valid_from is not None

    def covers(self, day: date) -> bool:
        """Return True where nothing known says that the ticker was not this one's on `day`."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True, slots=True)
class Spell:
    """Days on which a ticker was held, half-open, and by whom: more than one where sources contradict each other."""

    valid_from: date
    valid_to: date | None
    entities: tuple[str, ...]


Basis = Literal["dated", "undated", "ambiguous", "not_held", "unknown"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a ticker meant: `entity_id` with the basis dated or undated, else None.

    undated: one entity alone claims the ticker, without a day since when. ambiguous: several do. not_held: those who
    ever had it did not on that day. unknown: nobody is known by it.
    """

    entity_id: str | None
    basis: Basis
    claimants: tuple[str, ...] = ()


@dataclass(frozen=True)
class TickerBook:
    """All listings by ticker."""

    listings: Mapping[str, tuple[Listing, ...]]

    @classmethod
    def of(cls, listings: Iterable[Listing]) -> TickerBook:
        """Return the book of `listings`, in any order."""
        found: dict[str, set[Listing]] = {}
        for listing in listings:
            found.setdefault(listing.ticker, set()).add(listing)
        return cls({ticker: tuple(sorted(own, key=_order)) for ticker, own in sorted(found.items())})

    def holder(self, ticker: str, day: date) -> Holder:
        """Return whom `ticker` meant on `day`.

        A dated listing decides. An entity that says since when it has the ticker is not asked again through an
        undated claim of its own: outside its dates it did not have it.
        """
        claims = self.listings.get(ticker, ())
        if not claims:
            return Holder(None, "unknown")
        spells = self._spells.get(ticker, ())
        at = bisect_right([spell.valid_from for spell in spells], day) - 1
        end = spells[at].valid_to if at >= 0 else day
        if end is None or day < end:
            return _holder(spells[at].entities, "dated")
        dated = {claim.entity_id for claim in claims if claim.is_dated}
        # Of the undated only those whose issuer gives no dates for this ticker.
        others = {claim.entity_id for claim in claims if claim.entity_id not in dated and claim.covers(day)}
        return _holder(tuple(sorted(others)), "undated") if others else Holder(None, "not_held")

    def spells(self, ticker: str) -> tuple[Spell, ...]:
        """Return the dated spells of a ticker in order; no two overlap."""
        return self._spells.get(ticker, ())

    @cached_property
    def _spells(self) -> Mapping[str, tuple[Spell, ...]]:
        return {ticker: _spells(own) for ticker, own in self.listings.items()}


def _order(listing: Listing) -> tuple[object, ...]:
    return (listing.valid_from or date.min, listing.valid_to or date.max, listing.entity_id, listing.share_class,
            listing.primary)  # fmt: skip


def _holder(entities: tuple[str, ...], basis: Literal["dated", "undated"]) -> Holder:
    return Holder(entities[0], basis, entities) if len(entities) == 1 else Holder(None, "ambiguous", entities)


def _spells(listings: Iterable[Listing]) -> tuple[Spell, ...]:
    """Return who held a ticker, segment by segment.

    One symbol has one issuer at a time: a listing whose end no source gives ends where another issuer's begins. Two
    that still overlap contradict each other, and the days they share are nobody's.
    """
    dated = [(one.valid_from, one.valid_to, one.entity_id) for one in listings if one.valid_from is not None]
    closed: list[tuple[date, date | None, str]] = []
    for first, last, entity in dated:
        later = [start for start, _, other in dated if other != entity and start > first]
        closed.append((first, min(later, default=None) if last is None else last, entity))
    bounds = sorted({day for first, last, _ in closed for day in (first, last) if day is not None})
    found: list[Spell] = []
    for place, start in enumerate(bounds):
        end = bounds[place + 1] if place + 1 < len(bounds) else None
        holders = {who for first, last, who in closed if first <= start and (last is None or start < last)}
        if not holders:
            continue
        spell = Spell(start, end, tuple(sorted(holders)))
        if found and found[-1].valid_to == start and found[-1].entities == spell.entities:
            found[-1] = Spell(found[-1].valid_from, end, spell.entities)
        else:
            found.append(spell)
    return tuple(found)
