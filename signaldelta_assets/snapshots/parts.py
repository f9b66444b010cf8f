"""The kinds of parts a snapshot has, each with its schema; Parquet bytes made the same way every time; their hashes.

Two hashes name a part. That of the file's bytes guards what lies on the disk; a Parquet footer carries the version of
its writer, so that of the column buffers says whether two files hold the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from signaldelta_assets.versioning import content_hash, sha256_hex
from signaldelta_assets.warehouse import ArtifactStore, HashingFile, IntegrityError

SUFFIX = ".parquet"
ROW_GROUP = 262_144
_TIME = pa.timestamp("us", tz="UTC")
_ULIDS = pa.list_(pa.field("element", pa.string()))


def _schema(fields: Mapping[str, pa.DataType], nullable: tuple[str, ...] = ()) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in fields.items()])


# A part is a kind with a schema; rows are in the order named here, so that the same rows are the same bytes.
PARTS: dict[str, pa.Schema] = {
    # By entity_id, event_time, event_id.
    "signal_events": _schema(
        {
            "event_id": pa.string(),
            "revision": pa.int32(),
            "event_key": pa.string(),
            "signal_id": pa.string(),
            "family": pa.string(),
            "entity_id": pa.string(),
            "event_time": _TIME,
            "strength_norm": pa.float64(),
            "direction": pa.int8(),
            "reliability": pa.float64(),
            "raw_record_ids": _ULIDS,
            "attributes": pa.string(),
            "content_hash": pa.string(),
        }
    ),
    # One row per frontier entry, in the order of the events, then source_type, form, collection_mode.
    "signal_frontier": _schema(
        {
            "event_id": pa.string(),
            "source_type": pa.string(),
            "form": pa.string(),
            "collection_mode": pa.string(),
            "event_time": _TIME,
            "observed_time": _TIME,
        },
        nullable=("form", "event_time"),
    ),
    # By entity_id, event_time, label_id.
    "labeled_events": _schema(
        {
            "label_id": pa.string(),
            "revision": pa.int32(),
            "label_key": pa.string(),
            "event_type": pa.string(),
            "subtype": pa.string(),
            "entity_id": pa.string(),
            "event_time": _TIME,
            "time_precision": pa.string(),
            "known_at": _TIME,
            "confidence": pa.float64(),
            "raw_record_ids": _ULIDS,
            "attributes": pa.string(),
            "content_hash": pa.string(),
        }
    ),
    # By entity_id. Membership is from the first to the last day with a record of any source: one that was delisted
    # stays, with its last day. asset_class and cik are null where the entity was not in the reference data yet.
    "entities": _schema(
        {
            "entity_id": pa.string(),
            "asset_class": pa.string(),
            "cik": pa.string(),
            "member_from": pa.date32(),
            "member_to": pa.date32(),
        },
        nullable=("asset_class", "cik"),
    ),
    # By entity_id, source_type.
    "coverage": _schema(
        {
            "entity_id": pa.string(),
            "source_type": pa.string(),
            "first_day": pa.date32(),
            "last_day": pa.date32(),
            "records": pa.int64(),
        }
    ),
    # One row: the signal definitions as canonical JSON.
    "definitions": _schema({"document_hash": pa.string(), "document": pa.string()}),
    # By entity_id, kind, valid_from, value, source, share_class: the dated identifiers of the members, as they were
    # known at the snapshot's as_of. An end after that moment was not known, and is null.
    "identifiers": _schema(
        {
            "entity_id": pa.string(),
            "kind": pa.string(),
            "value": pa.string(),
            "source": pa.string(),
            "valid_from": pa.date32(),
            "valid_to": pa.date32(),
            "share_class": pa.string(),
            "is_primary": pa.bool_(),
        },
        nullable=("valid_to",),
    ),
}
# Kinds that snapshots frozen before they existed do not have: those read as parts without rows.
ADDED_LATER = ("identifiers",)


@dataclass(frozen=True, slots=True)
class PartFile:
    """A Parquet file of the store: rows, size in bytes, and the hashes of its bytes and of its columns."""

    rows: int
    size_bytes: int
    file_hash: str
    content_hash: str


def conform(kind: str, table: pa.Table) -> pa.Table:
    """Return `table` with exactly the columns and types of `kind`. Raises `ValueError` for a null where none may be."""
    schema = PARTS[kind]
    conformed = table.select(schema.names).cast(schema)
    for field in schema:
        if not field.nullable and conformed[field.name].null_count:
            raise ValueError(f"snapshot part {kind!r}: field {field.name!r}: expected a value, found null")
    return conformed.combine_chunks()


def write_parquet(table: pa.Table, file: Path | HashingFile) -> None:
    """Write `table` in the one way that gives the same bytes for the same rows (and the same version of the writer)."""
    with parquet_writer(table.schema, file) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)


def parquet_writer(schema: pa.Schema, file: Path | HashingFile) -> pq.ParquetWriter:
    """Return the writer of a file of `schema`: its bytes follow from the rows and how they are cut into row groups.

    zstd; floats split by byte, what is a dictionary in memory by dictionary, everything else as it is: ids and hashes
    occur once, and of what repeats zstd makes less than a dictionary does. No timestamps or paths anywhere.
    """
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    encoded = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    return pq.ParquetWriter(
        file,  # type: ignore[arg-type]
        schema.remove_metadata(),
        version="2.6",
        data_page_version="2.0",
        compression="zstd",
        compression_level=1,
        use_dictionary=encoded or False,  # type: ignore[arg-type]
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT") or None,
        store_schema=False,
        write_statistics=True,
    )


def put_part(store: ArtifactStore, table: pa.Table, known: Mapping[str, str]) -> PartFile:
    """Put `table` into the store; return what names it. `known` maps content hashes to files that hold that content.

    A file that is there is taken as it is, after its bytes are checked: so the same content stays the same file even
    when a newer writer would make other bytes of it. Raises `IntegrityError` where such a file is damaged.
    """
    content = content_hash(table)
    name = known.get(content)
    if name is not None and store.path(name, SUFFIX).exists():
        path = store.verify(name, SUFFIX)
    else:
        name = store.put_file(lambda file: write_parquet(table, file), SUFFIX)
        path = store.path(name, SUFFIX)
    return PartFile(table.num_rows, path.stat().st_size, name, content)


def read_parquet(
    path: Path, file_hash: str, content: str, schema: pa.Schema | None = None, columns: Sequence[str] = ()
) -> pa.Table:
    """Return the table of a file, read from the very bytes that were checked. `IntegrityError` for any other.

    With `columns` only those, of bytes that are checked all the same; the content hash is of all columns, and is
    checked where all are read.
    """
    data = path.read_bytes()
    found = sha256_hex(data)
    if found != file_hash:
        raise IntegrityError(f"{path}: expected the bytes {file_hash}, found {found}")
    file = pq.ParquetFile(pa.BufferReader(data))
    names = file.schema_arrow.names
    if schema is not None and names != schema.names:
        raise IntegrityError(f"{path}: expected the columns {schema.names}, found {names}")
    table = file.read(list(columns) or None, use_threads=False)
    if schema is not None:
        table = table.select(columns or names).cast(pa.schema([schema.field(name) for name in columns or names]))
    if not columns and content_hash(table) != content:
        raise IntegrityError(f"{path}: expected the content {content}, found {content_hash(table)}")
    return table
