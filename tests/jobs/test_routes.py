"""Jobs over HTTP, with keys, before a Dagster that swallows whatever it is asked: who may what, and no waiting."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import psycopg
import pytest

from api import Parts, create_app
from api.accounts import required_access
from api.auth import make_key
from api.jobs import DagsterClient, Dispatcher, Pace, letters
from api.jobs.election import Election, home_url
from signaldelta_assets.jobs import Kind
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import dead_letters, users
from signaldelta_assets.warehouse.stores import jobs as store
from tests.readside import LATENCY, fill
from tests.serving import serving

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
JOBS = "/api/v2/platform/jobs"
RESCORE = {"first": "2025-01-01T00:00:00Z", "last": "2025-01-01T02:00:00Z"}


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """A webserver that takes every connection and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def url(postgres_url: str, silent: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("jobs")
    artifacts = ArtifactStore(folder)
    with Warehouse(postgres_url) as writer:
        fill(writer, artifacts, folder)
        # The one that the dispatcher is busy with: what is filed later waits.
        store.submit(writer, store.NewJob("rescore", RESCORE, None, "research", 9), store.Limits())
    warehouse = Warehouse(postgres_url)
    dispatcher = Dispatcher(warehouse, DagsterClient(silent, httpx.Timeout(2.0)), Pace(every=0.1))
    access = required_access(warehouse)
    app = create_app(Parts(warehouse, artifacts, access=access, dagster_url=silent, dispatcher=dispatcher))
    with serving(app) as address:
        yield address
        began = time.monotonic()
    assert time.monotonic() - began < 10, "a silent Dagster holds up the end"


@contextmanager
def a_user(warehouse: Warehouse, url: str, tier: str = "research", admin: bool = False) -> Iterator[httpx.Client]:
    user = users.create_user(
        warehouse, tier=tier, admin=admin, email=None, name=None, subject=None, actor=users.OPERATOR
    )
    made = make_key()
    scopes = ("read", "write", "admin") if admin else ("read", "write")
    users.create_key(warehouse, user, users.NewKey(made.prefix, made.key_hash, "test", scopes), users.OPERATOR)
    with httpx.Client(base_url=url, headers={"X-API-Key": made.text}, timeout=20) as client:
        yield client


@pytest.fixture
def client(warehouse: Warehouse, url: str) -> Iterator[httpx.Client]:
    with a_user(warehouse, url) as made:
        yield made


@pytest.fixture(scope="module")
def spec(url: str, postgres_url: str) -> dict[str, Any]:
    with Warehouse(postgres_url) as warehouse, warehouse.read_pool().connection() as connection:
        row = connection.execute("SELECT snapshot_hash FROM backtest_snapshots").fetchone()
    assert row is not None
    return {
        "schema": "signaldelta.backtest_spec/1",
        "snapshot_hash": row["snapshot_hash"],
        "scoring_model_hash": hash_document({"schema": "test.scoring_model/1"}),
        "latency_model_hash": hash_document(LATENCY),
        "protocol_hash": hash_document({"schema": "test.evaluation_protocol/1"}),
        "hypothesis_family": "insider-buys",
    }


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.status_code == status and body["type"] == f"urn:signaldelta:problem:{kind}", answer.text
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


class TestFiling:
    def test_a_backtest_is_taken_at_once_whatever_dagster_does(
        self, client: httpx.Client, spec: dict[str, Any], warehouse: Warehouse
    ) -> None:
        began = time.monotonic()
        first = client.post("/api/v2/backtests", json=spec, headers={"Idempotency-Key": "mine", "X-Request-ID": "r-1"})
        assert first.status_code == 202, first.text
        body = first.json()
        assert first.headers["location"] == f"{JOBS}/{body['job_id']}" == body["links"]["self"]
        assert (first.headers["retry-after"], first.headers["cache-control"]) == ("2", "no-store")
        assert (body["kind"], body["input"], body["correlation_id"]) == ("backtest", spec, "r-1")
        again = client.post("/api/v2/backtests", json=spec, headers={"Idempotency-Key": "mine"})
        assert (again.status_code, again.json()["job_id"]) == (200, body["job_id"])
        for path in (body["links"]["self"], JOBS):
            assert client.get(path).status_code == 200
        # The dispatcher is stuck in a call; nobody who asks is.
        assert time.monotonic() - began < 5
        deadline = time.monotonic() + 10
        while (reason := client.get(body["links"]["self"]).json()["reason"]) is None:
            assert time.monotonic() < deadline, "nobody says why it waits"
            time.sleep(0.1)
        assert reason.startswith("Dagster's webserver at http://127.0.0.1:") and "ReadTimeout" in reason
        other = spec | {"hypothesis_family": "another"}
        refused = client.post("/api/v2/backtests", json=other, headers={"Idempotency-Key": "mine"})
        assert body["job_id"] in problem(refused, 409, "idempotency-key-reused")["detail"]
        kinds = [row["kind"] for row in users.activity(warehouse, body["user_id"], 10)]
        assert kinds == ["request.change"] * 3, "filing is in the audit log, refused or not"

    def test_what_a_spec_names_has_to_be_there(self, client: httpx.Client, spec: dict[str, Any]) -> None:
        wrong = spec | {"snapshot_hash": "0" * 64, "protocol_hash": spec["scoring_model_hash"]}
        body = problem(client.post("/api/v2/backtests", json=wrong), 422, "invalid-request")
        assert [error["field"] for error in body["errors"]] == ["body.snapshot_hash", "body.protocol_hash"]
        assert "nothing of that hash" in body["detail"] and "a scoring_model" in body["detail"]
        for field, value in (("schema", "2"), ("x", 1), ("protocol_hash", 1)):
            body = problem(client.post("/api/v2/backtests", json=spec | {field: value}), 422, "invalid-request")
            assert body["errors"][0]["field"] == f"body.{field}"
        assert client.get(JOBS).json()["data"] == []

    def test_check_tells_what_it_would_be_and_files_nothing(self, client: httpx.Client, spec: dict[str, Any]) -> None:
        body = client.post("/api/v2/backtests/check", json=spec).json()
        assert (body["can_run"], body["missing"], body["runs"]) == (True, [], [])
        assert (body["family_trials"], body["trial_number"], body["labels"]) == (2, 3, 0)
        assert body["spec_hash"] == hash_document(spec)
        missing = client.post("/api/v2/backtests/check", json=spec | {"snapshot_hash": "0" * 64}).json()
        assert (missing["can_run"], missing["labels"]) == (False, None)
        assert [one["field"] for one in missing["missing"]] == ["body.snapshot_hash"]
        assert client.get(JOBS).json()["data"] == []

    def test_other_kinds_and_who_may_file_them(self, client: httpx.Client, warehouse: Warehouse, url: str) -> None:
        backfill = {"assets": ["snapshots/evidence"], "first": "2025-01-01", "last": "2025-01-01"}
        answer = {"use_case": "deep_research", "messages": [{"role": "user", "text": "why"}]}
        taken = [
            client.post("/api/v2/backtests/snapshots", json={"quarter": "2025-01-01"}),
            client.post("/api/v2/signals/rescores", json=RESCORE),
            client.post(f"{JOBS}/llm-answers", json=answer),
        ]
        assert [one.status_code for one in taken] == [202] * 3, [one.text for one in taken]
        problem(client.post(f"{JOBS}/backfills", json=backfill), 403, "forbidden")
        unknown = client.post(f"{JOBS}/llm-answers", json=answer | {"use_case": "none"})
        assert "deep_research" in problem(unknown, 422, "invalid-request")["errors"][0]["expected"]
        with a_user(warehouse, url, "professional") as lower:
            problem(lower.post("/api/v2/signals/rescores", json=RESCORE), 403, "forbidden")
        with a_user(warehouse, url, admin=True) as admin:
            assert admin.post(f"{JOBS}/backfills", json=backfill).status_code == 202
            everybodys = {row["kind"] for row in admin.get(JOBS).json()["data"]}
            assert everybodys >= {"backfill", "snapshot", "rescore", "llm_answer"}
            few = admin.get(JOBS, params={"kind": "backfill", "state": "queued"}).json()["data"]
            assert {row["kind"] for row in few} <= {"backfill"}

    @pytest.mark.parametrize("ago", [timedelta(0), timedelta(days=-30)])
    def test_an_hour_that_is_to_come_or_has_just_begun_is_not_scored_before_its_time(
        self, client: httpx.Client, ago: timedelta
    ) -> None:
        """What is stored of an hour stays: nobody's live score of it would be made of what it brought."""
        last = (datetime.now(UTC) - ago).replace(minute=0, second=0, microsecond=0)
        wanted = {"first": (last - timedelta(hours=2)).isoformat(), "last": last.isoformat()}
        refused = problem(client.post("/api/v2/signals/rescores", json=wanted), 422, "invalid-request")
        assert [error["field"] for error in refused["errors"]] == ["body.last"]
        wanted["last"] = wanted["first"] = (
            (datetime.now(UTC) - timedelta(hours=2)).replace(minute=0, second=0, microsecond=0).isoformat()
        )
        assert client.post("/api/v2/signals/rescores", json=wanted).status_code == 202

    def test_a_full_queue_and_a_day_that_is_used_up_say_when_to_come_again(
        self, warehouse: Warehouse, url: str
    ) -> None:
        def ask(client: httpx.Client, number: int) -> httpx.Response:
            return client.post("/api/v2/backtests/snapshots", json={"quarter": f"20{number:02d}-01-01"})

        with a_user(warehouse, url, "entry") as client:
            assert ask(client, 10).status_code == 202
            over = ask(client, 11)
            assert "1 jobs in 24 hours" in problem(over, 429, "day-limit")["detail"]
            assert 86_000 < int(over.headers["retry-after"]) <= 86_400
        with warehouse.state_pool("users").connection() as connection:
            connection.execute(
                "UPDATE tier_entitlements SET value = '2' WHERE tier = 'professional' AND entitlement = 'jobs_queued'"
            )
            connection.execute(
                "UPDATE tier_entitlements SET value = '0' WHERE tier = 'professional' AND entitlement = 'jobs_running'"
            )
        with a_user(warehouse, url, "professional") as client:
            found = [ask(client, number) for number in (10, 11, 12)]
            assert [one.status_code for one in found] == [202, 202, 429]
            problem(found[2], 429, "queue-full")
            assert found[2].headers["retry-after"] == "30"
            client.post(found[0].json()["links"]["cancel"])
            assert ask(client, 12).status_code == 202

    def test_a_tier_without_jobs_is_told_so(self, warehouse: Warehouse, url: str) -> None:
        with warehouse.state_pool("users").connection() as connection:
            connection.execute(
                "UPDATE tier_entitlements SET value = '0' WHERE tier = 'analyst' AND entitlement = 'jobs_per_day'"
            )
        with a_user(warehouse, url, "analyst") as client:
            body = problem(client.post("/api/v2/backtests/snapshots", json={"quarter": "2025-01-01"}), 403, "no-jobs")
        assert "the tier analyst has no jobs" in body["detail"]


class TestSeeing:
    def test_anothers_job_is_not_there(self, client: httpx.Client, warehouse: Warehouse, url: str) -> None:
        job = client.post("/api/v2/signals/rescores", json=RESCORE).json()
        letter = dead_letters.bury(
            warehouse, dead_letters.Letter("rescore", {}, "why", 1, "", job_id=job["job_id"], user_id=job["user_id"])
        )
        with a_user(warehouse, url) as other:
            for method, path in (
                ("GET", job["links"]["self"]), ("GET", job["links"]["events"]), ("POST", job["links"]["cancel"]),
                ("POST", f"{JOBS}/dead-letters/{letter}/retry"),
            ):  # fmt: skip
                problem(other.request(method, path), 404, "not-found")
            assert other.get(JOBS).json()["data"] == [] == other.get(f"{JOBS}/dead-letters").json()["data"]
        assert client.get(job["links"]["self"]).json()["state"] != "canceled"
        assert [one["dead_letter_id"] for one in client.get(f"{JOBS}/dead-letters").json()["data"]] == [letter]

    def test_lists_page_by_cursor(self, client: httpx.Client) -> None:
        made = []
        for hour in range(5):
            asked = {"first": f"2025-01-01T0{hour}:00:00Z", "last": "2025-01-01T05:00:00Z"}
            made.append(client.post("/api/v2/signals/rescores", json=asked).json()["job_id"])
        walked, cursor = [], None
        while True:
            page = client.get(JOBS, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            walked += [row["job_id"] for row in page["data"]]
            cursor = page["meta"]["next_cursor"]
            if cursor is None:
                break
        assert walked == made[::-1]
        document = client.get("/openapi.json").json()
        schema = {**document["components"]["schemas"]["JobPage"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(client.get(JOBS).json())

    def test_a_job_is_followed_to_its_end_and_from_where_one_was(self, client: httpx.Client) -> None:
        job = client.post("/api/v2/signals/rescores", json=RESCORE).json()
        told: list[tuple[str, str]] = []
        with client.stream("GET", job["links"]["events"]) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for event in events(stream):
                if not told:
                    ended = client.post(job["links"]["cancel"]).json()
                    assert (ended["state"], ended["reason"]) == ("canceled", "canceled before it began")
                told.append((event["event"], event["id"]))
                body = json.loads(event["data"])
        assert told[0][0] == "queued" and told[-1][0] == "canceled" and body == ended
        with client.stream("GET", job["links"]["events"], headers={"Last-Event-ID": told[-1][1]}) as stream:
            assert list(events(stream)) == [], "nothing is new, and nothing will follow"
        # What has ended stays as it is, and nobody is told to ask again.
        assert client.post(job["links"]["cancel"]).json() == ended
        assert "retry-after" not in client.get(job["links"]["self"]).headers


def events(stream: httpx.Response) -> Iterator[dict[str, str]]:
    """The events of a stream that hold something."""
    event: dict[str, str] = {}
    for line in stream.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            event[name] = value
        elif "data" in event:
            yield event
            event = {}


def _dead(warehouse: Warehouse, wanted: store.NewJob) -> str:
    """File a job and let it fail for good; return its letter's id."""
    job, _ = store.submit(warehouse, wanted, store.Limits())
    row = store.claim(warehouse, job["job_id"])
    assert row is not None and store.finish(warehouse, row, "failed", reason="why") is not None
    letter = dead_letters.bury(warehouse, letters.of_job(row, "why"))
    assert letter is not None
    return letter


class TestDeadLetters:
    def test_a_letter_is_tried_again_once_as_a_new_job(self, client: httpx.Client, warehouse: Warehouse) -> None:
        job = client.post("/api/v2/signals/rescores", json=RESCORE).json()
        row = store.claim(warehouse, job["job_id"])
        assert row is not None
        letter = dead_letters.bury(
            warehouse,
            dead_letters.Letter(
                "rescore", row["input"], "why", 3, f"signaldelta jobs retry {job['job_id']}",
                job_id=job["job_id"], user_id=job["user_id"],
            ),
        )  # fmt: skip
        assert store.finish(warehouse, row, "failed", reason="why") is not None
        first = client.post(f"{JOBS}/dead-letters/{letter}/retry")
        assert first.status_code == 202, first.text
        assert first.json()["input"] == job["input"] and first.json()["job_id"] != job["job_id"]
        (noted,) = client.get(f"{JOBS}/dead-letters").json()["data"]
        again = client.post(f"{JOBS}/dead-letters/{letter}/retry")
        assert (again.status_code, again.json()["job_id"]) == (200, first.json()["job_id"])
        (shown,) = client.get(f"{JOBS}/dead-letters").json()["data"]
        assert shown == noted, "when it was tried again is when it was"
        assert shown["retried_as"] == first.json()["job_id"] and shown["reason"] == "why"
        assert client.get(f"{JOBS}/dead-letters", params={"waiting": True}).json()["data"] == []

    @pytest.mark.parametrize("kind", ["rescore", "backfill"])
    def test_what_one_may_file_no_more_one_does_not_try_again(self, warehouse: Warehouse, url: str, kind: Kind) -> None:
        """Filed with a feature or as an administrator, and tried again without."""
        with a_user(warehouse, url) as client, a_user(warehouse, url, admin=True) as admin:
            owner = client.get("/api/v2/users/me").json()["user_id"]
            wanted = store.NewJob(kind, RESCORE, owner, "research", 4)
            letter = _dead(warehouse, wanted)
            users.set_tier(warehouse, owner, "professional", users.OPERATOR)
            refused = problem(client.post(f"{JOBS}/dead-letters/{letter}/retry"), 403, "forbidden")
            assert refused["detail"] == f"a job of the kind {kind} is not this user's to file"
            assert store.newest_like(warehouse, wanted)["state"] == "failed"  # type: ignore[index]
            assert admin.post(f"{JOBS}/dead-letters/{letter}/retry").status_code == 202

    def test_what_is_tried_again_is_of_the_tier_of_now(self, warehouse: Warehouse, url: str) -> None:
        """Its priority, and the dollars that it may cost in a day."""
        with a_user(warehouse, url) as client:
            owner = client.get("/api/v2/users/me").json()["user_id"]
            letter = _dead(warehouse, store.NewJob("llm_answer", RESCORE, owner, "research", 4))
            users.set_tier(warehouse, owner, "professional", users.OPERATOR)
            again = client.post(f"{JOBS}/dead-letters/{letter}/retry")
            assert again.status_code == 202, again.text
            row = store.get(warehouse, again.json()["job_id"])
            assert row is not None and (row["tier"], row["priority"]) == ("professional", 2)

    def test_a_run_that_was_no_job_is_an_administrators_and_has_its_command(
        self, client: httpx.Client, warehouse: Warehouse, url: str
    ) -> None:
        command = "dagster asset materialize --select x"
        letter = dead_letters.bury(
            warehouse, dead_letters.Letter("run of x", {}, "why", 3, command, dagster_run_id="run-of-a-schedule")
        )
        problem(client.post(f"{JOBS}/dead-letters/{letter}/retry"), 404, "not-found")
        with a_user(warehouse, url, admin=True) as admin:
            refused = problem(admin.post(f"{JOBS}/dead-letters/{letter}/retry"), 409, "not-a-job")
        assert command in refused["detail"]


def test_one_process_dispatches_and_the_next_takes_over(url: str, warehouse: Warehouse, postgres_url: str) -> None:
    """The server of this module holds the lock; who else asks is not the one, until its connection is gone."""
    address = home_url(warehouse)
    assert address is not None
    other = Election(address)
    deadline = time.monotonic() + 10
    while other.won():
        other.resign()
        assert time.monotonic() < deadline, "the server's dispatcher has not taken the lock"
        time.sleep(0.05)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'signaldelta jobs %'"
            " AND datname = current_database()"
        )
    deadline = time.monotonic() + 10
    while not other.won():
        assert time.monotonic() < deadline, "a lock whose holder is gone is not given on"
        time.sleep(0.05)
    assert other.won()
    other.resign()


def test_offsite_without_the_other_home_nothing_is_dispatched(postgres_url: str, tmp_path: Path) -> None:
    with Warehouse(postgres_url, place="offsite") as warehouse:
        assert home_url(warehouse) is None
        dispatcher = Dispatcher(warehouse, DagsterClient("http://127.0.0.1:9"))
        dispatcher.start()
        assert dispatcher._thread is None
        dispatcher.stop()
    with Warehouse(postgres_url, place="offsite", peer_url="postgresql://aws") as warehouse:
        assert home_url(warehouse) == warehouse.peer_url
