"""Raw records, read in bulk for extractors, classifiers and coverage. They are written by the collection store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from ..pools import Warehouse, identifier
from .reading import TIME, Window, fetch_table, sort_table

_COLUMNS: dict[str, pa.DataType] = {
    "raw_record_id": pa.string(),
    "source_type": pa.string(),
    "entity_id": pa.string(),
    "natural_key": pa.string(),
    "form": pa.string(),
    "event_time": TIME,
    "observed_time": TIME,
    "collection_mode": pa.string(),
    "collector_version": pa.string(),
    "ingest_time": TIME,
    "payload": pa.string(),
}


def read_raw(
    warehouse: Warehouse,
    source_types: Sequence[str],
    first_day: date,
    last_day: date,
    as_of: datetime | None = None,
    entity_ids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the raw records of the partitions `first_day` to `last_day`, both included.

    Columns raw_record_id, source_type, entity_id, natural_key, form, event_time, observed_time (datetime64[us,
    UTC]), collection_mode, collector_version, ingest_time (as the other times), payload (dict); `form` is None where
    there is none. Only records ingested at or before `as_of`, only of `entity_ids`, where given. In order of
    raw_record_id: time, then content.
    """
    source = sql.SQL(
        "FROM {} WHERE source_type = ANY(%(sources)s) AND partition_date BETWEEN %(first)s AND %(last)s"
    ).format(identifier("raw_records"))
    if as_of is not None:
        source += sql.SQL(" AND ingest_time <= %(as_of)s")
    if entity_ids is not None:
        source += sql.SQL(" AND entity_id = ANY(%(entities)s)")
    params = {
        "sources": list(source_types),
        "first": first_day,
        "last": last_day,
        "as_of": as_of,
        "entities": list(entity_ids or ()),
    }
    source += sql.SQL(' ORDER BY raw_record_id COLLATE "C"')
    table = fetch_table(warehouse, _COLUMNS, source, params)
    payloads: list[Any] = table["payload"].to_pylist()
    frame: pd.DataFrame = table.drop_columns(["payload"]).to_pandas()
    # Explicitly None: a missing string is NaN to pandas, and NaN is true.
    frame["form"] = pd.Series(table["form"].to_pylist(), dtype=object)
    frame["payload"] = pd.Series([orjson.loads(text) for text in payloads], dtype=object)
    return frame


def read_provenance(warehouse: Warehouse, raw_record_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return where each of these raw records came from, by id; those that are not there are left out.

    Columns raw_record_id, source_type, entity_id, natural_key, form, event_time, observed_time (UTC), collector,
    payload_hash, body_hash, source_url; no payload.
    """
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT raw_record_id, source_type, entity_id, natural_key, form, event_time, observed_time, collector, "
            "payload_hash, body_hash, source_url FROM raw_records WHERE raw_record_id = ANY(%s)",
            (list(raw_record_ids),),
        ).fetchall()
    return {row["raw_record_id"]: row for row in rows}


def blocks_of_records(warehouse: Warehouse, source_types: Sequence[str], day: date) -> list[int]:
    """Return the block numbers, ascending, that records of these source types stand in on one partition day.

    Their natural keys begin with the block (`000012345678:000021`).
    """
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT DISTINCT split_part(natural_key, ':', 1)::bigint AS block FROM raw_records"
            " WHERE source_type = ANY(%s) AND partition_date = %s ORDER BY block",
            (list(source_types), day),
        ).fetchall()
    return [row["block"] for row in rows]


_COVERAGE: dict[str, pa.DataType] = {
    "entity_id": pa.string(),
    "source_type": pa.string(),
    "first_day": pa.date32(),
    "last_day": pa.date32(),
    "records": pa.int64(),
}


def read_coverage(warehouse: Warehouse, as_of: datetime | None, window: Window) -> pa.Table:
    """Return which entity was covered by which source type, from when to when, within `window`.

    Columns entity_id, source_type, first_day, last_day (of the partitions that hold its records) and records; by
    entity and source type; from the records ingested at or before `as_of` alone.
    """
    source = sql.SQL(
        "FROM (SELECT entity_id, source_type, min(partition_date) AS first_day, max(partition_date) AS last_day, "
        "count(*) AS records FROM {} WHERE partition_date >= %(start)s AND partition_date < %(end)s "
        "AND (%(as_of)s::timestamptz IS NULL OR ingest_time <= %(as_of)s) GROUP BY entity_id, source_type) AS covered"
    ).format(identifier("raw_records"))
    params = {"as_of": as_of, "start": window.start, "end": window.end}
    return sort_table(fetch_table(warehouse, _COVERAGE, source, params), ("entity_id", "source_type"))


_SECURITIES: dict[str, pa.DataType] = {"entity_id": pa.string(), "asset_class": pa.string(), "cik": pa.string()}


def read_members(warehouse: Warehouse, as_of: datetime | None, coverage: pa.Table) -> pa.Table:
    """Return the entities of `coverage` (`read_coverage`): entity_id, asset_class, cik, member_from, member_to (days).

    An entity that stopped reporting stays, with its last day. asset_class and cik, which never change, are null where
    the entity came into the reference data after `as_of`.
    """
    source = sql.SQL("FROM {} WHERE %(as_of)s::timestamptz IS NULL OR first_seen_at <= %(as_of)s")
    known = fetch_table(warehouse, _SECURITIES, source.format(identifier("securities")), {"as_of": as_of})
    days = coverage.group_by("entity_id", use_threads=False).aggregate([("first_day", "min"), ("last_day", "max")])
    days = sort_table(days, ("entity_id",))
    members = known.take(pc.index_in(days["entity_id"], known["entity_id"]))
    columns = [days["entity_id"], members["asset_class"], members["cik"], days["first_day_min"], days["last_day_max"]]
    return pa.table(columns, names=["entity_id", "asset_class", "cik", "member_from", "member_to"])
