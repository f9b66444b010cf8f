"""F16, on-chain flow and price: S054 launch_pump (signals.md 4.6).

Traps. The first buys after an unbalanced first mint move the price by themselves: nothing in the first blocks. A
rebase moves it without a swap: only a buy fires. The minimum is that of the price in force, so the Sync before the
window counts.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import pandas as pd

from ..contracts import SecurityContext
from .base import Extraction, SignalParams, register
from .pools import BUY, Bools, Flow, Ints, Objects, Verdict, because, firings
from .scales import Floats, lramp


def _prices(flow: Flow) -> Floats:
    """Return quote per token in smallest units, infinite where a pool has no tokens."""
    return np.asarray(
        [quote / token if token else np.inf for quote, token in zip(flow.quote, flow.token, strict=True)], np.float64
    )


def _lowest(flow: Flow, price: Floats, first: Ints) -> Ints:
    """Return per row the row of the lowest price from `first` (which never falls) to it."""
    low: deque[int] = deque()
    found = np.empty(len(price), dtype=np.int64)
    for at, (value, start) in enumerate(zip(price.tolist(), first.tolist(), strict=True)):
        while low and price[low[-1]] >= value:
            low.pop()
        low.append(at)
        while low[0] < start:
            low.popleft()
        found[at] = low[0]
    return found


def _ratios(flow: Flow, low: Ints) -> Floats:
    """Return each price over its lowest, as one division of integers; 1 where a price does not exist."""
    quote, token = flow.quote, flow.token
    below = (quote[low] * token).astype(object)
    return np.asarray(
        [above / under if under and above else 1.0 for above, under in zip(quote * token[low], below, strict=True)],
        np.float64,
    )


def spaced_blocks(flow: Flow, holds: Bools, gap: int, walk: int) -> Bools:
    """Return where the condition holds at least `gap` blocks after the event before.

    Each row is judged by the rows of its own last `walk` blocks alone, so that the answer does not depend on how far
    back a run reads.
    """
    at = np.flatnonzero(holds)
    block = flow.block[at]
    following = np.searchsorted(block, block + gap, side="left")
    starts = np.searchsorted(block, block - walk, side="left")
    found = np.zeros(len(holds), dtype=np.bool_)
    for place, start in enumerate(starts.tolist()):
        while start < place:
            start = int(following[start])
        found[at[place]] = start == place
    return found


@register("S054")
class LaunchPump:
    """The price a multiple of its lowest of a few hours, on a buy."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per pool and Sync, keyed by block and log index."""

        def rule(flow: Flow) -> Verdict:
            start = flow.since(params["window_blocks"])
            # The price in force when the window began, where there was one.
            first = np.where(flow.linked[start], start - 1, start)
            ratio = _ratios(flow, _lowest(flow, _prices(flow), first))
            high = ratio >= params["threshold"]
            buy, young = flow.kind == BUY, flow.age < params["launch_blocks"]
            holds = high & buy & flow.deep & ~young
            fires = spaced_blocks(flow, holds, params["rearm_blocks"], params["walk_blocks"])
            why: Objects = because(
                flow,
                (~high, "below_threshold"),
                (~buy, "not_a_buy"),
                (~flow.deep, "below_dust"),
                (young, "first_blocks"),
                (~fires, "refractory"),
            )
            walk = flow.since(params["walk_blocks"] + params["window_blocks"])
            return Verdict(
                why=why,
                strength=lramp(np.maximum(ratio, 1.0), *params["ramp"]),
                factor=np.ones(len(ratio)),
                first=np.where(flow.linked[walk], walk - 1, walk),
                figures={"ratio": ratio},
            )

        out = Extraction()
        for fired in firings(records, context, params, rule, out):
            out.events.append(fired.event(params, fired.flow.record(fired.at).natural_key.split(":")))
        return out
