"""Files out of the artifact store: found by hash, checked, streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from signaldelta_assets.warehouse import ArtifactStore

from .caching import answer_file
from .problems import not_found, responses

_BINARY = {"schema": {"type": "string", "format": "binary"}}
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"application/vnd.apache.parquet": _BINARY}},
    206: {"description": "The range asked for.", "content": {"application/vnd.apache.parquet": _BINARY}},
    **responses(404, 500),
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


def names(manifest: Any, file_hash: str) -> bool:
    """Whether `file_hash` is named anywhere in `manifest`: only what belongs to it is sent."""
    if isinstance(manifest, dict):
        return any(names(value, file_hash) for value in manifest.values())
    if isinstance(manifest, list):
        return any(names(value, file_hash) for value in manifest)
    return bool(manifest == file_hash)


def send(request: Request, store: ArtifactStore, file_hash: str, filename: str, media_type: str) -> Response:
    """Stream the file after hashing it whole; 404 where the store does not have it.

    Raises `IntegrityError` where the bytes are not those of the name: better no answer than a wrong one.
    """
    for suffix in dict.fromkeys((Path(filename).suffix, ".parquet", ".json", "")):
        if store.path(file_hash, suffix).is_file():
            path = store.verify(file_hash, suffix)
            filename = filename if Path(filename).suffix else f"{filename}{suffix}"
            return answer_file(request, path, name=file_hash, filename=filename, media_type=media_type)
    raise not_found("file in the artifact store", file_hash)
