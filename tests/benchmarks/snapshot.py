"""Freezing at reference size: 500,000 events, 50,000 labels and 1,500 entities in PostgreSQL, beside the plain way."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
from psycopg.rows import dict_row

from signaldelta_assets.snapshots import Snapshot, freeze_snapshot
from signaldelta_assets.warehouse import ArtifactStore, Warehouse, embedded_server, migrate, stop_embedded
from signaldelta_assets.warehouse.stores import documents, labels
from signaldelta_assets.warehouse.stores.reading import Window

from .timing import Row, seconds

ENTITIES, EVENTS, LABELS, RECORDS = 1_500, 500_000, 50_000, 300_000
WINDOW = Window(date(2024, 6, 1), date(2024, 11, 1))

# Filled by the server itself: ids as random as ULIDs made of hashes are, JSON of the shapes the extractors write.
_FILL = """
SET synchronous_commit = off;
SET search_path = signaldelta, public;
INSERT INTO collector_runs (collector_run_id, collector, collector_version, collection_mode, window_start, window_end,
  status) VALUES ('run', 'bench', '1', 'backfill', '2024-06-01', '2024-11-01', 'complete');
INSERT INTO raw_documents (body_hash, size_bytes, source_url, http_status, observed_time)
  VALUES (repeat('0', 64), 1, 'https://example.test/', 200, now());
INSERT INTO securities (entity_id, asset_class, cik, name, first_seen_at)
  SELECT lpad(i::text, 10, '0'), 'equity', lpad(i::text, 10, '0'), 'Company ' || i, '2024-01-01'
  FROM generate_series(0, {entities} - 1) AS i;
INSERT INTO raw_records (raw_record_id, source_type, entity_id, natural_key, form, event_time, observed_time,
  partition_date, collection_mode, collector, collector_version, collector_run_id, schema_version, payload_hash,
  payload, body_hash, source_url)
  SELECT '01' || upper(substr(md5('raw' || i), 1, 24)), (ARRAY['ownership','form_8k','daily_bar'])[1 + i % 3],
    lpad((i % {entities})::text, 10, '0'), 'key-' || i, (ARRAY['4','8-K',NULL])[1 + i % 3], at,
    at + interval '400 days', at::date, 'backfill', 'bench', '1', 'run', '1', md5(i::text) || md5(i::text),
    '{{}}', repeat('0', 64), 'https://example.test/'
  FROM (SELECT i, timestamptz '2024-06-01 00:00Z' + (i * 43.9) * interval '1 second' AS at
        FROM generate_series(0, {records} - 1) AS i) AS made;
INSERT INTO iald_signals (event_id, revision, event_key, signal_id, family, entity_id, event_time, observed_time,
  partition_date, strength_norm, direction, reliability, chain_affinity, frontier, raw_record_ids, attributes, active,
  definitions_hash, extractor_version, content_hash)
  SELECT '01' || upper(substr(md5('event' || i), 1, 24)), 1,
    format('["%s","%s",["0000950170-24-%s"]]', signal, entity, lpad(i::text, 6, '0')), signal,
    'F' || lpad((1 + i % 12)::text, 2, '0'), entity, at, at + interval '400 days', at::date, x, i % 3 - 1, 0.9,
    '{{"CT-01":0.8}}', jsonb_build_array(jsonb_build_object('source_type', 'ownership', 'form', '4',
      'collection_mode', 'backfill', 'event_time', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'),
      'observed_time', to_char(at AT TIME ZONE 'UTC' + interval '400 days', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'))),
    ARRAY['01' || upper(substr(md5('raw' || i % {records}), 1, 24))],
    jsonb_build_object('shares', i % 9973, 'price', x), true, '{definitions}', '{definitions}',
    md5('a' || i) || md5('b' || i)
  FROM (SELECT i, 'S' || lpad((1 + i % 30)::text, 3, '0') AS signal,
          lpad((i * 7 % {entities})::text, 10, '0') AS entity,
          date_trunc('second', timestamptz '2024-06-01 00:00Z' + (i * 26.3) * interval '1 second') AS at,
          (hashint4(i) & 1048575) / 1048576.0 AS x
        FROM generate_series(0, {events} - 1) AS i) AS made;
INSERT INTO labeled_events (label_id, revision, label_key, event_type, subtype, entity_id, event_time, time_precision,
  known_at, observed_time, confidence, raw_record_ids, source_url, classifier_version, definitions_hash, attributes,
  active, content_hash)
  SELECT '01' || upper(substr(md5('label' || i), 1, 24)), 1, 'label-' || i,
    (ARRAY['MNA_ANNOUNCEMENT','EARNINGS_SURPRISE'])[1 + i % 2], 'stated', lpad((i % {entities})::text, 10, '0'),
    at, 'second', at, at + interval '400 days', 0.9, ARRAY['01' || upper(substr(md5('raw' || i), 1, 24))],
    'https://example.test/', '{definitions}', '{definitions}', '{{"items":["1.01"]}}', true,
    md5('c' || i) || md5('d' || i)
  FROM (SELECT i, date_trunc('second', timestamptz '2024-06-01 00:00Z' + (i * 263.5) * interval '1 second') AS at
        FROM generate_series(0, {labels} - 1) AS i) AS made;
ANALYZE;
"""
_RULE = "d" * 64
_DEFINITIONS: dict[str, Any] = {
    "schema": "signaldelta.signal_definitions/1",
    "families": {},
    # Every signal and label of the bench is made under one rule.
    "signals": {"S001": {"rule_hash": _RULE}},
    "labels": {"MNA_ANNOUNCEMENT": {"rule_hash": _RULE}},
}


@dataclass(frozen=True)
class Filled:
    """A database at reference size, and the labeled-event dataset over it."""

    warehouse: Warehouse
    definitions_hash: str
    dataset: labels.Dataset

    def freeze(self, store: ArtifactStore) -> Snapshot:
        """Freeze the whole of it."""
        return freeze_snapshot(self.warehouse, store, window=WINDOW, definitions_hash=self.definitions_hash,
                               dataset=self.dataset)  # fmt: skip


@contextmanager
def filled(folder: Path) -> Iterator[Filled]:
    """Start a server in `folder`, fill it, and stop it at the end."""
    url = embedded_server(folder / "pg")
    try:
        migrate(url)
        with Warehouse(url) as warehouse:
            definitions_hash = documents.put_document(warehouse, "signal_definitions", "bench", _DEFINITIONS)
            fill = _FILL.format(entities=ENTITIES, events=EVENTS, labels=LABELS, records=RECORDS,
                                definitions=_RULE)  # fmt: skip
            with psycopg.connect(warehouse.url, autocommit=True) as connection:
                connection.execute(fill.encode())
            dataset = labels.freeze_dataset(warehouse, window=WINDOW, definitions_hash=definitions_hash)
            yield Filled(warehouse, definitions_hash, dataset)
    finally:
        stop_embedded(folder / "pg")


# The plain way: every row a Python object, every table a frame, every frame one file, each file hashed.
_PLAIN = {
    "signal_events": "SELECT DISTINCT ON (event_key) * FROM signaldelta.iald_signals WHERE active "
    "ORDER BY event_key, revision DESC",
    "labeled_events": "SELECT e.* FROM signaldelta.labeled_event_dataset_members AS m "
    "JOIN signaldelta.labeled_events AS e USING (label_id, revision)",
    "entities": "SELECT entity_id, min(partition_date), max(partition_date) FROM signaldelta.raw_records GROUP BY 1",
    "coverage": "SELECT entity_id, source_type, min(partition_date), max(partition_date), count(*) "
    "FROM signaldelta.raw_records GROUP BY 1, 2",
}


def plain(url: str, folder: Path) -> list[str]:
    """Freeze by fetchall, pandas and to_parquet; return the hashes of the files."""
    hashes = []
    with psycopg.connect(url, row_factory=dict_row) as connection:
        for kind, query in _PLAIN.items():
            frame = pd.DataFrame(connection.execute(query.encode()).fetchall())
            for name in ("chain_affinity", "frontier", "attributes"):
                if name in frame:
                    frame[name] = frame[name].map(json.dumps)
            if "event_id" in frame:
                frame = frame.sort_values(["entity_id", "event_time", "event_id"])
            path = folder / f"{kind}.parquet"
            frame.to_parquet(path, compression="zstd")
            hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return hashes


def measure() -> Iterator[Row]:
    """Yield the rows."""
    with tempfile.TemporaryDirectory(prefix="sdbench-", ignore_cleanup_errors=True) as raw:
        folder = Path(raw)
        with filled(folder) as world:
            fresh = seconds(lambda: world.freeze(ArtifactStore(folder / "fresh")))
            # As autovacuum leaves it a minute later: without that, the first reader writes a page for every page read.
            with psycopg.connect(world.warehouse.url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
            store = ArtifactStore(folder / "artifacts")
            first = seconds(lambda: world.freeze(store))
            again = seconds(lambda: world.freeze(store))
            baseline = seconds(lambda: plain(world.warehouse.url, folder))
    note = f"{EVENTS:,} events, {LABELS:,} labels, {ENTITIES:,} entities; plain: fetchall, pandas, to_parquet"
    yield Row("freeze a snapshot from PostgreSQL", first, baseline, float(EVENTS), note)
    at_once = "never vacuumed yet: the first reader marks every row"
    yield Row("freeze it right after the rows came in", fresh, baseline, float(EVENTS), at_once)
    shared = "every part is shared; its bytes are checked"
    yield Row("freeze it again, nothing changed", again, baseline, float(EVENTS), shared)
