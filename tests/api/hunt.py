"""Schemathesis over the whole description against a real server with real rows: what it asks, and what it found.

The test runs a little of it, the same every time; `make fuzz` hunts for longer, by chance, and writes
docs/api-checks.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import schemathesis
from fastapi import FastAPI
from schemathesis.checks import CHECKS as CHECKS_BY_NAME
from schemathesis.engine import events, from_schema

from api import Parts, create_app
from api.accounts import required_access
from api.auth import KeySource, Limits, TokenVerifier
from api.description import operations
from api.schemas import evidence, results
from api.schemas.base import example
from signaldelta_assets.warehouse import ArtifactStore, Warehouse, embedded_server, migrate, stop_embedded
from signaldelta_assets.warehouse.stores import users
from tests.api.auth.provider import AUDIENCE, ISSUER, Provider
from tests.api.auth.provider import serving as providing
from tests.paths import ROOT
from tests.readside import fill
from tests.serving import serving

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "valid_data_is_accepted", "negative_data_rejection", "use_after_free",
    "ensure_resource_availability", "missing_required_header", "ignored_auth", "unsupported_method",
    "allow_header_conformance",
)  # fmt: skip
_REFUSALS = [400, 401, 403, 404, 405, 409, 413, 414, 415, 422]
# A database that dbt has not seen has no read models; these have their columns, by the schemas of the answers.
_MARTS = {
    "mart_backtest_leaderboard": results.LeaderboardRow,
    "mart_label_coverage": evidence.CoverageCell,
    "mart_label_entities": evidence.LabelEntities,
    "mart_label_minimum": evidence.LabelMinimum,
}
_TYPES = {"integer": "bigint", "number": "double precision", "boolean": "boolean"}


# What no schema can say: that a cursor is one that was given out, a moment one that is still to come, a hash one of
# what is stored; and what several fields have to be together ("body").
_BEYOND_SCHEMAS = {
    "query.cursor", "body.expires_at", "body", "body.quarter", "body.messages", "body.use_case",
    *(f"body.{name}_hash" for name in ("snapshot", "scoring_model", "latency_model", "protocol")),
}  # fmt: skip


@schemathesis.check
def valid_data_is_accepted(ctx: schemathesis.CheckContext, response: Any, case: schemathesis.Case) -> bool | None:
    """As the library's own `positive_data_acceptance`, but for refusals of what no schema can say."""
    if response.status_code == 422 and {one["field"] for one in response.json()["errors"]} <= _BEYOND_SCHEMAS:
        return None
    # Said of every text but of one with another pattern: a schema has one.
    if response.status_code == 400 and "without control characters" in response.json()["detail"]:
        return None
    return CHECKS_BY_NAME.get_one("positive_data_acceptance")(ctx, response, case)


@dataclass
class Found:
    """What was asked and what came of it."""

    operations: set[str] = field(default_factory=set)
    cases: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@contextmanager
def world(postgres_url: str, folder: Path) -> Iterator[tuple[FastAPI, str, dict[str, str]]]:
    """(app, its base URL, headers of an administrator without limits) over a database with rows of every kind."""
    store = ArtifactStore(folder / "store")
    with Warehouse(postgres_url) as filled, providing(Provider()) as provider:
        fill(filled, store, store.root)
        users.create_user(
            filled, tier="research", admin=True, email=None, name=None, subject="hunter", actor=users.OPERATOR
        )
        _prepare(postgres_url)
        tokens = TokenVerifier(KeySource(provider.url), issuer=ISSUER, audience=AUDIENCE)
        warehouse = Warehouse(postgres_url)
        access = required_access(warehouse, tokens, Limits(address_per_hour=0, refused=10**9))
        app = create_app(Parts(warehouse, store, access=access, reports=folder / "reports"))
        # What is followed here never ends by itself.
        app.state.jobs_feed.longest_seconds = app.state.scores.longest_seconds = 0.2
        # A token: a key could be revoked by what is found in the list of keys.
        token = provider.token(sub="hunter", exp=int(time.time()) + 86_400)
        with serving(app) as url:
            yield app, url, {"Authorization": f"Bearer {token}"}


def _prepare(url: str) -> None:
    """No limit of requests, and read models with one row each: the examples of their schemas."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE signaldelta.tier_entitlements SET value = '1000000000' WHERE tier = 'research'"
            " AND entitlement = 'requests_per_hour'"
        )
        connection.execute("CREATE SCHEMA marts")
        connection.execute("GRANT USAGE ON SCHEMA marts TO PUBLIC")
        for name, schema in _MARTS.items():
            row = example(schema)
            columns = ", ".join(f"{column} {_type(column, schema)}" for column in row)
            connection.execute(f"CREATE TABLE marts.{name} ({columns})")  # type: ignore[arg-type]
            connection.execute(f"GRANT SELECT ON marts.{name} TO PUBLIC")  # type: ignore[arg-type]
            places = ", ".join(["%s"] * len(row))
            connection.execute(f"INSERT INTO marts.{name} VALUES ({places})", list(row.values()))  # type: ignore[arg-type]


def _type(column: str, schema: Any) -> str:
    described = schema.model_json_schema()["properties"][column]
    kinds = [one["type"] for one in described.get("anyOf", [described]) if one.get("type") != "null"]
    return _TYPES.get(kinds[0], "text")


def hunt(url: str, headers: dict[str, str], *, examples: int, deterministic: bool, only: str | None = None) -> Found:
    """Run every phase of schemathesis: examples, coverage, fuzzing, and sequences along the links."""
    token = headers["Authorization"].removeprefix("Bearer ")
    generation = {"max-examples": examples, "deterministic": deterministic, "database": "none", "no-shrink": True}
    config = schemathesis.Config.from_dict(
        {
            "base-url": url,
            "generation": generation,
            "request-timeout": 30.0,
            "continue-on-failure": True,
            "auth": {"openapi": {"token": {"bearer": token}}},
            "checks": {
                "enabled": False,
                **{name: {"enabled": True} for name in CHECKS},
                "negative_data_rejection": {"enabled": True, "expected-statuses": _REFUSALS},
            },
            "phases": {"coverage": {"unexpected-methods": ["PUT", "OPTIONS"]}},
        }
    )
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    if only is not None:
        schema = schema.include(operation_id=only)
    found, begun = Found(), time.monotonic()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _take(found, event)
        elif isinstance(event, events.NonFatalError):
            found.failures[f"{event.label}: {type(event.value).__name__}"] = str(event.value)
        elif isinstance(event, events.FatalError):
            raise event.exception
    found.seconds = time.monotonic() - begun
    return found


def _take(found: Found, event: Any) -> None:
    recorder = event.recorder
    for case_id, node in recorder.cases.items():
        found.operations.add(node.value.operation.label)
        found.cases[event.phase.value] += 1
        interaction = recorder.interactions.get(case_id)
        if interaction is not None and interaction.response is not None:
            found.statuses[interaction.response.status_code] += 1
    for checks in recorder.checks.values():
        for check in checks:
            found.checks[check.name] += 1
            if check.failure_info is not None:
                failure = check.failure_info.failure
                key = f"{failure.operation}: {check.name}: {failure.title}"
                found.failures.setdefault(key, f"{failure.message}\n{check.failure_info.code_sample}")


# What was found by hunting and mended; each has a test of its own now.
MENDED = (
    ("a bare number as a moment: `as_of=2024` was answered for 1970", "refused, 422", "test_hostile.py"),
    ("`as_of=0001-01-01T00:00:00+14:00`, and cursors with such a moment: 500", "422", "test_hostile.py"),
    ("a cursor made by hand with NUL, objects or deep nesting: 500", "422", "test_hostile.py"),
    ("NUL in a path or query: 500 of the database", "400", "test_hostile.py"),
    ("a path with a slash at its end: undocumented 307 to a host of the caller's choosing", "404", "test_hostile.py"),
    ("405 of a path with two methods named one in `Allow`", "names all", "test_specification.py"),
    ("broken JSON without a credential: 422, uncounted", "401, counted", "test_walls.py"),
    ("a schema of mixed constants that no generator could read", "two alternatives", "test_client.py"),
)
PAGE = ROOT / "docs/api-checks.md"


def report(found: Found, operations: int) -> str:
    """Return docs/api-checks.md."""
    lines = [
        "# The API held to its word", "",
        "Schemathesis asks every operation of [openapi.json](openapi.json) what it says it takes and what it says it",
        "does not, along the links of its answers, and checks each answer. It asks a real server over a real database",
        "with rows of every kind, as an administrator by a token. The suite runs a little of it, the same each time",
        "(`tests/api/test_specification.py`); this is what `make fuzz` found, by chance.", "",
        "| | |", "|---|---|",
        f"| operations asked | {len(found.operations)} of {operations} |",
        *(f"| cases, {phase} | {number} |" for phase, number in sorted(found.cases.items())),
        f"| cases | {sum(found.cases.values())} |",
        f"| checks | {sum(found.checks.values())} |",
        f"| server errors | {sum(number for status, number in found.statuses.items() if status >= 500)} |",
        f"| findings | {len(found.failures)} |", "",
        "| answer | cases |", "|---|---|",
        *(f"| {status} | {number} |" for status, number in sorted(found.statuses.items())), "",
        "| check | answers it was asked of |", "|---|---|",
        *(f"| `{name}` | {number} |" for name, number in sorted(found.checks.items())), "",
        *(f"- {name}" for name in sorted(found.failures)),
        *([""] if found.failures else []),
        "Not among them: `object_level_authorization`, which needs a second user in the library's own way; another",
        "user's objects are tried in `tests/api/auth/test_service.py`. `valid_data_is_accepted` is the library's",
        "`positive_data_acceptance`, told of what no schema can say: that a cursor was given out, that a moment is",
        "still to come.", "",
        "## What was found and mended", "",
        "| found | now | test |", "|---|---|---|",
        *(f"| {what} | {now} | `{where}` |" for what, now, where in MENDED), "",
    ]  # fmt: skip
    return "\n".join(lines)


def main(examples: int = 100) -> int:
    """Hunt at a server of its own, and write the page. Returns 1 where something was found."""
    with tempfile.TemporaryDirectory(prefix="sdpg-", ignore_cleanup_errors=True) as raw:
        data = Path(raw) / "pg"
        url = embedded_server(data)
        try:
            migrate(url)
            with world(url, Path(raw)) as (app, base, headers):
                found = hunt(base, headers, examples=examples, deterministic=False)
                number = len(list(operations(app.openapi())))
        finally:
            stop_embedded(data)
    PAGE.write_text(report(found, number))
    for name, words in found.failures.items():
        print(name, words, sep="\n", end="\n\n")
    print(f"{sum(found.cases.values())} cases in {found.seconds:.0f} s, {len(found.failures)} findings")
    return int(bool(found.failures))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
