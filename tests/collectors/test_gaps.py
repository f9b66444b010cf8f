"""Completeness: announced against held, by value; and gaps fetched, exactly those, over the server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from signaldelta_assets.cli.main import app
from signaldelta_assets.collectors import Window, parse_universe, registered_collectors, run_collector
from signaldelta_assets.collectors.gaps import (
    Announced,
    Gap,
    backfill_gaps,
    counts_by_day,
    day_ranges,
    find_gaps,
    reconcile,
    takers_of_forms,
    wanted_window,
)
from signaldelta_assets.replay import ReplayServer, SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.timeline import NEW_YORK, is_edgar_business_day
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.collectors.conftest import rows_of, settings_for

PLAN = SimulationPlan(seed=3, entities=2, days=130, pools=1)
MONDAY, TUESDAY = date(2024, 2, 5), date(2024, 2, 6)
TAKERS = {"8-K": ["edgar/form_8k"], "4": ["edgar/ownership"]}


def filing(number: int, form: str = "8-K", entity: str = "A", **more: Any) -> Announced:
    values: dict[str, Any] = {"day": MONDAY, "filed": MONDAY, "indexed": True, "listed": True}
    return Announced(f"0000000001-24-{number:06d}", form, entity, **(values | more))


def kinds(announced: list[Announced], **more: Any) -> list[tuple[str, str, str | None]]:
    values: dict[str, Any] = {"held": {}, "refused": {}, "absent": (), "unlisted": (), "indexes": {MONDAY: True}}
    found = reconcile(announced, TAKERS, **(values | more))
    return [(gap.kind, gap.collector, gap.entity_id) for gap in found]


def test_what_is_announced_and_held_is_no_gap() -> None:
    one = filing(1)
    assert kinds([one], held={"edgar/form_8k": {one.accession}}) == []
    # A form that no collector holds whole is announced, listed, and no document.
    assert kinds([filing(2, "10-K")]) == []


def test_every_kind_by_value() -> None:
    one = filing(1)
    assert kinds([one]) == [("document_missing", "edgar/form_8k", "A")]
    assert kinds([one], absent={one.accession}) == [("document_absent", "edgar/form_8k", "A")]
    refused = {"edgar/form_8k": {one.accession: "items: expected some"}}
    assert kinds([one], refused=refused, absent={one.accession}) == [("quarantined", "edgar/form_8k", "A")]
    unlisted = filing(2, "10-K", listed=False)
    assert kinds([unlisted]) == [("not_listed", "edgar/submissions", "A")]
    assert kinds([unlisted], unlisted={"A"}) == [("list_absent", "edgar/submissions", "A")]
    refused = {"edgar/submissions": {unlisted.accession: "acceptanceDateTime: expected a clock"}}
    assert kinds([unlisted], refused=refused) == [("quarantined", "edgar/submissions", "A")]
    alone = filing(3, "10-K", indexed=False)
    assert kinds([alone]) == [("not_announced", "edgar/daily_index", "A")]
    # Nothing can be said of a day whose index was not read.
    assert kinds([alone], indexes={MONDAY: None}) == [("index_unread", "edgar/daily_index", None)]
    assert kinds([], indexes={MONDAY: False}) == [("index_absent", "edgar/daily_index", None)]


def test_a_document_is_one_gap_whoever_it_is_announced_for() -> None:
    both = [filing(1, "4", "B"), filing(1, "4", "A")]
    assert kinds(both) == [("document_missing", "edgar/ownership", "A")]
    assert kinds(list(reversed(both))) == [("document_missing", "edgar/ownership", "A")]
    # Each entity has a list of its own.
    assert len(kinds([filing(1, "10-K", "A", listed=False), filing(1, "10-K", "B", listed=False)])) == 2


def test_counts_and_ranges() -> None:
    gaps = [
        Gap("document_missing", MONDAY, "c"),
        Gap("document_missing", MONDAY, "c", "x"),
        Gap("quarantined", TUESDAY, "c"),
    ]
    assert counts_by_day(gaps) == {(MONDAY, "c", "document_missing"): 2, (TUESDAY, "c", "quarantined"): 1}
    friday, wednesday = date(2024, 2, 2), date(2024, 2, 7)
    assert day_ranges([MONDAY, friday, wednesday]) == [Window(friday, MONDAY), Window(wednesday, wednesday)]


def test_every_collector_of_documents_says_which_forms_it_holds() -> None:
    takers = takers_of_forms(registered_collectors())
    assert takers["4/A"] == ["edgar/ownership"] and takers["8-K"] == ["edgar/form_8k"]


def test_what_is_released_late_is_looked_for_up_to_the_day_of_its_index() -> None:
    """Filed on one day by its header, accepted and announced weeks after it: the list has it on the later day."""
    late = Gap("document_missing", date(2024, 3, 8), "c", "x", "144", "A", filed=date(2024, 1, 5))
    window = wanted_window([late])
    assert date(2023, 12, 30) in window and date(2024, 3, 8) in window


# --- over the server --------------------------------------------------------------------------------------------


@pytest.fixture
def warehouse(fresh_postgres_url: str) -> Iterator[Warehouse]:
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplayServer]:
    root = tmp_path_factory.mktemp("simulated") / "archive"
    simulate(PLAN, root)
    with ReplayServer(SimulatedArchive(root)) as running:
        yield running


@pytest.fixture
def faults(server: ReplayServer) -> Iterator[Callable[[dict[str, Any] | None], None]]:
    """Sets one fault, or none; the log is emptied too."""

    def put(rule: dict[str, Any] | None) -> None:
        httpx.delete(f"{server.url}/__replay__/faults")
        httpx.delete(f"{server.url}/__replay__/log")
        if rule is not None:
            assert httpx.post(f"{server.url}/__replay__/faults", json=rule).status_code == 201

    put(None)
    yield put
    put(None)


def log(server: ReplayServer, path: str = "") -> list[str]:
    answer = httpx.get(f"{server.url}/__replay__/log", params={"path": path}).json()
    return [entry["path"] for entry in answer["entries"]]


@pytest.mark.postgres
def test_gaps_are_found_fetched_and_gone(
    warehouse: Warehouse, archive: ArtifactStore, server: ReplayServer, faults: Any, no_limit: None
) -> None:
    universe = parse_universe(httpx.get(f"{server.url}/__replay__/universe").json()["entities"])
    window = Window(PLAN.end - timedelta(days=45), PLAN.end)
    settings = settings_for(server.url)

    def collect(name: str, days: Window = window) -> Any:
        return run_collector(
            registered_collectors()[name], warehouse, archive, settings, days, universe=universe,
            sleep=lambda seconds: None,
        )  # fmt: skip

    def fill(again: bool = False) -> Any:
        return backfill_gaps(warehouse, archive, settings, window, universe, again=again)

    def open_kinds() -> Counter[str]:
        return Counter(gap.kind for gap in find_gaps(warehouse, window) if gap.open)

    # Nothing collected: every index is unread, and the backfill leads from there to everything else.
    assert set(open_kinds()) == {"index_unread"}
    faults({"path": r"edgar/data/\d+/\d{17}6/", "kind": "status", "status": 404})
    done = fill()
    assert not [gap for gap in done.after if gap.open]
    held = {row["natural_key"] for row in rows_of(warehouse, "raw_records", "*", "natural_key")}
    absent = {gap.accession for gap in done.after if gap.kind == "document_absent"}
    assert absent and absent.isdisjoint({key for key in held if "|" not in key and _is_document(warehouse, key)})
    before = rows_of(warehouse, "raw_records", "raw_record_id", "raw_record_id")

    # What the upstream does not have is not asked for again, by a collector or a backfill ...
    faults(None)
    assert fill().reports == []
    known = sum(collect(name).counts.get("known_absent", 0) for name in ("edgar/form_8k", "edgar/ownership"))
    assert known >= len(absent) and log(server, r"\.(txt|xml)$") == []
    assert rows_of(warehouse, "raw_records", "raw_record_id", "raw_record_id") == before
    # ... but on demand it is, and nothing else.
    found = fill(again=True)
    asked = {path.rsplit("/", 1)[-1] for path in log(server, r"\.txt$")}
    assert asked == {f"{accession}.txt" for accession in absent}
    assert not [gap for gap in found.after if gap.kind == "document_absent"]
    assert not [row for row in rows_of(warehouse, "http_absences", "url", "url") if row["url"].endswith(".txt")]

    # The same as what the collectors give without any gap: ids, days and all.
    filled = rows_of(warehouse, "raw_records", "raw_record_id", "raw_record_id")
    for name in ("edgar/daily_index", "edgar/ownership", "edgar/form_8k"):
        assert collect(name).records_written == 0, name
    assert rows_of(warehouse, "raw_records", "raw_record_id", "raw_record_id") == filled


def _is_document(warehouse: Warehouse, key: str) -> bool:
    with warehouse.read_pool().connection() as connection:
        row = connection.execute(
            "SELECT 1 AS one FROM raw_records WHERE natural_key = %s AND source_type IN ('ownership', 'form_8k')",
            (key,),
        ).fetchone()
    return row is not None


@pytest.mark.postgres
def test_the_command_lists_fills_and_tells_by_its_exit_code(
    warehouse: Warehouse,
    server: ReplayServer,
    faults: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_limit: None,
) -> None:
    universe = httpx.get(f"{server.url}/__replay__/universe").json()["entities"]
    (tmp_path / "universe.json").write_text(json.dumps(universe))
    for name, value in {
        "HOME": str(tmp_path), "DATABASE_URL": warehouse.url, "UNIVERSE": str(tmp_path / "universe.json"),
        "EDGAR_WWW_URL": f"{server.url}/www.sec.gov", "EDGAR_DATA_URL": f"{server.url}/data.sec.gov",
        "POLYGON_URL": f"{server.url}/api.polygon.io", "EDGAR_CONTACT": "tests tests@example.com",
        "FIXED_CLOCK": "2026-09-01T12:00:00Z",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"SIGNALDELTA_{name}", value)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["collectors", *arguments])

    days = ["--from", str(PLAN.end.replace(day=1)), "--to", str(PLAN.end)]
    listed = run("gaps", *days, "--json")
    assert listed.exit_code == 1, listed.output
    assert {row["kind"] for row in json.loads(listed.stdout)["counts"]} == {"index_unread"}
    filled = run("backfill-gaps", *days)
    assert filled.exit_code == 0, filled.output
    assert "0 after" in filled.stdout
    assert run("gaps", *days).exit_code == 0
    feeds = {row["source_type"]: row for row in json.loads(run("feeds", "--json").stdout)}
    assert feeds["index_entry"]["records"] > 0 and feeds["index_entry"]["refused"] == 0
    state = json.loads(run("status", "--json").stdout)
    assert {row["collector"]: row["state"] for row in state["collectors"]}["edgar/daily_index"] == "complete"
    assert "polygon/earnings" in state["never_run"]
    assert json.loads(run("quarantine", "--open", "--json").stdout) == []
    for command in ("status", "feeds", "quarantine"):
        shown = run(command)
        assert shown.exit_code == 0 and shown.stdout.strip(), shown.output
    unknown = run("gaps", *days, "--collector", "edgar/nothing")
    assert unknown.exit_code == 2 and "edgar/form_8k" in unknown.stderr


@pytest.mark.postgres
def test_an_index_read_while_it_grew_is_not_read(
    warehouse: Warehouse, archive: ArtifactStore, server: ReplayServer, faults: Any, no_limit: None
) -> None:
    """A collector that read it in the morning and was down since: what was announced later would never be missed."""
    universe = parse_universe(httpx.get(f"{server.url}/__replay__/universe").json()["entities"])
    day = PLAN.end
    while not is_edgar_business_day(day):
        day -= timedelta(days=1)
    closing = datetime.combine(day, time(22), NEW_YORK)

    def collect(at: datetime) -> list[str]:
        settings = settings_for(server.url, fixed_clock=at)
        run_collector(
            registered_collectors()["edgar/daily_index"], warehouse, archive, settings, Window(day, day),
            universe=universe, sleep=lambda seconds: None,
        )  # fmt: skip
        return [gap.kind for gap in find_gaps(warehouse, Window(day, day), ["edgar/daily_index"]) if gap.open]

    assert collect(closing - timedelta(hours=12)) == ["index_unread"]
    assert collect(closing + timedelta(minutes=10)) == []


@pytest.mark.postgres
def test_an_upstream_that_is_down_keeps_nothing_else_away(
    warehouse: Warehouse, archive: ArtifactStore, server: ReplayServer, faults: Any, no_limit: None
) -> None:
    universe = parse_universe(httpx.get(f"{server.url}/__replay__/universe").json()["entities"])
    window = Window(PLAN.start, PLAN.end)
    # Failures in a row: the collector gives up with the upstream's error, and has no report.
    faults({"path": r"\.txt$", "kind": "status", "status": 400})
    done = backfill_gaps(warehouse, archive, settings_for(server.url), window, universe)
    assert {report.collector for report in done.reports} >= {"edgar/daily_index", "edgar/submissions"}
    assert {error.split(":")[0] for error in done.errors} >= {"edgar/form_8k", "edgar/ownership"}
    assert "document_missing" in {gap.kind for gap in done.after if gap.open}
