"""What stands between two homes fails: their link, what is delivered over it, their schemas, their clocks."""

from __future__ import annotations

import io
import os
import threading
import time

import dagster as dg
import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from signaldelta_assets.cli import services
from signaldelta_assets.cli.main import app
from signaldelta_assets.defs.watch import defs as watch_defs
from signaldelta_assets.warehouse import ArtifactStore, Warehouse, WrongHomeError, replication, watch
from signaldelta_assets.warehouse.daemonlock import DaemonLock, DaemonRunsError, holder
from signaldelta_assets.warehouse.postgres import plain_url
from signaldelta_assets.warehouse.stores import health
from tests.homes import scenarios
from tests.homes.places import FOLDERS, Homes, Link, socket_of

pytestmark = [pytest.mark.platform, pytest.mark.postgres]


def test_a_link_that_is_cut_is_told_and_catches_up(homes: Homes) -> None:
    outcome = scenarios.link_cut(homes, "refused")
    assert "aws is not connected to offsite" in outcome.words and outcome.told_seconds < 60
    assert outcome.lost == [] and outcome.consistent_seconds < 60


def test_rows_that_arrive_twice_are_told_and_healed(homes: Homes) -> None:
    outcome = scenarios.replayed_from_an_older_position(homes)
    assert "signaldelta_models" in outcome.words and outcome.told_seconds < 60
    # The rows were there; what had not come through since is what was written.
    assert outcome.lost == [] and outcome.notes["rows that `resync` had to write"] == 3


@pytest.mark.parametrize("durable", [True, False])
def test_a_reader_that_dies_during_its_first_copy_gets_on_or_is_told(homes: Homes, durable: bool) -> None:
    outcome = scenarios.reader_killed_during_the_first_copy(homes, durable=durable)
    assert outcome.lost == [] and outcome.told_seconds < 60
    assert ("db resync models" in outcome.words) is not durable
    kept = homes.rows("aws", "SELECT DISTINCT subsynccommit FROM pg_subscription WHERE subname <> 'signaldelta_models'")
    assert [row["subsynccommit"] for row in kept] == ["local"]


def test_writes_at_the_wrong_home_are_delivered_once(homes: Homes) -> None:
    outcome = scenarios.misrouted_twice(homes)
    assert outcome.lost == []
    assert "aws: 6 writes came to the wrong home" in outcome.words and "db recover" in outcome.words


def test_a_migration_leaves_both_homes_as_they_were(homes: Homes) -> None:
    step, commit, versions = scenarios.migration_fails(homes)
    assert "migration failed at offsite" in step.words and "not at this home" in step.words
    assert "offsite could not commit" in commit.words
    assert "signaldelta db migrate" in versions.words


def test_one_process_holds_the_lock_of_the_daemon(homes: Homes) -> None:
    url = homes.urls["offsite"]
    first, second = DaemonLock(url), DaemonLock(url)
    first.take()
    with pytest.raises(DaemonRunsError, match=rf"process {os.getpid()}@.* holds the lock"):
        second.take()
    first.tell(["another"])
    with psycopg.connect(plain_url(url)) as connection:
        found = holder(connection)
        assert found is not None and found.others == 1 and found.who.startswith(f"{os.getpid()}@")
    # It goes with its connection, as with a process that was killed.
    first.release()
    second.take()
    second.release()
    with psycopg.connect(plain_url(url)) as connection:
        assert holder(connection) is None


def test_the_command_and_the_sensor_say_what_the_watch_sees_and_only_news_are_news(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in homes.variables().items():
        monkeypatch.setenv(name, value)
    sensor = next(sensor for sensor in watch_defs().sensors or () if sensor.name == "watch_platform")
    cursor: str | None = None

    def looked() -> dg.AssetCheckEvaluation | None:
        """What a tick reports, None where it has no news."""
        nonlocal cursor
        found = sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
        if isinstance(found, dg.SkipReason):
            return None
        assert isinstance(found, dg.SensorResult)
        cursor = found.cursor
        (event,) = found.asset_events
        assert isinstance(event, dg.AssetCheckEvaluation)
        return event

    with dg.DagsterInstance.ephemeral() as instance:
        first = looked()
        assert first is not None and first.passed and first.asset_key == dg.AssetKey(["platform", "health"])
        assert looked() is None
        assert CliRunner().invoke(app, ["status"]).exit_code == 0
        name = replication.name_of("models")
        homes.rows("aws", f"ALTER SUBSCRIPTION {name} DISABLE")
        homes.told("signaldelta_models is disabled", time.monotonic())
        news = looked()
        assert news is not None and not news.passed and "signaldelta_models is disabled" in str(news.description)
        said = CliRunner().invoke(app, ["status"])
        assert said.exit_code == 1 and "signaldelta_models is disabled; run `signaldelta db pair`" in said.stdout
        open_now = homes.rows(
            "offsite", "SELECT words FROM operator_alerts WHERE closed_at IS NULL AND subject = %s", name
        )
        assert len(open_now) == 1 and "is disabled" in open_now[0]["words"]
        homes.rows("aws", f"ALTER SUBSCRIPTION {name} ENABLE")
        homes.settle(time.monotonic())
        homes.quiet()
        over = looked()
        assert over is not None and over.passed and looked() is None
    assert homes.count("offsite", "operator_alerts", "closed_at IS NULL") == 0


def test_nothing_is_frozen_by_the_clock_of_the_home_that_has_copies(homes: Homes) -> None:
    with (
        Warehouse(homes.urls["aws"], place="aws", peer_url=homes.urls["offsite"]) as warehouse,
        pytest.raises(WrongHomeError, match="frozen where it is written, at 'offsite', not at 'aws'"),
    ):
        warehouse.quiesce()
    with Warehouse(homes.urls["offsite"], place="offsite") as warehouse:
        assert warehouse.quiesce() is not None


def test_a_collector_is_not_dead_by_the_clock_of_the_home_that_has_copies(homes: Homes) -> None:
    # Heard of an hour ago, which by a clock that is an hour behind is now.
    homes.rows(
        "offsite",
        "INSERT INTO collector_runs (collector_run_id, collector, collector_version, collection_mode, window_start,"
        " window_end, status, started_at, heartbeat_at, progress_at) SELECT 'r1', 'edgar/form_8k', '1', 'live',"
        " current_date, current_date, 'running', t, t, t FROM (SELECT clock_timestamp() - interval '1 hour') AS x (t)",
    )
    homes.rows("offsite", "INSERT INTO collector_status (collector, source_types, schedule, last_run_id)"
                          " VALUES ('edgar/form_8k', '{form_8k}', '', 'r1')")  # fmt: skip
    homes.settle(time.monotonic())
    states = {}
    for place, url in homes.urls.items():
        with Warehouse(url, place=place) as warehouse, warehouse.read_pool().connection() as connection:
            states[place] = [(row["state"], row["late"]) for row in health.collector_health(connection)]
    assert states == {"offsite": [("dead", False)], "aws": [("running", False)]}
    # Whichever home is asked, the watch asks where collectors write.
    for place in homes.urls:
        assert any("died: no heartbeat" in t.words for t in watch.look(homes.urls, place).troubles), place
    homes.rows("offsite", "UPDATE collector_runs SET status = 'failed' WHERE collector_run_id = 'r1'")
    homes.settle(time.monotonic())


def test_a_question_that_is_swallowed_on_its_way_ends_with_an_error(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_HOME_SECONDS", 1.0)
    link = Link(socket_of(homes.urls["offsite"]), homes.folder)
    link.open()
    # What would otherwise wait for ever is ended here, and fails the test.
    rescue = threading.Timer(15, link.close)
    rescue.start()
    try:
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError), watch.asking(link.url) as connection:
            assert connection.execute("SELECT 1").fetchone() is not None
            link.freeze()
            connection.execute("SELECT 1")
        assert time.monotonic() - began < 10
    finally:
        rescue.cancel()
        link.close()


def test_clocks_that_are_apart_are_told_and_nothing_minds(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = scenarios.clocks_apart(homes, lambda hook: monkeypatch.setattr(watch, "_clock_offset", hook))
    assert outcome.words == "the clocks of offsite and aws are 420.0 s apart, allowed 5 s"


def test_the_api_does_not_hang_where_the_other_home_swallows_everything(homes: Homes) -> None:
    from fastapi.testclient import TestClient

    from api.app import Parts, create_app

    link = Link(socket_of(homes.urls["offsite"]), homes.folder)
    link.open()
    try:
        with (
            Warehouse(homes.urls["aws"], place="aws", peer_url=link.url) as warehouse,
            TestClient(create_app(Parts(warehouse, ArtifactStore(homes.folder / "none")))) as client,
        ):
            body = client.get("/status").json()
            assert (body["status"], body["place"], body["reasons"]) == ("ok", "aws", [])
            lags = {lag["group"]: lag for lag in body["replication"]}
            assert lags["signals"]["seconds"] is not None and lags["users"]["home"] == "aws"
            time.sleep(2.1)
            link.freeze()
            began = time.monotonic()
            body = client.get("/status").json()
            assert time.monotonic() - began < 6
            assert body["status"] == "degraded" and body["database"] == "reachable"
            deadline = time.monotonic() + 30
            while not any("offsite: the database does not answer" in reason for reason in body["reasons"]):
                assert time.monotonic() < deadline, body["reasons"]
                body = client.get("/status").json()
    finally:
        link.close()


def test_an_embedded_server_that_died_is_started_again_and_that_is_told(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.StringIO()
    folder = homes.state / FOLDERS["aws"]
    homes.kill_server("aws")
    homes.told("aws: the database does not answer", time.monotonic())
    # One round of what `signaldelta up` does every second.
    monkeypatch.setattr(services, "_raise_if_ended", services._interrupt)
    with pytest.raises(KeyboardInterrupt):
        services._watch({}, {"aws": folder}, Console(file=said, width=200))
    monkeypatch.undo()
    assert "aws: the database had died and was started again" in said.getvalue()
    words, _ = homes.told("had died and was started again", time.monotonic())
    assert words in said.getvalue()
    homes.settle(time.monotonic())
