"""Routing by the tables, places, budgets, the log and where it waits: over real PostgreSQL and a server on loopback."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from signaldelta_assets.correlation import correlated
from signaldelta_assets.llm import (
    FAILURES,
    BecomesJobError,
    BudgetExceededError,
    Gateway,
    LLMRequest,
    NoRouteError,
    RoutesFailedError,
)
from signaldelta_assets.llm.usage import UsageLog
from signaldelta_assets.settings import read_key
from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import PoolLimits, Warehouse, misrouted
from signaldelta_assets.warehouse.stores import routing
from signaldelta_assets.warehouse.stores.routing import Usage
from tests.llm.conftest import KEYS, SECRET, Bench
from tests.paths import ROOT

pytestmark = pytest.mark.postgres
Ask = Callable[..., LLMRequest]
HANG = {"kind": "hang", "seconds": 5}
PAGE = ROOT / "docs" / "llm.md"


@pytest.mark.usefixtures("nothing_told")
def test_a_further_provider_is_a_row(bench: Bench, gateway: Gateway, ask: Ask) -> None:
    with pytest.raises(NoRouteError, match="llm_fallback_chain has no row"):
        gateway.complete(ask("new"))
    bench.route("first", "openai", "new", key_setting="NO_SUCH_API_KEY")
    with pytest.raises(NoRouteError, match="first: no key: NO_SUCH_API_KEY is not set"):
        gateway.complete(ask("new"))
    bench.sql(
        "INSERT INTO llm_model_routing (route_id, provider, protocol, base_url, model, weight_class, locations,"
        " key_setting, timeout_seconds, attempts, input_price, output_price) VALUES ('second', 'Another', 'anthropic',"
        " %s, 'another-small', 'light', '{aws,offsite}', 'LOOP_API_KEY', 20, 2, 0.8, 4)",
        f"{bench.server.url}/api.anthropic.com",
    )
    bench.chain("new", "second")
    bench.order("good day to you")
    with correlated("request-1"):
        answer = gateway.complete(ask("new", user_id="01USER"))
    assert (answer.text, answer.route_id, answer.model) == ("good day to you", "second", "another-small-replay")
    assert [str(one) for one in answer.skipped] == ["first: no key: NO_SUCH_API_KEY is not set"]
    (row,) = bench.logged("new")
    assert row["cost"] == answer.cost == (Decimal("0.8") * row["input_tokens"] + 4 * row["output_tokens"]) / 1_000_000
    assert row["output_tokens"] == 4 and row["latency_ms"] > 0 and row["error"] is None
    assert (row["location"], row["user_id"], row["correlation_id"]) == ("one", "01USER", "request-1")
    assert row["usage_id"] == answer.usage_id and "good" not in repr(answer)
    assert [one["calls"] for one in routing.read_usage(gateway._warehouse, 1) if one["use_case"] == "new"] == [1]


def test_where_a_use_case_is_answered(bench: Bench, ask: Ask, tmp_path: Path) -> None:
    bench.route("big", "openai", "report", weight_class="heavy", locations=["offsite"])
    bench.chain("mixed", "big")
    bench.route("only-offsite", "openai", "mixed", locations=["offsite"])
    bench.route("small", "openai", "light-first")
    bench.chain("light-first", "only-offsite")
    bench.chain("light-first", "big")
    bench.route("off", "openai", "light-first", enabled=False)

    def plan(place: Any, use_case: str) -> tuple[list[str], list[str]]:
        with Warehouse(bench.url, place=place) as warehouse, bench.gateway(warehouse, tmp_path) as gateway:
            usable, skipped = gateway.plan(use_case)
            return [route.route_id for route in usable], [one.why for one in skipped]

    for use_case in ("report", "mixed"):
        with pytest.raises(BecomesJobError, match="submit it as a job"):
            plan("aws", use_case)
    elsewhere = "served at offsite, not at aws"
    assert plan("aws", "light-first") == (["small"], [elsewhere, "heavy, and offsite only", "switched off"])
    for place in ("offsite", "one"):
        assert plan(place, "report") == (["big"], [])
        assert plan(place, "light-first") == (["small", "only-offsite", "big"], ["switched off"])
    bench.order("done")
    with Warehouse(bench.url, place="aws") as warehouse, bench.gateway(warehouse, tmp_path) as gateway:
        with pytest.raises(BecomesJobError):
            gateway.stream(ask("report"))
        assert bench.calls() == 0 and bench.outcomes("report") == []


def test_a_key_is_read_by_its_name_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_API_KEY", "a")
    monkeypatch.setenv("SIGNALDELTA_A_API_KEY", "ours")
    monkeypatch.setenv("B_API_KEY", "")
    found = read_key("A_API_KEY")
    assert found is not None and found.get_secret_value() == "ours" and "ours" not in repr(found)
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", "postgresql://user:secret@host/x")
    assert [read_key(name) for name in ("B_API_KEY", "C_API_KEY", "SIGNALDELTA_DATABASE_URL", "PATH")] == [None] * 4


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.usefixtures("nothing_told")
def test_a_stream_is_logged_at_its_end_or_where_its_reader_leaves(
    bench: Bench, gateway: Gateway, ask: Ask, protocol: str
) -> None:
    use_case = f"stream {protocol}"
    bench.route(use_case, protocol, use_case)
    bench.sql("INSERT INTO tier_entitlements VALUES ('free', 'llm_dollars_per_day', '1') ON CONFLICT DO NOTHING")
    words = " ".join(["word"] * 50)
    bench.order(words, words)
    with gateway.stream(ask(use_case)) as stream:
        assert "".join(stream) == words
    assert stream.response is not None and stream.response.output_tokens == 50
    with gateway.stream(ask(use_case, user_id=f"U {protocol}", tier="free")) as stream:
        said = [next(stream), next(stream), next(stream)]
    with pytest.raises(StopIteration):
        next(stream)
    rows = {row["outcome"]: row for row in bench.logged(use_case)}
    assert set(rows) == {"ok", "cancelled", "reserved", "released"} and stream.response is None
    cancelled = rows["cancelled"]
    assert cancelled["input_tokens"] > 0 and len(said) <= cancelled["output_tokens"] < 50
    assert 0 < cancelled["cost"] < rows["reserved"]["cost"] == -rows["released"]["cost"]
    # What was not said is not spent.
    assert sum(row["cost"] for row in bench.logged(use_case) if row["user_id"]) == cancelled["cost"]


@pytest.mark.usefixtures("nothing_told")
def test_a_call_that_may_cost_more_than_is_left_is_refused_before_it(bench: Bench, gateway: Gateway, ask: Ask) -> None:
    bench.route("dear", "openai", "dear", input_price=0, output_price=200)
    asked = ask("dear", user_id="01DEAR", tier="free")
    bench.order("one two three")
    assert gateway.complete(asked).cost == Decimal("0.0006")
    # 0.05 a day: 100 tokens of output may cost 0.02; what was set aside and not spent is there again.
    bench.order(*["word " * 74 + "end"] * 2)
    for _ in range(2):
        gateway.complete(asked)
    with pytest.raises(BudgetExceededError, match=r"'free' has 0.05 US dollars a day: 0.0306 are") as refused:
        gateway.complete(asked)
    assert (refused.value.spent, refused.value.most) == (Decimal("0.0306"), Decimal("0.02"))
    assert bench.calls() == 3
    bench.order("another's purse", "nobody's")
    gateway.complete(ask("dear", user_id="01OTHER", tier="free"))
    gateway.complete(ask("dear", user_id="01DEAR"))
    # Yesterday's is spent yesterday.
    bench.sql("ALTER TABLE llm_usage_log DISABLE TRIGGER USER")
    bench.sql("UPDATE llm_usage_log SET event_time = event_time - interval '1 day' WHERE user_id = '01DEAR'")
    bench.sql("ALTER TABLE llm_usage_log ENABLE TRIGGER USER")
    bench.order("a new day")
    gateway.complete(asked)
    # A hang is charged at its most: what the server did is not known.
    bench.sql("UPDATE llm_model_routing SET timeout_seconds = 0.2, attempts = 1 WHERE route_id = 'dear'")
    bench.order(HANG)
    with pytest.raises(RoutesFailedError, match="Timeout"):
        gateway.complete(asked)
    assert bench.sql("SELECT cost FROM llm_usage_log WHERE outcome = 'timeout'") == [{"cost": Decimal("0.02")}]


def usage(**more: Any) -> Usage:
    given: dict[str, Any] = {
        "usage_id": new_ulid(), "event_time": datetime.now(UTC), "use_case": "u", "route_id": "r", "model": "m",
        "location": "one", "user_id": "01CROWD", "correlation_id": None, "input_tokens": 1, "output_tokens": 1,
        "cost": Decimal("0.01"), "latency_ms": 1.0, "outcome": "ok", "error": None,
    } | more  # fmt: skip
    return Usage(**given)


def test_those_who_ask_at_once_do_not_share_the_last_dollar(bench: Bench, tmp_path: Path) -> None:
    """Eight threads over two pools, as of two processes: two of 0.02 fit into 0.05."""
    with Warehouse(bench.url, limits=PoolLimits(4)) as one, Warehouse(bench.url, limits=PoolLimits(4)) as two:
        logs = [UsageLog(one, tmp_path), UsageLog(two, tmp_path)]

        def reserve(number: int) -> bool:
            try:
                return logs[number % 2].reserve(usage(), "free", Decimal("0.02"))
            except BudgetExceededError:
                return False

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(reserve, range(8))) == 2


@pytest.mark.usefixtures("nothing_told")
def test_an_entry_waits_on_disk_while_its_home_is_out_of_reach(
    bench: Bench, ask: Ask, tmp_path: Path, gateway: Gateway
) -> None:
    bench.route("far", "openai", "far", output_price=200, input_price=0)
    asked = ask("far", user_id="01FAR", tier="free")
    away = "postgresql://127.0.0.1:9/x"
    limits = PoolLimits(2, wait_seconds=0.3, connect_seconds=1)
    with (
        Warehouse(bench.url, place="offsite", peer_url=away, limits=limits) as warehouse,
        bench.gateway(warehouse, tmp_path / "spool") as cut_off,
    ):
        bench.order("one", "word " * 99 + "end")
        assert cut_off.complete(asked).text == "one"
        cut_off.complete(asked)
        # What waits counts: 0.0002 and 0.02 of 0.05, and 0.02 may come.
        bench.order("word " * 99 + "end")
        cut_off.complete(asked)
        with pytest.raises(BudgetExceededError, match=r"0.0402 are"):
            cut_off.complete(asked)
        assert cut_off.usage.deliver() == 3
    assert bench.outcomes("far") == [] and len(list((tmp_path / "spool").iterdir())) == 3
    # Delivered with the next entry that gets through, each once.
    bench.order("again")
    copies = {path.name: path.read_bytes() for path in (tmp_path / "spool").iterdir()}
    gateway.complete(ask("far"))
    assert bench.outcomes("far") == ["ok"] * 4 and not list((tmp_path / "spool").iterdir())
    for name, data in copies.items():
        (tmp_path / "spool" / name).write_bytes(data)
    assert gateway.usage.deliver() == 0 and bench.outcomes("far") == ["ok"] * 4


def test_where_the_home_is_not_even_known_the_entry_is_among_the_misrouted(
    bench: Bench, ask: Ask, tmp_path: Path
) -> None:
    bench.route("lost", "openai", "lost")
    bench.order("still answered")
    with Warehouse(bench.url, place="offsite") as warehouse, bench.gateway(warehouse, tmp_path) as gateway:
        assert gateway.complete(ask("lost", user_id="01LOST", tier="free")).text == "still answered"
    assert bench.outcomes("lost") == []
    (row,) = bench.sql("SELECT * FROM misrouted_writes WHERE delivered_at IS NULL")
    assert (row["table_name"], row["home"]) == ("llm_usage_log", "aws") and SECRET not in row["statement"]
    (found,) = misrouted.recover(bench.url, bench.url, "offsite")
    assert found.outcome == "delivered" and bench.outcomes("lost") == ["ok"]


def test_a_database_that_is_away_is_a_refusal_and_a_deadline_ends_all(
    bench: Bench, gateway: Gateway, ask: Ask, tmp_path: Path
) -> None:
    nowhere = Warehouse("postgresql://127.0.0.1:9/x", limits=PoolLimits(1, wait_seconds=0.2, connect_seconds=1))
    with nowhere, Gateway(nowhere, KEYS.get, tmp_path) as cut_off, pytest.raises(NoRouteError, match="cannot be read"):
        cut_off.complete(ask("any"))
    bench.route("slow", "openai", "slow", attempts=5)
    bench.order(*[HANG] * 5)
    with pytest.raises(RoutesFailedError):
        gateway.complete(ask("slow", deadline_seconds=0.5))
    assert bench.logged("slow")[0]["latency_ms"] < 4000
    assert bench.outcomes("slow") == ["timeout"] and bench.calls() == 1


def test_the_clients_do_not_log_requests_even_where_all_is_logged(gateway: Gateway, bench: Bench, ask: Ask) -> None:
    bench.route("loud", "openai", "loud")
    for name in ("openai", "anthropic"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    gateway.complete(ask("loud"))
    assert [logging.getLogger(name).level for name in ("openai", "anthropic")] == [logging.WARNING] * 2


def test_the_page_states_the_table_of_failures() -> None:
    rows = re.findall(
        r"^\| (`.+`) \|.*\| (again, then the next route|the next route|the end)\b", PAGE.read_text(), re.M
    )
    then = {"again, then the next route": "again", "the next route": "next", "the end": "end"}
    stated = {outcome.strip("` "): then[said] for names, said in rows for outcome in names.split(",")}
    assert stated == dict(FAILURES)


def test_the_log_is_frozen(bench: Bench) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="frozen"):
        bench.sql("UPDATE llm_usage_log SET cost = 0")
