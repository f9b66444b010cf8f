"""Whole answers: what they hold, what they cost while they are read, and how one that broke off is told."""

from __future__ import annotations

import io
import os
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from signaldelta_assets.versioning import content_ulid
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.api.test_formats import END_OF_STREAM, PINNED, read
from tests.benchmarks.service import SERVICE, serving
from tests.readside import ENTITIES, T0, insert

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
# Rows of the big grid, and what the server may grow by while it is sent: half of what it is in memory.
ROWS, GROUP, GROWTH = 3_000_000, 262_144, 64 * 2**20


@dataclass
class Service:
    """A server process with one connection for work, and the grid of a run in its store."""

    client: httpx.Client
    process: psutil.Process
    grid: Path
    run: str
    database: str


def _grid(store: ArtifactStore) -> str:
    """A grid as runs write it: by entity and time, figures as float32, texts as dictionaries."""
    rng = np.random.default_rng(7)
    schema = pa.schema([
        ("entity_id", pa.dictionary(pa.int32(), pa.string())), ("at", pa.timestamp("us", "UTC")),
        *((name, pa.float32()) for name in ("magnitude", "lean", "confidence", "evidence", "quality", "diversity")),
        ("verdict", pa.dictionary(pa.int32(), pa.string())),
    ])  # fmt: skip

    def write(file: Any) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for first in range(0, ROWS, GROUP):
                count = min(GROUP, ROWS - first)
                names = [f"{first // GROUP:010d}"]
                at = (np.arange(count, dtype="int64") * 3_600_000_000 + 1_700_000_000_000_000).view("datetime64[us]")
                figures = [pa.array(rng.random(count, dtype="float32")) for _ in range(6)]
                same = pa.array(np.zeros(count, dtype="int32"))
                columns = [
                    pa.DictionaryArray.from_arrays(same, names), pa.array(at).cast(schema.field("at").type), *figures,
                    pa.DictionaryArray.from_arrays(same, ["HOLD"]),
                ]  # fmt: skip
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema), row_group_size=count)

    return store.put_file(write, ".parquet")


@pytest.fixture(scope="module")
def service(
    postgres_url: str, filled: Warehouse, store: ArtifactStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    (home / "artifacts").symlink_to(store.root)
    file_hash = _grid(store)
    run = content_ulid(T0, b"run1")
    insert(filled, "backtest_artifacts", [
        {"run_id": run, "name": "scores", "file_hash": file_hash, "content_hash": "5" * 64,
         "media_type": "application/vnd.apache.parquet", "rows": ROWS, "size_bytes": 1},
    ])  # fmt: skip
    with (
        serving(SERVICE, postgres_url, home, SIGNALDELTA_AUTH="open", SIGNALDELTA_API_CONNECTIONS="1") as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v2", timeout=60) as client,
    ):  # fmt: skip
        mine = psutil.Process().children()
        process = next(one for one in mine if str(port) in one.cmdline())
        path = store.path(file_hash, ".parquet")
        yield Service(client, process, path, run, psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"])


class Chunks(io.RawIOBase):
    """A body as it comes in, as a file."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._left, self.last = parts, b"", b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._left = part
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left, self.last = self._left[len(taken) :], (self.last + taken)[-8:]
        return len(taken)


def test_a_grid_of_any_size_is_sent_in_constant_memory(service: Service) -> None:
    path = f"/backtests/{service.run}/grid"
    # Once, so that what is loaded at the first question is not taken for what the grid needs.
    service.client.get(path, params={"entity_id": "0000000003", "end": "2023-11-20T00:00:00Z"}).raise_for_status()
    before, most, rows, total = service.process.memory_info().rss, 0, 0, 0.0
    with service.client.stream("GET", path) as answer:
        assert answer.headers["etag"] and "immutable" in answer.headers["cache-control"]
        body = Chunks(answer.iter_raw(2**18))
        for number, batch in enumerate(pa.ipc.open_stream(io.BufferedReader(body, 2**18))):
            rows += batch.num_rows
            if number % 8 == 0:
                total += float(batch["magnitude"][0].as_py())
                most = max(most, service.process.memory_info().rss)
        assert body.last == END_OF_STREAM
    assert rows == ROWS and total > 0
    assert most - before < GROWTH, f"grew by {(most - before) / 2**20:.0f} MB"


def test_a_part_of_a_grid_is_exactly_that_part(service: Service) -> None:
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)
    entity = "0000000003"
    given = {"entity_id": entity, "start": start.isoformat(), "end": end.isoformat()}
    path = f"/backtests/{service.run}/grid"
    began = time.perf_counter()
    arrow = service.client.get(path, params=given)
    assert time.perf_counter() - began < 5, "other row groups are left unread"
    group = pq.ParquetFile(service.grid).read_row_group(3)
    kept = pc.and_(pc.greater_equal(group["at"], pa.scalar(start)), pc.less(group["at"], pa.scalar(end)))
    expected = group.filter(kept).to_pylist()
    found = pa.ipc.open_stream(arrow.content).read_all()
    assert found.to_pylist() == expected and len(expected) == 60 * 24
    told = found.schema.metadata
    assert told[b"signaldelta.run_hash"] and told[b"signaldelta.entity_id"] == entity.encode()
    parquet = pq.read_table(io.BytesIO(service.client.get(path, params=given | {"format": "parquet"}).content))
    assert parquet.to_pylist() == expected
    lines = read("csv", service.client.get(path, params=given | {"format": "csv"}).content)
    assert [np.float32(row["magnitude"]) for row in lines] == [np.float32(row["magnitude"]) for row in expected]
    again = service.client.get(path, params=given, headers={"If-None-Match": arrow.headers["etag"]})
    assert again.status_code == 304
    other = service.client.get(path, params=given | {"entity_id": "0000000004"})
    assert other.headers["etag"] != arrow.headers["etag"]
    assert service.client.get(path, params={"entity_id": "nobody"}).status_code == 200


def _open(service: Service, path: str) -> socket.socket:
    """A reader that asks and then takes nothing."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    found.connect((service.client.base_url.host, service.client.base_url.port))
    found.sendall(f"GET /api/v2{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert found.recv(1024).startswith(b"HTTP/1.1 200")
    return found


def _rests(service: Service) -> bool:
    """Whether the server comes to rest: a moment without work of its own."""
    for _ in range(50):
        before = sum(service.process.cpu_times()[:2])
        time.sleep(0.2)
        if sum(service.process.cpu_times()[:2]) - before <= 0.03:
            return True
    return False


def test_who_reads_slowly_holds_nothing_and_who_leaves_stops_it(service: Service, postgres_url: str) -> None:
    paths = (f"/backtests/{service.run}/grid", "/signals/scores/export")
    readers = [_open(service, path) for path in paths for _ in range(2)]
    assert _rests(service), "what is not taken is not made"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        held = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            " AND (xact_start IS NOT NULL OR state <> 'idle') AND application_name = 'signaldelta'",
            (service.database,),
        ).fetchone()
    assert held == (0,)
    # There is one connection, and it is free.
    assert service.client.get("/signals/scores/latest").status_code == 200
    for reader in readers:
        reader.close()
    assert _rests(service), "nobody is left for whom to go on"


def test_more_callers_than_threads_and_connections_are_all_answered(service: Service) -> None:
    """Whoever has the connection needs no thread more, so that waiting for it ends."""
    paths = ["/labels", "/signals", "/backtests", "/market/securities", f"/signals/scores/{ENTITIES[0]}/history"]
    limits = httpx.Limits(max_connections=80)
    with (
        httpx.Client(base_url=service.client.base_url, timeout=60, limits=limits) as client,
        ThreadPoolExecutor(80) as pool,
    ):
        codes = [one.status_code for one in pool.map(client.get, paths * 32)]
    assert set(codes) == {200}


@pytest.mark.parametrize(
    ("export", "page", "given"),
    [
        ("signals/export", "signals", {"order": "asc"}),
        ("signals/export", "signals", {"order": "asc", "entity_id": ENTITIES[1], "latency_model": "slow"}),
        ("labels/export", "labels", {"order": "asc"}),
        ("signals/scores/export", f"signals/scores/{ENTITIES[0]}/history",
         {"order": "asc", "entity_id": ENTITIES[0], "start": "2024-03-02T00:00:00Z"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rows", [7, 5000])
def test_an_export_is_all_pages(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, export: str, page: str, given: dict[str, str], rows: int
) -> None:
    monkeypatch.setattr("api.bulk.ROWS", rows)
    clocks = PINNED | {"as_of": "2024-04-15T12:00:00Z"}
    asked = {**clocks, **given}
    whole: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        own = {name: value for name, value in asked.items() if name != "entity_id" or "history" not in page}
        body = client.get(f"/api/v2/{page}", params=own | {"limit": "30"} | cursor).json()
        whole += body["data"]
        if body["meta"]["next_cursor"] is None:
            break
        cursor = {"cursor": body["meta"]["next_cursor"]}
    asked.pop("order")
    for form in ("arrow", "parquet"):
        answer = client.get(f"/api/v2/{export}", params=asked | {"format": form})
        assert answer.headers["cache-control"] == "no-store"
        assert read(form, answer.content) == whole and whole
    told = pa.ipc.open_stream(client.get(f"/api/v2/{export}", params=asked).content).schema.metadata
    assert told[b"signaldelta.as_of"] == clocks["as_of"].encode()


def test_all_scores_come_by_entity(client: httpx.Client) -> None:
    rows = read("csv", client.get("/api/v2/signals/scores/export", params=PINNED | {"format": "csv"}).content)
    keys = [(row["entity_id"], row["at"]) for row in rows]
    assert keys == sorted(keys) and {key[0] for key in keys} == set(ENTITIES)


PLAIN = {"Accept-Encoding": "identity"}


def test_a_stream_that_broke_off_is_not_whole(service: Service) -> None:
    """The file is damaged under the server's hands, in a row group that is reached in the middle of the answer."""
    path = f"/backtests/{service.run}/grid"
    metadata = pq.read_metadata(service.grid)
    place = metadata.row_group(9).column(2).data_page_offset
    assert service.client.head(path).status_code == 200  # whole, and known to be
    found = service.grid.stat()
    whole = service.grid.read_bytes()
    service.grid.chmod(0o644)
    try:
        with service.grid.open("r+b") as file:
            file.seek(place)
            file.write(b"\x00" * 200_000)
        # As bit rot does it: nothing else of the file tells.
        os.utime(service.grid, ns=(found.st_atime_ns, found.st_mtime_ns))
        # A little of every row group, and then of the damaged one nothing.
        given = {"end": "2023-11-20T00:00:00Z"}
        for form in ("arrow", "parquet", "csv"):
            parts: list[bytes] = []
            with (
                pytest.raises(httpx.RemoteProtocolError),
                # Not packed: what is read here is what was sent.
                service.client.stream("GET", path, params=given | {"format": form}, headers=PLAIN) as answer,
            ):
                assert answer.status_code == 200
                for part in answer.iter_raw():
                    parts.append(part)
            got = b"".join(parts)
            if form == "arrow":
                assert len(got) > 9 * 100 * 28 and not got.endswith(END_OF_STREAM)
            elif form == "csv":
                assert got.count(b"\r\n") > 9 * 100
            else:
                with pytest.raises(pa.ArrowInvalid):
                    pq.read_table(io.BytesIO(got))
        # Touched, it is hashed again, and not sent at all.
        os.utime(service.grid)
        assert service.client.get(path).status_code == 500
    finally:
        service.grid.write_bytes(whole)
        service.grid.chmod(0o444)
    assert service.client.head(path).status_code == 200


def test_what_a_file_has_not_cannot_be_asked_for(client: httpx.Client) -> None:
    run = client.get("/api/v2/backtests").json()["data"][0]
    snapshot = client.get(f"/api/v2/backtests/snapshots/{run['snapshot_id']}").json()
    [part] = snapshot["manifest"]["parts"]
    path = f"/api/v2/backtests/snapshots/{snapshot['snapshot_hash']}/parts/{part['file_hash']}/rows"
    assert [row["entity_id"] for row in read("arrow", client.get(path).content)] == list(ENTITIES)
    assert [row["entity_id"] for row in read("arrow", client.get(path, params={"entity_id": ENTITIES[1]}).content)] == [
        ENTITIES[1]
    ]
    refused = client.get(path, params={"start": "2024-01-01T00:00:00Z"})
    assert refused.status_code == 422 and "no moment" in refused.json()["detail"]
    foreign = f"/api/v2/backtests/snapshots/{snapshot['snapshot_hash']}/parts/{'0' * 64}/rows"
    assert client.get(foreign).status_code == 404
    assert re.search(r"part_.*\.arrows", client.get(path).headers["content-disposition"])


def test_a_history_is_read_in_one_line(client: httpx.Client, tmp_path: Path) -> None:
    """The lines of docs/bulk.md, by the libraries they name."""
    import duckdb
    import pandas as pd
    import polars as pl

    url = f"{client.base_url}/api/v2/signals/scores/{ENTITIES[0]}/history?limit=1000"
    from_pandas = pd.read_csv(f"{url}&format=csv", parse_dates=["at"])
    from_arrow = pl.read_ipc_stream(httpx.get(f"{url}&format=arrow").content)
    (tmp_path / "history.parquet").write_bytes(httpx.get(f"{url}&format=parquet").content)
    from_duckdb = duckdb.sql(f"SELECT count(*), max(magnitude) FROM '{tmp_path}/history.parquet'").fetchall()
    assert len(from_pandas) == from_arrow.height and from_duckdb == [(from_arrow.height, from_arrow["magnitude"].max())]
    assert from_pandas["at"].max() == from_arrow["at"].max() and from_pandas["at"].dt.tz is not None
    assert timedelta(0) < from_arrow["at"].max() - from_arrow["at"].min()  # type: ignore[operator]


def test_threads_are_not_held_by_streams(service: Service) -> None:
    before = service.process.num_threads()
    readers = [_open(service, f"/backtests/{service.run}/grid") for _ in range(12)]
    assert _rests(service)
    assert service.process.num_threads() - before < len(readers)
    assert service.client.get("/labels").status_code == 200
    for reader in readers:
        reader.close()


def test_two_thousand_requests_leave_nothing_behind(service: Service) -> None:
    """What a leak of a kilobyte for each would be is seen; `make soak` is the long form of this."""
    paths = [
        f"/signals/scores/{ENTITIES[0]}", f"/signals/scores/{ENTITIES[0]}/history?format=arrow", "/labels?format=csv",
        "/signals/scores/export", "/backtests/none", "/labels?limit=0", "/market/securities",
    ]  # fmt: skip

    def ask(times: int) -> int:
        for number in range(times):
            service.client.get(paths[number % len(paths)])
        return service.process.memory_info().rss

    ask(600)
    before = ask(200)
    assert ask(2_000) - before < 4 * 2**20
