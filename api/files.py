"""Files out of the artifact store: found by hash, checked, streamed as they are or by their rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from fastapi import Request
from fastapi.responses import Response

from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import ArtifactStore

from .caching import answer_file
from .formats import Format, Origin, answer_stream
from .grids import Cut, Verified, batches, moment_of, plain
from .problems import ProblemError, answer, bad_parameter, not_found, request_id, responses

log = logging.getLogger("signaldelta.api")

_BINARY = {"schema": {"type": "string", "format": "binary"}}
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"application/vnd.apache.parquet": _BINARY}},
    206: {"description": "The range asked for.", "content": {"application/vnd.apache.parquet": _BINARY}},
    **responses(404, 416, 500),
}
MANIFEST_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Canonical JSON.",
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": {"schema": "signaldelta.manifest/1"}}
        },
    },
    **responses(404),
}
REPORT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One HTML file without script that needs nothing else.",
        "content": {"text/html": {"schema": {"type": "string"}, "example": "<!DOCTYPE html>"}},
    },
    **responses(404),
}


def damaged(request: Request, error: Exception) -> Response:
    """Return the problem document of a file whose bytes are not those of its name; the log has where it lies."""
    log.error("request %s: %s", request_id(request), error)
    # Its words begin with the path, which is this machine's: the name alone is the caller's.
    path, _, words = str(error).partition(": ")
    return answer(request, ProblemError(500, "stored-data", f"{Path(path).name}: {words}"))


def names(manifest: Any, file_hash: str) -> bool:
    """Whether `file_hash` is named anywhere in `manifest`: only what belongs to it is sent."""
    if isinstance(manifest, dict):
        return any(names(value, file_hash) for value in manifest.values())
    if isinstance(manifest, list):
        return any(names(value, file_hash) for value in manifest)
    return bool(manifest == file_hash)


def send(request: Request, store: ArtifactStore, file_hash: str, filename: str, media_type: str) -> Response:
    """Stream the file after hashing it whole, as `Verified` does; 404 where the store does not have it.

    Raises `IntegrityError` where the bytes are not those of the name: better no answer than a wrong one.
    """
    for suffix in dict.fromkeys((Path(filename).suffix, ".parquet", ".json", "")):
        if store.path(file_hash, suffix).is_file():
            verified: Verified = request.app.state.verified
            path = verified.path(store, file_hash, suffix)
            filename = filename if Path(filename).suffix else f"{filename}{suffix}"
            return answer_file(request, path, name=file_hash, filename=filename, media_type=media_type)
    raise not_found("file in the artifact store", file_hash)


def stream_rows(
    request: Request, store: ArtifactStore, form: Format, file_hash: str, cut: Cut, name: str, facts: Mapping[str, Any]
) -> Response:
    """Stream the rows of a Parquet file that `cut` asks for. 404 where the store has it not, 422 for what it has not.

    The file is hashed before, as for a download, once for each process and as long as nobody touches it.
    """
    if not store.path(file_hash, ".parquet").is_file():
        raise not_found("Parquet file in the artifact store", file_hash)
    verified: Verified = request.app.state.verified
    path = verified.path(store, file_hash)
    schema = plain(pq.read_schema(path))
    if cut.entity_id is not None and "entity_id" not in schema.names:
        raise bad_parameter("entity_id", "none: this file has no such column", cut.entity_id)
    if (cut.start or cut.end) and moment_of(schema) is None:
        raise bad_parameter("start", "none: the rows of this file have no moment", cut.start or cut.end)
    asked = {"entity_id": cut.entity_id, "start": cut.start, "end": cut.end}
    origin = Origin(name, {**facts, "file_hash": file_hash, **asked})
    content = hash_document([file_hash, {key: None if one is None else str(one) for key, one in asked.items()}])
    return answer_stream(request, form, schema, lambda: batches(path, cut), origin, content=content)
