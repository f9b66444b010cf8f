"""Protocol documents, tables and simulated panels for the evaluation tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from signaldelta_assets.backtests import EvaluationProtocol

START = 1_700_006_400
HOUR = 3600


def document(**changes: Any) -> dict[str, Any]:
    """A small valid protocol; a change is a whole top-level key, or ``section__key`` for one inside."""
    made: dict[str, Any] = {
        "schema": "signaldelta.evaluation_protocol/1",
        "grid": {"start": START, "end": START + 47 * HOUR, "step_seconds": HOUR},
        "horizon_hours": 6,
        "embargo_hours": 2,
        "folds": 3,
        "alert": {"threshold": 0.6, "rearm_below": 0.4, "refractory_hours": 3},
        "event_types": ["A", "B"],
        "calibration": {"method": "none"},
        "bootstrap": {"cluster_hours": 12, "level": 0.95, "replicates": 40, "seed": 5},
        "nulls": {"draws": 20},
        "minimum_dataset": {
            "entities": 0,
            "event_types": 0,
            "events": 0,
            "events_of_commonest_type": 0,
            "months": 0,
            "events_per_type": 1,
        },
    }
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            made[section] = {**made.get(section, {}), key: value}
        else:
            made[section] = value
    return made


def protocol(**changes: Any) -> EvaluationProtocol:
    return EvaluationProtocol.from_dict(document(**changes))


def utc(seconds: Any) -> Any:
    return pd.to_datetime(np.asarray(seconds, dtype=np.int64), unit="s", utc=True)


def grid_frame(entity: Any, at: Any, score: Any, probability: Any = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "entity_id": np.asarray(entity, dtype=object),
            "at": utc(at),
            "alert_score": np.asarray(score, dtype=float),
            "probability": np.asarray(score if probability is None else probability, dtype=float),
        }
    )


def event_frame(rows: list[tuple[str, str, int]]) -> pd.DataFrame:
    entity, kind, at = zip(*rows, strict=True) if rows else ((), (), ())
    return pd.DataFrame(
        {
            "entity_id": np.asarray(entity, dtype=object),
            "event_type": np.asarray(kind, dtype=object),
            "event_time": utc(at),
        }
    )


def simulate(
    seed: int,
    entities: int = 12,
    hours: int = 24 * 7 * 10,
    memory_hours: float = 48.0,
    events_per_week: float = 0.5,
    lead_hours: float | None = None,
    strength: float = 3.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Autocorrelated noise scores and Poisson events; with `lead_hours`, scores rise that long before each event."""
    rng = np.random.default_rng(seed)
    phi = float(np.exp(-1.0 / memory_hours))
    burn = int(5 * memory_hours)
    noise = lfilter([np.sqrt(1 - phi * phi)], [1.0, -phi], rng.normal(size=(entities, hours + burn)), axis=1)[:, burn:]
    names = np.array([f"E{place:03d}" for place in range(entities)], dtype=object)
    count = rng.poisson(entities * hours / 168 * events_per_week)
    who, when = rng.integers(0, entities, count), rng.integers(0, hours * HOUR, count)
    if lead_hours is not None:
        for entity, moment in zip(who, when, strict=True):
            first = int(np.ceil(moment / HOUR - lead_hours))
            noise[entity, max(first, 0) : max(int(np.ceil(moment / HOUR)), 0)] += strength
    score = 1.0 / (1.0 + np.exp(-noise))
    grid = grid_frame(np.repeat(names, hours), START + HOUR * np.tile(np.arange(hours), entities), score.ravel())
    kinds = rng.choice(["A", "B"], count)
    return grid, event_frame(list(zip(names[who], kinds, START + when, strict=True)))


def simulated_protocol(hours: int = 24 * 7 * 10, **changes: Any) -> EvaluationProtocol:
    made = {
        "grid__end": START + (hours - 1) * HOUR,
        "horizon_hours": 48,
        "alert": {"threshold": 0.75, "rearm_below": 0.5, "refractory_hours": 12},
        "bootstrap__cluster_hours": 168,
        "bootstrap__replicates": 200,
        "minimum_dataset__events_per_type": 10**6,
    }
    return protocol(**(made | changes))
