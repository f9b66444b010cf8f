"""Immutable JSON documents (definitions, models, protocols, specs), each named by the hash of its canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from psycopg import Connection

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import canonical_json, hash_document

from ..pools import Warehouse


class UnknownDocumentError(SignalDeltaError):
    """A document that is asked for by hash and is not there, or is of another kind."""


def put_document(warehouse: Warehouse, kind: str, name: str, document: Mapping[str, Any]) -> str:
    """Store `document` unless it is there; return its hash. The first kind and name stay with it."""
    with warehouse.write_pool("models").connection() as connection:
        return insert_document(connection, kind, name, document)


def insert_document(connection: Connection[Any], kind: str, name: str, document: Mapping[str, Any]) -> str:
    """`put_document` inside the caller's transaction."""
    canonical = canonical_json(document)
    digest = hash_document(document)
    connection.execute(
        "INSERT INTO documents (document_hash, kind, name, document, canonical) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING",
        (digest, kind, name, canonical.decode(), canonical),
    )
    row = connection.execute("SELECT kind FROM documents WHERE document_hash = %s", (digest,)).fetchone()
    # A concurrent writer of the same document may not have committed yet: then there is nothing to compare with.
    if row is not None and row["kind"] != kind:
        raise UnknownDocumentError(f"document {digest}: field 'kind': expected {kind!r}, found {row['kind']!r}")
    return digest


def get_document(warehouse: Warehouse, document_hash: str, kind: str | None = None) -> dict[str, Any]:
    """Return the document named `document_hash`, of `kind` if given. Raises `UnknownDocumentError`."""
    with warehouse.read_pool().connection() as connection:
        row = connection.execute(
            "SELECT kind, canonical FROM documents WHERE document_hash = %s", (document_hash,)
        ).fetchone()
    if row is None:
        raise UnknownDocumentError(f"document {document_hash}: no such {kind or 'document'}")
    if kind is not None and row["kind"] != kind:
        raise UnknownDocumentError(f"document {document_hash}: field 'kind': expected {kind!r}, found {row['kind']!r}")
    # From the canonical bytes: jsonb rewrites numbers, and the hash is of these.
    document: dict[str, Any] = orjson.loads(bytes(row["canonical"]))
    return document


def rule_hashes(warehouse: Warehouse, definitions_hash: str, section: str) -> dict[str, str]:
    """Return the hash of each active rule of stored signal definitions, by name; `section`: signals or labels.

    Events and labels carry these, the whole hash names their set. Raises `UnknownDocumentError` for definitions that
    are not stored: nothing would say which events are theirs.
    """
    document = get_document(warehouse, definitions_hash, "signal_definitions")
    rules = sorted(document.get(section, {}).items())
    # Definitions that were stored before rules had hashes hold none: no event is theirs.
    return {name: str(entry["rule_hash"]) for name, entry in rules if "rule_hash" in entry}


def document_name(warehouse: Warehouse, document_hash: str) -> str:
    """Return what the document named `document_hash` is called. Raises `UnknownDocumentError`."""
    with warehouse.read_pool().connection() as connection:
        row = connection.execute("SELECT name FROM documents WHERE document_hash = %s", (document_hash,)).fetchone()
    if row is None:
        raise UnknownDocumentError(f"document {document_hash}: no such document")
    return str(row["name"])


def list_documents(warehouse: Warehouse, kind: str) -> list[dict[str, Any]]:
    """Return document_hash, name and ingest_time of every document of `kind`, newest first."""
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            "SELECT document_hash, name, ingest_time FROM documents WHERE kind = %s "
            "ORDER BY ingest_time DESC, document_hash",
            (kind,),
        ).fetchall()
