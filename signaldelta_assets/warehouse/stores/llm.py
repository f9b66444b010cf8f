"""Answers of language models, each under the hash of what was asked; written once, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from signaldelta_assets.versioning import canonical_json, hash_document, sha256_hex

from ..artifacts import IntegrityError
from ..pools import Warehouse

GROUP = "llm"


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """The artifact as stored, and its hash."""

    output_hash: str
    document: dict[str, Any]


def get_output(warehouse: Warehouse, request_hash: str) -> StoredOutput | None:
    """Return the answer to a request, None where there is none. Raises `IntegrityError` where its bytes changed."""
    with warehouse.read_pool().connection() as connection:
        row = connection.execute(
            "SELECT output_hash, output FROM llm_outputs WHERE request_hash = %s", (request_hash,)
        ).fetchone()
    if row is None:
        return None
    text = bytes(row["output"])
    if sha256_hex(text) != row["output_hash"]:
        raise IntegrityError(f"llm output of request {request_hash}: expected {row['output_hash']}")
    return StoredOutput(row["output_hash"], orjson.loads(text))


def put_output(warehouse: Warehouse, request: Mapping[str, Any], output: Mapping[str, Any]) -> None:
    """Store an answer under its request's hash; one that is there already stays."""
    canonical, asked = canonical_json(output), canonical_json(request)
    with warehouse.write_pool(GROUP).connection() as connection:
        connection.execute(
            "INSERT INTO llm_outputs (request_hash, output_hash, task, task_version, protocol, model, request, output,"
            " input_tokens, output_tokens) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (hash_document(request), sha256_hex(canonical), request["task"], request["task_version"],
             request["protocol"], request["model"], asked, canonical, output["input_tokens"], output["output_tokens"]),
        )  # fmt: skip


def list_outputs(warehouse: Warehouse, task: str | None = None) -> list[dict[str, Any]]:
    """Return what was asked so far: task, task_version, protocol, model, answers, tokens; the newest task first."""
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            "SELECT task, task_version, protocol, model, count(*) AS answers, sum(input_tokens) AS input_tokens,"
            " sum(output_tokens) AS output_tokens, max(ingest_time) AS newest FROM llm_outputs"
            " WHERE %(task)s::text IS NULL OR task = %(task)s GROUP BY 1, 2, 3, 4 ORDER BY newest DESC",
            {"task": task},
        ).fetchall()
