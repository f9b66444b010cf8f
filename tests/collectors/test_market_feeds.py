"""The market collectors over the replay server and a real PostgreSQL: whom each record is given to, and when it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from signaldelta_assets.collectors import UniverseEntity, Window, registered_collectors, run_collector
from signaldelta_assets.replay import ReplayServer, SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import reference
from tests.collectors.conftest import Run, rows_of, settings_for
from tests.paths import needs_data

pytestmark = pytest.mark.postgres

PLAN = SimulationPlan(seed=5, entities=4, days=200, pools=0)
NEW_YORK = ZoneInfo("America/New_York")
META = UniverseEntity("0001326801", "Meta Platforms, Inc.", ("META",))


@pytest.fixture(scope="module")
def archive_of(tmp_path_factory: pytest.TempPathFactory) -> SimulatedArchive:
    root = tmp_path_factory.mktemp("market") / "archive"
    simulate(PLAN, root)
    return SimulatedArchive(root)


@pytest.fixture(scope="module")
def server(archive_of: SimulatedArchive) -> Iterator[ReplayServer]:
    with ReplayServer(archive_of) as running:
        yield running


@pytest.fixture
def warehouse(fresh_postgres_url: str) -> Iterator[Warehouse]:
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


@pytest.fixture
def collect(warehouse: Warehouse, archive: ArtifactStore, server: ReplayServer, no_limit: None) -> Callable[..., Any]:
    def go(name: str, start: date, end: date, universe: tuple[UniverseEntity, ...], on: Warehouse = warehouse) -> Any:
        return run_collector(
            registered_collectors()[name], on, archive, settings_for(server.url), Window(start, end),
            universe=universe, sleep=lambda seconds: None,
        )  # fmt: skip

    return go


def universe_of(archive: SimulatedArchive) -> tuple[UniverseEntity, ...]:
    """The cast, and the issuers whose tickers change with every ticker they ever had: the worst a list can be."""
    found: dict[str, set[str]] = {}
    for spell in archive.plan["listings"]:
        found.setdefault(spell["entity"], set()).add(spell["ticker"])
    changing = tuple(UniverseEntity(cik, f"Issuer {cik}", tuple(sorted(own))) for cik, own in sorted(found.items()))
    return (UniverseEntity("0009000001", "First Inc.", ("SIMAA",)), *changing)


def spells_of(archive: SimulatedArchive) -> dict[tuple[str, str], tuple[date, date]]:
    return {
        (row["entity"], row["ticker"]): (
            date.fromisoformat(row["from"]), date.fromisoformat(row["to"] or "2100-01-01"),
        )
        for row in archive.plan["listings"]
    }  # fmt: skip


def test_bars_go_to_who_had_the_ticker_on_their_day(
    collect: Callable[..., Any], warehouse: Warehouse, archive_of: SimulatedArchive
) -> None:
    universe, spells = universe_of(archive_of), spells_of(archive_of)
    collect("polygon/tickers", PLAN.start, PLAN.end, universe)
    report = collect("polygon/daily_bars", PLAN.start, PLAN.end, universe)
    found = rows_of(warehouse, "raw_records", "entity_id, payload", "raw_record_id")
    bars = [row for row in found if "session" in row["payload"]]
    changing = [row for row in bars if row["entity_id"] != "0009000001"]
    for row in changing:
        first, last = spells[row["entity_id"], row["payload"]["ticker"]]
        assert first <= date.fromisoformat(row["payload"]["session"]) < last
    counted = Counter((row["entity_id"], row["payload"]["ticker"]) for row in changing)
    assert counted.keys() == spells.keys() and min(counted.values()) > 30
    assert report.counts["ticker_dated"] == len(bars) == report.records_written
    assert report.counts.get("ticker_undated", 0) == report.records_quarantined == 0


def test_without_dates_the_universe_stands_in_and_a_shared_ticker_is_quarantined(
    collect: Callable[..., Any], archive_of: SimulatedArchive
) -> None:
    report = collect("polygon/daily_bars", PLAN.end - timedelta(days=6), PLAN.end, universe_of(archive_of))
    counts = report.counts
    # CHGB and SIMAA have one claimant each, CHGC has two.
    assert counts["ticker_undated"] == report.records_written > 0
    assert counts["ticker_ambiguous"] == report.records_quarantined == counts["ticker_undated"] // 2


def test_a_fact_is_a_record_of_its_day_and_the_master_has_all_of_them(
    collect: Callable[..., Any], warehouse: Warehouse, archive_of: SimulatedArchive
) -> None:
    universe, spells = universe_of(archive_of), spells_of(archive_of)
    collect("polygon/tickers", PLAN.start, PLAN.end, universe)
    records = rows_of(warehouse, "raw_records", "entity_id, event_time, partition_date, payload", "event_time")
    facts = {(row["entity_id"], row["payload"]["fact"]): row for row in records}
    renamed, leaving, new = (entity.entity_id for entity in universe[1:])
    assert facts.keys() == {(renamed, "ticker_change"), (leaving, "delisted"), (new, "listed")}
    change = facts[renamed, "ticker_change"]
    day = spells[renamed, "CHGB"][0]
    assert change["event_time"] == datetime.combine(day, time(0), NEW_YORK) and change["partition_date"] == day
    assert (change["payload"]["previous_ticker"], change["payload"]["ticker"]) == ("CHGA", "CHGB")
    assert change["payload"]["name"] == "Former Name Corp." and change["payload"]["type"] == "CS"
    gone = facts[leaving, "delisted"]
    assert gone["event_time"] == datetime.combine(spells[leaving, "CHGC"][1], time(0), NEW_YORK)
    held = reference.read_securities(warehouse)
    assert held[leaving].delisted_on == spells[leaving, "CHGC"][1] - timedelta(days=1)
    assert (held[new].listed_on, held[new].delisted_on) == (spells[new, "CHGC"][0], None)
    kinds = Counter(row["kind"] for row in rows_of(warehouse, "security_identifiers", "kind, source", "kind")
                    if row["source"] == "polygon/tickers")  # fmt: skip
    assert kinds == {"ticker": 5, "figi": 4, "share_class_figi": 4, "exchange": 4}
    book = reference.read_ticker_book(warehouse)
    assert book.holder("CHGC", PLAN.start).entity_id == leaving and book.holder("CHGC", PLAN.end).entity_id == new


def test_an_earlier_day_collected_later_changes_nothing_and_what_was_said_is_kept(
    collect: Callable[..., Any], warehouse: Warehouse, archive_of: SimulatedArchive
) -> None:
    universe = universe_of(archive_of)
    early = PLAN.start + timedelta(days=10)
    columns = "entity_id, kind, value, source, valid_from, valid_to, as_of, superseded_at"
    collect("polygon/tickers", early, early, universe)
    then = reference.read_ticker_book(warehouse)
    assert not then.listings.get("CHGB", ()) or not any(one.is_dated for one in then.listings["CHGB"])
    with warehouse.read_pool().connection() as connection:
        row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    collect("polygon/tickers", PLAN.end, PLAN.end, universe)
    last = rows_of(warehouse, "security_identifiers", columns, "entity_id, kind, value, source, valid_from, as_of")
    collect("polygon/tickers", early, early, universe)
    assert rows_of(
        warehouse, "security_identifiers", columns, "entity_id, kind, value, source, valid_from, as_of"
    ) == last  # fmt: skip
    renamed = universe[1].entity_id
    known = reference.read_securities(warehouse, known_as_of=row["now"])[renamed]
    assert {one.ticker for one in known.listings if one.is_dated} == {"CHGA"}
    frozen = reference.read_dated_identifiers(warehouse, [renamed], row["now"])
    assert [one["value"] for one in frozen if one["kind"] == "ticker"] == ["CHGA"]
    assert {one.ticker for one in reference.read_securities(warehouse)[renamed].listings if one.is_dated} == {
        "CHGA", "CHGB",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["polygon/tickers", "polygon/hourly_bars", "polygon/dividends"])
def test_days_together_are_the_range(
    name: str, collect: Callable[..., Any], warehouse: Warehouse, archive_of: SimulatedArchive,
    make_postgres_url: Callable[[], str],
) -> None:  # fmt: skip
    universe = universe_of(archive_of)
    day = next(
        (date.fromisoformat(row["from"]) for row in archive_of.plan["listings"] if row["ticker"] == "CHGB"), PLAN.end
    )
    if name == "polygon/dividends":
        declared = [row["declaration_date"] for row in archive_of.market.dividends() if row["ticker"] == "SIMAA"]
        day = date.fromisoformat(declared[0]) + timedelta(days=1)
    start, end = day - timedelta(days=2), day + timedelta(days=1)
    collect(name, start, end, universe)
    with Warehouse(make_postgres_url()) as other:
        for n in range((end - start).days + 1):
            one = start + timedelta(days=n)
            assert set(collect(name, one, one, universe, on=other).days) <= {one}
        columns = "raw_record_id, payload_hash, partition_date"
        whole = rows_of(warehouse, "raw_records", columns, "raw_record_id")
        assert rows_of(other, "raw_records", columns, "raw_record_id") == whole != []


def test_hours_end_when_they_end(
    collect: Callable[..., Any], warehouse: Warehouse, archive_of: SimulatedArchive
) -> None:
    start = PLAN.end - timedelta(days=10)
    report = collect("polygon/hourly_bars", start, PLAN.end, universe_of(archive_of)[:1])
    rows = rows_of(warehouse, "raw_records", "event_time, payload", "event_time")
    assert len(rows) == report.records_written > 40
    assert {row["event_time"].astimezone(NEW_YORK).hour for row in rows} == {9, 10, 11, 12, 13, 14, 15, 16, 17}
    assert all(
        row["event_time"] == datetime.fromisoformat(row["payload"]["start"]) + timedelta(hours=1) for row in rows
    )
    assert {row["payload"]["hours"] for row in rows} == {"extended", "mixed", "regular"}


def test_dividends_are_known_when_their_day_is_over(
    collect: Callable[..., Any], warehouse: Warehouse, archive_of: SimulatedArchive
) -> None:
    collect("polygon/dividends", PLAN.start, PLAN.end, universe_of(archive_of))
    rows = rows_of(warehouse, "raw_records", "event_time, payload", "event_time")
    assert len(rows) >= 2
    for row in rows:
        declared = date.fromisoformat(row["payload"]["declaration_date"])
        assert row["event_time"] == datetime.combine(declared + timedelta(days=1), time(0), NEW_YORK)
        assert row["event_time"].date() < date.fromisoformat(row["payload"]["ex_dividend_date"])


@needs_data
@pytest.mark.archive
def test_recorded_hours_of_one_issuer_under_two_tickers(run: Run, warehouse: Warehouse) -> None:
    """FB until 2022-06-10 and META after: one issuer, two downloads, on Eastern time with a wrong Z and on UTC."""
    universe = (META,)
    for start in (date(2022, 3, 10), date(2024, 3, 7)):
        run("polygon/tickers", start, start, universe)
        run("polygon/hourly_bars", start, start + timedelta(days=6), universe)
    rows = rows_of(warehouse, "raw_records", "entity_id, event_time, payload", "event_time")
    bars = [row for row in rows if "start" in row["payload"]]
    assert {row["payload"]["ticker"] for row in bars} == {"FB", "META"}
    regular = [row for row in bars if row["payload"]["ticker"] == "FB"]
    # The first bar of a day ends at ten in New York before and after the clocks change on 2022-03-13.
    first: dict[date, datetime] = {}
    for row in regular:
        local = row["event_time"].astimezone(NEW_YORK)
        first[local.date()] = min(local, first.get(local.date(), local))
    assert {(moment.hour, moment.minute) for moment in first.values()} == {(10, 0)}
    assert {moment.astimezone(UTC).hour for moment in first.values()} == {14, 15}
    facts = [row["payload"]["fact"] for row in rows if "fact" in row["payload"]]
    assert facts == []  # none of these days is one on which something happened


@needs_data
@pytest.mark.archive
def test_a_download_speaks_in_the_tickers_of_its_own_day(run: Run, warehouse: Warehouse) -> None:
    """Recorded daily bars of 2020 stand under META, a ticker which the issuer has since 2022."""
    days = date(2020, 3, 2), date(2020, 3, 6)
    run("polygon/tickers", date(2026, 1, 5), date(2026, 1, 5), (META,))
    report = run("polygon/daily_bars", *days, (META,))
    rows = rows_of(warehouse, "raw_records", "payload", "natural_key")
    assert [row["payload"]["ticker"] for row in rows if "session" in row["payload"]] == ["META"] * 5
    assert report.counts["ticker_dated"] == 5 and "ticker_not_held" not in report.counts


@needs_data
@pytest.mark.archive
def test_the_recorded_rename_is_a_fact_of_its_day(run: Run, warehouse: Warehouse) -> None:
    report = run("polygon/tickers", date(2022, 6, 6), date(2022, 6, 13), (META,))
    (row,) = rows_of(warehouse, "raw_records", "event_time, payload, source_url", "event_time")
    assert row["event_time"] == datetime(2022, 6, 11, 4, tzinfo=UTC)
    assert (row["payload"]["previous_ticker"], row["payload"]["ticker"]) == ("FB", "META")
    assert row["source_url"].startswith("https://api.polygon.io/vX/reference/tickers/BBG000MM2P62/events")
    assert report.records_quarantined == 0


def test_files_are_found(archive_of: SimulatedArchive) -> None:
    root: Path = archive_of.root
    assert {path.name for path in (root / "prices/hourly_raw_simulated").iterdir()} == {
        "SIMAA.csv", "SIMAB.csv", "SIMAC.csv", "SIMAD.csv",
    }  # fmt: skip
    assert [row["to"] is None for row in archive_of.plan["listings"]] == [False, True, False, True]
