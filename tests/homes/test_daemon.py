"""One daemon, runs whose process was killed, and the health of the platform as Dagster shows it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from signaldelta_assets.correlation import RUN_TAG
from signaldelta_assets.observability.logfiles import files, lines_of
from signaldelta_assets.observability.tracing import trace
from tests.homes import daemons
from tests.homes.daemons import COLLECT, Daemons, collecting
from tests.homes.places import PLAN, Homes, two_homes
from tests.observability.receiver import Receiver, receiving

pytestmark = [pytest.mark.platform, pytest.mark.postgres]


@pytest.fixture(scope="module")
def paired() -> Iterator[Homes]:
    with two_homes() as made:
        yield made


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def daemon(paired: Homes, receiver: Receiver) -> Iterator[Daemons]:
    made = Daemons(paired)
    made.variables |= {
        "SIGNALDELTA_ALERT_WEBHOOKS": json.dumps([f"{receiver.url}/hook"]),
        "SIGNALDELTA_ALERT_SLACK_URL": f"{receiver.url}/slack",
        "SIGNALDELTA_WATCH_SECONDS": "5",
    }
    made.start()
    yield made
    made.stop()


def test_a_second_daemon_is_refused_and_told_who_has_the_lock(daemon: Daemons) -> None:
    outcome = daemons.a_second_one(daemon)
    assert outcome.words.startswith("error: a daemon runs already: process ")


def test_a_run_whose_worker_was_killed_is_told_and_run_again(daemon: Daemons, receiver: Receiver) -> None:
    homes = daemon.homes

    def sent(run: str) -> None:
        # The run in its place is held up so long: a failure that is over before the next look is told to nobody.
        daemon.until(lambda: bool(_came(receiver, "run", "opened", run)), "the message", 60)

    tags = collecting(PLAN.start.isoformat(), PLAN.end.isoformat()) | {RUN_TAG: "request-of-it"}
    outcome = daemons.worker_killed(
        daemon, COLLECT, tags, lambda: homes.count("offsite", "collector_runs") > 0, failed=sent
    )
    assert outcome.told_seconds < 60
    assert [state for _, state in outcome.notes["runs"]] == ["FAILURE", "SUCCESS"]
    # The run in its place found what the first one had begun, and brought the rest.
    assert homes.count("offsite", "collector_runs", "status = 'running'") == 0
    assert homes.count("aws", "raw_records") == homes.count("offsite", "raw_records") > 0


def _came(receiver: Receiver, kind: str, event: str, subject: str = "") -> list[float]:
    """When messages of that kind and event came to the webhook."""
    return [
        at for path, _, document, at in receiver.came
        if path == "/hook" and (document["kind"], document["event"]) == (kind, event) and subject in document["subject"]
    ]  # fmt: skip


def test_the_failed_run_was_sent_within_a_minute_and_so_was_its_end(daemon: Daemons, receiver: Receiver) -> None:
    failed, _ = daemon.runs(COLLECT)
    daemon.until(lambda: bool(_came(receiver, "run", "closed", failed[0])), "the message that it is over", 60)
    [ended] = daemon.homes.rows("offsite", "SELECT end_time FROM dagster.runs WHERE run_id = %s", failed[0])
    [told] = _came(receiver, "run", "opened", failed[0])
    print(f"a failed run came to the receiver after {told - ended['end_time']:.1f} s")
    assert 0 < told - ended["end_time"] < 60
    # Once each, to either webhook, by an id that tells a message that came twice.
    for path in ("/hook", "/slack"):
        assert len(receiver.ids(path)) == len(set(receiver.ids(path))) > 1
    blocks = [document["blocks"][1]["text"]["text"] for path, _, document, _ in receiver.came if path == "/slack"]
    assert any(f"run {failed[0]} ({COLLECT}) failed" in text for text in blocks)


def test_one_id_leads_to_the_run_its_retry_and_what_they_collected(daemon: Daemons, receiver: Receiver) -> None:
    homes = daemon.homes
    logs = homes.state / "logs"
    urls = {"offsite": homes.urls["offsite"], "aws": homes.urls["aws"]}
    found = trace(urls, "offsite", logs, "request-of-it")
    said = " ".join(entry.words for entry in found.entries)
    assert all(f"run {run} ({COLLECT}" in said for run, _ in daemon.runs(COLLECT))
    assert said.count("began: ") == 2 and "success in" in said
    # The lines of the daemon and of both workers, by one id; and no address of a webhook in any.
    services = {service for service, _, _ in files(logs)}
    assert services >= {"dagster-daemon", "dagster-run", "dagster-code"}
    assert {line["service"] for line in lines_of(logs, ["request-of-it"])} == {"dagster-run", "dagster-daemon"}
    launched = [line["message"] for line in lines_of(logs, ["request-of-it"]) if line["service"] == "dagster-daemon"]
    assert launched == [f"run {run} ({COLLECT}) is launched" for run, _ in daemon.runs(COLLECT)]
    assert not any(receiver.url in path.read_text() for _, _, path in files(logs))


def test_a_daemon_outside_the_lock_is_told_and_stands_in_dagster_as_a_check(daemon: Daemons) -> None:
    outcome = daemons.one_outside_the_lock(daemon)
    assert outcome.words.startswith("2 daemons are at work") and "the lock is held by process" in outcome.words
    # It is told for a minute and more, and the sensor looks every few seconds.
    words = "SELECT words FROM operator_alerts WHERE kind = 'daemons'"
    daemon.until(lambda: bool(daemon.homes.rows("offsite", words)), "the alert", 90)
    noted = daemon.homes.rows("offsite", words)
    assert len(noted) == 1 and noted[0]["words"].startswith("2 daemons are at work")
    query = "SELECT evaluation_event AS it FROM dagster.asset_check_executions WHERE asset_key LIKE '%platform%health%'"
    daemon.until(
        lambda: any("2 daemons are at work" in row["it"] for row in daemon.homes.rows("offsite", query)),
        "the check",
        90,
    )


def test_sigterm_ends_the_daemon_and_frees_the_lock(daemon: Daemons) -> None:
    assert daemon.process is not None and daemon.process.poll() is None
    daemon.stop()
    assert not daemon.processes("dagster-daemon")
    words, _ = daemon.homes.told("none holds the lock", time.monotonic())
    assert "it has just ended" in words
