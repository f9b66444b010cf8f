"""Reading back finds any changed byte, in rows and in files, and names where; an untouched world has no fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from signaldelta_assets.backtests import run_backtest
from signaldelta_assets.readback import read_back
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import llm
from tests.backtests.runs.study import make_spec
from tests.snapshots.world import World, build_world
from tests.warehouse.examples import BODY

pytestmark = pytest.mark.postgres

# One change of one value each, as somebody with all rights could make it, and what the fault must name.
CHANGES = {
    "documents": ("document", "UPDATE documents SET canonical = canonical || ' '::bytea WHERE kind = 'scoring_model'",
                  "canonical"),
    "documents jsonb": ("document", "UPDATE documents SET document = document || '{\"x\": 1}'"
                        " WHERE kind = 'latency_model'", "document"),
    "llm_outputs": ("model answer", "UPDATE llm_outputs SET output = set_byte(output, 0, 32)", "output"),
    "raw_records": ("raw record", "UPDATE raw_records SET payload = payload || '{\"n\": -1}' WHERE raw_record_id ="
                    " (SELECT min(raw_record_id) FROM raw_records)", "payload"),
    "iald_signals": ("signal event", "UPDATE iald_signals SET strength_norm = strength_norm / 2 WHERE event_id ="
                     " (SELECT min(event_id) FROM iald_signals)", "content_hash"),
    "iald_signals time": ("signal event", "UPDATE iald_signals SET event_time = event_time + interval '1 second'"
                          " WHERE event_id = (SELECT min(event_id) FROM iald_signals)", "event_id"),
    "labeled_events": ("label", "UPDATE labeled_events SET confidence = 0.123 WHERE label_id ="
                       " (SELECT min(label_id) FROM labeled_events)", "content_hash"),
    "a member": ("dataset", "DELETE FROM labeled_event_dataset_members WHERE label_id ="
                 " (SELECT min(label_id) FROM labeled_event_dataset_members)", "members"),
    "a parent": ("dataset", "UPDATE labeled_event_datasets SET parent_hash = repeat('0', 64)", "parent_hash"),
    "backtest_snapshots": ("snapshot", "UPDATE backtest_snapshots SET manifest_canonical ="
                           " replace(convert_from(manifest_canonical, 'UTF8'), '\"rows\":', '\"rows\":1')::bytea",
                           "manifest_canonical"),
    "backtest_snapshots jsonb": ("snapshot", "UPDATE backtest_snapshots SET manifest = manifest || '{\"x\": 1}'",
                                 "manifest"),
    "backtest_metrics": ("run", "UPDATE backtest_metrics SET value = value + 1e-9 WHERE metric = 'auc'",
                         "backtest_metrics"),
    "backtest_alerts": ("run", "UPDATE backtest_alerts SET alert_score = alert_score + 1e-9 WHERE alert_at ="
                        " (SELECT min(alert_at) FROM backtest_alerts)", "backtest_alerts"),
    "an alert": ("run", "DELETE FROM backtest_alerts WHERE alert_at = (SELECT min(alert_at) FROM backtest_alerts)",
                 "backtest_alerts"),
    "backtest_artifacts": ("run", "UPDATE backtest_artifacts SET rows = rows + 1 WHERE name = 'alerts'",
                           "backtest_artifacts"),
    "evaluation": ("run", "UPDATE backtest_runs SET evaluation = evaluation || '{\"x\": 1}'", "evaluation"),
    "manifest_hash": ("run", "UPDATE backtest_runs SET manifest_hash = repeat('0', 64)", "manifest_hash"),
    "hypothesis_trials": ("trial", "UPDATE hypothesis_trials SET trial_number = trial_number + 1", "trial_number"),
}  # fmt: skip

TABLES = {
    "document": "documents",
    "raw record": "raw_records",
    "signal event": "iald_signals",
    "label": "labeled_events",
    "dataset": "labeled_event_datasets",
    "snapshot": "backtest_snapshots",
    "run": "backtest_runs",
    "body": "raw_documents",
    "model answer": "llm_outputs",
    "trial": "hypothesis_trials",
}


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Warehouse(postgres_url) as warehouse:
        yield build_world(warehouse, ArtifactStore(tmp_path_factory.mktemp("artifacts")))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    store = ArtifactStore(tmp_path_factory.mktemp("archive"))
    assert store.put_bytes(b"body") == BODY
    return store


@pytest.fixture(scope="module")
def filled(world: World) -> World:
    run_backtest(world.warehouse, world.store, make_spec(world))
    asked = {"task": "t", "task_version": "0" * 64, "protocol": "openai", "model": "m"}
    llm.put_output(world.warehouse, asked, {"answer": "yes", "input_tokens": 1, "output_tokens": 1})
    return world


@contextmanager
def tampered(world: World, statement: str) -> Iterator[None]:
    """Make a change that no role of the application could make, and take it back."""
    with psycopg.connect(world.warehouse.url, options="-c search_path=signaldelta", autocommit=True) as connection:
        tables = ("documents", "llm_outputs", "raw_records", "iald_signals", "labeled_events", "labeled_event_datasets",
                  "labeled_event_dataset_members", "backtest_snapshots", "backtest_metrics", "backtest_alerts",
                  "backtest_artifacts", "backtest_runs", "hypothesis_trials")  # fmt: skip
        touched = next(name for name in tables if f" {name} " in statement)
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"CREATE TABLE public.kept AS SELECT * FROM {touched}")
        try:
            assert connection.execute(statement).rowcount
            yield
        finally:
            connection.execute(f"DELETE FROM {touched}")
            connection.execute(f"INSERT INTO {touched} SELECT * FROM public.kept")
            connection.execute("DROP TABLE public.kept")


def test_an_untouched_world_has_no_fault_and_everything_was_read(filled: World, archive: ArtifactStore) -> None:
    told: dict[str, int] = {}
    found = read_back(filled.warehouse, filled.store, archive, told.__setitem__)
    assert found.faults == ()
    with filled.warehouse.read_pool().connection() as connection:
        for kind, table in TABLES.items():
            row = connection.execute(f"SELECT count(*) AS n FROM {table}").fetchone()  # type: ignore[call-overload]
            assert row is not None and 0 < row["n"] == found.checked[kind] == told[kind], kind


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_value_is_found_and_named(filled: World, archive: ArtifactStore, change: str) -> None:
    kind, statement, field = CHANGES[change]
    with tampered(filled, statement):
        found = read_back(filled.warehouse, filled.store, archive)
    own = [fault for fault in found.faults if fault.kind == kind]
    assert own and any(field in fault.words for fault in own), found.faults
    assert not read_back(filled.warehouse, filled.store, archive).faults


def test_one_changed_byte_of_any_file_is_found(filled: World, archive: ArtifactStore) -> None:
    with filled.warehouse.read_pool().connection() as connection:
        parts = connection.execute(
            "SELECT DISTINCT part->>'file_hash' AS file FROM backtest_snapshots,"
            " jsonb_array_elements(manifest->'parts') AS part UNION SELECT file_hash FROM backtest_artifacts"
        ).fetchall()
    files = [path for root in (filled.store.root, archive.root) for path in Path(root).rglob("*") if path.is_file()]
    assert len(files) >= len(parts) > 10
    for path in files:
        data = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        try:
            found = read_back(filled.warehouse, filled.store, archive)
        finally:
            path.write_bytes(data)
        assert any(path.stem in fault.words for fault in found.faults), path
    files[0].unlink()
    gone = read_back(filled.warehouse, filled.store, archive)
    assert any("no such artifact" in fault.words for fault in gone.faults)
