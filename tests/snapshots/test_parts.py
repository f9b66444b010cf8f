"""The bytes of a part and its two hashes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaldelta_assets.snapshots import read_parquet, write_parquet
from signaldelta_assets.versioning import content_hash, sha256_file
from signaldelta_assets.warehouse import IntegrityError

SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "ids": pa.list_(pa.string()),
        "at": pa.timestamp("us", "UTC"),
        "day": pa.date32(),
        "x": pa.float64(),
        "y": pa.float32(),
        "n": pa.int8(),
        "flag": pa.bool_(),
    }
)
LETTERS = st.text(alphabet="aé,\n\x00", max_size=3)
TEXT = st.none() | LETTERS
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": TEXT,
            "ids": st.none() | st.lists(LETTERS, max_size=3),
            "at": st.none() | TIMES,
            "day": st.none() | st.dates(),
            "x": st.none() | st.floats(allow_nan=False),
            "y": st.none() | st.floats(width=32, allow_nan=False),
            "n": st.none() | st.integers(-128, 127),
            "flag": st.none() | st.booleans(),
        }
    ),
    max_size=8,
)  # fmt: skip


@given(ROWS, st.integers(0, 8))
def test_content_hash_is_of_rows_not_of_their_layout(rows: list[dict], cut: int) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    expected = content_hash(table)
    assert content_hash(pa.concat_tables([table.slice(0, cut), table.slice(cut)])) == expected
    padded = pa.concat_tables([table.slice(0, 1), table, table.slice(0, 1)]).combine_chunks()
    assert content_hash(padded.slice(min(1, len(rows)), len(rows))) == expected
    if rows:
        encoded = table.set_column(0, "name", table["name"].combine_chunks().dictionary_encode())
        assert content_hash(encoded) == expected


@given(ROWS, ROWS)
def test_other_rows_have_another_hash(one: list[dict], other: list[dict]) -> None:
    first, second = (pa.Table.from_pylist(rows, schema=SCHEMA) for rows in (one, other))
    assert (content_hash(first) == content_hash(second)) == first.equals(second) or _zeros(one + other)


def _zeros(rows: list[dict]) -> bool:
    # Arrow says -0.0 == 0.0; their bytes differ, and bytes are what is frozen.
    return any(row["x"] == 0 or row["y"] == 0 for row in rows)


def test_nulls_lengths_and_names_all_count() -> None:
    tables = [
        pa.table({"a": pa.array(["", None])}),
        pa.table({"a": pa.array([None, ""], pa.string())}),
        pa.table({"a": pa.array(["ab", "c"])}),
        pa.table({"a": pa.array(["a", "bc"])}),
        pa.table({"b": pa.array(["a", "bc"])}),
        pa.table({"a": pa.array([0, None], pa.int64())}),
        pa.table({"a": pa.array([0, 0], pa.int64())}),
        pa.table({"a": pa.array([0, 0], pa.int32())}),
        pa.table({"a": pa.array([[], None], pa.list_(pa.string()))}),
        pa.table({"a": pa.array([["x"], ["y", "z"]])}),
        pa.table({"a": pa.array([["x", "y"], ["z"]])}),
    ]
    assert len({content_hash(table) for table in tables}) == len(tables)


def test_the_same_rows_are_the_same_file_and_come_back(tmp_path: Path) -> None:
    rows = [{"name": f"n{i}", "ids": [str(i)] * (i % 3), "at": datetime(2024, 1, 1, tzinfo=UTC), "day": None,
             "x": i / 3, "y": 0.5, "n": i, "flag": i % 2 == 0} for i in range(100)]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    chunked = pa.concat_tables([table.slice(0, 7), table.slice(7)]).replace_schema_metadata({"written": "today"})
    write_parquet(table, tmp_path / "a")
    write_parquet(chunked.combine_chunks(), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    name = sha256_file(tmp_path / "a")
    assert read_parquet(tmp_path / "a", name, content_hash(table), SCHEMA).equals(table)
    column = pq.ParquetFile(tmp_path / "a").metadata.row_group(0).column(4)
    assert column.path_in_schema == "x" and "BYTE_STREAM_SPLIT" in column.encodings and column.compression == "ZSTD"
    with pytest.raises(IntegrityError, match="content"):
        read_parquet(tmp_path / "a", name, "0" * 64)
    with pytest.raises(IntegrityError, match="bytes"):
        read_parquet(tmp_path / "a", "0" * 64, content_hash(table))


def test_a_type_without_a_rule_is_refused() -> None:
    with pytest.raises(TypeError, match="no rule"):
        content_hash(pa.table({"a": pa.array([1], pa.time64("us"))}))
