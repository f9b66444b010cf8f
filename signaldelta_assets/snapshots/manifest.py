"""The manifest of a snapshot: which parts, with which bytes; and the hash that names what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from signaldelta_assets.errors import DocumentError
from signaldelta_assets.versioning import hash_document

from .parts import ADDED_LATER, PARTS

SCHEMA = "signaldelta.snapshot/1"
# What differs between two freezings of the same content, and so is no part of its name: ids and clocks.
IDENTITY = ("snapshot_id", "dataset_id", "as_of")

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Ulid = Annotated[str, StringConstraints(pattern="^[0-9A-HJKMNP-TV-Z]{26}$")]


class SnapshotManifestError(DocumentError):
    """A snapshot manifest whose named field is wrong."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Part(_Model):
    """One file: its kind, the stretch of it (a month, or "all"), rows, bytes, and both hashes."""

    kind: Literal[
        "signal_events", "signal_frontier", "labeled_events", "entities", "coverage", "definitions", "identifiers"
    ]
    stretch: str
    rows: int = Field(ge=0)
    size_bytes: int = Field(gt=0)
    file_hash: Sha256
    content_hash: Sha256


class Span(_Model):
    """Half-open, ISO 8601, UTC."""

    start: str
    end: str


class Manifest(_Model):
    """The manifest, as it is stored."""

    schema_: Literal["signaldelta.snapshot/1"] = Field(alias="schema")
    snapshot_id: Ulid
    dataset_id: Ulid
    as_of: str
    window: Span
    evidence_from: str
    definitions_hash: Sha256
    dataset_hash: Sha256
    parts: list[Part]


def read_manifest(document: Mapping[str, Any]) -> Manifest:
    """Check `document`. Raises `SnapshotManifestError` naming the field; every kind of part must be there."""
    try:
        manifest = Manifest.model_validate(dict(document))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        raise SnapshotManifestError(path, first["msg"], first.get("input")) from error
    found = {part.kind for part in manifest.parts}
    missing = sorted(set(PARTS) - set(ADDED_LATER) - found)
    if missing:
        raise SnapshotManifestError("parts", f"every kind: {', '.join(sorted(PARTS))}", f"without {missing}")
    return manifest


def snapshot_hash(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the manifest without ids and clocks: the name of what the snapshot holds."""
    return hash_document({key: value for key, value in manifest.items() if key not in IDENTITY})
