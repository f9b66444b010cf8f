"""Models and events for the tests: random documents by seed, event lists by hypothesis, and their tables."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def model_document(seed: int, *, correlated: bool = True) -> dict[str, Any]:
    """Return a random model: 1-6 families, 1-14 signals, 0-6 chain types; Python's generator, the same everywhere."""
    rng = random.Random(seed)
    families = [f"F{i:02d}" for i in range(1, rng.randint(1, 6) + 1)]
    types = [f"CT-{i:02d}" for i in range(1, rng.randint(0, 6) + 1)]
    correlation = {}
    if correlated:
        # One common factor: loadings l give rho = l_f l_g, always positive semi-definite.
        loading = {f: rng.uniform(-0.5, 0.9) for f in families}
        correlation = {
            f"{f}|{g}": round(loading[f] * loading[g], 6) for i, f in enumerate(families) for g in families[i + 1 :]
        }
    return {
        "schema": "signaldelta.scoring_model/1",
        "families": {
            f: {"budget": round(rng.uniform(0.3, 4), 3), "stage": rng.randint(1, 3)} for f in families
        },
        "correlation": correlation,
        "tiers": {"1": 1.0, "2": 0.7, "3": 0.4},
        "evidence_floor": 1e-9,
        "signals": {
            f"S{i:03d}": {
                "family": rng.choice(families),
                "tier": rng.randint(1, 3),
                "weight": round(rng.uniform(0.1, 2), 3),
                "half_life_hours": round(rng.choice([rng.uniform(0.5, 6), rng.uniform(12, 400), 1440.0]), 2),
                "chain_affinity": {c: round(rng.random(), 3) for c in types if rng.random() < 0.5},
            }
            for i in range(1, rng.randint(1, 14) + 1)
        },
        "magnitude": {"k": round(rng.uniform(0.5, 3), 3), "theta": round(rng.uniform(0, 4), 3)},
        "confidence": {
            "a": rng.choice([0.5, 0.0]), "b": 0.3, "c": 0.2, "diversity_half_point": 1.0,
            "ordering_floor": rng.choice([0.25, 0.0]), "ordering_tolerance_hours": rng.choice([1.0, 24.0]),
        },
        "chains": {
            "types": types,
            "min_families": {c: rng.randint(1, 3) for c in types},
            "temperature": round(rng.uniform(0.3, 2), 3),
            "unknown_logit": round(rng.uniform(-1, 2), 3),
        },
        "legacy": {"gamma": rng.choice([0.5, 0.0, 2.0]), "cuts": [20, 40, 60, 80]},
    }  # fmt: skip


_UNIT = st.floats(0, 1).map(lambda value: round(value, 6))


@st.composite
def scored_cases(
    draw: st.DrawFn, *, correlated: bool = True, least: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw (model document, events of one entity): ages from the future to three years, ties in time included."""
    document = model_document(draw(st.integers(0, 10_000)), correlated=correlated)
    signal = st.sampled_from(sorted(document["signals"]))
    age = st.one_of(
        st.sampled_from([0, 1, 3_600_000_000, 7_200_000_000]),
        st.integers(-40 * 3_600_000_000, 400 * 3_600_000_000),
        st.integers(0, 3 * 365 * 24 * 3_600_000_000),
    )
    direction = st.one_of(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-1, 1))
    weight = st.floats(0, 4).map(lambda value: round(value, 6))
    rows = draw(st.lists(st.tuples(signal, age, _UNIT, _UNIT, direction, weight), min_size=least, max_size=25))
    return document, [
        {"event_id": f"E{i:05d}", "signal_id": s, "available_time": NOW - timedelta(microseconds=a),
         "strength_norm": x, "reliability": r, "direction": d, "context_weight": g}
        for i, (s, a, x, r, d, g) in enumerate(rows)
    ]  # fmt: skip


SCHEMA = pa.schema(
    [
        ("entity_id", pa.string()), ("event_id", pa.string()), ("signal_id", pa.string()),
        ("available_time", pa.timestamp("us", "UTC")), ("strength_norm", pa.float64()),
        ("reliability", pa.float64()), ("direction", pa.float64()), ("context_weight", pa.float64()),
    ]
)  # fmt: skip


def table(events: list[dict[str, Any]], entity: str = "ACME") -> pa.Table:
    """Return the events as the table the engine takes; those without an entity belong to `entity`."""
    return pa.Table.from_pylist([{"entity_id": entity, "context_weight": 1.0} | event for event in events], SCHEMA)


def panel(seed: int, document: dict[str, Any], *, entities: int = 3, events: int = 40, hours: int = 200) -> pa.Table:
    """Return random events of several entities over the `hours` before NOW, and some after it."""
    rng = random.Random(seed)
    signals = sorted(document["signals"])
    return table(
        [
            {"entity_id": f"ENT{rng.randrange(entities)}", "event_id": f"{rng.getrandbits(60):020d}",
             "signal_id": rng.choice(signals),
             "available_time": NOW - timedelta(microseconds=rng.randint(-20 * 3_600_000_000, hours * 3_600_000_000)),
             "strength_norm": rng.random(), "reliability": rng.random(), "direction": rng.uniform(-1, 1),
             "context_weight": rng.uniform(0, 4)}
            for _ in range(events)
        ]
    )  # fmt: skip


def bits(grid: pa.Table) -> dict[str, bytes]:
    """Return each column as bytes, doubles by their bit patterns: equal only where every bit is."""
    return {
        name: (
            column.to_numpy().tobytes()
            if not (pa.types.is_string(column.type) or pa.types.is_dictionary(column.type))
            else "\0".join(column.to_pylist()).encode()
        )
        for name, column in zip(grid.column_names, grid.columns, strict=True)
    }


def seconds(moment: datetime) -> float:
    """Return seconds since NOW: small numbers, so that the plain reference loses nothing in subtracting."""
    return (moment - NOW).total_seconds()


def plain(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events in the short form of the reference."""
    return [
        {"event_id": e["event_id"], "signal_id": e["signal_id"], "at": seconds(e["available_time"]),
         "x": e["strength_norm"], "r": e["reliability"], "d": e["direction"], "g": e.get("context_weight", 1.0)}
        for e in events
    ]  # fmt: skip


def same(a: float, b: float, tolerance: float = 1e-9) -> bool:
    """Say whether two figures agree to the contract's tolerance, absolute or relative."""
    return bool(np.isclose(a, b, rtol=tolerance, atol=tolerance))
