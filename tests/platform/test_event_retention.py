"""Dagster's log without what steps of old runs said: an asset's history, partitions and versions are what they were."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.instance.ref import InstanceRef

from signaldelta_assets.warehouse import sqlalchemy_url
from signaldelta_assets.warehouse.event_log import REMOVED, prune_events
from signaldelta_assets.warehouse.postgres import plain_url

pytestmark = [pytest.mark.platform, pytest.mark.postgres]

DAYS = dg.DailyPartitionsDefinition(start_date="2025-01-01", end_date="2025-01-08")
KEY = dg.AssetKey(["raw", "bars"])


@dg.asset(key=KEY, partitions_def=DAYS, check_specs=[dg.AssetCheckSpec("sound", asset=KEY)])
def bars(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    context.log.info("said by a step")
    if context.partition_key == "2025-01-03":
        raise ValueError("no bars that day")
    return dg.MaterializeResult(
        metadata={"rows": 5},
        data_version=dg.DataVersion(f"v-{context.partition_key}"),
        check_results=[dg.AssetCheckResult(check_name="sound", passed=True)],
    )


def _instance(url: str, folder: Path) -> dg.DagsterInstance:
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS dagster")
    storage = {"postgres_url": sqlalchemy_url(url, "psycopg2", options="-csearch_path=dagster")}
    overrides: dict[str, Any] = {
        "storage": {"postgres": {"postgres_url": storage["postgres_url"]}}, "telemetry": {"enabled": False}
    }  # fmt: skip
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=overrides))


def _seen(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What the instance's own API tells of the asset and of the runs."""
    history = instance.fetch_materializations(KEY, limit=100).records
    observed = instance.fetch_observations(KEY, limit=100).records
    store = instance.event_log_storage
    check = dg.AssetCheckKey(KEY, "sound")
    return {
        "history": [(one.storage_id, one.run_id, one.partition_key, one.event_log_entry) for one in history],
        "observations": [(one.storage_id, one.event_log_entry) for one in observed],
        "partitions": sorted(instance.get_materialized_partitions(KEY)),
        "status": instance.get_status_by_partition(KEY, DAYS.get_partition_keys(), DAYS),
        "latest_of_partitions": dict(
            store.get_latest_storage_id_by_partition(KEY, dg.DagsterEventType.ASSET_MATERIALIZATION)
        ),
        "tags": instance.event_log_storage.get_latest_tags_by_partition(
            KEY, dg.DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
        ),
        "checks": [
            (one.id, one.status, one.event) for one in store.get_asset_check_execution_history(check, limit=100)
        ],
        "keys": sorted(str(key) for key in instance.get_asset_keys()),
        "latest": instance.get_latest_materialization_event(KEY),
        "runs": sorted((run.run_id, run.status.value) for run in instance.get_runs()),
    }


def _age(url: str, days: int) -> None:
    """As if everything so far had been `days` earlier."""
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        connection.execute("UPDATE dagster.event_logs SET timestamp = timestamp - make_interval(days => %s)", (days,))
        connection.execute(
            "UPDATE dagster.runs SET update_timestamp = update_timestamp - make_interval(days => %s),"
            " start_time = start_time - %s * 86400, end_time = end_time - %s * 86400",
            (days, days, days),
        )


def test_the_assets_are_as_they_were_and_the_log_is_short(fresh_postgres_url: str, tmp_path: Path) -> None:
    url, now = fresh_postgres_url, datetime.now(UTC)
    with _instance(url, tmp_path) as instance:
        for day in ("2025-01-01", "2025-01-02", "2025-01-03"):
            dg.materialize([bars], partition_key=day, instance=instance, raise_on_error=False)
        instance.report_runless_asset_event(dg.AssetObservation(KEY, metadata={"seen": 1}))
        instance.create_run_for_job(dg.define_asset_job("never_ran", [KEY]).resolve(
            asset_graph=dg.Definitions(assets=[bars]).resolve_asset_graph()))  # fmt: skip
        _age(url, 40)
        recent = dg.materialize([bars], partition_key="2025-01-04", instance=instance).run_id
        before = _seen(instance)
        said = len(instance.all_logs(recent))
        assert len(before["history"]) == 3 and len(before["checks"]) >= 3 and len(before["observations"]) == 1

        would = prune_events(url, now, 30, dry_run=True)
        assert _count(url) == _count(url) and would.events > 20 and would.runs == 3
        held = _count(url)
        assert prune_events(url, now, 30) == would
        assert _count(url) == held - would.events
        assert prune_events(url, now, 30).events == 0
        assert prune_events(url, now + timedelta(days=5), 30).events == 0

        assert _seen(instance) == before
        assert len(instance.all_logs(recent)) == said
        # The failed day is still known as failed, and a further run goes on from there.
        assert str(before["status"]["2025-01-03"]) != str(before["status"]["2025-01-05"])
        old = next(run for run in instance.get_runs() if run.run_id != recent and run.is_success)
        kinds = {one.dagster_event_type.value for one in instance.all_logs(old.run_id) if one.dagster_event_type}
        assert not kinds & set(REMOVED) and {"PIPELINE_SUCCESS", "ASSET_MATERIALIZATION"} <= kinds
        dg.materialize([bars], partition_key="2025-01-03", instance=instance, raise_on_error=False)


def test_a_database_without_dagster_has_nothing_to_prune(fresh_postgres_url: str) -> None:
    assert prune_events(fresh_postgres_url, datetime.now(UTC), 30).events == 0


def _count(url: str) -> int:
    with psycopg.connect(plain_url(url)) as connection:
        row = connection.execute("SELECT count(*) FROM dagster.event_logs").fetchone()
    assert row is not None
    return int(row[0])
