"""F08, price action: S059 abnormal_return, S060 price_run (signals.md 4.5).

Traps. Ex-dividend days on unadjusted closes show as returns (no dividend feed is declared); a large one is rare. Moves
of the whole market are not told apart: the universe's bars are no inputs of an entity's event. An event is often the
reaction to the label itself: the evaluation reports it with and without (signals.md 5).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..contracts import SecurityContext
from .bars import Ints, Measure, Series, bar_events, counted, deviation, windows
from .base import Extraction, SignalParams, register
from .scales import Floats, ramp


def _sign(values: Floats) -> Ints:
    signs: Ints = np.sign(np.nan_to_num(values)).astype(np.int64)
    return signs


@register("S059")
class AbnormalReturn:
    """A daily return of at least three of the issuer's own standard deviations."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per entity and session."""

        def measure(series: Series) -> Measure:
            sd = np.maximum(
                deviation(windows(series.r, params["window"], 1), params["min_sessions"]), params["sd_floor"]
            )
            z = np.abs(series.r) / sd
            holds = np.nan_to_num(z) >= params["threshold"]
            figures = {"log_return": series.r, "deviation": sd}
            return Measure(holds, ramp(z, *params["ramp"]), _sign(series.r), figures)

        return bar_events(records, context, params, measure, params["window"] + params["max_gap_sessions"] + 1)


@register("S060")
class PriceRun:
    """A return over `run` sessions beyond what the deviation from before them explains."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per entity and session."""
        run = params["run"]

        def measure(series: Series) -> Measure:
            moves = windows(series.r, run, 0)
            total = np.where(np.isnan(moves), 0.0, moves).sum(axis=1)
            sd = deviation(windows(series.r, params["window"], run), params["min_sessions"])
            # As for the look-back: two thirds of the run's sessions must count.
            whole = (counted(moves) * params["window"] >= run * params["min_sessions"]) & ~np.isnan(series.r) & (sd > 0)
            z = np.where(whole, np.abs(total) / np.where(whole, sd, 1.0) / np.sqrt(run), 0.0)
            figures = {"log_return": total, "deviation": sd}
            return Measure(z >= params["threshold"], ramp(z, *params["ramp"]), _sign(total), figures)

        return bar_events(records, context, params, measure, params["window"] + run + params["max_gap_sessions"] + 1)
