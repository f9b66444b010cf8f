"""An action among very many is found by indexes: what its id is, what belongs to it, whether a question was asked."""

from __future__ import annotations

from typing import Any

import pytest

from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.partitions import owner
from signaldelta_assets.warehouse.stores import jobs, tracing
from tests.warehouse.test_partitions import plan

pytestmark = pytest.mark.postgres
ROWS = 20_000
_FILL = (
    "INSERT INTO user_activity (activity_id, event_time, kind, correlation_id)"
    " SELECT lpad(n::text, 26, '0'), now(), 'request.change', 'r-' || n FROM generate_series(1, %s) n",
    "INSERT INTO llm_usage_log (usage_id, event_time, use_case, route_id, model, location, latency_ms, outcome,"
    " correlation_id) SELECT lpad(n::text, 26, '0'), now(), 'explain', 'r', 'm', 'one', 1, 'ok', 'r-' || n"
    " FROM generate_series(1, %s) n",
    "INSERT INTO jobs (job_id, tier, kind, input, input_hash, priority, correlation_id)"
    " SELECT lpad(n::text, 26, '0'), 'research', 'snapshot', '{}', encode(sha256(n::text::bytea), 'hex'), 0,"
    " 'r-' || n FROM generate_series(1, %s) n",
)
TABLES = {"user_activity", "llm_usage_log", "jobs"}


def scans_of(found: list[dict[str, Any]]) -> dict[str, set[str]]:
    scans: dict[str, set[str]] = {}
    for one in found:
        if one["Relation Name"] in TABLES:
            scans.setdefault(one["Relation Name"], set()).add(one["Node Type"])
    return scans


def test_no_log_is_read_through(postgres_url: str, warehouse: Warehouse) -> None:
    with owner(postgres_url) as connection:
        for statement in _FILL:
            connection.execute(statement, [ROWS])  # type: ignore[arg-type]
        connection.execute("ANALYZE")
        keys = tracing.Keys(correlations={"r-77"})
        asked = {
            "starts": lambda on: tracing.starts(on, "r-77"),
            "widen": lambda on: tracing.widen(on, keys),
            "gather": lambda on: tracing.gather(on, keys),
        }
        for name, ask in asked.items():
            scans = scans_of(plan(connection, ask))
            kinds = {kind for found in scans.values() for kind in found}
            assert kinds <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, (name, scans)
            assert name == "widen" or set(scans) == TABLES, (name, scans)
        found = {start.kind for start in tracing.starts(connection, "r-77")}
        assert found == {"request", "model call", "job"}
        like = "EXPLAIN SELECT FROM jobs WHERE input_hash = repeat('0', 64) AND COALESCE(user_id, '') = '' LIMIT 1"
        assert "ix_jobs_input_hash" in str(connection.execute(like).fetchall())
    assert jobs.newest_like(warehouse, jobs.NewJob("rescore", {}, None, "research", 0)) is None
