"""F14, on-chain liquidity: S049 lp_partial_withdrawal, S050 lp_lock_release (signals.md 4.6).

Traps. S049: an outsider may leave a healthy pool. Where the pool's whole LP history is in the look-back, the share of
who burned is known, and one below `outside_share` counts less; elsewhere nothing is said of it. Liquidity that moves
to another pool shows only afterwards, and a signal does not look there (the label does). A cut of 90 % is the label's
own matter.

S050: what comes back to a locker in the same transaction was relocked. Lockers take a fee, so the net outflow
decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..contracts import SecurityContext, SignalEvent
from .base import Extraction, SignalParams, register
from .frames import Record, frontier
from .lp import ZERO, Finding, Ledger, Moment, findings, place, pools
from .pools import BURN, MICROSECOND, Bools, Fired, Flow, Objects, Verdict, because, firings, first_known
from .scales import Floats, ramp


def cuts(flow: Flow) -> tuple[Floats, Objects]:
    """Return what part of the quote reserve each step took away, and the reserve before it; 0 for the first."""
    before = np.concatenate([np.zeros(1, dtype=object), flow.quote[:-1]])
    taken = [(old - new) / old if old else 0.0 for old, new in zip(before, flow.quote, strict=True)]
    return np.asarray(taken, np.float64), before


def _again(flow: Flow, holds: Bools) -> Bools:
    """Return where the condition held before in the same transaction."""
    found = np.zeros(len(holds), dtype=np.bool_)
    seen: set[str] = set()
    for at in np.flatnonzero(holds).tolist():
        found[at] = flow.transaction[at] in seen
        seen.add(flow.transaction[at])
    return found


@register("S049")
class LpPartialWithdrawal:
    """One burn takes a good part of the quote reserve."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per pool and transaction."""
        low, high = params["cut"]

        def rule(flow: Flow) -> Verdict:
            cut, before = cuts(flow)
            deep = np.asarray(before >= flow.side.dust, dtype=np.bool_)
            burn = flow.kind == BURN
            holds = burn & deep & (cut >= low) & (cut < high)
            places = np.arange(len(cut))
            return Verdict(
                why=because(
                    flow,
                    (~flow.linked, "no_sync_before"),
                    (~burn, "not_a_burn"),
                    (~deep, "below_dust"),
                    (cut < low, "below_threshold"),
                    (cut >= high, "drained"),
                    (_again(flow, holds), "same_transaction"),
                ),
                strength=ramp(cut, *params["ramp"]),
                factor=np.ones(len(cut)),
                first=np.maximum(places - 1, 0),
                figures={"cut": cut},
            )

        out = Extraction()
        fired = firings(records[records["source_type"] == "uni2_sync"], context, params, rule, out)
        transfers = records[records["source_type"] == "uni2_lp_transfer"]
        of = {one.flow.entity_id for one in fired}
        # Transfers only refine: what they lack is no reason against an event.
        held = dict(pools(transfers[transfers["entity_id"].isin(of)], Extraction().counts))
        first_known(
            (
                (
                    int(one.flow.k[one.at]),
                    self._event(one, held.get(one.flow.entity_id.removeprefix("eth:"), []), params),
                )
                for one in fired
            ),
            out,
        )
        return out

    def _event(self, one: Fired, own: Sequence[Moment], params: SignalParams) -> SignalEvent:
        trigger = one.flow.record(one.at)
        share, used = burner_share(own, trigger, params.lookback // MICROSECOND)
        outside = share is not None and share < params["outside_share"]
        return one.event(
            params,
            [str(trigger.payload["transaction"])],
            factor=params["outside_factor"] if outside else 1.0,
            further=used,
            attributes={"burner_share": None if share is None else round(share, 6)},
        )


def burner_share(own: Sequence[Moment], trigger: Record, lookback: int) -> tuple[float | None, list[Record]]:
    """Return the share that who burned in the trigger's transaction had before it, and the transfers that say so.

    None where the history is not complete, or no transfer to the pool was available with the burn.
    """
    used: list[Record] = []
    here, transaction = place(trigger), str(trigger.payload["transaction"])
    known = [
        move
        for moment in own
        for move in moment.moves
        if place(move) < here and move.k <= trigger.k and move.t <= trigger.t
    ]
    pool = trigger.entity_id.removeprefix("eth:")
    ledger = Ledger(pool)
    burned = None
    for move in sorted(known, key=place):
        used.append(move)
        sender, receiver = str(move.payload["sender"]), str(move.payload["receiver"])
        if str(move.payload["transaction"]) == transaction and receiver == pool and sender != ZERO:
            burned = ledger.share(sender)
        ledger.apply(move)
    if burned is None or not ledger.reaches(trigger, lookback):
        return None, []
    return burned, used


class Release:
    """Walks a pool's moments in order and says where LP tokens leave the lockers for good."""

    def __init__(self, pool: str, params: SignalParams) -> None:
        self.ledger = Ledger(pool)
        self.lockers = frozenset(params.tables["lockers"])
        self.params = params
        # By transaction, in case it comes in parts: the supply before it, what left and what came back.
        self.flows: dict[str, tuple[int, int, int]] = {}
        self.fired: set[str] = set()

    def judge(self, moment: Moment) -> Finding:
        """Take the moment in and return what it says."""
        name = str(moment.last.payload["transaction"])
        supply, left, back = self.flows.get(name, (self.ledger.supply, 0, 0))
        holders = set()
        for move in moment.moves:
            sender, receiver = str(move.payload["sender"]), str(move.payload["receiver"])
            value = int(str(move.payload["value"]))
            if sender in self.lockers and receiver not in self.lockers:
                left += value
                holders.add(sender)
            elif receiver in self.lockers and sender not in self.lockers:
                back += value
            self.ledger.apply(move)
        self.flows[name] = (supply, left, back)
        if not left:
            return Finding("no_locker_sends")
        if not self.ledger.reaches(moment.last, self.params.lookback // MICROSECOND) or not supply:
            return Finding("history_not_complete")
        least = self.params["threshold"]
        if left / supply < least:
            return Finding("below_threshold")
        if (left - back) / supply < least:
            return Finding("relocked")
        if name in self.fired:
            return Finding("same_transaction")
        self.fired.add(name)
        return Finding("", " ".join(sorted(holders)), (left - back) / supply, supply)


@register("S050")
class LpLockRelease:
    """A good part of the LP tokens leaves the listed lockers."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per pool and transaction."""
        out, made = Extraction(), []
        for moment, found, moves in findings(records, lambda pool: Release(pool, params), out):
            transaction = str(moment.last.payload["transaction"])
            event = params.event(
                moment.last,
                [transaction],
                strength=float(ramp(found.share, *params["ramp"])),
                direction=-1,
                reliability=params["reliability"],
                # The ids name the transaction's transfers, the frontier covers all from which the supply follows.
                inputs=[move for move in moves if move.payload["transaction"] == transaction],
                edge=frontier([moment.last, *moves]),
                attributes={
                    "locker": found.holder,
                    "share": round(found.share, 6),
                    "supply": str(found.supply),
                    "block": moment.block,
                },
            )
            made.append((moment.last.k, event))
        first_known(made, out)
        return out
