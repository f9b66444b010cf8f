"""Each rule and each trap of the filing signals, with handmade records."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from signaldelta_assets.contracts import SecurityContext
from signaldelta_assets.extractors import NotActiveError, departures, item_text, run_extractor
from signaldelta_assets.extractors.scales import lin, lramp, ramp
from tests.extractors.make import ACME, OTHER, at, definitions, earnings, eight_k, form4, frame, index, line, run

NOON = at("2024-03-05 17:00")


def test_scales() -> None:
    assert [float(lin(x, 1, 3)) for x in (0, 2, 9)] == [0.0, 0.5, 1.0]
    assert float(ramp(2, 1, 3)) == 0.625
    assert float(lramp(100, 10, 1000)) == pytest.approx(0.625)


# --- S001, S002


def buy(usd: float, **more: object) -> dict[str, object]:
    return line("P", usd / 10, 10.0, "2024-03-04", **more)


def test_s001_fires_by_value_role_and_stake() -> None:
    made = run(
        "S001", [form4("a-1", NOON, [buy(100_000, shares_owned_following="110000")], title="Chief Executive Officer")]
    )
    (event,) = made.events
    # value: middle of the logarithmic ramp; stake 10,000 of 100,000 before: middle of the other.
    assert (event.strength_norm, event.direction, event.reliability) == (0.625, 1, 0.7)
    assert event.key == ("a-1", "0000000101") and event.event_time == NOON
    assert event.chain_affinity == {"CT-01": 0.8, "CT-02": 0.3, "CT-05": 0.9}
    (entry,) = event.frontier
    assert (entry.source_type, entry.form, entry.event_time) == ("ownership", "4", NOON)


@pytest.mark.parametrize(
    ("title", "ten_percent", "role"),
    [("Treasurer", False, 0.9), (None, False, 0.8), (None, True, 0.5), ("CFO", False, 1.0)],
)
def test_s001_roles(title: str | None, ten_percent: bool, role: float) -> None:
    (event,) = run(
        "S001",
        [form4("a-1", NOON, [buy(1e6, shares_owned_following="200000")], title=title, ten_percent_only=ten_percent)],
    ).events
    assert event.strength_norm == pytest.approx(role)


@pytest.mark.parametrize(
    ("lines", "more", "reason"),
    [
        ([buy(9_999)], {}, "below_min_usd"),
        ([buy(50_000)], {"box": True}, "plan"),
        ([buy(50_000, footnote_ids=["F1"])], {"footnotes": {"F1": "under a Rule 10b5-1 trading plan"}}, "plan"),
        ([buy(50_000, footnote_ids=["F1"])], {"footnotes": {"F1": "by dividend reinvestment"}}, "not_discretionary"),
        ([buy(50_000, equity_swap_involved=True)], {}, "equity_swap"),
        ([line("P", 5_000, None, "2024-03-04")], {}, "no_price"),
        ([line("P", 5_000, 0.0, "2024-03-04")], {}, "no_price"),
        ([line("P", 5_000, 10.0, "2024-03-04", acquired_disposed="D")], {}, "direction_contradicts_code"),
        ([line("A", 5_000, 10.0, "2024-03-04")], {}, "no_such_trade"),
        ([buy(50_000)], {"document_type": "5"}, "not_form_4"),
        ([buy(50_000)], {"document_type": "3"}, "not_form_4"),
        ([buy(50_000)], {"entity": "0000000009"}, "entity_not_in_context"),
    ],
)  # fmt: skip
def test_s001_traps_are_counted(lines: list[dict[str, object]], more: dict[str, object], reason: str) -> None:
    made = run("S001", [form4("a-1", NOON, lines, **more)])  # type: ignore[arg-type]
    assert made.events == [] and made.counts[reason] == 1


def test_s001_footnote_of_another_line_is_no_plan() -> None:
    lines = [buy(50_000, footnote_ids=["F1"]), buy(70_000)]
    made = run("S001", [form4("a-1", NOON, lines, footnotes={"F1": "10b5-1"})])
    assert [event.attributes["usd"] for event in made.events] == [70_000.0]


def test_s001_unknown_currency_lowers_reliability() -> None:
    lines = [buy(50_000, price_footnote_ids=["F1"], footnote_ids=["F1"])]
    (event,) = run("S001", [form4("a-1", NOON, lines, footnotes={"F1": "Price in Canadian dollars."})]).events
    assert event.reliability == pytest.approx(0.7 * 0.7) and event.attributes["value_known"] is False


def test_s001_before_the_box_its_absence_proves_nothing() -> None:
    when = at("2022-05-05 17:00")
    (event,) = run("S001", [form4("a-1", when, [line("P", 5_000, 10, "2022-05-04")])]).events
    assert event.reliability == pytest.approx(0.7 * 0.8)


def test_s001_held_before_zero() -> None:
    direct = run("S001", [form4("a-1", NOON, [buy(1e6, shares_owned_following="100000")])]).events[0]
    indirect = run(
        "S001", [form4("a-1", NOON, [buy(1e6, shares_owned_following="100000", direct_indirect="I")])]
    ).events[0]
    assert direct.strength_norm == pytest.approx(0.8) and indirect.strength_norm == pytest.approx(
        0.8 * (0.6 + 0.4 * 0.25)
    )


def _history(months: list[str]) -> list[dict[str, object]]:
    return [form4(f"h-{m}", at(f"{m}-20 15:00"), [line("P", 100, 10, f"{m}-19")]) for m in months]


@pytest.mark.parametrize(
    ("months", "kind"),
    [
        (["2021-03", "2022-03", "2023-03"], "routine"),
        (["2021-03", "2022-03", "2023-04"], "opportunistic"),
        (["2022-03", "2023-03"], "unclassified"),
        ([], "unclassified"),
    ],
)
def test_s001_routine_after_cohen_malloy_pomorski(months: list[str], kind: str) -> None:
    made = run(
        "S001",
        [*_history(months), form4("a-1", NOON, [buy(50_000)])],
        start=NOON.date(),
        end=(NOON + timedelta(days=1)).date(),
    )
    if kind == "routine":
        assert made.events == [] and made.counts["routine"] == 1
    else:
        assert [event.reliability for event in made.events] == [0.9 if kind == "opportunistic" else 0.7]


def test_s001_amendment_yields_only_what_it_adds() -> None:
    first = form4("a-1", NOON, [buy(50_000)])
    same = form4("a-2", NOON + timedelta(days=2), [buy(50_000)], document_type="4/A")
    more = form4("a-3", NOON + timedelta(days=3), [buy(50_000), buy(80_000)], document_type="4/A")
    assert [event.key[0] for event in run("S001", [first, same]).events] == ["a-1"]
    assert [(e.key[0], e.attributes["usd"]) for e in run("S001", [first, more]).events] == [
        ("a-1", 50_000.0),
        ("a-3", 80_000.0),
    ]


def test_joint_filings_are_one_trade_and_one_insider() -> None:
    first, second = (form4(f"a-{i}", NOON + timedelta(hours=i), [buy(50_000)], owners=[f"10{i}"]) for i in (1, 2))
    assert [event.key[0] for event in run("S001", [first, second]).events] == ["a-1"]
    assert run("S003", [first, second]).events == []


def test_who_told_a_trade_before_is_an_input() -> None:
    """Without the first filing the second tells more: it may not be known before the first, in no run's latency."""
    seen = NOON + timedelta(minutes=30)
    first = form4("a-1", NOON, [buy(50_000)], owners=["101"], mode="live", observed=seen)
    second = form4("a-2", NOON + timedelta(hours=1), [buy(50_000), buy(70_000)], owners=["102"])
    third = form4("a-3", NOON + timedelta(hours=2), [buy(90_000)], owners=["103"])
    event = run("S001", [first, second]).events[1]
    assert event.attributes["usd"] == 70_000.0 and set(event.raw_record_ids) == {
        first["raw_record_id"], second["raw_record_id"]}  # fmt: skip
    assert seen in [entry.observed_time for entry in event.frontier if entry.collection_mode == "live"]
    # A window that begins with the second filing rests on the first one all the same.
    (cluster,) = run("S003", [form4("a-1", NOON, [buy(9_000)], owners=["101"], mode="live", observed=seen),
                              form4("a-2", NOON + timedelta(hours=1), [buy(9_000), buy(70_000)], owners=["102"]),
                              third]).events  # fmt: skip
    assert cluster.key[0] == "a-2"
    assert seen in [entry.observed_time for entry in cluster.frontier if entry.collection_mode == "live"]


def test_s002_sale_after_exercise_counts_less() -> None:
    sold = line("S", 20_000, 10.0, "2024-03-04", shares_owned_following="80000")
    alone = run("S002", [form4("a-1", NOON, [sold])]).events[0]
    covered = run("S002", [form4("a-1", NOON, [line("M", 20_000, 1.0, "2024-03-04"), sold])]).events[0]
    assert (alone.direction, alone.reliability) == (-1, 0.55)
    assert covered.reliability == pytest.approx(0.55 * 0.7)
    assert alone.strength_norm == pytest.approx(
        0.8 * (0.6 * float(lramp(2e5, 1e5, 1e7)) + 0.4 * float(ramp(0.2, 0, 0.25))), abs=1e-6
    )


def test_s002_sale_to_cover_taxes_is_not_discretionary() -> None:
    sold = line("S", 20_000, 10.0, "2024-03-04", footnote_ids=["F1"])
    made = run(
        "S002", [form4("a-1", NOON, [sold], footnotes={"F1": "Shares sold to cover withholding taxes on vesting."})]
    )
    assert made.events == [] and made.counts["not_discretionary"] == 1


# --- S003, S004


def cluster(gaps: list[int], code: str = "P") -> list[dict[str, object]]:
    when, made = NOON, []
    for i, gap in enumerate(gaps):
        when += timedelta(days=gap)
        made.append(form4(f"a-{i}", when, [line(code, 50_000 + i, 10.0, str(when.date()))], owners=[f"{200 + i}"]))
    return made


def test_s003_fires_at_two_three_and_five_insiders() -> None:
    events = run("S003", cluster([0, 3, 3, 3, 3, 3])).events
    assert [event.key for event in events] == [("a-0", "2"), ("a-0", "3"), ("a-0", "5")]
    assert [event.strength_norm for event in events] == [round(float(ramp(n, 1, 5)), 6) for n in (2, 3, 5)]
    assert all(event.reliability == 0.85 and event.direction == 1 for event in events)


def test_s003_episode_ends_after_thirty_days_without_a_purchase() -> None:
    assert [event.key for event in run("S003", cluster([0, 5, 31, 5])).events] == [("a-0", "2"), ("a-2", "2")]
    assert run("S003", cluster([0, 31, 31])).events == []


def test_s003_groups_that_share_an_owner_are_one_insider() -> None:
    records = [
        form4("a-0", NOON, [buy(50_000)], owners=["1", "2"]),
        form4("a-1", NOON + timedelta(days=9), [buy(60_000)], owners=["2", "3"]),
    ]
    assert run("S003", records).events == []


def test_s004_after_results_counts_less() -> None:
    sales = cluster([0, 3, 3], "S")
    assert [(e.key, e.reliability) for e in run("S004", sales).events] == [(("a-0", "3"), 0.65)]
    results = index("r-1", NOON - timedelta(days=2), items=["2.02", "9.01"])
    assert [event.reliability for event in run("S004", [*sales, results]).events] == [0.52]
    old = index("r-1", NOON - timedelta(days=12), items=["2.02"])
    assert [event.reliability for event in run("S004", [*sales, old]).events] == [0.65]


# --- F03


def test_s016_notice_and_its_repetition() -> None:
    notices = [
        index("n-1", NOON, "NT 10-K"),
        index("n-2", NOON + timedelta(days=90), "NT 10-Q"),
        index("n-3", NOON, "NT 11-K"),
        index("n-4", NOON, "NT 10-K/A"),
    ]
    made = run("S016", notices)
    assert [(event.key, event.strength_norm) for event in made.events] == [(("n-1",), 0.8), (("n-2",), 0.8)]
    assert made.counts == {"notice_of_another_form": 1, "notice_amended": 1}


@pytest.mark.parametrize(
    ("moment", "strength"),
    [
        ("2024-03-05 22:30", 0.6),  # Tuesday 17:30 New York
        ("2024-03-05 22:29:59", None),
        ("2024-07-09 21:30", 0.6),  # 17:30 in summer time
        ("2024-03-08 21:00:01", 0.6),  # Friday after 16:00
        ("2024-03-08 21:00", None),
        ("2024-03-08 22:30", 1.0),
        ("2024-07-03 20:30", 0.6),  # eve of Independence Day
        ("2024-07-03 21:45", 1.0),
    ],
)
def test_s018_quiet_hours_are_new_yorks(moment: str, strength: float | None) -> None:
    made = run("S018", [index("q-1", at(moment), items=["5.02", "9.01"])])
    assert [event.strength_norm for event in made.events] == ([] if strength is None else [strength])


def test_s018_other_items_and_old_numbering_yield_nothing() -> None:
    late = at("2024-03-05 22:45")
    assert run("S018", [index("q-1", late, items=["8.01", "9.01"])]).events == []
    made = run("S018", [index("q-1", at("2003-03-05 22:45"), items=["4.01"])])
    assert made.events == [] and made.counts["old_item_numbering"] == 1
    made = run("S018", [index("q-1", late, "8-K12B", items=["5.02"])])
    assert made.events == [] and made.counts["successor_notice"] == 1


# --- 8-K items


def test_amendment_yields_only_items_not_seen_for_the_report_date() -> None:
    first = eight_k("k-1", NOON, ["2.05", "9.01"], "Item 2.05 Costs.\nWe will close a plant.")
    amount = index("k-2", NOON + timedelta(days=20), "8-K/A", items=["2.05"])
    added = index("k-3", NOON + timedelta(days=21), "8-K/A", items=["2.05", "2.06"])
    other_day = index("k-4", NOON + timedelta(days=22), "8-K/A", items=["2.05"], report="2024-03-20")
    made = run("S035", [first, amount, added, other_day])
    assert [(event.key[0], event.strength_norm) for event in made.events] == [("k-1", 0.6), ("k-3", 0.8), ("k-4", 0.6)]
    assert made.counts["amendment_restates"] == 1


@pytest.mark.parametrize(
    ("items", "text", "strength", "reliability"),
    [
        (["1.01"], "Item 1.01 Entry into a Material Definitive Agreement.\nA supply contract.", 0.5, 0.8),
        (["1.01", "8.01"], "Item 1.01 Entry.\nA supply contract.", 0.7, 0.8),
        (["1.01"], "Item 1.01 Entry.\nThe Company amended its Credit Agreement.", 0.3, 0.8),
        (["1.01", "2.03"], None, 0.3, 0.6),
        (["1.01", "7.01"], None, 0.7, 0.6),
    ],
)
def test_s033(items: list[str], text: str | None, strength: float, reliability: float) -> None:
    record = index("k-1", NOON, items=items) if text is None else eight_k("k-1", NOON, items, text)
    (event,) = run("S033", [record]).events
    assert (event.strength_norm, event.reliability, event.direction) == (strength, reliability, 0)


def test_the_text_stands_for_the_filing_where_both_are_there() -> None:
    both = [index("k-1", NOON, items=["1.01"]), eight_k("k-1", NOON, ["1.01"], "Item 1.01 Entry.\nA supply contract.")]
    (event,) = run("S033", both).events
    assert event.reliability == 0.8 and event.raw_record_ids == (both[1]["raw_record_id"],)


@pytest.mark.parametrize(
    ("signal", "items", "text", "strength"),
    [
        ("S034", ["1.02"], None, 0.5), ("S034", ["1.02", "2.03"], None, None), ("S034", ["1.02", "5.01"], None, None),
        ("S034", ["1.03", "1.02"], None, 1.0), ("S034", ["2.04"], None, 0.9),
        ("S035", ["2.05", "2.06"], None, 1.0),
        ("S036", ["3.01"], None, 0.9), ("S036", ["3.01", "2.01"], None, None), ("S036", ["3.02"], None, 0.4),
        ("S036", ["3.01"], "Item 3.01 Notice.\nThe Company will transfer its listing to Nasdaq.", None),
        ("S040", ["3.03"], None, 0.5), ("S040", ["3.03", "1.01"], None, 1.0), ("S040", ["3.03", "5.01"], None, None),
        ("S040", ["3.03"], "Item 3.03 Material Modification.\nA reverse stock split took effect.", None),
        ("S022", ["4.01"], None, 0.7),
        ("S022", ["4.01"], "Item 4.01 Changes.\nThe auditor resigned.", 1.0),
        ("S022", ["4.01"], "Item 4.01 Changes.\nThe auditor was dismissed.", 0.7),
        ("S022", ["4.01"], "Item 4.01 Changes.\nThe auditor of the Savings Plan was dismissed.", None),
        ("S023", ["4.02"], None, 1.0),
        ("S023", ["4.02"], "Item 4.02(b) Non-Reliance.\nWe were advised by our independent auditor.", 0.9),
    ],
)  # fmt: skip
def test_item_signals(signal: str, items: list[str], text: str | None, strength: float | None) -> None:
    record = index("k-1", NOON, items=items) if text is None else eight_k("k-1", NOON, items, text)
    made = run(signal, [record])
    assert [event.strength_norm for event in made.events] == ([] if strength is None else [strength])
    assert made.events or sum(made.counts.values()) == 1


def test_s040_registration_of_rights_just_before() -> None:
    rights = index("x-1", NOON - timedelta(days=3), "8-A12B")
    (event,) = run("S040", [rights, index("k-1", NOON, items=["3.03"])]).events
    assert event.strength_norm == 1.0 and {entry.form for entry in event.frontier} == {"8-A12B", "8-K"}


# --- S039

HEAD = (
    "Item 5.02 Departure of Directors or Certain Officers; Election of Directors; Appointment of Certain Officers;"
    " Compensatory Arrangements of Certain Officers.\n"
)


@pytest.mark.parametrize(
    ("body", "persons", "strength"),
    [
        ("On March 1, Mr. Smith resigned from the Board.", ["Mr. Smith"], 0.4),
        ("Mr. Smith resigned. Ms. O'Neil retired.", ["Mr. Smith", "Ms. O'Neil"], 0.6),
        ("Mr. Smith, Chief Financial Officer, will step down.", ["Mr. Smith"], 0.8),
        ("Mr. Smith’s employment continues until Mr. Smith ceases to serve.", ["Mr. Smith"], 0.4),
        ("Mr. Jones was appointed to succeed her, who resigned.", [], 0.4),
        ("The Board elected Ms. Doe as a director.", None, None),
        ("Jane Roe notified us of her resignation.", [], 0.4),
    ],
)
def test_s039_reads_who_departs(body: str, persons: list[str] | None, strength: float | None) -> None:
    made = run("S039", [eight_k("k-1", NOON, ["5.02"], HEAD + body + "\nItem 9.01 Exhibits\nMr. Other resigned.")])
    assert [event.strength_norm for event in made.events] == ([] if strength is None else [strength])
    assert [event.attributes["persons"] for event in made.events] == ([] if persons is None else [persons])
    assert made.events or made.counts["no_departure"] == 1


def test_s039_index_alone_is_weak() -> None:
    (event,) = run("S039", [index("k-1", NOON, items=["5.02"])]).events
    assert (event.strength_norm, event.reliability, event.direction) == (0.35, 0.4, -1)


def test_persons_stand_at_most_so_far_before() -> None:
    near = "Mr. Smith " + "x" * 100 + " resigned"
    far = "Mr. Smith " + "x" * 130 + " resigned"
    patterns = definitions().patterns
    assert departures(near, patterns).persons == ("Mr. Smith",) and departures(far, patterns).persons == ()


def test_item_text_ends_at_the_next_heading_and_ignores_references() -> None:
    text = "Item 1.01 Entry.\nSee Item 5.02 below.\nITEM 5.02. Departure of Directors\nHe left.\nSIGNATURES\nPursuant"
    assert item_text(text, "5.02") == "He left.\n"
    assert item_text(text, "1.01") == "See Item 5.02 below.\n"
    assert item_text(text, "7.01") is None


# --- S028


def quarters(values: list[float], start_year: int = 2020) -> list[dict[str, object]]:
    days_ = [f"{start_year + i // 4}-{(2, 5, 8, 11)[i % 4]:02d}-01" for i in range(len(values))]
    return [
        earnings(day, 1.0 + value, 1.0, fiscal=f"Q{i % 4 + 1}")
        for i, (day, value) in enumerate(zip(days_, values, strict=True))
    ]


def test_s028_against_its_own_history() -> None:
    made = run("S028", quarters([0.1, -0.1, 0.1, -0.1, 0.3]))
    (event,) = made.events
    # sd of (0.1, -0.1, 0.1, -0.1) is 0.11547: SUE = 2.598.
    assert event.attributes["sue"] == pytest.approx(0.3 / 0.1154700538, abs=1e-5)
    assert (event.strength_norm, event.direction, event.reliability) == (
        round(float(ramp(0.3 / 0.11547005383792516, 1, 4)), 6),
        1,
        0.7,
    )
    assert event.key == ("2021-Q1",) and made.counts["short_history"] == 4


def test_s028_a_period_released_again_fires_once() -> None:
    """Entered twice with other figures: the first available release fires, whichever the other says."""
    records = quarters([0.1, -0.1, 0.1, -0.1, 0.3])
    again = earnings("2021-02-03", 1.5, 1.0, fiscal="Q1")
    whole = run("S028", [*records, again])
    assert [event.attributes["date"] for event in whole.events] == ["2021-02-01"]
    assert whole.counts["same_release_again"] == 1
    days_ = [
        run("S028", [*records, again], day, day + timedelta(days=1)) for day in (date(2021, 2, 1), date(2021, 2, 3))
    ]
    assert [event.content_hash for made in days_ for event in made.events] == [whole.events[0].content_hash]
    assert days_[1].counts == {"same_release_again": 1}
    # Of a period released twice only the first counts as history.
    twice = [*records[:4], earnings("2020-11-04", 9.0, 1.0, fiscal="Q4"), records[4]]
    assert run("S028", twice).events[0].attributes == whole.events[0].attributes


def test_s028_results_filed_before_raise_reliability_later_ones_do_not() -> None:
    records = quarters([0.1, -0.1, 0.1, -0.1, -0.3])
    before, after = (index("r-1", at(f"2021-02-01 {clock}"), items=["2.02"]) for clock in ("20:30", "21:30"))
    assert [event.reliability for event in run("S028", [*records, before]).events] == [0.85]
    assert [event.reliability for event in run("S028", [*records, after]).events] == [0.7]


def test_s028_needs_time_and_estimate() -> None:
    made = run("S028", [earnings("2021-02-01", 1.0, None), earnings("2026-05-01", 1.0, 1.0, time=None)])
    assert made.events == [] and made.counts == {"no_estimate": 1, "no_event_time": 1}


# --- the runner


def test_unknown_and_inactive_signals_are_refused() -> None:
    with pytest.raises(NotActiveError, match="S005"):
        run("S005", [])


def test_one_event_per_registrant() -> None:
    both = [index("k-1", NOON, items=["1.01"], entity=entity) for entity in (ACME, OTHER)]
    found = {(event.entity_id, event.key) for event in run("S033", both).events}
    assert found == {(ACME, ("k-1",)), (OTHER, ("k-1",))}


def test_nothing_without_context() -> None:
    made = run_extractor(
        "S016",
        frame([index("n-1", NOON, "NT 10-K")]),
        SecurityContext(),
        definitions(),
        NOON.date(),
        NOON.date() + timedelta(days=1),
    )
    assert made.events == [] and made.counts == {"entity_not_in_context": 1}
