"""The forms of an answer: which one is chosen, that all of them say the same, and what CSV does to hostile text."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.formats.negotiation import ARROW, BULK, CSV, JSON, PAGE, PARQUET, chosen
from api.formats.writing import encoded
from tests.readside import ENTITIES

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
PINNED = {"as_of": "2024-06-01T00:00:00Z", "known_as_of": "2024-10-01T00:00:00Z"}
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("text/*", CSV),
        ("application/vnd.apache.arrow.stream", ARROW),
        ("text/csv;q=0.4, application/vnd.apache.parquet;q=0.5", PARQUET),
        ("application/json;q=0, */*;q=0.1", CSV),
        ("TEXT/CSV ; q=1.0", CSV),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("text/html", None),
        ("text/csv;q=nonsense", None),
    ],
)
def test_what_accept_asks_for(accept: str | None, expected: Any) -> None:
    assert chosen(accept, PAGE) == expected


def test_what_is_streamed_is_arrow_to_whoever_takes_anything() -> None:
    assert chosen("*/*", BULK) == ARROW and chosen("application/json", BULK) is None


def read(form: str, content: bytes) -> list[dict[str, Any]]:
    """Rows as JSON has them: instants as text, documents taken apart."""
    if form == "csv":
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    table = pa.ipc.open_stream(content).read_all() if form == "arrow" else pq.read_table(io.BytesIO(content))
    return [{name: plain(value, table.schema.field(name)) for name, value in row.items()} for row in table.to_pylist()]


def plain(value: Any, field: pa.Field[Any]) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if value is not None and (field.metadata or {}).get(b"media_type") == b"application/json":
        return json.loads(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def run_id(client: httpx.Client) -> str:
    return str(client.get("/api/v2/backtests").json()["data"][0]["run_id"])


PATHS = {
    "signals": PINNED, "labels": PINNED, "signals/scores/latest": PINNED,
    f"signals/scores/{ENTITIES[0]}/history": PINNED, "backtests/{run}/metrics": {}, "backtests/{run}/alerts": {},
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_every_form_says_the_same(client: httpx.Client, path: str) -> None:
    path, given = f"/api/v2/{path.format(run=run_id(client))}", PATHS[path]
    shown = client.get(path, params=given)
    rows = shown.json()["data"]
    assert rows and "Accept" in shown.headers["vary"].split(", ")
    tags = {shown.headers["etag"]}
    for form in ("arrow", "parquet", "csv"):
        answer = client.get(path, params={**given, "format": form})
        media = {"arrow": ARROW, "parquet": PARQUET, "csv": CSV}[form].media_type
        assert answer.status_code == 200 and answer.headers["content-type"].split(";")[0] == media
        assert answer.content == client.get(path, params=given, headers={"Accept": media}).content
        assert answer.headers["content-disposition"].endswith(f".{'arrows' if form == 'arrow' else form}")
        tags.add(answer.headers["etag"])
        again = client.get(path, params={**given, "format": form}, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"") and "Accept" in again.headers["vary"]
        found = read(form, answer.content)
        if form == "csv":
            assert [row["entity_id"] for row in found if "entity_id" in row] == [
                row["entity_id"] for row in rows if "entity_id" in row
            ]
            assert len(found) == len(rows) and list(found[0]) == list(rows[0])
            for name, value in rows[0].items():
                if isinstance(value, float):
                    assert float(found[0][name]) == value, "full precision"
        else:
            assert found == rows
    assert len(tags) == 4, "an ETag is of one form"


def test_arrow_says_what_it_rests_on(client: httpx.Client) -> None:
    content = client.get("/api/v2/signals", params={**PINNED, "format": "arrow"}).content
    table = pa.ipc.open_stream(content).read_all()
    told = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    meta = client.get("/api/v2/signals", params=PINNED).json()["meta"]
    assert told["signaldelta.as_of"] == meta["as_of"] and told["signaldelta.known_as_of"] == meta["known_as_of"]
    assert told["signaldelta.latency_model_hash"] == meta["latency_model"]["hash"]
    assert told["signaldelta.definitions_hash"] == meta["definitions_hash"]
    assert table.schema.field("available_time").type == pa.timestamp("us", "UTC")
    assert table.schema.field("raw_record_ids").type == pa.list_(pa.string())
    assert content.endswith(END_OF_STREAM)


def test_pages_of_arrow_are_the_whole_list(client: httpx.Client) -> None:
    path = f"/api/v2/signals/scores/{ENTITIES[0]}/history"
    whole = [row["at"] for row in client.get(path, params={**PINNED, "limit": 1000}).json()["data"]]
    walked: list[str] = []
    answer = client.get(path, params={**PINNED, "limit": 7, "format": "arrow"})
    while True:
        walked += [row["at"] for row in read("arrow", answer.content)]
        if "next" not in answer.links:
            break
        answer = client.get(answer.links["next"]["url"])
    assert walked == whole


def test_what_there_is_not(client: httpx.Client) -> None:
    refused = client.get("/api/v2/labels", headers={"Accept": "text/html"})
    assert refused.status_code == 406 and refused.json()["type"].endswith("not-acceptable")
    assert "text/csv" in refused.json()["detail"] and "Accept" in refused.headers["vary"]
    assert client.get("/api/v2/labels", params={"format": "xml"}).status_code == 422
    assert client.get("/api/v2/labels/export", params={"format": "json"}).status_code == 422
    assert client.get("/api/v2/labels/export", headers={"Accept": "application/json"}).status_code == 406


@pytest.mark.parametrize("path", ["/api/v2/labels", "/api/v2/labels/export", "/status", "/api/v2/backtests/none"])
def test_head_is_get_without_its_body(client: httpx.Client, path: str) -> None:
    got, head = client.get(path, params=PINNED), client.head(path, params=PINNED)
    assert (head.status_code, head.content) == (got.status_code, b"")
    once = {"x-request-id", "date", "transfer-encoding", "content-length"}
    assert {k: v for k, v in head.headers.items() if k not in once} == {
        k: v for k, v in got.headers.items() if k not in once
    }
    if path == "/api/v2/labels":
        assert head.headers["content-length"] == got.headers["content-length"]


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12)
ROWS = st.lists(
    st.tuples(st.none() | TEXT, st.none() | st.floats(allow_nan=False), st.none() | st.integers(-(2**63), 2**63 - 1),
              st.none() | st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)), st.booleans()),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(ROWS)
@example([("=1+1", 1.0, 1, None, True), ("+x", 0.1, None, None, False), ("-x", None, 0, None, True)])
@example([("@SUM(A1)", 1e308, 1, None, True), ("\tx", 5e-324, 1, None, True), ('a"b,\r\nc', 0.0, 1, None, True)])
@example([("", -0.0, 1, datetime(2024, 1, 1), True), (None, 1.5, 1, None, True)])
def test_csv_comes_back_as_it_was(rows: list[tuple[Any, ...]]) -> None:
    schema = pa.schema([
        pa.field("text", pa.string()), pa.field("lead_time", pa.float64(), metadata={"unit": "h"}),
        pa.field("whole", pa.int64()), pa.field("moment", pa.timestamp("us", "UTC")), pa.field("flag", pa.bool_()),
    ])  # fmt: skip
    columns = [list(column) for column in zip(*rows, strict=True)]
    columns[3] = [None if one is None else one.replace(tzinfo=UTC) for one in columns[3]]
    batch = pa.record_batch([pa.array(one, field.type) for one, field in zip(columns, schema, strict=True)], schema)
    # A slice, whose text does not begin where its buffer does.
    twice = pa.Table.from_batches([batch, batch]).combine_chunks().to_batches()[0].slice(batch.num_rows)
    for one in (batch, twice):
        content = b"".join(encoded(CSV, schema, [one]))
        lines = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
        assert lines[0] == ["text", "lead_time_h", "whole", "moment", "flag"]
        assert content.endswith(b"\r\n") and len(lines) == len(rows) + 1
        for (text, number, whole, moment, flag), line in zip(rows, lines[1:], strict=True):
            risky = text is not None and text.startswith(("=", "+", "-", "@", "\t"))
            assert line[0] == ("" if text is None else f"'{text}" if risky else text)
            assert line[1] == "" if number is None else float(line[1]) == number
            assert line[2] == ("" if whole is None else str(whole))
            expected = None if moment is None else moment.replace(tzinfo=UTC)
            assert line[3] == "" if expected is None else datetime.fromisoformat(line[3]) == expected
            assert line[3] == "" or (line[3].endswith("Z") and "T" in line[3])
            assert line[4] == str(flag).lower()


def test_nothing_and_empty_are_told_apart_in_csv() -> None:
    schema = pa.schema([("a", pa.string()), ("b", pa.string())])
    batch = pa.record_batch([pa.array([None, ""]), pa.array(["", None])], schema)
    assert b"".join(encoded(CSV, schema, [batch])) == b'a,b\r\n,""\r\n"",\r\n'
