"""/metrics: what Prometheus is given, to whom, and at what cost; its page and dashboard name what there is."""

from __future__ import annotations

import json
import random
import re
import socket
import string
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse

from api import Parts, create_app
from api.metrics import FAMILIES, table
from api.metrics.page import PAGE, with_table
from signaldelta_assets.observability import logs
from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import ArtifactStore, PoolLimits, Warehouse, watch
from signaldelta_assets.warehouse.stores import routing
from signaldelta_assets.warehouse.watch import Trouble
from tests.observability.jobs import put_dead_letter, put_job
from tests.paths import ROOT
from tests.platform.deployment import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(client: httpx.Client) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(answer.text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> list[float]:
    """The values of a series whose labels include these."""
    return [
        value for (found, given), value in samples.items() if found == name and labels.items() <= dict(given).items()
    ]


class TestRequests:
    def test_latency_by_route_and_status(self, client: httpx.Client) -> None:
        asked = {"http_route": "/api/v2/backtests/{run}", "http_response_status_code": "404"}
        before = sum(of(scraped(client), "http_server_request_duration_seconds_count", **asked))
        for n in range(3):
            assert client.get(f"/api/v2/backtests/none-{n}").status_code == 404
        samples = scraped(client)
        assert sum(of(samples, "http_server_request_duration_seconds_count", **asked)) == before + 3
        within = of(samples, "http_server_request_duration_seconds_bucket", le="10.0", **asked)
        assert sum(within) == before + 3 and sum(of(samples, "http_server_request_duration_seconds_sum", **asked)) > 0
        assert sum(of(samples, "http_server_response_body_bytes_total", http_route="/metrics")) > 1000

    def test_whatever_is_asked_for_there_is_one_series_for_what_there_is_not(self, client: httpx.Client) -> None:
        chance = random.Random(7)
        counted = []
        for _ in range(2):
            for _ in range(500):
                path = "".join(chance.choices(string.ascii_letters + string.digits + "%/._-", k=chance.randint(1, 40)))
                client.request(chance.choice(["GET", "POST", "PURGE", "MKCOL", "SEARCH"]), f"/x{path}")
            samples = scraped(client)
            counted.append(len([key for key in samples if key[0].startswith("http_server")]))
        # Every method with every status that a path can have has been seen; five hundred more paths are no more series.
        assert counted[0] == counted[1] < 300
        routes = {dict(given).get("http_route", "") for _, given in samples}
        assert not any("/x" in route for route in routes) and "" in routes
        methods = {dict(given).get("http_request_method", "GET") for _, given in samples}
        assert "_OTHER" in methods and not methods & {"PURGE", "MKCOL", "SEARCH"}

    def test_a_request_that_fails_is_counted_as_one(self, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr("api.queries.run", fail)
        client = TestClient(app, raise_server_exceptions=False, base_url="http://127.0.0.1")
        assert client.get("/api/v2/backtests/x").status_code == 500
        asked = {"http_route": "/api/v2/backtests/{run}", "http_response_status_code": "500"}
        assert app.state.metrics.registry.get_sample_value(
            "http_server_request_duration_seconds_count", {"http_request_method": "GET", **asked}
        )

    def test_the_log_says_the_route_and_no_query(self, client: httpx.Client, tmp_path: Path) -> None:
        with logs.configured("api", folder=tmp_path):
            client.get("/api/v2/backtests/none-1/metrics?metric=visible", headers={"X-Request-ID": "logged-1"})
            # Its caller is answered first.
            wait_until(lambda: any(path.stat().st_size for path in tmp_path.iterdir()), 10, "the line")
        [line] = [json.loads(text) for path in tmp_path.iterdir() for text in path.read_text().splitlines()]
        assert line["correlation_id"] == "logged-1" and line["service"] == "api"
        context = line["context"]
        assert (
            context["route"] == "/api/v2/backtests/{run}/metrics"
            and context["status"] == 404
            and context["bytes"] > 100
        )
        assert "visible" not in json.dumps(line)


class TestPlatform:
    @pytest.fixture(scope="class")
    @classmethod
    def samples(cls, client: httpx.Client, filled: Warehouse, app: FastAPI) -> Samples:
        with filled.write_pool("collection").connection() as connection:
            connection.execute(
                "INSERT INTO collector_status (collector, source_types, last_success_at, consecutive_failures)"
                " VALUES ('test/metrics', '{x}', '2024-01-02T00:00:00Z', 3) ON CONFLICT DO NOTHING"
            )
        for outcome, cost in (("ok", "0.25"), ("ok", "0.5"), ("failed", "0")):
            routing.add_usage(filled, [routing.Usage(
                new_ulid(), datetime.now(UTC), "explain_term", "route-1", "m", "one", None, "id-1", 100, 10,
                Decimal(cost), 12.0, outcome, None,
            )])  # fmt: skip
        put_job(filled.url, "01JOB1", "queued")
        put_job(filled.url, "01JOB2", "complete", finished_at="2025-01-01T00:00:00Z")
        put_dead_letter(filled.url, "01DEAD")
        with filled.pulse() as connection:
            watch.note(connection, [Trouble("disk", "/data", "critical", "full")])
        with psycopg.connect(filled.url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS dagster")
            connection.execute("CREATE TABLE dagster.runs (status text, update_timestamp timestamp)")
            connection.execute(
                "INSERT INTO dagster.runs VALUES ('STARTED', now() - interval '9 days'), ('SUCCESS', now()),"
                " ('SUCCESS', now()), ('FAILURE', now() - interval '9 days')"
            )
        app.state.reading._at = app.state.watching._at = 0.0
        found = scraped(client)
        with psycopg.connect(filled.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA dagster CASCADE")
        return found

    def test_collectors_runs_models_alerts(self, samples: Samples) -> None:
        name = "signaldelta_collector_last_success_timestamp_seconds"
        assert of(samples, name, collector="test/metrics") == [datetime(2024, 1, 2, tzinfo=UTC).timestamp()]
        assert of(samples, "signaldelta_collector_consecutive_failures", collector="test/metrics") == [3]
        assert of(samples, "signaldelta_dagster_runs", state="started") == [1]
        # Of what is over, the last day's.
        assert of(samples, "signaldelta_dagster_runs", state="success") == [2]
        assert of(samples, "signaldelta_dagster_runs", state="failure") == []
        assert of(samples, "signaldelta_jobs", state="queued") == [1] and not of(
            samples, "signaldelta_jobs", state="complete"
        )
        assert (
            of(samples, "signaldelta_dead_letters") == [1] == of(samples, "signaldelta_troubles", kind="dead_letters")
        )
        assert of(samples, "signaldelta_llm_calls", route="route-1", outcome="ok") == [2]
        assert of(samples, "signaldelta_llm_cost_dollars", use_case="explain_term", route="route-1") == [0.75]
        assert of(samples, "signaldelta_llm_tokens", route="route-1", direction="input") == [300]
        assert of(samples, "signaldelta_alerts_open", kind="disk", severity="critical") == [1]
        assert of(samples, "signaldelta_database_up", place="one") == [1]

    def test_pools_and_what_this_is(self, samples: Samples) -> None:
        assert of(samples, "db_client_connection_max", db_client_connection_pool_name="local") == [4]
        used = of(samples, "db_client_connection_count", db_client_connection_pool_name="local")
        assert len(used) == 2 and 0 < sum(used) <= 4
        assert of(samples, "signaldelta_build_info", place="one") == [1]
        assert of(samples, "target_info", service_name="signaldelta-api") == [1]
        assert of(samples, "process_resident_memory_bytes")[0] > 1e7

    def test_every_series_is_declared(self, samples: Samples) -> None:
        declared = {series for family in FAMILIES for series in family.series}
        own = {
            name
            for name, _ in samples
            if not name.startswith(("process_", "python_")) and not name.endswith("_created")
        }
        assert own <= declared
        labels = {family.name: set(family.labels) for family in FAMILIES}
        for name, given in samples:
            if name in labels:
                assert set(dict(given)) == labels[name], name

    def test_status_says_it_too(self, client: httpx.Client, samples: Samples) -> None:
        body = client.get("/status").json()
        assert body["models"] == {"configured": False, "calls_today": 3, "failed_today": 1, "dollars_today": 0.75}
        assert body["alerts"]["open"] == 1 and {pool["pool"] for pool in body["pools"]} == {"local", "pulse"}
        assert body["jobs"] == {"queued": 1} and body["dead_letters"] == 1
        assert body["runs"]["success"] == 2 and "collector test/metrics: 3 failures in a row" in body["reasons"]
        assert [disk["folder"] for disk in body["disks"]] == []


class TestScraping:
    def test_both_formats(self, client: httpx.Client) -> None:
        plain = client.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=")
        assert plain.headers["cache-control"] == "no-store"
        answer = client.get("/metrics", headers={"Accept": OPEN_METRICS})
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert answer.text.endswith("# EOF\n")
        assert len(list(open_metrics(answer.text))) > 20

    def test_many_scrapes_ask_the_database_once(self, client: httpx.Client, app: FastAPI, filled: Warehouse) -> None:
        app.state.reading._at = app.state.watching._at = 0.0
        before = _connections(filled)
        for _ in range(20):
            scraped(client)
        # The figures once in five seconds, the watch once in two.
        assert _connections(filled) - before <= 5

    def test_without_a_database_what_the_process_counts_is_there(self, tmp_path: Path) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"postgresql://nobody@127.0.0.1:{closed.getsockname()[1]}/none"
            app = create_app(Parts(Warehouse(url, limits=PoolLimits(wait_seconds=0.5)), ArtifactStore(tmp_path)))
            with TestClient(app, base_url="http://127.0.0.1") as client:
                client.get("/api/v2/market/securities")
                began = time.monotonic()
                samples = scraped(client)
                assert time.monotonic() - began < 3.0
        assert of(samples, "signaldelta_database_up", place="one") == [0]
        asked = {"http_route": "/api/v2/market/securities", "http_response_status_code": "503"}
        assert of(samples, "http_server_request_duration_seconds_count", **asked) == [1]
        assert not of(samples, "signaldelta_collector_state")

    def test_a_database_that_swallows_what_it_is_asked_is_not_waited_for(self, tmp_path: Path) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
            app = create_app(Parts(Warehouse(url, limits=PoolLimits(wait_seconds=0.5)), ArtifactStore(tmp_path)))
            with TestClient(app, base_url="http://127.0.0.1") as client:
                began = time.monotonic()
                samples = scraped(client)
                assert 1.5 < time.monotonic() - began < 3.0
        assert of(samples, "signaldelta_database_up", place="one") == [0]


def _connections(warehouse: Warehouse) -> int:
    """How many sessions the server has had, of this database."""
    with psycopg.connect(warehouse.url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute("SELECT sessions FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


class TestWho:
    @pytest.fixture(scope="class")
    @classmethod
    def token_client(cls, postgres_url: str, store: ArtifactStore) -> Iterator[TestClient]:
        app = create_app(Parts(Warehouse(postgres_url), store, scrape_token="a-token-of-the-settings"))
        with TestClient(app, base_url="http://127.0.0.1") as client:
            yield client

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Authorization": "Bearer a-token-of-the-settings"}, 200),
            ({"Authorization": "bearer a-token-of-the-settings"}, 200),
            ({"Authorization": "Bearer a-token-of-the-setting"}, 401),
            ({"Authorization": "Basic a-token-of-the-settings"}, 401),
            ({"X-API-Key": "a-token-of-the-settings"}, 401),
            ({}, 401),
        ],
    )
    def test_a_token_of_the_settings(self, token_client: TestClient, headers: dict[str, str], status: int) -> None:
        answer = token_client.get("/metrics", headers=headers)
        assert answer.status_code == status
        assert status == 200 or "signaldelta_" not in answer.text

    @pytest.mark.parametrize(
        ("client_address", "headers", "status"),
        [
            (("127.0.0.1", 1), {}, 200),
            (("10.0.0.8", 1), {}, 403),
            # A proxy here asks for somebody else; a page elsewhere calls us by another name.
            (("127.0.0.1", 1), {"X-Forwarded-For": "203.0.113.7"}, 403),
            (("127.0.0.1", 1), {"Forwarded": "for=203.0.113.7"}, 403),
            (("127.0.0.1", 1), {"Host": "metrics.example.com"}, 403),
        ],
    )
    def test_without_one_this_machine_alone(
        self, app: FastAPI, client_address: tuple[str, int], headers: dict[str, str], status: int
    ) -> None:
        client = TestClient(app, base_url="http://127.0.0.1", client=client_address)
        assert client.get("/metrics", headers=headers).status_code == status


class TestPages:
    def test_the_page_lists_every_metric(self) -> None:
        page = PAGE.read_text()
        assert with_table(page) == page, "`make routes`"
        assert table() in page and len(FAMILIES) > 25

    @pytest.mark.parametrize("file", ["deploy/grafana-dashboard.json", "deploy/prometheus-rules.yml"])
    def test_dashboard_and_rules_ask_for_what_there_is(self, file: str) -> None:
        declared = {series for family in FAMILIES for series in family.series}
        text = (ROOT / file).read_text()
        asked = set(re.findall(r"\b((?:signaldelta|http_server|db_client|process)_[a-z_]+)", text))
        labels = {label for family in FAMILIES for label in family.labels}
        assert len(asked & declared) > 8
        assert {name for name in asked if not name.startswith("process_")} <= declared | labels


def test_counting_is_right_from_many_threads(app: FastAPI) -> None:
    count = app.state.metrics.registry.get_sample_value
    asked = {"http_request_method": "GET", "http_route": "/health", "http_response_status_code": "200"}
    name = "http_server_request_duration_seconds_count"
    before = count(name, asked) or 0

    def ask() -> None:
        client = TestClient(app, base_url="http://127.0.0.1")
        for _ in range(25):
            client.get("/health")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(name, asked) == before + 100
    assert count("http_server_active_requests", {"http_request_method": "GET"}) == 0
