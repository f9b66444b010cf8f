"""F09, volume and liquidity: S064 abnormal_dollar_volume, S065 illiquidity_jump (signals.md 4.5).

Traps. On triple witchings, Russell reconstitutions and half days volume says little of the issuer: reliability is
halved there, the days by rule from the session calendar; rebalances of other indices have no rule and are not told
apart. A holiday-thin week can pass for illiquidity (S065); its reliability allows for it.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from ..contracts import SecurityContext
from ..timeline import new_york, session_close, sessions
from .bars import Measure, Series, bar_events, deviation, mean, median, windows
from .base import Extraction, SignalParams, register
from .scales import Floats, lramp, ramp

FRIDAY = 4


def _friday(year: int, month: int, nth: int) -> date:
    """Return the nth Friday of the month, or the session before it where the exchange is closed."""
    first = date(year, month, 1)
    day = first + timedelta(days=(FRIDAY - first.weekday()) % 7 + 7 * (nth - 1))
    return sessions(day - timedelta(days=7), day)[-1].date()


@lru_cache(maxsize=256)
def _crowded_days(year: int) -> frozenset[date]:
    """Return the triple witchings (third Friday of a quarter's last month) and the Russell reconstitution."""
    return frozenset([*(_friday(year, month, 3) for month in (3, 6, 9, 12)), _friday(year, 6, 4)])


def _factor(days: pd.DatetimeIndex, crowded: float) -> Floats:
    """Return what reliability is multiplied by on each session: `crowded` on half days and crowded ones, else 1."""
    closes = new_york(session_close(days))
    known = [day for year in range(days[0].year, days[-1].year + 1) for day in sorted(_crowded_days(year))]
    special = (closes.dt.hour < 16).to_numpy() | days.isin(pd.DatetimeIndex(known))
    return np.where(special, crowded, 1.0)


@register("S064")
class AbnormalDollarVolume:
    """Dollar volume far above its own median, in robust deviations of the logarithm."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per entity and session."""

        def measure(series: Series) -> Measure:
            least = params["min_sessions"]
            value = np.log(series.dv)
            past = windows(value, params["window"], 1)
            middle = median(past, least)
            spread = np.maximum(1.4826 * median(np.abs(past - middle[:, None]), least), params["mad_floor"])
            z = np.nan_to_num((value - middle) / spread)
            sd = deviation(windows(series.r, params["window"], 1), least)
            moved = np.nan_to_num(np.abs(series.r) / sd) >= 1.0
            direction = np.where(moved, np.sign(np.nan_to_num(series.r)), 0).astype(np.int64)
            return Measure(
                holds=z >= params["threshold"],
                strength=ramp(z, *params["ramp"]),
                direction=direction,
                figures={"z": z, "dollar_volume_musd": series.dv},
                factor=_factor(series.days, params["crowded_factor"]),
            )

        return bar_events(records, context, params, measure, params["window"] + params["max_gap_sessions"] + 1)


@register("S065")
class IlliquidityJump:
    """Amihud's illiquidity of a few sessions against its own mean of the sessions before them."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per entity and session."""
        short = params["short"]

        def measure(series: Series) -> Measure:
            impact = np.abs(series.r) / series.dv
            now = mean(windows(impact, short, 0), params["min_short"])
            before = mean(windows(impact, params["window"], short), params["min_sessions"])
            usable = (np.nan_to_num(before) > 0) & (np.nan_to_num(now) > 0)
            ratio = np.where(usable, now / np.where(usable, before, 1.0), 1e-9)
            holds = usable & (ratio >= params["threshold"]) & ~np.isnan(impact)
            nothing = np.zeros(len(ratio), dtype=np.int64)
            return Measure(holds, lramp(ratio, *params["ramp"]), nothing, {"ratio": ratio})

        reach = params["window"] + short + params["max_gap_sessions"] + 1
        return bar_events(records, context, params, measure, reach)
