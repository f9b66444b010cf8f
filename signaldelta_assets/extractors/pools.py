"""Syncs of Uniswap V2 pools as arrays in chain order, and from a rule to events (signals.md 4.6).

Reserves are integers up to 2^112 and stay Python integers: they are compared as such, and a ratio is one division. A
step is what lies between two successive Syncs; a pool silent for longer than `step_days` begins anew, so that a step
and the age of a pool follow from a bounded look-back. What a trigger may see is cut by position in the chain, by
availability and by time, for a log may be collected later than its successors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..contracts import CollectionMode, FrontierEntry, Security, SecurityContext, SignalEvent
from .base import Extraction, SignalParams
from .frames import Record, first_available, frontier, rows
from .scales import Floats

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
# Arrays of Python integers or texts.
Objects = npt.NDArray[np.object_]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
RESERVE_LIMIT = 1 << 112
NO_KIND, MINT, BURN, BUY, SELL = range(5)


@dataclass(frozen=True, slots=True)
class Quote:
    """The side of a pool that carries the money: 0 or 1, its symbol, and `dust` in its smallest units."""

    side: int
    symbol: str
    dust: int


def quote_of(security: Security | None, quotes: Mapping[str, Any]) -> Quote | str:
    """Return the quote side of a pool, or the reason why it has none.

    A pool with both sides in the list is a major pair and gives no signal, so the list's priority never has to decide.
    """
    pool = None if security is None else security.pool
    if pool is None:
        return "pool_not_in_context"
    symbols = {str(entry["address"]): symbol for symbol, entry in quotes.items()}
    listed = [side for side, token in enumerate((pool.token0, pool.token1)) if token in symbols]
    if len(listed) != 1:
        return "major_pair" if listed else "no_quote_side"
    (side,) = listed
    decimals = (pool.decimals0, pool.decimals1)[side]
    if decimals is None:
        return "quote_decimals_unknown"
    symbol = symbols[(pool.token0, pool.token1)[side]]
    return Quote(side, symbol, int(Decimal(str(quotes[symbol]["dust"])).scaleb(decimals)))


@dataclass(frozen=True)
class Flow:
    """The Syncs of one pool in chain order: arrays of length n, `frame` the prepared rows in the same order.

    `quote` and `token` are the reserves of the two sides after each Sync; `gap` in microseconds.
    """

    entity_id: str
    frame: pd.DataFrame
    side: Quote
    gap: int
    block: Ints
    t: Ints
    k: Ints
    trigger: Bools
    quote: Objects
    token: Objects
    transaction: Objects

    def take(self, at: Ints) -> Flow:
        """Return the flow of those rows alone."""
        arrays = {
            name: getattr(self, name)[at] for name in ("block", "t", "k", "trigger", "quote", "token", "transaction")
        }
        return replace(self, frame=self.frame.iloc[at], **arrays)

    def known_at(self, at: int, reach: int) -> Ints:
        """Return the rows that row `at` may see, itself last: not later in any sense, at most `reach` microseconds."""
        rows_ = np.arange(at + 1)
        seen = (self.k[: at + 1] <= self.k[at]) & (self.t[: at + 1] <= self.t[at])
        found: Ints = rows_[seen & (self.t[: at + 1] >= self.t[at] - reach)]
        return found

    def late(self, reach: int) -> Ints:
        """Return the rows that must not see all rows before them: one of these was available or happened later."""
        before = slice(None, -1)
        suspects = np.flatnonzero(
            (np.maximum.accumulate(self.k)[before] > self.k[1:]) | (np.maximum.accumulate(self.t)[before] > self.t[1:])
        )
        found = []
        for at in (suspects + 1).tolist():
            near = self.t[:at] >= self.t[at] - reach
            if ((self.k[:at] > self.k[at]) | (self.t[:at] > self.t[at]))[near].any():
                found.append(at)
        return np.asarray(found, dtype=np.int64)

    @cached_property
    def linked(self) -> Bools:
        """Where a Sync has a Sync before it, at most `gap` earlier."""
        found = np.zeros(len(self.block), dtype=np.bool_)
        found[1:] = self.t[1:] - self.t[:-1] <= self.gap
        return found

    @cached_property
    def kind(self) -> Ints:
        """What each step was: both reserves up, both down, quote against token; else, and first, no kind."""
        made = np.full(len(self.block), NO_KIND, dtype=np.int64)
        more_quote, less_quote = self.quote[1:] > self.quote[:-1], self.quote[1:] < self.quote[:-1]
        more_token, less_token = self.token[1:] > self.token[:-1], self.token[1:] < self.token[:-1]
        made[1:] = np.select(
            [more_quote & more_token, less_quote & less_token, more_quote & less_token, less_quote & more_token],
            [MINT, BURN, BUY, SELL],
            NO_KIND,
        )
        return np.where(self.linked, made, NO_KIND)

    @cached_property
    def age(self) -> Ints:
        """Blocks since the first Sync, or since the first after a silence longer than the gap."""
        places = np.arange(len(self.block))
        first = np.maximum.accumulate(np.where(self.linked, 0, places))
        found: Ints = self.block - self.block[first]
        return found

    @cached_property
    def deep(self) -> Bools:
        """Where the quote reserve is at least dust."""
        return np.asarray(self.quote >= self.side.dust, dtype=np.bool_)

    def since(self, blocks: int) -> Ints:
        """Return, per row, the first row of the trailing `blocks` blocks, its own block included."""
        found: Ints = np.searchsorted(self.block, self.block - blocks, side="right")
        return found

    def record(self, at: int) -> Record:
        """Return a row as a record."""
        return rows(self.frame.iloc[[at]])[0]


def _reserve(text: Any) -> int | None:
    """Return a reserve, None where the text is not a number of 112 bits."""
    digits = str(text)
    if not (digits.isascii() and digits.isdigit()):
        return None
    value = int(digits)
    return value if value < RESERVE_LIMIT else None


def _pool_rows(frame: pd.DataFrame, counts: Counter[str]) -> pd.DataFrame:
    """Return the Syncs with their figures as columns, in chain order."""
    payloads = frame["payload"].tolist()
    made = frame.assign(
        block=np.asarray([payload["block"] for payload in payloads], dtype=np.int64),
        log=np.asarray([payload["log_index"] for payload in payloads], dtype=np.int64),
        reserve0=pd.Series([_reserve(payload["reserve0"]) for payload in payloads], index=frame.index, dtype=object),
        reserve1=pd.Series([_reserve(payload["reserve1"]) for payload in payloads], index=frame.index, dtype=object),
        transaction=[payload["transaction"] for payload in payloads],
    )
    readable = made["reserve0"].notna() & made["reserve1"].notna()
    counts["unreadable_reserves"] += int((~readable & made["is_trigger"]).sum())
    return made[readable].sort_values(["entity_id", "block", "log"], kind="stable")


def flows(
    records: pd.DataFrame, context: SecurityContext, quotes: Mapping[str, Any], gap: timedelta, counts: Counter[str]
) -> Iterator[Flow]:
    """Yield the flow of each pool with one quote side, by entity; the triggers of the others are counted."""
    syncs = first_available(records[records["source_type"] == "uni2_sync"], counts)
    for entity, own in _pool_rows(syncs, counts).groupby("entity_id", sort=True):
        side = quote_of(context.get(str(entity)), quotes)
        if isinstance(side, str):
            counts[side] += int(own["is_trigger"].sum())
            continue
        reserves = (own["reserve0"].to_numpy(object), own["reserve1"].to_numpy(object))
        yield Flow(
            entity_id=str(entity),
            frame=own,
            side=side,
            gap=gap // MICROSECOND,
            block=own["block"].to_numpy(np.int64),
            t=own["t"].to_numpy(np.int64),
            k=own["k"].to_numpy(np.int64),
            trigger=own["is_trigger"].to_numpy(np.bool_),
            quote=reserves[side.side],
            token=reserves[1 - side.side],
            transaction=own["transaction"].to_numpy(object),
        )


@dataclass(frozen=True)
class Verdict:
    """A rule's answer per Sync: `why` not, or "" where it fires; and what an event there would say.

    `first` is the first row that the answer rests on, `figures` go to the attributes.
    """

    why: Objects
    strength: Floats
    factor: Floats
    first: Ints
    figures: dict[str, Floats]


Rule = Callable[[Flow], Verdict]


def because(flow: Flow, *reasons: tuple[Bools, str]) -> Objects:
    """Return per row the first of the reasons that holds, "" where none does."""
    found: Objects = np.select([holds for holds, _ in reasons], [why for _, why in reasons], "").astype(object)
    return found


def edge(frame: pd.DataFrame) -> tuple[FrontierEntry, ...]:
    """Return the frontier of Syncs: one entry per mode."""
    modes, happened = frame["collection_mode"].to_numpy(object), frame["t"].to_numpy(np.int64)
    observed = frame["observed_time"].to_numpy("datetime64[us]").astype(np.int64)
    entries = []
    for mode in sorted(set(modes.tolist())):
        own = modes == mode
        times = (EPOCH + int(values[own].max()) * MICROSECOND for values in (happened, observed))
        entries.append(FrontierEntry("uni2_sync", "", CollectionMode(mode), *times))
    return tuple(entries)


@dataclass(frozen=True)
class Fired:
    """One row of a flow at which a rule fires, with the rule's figures and the rows that it rests on."""

    flow: Flow
    at: int
    first: int
    strength: float
    factor: float
    figures: dict[str, float]

    @property
    def block(self) -> int:
        """The block of the trigger."""
        return int(self.flow.block[self.at])

    def event(
        self,
        params: SignalParams,
        key: Sequence[str],
        *,
        factor: float = 1.0,
        further: Iterable[Record] = (),
        attributes: Mapping[str, Any] | None = None,
    ) -> SignalEvent:
        """Build the event. The ids name the two Syncs of the step, the frontier covers the whole look-back."""
        trigger = self.flow.record(self.at)
        others = list(further)
        inputs = [self.flow.record(self.at - 1)] if self.at > self.first else []
        window = edge(self.flow.frame.iloc[self.first : self.at + 1])
        return params.event(
            trigger,
            key,
            strength=self.strength,
            direction=-1,
            reliability=params["reliability"] * self.factor * factor,
            inputs=[*inputs, *others],
            edge=(*window, *frontier(others)),
            attributes={**self.figures, "block": self.block, "quote": self.flow.side.symbol, **(attributes or {})},
        )


def _fired(flow: Flow, verdict: Verdict, at: int) -> Fired:
    return Fired(
        flow=flow,
        at=at,
        first=int(verdict.first[at]),
        strength=float(verdict.strength[at]),
        factor=float(verdict.factor[at]),
        figures={name: round(float(values[at]), 6) for name, values in verdict.figures.items()},
    )


def firings(
    records: pd.DataFrame, context: SecurityContext, params: SignalParams, rule: Rule, out: Extraction
) -> list[Fired]:
    """Return where `rule` fires, each Sync judged by what it could see; the other triggers are counted by reason."""
    reach = params.lookback // MICROSECOND
    found = []
    gap = timedelta(days=params["step_days"])
    for flow in flows(records, context, params.tables["quotes"], gap, out.counts):
        whole = rule(flow)
        late = set(flow.late(reach).tolist())
        for at in np.flatnonzero(flow.trigger).tolist():
            own, verdict, place = flow, whole, at
            if at in late:
                own = flow.take(flow.known_at(at, reach))
                verdict, place = rule(own), len(own.block) - 1
            if verdict.why[place]:
                out.counts[str(verdict.why[place])] += 1
            else:
                found.append(_fired(own, verdict, place))
    return found


def first_known(made: Iterable[tuple[int, SignalEvent]], out: Extraction) -> None:
    """Add the events (each with when its trigger was available), of one key the first known alone.

    Parts of a transaction may come in another order than they stand in, and neither then saw the other.
    """
    kept: dict[str, tuple[int, SignalEvent]] = {}
    for k, event in made:
        before = kept.get(event.event_key)
        out.counts["same_transaction"] += before is not None
        if before is None or k < before[0]:
            kept[event.event_key] = k, event
    out.events += [event for _, event in kept.values()]
