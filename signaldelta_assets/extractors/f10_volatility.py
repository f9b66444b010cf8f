"""F10, volatility and derivatives: S069 realised_vol_expansion (signals.md 4.5).

Trap. One jump makes it together with S059; the correlation of 0.45 between the two families is there for that.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..contracts import SecurityContext
from .bars import Measure, Series, bar_events, deviation, windows
from .base import Extraction, SignalParams, register
from .scales import ramp


@register("S069")
class RealisedVolExpansion:
    """The deviation of a few sessions' returns against that of the many before them."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per entity and session."""
        short = params["short"]

        def measure(series: Series) -> Measure:
            now = deviation(windows(series.r, short, 0), params["min_short"])
            before = deviation(windows(series.r, params["window"], short), params["min_sessions"])
            usable = np.nan_to_num(before) > 0
            ratio = np.nan_to_num(np.where(usable, now / np.where(usable, before, 1.0), 0.0))
            holds = (ratio >= params["threshold"]) & ~np.isnan(series.r)
            nothing = np.zeros(len(ratio), dtype=np.int64)
            return Measure(holds, ramp(ratio, *params["ramp"]), nothing, {"ratio": ratio})

        reach = params["window"] + short + params["max_gap_sessions"] + 1
        return bar_events(records, context, params, measure, reach)
