"""RUG_PULL (signals.md 5): a pool's quote reserve is drained and does not come back.

`simple`: burn steps take 90 % of it in one transaction or within 40 blocks. `dump` (sell steps do) and `trap_door`
(they do after a flow that went one way only) are weaker and off by default. Step kinds and reserves are those of the
signals (`extractors.pools`): integers, one division.

The moment is the time of the block that crosses the threshold. Where that time is interpolated the label says so,
with its error. It is known when the chain has passed the recovery window. Rejected: a drain that recovers, too few
swaps before it, liquidity that saw no swap between its mint and its burn (nobody lost anything), and what moved to
another pool of the token.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from ..contracts import SecurityContext, TimePrecision
from ..extractors.frames import DAY_US, Record, rows
from ..extractors.pools import BURN, BUY, MINT, SELL, Flow, flows
from .base import Labeling, LabelParams, register_label
from .frames import Evidence


@dataclass(frozen=True, slots=True)
class Drain:
    """Rows `first` to `last` (which crosses the threshold) of a flow; `before` and `taken` in smallest quote units."""

    first: int
    last: int
    before: int
    taken: int


def drains(flow: Flow, kind: int, share: float, blocks: int, recovery: float) -> Iterator[tuple[Drain, bool]]:
    """Yield, per step of that kind, the widest drain that ends with it: its start is the earliest that qualifies.

    Where one qualifies above dust it goes before a wider one below. With each: whether it goes on with one above dust
    at most `blocks` before it. A drain is over where `recovery` of what it took from has come back: what is drained
    then is drained anew.
    """
    steps = np.flatnonzero(flow.kind == kind).tolist()
    begin, before, since, until = 0, 0, 0, 0
    for place, last in enumerate(steps):
        if before and any(flow.quote[at] / before >= recovery for at in range(since, last)):
            begin, before = place, 0
        while flow.block[steps[begin]] < flow.block[last] - blocks:
            begin += 1
        found = _widest(flow, steps[begin : place + 1], share)
        if found is None:
            continue
        goes_on = bool(before) and int(flow.block[last]) - until <= blocks
        yield found, goes_on
        if found.before >= flow.side.dust:
            before, since = (before, since) if goes_on else (found.before, last)
            until = int(flow.block[last])


def _widest(flow: Flow, steps: Sequence[int], share: float) -> Drain | None:
    found: list[Drain] = []
    for place, start in enumerate(steps):
        before = int(flow.quote[start - 1])
        taken = sum(int(flow.quote[at - 1] - flow.quote[at]) for at in steps[place:])
        if before and taken / before >= share:
            found.append(Drain(start, steps[-1], before, taken))
    deep = [one for one in found if one.before >= flow.side.dust]
    return next(iter(deep or found), None)


@dataclass(frozen=True)
class Clock:
    """The blocks that the evidence shows to have passed, ascending: headers, and logs of any pool."""

    blocks: Sequence[int]
    frame: pd.DataFrame

    @classmethod
    def of(cls, timed: pd.DataFrame) -> Clock:
        """Return the clock of a prepared frame."""
        frame = timed[timed["source_type"].isin(["chain_block", "uni2_sync"])]
        blocks = [payload.get("number", payload.get("block")) for payload in frame["payload"]]
        order = ["block", "source_type", "entity_id", "natural_key"]
        frame = frame.assign(block=np.asarray(blocks, dtype=np.int64)).sort_values(order, kind="stable")
        return cls(frame["block"].tolist(), frame)

    def passed(self, block: int, until: int) -> Record | None:
        """Return the first record at or after a block, None where none happened by `until` (microseconds)."""
        at = bisect_left(self.blocks, block)
        if at == len(self.blocks):
            return None
        (record,) = rows(self.frame.iloc[[at]])
        return record if record.t <= until else None


class _Gains:
    """What mints brought to the pools of each (token, quote) pair."""

    def __init__(self, found: Sequence[Flow], context: SecurityContext) -> None:
        self.by_pair: dict[tuple[str, str], list[Flow]] = {}
        self.pairs: dict[str, tuple[str, str]] = {}
        for flow in found:
            pool = getattr(context.get(flow.entity_id), "pool", None)
            assert pool is not None  # `flows` yields pools of the context only
            pair = ((pool.token0, pool.token1)[1 - flow.side.side], flow.side.symbol)
            self.pairs[flow.entity_id] = pair
            self.by_pair.setdefault(pair, []).append(flow)

    def moved_to(self, flow: Flow, first_block: int, last_block: int, least: float) -> str | None:
        """Return another pool of the token that gained at least that much within those blocks, or None."""
        for other in self.by_pair[self.pairs[flow.entity_id]]:
            if other.entity_id == flow.entity_id:
                continue
            low, high = np.searchsorted(other.block, [first_block, last_block + 1]).tolist()
            gained = 0
            for at in range(low, high):
                if not other.linked[at]:
                    gained += int(other.quote[at])
                elif other.kind[at] == MINT:
                    gained += int(other.quote[at] - other.quote[at - 1])
            if gained >= least:
                return other.entity_id
        return None


@dataclass(frozen=True)
class _Before:
    """What a flow was like before a drain: swaps in the days before it, and the liquidity that no swap has met."""

    flow: Flow
    drain: Drain
    history: int

    @cached_property
    def swaps(self) -> list[int]:
        """The rows of the swaps before the drain, at most `history` microseconds."""
        flow, first = self.flow, self.drain.first
        near = flow.t[:first] >= flow.t[first] - self.history
        return np.flatnonzero(np.isin(flow.kind[:first], [BUY, SELL]) & near).tolist()

    @property
    def untraded(self) -> int:
        """What was minted after the last swap."""
        since = self.swaps[-1] + 1 if self.swaps else 0
        flow = self.flow
        minted = [at for at in range(since, self.drain.first) if flow.kind[at] == MINT or not flow.linked[at]]
        return sum(int(flow.quote[at] - (flow.quote[at - 1] if flow.linked[at] else 0)) for at in minted)

    def met_nobody(self, share: float) -> bool:
        """Return True where, without the liquidity that no swap has met, nothing or too little is drained."""
        rest = self.drain.before - self.untraded
        return not self.swaps or rest <= 0 or (self.drain.taken - self.untraded) / rest < share

    def one_way(self, rule: Mapping[str, float]) -> bool:
        """Return True where the swaps just before the drain went one way."""
        flow = self.flow
        since = flow.block[self.drain.first] - rule["window_blocks"]
        kinds = [int(flow.kind[at]) for at in self.swaps if flow.block[at] > since]
        sells = kinds.count(SELL)
        return len(kinds) >= rule["min_swaps"] and sells <= rule["max_sell_share"] * len(kinds)


@register_label("RUG_PULL")
class RugPull:
    """One label per pool and drain, keyed by subtype and the transaction that crosses the threshold."""

    def classify(self, evidence: Evidence, context: SecurityContext, params: LabelParams) -> Labeling:
        """See the module."""
        out = Labeling()
        out.counts["no_block_time"] += sum(
            one.is_trigger and one.source_type == "uni2_sync" for one in evidence.untimed
        )
        untimed: dict[str, list[tuple[int, int]]] = {}
        for one in evidence.untimed:
            if one.source_type == "uni2_sync":
                untimed.setdefault(one.entity_id, []).append((one.payload["block"], one.payload["log_index"]))
        gap = timedelta(days=params["step_days"])
        found = list(flows(evidence.timed, context, params.tables["quotes"], gap, out.counts))
        clock, gains = Clock.of(evidence.timed), _Gains(found, context)
        for flow in found:
            judged = self._pool(flow, untimed.get(flow.entity_id, []), clock, gains, params, out)
            quiet = flow.trigger.copy()
            quiet[judged] = False
            out.counts["no_drain"] += int(quiet.sum())
        return out

    def _pool(
        self,
        flow: Flow,
        untimed: Sequence[tuple[int, int]],
        clock: Clock,
        gains: _Gains,
        params: LabelParams,
        out: Labeling,
    ) -> list[int]:
        judged = []
        for kind in (BURN, SELL):
            for drain, goes_on in drains(flow, kind, params["share"], params["blocks"], params["recovery_share"]):
                judged.append(drain.last)
                if drain.before < flow.side.dust:
                    why = "below_dust"
                elif goes_on:
                    why = "same_drain"
                else:
                    why = self._judge(flow, drain, kind, untimed, clock, gains, params, out)
                out.counts[why] += bool(why) and bool(flow.trigger[drain.last])
        return judged

    def _judge(
        self,
        flow: Flow,
        drain: Drain,
        kind: int,
        untimed: Sequence[tuple[int, int]],
        clock: Clock,
        gains: _Gains,
        params: LabelParams,
        out: Labeling,
    ) -> str:
        """Label the drain, or return why not."""
        logs = flow.frame["log"].to_numpy(np.int64)
        start, end = ((int(flow.block[at]), int(logs[at])) for at in (drain.first - 1, drain.last))
        crossing = flow.record(drain.last)
        time = crossing.payload.get("time") or {}
        # A Sync without a time between the two hides which of them took how much, and when.
        if not time.get("precision") or any(start < place < end for place in untimed):
            return "no_block_time"
        before = _Before(flow, drain, params["history_days"] * DAY_US)
        if before.met_nobody(params["share"]):
            return "no_counterparty"
        if len(before.swaps) < params["min_swaps"]:
            return "too_few_swaps"
        block = int(flow.block[drain.last])
        until = int(np.searchsorted(flow.block, block + params["recovery_blocks"], side="right"))
        after = range(drain.last, until)
        if any(flow.quote[at] / drain.before >= params["recovery_share"] for at in after):
            return "recovered"
        margin = params["migration_blocks"]
        least = params["migration_share"] * drain.taken
        if gains.moved_to(flow, int(flow.block[drain.first]) - margin, block + margin, least):
            return "migrated"
        passed = clock.passed(block + params["recovery_blocks"], crossing.t + params["lookahead_days"] * DAY_US)
        if passed is None:
            return "recovery_not_over"
        subtype = "simple" if kind == BURN else "trap_door" if before.one_way(params["one_way"]) else "dump"
        if subtype not in params["subtypes"]:
            return f"{subtype}_off"
        used = [*before.swaps[-params["min_swaps"] :], *range(drain.first - 1, drain.last), *after[1:]]
        others = rows(flow.frame.iloc[sorted(set(used) - {drain.last})])
        interpolated = time["precision"] == TimePrecision.INTERPOLATED
        attributes = {
            "block": block,
            "share": round(drain.taken / drain.before, 6),
            "quote": flow.side.symbol,
            "quote_before": str(drain.before),
            "swaps_before": len(before.swaps),
        }
        if interpolated:
            attributes["time_error_seconds"] = int(time["error_seconds"])
        label = params.label(
            flow.entity_id,
            [subtype, str(crossing.payload["transaction"])],
            at=crossing.t,
            subtype=subtype,
            confidence=params["confidence"][subtype],
            deciding=[crossing, *others, passed],
            precision=TimePrecision.INTERPOLATED if interpolated else TimePrecision.SECOND,
            attributes=attributes,
        )
        out.events.append(label)
        return ""
