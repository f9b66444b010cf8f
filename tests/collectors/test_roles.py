"""Roles, notices of sale and the current feed over the real replay server, recorded and simulated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from signaldelta_assets.collectors import (
    CollectorRunReport,
    UniverseEntity,
    UpstreamError,
    Window,
    parse_universe,
    registered_collectors,
    run_collector,
)
from signaldelta_assets.collectors.edgar import (
    CurrentFeedCollector,
    Form8KCollector,
    Form144Collector,
    OwnershipCollector,
    RolesCollector,
)
from signaldelta_assets.collectors.edgar.current import _read_back_to
from signaldelta_assets.collectors.edgar.parsers import CurrentEntry, parse_current_feed
from signaldelta_assets.contracts import Security, SecurityContext
from signaldelta_assets.errors import RecordError
from signaldelta_assets.extractors import run_extractor
from signaldelta_assets.extractors.frames import first_available, prepare
from signaldelta_assets.replay.recorded import RecordedArchive
from signaldelta_assets.replay.server import ReplayServer
from signaldelta_assets.replay.simulated import SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import quarantine, raw
from tests.collectors.conftest import Run, rows_of, settings_for
from tests.extractors.make import at, definitions, record, run
from tests.paths import needs_data

postgres = pytest.mark.postgres


# --- S011


def role(form: str, percent: str | None = None, filers: tuple[str, ...] = ("9",), **more: Any) -> dict[str, Any]:
    payload = {"accession": "a-1", "form": form, "filers": [{"cik": cik, "name": "X"} for cik in filers],
               "percent": percent}  # fmt: skip
    return record("filing_role", more.pop("key", "a-1"), at("2026-01-09 22:25"), payload, form=form, **more)


@pytest.mark.parametrize(
    ("form", "percent", "strength"),
    [
        ("SC 13D", None, 0.7),
        ("SCHEDULE 13D", None, 0.7),
        ("SCHEDULE 13D", "5.0", 0.25),
        ("SCHEDULE 13D", "12.5", 0.625),
        ("SCHEDULE 13D", "9.9", 0.495),
        ("SCHEDULE 13D", "20", 1.0),
        ("SCHEDULE 13D", "87.28", 1.0),
        ("SCHEDULE 13D", "4.9", 0.25),
    ],
)
def test_an_initial_13d_fires_on_its_subject(form: str, percent: str | None, strength: float) -> None:
    (event,) = run("S011", [role(form, percent)]).events
    assert event.strength_norm == strength
    assert (event.direction, event.reliability, event.family) == (1, 0.9, "F02")
    assert event.key == (event.entity_id, "a-1")
    assert event.attributes == {"form": form, "percent": percent, "filers": ["9"]}


@pytest.mark.parametrize(
    ("form", "filers", "reason"),
    [
        ("SC 13D/A", ("9",), "amendment"),
        ("SCHEDULE 13D/A", ("9",), "amendment"),
        ("SCHEDULE 13G", ("9",), "form_of_another_kind"),
        ("SC TO-T", ("9",), "form_of_another_kind"),
        ("SCHEDULE 13D", (), "filed_by_the_subject"),
    ],
)
def test_nothing_else_fires_and_each_is_counted(form: str, filers: tuple[str, ...], reason: str) -> None:
    made = run("S011", [role(form, "9.9", filers)])
    assert made.events == [] and made.counts == {reason: 1}


def test_a_filing_seen_twice_is_one_event() -> None:
    """First in the feed, later by its document: what was known first stands, unless a later reading replaces it."""
    seen = role("SCHEDULE 13D", mode="live", observed=at("2026-01-09 22:30"))
    read = role("SCHEDULE 13D", "9.9", mode="live", observed=at("2026-01-09 22:50"))
    made = run("S011", [read, seen])
    assert [event.strength_norm for event in made.events] == [0.7] and made.counts == {"later_observation": 1}


# --- how far back the feed is read

DAYS = Window(date(2026, 1, 5), date(2026, 1, 12))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-01-{text}:00-05:00").astimezone(UTC)


@pytest.mark.parametrize(
    ("last", "now", "oldest"),
    [
        # During a day: half an hour before the last reading.
        ("08T10:00", "08T10:05", "08T09:30"),
        ("08T21:55", "08T22:00", "08T21:25"),
        # Across an opening: everything since the cut-off before it.
        ("08T21:55", "09T06:00", "08T17:30"),
        ("09T05:50", "09T06:05", "08T17:30"),
        ("09T06:20", "09T06:25", "08T17:30"),
        ("09T06:31", "09T06:35", "09T06:01"),
        # Across a weekend, and across a day that was left out.
        ("09T21:55", "12T06:10", "09T17:30"),
        ("07T12:00", "09T12:00", "07T11:30"),
    ],
)
def test_what_may_have_come_in_since_is_read_again(last: str, now: str, oldest: str) -> None:
    assert _read_back_to(DAYS, moment(last), moment(now)) == moment(oldest)


def test_a_feed_never_read_is_read_to_the_first_day_of_the_window() -> None:
    assert _read_back_to(DAYS, None, moment("08T10:00")) == datetime(2026, 1, 5, tzinfo=UTC)
    early = Window(date(2026, 1, 9), date(2026, 1, 9))
    assert _read_back_to(early, moment("05T10:00"), moment("09T10:00")) == datetime(2026, 1, 9, tzinfo=UTC)


# --- the recorded archive


@pytest.fixture
def warehouse(fresh_postgres_url: str) -> Iterator[Warehouse]:
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


def records(warehouse: Warehouse, source: str) -> list[dict[str, Any]]:
    columns = "entity_id, natural_key, form, event_time, payload, body_hash, source_url, collector, source_type"
    return [row for row in rows_of(warehouse, "raw_records", columns, "natural_key, entity_id")
            if row["source_type"] == source]  # fmt: skip


# Just after the newest of the pages of January 2026 that hold all forms.
ON_FEED = datetime(2026, 1, 12, 16, tzinfo=UTC)


@postgres
@needs_data
@pytest.mark.archive
def test_the_recorded_feed_gives_entries_and_roles_and_s011(run: Run, warehouse: Warehouse) -> None:
    subject = "0001840502"
    universe = (
        UniverseEntity(subject, "Taboola.com Ltd.", ("TBLA",)),
        UniverseEntity("0000035527", "FIFTH THIRD BANCORP", ("FITB",)),
        UniverseEntity("0001673743", "Hinge Health, Inc.", ("HNGE",)),
    )
    window = (date(2026, 1, 9), date(2026, 1, 12))
    report = run("edgar/current", *window, universe=universe, fixed_clock=ON_FEED)
    counts = report.counts
    entries = records(warehouse, "current_entry")
    assert counts["records_quarantined"] == 0 and {row["entity_id"] for row in entries} >= {subject}
    # Every entry is a record, or has its reason.
    reasons = ("entries_repeated", "outside_window", "not_in_universe")
    assert counts["entries_read"] == sum(counts[reason] for reason in reasons) + len(entries)
    assert counts["entries_read"] >= 2_500 and counts["roles_from_feed"] == counts["roles_found"] >= 1
    # No submission of these was recorded: the one initial 13D, without a percentage.
    frame = raw.read_raw(warehouse, ["filing_role"], *window)
    context = SecurityContext({str(one): Security(str(one), str(one)) for one in frame["entity_id"].unique()})
    made = run_extractor("S011", frame, context, definitions(), window[0], window[1] + timedelta(days=1))
    (event,) = made.events
    assert event.key == (subject, "0001140361-26-000751") and event.strength_norm == 0.7
    assert event.event_time == datetime(2026, 1, 9, 1, 35, 21, tzinfo=UTC)
    again = run("edgar/current", *window, universe=universe, fixed_clock=ON_FEED)
    assert again.records_written == 0 and again.counts["requests"] == again.counts["not_modified"] == 1


@postgres
@needs_data
@pytest.mark.archive
def test_recorded_headers_are_found_by_the_daily_index_and_stand_under_their_subject(
    run: Run, warehouse: Warehouse
) -> None:
    """JPMorgan filed about Vicor: with the filer alone in the universe the record is Vicor's all the same."""
    universe = (UniverseEntity("0000019617", "JPMORGAN CHASE & CO", ("JPM",)),
                UniverseEntity("0001083839", "Nuveen Quality Municipal Income Fund"))  # fmt: skip
    run("edgar/daily_index", date(2024, 12, 3), date(2024, 12, 17), universe=universe)
    report = run("edgar/roles", date(2024, 12, 4), date(2024, 12, 11), universe=universe)
    found = records(warehouse, "filing_role")
    assert [(row["entity_id"], row["form"], row["payload"]["filers"][0]["cik"]) for row in found] == [
        ("0000751978", "SC 13G/A", "0000019617"),
        ("0001083839", "SC 13D/A", "0000072971"),
    ]
    assert [row["event_time"] for row in found] == [
        datetime(2024, 12, 4, 19, 38, 58, tzinfo=UTC),
        datetime(2024, 12, 11, 15, 47, 38, tzinfo=UTC),
    ]
    assert report.counts["subjects_not_followed"] == 1
    assert run("edgar/roles", date(2024, 12, 4), date(2024, 12, 11), universe=universe).counts["filings_known"] == 2


@postgres
@needs_data
@pytest.mark.archive
def test_a_site_under_maintenance_is_no_end_of_the_feed(
    run: Run, clean_replay: ReplayServer, warehouse: Warehouse
) -> None:
    rule = {"path": "browse-edgar", "kind": "status", "status": 503}
    httpx.post(f"{clean_replay.url}/__replay__/faults", json=rule)
    with pytest.raises(UpstreamError, match="browse-edgar"):
        run("edgar/current", date(2026, 1, 8), date(2026, 1, 12), fixed_clock=ON_FEED)
    httpx.delete(f"{clean_replay.url}/__replay__/faults")
    (row,) = rows_of(warehouse, "collector_runs", "status, counts", "collector_run_id")
    assert row["status"] == "failed" and "feed_read_at" not in row["counts"]


@postgres
def test_a_page_for_people_in_place_of_the_first_page_fails_the_run(
    warehouse: Warehouse, tmp_path: Path, no_limit: None
) -> None:
    folder = tmp_path / "data/sec/atom_getcurrent"
    folder.mkdir(parents=True)
    (folder / "getcurrent_type-all_start-0000.atom").write_text("<html>This page is temporarily unavailable.</html>")
    with ReplayServer(RecordedArchive(tmp_path / "data")) as server, pytest.raises(UpstreamError, match="unavailable"):
        run_collector(
            registered_collectors()["edgar/current"],
            warehouse,
            ArtifactStore(tmp_path / "archive"),
            settings_for(server.url, fixed_clock=ON_FEED),
            Window(date(2026, 1, 8), date(2026, 1, 12)),
            universe=(),
            sleep=lambda seconds: None,
        )


# --- the simulated archive

PLAN = SimulationPlan(seed=7, entities=40, days=130, pools=1, end=date(2025, 5, 2))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedArchive:
    root = tmp_path_factory.mktemp("outsiders") / "archive"
    simulate(PLAN, root)
    return SimulatedArchive(root)


@pytest.fixture(scope="module")
def simulated_server(simulated: SimulatedArchive) -> Iterator[ReplayServer]:
    with ReplayServer(simulated) as server:
        yield server


@pytest.fixture
def collect(
    warehouse: Warehouse, simulated: SimulatedArchive, simulated_server: ReplayServer, tmp_path: Path, no_limit: None
) -> Any:
    """`collect(name, start, end)`: run a collector over the simulated archive and its whole universe."""
    bodies = ArtifactStore(tmp_path / "archive")
    cast = simulated.universe()["entities"]
    universe = parse_universe([{"cik": row["cik"], "name": row["name"], "tickers": row["tickers"]} for row in cast
                               if row["name"]])  # fmt: skip

    def go(
        name: str,
        start: date = PLAN.start,
        end: date = PLAN.end,
        *,
        only: frozenset[str] | None = None,
        again: bool = False,
        **more: Any,
    ) -> CollectorRunReport:
        return run_collector(
            registered_collectors()[name],
            warehouse,
            bodies,
            settings_for(simulated_server.url, **more),
            Window(start, end),
            universe=tuple(entity for entity in universe if only is None or entity.cik in only),
            sleep=lambda seconds: None,
            again=again,
        )

    return go


def planted(simulated: SimulatedArchive, signal: str, only: frozenset[str]) -> set[tuple[str, datetime]]:
    return {
        (row["entity"], datetime.fromisoformat(row["signal_time"]))
        for row in simulated.plan["noise"]
        if row["signal"] == signal and row["entity"] in only
    }


def held(warehouse: Warehouse, start: date) -> tuple[pd.DataFrame, SecurityContext]:
    """Return the roles held since `start`, and their entities."""
    frame = raw.read_raw(warehouse, ["filing_role"], start, PLAN.end)
    return frame, SecurityContext({str(one): Security(str(one), str(one)) for one in frame["entity_id"].unique()})


@postgres
def test_simulated_roles_notices_and_s011_are_those_of_the_plan(
    collect: Any, warehouse: Warehouse, simulated: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for collector in (RolesCollector, Form144Collector):
        monkeypatch.setattr(collector, "daily_index", False)
    # Companies with the rarer filings, among them enough of the others.
    rare = ("S011", "S012", "S038")
    only = frozenset(row["entity"] for row in simulated.plan["noise"] if row["signal"] in rare)
    collect("edgar/submissions", only=only)
    roles, notices = collect("edgar/roles", only=only), collect("edgar/form_144", only=only)
    assert roles.records_quarantined == notices.records_quarantined == 0
    expected = {"SCHEDULE 13D": "S011", "SCHEDULE 13D/A": "S012", "SCHEDULE 13G": "S013", "SC TO-T": "S038"}
    for form, signal in expected.items():
        found = {(row["entity_id"], row["event_time"]) for row in records(warehouse, "filing_role")
                 if row["form"] == form}  # fmt: skip
        assert found == planted(simulated, signal, only) != set(), form
    sold = records(warehouse, "form_144")
    assert {(row["entity_id"], row["event_time"]) for row in sold} == planted(simulated, "S009", only) != set()
    assert {len(row["payload"]["reporting_owners"]) for row in sold} == {1}
    made = run_extractor("S011", *held(warehouse, PLAN.start), definitions(), PLAN.start, PLAN.end + timedelta(days=1))
    assert {(event.entity_id, event.event_time) for event in made.events} == planted(simulated, "S011", only)
    assert all(event.attributes["percent"] is not None for event in made.events)
    assert collect("edgar/roles", only=only).records_written == 0


# Within what the feed shows: the seven days before the newest filing.
LAST = (PLAN.end - timedelta(days=5), PLAN.end)


@postgres
def test_the_simulated_feed_and_the_headers_give_the_same_roles(
    collect: Any, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With three entries a page the sides of a filing are on different pages; the records do not tell."""
    monkeypatch.setattr("signaldelta_assets.collectors.edgar.current._COUNT", 3)
    monkeypatch.setattr("signaldelta_assets.collectors.edgar.current._MOST_PAGES", 400)
    report = collect("edgar/current", *LAST)
    first = records(warehouse, "filing_role")
    assert report.counts["roles_from_header"] == len(first) > 0
    headers = collect("edgar/roles", *LAST)
    assert headers.records_written == 0 and records(warehouse, "filing_role") == first


@postgres
def test_without_their_texts_roles_come_from_the_feed_and_give_way_to_the_header(
    collect: Any, warehouse: Warehouse, simulated_server: ReplayServer
) -> None:
    absent = {"path": r"Archives/edgar/data/.*\.txt", "kind": "status", "status": 404}
    httpx.post(f"{simulated_server.url}/__replay__/faults", json=absent)
    try:
        report = collect("edgar/current", *LAST)
    finally:
        httpx.delete(f"{simulated_server.url}/__replay__/faults")
    seen = records(warehouse, "filing_role")
    assert report.counts["roles_from_feed"] == len(seen) > 0
    assert all(row["payload"]["percent"] is None and "getcurrent" in row["source_url"] for row in seen)
    # Absent a moment ago: asked for at once here, half an hour later by itself.
    collect("edgar/roles", *LAST, again=True)
    # The feed does not write again what the header has said.
    assert collect("edgar/current", *LAST).counts["roles_known"] == len(seen)
    structured = sum(row["form"].startswith("SCHEDULE") for row in seen)
    frame, context = held(warehouse, LAST[0])
    assert len(frame) == len(seen) + structured and structured > 0
    ready = prepare(frame, definitions().availability_basis, ["filing_role"], context, *LAST, Counter())
    kept = first_available(ready, Counter())
    assert len(kept) == len(seen)
    assert all(row.payload["percent"] for row in kept.itertuples() if row.form.startswith("SCHEDULE"))


@postgres
def test_document_collectors_find_what_the_feed_announced(
    collect: Any, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any submissions list has it, and without the daily index."""
    for collector in (Form8KCollector, OwnershipCollector):
        monkeypatch.setattr(collector, "daily_index", False)
    assert collect("edgar/form_8k", *LAST).records_written == 0
    collect("edgar/current", *LAST)
    for name, source, form in (("edgar/form_8k", "form_8k", "8-K"), ("edgar/ownership", "ownership", "4")):
        collect(name, *LAST)
        announced = {row["payload"]["accession"]: row["event_time"] for row in records(warehouse, "current_entry")
                     if row["form"] == form}  # fmt: skip
        assert {row["natural_key"]: row["event_time"] for row in records(warehouse, source)} == announced
        assert collect(name, *LAST).records_written == 0
    assert records(warehouse, "form_8k")


@postgres
def test_a_second_reading_stops_at_what_is_known(collect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaldelta_assets.collectors.edgar.current._COUNT", 10)
    window = (PLAN.end - timedelta(days=8), PLAN.end + timedelta(days=1))
    noon = datetime(PLAN.end.year, PLAN.end.month, PLAN.end.day, 16, tzinfo=UTC) + timedelta(days=1)
    first = collect("edgar/current", *window, fixed_clock=noon)
    second = collect("edgar/current", *window, fixed_clock=noon + timedelta(minutes=5))
    assert second.counts["entries_read"] == 10 < first.counts["entries_read"] and second.records_written == 0
    # A window that reaches further back was not read through by either.
    wider = collect("edgar/current", window[0] - timedelta(days=1), window[1], fixed_clock=noon + timedelta(minutes=9))
    assert wider.counts["entries_read"] >= first.counts["entries_read"]


@postgres
def test_a_refused_entry_stands_until_it_is_read_and_not_until_the_feed_has_moved_on(
    collect: Any, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaldelta_assets.collectors.edgar.current._COUNT", 4)
    window = (PLAN.end - timedelta(days=8), PLAN.end + timedelta(days=1))
    noon = datetime(PLAN.end.year, PLAN.end.month, PLAN.end.day, 16, tzinfo=UTC) + timedelta(days=1)

    def standing() -> set[str]:
        with warehouse.read_pool().connection() as connection:
            return {row["record"] for row in quarantine.page(connection, "edgar/current", open_only=True)}

    with monkeypatch.context() as patch:
        refused: set[str] = set()

        def picky(body: bytes, page: str) -> Iterator[CurrentEntry | RecordError]:
            for entry in parse_current_feed(body, page):
                # Later readings do not come to the second page.
                if isinstance(entry, CurrentEntry) and page == "getcurrent:4":
                    refused.add(entry.accession)
                    yield RecordError(entry.accession, "title", "a title")
                else:
                    yield entry

        patch.setattr("signaldelta_assets.collectors.edgar.current.parse_current_feed", picky)
        # Every entry of a page is refused: that is no end of the feed.
        counts = collect("edgar/current", *window, fixed_clock=noon).counts
    assert refused and standing() == refused
    assert counts["entries_read"] > 4
    second = collect("edgar/current", *window, fixed_clock=noon + timedelta(minutes=5))
    assert second.counts["entries_read"] == 4 and second.counts["refusals_resolved"] == 0
    assert standing() == refused
    # Read again to the same depth, without a refusal.
    collect("edgar/current", window[0] - timedelta(days=1), window[1], fixed_clock=noon + timedelta(minutes=9))
    assert standing() == set()


def test_the_feed_is_read_every_few_minutes_of_edgars_hours() -> None:
    assert str(CurrentFeedCollector.schedule) == "*/5 6-22 * * 1-5 America/New_York"
    assert Counter(name for name, one in registered_collectors().items() if "edgar/current" in one.after) == {
        "edgar/form_144": 1, "edgar/form_8k": 1, "edgar/ownership": 1, "edgar/roles": 1,
    }  # fmt: skip
