"""From a vendor's ticker to the entity it meant on the day of a record. Every market collector asks here.

A ticker without a date is never joined on where a source gives dates. Without any, the universe's own list and EDGAR's
list of today stand in, counted as `ticker_undated`.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from signaldelta_assets.contracts import Listing, TickerBook
from signaldelta_assets.errors import RecordError
from signaldelta_assets.warehouse.stores import reference

from ..base import CollectContext, Window
from ..universe import UniverseEntity
from .fields import optional_day, replayed


class TickerDesk:
    """The tickers of one run's universe, and whom each meant when."""

    def __init__(self, context: CollectContext) -> None:
        self._counts = context.counts
        self._entities = {entity.entity_id: entity for entity in context.universe}
        said = [Listing(entity.entity_id, ticker) for entity in context.universe for ticker in entity.tickers]
        known = reference.read_ticker_book(context.warehouse).listings.values()
        self.book = TickerBook.of([*said, *(one for own in known for one in own)])

    def tickers(self, window: Window) -> list[str]:
        """Return the tickers to ask for, in order: those that the universe's entities had in the window by their dates,
        and those claimed for them without any.

        The latter are asked for even where the entity has dates for the ticker, all outside the window: a replayed
        download has former days under a later ticker (`named_on`). Whose a row is, is decided row by row.
        """
        return [
            ticker
            for ticker, listings in self.book.listings.items()
            if any(
                one.entity_id in self._entities
                and (one.valid_from is None or one.valid_from <= window.end)
                and (one.valid_to is None or one.valid_to > window.start)
                for one in listings
            )
        ]

    def entity(self, record: str, ticker: str, day: date) -> UniverseEntity | None:
        """Return the entity that `ticker` meant on `day`; None, with a count, where it is none of the universe.

        Raises RecordError where several may be meant: a guess would give one issuer's records to another.
        """
        holder = self.book.holder(ticker, day)
        if holder.basis == "ambiguous":
            self._counts["ticker_ambiguous"] += 1
            found = f"{ticker} on {day}: {', '.join(holder.claimants)}"
            raise RecordError(record, "ticker", "one entity that had the ticker on that day", found)
        entity = None if holder.entity_id is None else self._entities.get(holder.entity_id)
        if holder.basis == "not_held":
            self._counts["ticker_not_held"] += 1
        elif entity is None:
            self._counts["not_in_universe"] += 1
        else:
            self._counts[f"ticker_{holder.basis}"] += 1
        return entity


def named_on(row: dict[str, Any], day: date) -> date:
    """Return the day whose tickers a page or row speaks in: that of the record, as the vendor keeps them.

    A replayed download may be of another kind, in which all days stand under the ticker of the day it was made. It
    then says so in the member that replay adds. Raises RecordError.
    """
    said = optional_day("signaldelta", replayed(row, "signaldelta"), "named_on")
    return day if said is None else date.fromisoformat(said)
