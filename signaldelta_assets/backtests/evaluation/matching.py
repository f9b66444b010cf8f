"""What an alert may claim, and which grid points were followed by an event (backtests.md, Match)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from signaldelta_assets.versioning.compiling import jit

from .inputs import Ints


@jit
def match(alert_starts: Ints, alert_at: Ints, event_starts: Ints, event_at: Ints, horizon: int) -> Ints:
    """Return for each alert the row of the event it matches, or -1.

    One to one and within one entity: alerts in time order, each with the earliest event not yet matched that has
    alert < event <= alert + horizon. Both tables are in the order (entity, time) with their rows' starts.
    """
    matched = np.full(len(alert_at), -1, dtype=np.int64)
    for entity in range(len(alert_starts) - 1):
        event = event_starts[entity]
        for alert in range(alert_starts[entity], alert_starts[entity + 1]):
            # An event passed over here lies at or before this alert, hence before every later one.
            while event < event_starts[entity + 1] and event_at[event] <= alert_at[alert]:
                event += 1
            if event < event_starts[entity + 1] and event_at[event] <= alert_at[alert] + horizon:
                matched[alert] = event
                event += 1
    return matched


@jit
def followed(grid_starts: Ints, at: Ints, event_starts: Ints, event_at: Ints, horizon: int) -> npt.NDArray[np.bool_]:
    """Return y: whether an event of the entity falls in (t, t + horizon], for each grid point t."""
    outcome = np.zeros(len(at), dtype=np.bool_)
    for entity in range(len(grid_starts) - 1):
        event = event_starts[entity]
        for row in range(grid_starts[entity], grid_starts[entity + 1]):
            while event < event_starts[entity + 1] and event_at[event] <= at[row]:
                event += 1
            outcome[row] = event < event_starts[entity + 1] and event_at[event] <= at[row] + horizon
    return outcome


@jit
def first_since(at: Ints, low: int, stop: int, moment: int, step: int) -> int:
    """Return the first of the rows low:stop (in time order, usually `step` apart) with at >= moment, else stop."""
    if low < stop:
        guess: int = low + min(max((moment - at[low] + step - 1) // step, 0), stop - low)
        if (guess == low or at[guess - 1] < moment) and (guess == stop or at[guess] >= moment):
            return guess
    return low + int(np.searchsorted(at[low:stop], moment))


def starts_of(entity: Ints, entities: int) -> Ints:
    """Return where each entity's rows begin, and the end, in rows sorted by entity."""
    return np.searchsorted(entity, np.arange(entities + 1))
