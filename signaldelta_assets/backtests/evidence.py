"""Which evidence a run scores with: everything that was available, and what is left without circular evidence.

A label and a signal can come from the same filing. For an event type, evidence is circular that belongs to a family
named for it (signals.md section 5, in the definitions; the protocol may name others), or that was computed from a raw
record on which one of its labels rests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.timeline import LatencyModel

from .evaluation import EvaluationProtocol

Ints = npt.NDArray[np.int64]

_NEVER = np.iinfo(np.int64).min


class EngineError(SignalDeltaError):
    """Input that a run cannot be computed from: the run fails, it never goes on with less."""


def available_events(events: pa.Table, frontier: pa.Table, latency: LatencyModel) -> pa.Table:
    """Return `events` with available_time: the latency model's latest over the frontier of each (signals.md 4.0).

    events: the snapshot's signal_events; frontier: its signal_frontier. Raises `EngineError` for an event without
    frontier, and for a frontier without event.
    """
    times = pa.Array.from_pandas(latency.available_time(frontier)).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    ids: Any = events["event_id"].combine_chunks()
    of_rows: Any = frontier["event_id"].combine_chunks()
    places = _places(ids, of_rows)
    latest = np.full(len(ids), _NEVER, np.int64)
    np.maximum.at(latest, places, times.to_numpy())
    missing = np.flatnonzero(latest == _NEVER)
    if missing.size:
        raise EngineError(f"signal event {ids[int(missing[0])]}: field 'frontier': expected at least one row")
    return events.append_column("available_time", pa.array(latest).cast(pa.timestamp("us", "UTC")))


def _places(ids: Any, of_rows: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The place in `ids` of the event of each frontier row."""
    # A snapshot's frontier is in the order of its events: then runs of one id need no look-up.
    if len(of_rows):
        starts = np.append(True, pc.not_equal(of_rows.slice(1), of_rows.slice(0, len(of_rows) - 1)).to_numpy(False))
        if of_rows.filter(pa.array(starts)).equals(ids):
            return np.asarray(np.cumsum(starts) - 1)
    found = pc.index_in(of_rows, value_set=ids)
    if found.null_count:
        known = len(pc.unique(of_rows))
        raise EngineError(f"signal_frontier: expected rows of {len(ids)} events, found rows of {known}")
    return np.asarray(found.to_numpy(), np.int64)


def covered_entities(
    coverage: pa.Table,
    labels: pa.Table,
    event_types: Iterable[str],
    protocol: EvaluationProtocol,
    definitions: Mapping[str, Any],
) -> list[str]:
    """Return the entities, sorted, whose events of `event_types` would have been seen at some time of the grid.

    That is what makes a negative a negative (backtests.md, Snapshot): a source type that one of these labels is made
    from covers the entity while the grid lasts. One with such an event in the grid has been seen. Raises `EngineError`
    naming a type whose label definition is not known.
    """
    names = list(event_types)
    sources = sorted({source for name in names for source in _label_sources(name, definitions)})
    watched = pc.is_in(coverage["source_type"], value_set=pa.array(sources, pa.string()))
    of_sources = covered_at_all(coverage.filter(watched), protocol)
    seen = [
        entity
        for entity, name, subtype, at in zip(
            *(labels[column].to_pylist() for column in ("entity_id", "event_type", "subtype")),
            labels["event_time"].cast(pa.int64()).to_pylist(),
            strict=True,
        )
        if name in names and protocol.start <= at <= protocol.end and subtype in protocol.targets.get(name, (subtype,))
    ]
    return sorted({*of_sources, *seen})


def asked_about(
    coverage: pa.Table,
    labels: pa.Table,
    event_types: Iterable[str],
    protocol: EvaluationProtocol,
    definitions: Mapping[str, Any],
) -> tuple[list[str], Ints | None]:
    """Return the covered entities, and where the protocol asks within their coverage alone, their stretches."""
    types = list(event_types)
    entities = covered_entities(coverage, labels, types, protocol, definitions)
    if protocol.within != "coverage":
        return entities, None
    return entities, covered_stretches(coverage, entities, types, protocol, definitions)


def covered_stretches(
    coverage: pa.Table,
    entities: Sequence[str],
    event_types: Iterable[str],
    protocol: EvaluationProtocol,
    definitions: Mapping[str, Any],
) -> Ints:
    """Return, by entity, from when and to before when (microseconds) it is asked about: the days of its coverage.

    The first to the last day on which a source of one of these labels covers it, whole days in UTC, of what covers it
    at some time of the grid; the protocol's whole grid where nothing does, for one that was seen all the same.
    """
    sources = sorted({source for name in event_types for source in _label_sources(name, definitions)})
    of_sources = coverage.filter(pc.is_in(coverage["source_type"], value_set=pa.array(sources, pa.string())))
    watched = of_sources.filter(_inside(of_sources, protocol))
    days = watched.group_by("entity_id", use_threads=False).aggregate([("first_day", "min"), ("last_day", "max")])
    found = {
        row["entity_id"]: (_midnight(row["first_day_min"]), _midnight(row["last_day_max"] + timedelta(days=1)))
        for row in days.to_pylist()
    }
    whole = (protocol.start, protocol.end + 1)
    return np.array([found.get(entity, whole) for entity in entities], dtype=np.int64).reshape(-1, 2)


def covered_at_all(coverage: pa.Table, protocol: EvaluationProtocol) -> set[str]:
    """Return the entities that some row of `coverage` covers at some time of the protocol's grid."""
    names: Any = pc.unique(coverage.filter(_inside(coverage, protocol))["entity_id"]).to_pylist()
    return set(names)


def _inside(coverage: pa.Table, protocol: EvaluationProtocol) -> Any:
    """Where a row of `coverage` has a day of the protocol's grid."""
    first, last = _day(protocol.start), _day(protocol.end)
    return pc.and_(
        pc.less_equal(coverage["first_day"], pa.scalar(last, pa.date32())),
        pc.greater_equal(coverage["last_day"], pa.scalar(first, pa.date32())),
    )


def _label_sources(event_type: str, definitions: Mapping[str, Any]) -> list[str]:
    sources: list[str] = definitions.get("labels", {}).get(event_type, {}).get("source_types", [])
    if not sources:
        raise EngineError(f"definitions: labels.{event_type}.source_types: expected at least one source, found none")
    return sources


def _midnight(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400_000_000


def _day(microseconds: int) -> date:
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).date()


@dataclass(frozen=True, slots=True)
class Circular:
    """The evidence that is circular for some event types: where it is, and how much of it for which reason."""

    mask: np.ndarray[Any, np.dtype[np.bool_]]
    families: tuple[str, ...]
    by_family: int
    by_record: int

    def to_document(self) -> dict[str, Any]:
        """Return the counts as a document: `by_record` are those of other families."""
        return {"families": list(self.families), "events_by_family": self.by_family, "events_by_record": self.by_record}


def circular_evidence(
    events: pa.Table,
    labels: pa.Table,
    event_types: Iterable[str],
    protocol: EvaluationProtocol,
    definitions: Mapping[str, Any],
) -> Circular:
    """Return which of `events` (signal_events) are circular for any of `event_types`."""
    names = list(event_types)
    families = sorted({family for name in names for family in left_out_families(name, protocol, definitions)})
    by_family = pc.is_in(events["family"], value_set=pa.array(families, pa.string())).to_numpy().astype(np.bool_)
    of_types = labels.filter(pc.is_in(labels["event_type"], value_set=pa.array(names, pa.string())))
    records = pc.unique(pc.list_flatten(of_types["raw_record_ids"]))
    flat: Any = events["raw_record_ids"].combine_chunks()
    carried: Any = pc.is_in(flat.flatten(), value_set=records)
    shared: Any = pc.list_parent_indices(flat).filter(carried)
    by_record = np.zeros(len(events), dtype=np.bool_)
    by_record[shared.to_numpy()] = True
    only_record = by_record & ~by_family
    return Circular(by_family | by_record, tuple(families), int(by_family.sum()), int(only_record.sum()))


def left_out_families(event_type: str, protocol: EvaluationProtocol, definitions: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the families left out for an event type: the protocol's word, else the definitions'."""
    named = protocol.circular_families.get(event_type)
    if named is not None:
        return tuple(named)
    family = definitions.get("labels", {}).get(event_type, {}).get("family_left_out")
    return () if family is None else (str(family),)
