"""S024 and S025: thresholds, periods, first-filed and last-stated values, exclusions; what the simulation planted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from signaldelta_assets.catalogue import SignalDefinitions
from signaldelta_assets.collectors.edgar.parsers import company_facts_payload, parse_company_facts, parse_main
from signaldelta_assets.contracts import Security, SecurityContext
from signaldelta_assets.errors import RecordError
from signaldelta_assets.extractors import run_extractor
from signaldelta_assets.replay import SimulationPlan, simulate
from signaldelta_assets.timeline import acceptance_times, decide_clock
from tests.extractors.make import ACME, at, definitions, facts, frame, index, record, run

CASH = "NetCashProvidedByUsedInOperatingActivities"
Stated = dict[tuple[str, str, str], float]


def year(of: int, income: float, cash: float = 100.0, assets: float | None = 1000.0) -> Stated:
    """One fiscal year's three figures; accruals are (income - cash) / assets."""
    start, end = f"{of}-01-01", f"{of}-12-31"
    values: Stated = {("NetIncomeLoss", start, end): income, (CASH, start, end): cash}
    return values if assets is None else values | {("Assets", "", end): assets}


def annual(of: int, income: float, **more: Any) -> dict[str, Any]:
    return facts(f"k-{of}", at(f"{of + 1}-02-20 15:00"), year(of, income), "10-K", **more)


FLAT = [annual(of, 100.0) for of in (2019, 2020, 2021)]


def test_a_jump_of_accruals_fires_once_with_its_scale() -> None:
    made = run("S024", [*FLAT, annual(2022, 190.0)])
    (event,) = made.events
    assert event.key == ("2022-12-31",)
    assert (event.direction, event.reliability) == (-1, 0.65)
    # A jump of 0.09: halfway from 0.03 to 0.15.
    assert event.strength_norm == 0.25 + 0.75 * 0.5
    assert event.event_time == at("2023-02-20 15:00")
    assert len(event.raw_record_ids) == 4
    assert made.counts == {"short_history": 3}


@pytest.mark.parametrize(("income", "fires"), [(129.9, False), (130.0, True), (1000.0, True)])
def test_the_threshold_of_a_jump(income: float, fires: bool) -> None:
    made = run("S024", [*FLAT, annual(2022, income)])
    assert [event.strength_norm for event in made.events] == ([0.25 if income == 130 else 1.0] if fires else [])
    assert made.counts["below_threshold"] == (not fires)


def test_three_years_before_are_needed() -> None:
    assert run("S024", [*FLAT[1:], annual(2022, 500.0)]).counts == {"short_history": 3}


def test_a_year_is_as_first_filed() -> None:
    """The next report states the flat years anew, high: the jump is measured against what was first said."""
    again = year(2019, 190.0) | year(2020, 190.0) | year(2021, 190.0)
    restated = facts("k-2021a", at("2022-06-01 15:00"), again, "10-K/A")
    (event,) = run("S024", [*FLAT, restated, annual(2022, 190.0)]).events
    assert event.attributes["jump"] == 0.09
    # And a year is news once: the amendment of the year that fired yields nothing.
    amended = facts("k-2022a", at("2023-03-01 15:00"), year(2022, 300.0), "10-K/A")
    assert len(run("S024", [*FLAT, annual(2022, 190.0), amended]).events) == 1


def test_quarters_and_odd_periods_are_no_years() -> None:
    quarter: Stated = {
        ("NetIncomeLoss", "2022-10-01", "2022-12-31"): 900.0,
        (CASH, "2022-10-01", "2022-12-31"): 0.0,
        ("Assets", "", "2022-12-31"): 1000.0,
    }
    made = run("S024", [*FLAT, facts("q", at("2023-02-20 15:00"), quarter)])
    assert made.events == [] and made.counts["no_new_year"] == 1


def test_an_older_year_that_becomes_whole_late_is_no_news() -> None:
    late = facts("s", at("2022-06-01 15:00"), year(2018, 900.0), "8-K")
    assert run("S024", [*FLAT, late]).counts == {"short_history": 3, "no_new_year": 1}


@pytest.mark.parametrize(
    ("sic", "reason"),
    [("6021", "bank_or_insurer"), ("6411", "bank_or_insurer"), (None, "industry_unknown"), ("6500", None)],
)
def test_banks_insurers_and_who_knows_are_left_out(sic: str | None, reason: str | None) -> None:
    known = SecurityContext({ACME: Security(ACME, "Acme", sic=sic)})
    records = frame([*FLAT, annual(2022, 190.0)])
    made = run_extractor("S024", records, known, definitions(), date(2023, 1, 1), date(2024, 1, 1))
    assert (len(made.events), dict(made.counts)) == ((1, {}) if reason is None else (0, {reason: 1}))


# --- S025 -------------------------------------------------------------------------------------------------------


Q = ("NetIncomeLoss", "2022-01-01", "2022-03-31")
EQUITY = ("StockholdersEquity", "", "2022-03-31")
REVENUES = ("Revenues", "2022-01-01", "2022-03-31")


def pair(before: Mapping[Any, float], after: Mapping[Any, float], *more: dict[str, Any]) -> Any:
    return run(
        "S025",
        [facts("a", at("2022-05-01 15:00"), before), facts("b", at("2023-05-01 15:00"), after), *more],
    )


def test_a_figure_stated_anew_fires() -> None:
    made = pair({Q: 100.0, REVENUES: 1000.0}, {Q: 90.0, REVENUES: 1000.0})
    (event,) = made.events
    assert event.key == ("b",) and event.event_time == at("2023-05-01 15:00")
    assert (event.direction, event.reliability) == (-1, 0.6)
    assert event.strength_norm == round(0.25 + 0.75 * (0.1 - 0.01) / 0.19, 6)
    assert event.attributes["concepts"] == ["NetIncomeLoss"] and event.attributes["income_changed"] is True
    assert len(event.raw_record_ids) == 2
    assert made.counts == {"nothing_stated_before": 1}


@pytest.mark.parametrize(
    ("before", "after", "direction", "strength"),
    [
        ({Q: -100.0}, {Q: -80.0}, 1, 1.0),
        ({Q: 100.0}, {Q: 101.0}, 1, 0.25),
        ({EQUITY: 100.0}, {EQUITY: 70.0}, -1, 0.5),
        ({REVENUES: 100.0}, {REVENUES: 70.0}, 0, 0.5),
        # Net income decides the direction, the largest change the strength.
        ({Q: 100.0, EQUITY: 100.0}, {Q: 105.0, EQUITY: 50.0}, 1, 1.0),
    ],
)
def test_direction_and_strength(before: Stated, after: Stated, direction: int, strength: float) -> None:
    (event,) = pair(before, after).events
    assert (event.direction, event.strength_norm) == (direction, strength)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({Q: 100.0}, {Q: 100.99}, "nothing_restated"),
        ({Q: 100.0}, {Q: 100_000.0}, "unit_error"),
        ({Q: 100_000.0}, {Q: 100.9}, "unit_error"),
        ({Q: 0.0}, {Q: 5.0}, "restated_from_zero"),
        ({Q: 100.0}, {("NetIncomeLoss", "2022-01-01", "2022-06-30"): 200.0}, "nothing_stated_before"),
        ({("CommonStockSharesOutstanding", "", "2022-03-31"): 1.0}, {Q: 5.0}, "nothing_stated_before"),
    ],
)
def test_what_is_no_restatement(before: Stated, after: Stated, reason: str) -> None:
    made = pair(before, after)
    assert made.events == [] and made.counts[reason] >= 1


def test_amounts_of_money_only() -> None:
    """Per-share figures and other currencies are other units: a split is no restatement."""
    records = [
        facts("a", at("2022-05-01 15:00"), {Q: 4.0}, unit="USD/shares"),
        facts("b", at("2023-05-01 15:00"), {Q: 1.0}, unit="USD/shares"),
        facts("c", at("2023-06-01 15:00"), {Q: 100.0}, unit="EUR"),
        facts("d", at("2023-07-01 15:00"), {Q: 120.0}, unit="USD"),
    ]
    assert run("S025", records).events == []


def test_a_restatement_fires_once_and_again_when_it_is_taken_back() -> None:
    values = [100.0, 80.0, 80.0, 100.0]
    records = [facts(f"q{i}", at("2022-05-01 15:00") + timedelta(days=90 * i), {Q: v}) for i, v in enumerate(values)]
    assert [event.key for event in run("S025", records).events] == [("q1",), ("q3",)]


@pytest.mark.parametrize(("days", "form", "fires"), [(90, "8-K", 0), (91, "8-K", 1), (3, "8-K/A", 0), (-1, "8-K", 1)])
def test_what_an_item_4_02_announced_is_not_silent(days: int, form: str, fires: int) -> None:
    told = index("t", at("2023-05-01 15:00") - timedelta(days=days), form, ["4.02"])
    made = pair({Q: 100.0}, {Q: 90.0}, told)
    assert len(made.events) == fires and made.counts["told_by_non_reliance"] == 1 - fires


def test_a_figure_stated_twice_in_one_filing_counts_for_nothing() -> None:
    twice = facts("a", at("2022-05-01 15:00"), {Q: 100.0})
    twice["payload"]["facts"]["us-gaap"]["NetIncomeLoss"]["USD"].append(["2022-01-01", "2022-03-31", 300.0])
    made = run("S025", [twice, facts("b", at("2023-05-01 15:00"), {Q: 90.0})])
    assert made.events == [] and made.counts["stated_twice"] == 1


def test_a_payload_without_facts_is_refused_by_name() -> None:
    with pytest.raises(RecordError, match=f"xbrl_facts:{ACME}:a: field 'facts'"):
        run("S025", [record("xbrl_facts", "a", at("2022-05-01 15:00"), {"accession": "a"}, form="10-Q")])


def test_parameters_stand_in_the_catalogue() -> None:
    """Moved thresholds move the events: nothing of them is in code."""
    document = {**definitions().document}
    document["signals"] = {name: dict(signal) for name, signal in document["signals"].items()}
    for name, changed in (("S024", {"min_jump": 0.1}), ("S025", {"min_change": 0.2})):
        document["signals"][name]["params"] = document["signals"][name]["params"] | changed
    moved, window = SignalDefinitions(document), (date(2015, 1, 1), date(2025, 1, 1))
    known = SecurityContext({ACME: Security(ACME, "Acme", sic="3571")})
    restated = [facts("a", at("2022-05-01 15:00"), {Q: 100.0}), facts("b", at("2023-05-01 15:00"), {Q: 90.0})]
    for name, records in (("S024", [*FLAT, annual(2022, 190.0)]), ("S025", restated)):
        assert len(run_extractor(name, frame(records), known, definitions(), *window).events) == 1
        assert run_extractor(name, frame(records), known, moved, *window).events == []


def test_what_the_simulation_planted_fires_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    plan = simulate(SimulationPlan(entities=60, days=400, pools=0), root)
    records, sic = [], {}
    for path in sorted((root / "sec/companyfacts/as_served").iterdir()):
        parsed = parse_company_facts(path.read_bytes(), path.name)
        assert parsed.bad == ()
        main = parse_main((root / "sec/submissions/as_served" / path.name).read_bytes(), path.name)
        rows = main.rows.assign(filing_date=main.rows["filing_date"].astype("datetime64[us]"))
        clock = decide_clock(rows[["accession", "form", "filing_date", "accepted_raw"]]).clock
        times = dict(
            zip(rows["accession"], acceptance_times(rows, plan["clocks"][main.cik])["accepted_at"], strict=True)
        )
        assert clock in (plan["clocks"][main.cik], "undecided")
        sic[main.cik] = Security(main.cik, main.name, sic=main.sic)
        for accession, filing in parsed.filings.items():
            # An older page of the list has the first reports of some.
            if accession in times:
                payload = company_facts_payload(main.cik, filing, filing.form, None)
                when = times[accession].to_pydatetime()
                records.append(record("xbrl_facts", accession, when, payload, form=filing.form, entity=main.cik))
            else:
                sic.pop(main.cik, None)
    whole = SecurityContext(sic)
    window = (date.fromisoformat(plan["window"][0]), date.fromisoformat(plan["window"][1]) + timedelta(days=1))
    for signal in ("S024", "S025"):
        made = run_extractor(signal, frame(records), whole, definitions(), *window)
        planned = {
            (one["entity"], one["signal_time"])
            for one in plan["noise"]
            if one["signal"] == signal and one["entity"] in sic
        }
        assert {(e.entity_id, f"{e.event_time:%Y-%m-%dT%H:%M:%SZ}") for e in made.events} == planned
        assert len(planned) >= 3
