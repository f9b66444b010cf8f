"""One number of one signal changed: its partitions are stale and no other's, and all other events stand as they are."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from signaldelta_assets.catalogue import SignalDefinitions
from signaldelta_assets.contracts import CollectionMode, RawRecord
from signaldelta_assets.defs.partitions import RANGE_END, RANGE_START, daily
from signaldelta_assets.defs.platform import Platform
from signaldelta_assets.defs.signals import asset_keys, build_assets, parents_of, signals_by_domain
from signaldelta_assets.defs.snapshots import EVIDENCE_KEY, build_evidence
from signaldelta_assets.defs.versions import EMPTY, signal_versions
from signaldelta_assets.snapshots import freeze_snapshot
from signaldelta_assets.snapshots.parts import SUFFIX
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import documents, labels
from signaldelta_assets.warehouse.stores.reading import Window
from tests.extractors.make import definitions, form4, index, line
from tests.warehouse.examples import BODY, put_raw

pytestmark = [pytest.mark.platform, pytest.mark.postgres]

FIRST_DAY, QUARTER = "2024-01-01", "2024-01-01"
DAYS = [f"2024-01-{day:02d}" for day in range(8, 14)]
WINDOW = Window(date(2024, 1, 1), date(2024, 4, 1))
ENTITY = "0000000001"


def _records() -> list[RawRecord]:
    """Two purchases of 200,000 and 100,000 USD that make a cluster, a sale, and a late notice, on days of their own."""
    made = []
    for day, code, shares, owner in ((8, "P", 20_000, "101"), (9, "P", 10_000, "102"), (10, "S", 50_000, "103")):
        when = datetime(2024, 1, day, 15, tzinfo=UTC)
        trade = line(code, shares, 10.0, f"2024-01-{day - 1:02d}")
        made.append(form4(f"acc-{day}", when, [trade], [owner]))
    made.append(index("acc-nt", datetime(2024, 1, 11, 15, tzinfo=UTC), "NT 10-K"))
    return [
        RawRecord(
            source_type=record["source_type"], entity_id=ENTITY, natural_key=record["natural_key"],
            form=record["form"], event_time=record["event_time"],
            observed_time=record["event_time"] + timedelta(days=400), collection_mode=CollectionMode.BACKFILL,
            payload=record["payload"], collector="test", collector_version="1", collector_run_id="RUN",
            schema_version="1", body_hash=BODY, source_url="https://example.test/doc",
        )
        for record in made
    ]  # fmt: skip


@cache
def few() -> SignalDefinitions:
    """The definitions with the signals of two families: a quarter stands below more than 500 of their days."""
    document = copy.deepcopy(dict(definitions().document))
    for signal in document["signals"].values():
        if signal["family"] not in ("F01", "F03"):
            signal |= {"implemented": False, "waits_for": "another test"}
    return SignalDefinitions(document)


def _changed() -> SignalDefinitions:
    """The definitions with one number changed: S001 asks for 150,000 USD instead of 10,000."""
    document = copy.deepcopy(dict(few().document))
    document["signals"]["S001"]["params"]["min_usd"] = 150_000
    return SignalDefinitions(document)


class Location:
    """The signals and the evidence of some definitions, as a code location that was loaded with them."""

    def __init__(self, found: SignalDefinitions, instance: dg.DagsterInstance) -> None:
        assets = [
            build_assets(found, domain, names, FIRST_DAY) for domain, names in sorted(signals_by_domain(found).items())
        ]
        parents = {parent for name in found.active_signals() for parent in parents_of(found.signal(name))}
        raw = [dg.AssetSpec(key, partitions_def=daily(FIRST_DAY)) for key in sorted(parents)]
        loaded = dg.Definitions(
            assets=[*raw, *assets, build_evidence(found, FIRST_DAY)],
            resources={"platform": Platform()},
            executor=dg.in_process_executor,
        )
        self.definitions, self._instance = found, instance
        self._repository = loaded.get_repository_def()
        self.keys = asset_keys(found)

    def run(self, keys: list[dg.AssetKey], partition: str | None = None) -> dg.ExecuteInProcessResult:
        job = self._repository.get_implicit_job_def_for_assets(keys)
        assert job is not None
        tags = {} if partition else {RANGE_START: DAYS[0], RANGE_END: DAYS[-1]}
        return job.execute_in_process(instance=self._instance, asset_selection=keys, partition_key=partition, tags=tags)

    def stale(self) -> set[tuple[str, str]]:
        """(asset, partition) of all that was materialized and is not fresh."""
        graph = self._repository.asset_graph
        resolver = CachingStaleStatusResolver(self._instance, graph, LoadingContextForTest(self._instance))
        places = [(key, day) for key in self.keys.values() for day in DAYS] + [(EVIDENCE_KEY, QUARTER)]
        found = {(key.to_user_string(), day): resolver.get_status(key, day) for key, day in places}
        assert set(found.values()) <= {StaleStatus.FRESH, StaleStatus.STALE}
        return {place for place, status in found.items() if status is StaleStatus.STALE}

    def recorded(self) -> dict[str, dict[str, str | None]]:
        """The data version that Dagster has of each signal and day."""
        made: dict[str, dict[str, str | None]] = {}
        for name, key in self.keys.items():
            made[name] = {}
            for day in DAYS:
                record = self._instance.get_latest_data_version_record(key, partition_key=day)
                assert record is not None and record.asset_materialization is not None
                made[name][day] = (record.asset_materialization.tags or {}).get("dagster/data_version")
        return made


@pytest.fixture
def warehouse(fresh_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", fresh_postgres_url)
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path))
    with Warehouse(fresh_postgres_url) as opened:
        put_raw(opened, _records())
        with opened.write_pool("reference").connection() as connection:
            connection.execute(
                "INSERT INTO securities (entity_id, asset_class, cik, name) VALUES (%s, 'equity', %s, 'A')",
                (ENTITY, ENTITY),
            )
        yield opened


def _events(warehouse: Warehouse) -> dict[str, int]:
    """Rows per signal, of whatever definitions."""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute("SELECT signal_id, count(*) AS n FROM iald_signals GROUP BY 1 ORDER BY 1").fetchall()
    return {row["signal_id"]: row["n"] for row in rows}


def _frozen(warehouse: Warehouse, store: ArtifactStore, found: SignalDefinitions) -> tuple[str, dict[str, int]]:
    """The dataset's id and the events per signal of a snapshot under `found`."""
    documents.put_document(warehouse, "signal_definitions", "active", found.active)
    dataset = labels.freeze_dataset(warehouse, window=WINDOW, definitions_hash=found.hash)
    made = freeze_snapshot(warehouse, store, window=WINDOW, definitions_hash=found.hash, dataset=dataset)
    counts: dict[str, int] = {}
    for part in made.manifest["parts"]:
        if part["kind"] == "signal_events":
            table = pq.read_table(store.path(part["file_hash"], SUFFIX))
            for name in table.column("signal_id").to_pylist():
                counts[name] = counts.get(name, 0) + 1
    return dataset.dataset_id, dict(sorted(counts.items()))


def test_a_changed_parameter_makes_its_own_signal_stale_and_no_other(warehouse: Warehouse, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    with dg.DagsterInstance.ephemeral() as instance:
        before = Location(few(), instance)
        assert before.run(list(before.keys.values())).success
        assert before.run([EVIDENCE_KEY], QUARTER).success
        assert before.stale() == set()
        # Each day of a range has its own version: those of nothing, and of what there is.
        held = signal_versions(warehouse, few().signal_hashes(), DAYS)
        assert before.recorded() == held
        full = {(name, day) for name, days in held.items() for day, version in days.items() if version != EMPTY}
        assert full == {("S001", DAYS[0]), ("S001", DAYS[1]), ("S002", DAYS[2]), ("S003", DAYS[1]), ("S016", DAYS[3])}
        assert _events(warehouse) == {"S001": 2, "S002": 1, "S003": 1, "S016": 1}
        dataset, events = _frozen(warehouse, store, few())
        assert events == _events(warehouse)

        after = Location(_changed(), instance)
        assert after.definitions.hash != before.definitions.hash
        changed = after.keys["S001"]
        assert after.stale() == {(changed.to_user_string(), day) for day in DAYS}
        # Without any extraction the new snapshot has the other signals' events, and the same ground truth.
        others = {name: number for name, number in events.items() if name != "S001"}
        assert _frozen(warehouse, store, after.definitions) == (dataset, others)

        assert after.run([changed]).success
        # The purchase of 100,000 USD is one no longer. Nothing else was written.
        assert _events(warehouse) == events | {"S001": 3}
        assert _frozen(warehouse, store, after.definitions) == (dataset, others | {"S001": 1})
        # What was frozen before is found as it was, for its rules are still named by the old definitions.
        assert _frozen(warehouse, store, few()) == (dataset, events)
        # Dagster counts partitions per parent: below five hundred days the one that changed is still seen.
        assert after.stale() == {(EVIDENCE_KEY.to_user_string(), QUARTER)}
        assert after.run([EVIDENCE_KEY], QUARTER).success
        assert after.stale() == set()


def test_a_run_extracts_the_signals_it_was_asked_for(warehouse: Warehouse, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        location = Location(few(), instance)
        asked = [location.keys["S003"], location.keys["S016"]]
        made = location.run(asked, DAYS[1])
        assert made.success and _events(warehouse) == {"S003": 1}
        assert {event.asset_key for event in made.get_asset_materialization_events()} == set(asked)
        checks = made.get_asset_check_evaluations()
        assert {(check.asset_key, check.passed) for check in checks} == {(key, True) for key in asked}


def test_the_blocking_check_is_each_signals_own(warehouse: Warehouse, tmp_path: Path) -> None:
    """An event whose record is gone fails the check of its signal, and the run; whatever rule it was made under."""
    with dg.DagsterInstance.ephemeral() as instance:
        location = Location(few(), instance)
        keys = [location.keys["S001"], location.keys["S003"]]
        assert location.run(keys).success
        with warehouse.write_pool("signals").connection() as connection:
            connection.execute(
                "INSERT INTO iald_signals SELECT (jsonb_populate_record(s, jsonb_build_object('event_id',"
                " repeat('9', 26), 'event_key', 'planted', 'definitions_hash', repeat('0', 64), 'raw_record_ids',"
                " ARRAY['gone']))).* FROM iald_signals s"
                " WHERE signal_id = 'S003'"
            )
        job = location._repository.get_implicit_job_def_for_assets(keys)
        assert job is not None
        made = job.execute_in_process(instance=instance, asset_selection=keys, partition_key=DAYS[1],
                                      raise_on_error=False)  # fmt: skip
        assert not made.success
        passed = {check.asset_key: check.passed for check in made.get_asset_check_evaluations()}
        assert passed == {keys[0]: True, keys[1]: False}
