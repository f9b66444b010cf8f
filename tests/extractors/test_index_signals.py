"""Late insider reports, amended and slow periodic reports, contested votes: each rule and trap by value."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from tests.extractors.make import OTHER, at, eight_k, form4, index, line, run

# --- S006


def report(
    when: str,
    *lines: dict[str, Any],
    accession: str = "a-1",
    owners: tuple[str, ...] = ("101",),
    kind: str = "4",
    period: str = "2024-03-04",
    amends: str | None = None,
) -> dict[str, Any]:
    made = form4(accession, at(when), lines, owners, document_type=kind)
    made["payload"] |= {"period_of_report": period, "date_of_original_submission": amends}
    return made


def sale(day: str = "2024-03-04", shares: float = 100, **more: Any) -> dict[str, Any]:
    return line("S", shares, 10.0, day, **more)


@pytest.mark.parametrize(
    ("traded", "accepted", "lag"),
    [
        # Monday to Wednesday is the second business day; 22:00 New York still counts, a second later does not.
        ("2024-03-04", "2024-03-06 17:00", None),
        ("2024-03-04", "2024-03-07 03:00", None),
        ("2024-03-04", "2024-03-07 03:00:01", 3),
        ("2024-03-04", "2024-03-07 17:00", 3),
        # A trade of Saturday is due on Tuesday; over the holiday of 2024-02-19 Friday's on Wednesday.
        ("2024-03-02", "2024-03-05 17:00", None),
        ("2024-03-02", "2024-03-06 17:00", 3),
        ("2024-02-16", "2024-02-21 17:00", None),
        ("2024-02-16", "2024-02-22 17:00", 3),
        ("2024-01-16", "2024-03-05 17:00", 34),
    ],
)
def test_s006_counts_edgar_business_days(traded: str, accepted: str, lag: int | None) -> None:
    found = run("S006", [report(accepted, sale(traded))]).events
    assert [event.attributes["lag_business_days"] for event in found] == ([] if lag is None else [lag])


def test_s006_figures() -> None:
    (event,) = run("S006", [report("2024-03-07 17:00", sale())]).events
    assert (event.strength_norm, event.direction, event.reliability) == (0.25, -1, 0.6)
    assert event.key == ("a-1", "1") and event.attributes["counted_from"] == "2024-03-04"
    # 2024-01-22 to 2024-03-06: 31 business days less Presidents' Day is past the ramp's end.
    (event,) = run("S006", [report("2024-03-06 17:00", line("P", 5, 10.0, "2024-01-16"))]).events
    assert (event.strength_norm, event.direction) == (1.0, 1)


def test_s006_before_2003_the_day_ended_at_half_past_five() -> None:
    late = report("2003-06-06 22:00", line("P", 5, 10.0, "2003-06-04"))
    assert [event.attributes["lag_business_days"] for event in run("S006", [late]).events] == [3]


@pytest.mark.parametrize(
    ("lines", "direction", "key"),
    [
        ([line("A", 5, None, "2024-03-04")], 0, "1"),
        ([line("M", 5, 1.0, "2024-03-01"), sale("2024-03-01")], -1, "2"),
        ([line("A", 5, 0.0, "2024-02-28"), sale("2024-03-04")], 0, "1"),
        ([sale("2024-03-06"), line("P", 5, 10.0, "2024-03-04")], 1, "2"),
    ],
)
def test_s006_the_latest_line_speaks(lines: list[dict[str, Any]], direction: int, key: str) -> None:
    numbered = [one | {"line": number} for number, one in enumerate(lines, 1)]
    (event,) = run("S006", [report("2024-03-08 17:00", *numbered)]).events
    assert (event.direction, event.key[1]) == (direction, key)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (sale(timeliness="E"), "reported_early"),
        (sale(deemed_execution_date="2024-03-06"), "in_time"),
        (sale(equity_swap_involved=True), "equity_swap"),
        (line("G", 5, None, "2024-01-04"), "other_code"),
        (line("J", 5, 1.0, "2024-01-04"), "other_code"),
        (sale("2024-05-04"), "transaction_after_filing"),
        (sale(""), "no_transaction_date"),
        (sale("2002-08-28"), "before_the_two_day_rule"),
    ],
)
def test_s006_traps_are_counted(one: dict[str, Any], reason: str) -> None:
    made = run("S006", [report("2024-03-08 17:00", one)])
    assert made.events == [] and made.counts[reason] == 1


def test_s006_a_deemed_date_before_the_trade_is_not_believed() -> None:
    (event,) = run("S006", [report("2024-03-08 17:00", sale(deemed_execution_date="2024-01-04"))]).events
    assert event.attributes["lag_business_days"] == 4


def test_s006_forms_3_and_5_never() -> None:
    made = run("S006", [report("2024-05-08 17:00", sale(), kind=kind, accession=kind) for kind in ("3", "5", "5/A")])
    assert made.events == [] and made.counts == {"not_form_4": 3}


def test_s006_amendments() -> None:
    original = report("2024-03-05 17:00", sale())
    corrected = report("2024-04-05 17:00", sale(shares=90), kind="4/A", accession="a-2", amends="2024-03-05")
    made = run("S006", [original, corrected])
    assert made.events == [] and made.counts["amendment_restates"] == 1
    added = report("2024-04-05 17:00", sale(shares=90), line("P", 5, 10.0, "2024-03-04"), kind="4/A", accession="a-2")
    (event,) = run("S006", [original, added]).events
    assert (event.key[0], event.direction, len(event.raw_record_ids)) == ("a-2", 1, 2)
    alone = run("S006", [added])
    assert alone.events == [] and alone.counts["original_not_at_hand"] == 1


def test_s006_one_report_is_told_once() -> None:
    first = report("2024-03-08 17:00", sale())
    again = report("2024-03-20 17:00", sale(), accession="a-2")
    spouse = report("2024-03-11 17:00", sale(), accession="a-3", owners=("202",))
    grants = [report("2024-03-08 17:00", line("A", 5, 0.0, "2024-03-04"), accession=f"g-{i}", owners=(str(i),))
              for i in (301, 302)]  # fmt: skip
    assert [event.key[0] for event in run("S006", [first, again, spouse]).events] == ["a-1"]
    assert run("S006", [first, again]).counts["reported_before"] == 1
    assert run("S006", [first, spouse]).counts["joint_filing"] == 1
    assert len(run("S006", grants).events) == 2, "equal grants to two directors are two transactions"


def test_s006_who_told_a_line_before_is_an_input() -> None:
    spouse = report("2024-03-08 17:00", sale(), accession="a-3", owners=("202",))
    mine = report("2024-03-11 17:00", sale(), line("A", 5, 0.0, "2024-03-06"))
    event = next(one for one in run("S006", [spouse, mine]).events if one.key[0] == "a-1")
    # The sale of four days was told before; what is left is the grant.
    assert (event.attributes["code"], event.direction, event.attributes["lag_business_days"]) == ("A", 0, 3)
    assert set(event.raw_record_ids) == {spouse["raw_record_id"], mine["raw_record_id"]}


# --- S017

NOON = at("2024-08-05 17:00")


def amendment(form: str = "10-Q/A", report_date: str | None = "2024-03-31", when: str = "2024-08-05 17:00",
              accession: str = "p-1", **more: Any) -> dict[str, Any]:  # fmt: skip
    return index(accession, at(when), form, report=report_date, **more)


def test_s017_fires_and_adds_up() -> None:
    (event,) = run("S017", [amendment()]).events
    assert (event.strength_norm, event.direction, event.reliability, event.key) == (0.4, -1, 0.6, ("p-1",))
    other = amendment(report_date="2023-09-30", when="2024-07-10 17:00", accession="p-0")
    denied = eight_k_row("n-1", "2024-06-01 17:00", ["4.02"])
    assert [event.strength_norm for event in run("S017", [other, amendment()]).events] == [0.4, 0.7]
    (last,) = [e for e in run("S017", [other, denied, amendment()]).events if e.key == ("p-1",)]
    assert last.strength_norm == 1.0 and len(last.raw_record_ids) == 3


def eight_k_row(accession: str, when: str, items: list[str], **more: Any) -> dict[str, Any]:
    return index(accession, at(when), "8-K", items, **more)


@pytest.mark.parametrize(
    "other",
    [
        amendment(report_date="2024-03-31", when="2024-07-10 17:00", accession="p-0"),
        amendment(report_date="2023-09-30", when="2024-07-01 17:00", accession="p-0"),
        amendment("10-K/A", "2024-04-30", "2024-07-10 17:00", "p-0"),
        amendment(report_date="2023-09-30", when="2024-07-10 17:00", accession="p-0", entity=OTHER),
        eight_k_row("n-1", "2024-05-01 17:00", ["4.02"]),
        eight_k_row("n-1", "2024-08-06 17:00", ["4.02"]),
        eight_k_row("n-1", "2024-08-01 17:00", ["4.01"]),
    ],
)
def test_s017_what_is_no_addition(other: dict[str, Any]) -> None:
    """The same period, 31 days or more before, Part III, another issuer; a non-reliance too old or yet to come."""
    (event,) = [e for e in run("S017", [other, amendment()]).events if e.key == ("p-1",)]
    assert event.strength_norm == 0.4


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([amendment("10-K/A", "2024-04-02")], "part_iii"),
        ([amendment("10-K405/A", "2024-01-31")], "amendment_of_another_form"),
        ([amendment("10-KT/A", "2024-01-31")], "amendment_of_another_form"),
        ([amendment(report_date=None)], "no_report_or_filing_date"),
        ([index("p-0", at("2024-07-20 17:00"), "10-Q", report="2024-03-31"), amendment(is_xbrl=True)], "exhibit_only"),
    ],
)
def test_s017_traps_are_counted(records: list[dict[str, Any]], reason: str) -> None:
    made = run("S017", records)
    assert made.events == [] and made.counts[reason] == 1


def test_s017_the_125th_day_is_part_iii_and_the_next_is_not() -> None:
    assert run("S017", [amendment("10-K/A", "2024-04-02")]).events == []
    (event,) = run("S017", [amendment("10-K/A", "2024-04-01")]).events
    assert event.attributes["days_after_period"] == 126


def test_s017_an_amendment_like_its_original_brings_no_first_exhibit() -> None:
    original = index("p-0", at("2024-07-20 17:00"), "10-Q", report="2024-03-31", is_xbrl=True)
    assert len(run("S017", [original, amendment(is_xbrl=True)]).events) == 1
    assert len(run("S017", [amendment(is_xbrl=True)]).events) == 1, "without the original nothing tells"


# --- S019


def periodic(period: str, days: int, form: str = "10-Q", accession: str | None = None, **more: Any) -> dict[str, Any]:
    filed = date.fromisoformat(period) + timedelta(days=days)
    when = at(f"{filed} 17:00")
    return index(accession or f"{form}-{period}", when, form, report=period, filed=str(filed), **more)


QUARTERS = ["2016-03-31", "2016-06-30", "2016-09-30", "2017-03-31", "2017-06-30", "2017-09-30", "2018-03-31"]


def quarters(days: list[int]) -> list[dict[str, Any]]:
    return [periodic(period, lag) for period, lag in zip(QUARTERS, days, strict=False)]


def test_s019_fires_by_days_and_spread() -> None:
    made = run("S019", [*quarters([35, 36, 35, 36, 35, 36]), periodic("2018-03-31", 48)])
    (event,) = made.events
    # Median 35.5; deviations 0.5, so that the floor 1.5 is the spread.
    assert event.attributes["median"] == 35.5 and event.attributes["slower_by"] == 12.5
    assert event.strength_norm == pytest.approx(0.25 + 0.75 * 7.5 / 25)
    assert (event.direction, event.reliability, event.key) == (-1, 0.7, ("10-Q-2018-03-31",))
    assert len(event.raw_record_ids) == 7
    assert made.counts == {"short_history": 4, "as_usual": 2}


@pytest.mark.parametrize(
    ("history", "days", "fires"),
    [
        ([35, 35, 35, 35], 40, True),
        ([35, 35, 35, 35], 39, False),
        ([35, 35, 35], 60, False),
        # Median 35, median deviation 5: 15 days are twice the spread of 7.4, 14 are not.
        ([30, 40, 30, 40, 35], 50, True),
        ([30, 40, 30, 40, 35], 49, False),
    ],
)
def test_s019_thresholds(history: list[int], days: int, fires: bool) -> None:
    records = [*quarters(history), periodic("2018-03-31", days)]
    assert any(e.key == ("10-Q-2018-03-31",) for e in run("S019", records).events) is fires


def test_s019_annual_reports_need_three_and_take_four() -> None:
    years = [periodic(f"{year}-12-31", lag, "10-K") for year, lag in ((2011, 90), (2012, 58), (2013, 58), (2014, 58))]
    assert run("S019", [*years[1:3], periodic("2015-12-31", 70, "10-K")]).events == []
    (event,) = run("S019", [*years, periodic("2015-12-31", 70, "10-K")]).events
    assert event.attributes["compared"] == 4 and event.attributes["median"] == 58


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        # The year's end moved by a month: other quarters, which say nothing of these.
        (timedelta(days=31), "short_history"),
        (timedelta(days=6), None),
    ],
)
def test_s019_a_change_of_the_fiscal_year(shift: timedelta, reason: str | None) -> None:
    old = [periodic(str(date.fromisoformat(day) - shift), 35) for day in QUARTERS[:6]]
    made = run("S019", [*old, periodic("2018-03-31", 60)])
    assert ([event.key for event in made.events] == []) is (reason is not None)


@pytest.mark.parametrize(
    ("period", "form", "reason"),
    [
        ("2020-03-31", "10-Q", "excluded_relief_2020_quarterly"),
        ("2019-12-31", "10-K", "excluded_relief_2020_annual"),
        ("2004-12-31", "10-K", "excluded_changed_deadlines"),
        ("2007-09-30", "10-Q", "excluded_changed_deadlines"),
    ],
)
def test_s019_dated_exclusions(period: str, form: str, reason: str) -> None:
    made = run("S019", [periodic(period, 200, form)])
    assert made.events == [] and made.counts == {reason: 1}


def test_s019_relief_is_no_history_and_changed_deadlines_are() -> None:
    relieved = [
        periodic(f"{year}-12-31", lag, "10-K") for year, lag in ((2016, 58), (2017, 58), (2018, 58), (2019, 100))
    ]
    (event,) = run("S019", [*relieved, periodic("2020-12-31", 66, "10-K")]).events
    assert event.attributes["compared"] == 3 and event.attributes["median"] == 58
    changed = [periodic(f"{year}-12-31", 58, "10-K") for year in (2004, 2005, 2006)]
    assert len(run("S019", [*changed, periodic("2007-12-31", 66, "10-K")]).events) == 1


def test_s019_transition_reports_and_amendments_are_nothing() -> None:
    usual = quarters([35, 35, 35, 35, 35, 35])
    for form in ("10-QT", "10-Q/A", "NT 10-Q"):
        assert run("S019", [*usual, periodic("2018-03-31", 90, form)]).events == []


def test_s019_a_period_is_judged_once() -> None:
    usual = quarters([35] * 6)
    made = run("S019", [*usual, periodic("2018-03-31", 36), periodic("2018-03-31", 90, accession="again")])
    assert made.events == [] and made.counts["period_reported_before"] == 1


def test_s019_looks_far_enough_back_for_four_annual_reports() -> None:
    """Five reports, the first filed as late and the last as early as the rule allows to be compared."""
    years = [periodic(f"{year}-12-31", 200, "10-K") for year in (2011, 2012, 2013, 2014)]
    (event,) = run("S019", [*years, periodic("2015-12-31", 300, "10-K")]).events
    assert event.attributes["compared"] == 4


@pytest.mark.parametrize("missing", ["report_date", "filing_date"])
def test_s019_without_a_date_it_counts(missing: str) -> None:
    record = periodic("2018-03-31", 60)
    record["payload"][missing] = None
    assert run("S019", [record]).counts == {"no_report_or_filing_date": 1}
    assert run("S019", [periodic("2018-03-31", -3)]).counts == {"report_date_after_filing": 1}


# --- S041


def paper(when: str, form: str = "DFAN14A", accession: str | None = None, **more: Any) -> dict[str, Any]:
    return index(accession or f"{form}-{when}", at(f"{when} 15:00"), form, **more)


def test_s041_first_of_the_episode_and_its_definitive_statement() -> None:
    papers = [paper("2024-01-10"), paper("2024-02-01"), paper("2024-03-01", "DEFC14A"), paper("2024-03-05", "DEFC14A")]
    made = run("S041", papers)
    assert [(e.key[:2], e.strength_norm, e.direction, e.reliability) for e in made.events] == [
        (("DFAN14A-2024-01-10", "DFAN14A"), 0.6, 0, 0.8),
        (("DFAN14A-2024-01-10", "DEFC14A"), 1.0, 0, 0.8),
    ]
    assert made.counts == {"episode_goes_on": 2}
    assert len(made.events[1].raw_record_ids) == 3


@pytest.mark.parametrize(("gap", "episodes"), [(180, 1), (181, 2)])
def test_s041_an_episode_ends_after_180_quiet_days(gap: int, episodes: int) -> None:
    second = date(2024, 1, 10) + timedelta(days=gap)
    assert len(run("S041", [paper("2024-01-10"), paper(str(second))]).events) == episodes


def test_s041_a_definitive_statement_alone() -> None:
    (event,) = run("S041", [paper("2024-01-10", "DEFC14A")]).events
    assert event.strength_norm == 1.0


def test_s041_other_papers_and_bids_for_others() -> None:
    """PX14A6G is an exempt notice; without a file number the row is the company's own paper about another."""
    made = run("S041", [paper("2024-01-10", "PX14A6G"), paper("2024-01-11", "DEFA14A"),
                        paper("2024-01-12", file_number=None), paper("2024-01-13", entity=OTHER)])  # fmt: skip
    assert [event.entity_id for event in made.events] == [OTHER]
    assert made.counts == {"filed_about_another": 1}


# --- 8-K: index row and text of one filing

TEXT = "Item 5.02 Departure of Directors\nMr. Smith resigned."
QUIET = "Item 5.02 Departure of Directors\nMs. Jones was elected."
WHEN = at("2024-03-05 17:00")


def row(**more: Any) -> dict[str, Any]:
    return index("e-1", WHEN, "8-K", ["5.02"], **more)


def text(body: str = TEXT, **more: Any) -> dict[str, Any]:
    return eight_k("e-1", WHEN, ["5.02"], body, **more)


def live(**after: float) -> dict[str, Any]:
    return {"mode": "live", "observed": WHEN + timedelta(**after)}


@pytest.mark.parametrize(
    ("records", "figures", "available"),
    [
        ([row()], (0.35, 0.40), WHEN),
        ([text()], (0.4, 0.85), WHEN),
        ([row(), text()], (0.4, 0.85), WHEN),
        # Seen live: the text an hour after the row, eight days after it, before it, and years later as a backfill.
        ([row(**live(minutes=5)), text(**live(hours=1))], (0.4, 0.85), WHEN + timedelta(hours=1)),
        ([row(**live(minutes=5)), text(**live(days=8))], (0.35, 0.40), WHEN + timedelta(minutes=5)),
        ([row(**live(hours=2)), text(**live(minutes=5))], (0.4, 0.85), WHEN + timedelta(minutes=5)),
        ([row(**live(minutes=5)), text()], (0.4, 0.85), None),
    ],
)
def test_which_evidence_of_an_8k_speaks(
    records: list[dict[str, Any]], figures: tuple[float, float], available: Any
) -> None:
    (event,) = run("S039", records).events
    assert (event.strength_norm, event.reliability) == figures and event.key == ("e-1",)
    (entry,) = event.frontier
    if entry.collection_mode == "live":
        assert entry.observed_time == available


def test_a_text_read_in_time_can_deny_what_the_index_row_suggests() -> None:
    assert run("S039", [row(**live(minutes=5)), text(QUIET, **live(hours=1))]).counts == {"no_departure": 1}
    late = run("S039", [row(**live(minutes=5)), text(QUIET, **live(days=8))])
    assert [event.reliability for event in late.events] == [0.4] and late.counts == {"text_too_late": 1}


def test_extracting_again_as_texts_come_in_ends_where_one_run_does() -> None:
    """The key stays, so that the text's event is the next revision of the index row's."""
    both = [row(**live(minutes=5)), text(**live(hours=1))]
    (before,), (after,) = run("S039", both[:1]).events, run("S039", both).events
    assert before.event_id == after.event_id and before.content_hash != after.content_hash
    assert run("S039", both[::-1]).events[0].content_hash == after.content_hash


def test_an_amendment_is_compared_with_what_was_known_first() -> None:
    """Between row and text of the first filing an 8-K/A repeats its item: it restates, whatever comes later."""
    again = index("e-2", WHEN + timedelta(minutes=30), "8-K/A", ["5.02"], **live(minutes=31))
    made = run("S039", [row(**live(minutes=5)), again, text(**live(hours=1))])
    assert [event.key for event in made.events] == [("e-1",)] and made.counts == {"amendment_restates": 1}
