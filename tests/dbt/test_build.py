"""dbt for real: parse, build on an empty and on a filled database, lineage, and what the marts say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import yaml
from fastapi.testclient import TestClient
from psycopg.rows import dict_row

from api import Parts, create_app
from signaldelta_assets.defs.dbt import models
from signaldelta_assets.defs.platform import Platform
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import ArtifactStore, Warehouse, metadata
from signaldelta_assets.warehouse.dbt import SOURCE_ASSETS, dbt_environment, source_names, sources_document
from tests.paths import ROOT
from tests.readside import ENTITIES, HASH, LABEL_RULES, OLD_DEFINITIONS, T0, fill

PROJECT = ROOT / "dbt_project"


def dbt(url: str, work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dbt as its own process, everything it writes under `work`."""
    environment = (
        os.environ | dbt_environment(url) | {"DBT_TARGET_PATH": str(work / "t"), "DBT_LOG_PATH": str(work / "l")}
    )
    command = [Path(sys.executable).with_name("dbt"), *arguments, "--project-dir", PROJECT, "--profiles-dir", PROJECT]
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)


def query(url: str, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="module")
def built(postgres_url: str, work: Path) -> str:
    """URL of a filled database after a build on it empty and another one full."""
    empty = dbt(postgres_url, work, "build")
    assert empty.returncode == 0, empty.stdout[-4000:]
    with Warehouse(postgres_url) as warehouse:
        fill(warehouse, ArtifactStore(work / "store"), work)
    full = dbt(postgres_url, work, "build")
    assert full.returncode == 0, full.stdout[-4000:]
    assert "ERROR=0" in full.stdout and "WARN=0" in full.stdout
    return postgres_url


def test_sources_are_the_registry() -> None:
    written = yaml.safe_load((PROJECT / "models" / "sources.yml").read_text())
    assert written == sources_document(), (
        "run `python -m signaldelta_assets.warehouse.dbt > dbt_project/models/sources.yml`"
    )


def test_source_names_are_registered_tables() -> None:
    registered = {table.name for table in metadata.sorted_tables}
    assert set(SOURCE_ASSETS) <= registered
    names = [name for table in SOURCE_ASSETS for name in source_names(table)]
    assert len(names) == len(set(names))


def test_writers_are_the_running_assets() -> None:
    """The map of writers follows the catalogue: a label that becomes active must be put in."""
    from signaldelta_assets.catalogue import load_definitions

    definitions = load_definitions()
    assert set(SOURCE_ASSETS["labeled_events"]) == {f"labels/{name.lower()}" for name in definitions.active_labels()}


@pytest.mark.parametrize(
    ("url", "host", "port", "password"),
    [
        ("postgresql://postgres:@/postgres?host=/run/pg", "/run/pg", "5432", ""),
        ("postgresql+psycopg://me:p%40ss@db.example:6543/sd?sslmode=require", "db.example", "6543", "p@ss"),
    ],
)
def test_environment_of_a_url(url: str, host: str, port: str, password: str) -> None:
    made = dbt_environment(url)
    assert (made["SIGNALDELTA_PG_HOST"], made["SIGNALDELTA_PG_PORT"], made["SIGNALDELTA_PG_PASSWORD"]) == (
        host,
        port,
        password,
    )
    assert made["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"


@pytest.mark.postgres
@pytest.mark.platform
class TestBuild:
    def test_lineage_reaches_every_writer(self, built: str, work: Path) -> None:
        manifest = json.loads((work / "t" / "manifest.json").read_text())
        parents = manifest["parent_map"]

        def ancestors(node: str) -> set[str]:
            direct = set(parents.get(node, ()))
            return direct.union(*(ancestors(parent) for parent in direct))

        def assets(mart: str) -> set[str]:
            sources = [
                manifest["sources"][n] for n in ancestors(f"model.signaldelta.{mart}") if n.startswith("source.")
            ]
            return {"/".join(source["meta"]["dagster"]["asset_key"]) for source in sources}

        assert assets("mart_collector_freshness") == set(SOURCE_ASSETS["raw_records"])
        assert assets("mart_signal_history") == set(SOURCE_ASSETS["iald_signals"])
        assert assets("mart_label_coverage") == {*SOURCE_ASSETS["labeled_events"], *SOURCE_ASSETS["securities"]}
        assert {"backtests/run", "snapshots/snapshot"} <= assets("mart_backtest_leaderboard")
        assert "scores/live" in assets("mart_latest_scores")

    def test_everything_is_described_and_under_contract(self, built: str, work: Path) -> None:
        manifest = json.loads((work / "t" / "manifest.json").read_text())
        models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
        assert len(models) >= 18
        for model in models:
            assert model["config"]["contract"]["enforced"], model["name"]
            assert model["description"], model["name"]
            for column in model["columns"].values():
                assert column["description"] and column["data_type"], (model["name"], column["name"])

    def test_latest_scores(self, built: str) -> None:
        rows = query(built, "SELECT * FROM marts.mart_latest_scores ORDER BY entity_id")
        assert [row["entity_id"] for row in rows] == list(ENTITIES)
        newest = query(built, "SELECT entity_id, max(at) AS at FROM signaldelta.score_samples GROUP BY 1 ORDER BY 1")
        assert [row["at"] for row in rows] == [row["at"] for row in newest]
        # The third entity is not in securities, and has its score all the same.
        assert rows[2]["name"] is None and rows[0]["alert_score"] == pytest.approx(0.39 * 0.5)

    def test_signal_history_counts_active_latest_revisions(self, built: str) -> None:
        [counted] = query(built, "SELECT sum(events) AS n FROM marts.mart_signal_history")
        [expected] = query(
            built,
            """SELECT count(*) AS n FROM signaldelta.iald_signals s WHERE active AND NOT EXISTS (
               SELECT FROM signaldelta.iald_signals o WHERE o.event_key = s.event_key AND o.revision > s.revision)""",
        )
        assert counted["n"] == expected["n"] == 120 - 15 + 1

    def test_label_coverage_shows_gaps_and_too_few(self, built: str) -> None:
        rows = query(built, "SELECT * FROM marts.mart_label_coverage")
        of_type = {row["event_type"]: row["events_of_type"] for row in rows}
        # Of 40 earnings labels one was withdrawn; 39 suffice for the type, no single cell has 30.
        assert of_type == {"EARNINGS_SURPRISE": 39, "MNA_ANNOUNCEMENT": 1}
        assert {row["event_type"]: row["type_insufficient"] for row in rows} == {
            "EARNINGS_SURPRISE": False,
            "MNA_ANNOUNCEMENT": True,
        }
        assert all(row["insufficient"] == (row["events"] < 30) for row in rows)
        assert sum(row["events"] for row in rows) == 40
        assert {row["asset_class"] for row in rows} == {"equity", "unknown"}
        months = {row["month"] for row in rows if row["event_type"] == "EARNINGS_SURPRISE"}
        assert months == {T0.date().replace(month=3, day=1), T0.date().replace(month=4, day=1)}

    def test_label_entities_and_the_minimum_dataset(self, built: str) -> None:
        rows = query(built, "SELECT * FROM marts.mart_label_entities")
        assert sum(row["events"] for row in rows) == 40
        for event_type in ("EARNINGS_SURPRISE", "MNA_ANNOUNCEMENT"):
            own = [row for row in rows if row["event_type"] == event_type]
            assert sum(row["share"] for row in own) == pytest.approx(1.0)
            most = max(row["events"] for row in own)
            assert {row["is_commonest"] for row in own if row["events"] == most} == {True}
        # Two sets of definitions hold the same rules of labels; each type has a rule of its own.
        rows = query(built, "SELECT * FROM marts.mart_label_minimum")
        assert {row["definitions_hash"] for row in rows} == {HASH, hash_document(OLD_DEFINITIONS)}
        found = {row["asset_class"]: row for row in rows if row["definitions_hash"] == HASH}
        assert found["equity"]["event_types"] == 2
        assert sum(row["events"] for row in found.values()) == 40 and set(found) == {"equity", "unknown"}
        assert found["equity"]["events_needed"] == 200 and not any(row["viable"] for row in found.values())

    def test_collector_freshness(self, built: str) -> None:
        [row] = query(built, "SELECT * FROM marts.mart_collector_freshness")
        assert (row["records"], row["quarantined"], row["failed_runs"], row["last_success_at"]) == (5, 2, 1, T0)
        assert row["open_quarantined"] == 1

    def test_leaderboard_ranks_with_null_and_base_rate(self, built: str) -> None:
        rows = query(built, "SELECT * FROM marts.mart_backtest_leaderboard ORDER BY metric, trial_number")
        ranks = {(row["metric"], row["trial_number"]): row["rank_among_comparable"] for row in rows}
        assert ranks == {
            ("auc", 1): 2, ("auc", 2): 1,  # more is better
            ("brier", 1): 1, ("brier", 2): 2,  # less is better
            ("base_rate", 1): None, ("base_rate", 2): None, ("precision", 1): None, ("precision", 2): None,
        }  # fmt: skip
        assert {row["base_rate"] for row in rows} == {0.02}
        assert {row["trials_of_family"] for row in rows} == {2}
        [first] = [row for row in rows if (row["metric"], row["trial_number"]) == ("auc", 1)]
        assert first["null_outside_interval"] and first["difference_from_null"] == pytest.approx(0.1)
        assert {row["reason"] for row in rows if row["metric"] == "precision"} == {"no alert"}

    def test_the_api_reads_the_marts(self, built: str, work: Path) -> None:
        with Warehouse(built) as warehouse:
            client = TestClient(create_app(Parts(warehouse, ArtifactStore(work / "store"))))
            for path, total in (("backtests/leaderboard", 2), ("labels/coverage", 5)):
                walked: list[Any] = []
                cursor: dict[str, str] = {}
                while True:
                    response = client.get(f"/api/v2/{path}", params={"limit": "1"} | cursor)
                    assert response.status_code == 200, response.text
                    walked += response.json()["data"]
                    if response.json()["meta"]["next_cursor"] is None:
                        break
                    cursor = {"cursor": response.json()["meta"]["next_cursor"]}
                assert walked == client.get(f"/api/v2/{path}").json()["data"]
                assert len(walked) == total, walked

    def test_the_api_answers_about_labels_under_definitions(self, built: str, work: Path) -> None:
        """Definitions stand for the rules they hold on every route that counts labels."""
        with Warehouse(built) as warehouse:
            client = TestClient(create_app(Parts(warehouse, ArtifactStore(work / "store"))))
            for path in ("labels/coverage", "labels/coverage/entities"):
                everything = client.get(f"/api/v2/{path}").json()["data"]
                assert client.get(f"/api/v2/{path}", params={"definitions": HASH}).json()["data"] == everything != []
                rule = LABEL_RULES["MNA_ANNOUNCEMENT"]
                found = client.get(f"/api/v2/{path}", params={"definitions": rule}).json()["data"]
                assert {row["event_type"] for row in found} == {"MNA_ANNOUNCEMENT"}
                assert client.get(f"/api/v2/{path}", params={"definitions": "e" * 64}).json()["data"] == []
            shares = client.get("/api/v2/labels/coverage/entities", params={"limit": 1}).json()
            walked, cursor = shares["data"], shares["meta"]["next_cursor"]
            while cursor is not None:
                shares = client.get("/api/v2/labels/coverage/entities", params={"limit": 1, "cursor": cursor}).json()
                walked, cursor = walked + shares["data"], shares["meta"]["next_cursor"]
            assert walked == client.get("/api/v2/labels/coverage/entities").json()["data"]
            (one, *_) = walked
            asked = {"event_type": one["event_type"], "entity_id": one["entity_id"]}
            assert client.get("/api/v2/labels/coverage/entities", params=asked).json()["data"] == [one]
            minimum = client.get("/api/v2/labels/minimum", params={"definitions": HASH}).json()["data"]
            assert {row["asset_class"]: row["events"] for row in minimum} == {
                row["asset_class"]: row["events"]
                for row in query(built, f"SELECT * FROM marts.mart_label_minimum WHERE definitions_hash = '{HASH}'")
            }
            assert sum(row["events"] for row in minimum) == 40

    def test_a_build_by_dagster_counts_the_rows_of_its_marts(
        self, built: str, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Definitions load without dbt's library; a build must find it all the same."""
        shutil.copytree(work / "t", work / "home" / "dbt")
        monkeypatch.setenv("SIGNALDELTA_HOME", str(work / "home"))
        monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", built)
        for name, value in dbt_environment(built).items():
            monkeypatch.setenv(name, value)
        found = models.defs()
        assert isinstance(found, dg.Definitions)
        key = dg.AssetKey(["marts", "mart_latest_scores"])
        made = dg.materialize(
            list(found.assets or ()), selection=dg.AssetSelection.assets(key),
            resources={**(found.resources or {}), "platform": Platform()},
        )  # fmt: skip
        (event,) = made.asset_materializations_for_node("dbt_models")
        assert (event.asset_key, event.metadata["dagster/row_count"].value) == (key, len(ENTITIES))

    def test_dbt_finds_what_is_wrong(self, built: str, work: Path) -> None:
        """The tests are alive: a strength the database would refuse, slipped in behind a dropped constraint."""
        with psycopg.connect(built) as connection:
            connection.execute("ALTER TABLE signaldelta.iald_signals DROP CONSTRAINT ck_iald_signals_strength_norm")
            connection.execute("ALTER TABLE signaldelta.iald_signals DISABLE TRIGGER USER")
            connection.execute("UPDATE signaldelta.iald_signals SET strength_norm = 1.5")
        failed = dbt(built, work, "test", "--select", "stg_signal_events")
        assert failed.returncode == 1
        assert "between_stg_signal_events_strength_norm" in failed.stdout


def test_a_missing_manifest_is_parsed_and_nothing_else_is_asked_of_dbt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for its version, dbt goes out to look for a newer one; loading definitions stays at home."""
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path / "home"))
    asked, dbt = tmp_path / "asked", tmp_path / "dbt"
    dbt.write_text(f'#!/bin/sh\necho "$1" >> {asked}\ntouch {tmp_path}/home/dbt/manifest.json\n')
    dbt.chmod(0o755)
    monkeypatch.setattr(models, "DBT", str(dbt))
    assert models.project().manifest_path.exists()
    models.project()
    assert asked.read_text() == "parse\n"
    (tmp_path / "home/dbt/manifest.json").unlink()
    dbt.write_text("#!/bin/sh\necho no such macro\nexit 2\n")
    with pytest.raises(RuntimeError, match=r"exit code 2: no such macro"):
        models.project()
