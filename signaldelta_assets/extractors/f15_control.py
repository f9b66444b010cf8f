"""F15, on-chain control and contract: S044 honeypot_one_way_flow, S045 lp_unlocked_concentration (signals.md 4.6).

Traps. S044: a fresh launch looks one-way, so it counts less in its first blocks; fee-on-transfer tokens move reserves
like any other; the few sells may be the owner's bots, hence a share and not none. An episode ends when sells pass the
re-arming share, or when the condition did not hold for `silence_blocks`: the state then follows from a bounded look-
back.

S045: burns pass through the pool's own balance, and the first 1,000 units go to zero: neither is a holder. A contract
among those we know (a token or a pool) may be an unlisted locker. The 300 blocks are over with the first header at or
after the last of them; a pool that is emptied before that header came gives no event. Episodes follow from the whole
life of the pool.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..contracts import SecurityContext
from .base import Extraction, SignalParams, register
from .frames import frontier
from .lp import Finding, Ledger, Moment, findings
from .pools import BUY, MICROSECOND, SELL, Bools, Flow, Ints, Verdict, because, firings
from .scales import lramp, ramp


def _last_before(holds: Bools) -> Ints:
    """Return per row the last row before it where the condition held, -1 where none."""
    places = np.where(holds, np.arange(len(holds)), -1)
    return np.concatenate([[-1], np.maximum.accumulate(places)[:-1]])


def _opens(flow: Flow, holds: Bools, rearms: Bools, silence: int) -> Bools:
    """Return where an episode begins: one per block, after a re-arming or a silence."""
    held, rearmed = _last_before(holds), _last_before(rearms)
    quiet = flow.block[held] < flow.block - silence
    opens: Bools = holds & ((held < 0) | (rearmed > held) | quiet)
    places = np.flatnonzero(opens)
    twice = places[1:][flow.block[places[1:]] == flow.block[places[:-1]]]
    opens[twice] = False
    return opens


@register("S044")
class HoneypotOneWayFlow:
    """Many buys and next to no sells."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per pool and episode, keyed by its first block."""

        def rule(flow: Flow) -> Verdict:
            start = flow.since(params["window_blocks"])
            buys, sells = (
                np.concatenate([[0], np.cumsum(flow.kind == kind)])[1:]
                - np.concatenate([[0], np.cumsum(flow.kind == kind)])[start]
                for kind in (BUY, SELL)
            )
            swaps = buys + sells
            share = sells / np.maximum(swaps, 1)
            few, two_way = swaps < params["min_swaps"], share > params["max_sell_share"]
            holds = ~few & ~two_way & flow.deep
            opens = _opens(flow, holds, (swaps > 0) & (share > params["rearm_sell_share"]), params["silence_blocks"])
            walk = flow.since(params["silence_blocks"] + params["window_blocks"])
            return Verdict(
                why=because(
                    flow,
                    (few, "few_swaps"),
                    (two_way, "two_way"),
                    (~flow.deep, "below_dust"),
                    (~opens, "episode_goes_on"),
                ),
                strength=ramp(1 - share, *params["ramp"]) * lramp(np.maximum(buys, 1), *params["buys_ramp"]),
                factor=np.where(flow.age < params["fresh_blocks"], params["fresh_factor"], 1.0),
                first=np.where(flow.linked[walk], walk - 1, walk),
                figures={"buys": buys.astype(np.float64), "sells": sells.astype(np.float64)},
            )

        out = Extraction()
        for fired in firings(records, context, params, rule, out):
            out.events.append(fired.event(params, [str(fired.block)]))
        return out


class Concentration:
    """Walks a pool's moments in order and says where one holder's episode begins; episodes are open by holder."""

    def __init__(self, pool: str, params: SignalParams) -> None:
        tables = params.tables
        self.ledger = Ledger(pool)
        self.nobody = {pool, *tables["dead"], *tables["lockers"], *tables["fee_sinks"]}
        self.params = params
        self.open: set[str] = set()
        self.changed = False

    def judge(self, moment: Moment) -> Finding:
        """Take the moment in and return what it says."""
        ledger, params = self.ledger, self.params
        for move in moment.moves:
            ledger.apply(move)
            self.changed = True
        if not ledger.reaches(moment.last, params.lookback // MICROSECOND):
            return Finding("history_not_complete")
        if ledger.first is None or moment.block < int(ledger.first.payload["block"]) + params["settle_blocks"]:
            return Finding("first_blocks")
        if not self.changed:
            return Finding("no_transfer")
        self.changed = False
        self.open = {holder for holder in self.open if ledger.share(holder) >= params["rearm_share"]}
        for holder in sorted(ledger.balances.keys() - self.nobody):
            share = ledger.share(holder)
            if share >= params["threshold"]:
                if holder in self.open:
                    return Finding("episode_goes_on")
                self.open.add(holder)
                return Finding("", holder, share, ledger.supply)
        return Finding("below_threshold")


@register("S045")
class LpUnlockedConcentration:
    """One address that is no locker holds nearly all LP tokens."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per pool, holder and episode, the episode named by the log with which it began."""
        out = Extraction()
        contracts = known_contracts(context)
        for moment, found, moves in findings(
            records, lambda pool: Concentration(pool, params), out, params["settle_blocks"]
        ):
            contract = found.holder in contracts
            event = params.event(
                moment.last,
                [found.holder, moment.last.natural_key],
                strength=float(ramp(found.share, *params["ramp"])),
                direction=-1,
                reliability=params["reliability"] * (params["contract_factor"] if contract else 1.0),
                # The ids name the holder's own transfers, the frontier covers all of the pool.
                inputs=[move for move in moves if found.holder in (move.payload["sender"], move.payload["receiver"])],
                edge=frontier([moment.last, *moves]),
                attributes={
                    "holder": found.holder,
                    "share": round(found.share, 6),
                    "supply": str(found.supply),
                    "holder_is_contract": contract,
                    "block": moment.block,
                },
            )
            out.events.append(event)
        return out


def known_contracts(context: SecurityContext) -> frozenset[str]:
    """Return the addresses that the context shows to be contracts: its pools and their tokens."""
    found: set[str] = set()
    for entity, security in context.securities.items():
        if security.pool is not None:
            found |= {entity.removeprefix("eth:"), security.pool.token0, security.pool.token1}
    return frozenset(found)
