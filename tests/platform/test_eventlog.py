"""The event log that writes what a run plans at once holds the rows that Dagster's own would hold."""

from __future__ import annotations

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.instance.ref import InstanceRef
from dagster_postgres import PostgresEventLogStorage

from signaldelta_assets.eventlog import BatchingEventLogStorage
from signaldelta_assets.storages import KeptRunStorage, KeptScheduleStorage
from signaldelta_assets.warehouse import sqlalchemy_url
from signaldelta_assets.warehouse.postgres import plain_url
from tests.paths import ROOT
from tests.platform.deployment import wait_until

pytestmark = [pytest.mark.platform, pytest.mark.postgres]


def _entry(event: DagsterEvent, place: int) -> EventLogEntry:
    return EventLogEntry(
        error_info=None, level=10, user_message="", run_id="run", timestamp=1.7e9 + place, step_key=event.step_key,
        job_name="job", dagster_event=event,
    )  # fmt: skip


def _planned(asset: str, day: str) -> DagsterEvent:
    data = AssetMaterializationPlannedData(dg.AssetKey(["raw", asset]), partition=day, partitions_subset=None)
    return DagsterEvent.build_asset_materialization_planned_event("job", asset, data)


def _events() -> list[EventLogEntry]:
    """Two assets over five days, and a planned check among them."""
    events = [_planned(asset, f"2025-01-{day:02d}") for asset in ("bars", "filings") for day in range(1, 6)]
    check = AssetCheckEvaluationPlanned(
        asset_key=dg.AssetKey(["raw", "bars"]), check_name="sound", partitions_subset=None
    )
    other = DagsterEvent(DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value, "job", event_specific_data=check)
    return [_entry(event, place) for place, event in enumerate([*events[:3], other, *events[3:]])]


def test_a_batch_of_plans_is_the_same_rows_as_one_by_one(fresh_postgres_url: str) -> None:
    def rows(kind: type[PostgresEventLogStorage], schema: str) -> tuple[list[object], list[object]]:
        with psycopg.connect(plain_url(fresh_postgres_url), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
            storage = kind(sqlalchemy_url(fresh_postgres_url, "psycopg2", options=f"-csearch_path={schema}"))
            if kind is BatchingEventLogStorage:
                storage.store_event_batch(_events())
            else:
                for event in _events():
                    storage.store_event(event)
            log = connection.execute(
                "SELECT run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition"
                f" FROM {schema}.event_logs ORDER BY asset_key, partition, dagster_event_type"
            ).fetchall()
            # The last event of each asset by its id, which counts in another order.
            assets = connection.execute(
                "SELECT a.asset_key, last_run_id, last_materialization_timestamp, a.asset_details,"
                f" a.last_materialization FROM {schema}.asset_keys AS a ORDER BY 1"
            ).fetchall()
        return list(log), list(assets)

    together, apart = rows(BatchingEventLogStorage, "together"), rows(PostgresEventLogStorage, "apart")
    assert together == apart
    assert (len(together[0]), len(together[1])) == (11, 2)


def _made(asset: str, day: str) -> DagsterEvent:
    made = dg.AssetMaterialization(["raw", asset], partition=day, tags={"dagster/data_version": f"{asset} {day}"})
    kind = DagsterEventType.ASSET_MATERIALIZATION.value
    return DagsterEvent(kind, "job", step_key="step", event_specific_data=StepMaterializationData(made))


def test_a_batch_over_several_assets_is_the_last_event_of_each(fresh_postgres_url: str) -> None:
    """The days of a range are reported once more for all its assets in one batch, each with its own version."""
    with psycopg.connect(plain_url(fresh_postgres_url), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA several")
        storage = BatchingEventLogStorage(
            sqlalchemy_url(fresh_postgres_url, "psycopg2", options="-csearch_path=several")
        )
        events = [_made(asset, f"2025-01-{day:02d}") for asset in ("bars", "filings") for day in range(1, 4)]
        storage.store_event_batch([_entry(event, place) for place, event in enumerate(events)])
        keys = [dg.AssetKey(["raw", name]) for name in ("bars", "filings")]
        last = {record.asset_entry.asset_key: record.asset_entry for record in storage.get_asset_records(keys)}
        for key in keys:
            made = last[key].last_materialization
            assert made is not None and made.asset_materialization is not None
            assert made.asset_materialization.tags == {"dagster/data_version": f"{key.path[-1]} 2025-01-03"}
        rows = connection.execute("SELECT count(*) FROM several.event_logs").fetchone()
        tags = connection.execute("SELECT count(*) FROM several.asset_event_tags").fetchone()
        assert rows == tags == (6,)


def test_it_is_the_one_that_the_deployment_uses(monkeypatch: pytest.MonkeyPatch, fresh_postgres_url: str) -> None:
    with psycopg.connect(plain_url(fresh_postgres_url), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA dagster")
    url = sqlalchemy_url(fresh_postgres_url, "psycopg2", options="-csearch_path=dagster")
    monkeypatch.setenv("SIGNALDELTA_DAGSTER_URL", url)
    monkeypatch.setenv("SIGNALDELTA_DAGSTER_STATE", "/nowhere")
    reference = InstanceRef.from_dir(str(ROOT))
    assert isinstance(reference.event_storage, BatchingEventLogStorage)
    assert isinstance(reference.run_storage, KeptRunStorage)
    assert isinstance(reference.schedule_storage, KeptScheduleStorage)


def test_a_storage_keeps_one_connection_and_finds_a_new_server(fresh_postgres_url: str) -> None:
    with psycopg.connect(plain_url(fresh_postgres_url), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA kept")
        storage = KeptRunStorage(
            sqlalchemy_url(fresh_postgres_url, "psycopg2", options="-csearch_path=kept -capplication_name=kept")
        )
        held = "FROM pg_stat_activity WHERE application_name = 'kept'"
        found = set()
        for _ in range(3):
            assert storage.get_runs() == []
            found |= set(connection.execute(f"SELECT pid {held}").fetchall())
        assert len(found) == 1
        # As at the end of a server: the next question is answered all the same, by another.
        connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {held}")
        assert storage.get_runs() == []
        assert len(set(connection.execute(f"SELECT pid {held}").fetchall()) - found) == 1
        storage.dispose()
        wait_until(lambda: not connection.execute(f"SELECT pid {held}").fetchall(), 10, "the end of the connection")
