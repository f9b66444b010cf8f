"""An ablation as it is typed: by one backfill of the daemon, and without a daemon in the command's own process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus

from signaldelta_assets.cli.environment import prepare
from signaldelta_assets.defs.partitions import RANGE_END, RANGE_START
from signaldelta_assets.settings import Settings
from signaldelta_assets.versioning import canonical_json, new_ulid
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import documents
from tests.backtests.runs.study import MODEL, make_spec
from tests.conftest import _create, _drop
from tests.platform.deployment import Deployment, short_folder, wait_until
from tests.platform.services import services
from tests.snapshots.world import build_world

pytestmark = [pytest.mark.platform, pytest.mark.postgres]
# F01 has a second signal, which never fires.
WORLD_MODEL: dict[str, Any] = MODEL | {"signals": MODEL["signals"] | {"S002": MODEL["signals"]["S001"]}}


@pytest.fixture(scope="module")
def deployment(postgres_server: str, postgres_template: str, parsed_home: Path) -> Iterator[Deployment]:
    """A deployment with a made-up world in its database: nothing is collected here."""
    name = f"signaldelta_test_{new_ulid().lower()}"
    url = _create(postgres_server, name, postgres_template)
    with short_folder() as home:
        (home / "tmp").mkdir()
        shutil.copytree(parsed_home / "dbt", home / "dbt")
        variables = prepare(Settings(home=home, database_url=url)) | {
            "SIGNALDELTA_DATABASE_URL": url,
            "SIGNALDELTA_FIRST_DAY": "2024-01-01",
            "TMPDIR": str(home / "tmp"),
            "COLUMNS": "250",
        }
        yield Deployment(home, url, variables)
    _drop(postgres_server, name)


@pytest.fixture(scope="module")
def spec(deployment: Deployment) -> str:
    """The hash of a stored spec that nobody has run."""
    with Warehouse(deployment.url) as warehouse:
        made = make_spec(build_world(warehouse, ArtifactStore(deployment.home / "artifacts")), model=WORLD_MODEL)
        return documents.put_document(warehouse, "backtest_spec", "planted lead", made.document)


@pytest.fixture
def instance(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The deployment's Dagster instance, seen from here."""
    for name, value in deployment.variables.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as opened:
        yield opened


def _trials(deployment: Deployment) -> dict[str, int]:
    rows = deployment.rows("SELECT hypothesis_family, max(trial_number) FROM hypothesis_trials GROUP BY 1")
    return dict(rows)  # type: ignore[arg-type]


def test_what_cannot_be_ablated_ends_with_one_line(deployment: Deployment, spec: str) -> None:
    process = deployment.start("signaldelta", "backtest", "ablate", "0" * 64)
    said, _ = process.communicate()
    assert process.returncode == 2 and said.startswith("error: ") and said.count("\n") == 1
    process = deployment.start("signaldelta", "backtest", "ablate", spec, "--show")
    said, _ = process.communicate()
    assert process.returncode == 2 and "its base has not been run" in said


# Five processes that load every definition, one after another: minutes where others are at work.
@pytest.mark.timeout(1500)
def test_a_backfill_of_the_daemon_makes_the_runs_and_then_the_table(
    deployment: Deployment, spec: str, instance: dg.DagsterInstance
) -> None:
    said = deployment.run("signaldelta", "backtest", "ablate", spec, "--by", "family")
    assert "3 runs, the base among them; 0 are there" in said
    (asked,) = instance.get_backfills()
    assert asked.backfill_id in said and asked.is_asset_backfill
    with services(deployment) as running:
        # A code server of its own: the one that a daemon starts for itself it starts anew every minute.
        running.up("code")
        running.start("daemon")

        def done() -> bool:
            found = instance.get_backfill(asked.backfill_id)
            assert found is not None
            assert found.status not in (BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.FAILED), found.error
            return found.status is BulkActionStatus.COMPLETED_SUCCESS

        wait_until(done, 1200, "the backfill", running.processes["daemon"])
    records = list(instance.get_run_records(dg.RunsFilter(tags={"dagster/backfill": asked.backfill_id})))
    assert {record.dagster_run.status for record in records} == {dg.DagsterRunStatus.SUCCESS}
    # A run for each spec; and the table after every run, not beside them.
    *others, last = sorted(records, key=lambda record: record.start_time or 0.0)
    assert last.dagster_run.asset_selection == {dg.AssetKey(["backtests", "ablation"])}
    assert last.dagster_run.tags[RANGE_START] == last.dagster_run.tags[RANGE_END] == spec
    ran = deployment.rows("SELECT spec_hash, dagster_run_id FROM backtest_runs")
    assert {(record.dagster_run.tags[RANGE_START], record.dagster_run.run_id) for record in others} == set(ran)
    assert len(ran) == 3 and last.start_time is not None
    assert max(record.end_time or 0.0 for record in others) <= last.start_time
    assert _trials(deployment) == {"planted lead": 1, "planted lead/ablation": 2}


def test_the_second_call_starts_nothing_and_shows_the_table(
    deployment: Deployment, spec: str, instance: dg.DagsterInstance
) -> None:
    before = len(instance.get_runs()), len(instance.get_backfills()), deployment.count("backtest_runs")
    said = deployment.run("signaldelta", "backtest", "ablate", spec, "--by", "family")
    assert "3 runs, the base among them; 3 are there" in said and "planted lead: figures without each part" in said
    assert (len(instance.get_runs()), len(instance.get_backfills()), deployment.count("backtest_runs")) == before
    shown = deployment.run("signaldelta", "backtest", "ablate", spec, "--show", "--json", stderr=None)
    document = json.loads(shown)
    assert shown.encode() == canonical_json(document) + b"\n"
    assert [part["name"] for part in document["parts"]] == ["F01", "F06"]
    first = document["parts"][0]["figures"]["all_evidence"]["precision"]
    assert f"{first['difference']:+.4f} [{first['interval']['lo']:+.4f}, {first['interval']['hi']:+.4f}]" in said
    assert {part["name"] for part in document["not_run"]} == {"S001", "S002"} and "not run: S001, S002\n" in said


def test_without_a_daemon_the_rest_runs_in_the_command(
    deployment: Deployment, spec: str, instance: dg.DagsterInstance
) -> None:
    (run_id,) = deployment.rows("SELECT run_id FROM backtest_runs WHERE spec_hash = %(spec)s", spec=spec)[0]
    said = deployment.run("signaldelta", "backtest", "ablate", run_id, "--by", "both", "--now")
    assert "5 runs, the base among them; 3 are there" in said
    assert "backtest without S001" in said and "backtest without S002" in said and "not run" not in said
    assert "leaving out changes nothing: S002\n" in said
    assert deployment.count("backtest_runs") == 5
    document = json.loads(deployment.run("signaldelta", "backtest", "ablate", spec, "--show", "--json", stderr=None))
    idle = next(part for part in document["parts"] if part["name"] == "S002")
    assert {pair["difference"] for pair in idle["figures"]["all_evidence"].values()} == {0}
    made = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(["backtests", "ablation"]), asset_partitions=[spec]), limit=5
    )
    # Once by the backfill, once here; showing it makes nothing.
    assert len(made.records) == 2 and document["not_run"] == []
    assert _trials(deployment) == {"planted lead": 1, "planted lead/ablation": 4}
