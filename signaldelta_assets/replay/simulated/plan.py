"""What is to be simulated: sizes, window, planted effects. One plan and one seed make one archive, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from ...errors import DocumentError


@dataclass(frozen=True, slots=True)
class Effect:
    """Signals that precede events. `share` of the events are led; `decoys` is the chance that they come for nothing.

    The lead is lognormal: `median_days`, `spread` (standard deviation of its logarithm), cut to `shortest`..`longest`.
    """

    signals: tuple[str, ...]
    event_type: str
    share: float
    decoys: float
    median_days: float
    spread: float
    shortest: float
    longest: float


# Purchases by several insiders before a positive surprise; decoys are per announcement that is none.
INSIDER_BUYS = Effect(("S001", "S003"), "EARNINGS_SURPRISE", 0.45, 0.04, 12.0, 0.5, 3.0, 40.0)
# A run in price and volume before a deal; decoys are runs per entity and year.
DEAL_RUN = Effect(("S059", "S064"), "MNA_ANNOUNCEMENT", 0.60, 1.0, 5.0, 0.5, 1.5, 20.0)
# Hours before a drain: purchases without a sale, unlocked or released liquidity, a pump, a first withdrawal. Decoys are
# per pool that is never drained.
POOL_DRAIN = Effect(("S044", "S045", "S049", "S050", "S054"), "RUG_PULL", 0.60, 0.25, 0.4, 0.5, 0.15, 1.5)


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """Sizes and strengths of a simulated archive. `end` is its last day; `days` calendar days are simulated before it.

    `eastern_share` of the submissions files have New York time labelled Z; `surprise_share` of the announcements are
    surprises; `deal_share` and `collapse_share` of the entities get a deal or a cluster of departures in the window.
    """

    seed: int = 7
    entities: int = 150
    days: int = 365
    end: date = date(2025, 6, 30)
    pools: int = 64
    eastern_share: float = 0.2
    paged_share: float = 0.1
    surprise_share: float = 0.42
    positive_share: float = 0.62
    deal_share: float = 0.25
    collapse_share: float = 0.25
    insider_buys: Effect = field(default=INSIDER_BUYS)
    deal_run: Effect = field(default=DEAL_RUN)
    pool_drain: Effect = field(default=POOL_DRAIN)

    def __post_init__(self) -> None:
        for name, low, high in (("entities", 1, 6_760), ("days", 120, 3650), ("pools", 0, 1000)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise DocumentError(name, f"{low} to {high}", value)
        for name in (
            "eastern_share",
            "paged_share",
            "surprise_share",
            "positive_share",
            "deal_share",
            "collapse_share",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise DocumentError(name, "a share from 0 to 1", getattr(self, name))

    @property
    def start(self) -> date:
        """The first day of the window."""
        return self.end - timedelta(days=self.days)

    @classmethod
    def parse(cls, text: str) -> SimulationPlan:
        """Return the plan of `seed=7,entities=150,days=365`: any field by name, the rest as usual."""
        values: dict[str, Any] = {}
        kinds: dict[str, Callable[[str], Any]] = {
            "seed": int,
            "entities": int,
            "days": int,
            "pools": int,
            "end": date.fromisoformat,
        }
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name not in cls.__dataclass_fields__ or name in ("insider_buys", "deal_run", "pool_drain"):
                raise DocumentError(name, "a field of the simulation plan", value)
            try:
                values[name] = kinds.get(name, float)(value)
            except ValueError as error:
                raise DocumentError(name, "a number or a date", value) from error
        return replace(cls(), **values)

    def to_document(self) -> dict[str, Any]:
        """Return the plan as a JSON-able dict."""
        return {**asdict(self), "end": self.end.isoformat()}
