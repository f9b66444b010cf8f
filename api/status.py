"""The state of the platform, put together for `/status`."""

from __future__ import annotations

import httpx
import psycopg
from psycopg_pool import PoolTimeout
from sqlalchemy.exc import OperationalError

from signaldelta_assets.warehouse import Warehouse, current_revision, head_revision
from signaldelta_assets.warehouse.stores import health

from . import queries
from .schemas.results import CollectorFreshness, SchemaVersion, Status


def _dagster(url: str | None) -> str:
    if url is None:
        return "not configured"
    try:
        return "reachable" if httpx.get(f"{url}/server_info", timeout=1.0).is_success else "unreachable"
    except httpx.HTTPError:
        return "unreachable"


def platform_status(warehouse: Warehouse, dagster_url: str | None) -> Status:
    """Return the status; `degraded` with reasons where the database, schema, Dagster or a collector is not well."""
    dagster = _dagster(dagster_url)
    reasons = ["dagster: unreachable"] if dagster == "unreachable" else []
    try:
        expected, found = head_revision(), current_revision(warehouse.url)
        version = SchemaVersion(expected=expected, found=found, matches=expected == found)
        if not version.matches:
            reasons.append(f"schema version: expected {expected}, found {found}; run `signaldelta db migrate`")
            return Status.model_validate(
                _parts(reasons, "reachable", version, dagster, collectors=[], rows={}, rows_estimated={})
            )
        with warehouse.read_pool().connection() as connection:
            state = queries.collectors(connection)
            collectors = [CollectorFreshness.model_validate(row) for row in state]
            rows, estimated = queries.counts(connection)
    except (psycopg.OperationalError, OperationalError, PoolTimeout) as error:
        reasons.append(f"database: {type(error).__name__}")
        return Status.model_validate(
            _parts(reasons, "unreachable", None, dagster, collectors=[], rows={}, rows_estimated={})
        )
    reasons += [f"collector {row['collector']}: {trouble}" for row in state for trouble in health.troubles(row)]
    return Status.model_validate(
        _parts(reasons, "reachable", version, dagster, collectors=collectors, rows=rows, rows_estimated=estimated)
    )


def _parts(
    reasons: list[str], database: str, version: SchemaVersion | None, dagster: str, **more: object
) -> dict[str, object]:
    return {
        "status": "degraded" if reasons else "ok",
        "reasons": reasons,
        "database": database,
        "schema_version": version,
        "dagster": dagster,
        **more,
    }
