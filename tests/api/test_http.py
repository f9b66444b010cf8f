"""The manners of the API: errors, correlation, caching, downloads, paging, and its own description."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from api import Parts, create_app
from api.correlation import CorrelationMiddleware
from signaldelta_assets.correlation import correlation_id
from signaldelta_assets.versioning import sha256_hex
from signaldelta_assets.warehouse import ArtifactStore, PoolLimits, Warehouse
from signaldelta_assets.warehouse.tables import metadata
from tests.readside import ENTITIES, HASH, LATENCY

pytestmark = [pytest.mark.postgres, pytest.mark.platform]


def problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) == {"type", "title", "status", "detail", "instance", "request_id", "errors"}
    assert body["status"] == status and body["type"] == f"urn:signaldelta:problem:{kind}"
    assert body["request_id"] == response.headers["x-request-id"]
    return body


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    body: dict[str, Any] = client.get("/openapi.json").json()
    return body


def first_run(client: httpx.Client) -> dict[str, Any]:
    run: dict[str, Any] = client.get("/api/v2/backtests").json()["data"][0]
    return run


class TestErrors:
    def test_not_found(self, client: httpx.Client) -> None:
        body = problem(client.get("/api/v2/backtests/none"), 404, "not-found")
        assert "'none'" in body["detail"] and body["instance"] == "/api/v2/backtests/none"
        problem(client.get("/api/v2/nowhere"), 404, "not-found")
        problem(client.post("/api/v2/signals"), 405, "method-not-allowed")

    @pytest.mark.parametrize(
        ("parameters", "field"),
        [
            ({"limit": "5000"}, "query.limit"),
            ({"limit": "0"}, "query.limit"),
            ({"as_of": "2024-06-03T12:00:00"}, "query.as_of"),  # no zone: it could be any time
            ({"as_of": "yesterday"}, "query.as_of"),
            ({"order": "up"}, "query.order"),
            ({"cursor": "bm9uc2Vuc2U"}, "query.cursor"),
            ({"cursor": "%%%"}, "query.cursor"),
            ({"definitions": "xyz"}, "query.definitions"),
        ],
    )
    def test_invalid_parameter_is_named(self, client: httpx.Client, parameters: dict[str, str], field: str) -> None:
        body = problem(client.get("/api/v2/signals", params=parameters), 422, "invalid-request")
        assert [item["field"] for item in body["errors"]] == [field]
        assert body["errors"][0]["expected"]

    def test_a_cursor_belongs_to_its_question(self, client: httpx.Client) -> None:
        cursor = client.get("/api/v2/signals", params={"limit": 5}).json()["meta"]["next_cursor"]
        assert client.get("/api/v2/signals", params={"limit": 9, "cursor": cursor}).status_code == 200
        problem(client.get("/api/v2/signals", params={"family": "F01", "cursor": cursor}), 422, "invalid-request")
        problem(client.get("/api/v2/labels", params={"cursor": cursor}), 422, "invalid-request")

    def test_request_id_is_echoed_unless_unsafe(self, client: httpx.Client) -> None:
        assert client.get("/health", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
        made = client.get("/health", headers={"X-Request-ID": "a b"}).headers["x-request-id"]
        assert made != "a b" and len(made) == 26

    def test_missing_read_model_says_what_to_do(self, client: httpx.Client) -> None:
        body = problem(client.get("/api/v2/backtests/leaderboard"), 503, "not-built")
        assert "dbt build" in body["detail"]

    def test_unexpected_error_tells_nothing_of_the_inside(self, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr("api.queries.run", fail)
        answer = TestClient(app, raise_server_exceptions=False).get("/api/v2/backtests/x")
        body = problem(answer, 500, "internal")
        assert "secret" not in answer.text and body["request_id"]

    def test_unreachable_database(self, tmp_path: Path) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"postgresql://nobody@127.0.0.1:{closed.getsockname()[1]}/none"
            warehouse = Warehouse(url, limits=PoolLimits(wait_seconds=0.5))
            other = TestClient(create_app(Parts(warehouse, ArtifactStore(tmp_path))))
            problem(other.get("/api/v2/market/securities"), 503, "database-unavailable")
            status = other.get("/status")
            assert status.status_code == 503 and status.json()["database"] == "unreachable"
            assert other.get("/health").status_code == 200
            warehouse.close()


class TestCaching:
    def test_immutable_things_are_cached_for_ever(self, client: httpx.Client) -> None:
        run = first_run(client)
        dataset = client.get("/api/v2/labels/datasets").json()["data"][0]
        paths = [
            f"backtests/{run['run_id']}", f"backtests/{run['run_hash']}/manifest", f"backtests/{run['run_id']}/metrics",
            f"backtests/{run['run_id']}/artifacts/scores.parquet", f"labels/datasets/{dataset['dataset_hash']}",
            f"backtests/snapshots/{run['snapshot_id']}", f"backtests/snapshots/{run['snapshot_id']}/manifest",
            f"backtests/documents/{HASH}",
        ]  # fmt: skip
        for path in paths:
            first = client.get(f"/api/v2/{path}", headers={"Accept-Encoding": "identity"})
            assert first.status_code == 200, first.text
            assert "immutable" in first.headers["cache-control"], path
            tag = first.headers["etag"]
            assert tag.startswith('"'), "strong: these are the bytes"
            again = client.get(f"/api/v2/{path}", headers={"If-None-Match": f'"other", {tag}'})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), path
            assert client.get(f"/api/v2/{path}", headers={"If-None-Match": '"other"'}).status_code == 200

    def test_lists_are_revalidated(self, client: httpx.Client) -> None:
        first = client.get("/api/v2/market/securities")
        assert first.headers["cache-control"] == "no-cache"
        tag = {"If-None-Match": first.headers["etag"]}
        assert client.get("/api/v2/market/securities", headers=tag).status_code == 304
        pinned = {"as_of": "2024-05-01T00:00:00Z", "known_as_of": "2024-10-01T00:00:00Z"}
        tags = {client.get("/api/v2/signals", params=pinned).headers["etag"] for _ in range(2)}
        assert len(tags) == 1, "with both clocks given the answer is the same bytes"

    def test_manifest_and_document_are_the_hashed_bytes(self, client: httpx.Client) -> None:
        run = first_run(client)
        assert sha256_hex(client.get(f"/api/v2/backtests/{run['run_id']}/manifest").content) == run["manifest_hash"]
        assert sha256_hex(client.get(f"/api/v2/backtests/documents/{HASH}").content) == HASH


class TestReports:
    def test_a_report_is_served_as_written_and_asked_for_again(self, client: httpx.Client, reports: Path) -> None:
        run = first_run(client)
        path = f"/api/v2/backtests/{run['run_id']}/report"
        body = problem(client.get(path), 404, "not-found")
        assert "report of the run" in body["detail"]
        (reports / f"{run['run_hash']}.html").write_text("<!DOCTYPE html><p>é")
        first = client.get(path)
        assert first.status_code == 200 and first.headers["content-type"] == "text/html; charset=utf-8"
        assert first.text == "<!DOCTYPE html><p>é" and first.headers["cache-control"] == "no-cache"
        assert first.headers["etag"] == f'"{sha256_hex(first.content)}"'
        again = client.get(
            f"/api/v2/backtests/{run['run_hash']}/report", headers={"If-None-Match": first.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
        (reports / f"{run['run_hash']}.html").write_text("<!DOCTYPE html><p>new")
        assert client.get(path, headers={"If-None-Match": first.headers["etag"]}).text == "<!DOCTYPE html><p>new"
        problem(client.get("/api/v2/backtests/none/report"), 404, "not-found")


class TestDownloads:
    def test_parquet_is_the_file_of_its_hash(self, client: httpx.Client) -> None:
        run = first_run(client)
        [artifact] = client.get(f"/api/v2/backtests/{run['run_id']}").json()["artifacts"]
        by_name = client.get(f"/api/v2/backtests/{run['run_id']}/artifacts/scores.parquet")
        by_hash = client.get(f"/api/v2/backtests/{run['run_id']}/artifacts/{artifact['file_hash']}")
        assert sha256_hex(by_name.content) == artifact["file_hash"] and by_name.content == by_hash.content
        assert pq.read_table(io.BytesIO(by_name.content)).num_rows == artifact["rows"]
        assert by_name.headers["etag"] == f'"{artifact["file_hash"]}"'
        assert int(by_name.headers["content-length"]) == artifact["size_bytes"]

    def test_ranges(self, client: httpx.Client) -> None:
        path = f"/api/v2/backtests/{first_run(client)['run_id']}/artifacts/scores.parquet"
        whole = client.get(path)
        part = client.get(path, headers={"Range": "bytes=4-99", "If-Range": whole.headers["etag"]})
        assert part.status_code == 206 and part.content == whole.content[4:100]
        assert part.headers["content-range"] == f"bytes 4-99/{len(whole.content)}"
        stale = client.get(path, headers={"Range": "bytes=4-99", "If-Range": '"other"'})
        assert stale.status_code == 200 and stale.content == whole.content

    def test_a_range_that_is_none_is_passed_over_and_one_beyond_the_end_is_a_problem(
        self, client: httpx.Client
    ) -> None:
        path = f"/api/v2/backtests/{first_run(client)['run_id']}/artifacts/scores.parquet"
        whole = client.get(path)
        size = len(whole.content)
        # RFC 9110, sections 14.1.2 and 14.2: of another unit, not of the form, or from later to earlier.
        for asked in ("rows=0-9", "bytes", "bytes=", "bytes=a-b", "bytes=9-5", "bytes=-", "0-9", f"bytes=0-9,{size}-"):
            answer = client.get(path, headers={"Range": asked})
            assert (answer.status_code, answer.content) == (200, whole.content), asked
        for asked in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0"):
            refused = client.get(path, headers={"Range": asked})
            problem(refused, 416, "range-not-satisfiable")
            assert refused.headers["content-range"] == f"bytes */{size}"
        # Of another version it is not even a range.
        stale = client.get(path, headers={"Range": f"bytes={size}-", "If-Range": '"other"'})
        assert (stale.status_code, stale.content) == (200, whole.content)
        for asked, part in (("bytes=-5", slice(-5, None)), (f"bytes=7-{size * 2}", slice(7, None))):
            answer = client.get(path, headers={"Range": asked})
            assert (answer.status_code, answer.content) == (206, whole.content[part]), asked

    def test_who_reads_a_file_in_ranges_has_it_hashed_once(
        self, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed, verify = [], ArtifactStore.verify

        def counted(store: ArtifactStore, name: str, suffix: str = "") -> Path:
            hashed.append(name)
            return verify(store, name, suffix)

        monkeypatch.setattr(ArtifactStore, "verify", counted)
        run = client.get("/api/v2/backtests").json()["data"][0]
        snapshot = client.get(f"/api/v2/backtests/snapshots/{run['snapshot_id']}").json()
        [part] = snapshot["manifest"]["parts"]
        path = f"/api/v2/backtests/snapshots/{snapshot['snapshot_hash']}/parts/{part['file_hash']}"
        for first in range(0, 40, 10):
            answer = client.get(path, headers={"Range": f"bytes={first}-{first + 9}"})
            assert (answer.status_code, len(answer.content)) == (206, 10)
        assert len(hashed) <= 1

    def test_snapshot_parts_belong_to_their_snapshot(self, client: httpx.Client) -> None:
        run = first_run(client)
        snapshot = client.get(f"/api/v2/backtests/snapshots/{run['snapshot_id']}").json()
        [part] = snapshot["manifest"]["parts"]
        download = client.get(f"/api/v2/backtests/snapshots/{snapshot['snapshot_hash']}/parts/{part['file_hash']}")
        assert sha256_hex(download.content) == part["file_hash"]
        [artifact] = client.get(f"/api/v2/backtests/{run['run_id']}").json()["artifacts"]
        foreign = client.get(f"/api/v2/backtests/snapshots/{snapshot['snapshot_hash']}/parts/{artifact['file_hash']}")
        problem(foreign, 404, "not-found")

    def test_tampered_bytes_are_never_sent(self, client: httpx.Client, store: ArtifactStore) -> None:
        run = client.get("/api/v2/backtests").json()["data"][1]
        [artifact] = client.get(f"/api/v2/backtests/{run['run_id']}").json()["artifacts"]
        path = store.path(artifact["file_hash"], ".parquet")
        data = bytearray(path.read_bytes())
        data[50] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        body = problem(client.get(f"/api/v2/backtests/{run['run_id']}/artifacts/scores.parquet"), 500, "stored-data")
        assert "not those of its name" in body["detail"] and artifact["file_hash"] in body["detail"]
        # Where the store lies on this machine is nobody's affair.
        assert str(store.root) not in body["detail"]


class TestLists:
    def test_securities_are_found_by_former_ticker_and_literal_text(self, client: httpx.Client) -> None:
        def found(**parameters: str) -> list[str]:
            return [
                row["entity_id"] for row in client.get("/api/v2/market/securities", params=parameters).json()["data"]
            ]

        assert found() == list(ENTITIES[:2])
        assert found(ticker="old") == found(q="OL") == [ENTITIES[0]]
        assert found(q="_%") == list(ENTITIES[:2]) and found(q="%%") == []
        assert client.get(f"/api/v2/market/securities/{ENTITIES[0]}").json()["identifiers"][0]["valid_from"] is None

    def test_a_ticker_is_whose_it_was_on_the_day(self, client: httpx.Client, filled: Warehouse) -> None:
        with filled.write_pool("reference").connection() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO security_identifiers (entity_id, kind, value, source, valid_from, valid_to, is_primary)"
                " VALUES (%s, 'ticker', %s, 'test', %s, %s, true)",
                [(ENTITIES[0], "PASS", "2001-01-02", "2020-03-02"), (ENTITIES[0], "NEXT", "2020-03-02", None),
                 (ENTITIES[1], "PASS", "2021-05-03", None)],
            )  # fmt: skip

        def holders(**parameters: Any) -> list[str]:
            answer = client.get("/api/v2/market/securities", params={"ticker": "PASS", **parameters})
            return [row["entity_id"] for row in answer.json()["data"]]

        assert holders() == list(ENTITIES[:2])
        assert [holders(as_of=day) for day in ("2020-03-01", "2020-03-02", "2021-05-03")] == [
            [ENTITIES[0]], [], [ENTITIES[1]]
        ]  # fmt: skip
        former = client.get(f"/api/v2/market/securities/{ENTITIES[0]}", params={"as_of": "2020-03-01"}).json()
        assert former["primary_ticker"] == "PASS"
        assert "NEXT" not in [one["value"] for one in former["identifiers"]]

    def test_keyset_pages_are_the_whole_list(self, client: httpx.Client) -> None:
        run = first_run(client)["run_id"]
        paths = ("backtests", f"backtests/{run}/alerts", "backtests/documents", "market/securities",
                 "signals/scores/latest")  # fmt: skip
        for path in paths:
            whole = client.get(f"/api/v2/{path}").json()["data"]
            assert len(whole) > 1
            walked: list[Any] = []
            cursor: dict[str, str] = {}
            while True:
                body = client.get(f"/api/v2/{path}", params={"limit": 1} | cursor).json()
                walked += body["data"]
                if body["meta"]["next_cursor"] is None:
                    break
                cursor = {"cursor": body["meta"]["next_cursor"]}
            assert walked == whole, path

    def test_status(self, client: httpx.Client) -> None:
        body = client.get("/status").json()
        assert body["database"] == "reachable" and body["schema_version"]["matches"]
        assert body["status"] == "degraded" and "edgar/ownership: 2 failures" in body["reasons"][0]
        assert body["rows"]["backtest_runs"] == 2 and body["dagster"] == "not configured"

    def test_collectors_say_how_they_are_and_what_they_refused(self, client: httpx.Client) -> None:
        (row,) = client.get("/api/v2/platform/collectors").json()["data"]
        assert (row["collector"], row["state"], row["late"], row["open_quarantined"]) == (
            "edgar/ownership",
            "failed",
            True,
            1,
        )
        reason = {"source_type": "ownership", "field": "f", "expected": "a date", "records": 1, "example": "r"}
        assert row["reasons"] == [reason]
        assert (row["run"]["error"], row["run"]["heartbeat_at"]) == ("503", None)
        path = "/api/v2/platform/collectors/edgar/ownership/quarantine"
        newest, oldest = client.get(path).json()["data"]
        assert (newest["open"], newest["resolved_by_run"]) == (False, newest["collector_run_id"])
        assert (oldest["open"], oldest["resolved_at"], oldest["reason"]) == (True, None, None)
        assert client.get(path, params={"open": True}).json()["data"] == [oldest]
        first = client.get(path, params={"limit": 1}).json()
        assert first["data"] == [newest]
        second = client.get(path, params={"limit": 1, "cursor": first["meta"]["next_cursor"]}).json()
        assert (second["data"], second["meta"]["next_cursor"]) == ([oldest], None)
        problem(client.get("/api/v2/platform/collectors/edgar/nothing/quarantine"), 404, "not-found")

    def test_metrics_keep_the_reason_of_what_is_not_there(self, client: httpx.Client) -> None:
        figures = client.get(f"/api/v2/backtests/{first_run(client)['run_id']}/metrics").json()["data"]
        by_name = {figure["metric"]: figure for figure in figures}
        assert by_name["precision"]["value"] is None and by_name["precision"]["reason"] == "no alert"
        assert by_name["auc"]["null_value"] == 0.5

    def test_definitions_document_has_its_availability_basis(self, client: httpx.Client) -> None:
        assert client.get(f"/api/v2/backtests/documents/{HASH}").json()["availability_basis"] == LATENCY


class TestDescription:
    def test_every_route_is_documented(self, app: FastAPI, document: dict[str, Any]) -> None:
        served = {
            (context.path, method.lower())
            for context in iter_route_contexts(app.routes)
            for method in getattr(context, "methods", None) or ()
            if method != "HEAD" and context.path != "/openapi.json"
        }
        described = {(path, method) for path, item in document["paths"].items() for method in item}
        assert served == described and len(described) >= 25
        for path, item in document["paths"].items():
            for operation in item.values():
                assert operation["summary"] and operation["description"] and operation["tags"], path
                tables = {name for name in operation["x-signaldelta"]["reads"] if not name.startswith("marts.")}
                assert tables <= {table.name for table in metadata.sorted_tables}, path
                for parameter in operation.get("parameters", []):
                    if parameter["in"] == "query":
                        assert "examples" in parameter["schema"] or "example" in parameter, (path, parameter["name"])

    def test_examples_validate_against_their_schemas(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        assert len(schemas) > 25
        for name, schema in schemas.items():
            if name == "FieldError":
                continue
            [example] = schema["examples"]
            resolvable = {**schema, "components": document["components"]}
            jsonschema.Draft202012Validator(resolvable).validate(example)

    def test_answers_validate_against_their_schemas(self, client: httpx.Client, document: dict[str, Any]) -> None:
        run = first_run(client)["run_id"]
        refusals = "/api/v2/platform/collectors/{upstream}/{feed}/quarantine"
        plain = ("/status", *(f"/api/v2/{path}" for path in (
            "signals", "labels", "signals/scores/latest", "market/securities", "platform/collectors",
        )))  # fmt: skip
        paths = {path: path for path in plain} | {
            "/api/v2/backtests/{run}": f"/api/v2/backtests/{run}",
            refusals: refusals.format(upstream="edgar", feed="ownership"),
        }
        for template, path in paths.items():
            content = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
            body = client.get(path).json()
            jsonschema.Draft202012Validator({**content["schema"], "components": document["components"]}).validate(body)

    def test_docs_page_loads_nothing(self, client: httpx.Client, document: dict[str, Any]) -> None:
        page = client.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "<script" not in page.text and "//" not in page.text.replace("https://", "", 0).split("<body")[0][:200]
        for path in document["paths"]:
            assert path in page.text


def test_the_catalogue_shows_every_signal(client: httpx.Client) -> None:
    body = client.get("/api/v2/signals/catalogue").json()
    assert len(body["data"]) == body["meta"]["signals"] == 80
    assert all(one["active"] or one["waits_for"] for one in body["data"])
    few = client.get("/api/v2/signals/catalogue", params={"family": "F03", "status": "planned"}).json()
    assert [one["signal_id"] for one in few["data"]] == ["S021"]
    one = client.get("/api/v2/signals/catalogue/S016")
    assert one.json()["data"]["params"]["lookback_days"] == 400
    assert one.json()["meta"]["definitions_hash"] == body["meta"]["definitions_hash"]
    again = client.get("/api/v2/signals/catalogue/S016", headers={"If-None-Match": one.headers["ETag"]})
    assert again.status_code == 304
    assert client.get("/api/v2/signals/catalogue/S999").status_code == 404
    assert client.get("/api/v2/signals/catalogue", params={"status": "old"}).status_code == 422


def test_a_request_and_what_it_does_have_one_id() -> None:
    """Handlers run in other threads: the id goes with them."""
    app = FastAPI()
    app.add_middleware(CorrelationMiddleware)

    @app.get("/")
    def show() -> dict[str, str | None]:
        return {"id": correlation_id()}

    with TestClient(app) as client:
        answers = [client.get("/", headers={"X-Request-ID": given}) for given in ("mine-1", "mine-2", "not safe\\")]
    assert [answer.json()["id"] for answer in answers] == [answer.headers["x-request-id"] for answer in answers]
    assert [answer.json()["id"] for answer in answers][:2] == ["mine-1", "mine-2"]
    assert correlation_id() is None
