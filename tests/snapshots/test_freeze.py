"""Freezing over a real database: what enters, what is the same, what is found when it was touched."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from signaldelta_assets.snapshots import PARTS, SnapshotManifestError, open_snapshot, snapshot_hash
from signaldelta_assets.snapshots.freeze import SnapshotError
from signaldelta_assets.snapshots.parts import SUFFIX
from signaldelta_assets.versioning import content_hash
from signaldelta_assets.warehouse import IntegrityError
from signaldelta_assets.warehouse.stores import backtests, documents
from signaldelta_assets.warehouse.stores.reading import Window
from tests.snapshots.world import DEFINITIONS, DEFINITIONS_HASH, WINDOW, World
from tests.warehouse.examples import put_raw, raw_record

pytestmark = pytest.mark.postgres


def test_a_snapshot_holds_everything_a_run_may_read(world: World) -> None:
    frozen = world.freeze()
    opened = open_snapshot(world.store, frozen.manifest)
    assert frozen.created and opened.snapshot_hash == frozen.snapshot_hash == snapshot_hash(frozen.manifest)
    tables = opened.tables()
    assert {kind: table.schema for kind, table in tables.items()} == PARTS
    assert set(tables["signal_events"]["content_hash"].to_pylist()) == {event.content_hash for event in world.events}
    assert set(tables["labeled_events"]["content_hash"].to_pylist()) == {label.content_hash for label in world.labels}
    frontier = tables["signal_frontier"].to_pylist()
    by_id = {event.event_id: event for event in world.events}
    assert len(frontier) == len(world.events)
    assert all(row["observed_time"] == by_id[row["event_id"]].observed_time for row in frontier)
    assert all(row["event_time"] == by_id[row["event_id"]].event_time for row in frontier)
    members = tables["entities"].to_pylist()
    assert [row["asset_class"] for row in members] == ["equity", None, None, None]
    assert {row["source_type"] for row in tables["coverage"].to_pylist()} == {"form_8k", "ownership"}
    for part in frozen.manifest["parts"]:
        path = world.store.path(part["file_hash"], SUFFIX)
        assert not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


def test_the_same_content_is_the_same_snapshot(world: World) -> None:
    first = world.freeze()
    files = {path: path.stat().st_mtime_ns for path in world.store.root.rglob(f"*{SUFFIX}")}
    again = world.freeze()
    assert (again.snapshot_id, again.snapshot_hash, again.created) == (first.snapshot_id, first.snapshot_hash, False)
    assert again.manifest == first.manifest
    assert {path: path.stat().st_mtime_ns for path in world.store.root.rglob(f"*{SUFFIX}")} == files

    # One event of one month changes: that month's files and no others.
    changed = [replace(world.events[0], strength_norm=0.111), *world.events[1:]]
    world.write_events(changed)
    later = world.freeze()
    assert later.created and later.snapshot_hash != first.snapshot_hash
    before = {(part["kind"], part["stretch"]): part["file_hash"] for part in first.manifest["parts"]}
    after = {(part["kind"], part["stretch"]): part["file_hash"] for part in later.manifest["parts"]}
    month = f"{world.events[0].event_time:%Y-%m}"
    assert {key for key in before if before[key] != after[key]} == {("signal_events", month)}


def test_what_comes_later_never_enters_an_earlier_moment(world: World) -> None:
    moment = world.warehouse.quiesce()
    first = world.freeze(moment)
    members = open_snapshot(world.store, first.manifest).table("entities")["entity_id"].to_pylist()
    put_raw(world.warehouse, [raw_record(500, entity_id="0000000009"), raw_record(501)])
    world.write_events([replace(world.events[0], strength_norm=0.2), *world.events[2:]])
    world.write_labels(world.labels[1:])
    with world.warehouse.write_pool("reference").connection() as connection:
        connection.execute("INSERT INTO securities (entity_id, asset_class, name) VALUES ('0000000002','equity','B')")
        for entity in members:
            connection.execute(
                "INSERT INTO securities (entity_id, asset_class, name) VALUES (%s, 'equity', 'x')"
                " ON CONFLICT DO NOTHING",
                (entity,),
            )
            connection.execute(
                "INSERT INTO security_identifiers (entity_id, kind, value, source, valid_from)"
                " VALUES (%s, 'ticker', 'LATE', 'test', '2020-01-02')",
                (entity,),
            )
    again = world.freeze(moment)
    assert (again.snapshot_hash, again.created) == (first.snapshot_hash, False)
    now = world.freeze()
    changed = {part["kind"] for part in now.manifest["parts"]} - {"definitions"}
    rows = {kind: [p["content_hash"] for p in now.manifest["parts"] if p["kind"] == kind] for kind in changed}
    old = {kind: [p["content_hash"] for p in first.manifest["parts"] if p["kind"] == kind] for kind in changed}
    assert {kind for kind in changed if rows[kind] != old[kind]} == changed


def test_evidence_reaches_back_behind_the_window(world: World) -> None:
    window, start = Window(date(2024, 4, 1), date(2024, 7, 1)), datetime(2024, 4, 1, tzinfo=UTC)
    cold, warm = (world.freeze(window=window, reach=timedelta(days=days)) for days in (0, 30))
    assert warm.snapshot_hash != cold.snapshot_hash
    assert warm.manifest["evidence_from"] == (start - timedelta(days=30)).isoformat()
    assert cold.manifest["evidence_from"] == cold.manifest["window"]["start"] == start.isoformat()
    one, other = (open_snapshot(world.store, frozen.manifest).tables() for frozen in (cold, warm))
    expected = {event.event_id for event in world.events if event.event_time >= start - timedelta(days=30)}
    assert set(other["signal_events"]["event_id"].to_pylist()) == expected
    assert set(other["signal_frontier"]["event_id"].to_pylist()) == expected
    assert min(one["signal_events"]["event_time"].to_pylist()) >= start
    assert one["signal_events"].num_rows < len(expected)
    assert all(one[kind].equals(other[kind]) for kind in ("labeled_events", "entities", "coverage"))


def test_one_changed_byte_is_found_and_named(world: World) -> None:
    frozen = world.freeze()
    part = next(part for part in frozen.manifest["parts"] if part["kind"] == "labeled_events")
    path = world.store.path(part["file_hash"], SUFFIX)
    good = path.read_bytes()
    path.chmod(0o644)
    for place in (0, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(IntegrityError, match=f"labeled_events/{part['stretch']}.*{part['file_hash']}"):
            open_snapshot(world.store, frozen.manifest)
    path.unlink()
    with pytest.raises(IntegrityError, match="no such artifact"):
        open_snapshot(world.store, frozen.manifest)
    path.write_bytes(good)
    assert content_hash(open_snapshot(world.store, frozen.manifest).table("signal_events"))


def test_what_cannot_be_frozen_is_refused(world: World) -> None:
    moment = world.warehouse.quiesce()
    with pytest.raises(ValueError, match="as_of"):
        world.freeze(moment + timedelta(hours=1))
    early = world.events[0].event_time
    from signaldelta_assets.snapshots import freeze_snapshot
    from signaldelta_assets.warehouse.stores import labels

    dataset = labels.freeze_dataset(world.warehouse, window=WINDOW, definitions_hash=DEFINITIONS_HASH)
    ask = {"window": WINDOW, "definitions_hash": DEFINITIONS_HASH, "dataset": dataset.version}
    with pytest.raises(SnapshotError, match="expected labels ingested by"):
        freeze_snapshot(world.warehouse, world.store, as_of=early, **ask)
    with pytest.raises(documents.UnknownDocumentError, match="no such signal_definitions"):
        freeze_snapshot(world.warehouse, world.store, **ask | {"definitions_hash": "0" * 64})
    # Other rules of labels are another ground truth; other rules of signals are not.
    labels_ = {name: entry | {"rule_hash": "c" * 64} for name, entry in DEFINITIONS["labels"].items()}
    put = documents.put_document
    other = put(world.warehouse, "signal_definitions", "active", DEFINITIONS | {"labels": labels_})
    with pytest.raises(SnapshotError, match="'definitions_hash': expected the label rules of"):
        freeze_snapshot(world.warehouse, world.store, **ask | {"definitions_hash": other})
    signals_ = DEFINITIONS["signals"] | {"S001": {"rule_hash": "2" * 64}}
    same = put(world.warehouse, "signal_definitions", "active", DEFINITIONS | {"signals": signals_})
    made = freeze_snapshot(world.warehouse, world.store, **ask | {"definitions_hash": same})
    found = open_snapshot(world.store, made.manifest).table("signal_events")["signal_id"].to_pylist()
    # S001 has no events under its new rule yet, S033 has those it had.
    assert set(found) == {"S033"} and len(found) == sum(event.signal_id == "S033" for event in world.events)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dataset_hash": "x"}, "dataset_hash"),
        ({"parts": []}, "parts"),
        ({"surprise": 1}, "surprise"),
        ({"schema": "signaldelta.snapshot/9"}, "schema"),
    ],
)
def test_a_manifest_that_is_not_one_is_refused_by_field(world: World, change: dict, field: str) -> None:
    manifest = world.freeze().manifest
    with pytest.raises(SnapshotManifestError, match=field):
        open_snapshot(world.store, manifest | change)
    assert backtests.get_snapshot(world.warehouse, snapshot_hash(manifest))["manifest"] == manifest
