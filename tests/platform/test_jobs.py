"""Jobs with everything real: filed over HTTP at one home, run by Dagster at the other, while API, daemon, worker and
database are killed in turn and answers are lost on the way."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from api.auth import make_key
from api.jobs import DagsterClient
from api.jobs.client import RunLaunch
from api.jobs.kinds import launch_of
from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.cli.environment import prepare
from signaldelta_assets.jobs import RESCORE_JOB, job_op
from signaldelta_assets.replay import RecordedArchive, ReplayServer
from signaldelta_assets.warehouse import ArtifactStore, Place, Warehouse, other_place
from signaldelta_assets.warehouse.stores import jobs as store
from signaldelta_assets.warehouse.stores import signals, users
from tests.backtests.runs.study import make_spec
from tests.homes.places import Homes, two_homes
from tests.platform.deployment import Deployment
from tests.platform.losing import LosingProxy
from tests.platform.services import PATIENCE, Services, services
from tests.snapshots.world import WINDOW, build_world

pytestmark = [pytest.mark.platform, pytest.mark.postgres]
JOBS = "/api/v2/platform/jobs"
# So many hours that there is time to kill what works on them.
LONG = {"first": "2024-02-01T00:00:00Z", "last": "2024-02-05T00:00:00Z"}
HOURS = 4 * 24 + 1
RUNS_OF = "SELECT count(*) FROM dagster.run_tags WHERE key = 'signaldelta/job_id' AND value = %(job)s"


@pytest.fixture(scope="module")
def homes() -> Iterator[Homes]:
    with two_homes(replay=False) as made:
        yield made


@pytest.fixture(scope="module")
def deployment(homes: Homes, parsed_home: Path) -> Deployment:
    """The offsite home, where Dagster works, with a made-up world in its database: nothing is collected here."""
    home = homes.state
    (home / "tmp").mkdir(exist_ok=True)
    shutil.copytree(parsed_home / "dbt", home / "dbt")
    variables = prepare(homes.settings()) | {
        "SIGNALDELTA_PLACE": "offsite",
        "SIGNALDELTA_DATABASE_URL": homes.urls["offsite"],
        "SIGNALDELTA_PEER_DATABASE_URL": homes.urls["aws"],
        "SIGNALDELTA_FIRST_DAY": "2024-01-01",
        "TMPDIR": str(home / "tmp"),
        "COLUMNS": "250",
    }
    return Deployment(home, homes.urls["offsite"], variables)


@contextmanager
def at(homes: Homes, place: Place) -> Iterator[Warehouse]:
    """A warehouse of a process at that home."""
    with Warehouse(homes.urls[place], place=place, peer_url=homes.urls[other_place(place)]) as warehouse:
        yield warehouse


@pytest.fixture(scope="module")
def spec(deployment: Deployment, homes: Homes) -> dict[str, Any]:
    """A spec whose inputs are stored, and which nobody has stored or run; events by the rules of now, to score."""
    with at(homes, "offsite") as warehouse:
        world = build_world(warehouse, ArtifactStore(deployment.home / "artifacts"))
        rule = load_definitions().signal_hashes()["S001"]
        own = [replace(event, definitions_hash=rule) for event in world.events if event.signal_id == "S001"]
        signals.write_events(warehouse, own, WINDOW, ["S001"], rule)
        return make_spec(world).document


@pytest.fixture(scope="module")
def running(deployment: Deployment, homes: Homes, spec: dict[str, Any]) -> Iterator[Services]:
    """The API is beside its users, everything else offsite."""
    with services(deployment) as made:
        made.own["api"] = {
            "SIGNALDELTA_PLACE": "aws",
            "SIGNALDELTA_DATABASE_URL": homes.urls["aws"],
            "SIGNALDELTA_PEER_DATABASE_URL": homes.urls["offsite"],
            "SIGNALDELTA_WEBSERVER_URL": f"http://127.0.0.1:{made.ports['way']}",
        }
        made.up("api")
        yield made


@pytest.fixture(scope="module")
def way(running: Services) -> Iterator[LosingProxy]:
    """From the API to Dagster's webserver; there once somebody asks for it."""
    made = LosingProxy(running.ports["way"], f"http://127.0.0.1:{running.ports['webserver']}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(running: Services, homes: Homes) -> Iterator[httpx.Client]:
    """An administrator's."""
    made = make_key()
    with at(homes, "aws") as warehouse:
        user = users.create_user(
            warehouse, tier="research", admin=True, email=None, name=None, subject=None, actor=users.OPERATOR
        )
        key = users.NewKey(made.prefix, made.key_hash, "test", ("read", "write", "admin"))
        users.create_key(warehouse, user, key, users.OPERATOR)
    with running.client(made.text) as opened:
        yield opened


def job(client: httpx.Client, name: str) -> dict[str, Any]:
    """A job as it is now, asked for again while the API is away."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(httpx.TransportError):
            answer = client.get(f"{JOBS}/{name}")
            assert answer.status_code == 200, answer.text
            body: dict[str, Any] = answer.json()
            return body
        assert time.monotonic() < deadline, "the API did not come back"
        time.sleep(0.2)


def ended(running: Services, client: httpx.Client, name: str) -> dict[str, Any]:
    """A job at its end."""
    running.until(lambda: job(client, name)["finished_at"] is not None, f"the end of job {name}")
    return job(client, name)


def file(client: httpx.Client, path: str, body: dict[str, Any], **headers: str) -> str:
    answer = client.post(path, json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def tags(deployment: Deployment, run: str) -> dict[str, str]:
    rows = deployment.rows("SELECT key, value FROM dagster.run_tags WHERE run_id = %(run)s", run=run)
    return dict(rows)  # type: ignore[arg-type]


@pytest.mark.timeout(900)
def test_a_backtest_waits_for_dagster_and_is_run_when_it_comes(
    running: Services, client: httpx.Client, deployment: Deployment, spec: dict[str, Any], request: Any
) -> None:
    name = file(client, "/api/v2/backtests", spec, **{"X-Request-ID": "request-of-a-backtest"})
    running.until(lambda: bool(job(client, name)["reason"]), "the reason", 30)
    waiting = job(client, name)
    assert (waiting["state"], waiting["attempts"]) == ("queued", 0) and "does not answer" in waiting["reason"]
    for service in ("code", "webserver", "daemon"):
        running.start(service)
    way: LosingProxy = request.getfixturevalue("way")
    way.lose_answers(1, b"launchRun(")
    states = []
    with client.stream("GET", waiting["links"]["events"], timeout=PATIENCE) as stream:
        states += [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
    done = ended(running, client, name)
    assert done["state"] == "complete", (done, running.log("api")[-3000:])
    # Never backwards, and each of them at most once as an event without change.
    assert states[0] == "queued" and states == sorted(states, key=["queued", "launched", "running", "complete"].index)
    # The answer to its launch was lost, and the run found.
    assert way.lost == 1 and deployment.rows(RUNS_OF, job=name) == [(1,)]
    assert done["attempts"] == 1 and done["progress"]["done"] == done["progress"]["total"] > 0
    result = done["result"]
    assert deployment.rows("SELECT run_id, run_hash, dagster_run_id FROM backtest_runs") == [
        (result["run_id"], result["run_hash"], done["links"]["dagster"].rpartition("/")[2])
    ]
    # The run comes to this home by itself.
    running.until(lambda: client.get(result["links"]["run"]).status_code == 200, "the run at the API's home", 30)
    for link in ("report", "manifest"):
        assert client.get(result["links"][link]).status_code == 200, link
    run = tags(deployment, done["links"]["dagster"].rpartition("/")[2])
    assert run["signaldelta/job_id"] == name and run["signaldelta/correlation_id"] == "request-of-a-backtest"
    assert (run["dagster/priority"], run["dagster/max_retries"]) == ("4", "0")
    known = client.post("/api/v2/backtests/check", json=spec).json()
    assert [one["run_hash"] for one in known["runs"]] == [result["run_hash"]] and known["trial_number"] == 1


def unseen(homes: Homes, given: dict[str, Any]) -> str:
    """A backfill that was filed while Dagster could not be asked, by the one user there is."""
    owner = homes.rows("aws", "SELECT user_id FROM users WHERE tier = 'research'")[0]["user_id"]
    with at(homes, "aws") as warehouse:
        return str(
            store.submit(warehouse, store.NewJob("backfill", given, owner, "research", 4), store.Limits())[0]["job_id"]
        )


@pytest.fixture(scope="module")
def filed(
    running: Services, client: httpx.Client, homes: Homes, way: LosingProxy, tmp_path_factory: Any
) -> Iterator[dict[str, str]]:
    """Everything else, filed at once, so that Dagster works on it side by side."""
    with ReplayServer(RecordedArchive(tmp_path_factory.mktemp("nothing"))) as model:
        with at(homes, "aws") as warehouse, warehouse.write_pool("routing").connection() as connection:
            connection.execute(
                "UPDATE llm_model_routing SET base_url = %s WHERE route_id = 'local-heavy'",
                (f"{model.url}/api.openai.com/v1",),
            )
        httpx.post(f"{model.url}/__replay__/model", json=["an answer from offsite"]).raise_for_status()
        question = {"use_case": "deep_research", "messages": [{"role": "user", "text": "words of a user"}]}
        evidence = {"assets": ["snapshots/evidence"], "first": "2024-01-01", "last": "2024-01-01"}
        yield {
            "long": file(client, "/api/v2/signals/rescores", LONG),
            "answer": file(client, f"{JOBS}/llm-answers", question, **{"X-Request-ID": "request-of-an-answer"}),
            "backfill": file(client, f"{JOBS}/backfills", evidence),
            "impossible": file(client, "/api/v2/backtests/snapshots", {"quarter": "2093-01-01"}),
            "unknown": unseen(homes, evidence | {"assets": ["snapshots/nothing"]}),
        }


@pytest.mark.timeout(900)
def test_a_job_outlives_api_daemon_and_worker_and_is_done_once(
    running: Services, client: httpx.Client, deployment: Deployment, filed: dict[str, str]
) -> None:
    name = filed["long"]

    def steps() -> int:
        return int((job(client, name)["progress"] or {"done": 0})["done"])

    running.until(lambda: steps() > 0, "the middle of the job")
    run = job(client, name)["links"]["dagster"]
    # All at once, in the middle of an hour's scores.
    running.kill("api")
    running.kill("daemon")
    kill_worker_of(running, run.rpartition("/")[2])
    running.up("api")
    running.start("daemon")
    running.until(lambda: job(client, name)["attempts"] == 2, "a second attempt")
    assert job(client, name)["reason"] is None
    done = ended(running, client, name)
    assert done["state"] == "complete" and done["links"]["dagster"] != run
    assert done["result"]["hours"] == HOURS and done["result"]["new"] < done["result"]["scores"]
    # Every hour of every entity once, by two workers.
    scored = deployment.rows("SELECT count(*) AS n, count(DISTINCT (entity_id, at)) AS m FROM score_samples")
    assert scored == [(done["result"]["scores"], done["result"]["scores"])]
    assert deployment.rows(RUNS_OF, job=name) == [(2,)], "a run for each attempt and no more"


def kill_worker_of(running: Services, run: str) -> None:
    """`kill -9` of the process that works on a run."""
    rows = running.deployment.rows(
        "SELECT event FROM dagster.event_logs WHERE run_id = %(run)s AND dagster_event_type = 'ENGINE_EVENT'", run=run
    )
    pids = {int(entry["text"]) for entry in walk([json.loads(row[0]) for row in rows]) if "text" in entry}
    here = {worker.pid for worker in running.workers()} & pids
    assert len(here) == 1, (pids, running.workers())
    psutil.Process(here.pop()).kill()


def walk(found: Any) -> Iterator[dict[str, Any]]:
    """Metadata entries called `pid`, wherever they stand."""
    if isinstance(found, list):
        for one in found:
            yield from walk(one)
    elif isinstance(found, dict):
        if found.get("label") == "pid":
            yield found.get("entry_data", found)
        yield from walk(list(found.values()))


@pytest.mark.timeout(900)
def test_a_job_outlives_the_database_it_writes_to(
    running: Services, client: httpx.Client, deployment: Deployment, homes: Homes, filed: dict[str, str]
) -> None:
    span = {"first": "2024-03-01T00:00:00Z", "last": "2024-03-05T00:00:00Z"}
    name = file(client, "/api/v2/signals/rescores", span)
    running.until(lambda: (job(client, name)["progress"] or {"done": 0})["done"] > 0, "the middle of the job")
    homes.kill_server("offsite")
    time.sleep(2)
    homes.start_server("offsite")
    for service in ("webserver", "daemon"):
        if running.processes[service].poll() is not None:
            running.start(service)  # as a service manager does
    done = ended(running, client, name)
    assert done["state"] == "complete", done
    assert done["result"]["hours"] == HOURS and deployment.rows(RUNS_OF, job=name) == [(done["attempts"],)]
    where = "at >= '2024-03-01' AND at <= '2024-03-05'"
    scored = deployment.rows(
        f"SELECT count(*) AS n, count(DISTINCT (entity_id, at)) AS m FROM score_samples WHERE {where}"
    )
    assert scored == [(done["result"]["scores"], done["result"]["scores"])]


@pytest.mark.timeout(900)
def test_other_kinds_come_to_what_they_are_for(
    running: Services, client: httpx.Client, deployment: Deployment, filed: dict[str, str]
) -> None:
    answer = ended(running, client, filed["answer"])
    assert answer["state"] == "complete", answer
    assert answer["result"]["text"] == "an answer from offsite" and answer["result"]["route_id"] == "local-heavy"
    logged = deployment.rows("SELECT user_id, correlation_id, usage_id FROM llm_usage_log WHERE outcome = 'ok'")
    assert logged == [(answer["user_id"], "request-of-an-answer", answer["result"]["usage_id"])]
    config = "SELECT count(*) FROM dagster.runs WHERE run_body LIKE '%%words of a user%%'"
    assert deployment.rows(config) == [(0,)], "prompts are in no run"
    backfill = ended(running, client, filed["backfill"])
    assert backfill["state"] == "complete", backfill
    assert backfill["progress"] == {"done": 1, "total": 1, "words": "1 of 1 partitions are there"}
    made = 'SELECT count(DISTINCT partition) FROM dagster.event_logs WHERE asset_key = \'["snapshots", "evidence"]\''
    assert deployment.rows(made + " AND dagster_event_type = 'ASSET_MATERIALIZATION'") == [(1,)]


def test_a_backfill_of_what_dagster_does_not_have_is_refused_at_once(
    client: httpx.Client, filed: dict[str, str]
) -> None:
    before = len(client.get(JOBS).json()["data"])
    wanted = {
        "assets": ["snapshots/nothing", "snapshots/evidence", "signals/none/at_all", "scores/live"],
        "first": "1999-01-01", "last": "2001-01-01",
    }  # fmt: skip
    answer = client.post(f"{JOBS}/backfills", json=wanted)
    assert answer.status_code == 422 and answer.json()["type"].endswith(":invalid-request")
    found = [(error["field"], error["found"]) for error in answer.json()["errors"]]
    assert found == [
        ("body.assets", "snapshots/nothing"), ("body.first", "1999-01-01"), ("body.last", "2001-01-01"),
        ("body.assets", "signals/none/at_all"), ("body.assets", "scores/live"),
    ]  # fmt: skip
    assert "a partition of snapshots/evidence, 2024-01-01 to " in answer.json()["detail"]
    assert len(client.get(JOBS).json()["data"]) == before


@pytest.mark.timeout(900)
def test_what_cannot_be_is_a_dead_letter_at_once_and_can_be_tried_again(
    running: Services, client: httpx.Client, filed: dict[str, str]
) -> None:
    failed = ended(running, client, filed["impossible"])
    assert failed["state"] == "failed", failed
    assert ended(running, client, filed["unknown"])["reason"] == "there is no asset snapshots/nothing"
    letters = {one["job_id"]: one for one in client.get(f"{JOBS}/dead-letters").json()["data"]}
    assert set(letters) == {filed["impossible"], filed["unknown"]}
    letter = letters[failed["job_id"]]
    assert letter["input"]["quarter"] == "2093-01-01" and letter["reason"].endswith("found 2093-01-01")
    assert letter["attempts"] == failed["attempts"] == 1
    again = client.post(f"{JOBS}/dead-letters/{letter['dead_letter_id']}/retry")
    assert again.status_code == 202 and ended(running, client, again.json()["job_id"])["state"] == "failed"


@pytest.mark.timeout(900)
def test_a_running_job_is_canceled_and_a_failed_run_of_nobodys_is_found(
    running: Services, client: httpx.Client, deployment: Deployment, homes: Homes, filed: dict[str, str]
) -> None:
    dagster = DagsterClient(f"http://127.0.0.1:{running.ports['webserver']}")
    nonsense = {"ops": {job_op(RESCORE_JOB): {"config": {"first": "never", "last": "never"}}}}
    nobodys = dagster.launch(RunLaunch(RESCORE_JOB, {"who": "a schedule"}, nonsense))
    name = file(client, "/api/v2/signals/rescores", LONG | {"last": "2024-02-05T01:00:00Z"})
    # The same attempt launched twice, as by a dispatcher whose answer was lost: one is ended, the other is the job's.
    running.until(lambda: job(client, name)["links"].get("dagster") is not None, "the launch")
    with at(homes, "aws") as warehouse:
        row = store.get(warehouse, name)
    assert row is not None
    twin = launch_of(row)
    assert isinstance(twin, RunLaunch)
    second = dagster.launch(twin)
    running.until(lambda: dagster.runs_of([name])[name][-1].state == "canceled", "the end of the second run")
    running.until(lambda: job(client, name)["progress"] is not None, "the middle of the job")
    assert job(client, name)["links"]["dagster"].rpartition("/")[2] != second
    assert client.post(f"{JOBS}/{name}/cancel").json()["state"] == "running"
    done = ended(running, client, name)
    assert (done["state"], done["reason"]) == ("canceled", "ended as was asked")
    query = f"{JOBS}/dead-letters?waiting=true"

    def letters() -> list[dict[str, Any]]:
        return [one for one in client.get(query).json()["data"] if one["dagster_run_id"] == nobodys]

    running.until(lambda: bool(letters()), "the letter")
    (letter,) = letters()
    assert letter["what"] == RESCORE_JOB and "Invalid isoformat string" in letter["reason"]
    again = running.deployment.run(*letter["retry_command"].split(), stderr=None).strip()
    assert tags(deployment, again)["dagster/parent_run_id"] == nobodys
    dagster.close()


@pytest.mark.timeout(120)
def test_open_streams_do_not_hold_up_the_end_of_the_api(
    running: Services, client: httpx.Client, filed: dict[str, str]
) -> None:
    running.kill("webserver")
    name = file(client, "/api/v2/signals/rescores", LONG | {"last": "2024-02-05T02:00:00Z"})
    with client.stream("GET", f"{JOBS}/{name}/events", timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event: ")) == "event: queued"
        began = time.monotonic()
        running.stop("api", 30)
        assert time.monotonic() - began < 15
