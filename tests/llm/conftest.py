"""A model's server on loopback that misbehaves on demand, a gateway to it, and an eye on what is logged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from signaldelta_assets.llm import Gateway, LLMRequest, Message
from signaldelta_assets.replay import RecordedArchive, ReplayServer
from signaldelta_assets.warehouse import Warehouse

URLS = {"openai": "/api.openai.com/v1", "anthropic": "/api.anthropic.com"}
SECRET = "sk-loopback-secret"
PROMPT = "a prompt that nobody but the model may read"
KEYS = {"LOOP_API_KEY": SecretStr(SECRET)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplayServer]:
    with ReplayServer(RecordedArchive(tmp_path_factory.mktemp("nothing"))) as running:
        yield running


@pytest.fixture(autouse=True)
def well_behaved(server: ReplayServer) -> None:
    for path in ("faults", "log", "model"):
        httpx.delete(f"{server.url}/__replay__/{path}")


@dataclass
class Bench:
    """The server, the database, and what the gateway slept."""

    server: ReplayServer
    url: str
    http: httpx.Client
    database: psycopg.Connection[dict[str, Any]]
    waits: list[float] = field(default_factory=list)

    def order(self, *orders: Any) -> None:
        self.http.post("/__replay__/model", json=list(orders)).raise_for_status()

    def forget(self) -> None:
        self.http.delete("/__replay__/model").raise_for_status()

    def fault(self, **rule: object) -> None:
        self.http.post("/__replay__/faults", json={"path": "/v1/", **rule}).raise_for_status()

    def calls(self, path: str = "/v1/") -> int:
        found = self.http.get("/__replay__/log", params={"path": path}).json()
        return int(found["requests"])

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        cursor = self.database.execute(query, values)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []

    def route(self, route_id: str, protocol: str, use_case: str | None = None, **more: object) -> None:
        """A provider is a row, and a place in a chain another."""
        row: dict[str, object] = {
            "route_id": route_id, "provider": "loopback", "protocol": protocol, "model": f"model-{route_id}",
            "base_url": self.server.url + URLS[protocol], "weight_class": "light", "locations": ["aws", "offsite"],
            "key_setting": "LOOP_API_KEY", "timeout_seconds": 5, "attempts": 2, "input_price": 1, "output_price": 4,
        } | more  # fmt: skip
        marks = ", ".join(["%s"] * len(row))
        self.sql(f"INSERT INTO llm_model_routing ({', '.join(row)}) VALUES ({marks})", *row.values())
        if use_case is not None:
            self.chain(use_case, route_id)

    def chain(self, use_case: str, route_id: str) -> None:
        self.sql(
            "INSERT INTO llm_fallback_chain (use_case, position, route_id)"
            " SELECT %s, count(*) + 1, %s FROM llm_fallback_chain WHERE use_case = %s",
            use_case, route_id, use_case,
        )  # fmt: skip

    def logged(self, use_case: str) -> list[dict[str, Any]]:
        return self.sql("SELECT * FROM llm_usage_log WHERE use_case = %s ORDER BY event_time, outcome", use_case)

    def outcomes(self, use_case: str) -> list[str]:
        return [row["outcome"] for row in self.logged(use_case)]

    def gateway(self, warehouse: Warehouse, spool: Path, **more: Any) -> Gateway:
        return Gateway(warehouse, KEYS.get, spool, sleep=self.waits.append, **more)


@pytest.fixture(scope="module")
def bench(server: ReplayServer, postgres_url: str) -> Iterator[Bench]:
    options = "-c search_path=signaldelta -c timezone=UTC"
    with (
        httpx.Client(base_url=server.url) as http,
        psycopg.connect(postgres_url, options=options, autocommit=True, row_factory=dict_row) as database,
    ):
        yield Bench(server, postgres_url, http, database)


@pytest.fixture
def gateway(bench: Bench, warehouse: Warehouse, tmp_path: Path) -> Iterator[Gateway]:
    bench.waits.clear()
    with bench.gateway(warehouse, tmp_path / "spool") as opened:
        yield opened


@pytest.fixture
def nothing_told(caplog: pytest.LogCaptureFixture, bench: Bench) -> Iterator[None]:
    """Neither key nor prompt is in any log, at any level, or in any row."""
    caplog.set_level(logging.DEBUG)
    yield
    rows = bench.sql("SELECT row_to_json(u)::text AS row FROM llm_usage_log u")
    for text in (*(record.getMessage() + str(record.exc_text) for record in caplog.records), *(r["row"] for r in rows)):
        assert SECRET not in text and PROMPT not in text, text[:500]


@pytest.fixture
def ask() -> Callable[..., LLMRequest]:
    def make(use_case: str, **more: Any) -> LLMRequest:
        given: dict[str, Any] = {"max_tokens": 100} | more
        return LLMRequest(use_case, PROMPT, (Message("user", PROMPT),), **given)

    return make
