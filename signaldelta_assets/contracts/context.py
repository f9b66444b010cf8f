"""SecurityContext: the entities as an extractor or classifier may know them, frozen and point in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

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
    """One entity. `tickers` are (ticker, from, to) with half-open dates; None means unbounded on that side.

    `names` are dated alike; a name whose first day is not known must not be joined on.
    """

    entity_id: str
    name: str
    asset_class: str = "equity"
    cik: str | None = None
    tickers: tuple[tuple[str, date | None, date | None], ...] = ()
    primary_ticker: str | None = None
    sic: str | None = None
    fiscal_year_end: str | None = None
    currency: str = "USD"
    names: tuple[tuple[str, date | None, date | None], ...] = ()
    # Of entities of the asset class "pool".
    pool: Pool | None = None


@dataclass(frozen=True, slots=True)
class SecurityContext:
    """The securities by entity id; what is absent here gives no event and a counted reason."""

    securities: Mapping[str, Security] = field(default_factory=dict)

    def get(self, entity_id: str) -> Security | None:
        """Return the security of `entity_id`, or None."""
        return self.securities.get(entity_id)

    def with_publishers(self) -> SecurityContext:
        """Return the context with those beside whose records are about no one entity."""
        return SecurityContext({**self.securities, **{name: Security(name, name, "none") for name in PUBLISHERS}})
