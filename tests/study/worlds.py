"""Archives of a simulated world, made to be hard on an evaluation: signal events and labelled events from a seed.

What makes them hard, in noise as with a planted effect:

- entities differ in their rates by two orders of magnitude, and who files much has many events;
- signals come in bursts, and an entity is busy for months and then quiet (autocorrelated, slowly decaying scores);
- labels and signals have the same seasons: four a year, the same ones for everybody;
- labels come in clusters: one event makes another one likelier for some weeks.

In noise nothing relates the signals of one entity to its events but its rates and the season.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

START = 1_704_067_200  # 2024-01-01
DAYS = 364
DAY = 86_400
WARM_UP = 90  # days of signals before the grid, so that scores do not start from nothing
EVENT_TYPE = "MNA_ANNOUNCEMENT"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_STAMP = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Question:
    """One hypothesis: the signals that are scored (all others have weight 0)."""

    name: str
    signals: tuple[str, ...]


# Half-lives of a month and more, of two weeks, of days; and everything together.
QUESTIONS = (
    Question("insider", ("S001", "S002", "S003", "S004")),
    Question("filings", ("S018", "S033", "S034", "S039")),
    Question("market", ("S059", "S060", "S064", "S065", "S069")),
    Question("all", ()),
)
SIGNALS = tuple(name for question in QUESTIONS for name in question.signals)


@dataclass(frozen=True)
class Archive:
    """Tables as `score_grid` and `evaluate` read them. `lead_hours`: of the planted effect, None in noise.

    `planted`: how many labels have planted evidence before them.
    """

    events: pa.Table
    labels: pa.Table
    entities: tuple[str, ...]
    lead_hours: float | None
    planted: int


def make(seed: int, planted: bool) -> Archive:
    """Return the archive of a seed: 60 to 150 entities over 52 weeks."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(int(planted),))))
    count = int(rng.integers(60, 151))
    size = _rounded(np.exp(rng.normal(0.0, 0.8, count)))
    label_entity, label_day = _labels(rng, size)
    parts = [_signals(rng, size, signal, per_year=1.5 if signal in SIGNALS[:8] else 3.0) for signal in SIGNALS]
    lead_hours = None
    hit = np.zeros(0, dtype=np.int64)
    if planted:
        # Two market signals at a strength the noise seldom has, before 60 of 100 labels, at one lead for the archive.
        lead_hours = float(rng.integers(2, 8) * 24)
        hit = np.flatnonzero(rng.random(len(label_day)) < 0.6)
        for signal in ("S059", "S064"):
            day = label_day[hit] - lead_hours / 24
            parts.append((label_entity[hit], day, np.full(len(hit), 0.95), [signal] * len(hit)))
    names = tuple(f"{place:010d}" for place in range(count))
    return Archive(_event_table(rng, names, parts), _label_table(names, label_entity, label_day), names, lead_hours,
                   len(hit))  # fmt: skip


def _season(day: Floats, centre: float, width: float) -> Floats:
    """Intensity over the year, mean about 1: four seasons of `width` days around `centre` days into each quarter."""
    phase = (day % 91.0 - centre) / width
    return _rounded(0.5 + 1.6 * np.exp(-0.5 * phase * phase))


def _rounded(values: Floats) -> Floats:
    """Away with the last digits: numpy's exp has other ones on other processors."""
    return np.round(values, 9)


def _labels(rng: np.random.Generator, size: Floats) -> tuple[Ints, Floats]:
    """Labels of all entities (entity, day): rates by size, seasons, and clusters of near 1.4 events."""
    rate = _rounded(3.0 * size / size.mean() * np.exp(rng.normal(0.0, 0.5, len(size))))
    entity, day = _thinned(rng, rate * DAYS / 365.0, 0.0, DAYS, lambda at: _season(at, 30.0, 12.0) / 2.1)
    more = rng.random(len(day)) < 0.3
    echo = day[more] + rng.exponential(12.0, int(more.sum()))
    entity, day = np.concatenate([entity, entity[more]]), np.concatenate([day, echo])
    inside = day < DAYS
    return entity[inside], day[inside]


def _signals(
    rng: np.random.Generator, size: Floats, signal: str, per_year: float
) -> tuple[Ints, Floats, Floats, list[str]]:
    """One signal's events (entity, day, strength): rates by size, seasons, busy and quiet months, and bursts."""
    span = DAYS + WARM_UP
    rate = _rounded(per_year * span / 365.0 * (size / size.mean()) * np.exp(rng.normal(0.0, 0.6, len(size))))
    months = span // 28 + 2
    busy = rng.normal(size=(len(size), months))
    for month in range(1, months):
        busy[:, month] = 0.6 * busy[:, month - 1] + 0.8 * busy[:, month]
    level = _rounded(np.exp(0.7 * busy - 0.25))
    entity, day = _thinned(rng, 4.0 * rate, -WARM_UP, DAYS, lambda at: _season(at, 24.0, 14.0) / 2.1)
    month = ((day + WARM_UP) // 28).astype(np.int64)
    kept = rng.random(len(day)) < np.minimum(level[entity, month] / 4.0, 1.0)
    entity, day = entity[kept], day[kept]
    burst = rng.poisson(0.8, len(day))
    entity = np.concatenate([entity, np.repeat(entity, burst)])
    day = np.concatenate([day, np.repeat(day, burst) + rng.exponential(3.0, int(burst.sum()))])
    inside = day < DAYS
    entity, day = entity[inside], day[inside]
    return entity, day, rng.beta(2.0, 3.0, len(day)), [signal] * len(day)


def _thinned(
    rng: np.random.Generator, expected: Floats, first: float, last: float, kept: object
) -> tuple[Ints, Floats]:
    """A Poisson number of moments per entity, thinned by `kept` (a share by moment); more are drawn to make up."""
    entity = np.repeat(np.arange(len(expected)), rng.poisson(expected * 1.6))
    day = first + (last - first) * rng.random(len(entity))
    chosen = rng.random(len(day)) < kept(day)  # type: ignore[operator]
    return entity[chosen], day[chosen]


def _stamps(day: Floats) -> pa.Array:
    return pa.array((START + np.round(day * DAY).astype(np.int64)) * 1_000_000).cast(_STAMP)


def _event_table(
    rng: np.random.Generator, names: tuple[str, ...], parts: list[tuple[Ints, Floats, Floats, list[str]]]
) -> pa.Table:
    entity = np.concatenate([part[0] for part in parts])
    count = len(entity)
    return pa.table(
        {
            "entity_id": pa.array(names).take(pa.array(entity)),
            "event_id": [f"E{number:08d}" for number in range(count)],
            "signal_id": [signal for part in parts for signal in part[3]],
            "available_time": _stamps(np.concatenate([part[1] for part in parts])),
            "strength_norm": np.concatenate([part[2] for part in parts]),
            "reliability": rng.uniform(0.7, 1.0, count),
            "direction": rng.choice([-1.0, 1.0], count),
        }
    )


def _label_table(names: tuple[str, ...], entity: Ints, day: Floats) -> pa.Table:
    return pa.table(
        {
            "entity_id": pa.array(names).take(pa.array(entity)),
            "event_type": [EVENT_TYPE] * len(entity),
            "event_time": _stamps(day),
        }
    )
