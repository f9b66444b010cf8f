"""Canonical JSON (RFC 8785, the JSON Canonicalization Scheme) and the SHA-256 names made from it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import rfc8785


def canonical_json(document: Any) -> bytes:
    """Return the RFC 8785 bytes of `document`: sorted keys, no blanks, shortest floats.

    NaN, infinities, integers beyond 2**53 and non-JSON types are refused (`rfc8785.CanonicalizationError`):
    a name must not depend on what some other serialiser would make of them.
    """
    return rfc8785.dumps(document)


def sha256_hex(data: bytes) -> str:
    """Return the lower-case hexadecimal SHA-256 of `data`: 64 characters."""
    return hashlib.sha256(data).hexdigest()


def hash_document(document: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `document`: the name of every immutable document here."""
    return sha256_hex(canonical_json(document))


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
