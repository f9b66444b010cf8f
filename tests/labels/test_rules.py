"""Each label rule, each rejection, and what must hold for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaldelta_assets.catalogue import default_document, load_definitions
from signaldelta_assets.extractors import NotActiveError
from signaldelta_assets.labels import Labeling, required_label_window, run_classifier
from tests.extractors.make import at, context, definitions, earnings, eight_k, form4, frame, index, line
from tests.extractors.test_invariants import filings

WHOLE = (date(2010, 1, 1), date(2027, 1, 1))
NOON = at("2024-03-05 17:00")
DEAL = (
    "Item 1.01 Entry into a Material Definitive Agreement.\nThe Company entered into an Agreement and Plan of Merger."
)


def label(event_type: str, records: Iterable[Mapping[str, Any]], window: tuple[date, date] = WHOLE) -> Labeling:
    return run_classifier(event_type, frame(records), context(), definitions(), *window)


# --- EARNINGS_SURPRISE


@pytest.mark.parametrize(
    ("actual", "estimate", "subtype"),
    [
        (1.10, 1.00, "positive"), (0.90, 1.00, "negative"), (1.09, 1.00, None),
        (0.03, 0.01, "positive"), (0.02, 0.01, None), (-0.20, -0.30, "positive"), (0.30, 0.28, None),
    ],
)  # fmt: skip
def test_surprise_thresholds(actual: float, estimate: float, subtype: str | None) -> None:
    made = label("EARNINGS_SURPRISE", [earnings("2024-02-01", actual, estimate)])
    assert [one.subtype for one in made.events] == ([] if subtype is None else [subtype])
    assert made.events or made.counts == {"below_threshold": 1}


def test_surprise_stands_at_the_earlier_of_vendor_and_filing() -> None:
    release = earnings("2024-02-01", 1.5, 1.0)  # 21:05
    for clock, expected, source in (("20:30", "20:30", "form_8k"), ("21:30", "21:05", "vendor")):
        (one,) = label("EARNINGS_SURPRISE", [release, index("r-1", at(f"2024-02-01 {clock}"), items=["2.02"])]).events
        assert one.event_time == at(f"2024-02-01 {expected}") and one.attributes["time_from"] == source
        assert one.confidence == 0.85 and len(one.raw_record_ids) == 2
        assert one.known_at >= max(at(f"2024-02-01 {clock}"), at("2024-02-01 21:05"))
    (one,) = label("EARNINGS_SURPRISE", [release]).events
    assert one.confidence == 0.75 and one.event_time == at("2024-02-01 21:05")


def test_surprise_ignores_amendments_and_distant_filings() -> None:
    release = earnings("2024-02-01", 1.5, 1.0)
    other = [
        index("r-1", at("2024-02-01 20:30"), "8-K/A", ["2.02"]),
        index("r-2", at("2024-01-29 20:30"), items=["2.02"]),
    ]
    (one,) = label("EARNINGS_SURPRISE", [release, *other]).events
    assert one.confidence == 0.75


def test_surprise_without_a_time_needs_the_filing() -> None:
    untimed = earnings("2024-02-01", 1.5, 1.0, time=None)
    midnight = earnings("2024-02-01", 1.5, 1.0, time="00:00")
    for release in (untimed, midnight):
        made = label("EARNINGS_SURPRISE", [release])
        assert made.events == [] and made.counts == {"no_authoritative_time": 1}
        (one,) = label("EARNINGS_SURPRISE", [release, index("r-1", at("2024-02-01 12:30"), items=["2.02"])]).events
        assert one.event_time == at("2024-02-01 12:30")


def test_surprise_rejections_are_counted() -> None:
    conflict = [earnings("2024-02-01", 1.5, 1.0), earnings("2024-02-01", 1.5, 1.2)]
    made = label("EARNINGS_SURPRISE", conflict)
    assert made.events == [] and made.counts == {"conflicting_estimates": 1}
    assert label("EARNINGS_SURPRISE", [earnings("2024-02-01", 1.5, None)]).counts == {"no_estimate": 1}
    dateless = earnings("2024-02-01", 1.5, 1.0, time=None)
    dateless["payload"]["date"] = None
    assert label("EARNINGS_SURPRISE", [dateless]).counts == {"no_authoritative_time": 1}
    stranger = label("EARNINGS_SURPRISE", [earnings("2024-02-01", 1.5, 1.0, entity="0000000077")])
    assert stranger.events == [] and stranger.counts == {"entity_not_in_context": 1}


# --- MNA_ANNOUNCEMENT


def test_deal_by_text() -> None:
    (one,) = label("MNA_ANNOUNCEMENT", [eight_k("k-1", NOON, ["1.01"], DEAL)]).events
    assert (one.subtype, one.confidence, one.event_time) == ("acquirer", 0.95, NOON)
    assert one.source_url == "https://www.sec.gov/Archives/edgar/data/1/k1/k-1.txt"
    target = eight_k("k-1", NOON, ["1.01"], DEAL + " Each share will be converted into the right to receive $5.")
    assert label("MNA_ANNOUNCEMENT", [target]).events[0].subtype == "target"
    seller = eight_k(
        "k-1",
        NOON,
        ["1.01"],
        "Item 1.01 Entry.\nWe entered into an Asset Purchase Agreement and agreed to sell a unit.",
    )
    assert label("MNA_ANNOUNCEMENT", [seller]).events[0].subtype == "divestiture"


def test_deal_by_what_follows() -> None:
    agreement = index("k-1", NOON, items=["1.01", "9.01"])
    (one,) = label("MNA_ANNOUNCEMENT", [agreement, index("p-1", NOON + timedelta(days=9), "425")]).events
    assert one.confidence == 0.75 and one.known_at > NOON + timedelta(days=9) and one.event_time == NOON
    papers = [index("p-1", NOON + timedelta(days=9), "425"), index("p-2", NOON + timedelta(days=60), "DEFM14A")]
    (one,) = label("MNA_ANNOUNCEMENT", [agreement, *papers]).events
    assert one.subtype == "target" and one.known_at < NOON + timedelta(days=11) and len(one.raw_record_ids) == 3


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([index("k-1", NOON, items=["1.01"])], "bare_agreement"),
        ([index("k-1", NOON, items=["1.01"]), index("p-1", NOON + timedelta(days=11), "S-4")], "bare_agreement"),
        ([index("k-1", NOON, items=["1.01", "2.03"]), index("p-1", NOON + timedelta(days=1), "425")], "financing"),
        ([eight_k("k-1", NOON, ["1.01"], "Item 1.01 Entry.\nAn indenture."), index("p-1", NOON, "425")], "financing"),
        ([eight_k("k-1", NOON, ["1.01"], "x" * 6000 + DEAL)], "bare_agreement"),
        ([eight_k("k-1", NOON, ["1.01", "2.01"], DEAL)], "completion"),
        ([eight_k("k-1", NOON, ["1.01"], DEAL, form="8-K/A")], "amendment"),
    ],
)
def test_deal_rejections(records: list[dict[str, Any]], reason: str) -> None:
    made = label("MNA_ANNOUNCEMENT", records)
    assert made.events == [] and made.counts == {reason: 1}


def test_deal_is_labeled_once_in_half_a_year() -> None:
    deals = [eight_k(f"k-{i}", NOON + timedelta(days=day), ["1.01"], DEAL) for i, day in enumerate((0, 100, 181))]
    made = label("MNA_ANNOUNCEMENT", deals)
    assert [one.key for one in made.events] == [("k-0",), ("k-2",)] and made.counts == {"amendment_of_labeled_deal": 1}


@pytest.mark.parametrize(("days", "moved"), [(1, True), (6, True), (7, False)])
def test_deal_stands_at_the_release_before_its_filing(days: int, moved: bool) -> None:
    """Tuesday's filing; the fourth business day before it is the Wednesday, six days back."""
    release = eight_k(
        "k-0", NOON - timedelta(days=days), ["8.01"], "Item 8.01 Other Events\n" + DEAL.partition("\n")[2]
    )
    (one,) = label("MNA_ANNOUNCEMENT", [release, eight_k("k-1", NOON, ["1.01"], DEAL)]).events
    assert one.event_time == (NOON - timedelta(days=days) if moved else NOON)


# --- GOVERNANCE_COLLAPSE


def exits(
    names: list[str], gap: int = 5, items: tuple[str, ...] = ("5.02",), tail: str = "resigned."
) -> list[dict[str, Any]]:
    return [
        eight_k(f"k-{i}", NOON + timedelta(days=i * gap), items, f"Item 5.02 Departure of Directors\nMr. {name} {tail}")
        for i, name in enumerate(names)
    ]


def test_three_persons_within_thirty_days() -> None:
    (one,) = label("GOVERNANCE_COLLAPSE", exits(["Adams", "Brown", "Clark", "Davis"])).events
    assert (one.subtype, one.confidence) == ("departures", 0.5)
    assert one.event_time == NOON + timedelta(days=10) and one.attributes["persons"] == ["Adams", "Brown", "Clark"]


@pytest.mark.parametrize(
    "records",
    [
        exits(["Adams", "Brown", "Brown"]),
        exits(["Adams", "Brown", "Clark"], gap=16),
        exits(["Adams", "Brown", "Clark"], items=("5.02", "5.01")),
        exits(["Adams", "Brown", "Clark"], tail="will retire at the annual meeting."),
        exits(["Adams", "Brown", "Clark"], tail="was appointed to succeed Jane Doe, who resigned."),
        [index(f"k-{i}", NOON + timedelta(days=i), items=["5.02"]) for i in range(4)],
    ],
    ids=["one person twice", "too slow", "closing", "annual meeting", "successors", "index alone"],
)
def test_no_collapse(records: list[dict[str, Any]]) -> None:
    made = label("GOVERNANCE_COLLAPSE", records)
    assert made.events == []


def test_collapse_again_only_after_the_refractory() -> None:
    names = ["Adams", "Brown", "Clark", "Davis", "Evans", "Foster", "Green", "Hill", "Irwin"]
    made = label("GOVERNANCE_COLLAPSE", exits(names[:3]) + [
        eight_k(f"z-{i}", NOON + timedelta(days=60 + i), ["5.02"], f"Item 5.02 Departure\nMr. {name} resigned.")
        for i, name in enumerate(names[3:6])
    ])  # fmt: skip
    assert [one.key[1] for one in made.events] == ["k-2", "z-2"]


def test_every_departure_filing_is_a_label_or_a_reason() -> None:
    records = exits(["Adams", "Brown", "Clark", "Davis"])
    records += [
        eight_k("k-0a", NOON + timedelta(days=1), ["5.02"], "Item 5.02 Departure\nMr. Adams resigned.", "8-K/A")
    ]
    made = label("GOVERNANCE_COLLAPSE", records)
    assert len(made.events) == 1
    assert made.counts == {"no_cluster_completed": 3, "amendment_restates": 1}


# --- INSIDER_TRADING_DISCLOSURE


def trades(owners: list[str], code: str = "P", gap: int = 5, **more: Any) -> list[dict[str, Any]]:
    made = []
    for i, owner in enumerate(owners):
        when = NOON + timedelta(days=i * gap)
        made.append(form4(f"a-{i}", when, [line(code, 20_000 + i, 10.0, str(when.date()))], [owner], **more))
    return made


def test_three_insiders_make_a_cluster() -> None:
    (one,) = label("INSIDER_TRADING_DISCLOSURE", trades(["1", "2", "3", "4"])).events
    assert (one.subtype, one.confidence, one.event_time) == ("buy_cluster", 0.65, NOON + timedelta(days=10))
    (one,) = label("INSIDER_TRADING_DISCLOSURE", trades(["1", "2", "3"], "S")).events
    assert one.subtype == "sell_cluster"
    assert label("INSIDER_TRADING_DISCLOSURE", trades(["1", "2", "2"])).events == []
    assert label("INSIDER_TRADING_DISCLOSURE", trades(["1", "2", "3"], gap=16)).events == []
    assert label("INSIDER_TRADING_DISCLOSURE", trades(["1", "2", "3"], box=True)).events == []
    assert label("INSIDER_TRADING_DISCLOSURE", trades(["1", "2", "3"], document_type="5")).counts == {"not_form_4": 3}


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (trades(["1", "2", "3"], box=True), "plan"),
        ([form4(f"a-{i}", NOON + timedelta(days=i), [line("S", 10, 10.0, "2024-03-05")], [str(i)]) for i in range(3)],
         None),
    ],
    ids=["plan", "small sales"],
)  # fmt: skip
def test_every_insider_filing_is_a_label_or_a_reason(records: list[dict[str, Any]], reason: str | None) -> None:
    made = label("INSIDER_TRADING_DISCLOSURE", records)
    assert made.events == [] and sum(made.counts.values()) == 3
    assert made.counts[reason or "below_threshold"] >= 1


# --- all of them


def test_rules_that_are_not_built_are_refused() -> None:
    document = default_document()
    document["labels"]["RUG_PULL"] |= {"implemented": False, "waits_for": "nothing"}
    with pytest.raises(NotActiveError, match="RUG_PULL"):
        run_classifier("RUG_PULL", frame([]), context(), load_definitions(document), *WHOLE)


def everything(seed: int) -> list[dict[str, Any]]:
    """Return random filings with deals, exits and releases among them, all within nine months."""
    rng = np.random.default_rng(seed)
    made = filings(seed, 90)
    for i in range(60):
        when = datetime(2023, 7, 1, tzinfo=UTC) + timedelta(minutes=int(rng.integers(0, 240 * 24 * 60)))
        kind = int(rng.integers(4))
        if kind == 0:
            made.append(eight_k(f"d-{i}", when, ["1.01"], DEAL))
        elif kind == 1:
            name = str(rng.choice(["Adams", "Brown", "Clark", "Davis", "Evans"]))
            made.append(eight_k(f"e-{i}", when, ["5.02"], f"Item 5.02 Departure\nMr. {name} resigned."))
        elif kind == 2:
            made.append(index(f"p-{i}", when, str(rng.choice(["425", "DEFM14A", "S-4"]))))
        else:
            clock = None if rng.random() < 0.3 else f"{when:%H:%M}"
            made.append(earnings(str(when.date()), float(rng.normal(1, 0.3)), 1.0, clock, f"P{i}"))
    return made


TYPES = ("EARNINGS_SURPRISE", "MNA_ANNOUNCEMENT", "GOVERNANCE_COLLAPSE", "INSIDER_TRADING_DISCLOSURE")
quick = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def _partition(record: Mapping[str, Any]) -> date:
    when = record["event_time"]
    return date.fromisoformat(record["payload"]["date"]) if when is None else when.date()


@pytest.mark.parametrize("event_type", TYPES)
@quick
@given(seed=st.integers(0, 1000))
def test_windows_and_order_never_matter(event_type: str, seed: int) -> None:
    records = everything(seed)
    start, end = date(2023, 8, 1), date(2024, 2, 1)
    whole = label(event_type, records, (start, end))
    edges = [start, *(start + timedelta(days=n) for n in (1, 40, 41, 100)), end]
    events, counts = [], dict[str, int]()
    for low, high in pairwise(edges):
        need = required_label_window(event_type, low, high, definitions())
        part = [one for one in records if need.start <= _partition(one) < need.end]
        shuffled = [part[i] for i in np.random.default_rng(seed).permutation(len(part))]
        made = label(event_type, shuffled, (low, high))
        events += made.events
        for reason, n in made.counts.items():
            counts[reason] = counts.get(reason, 0) + n
    assert [(one.label_id, one.content_hash) for one in events] == [
        (one.label_id, one.content_hash) for one in whole.events
    ]
    assert counts == dict(whole.counts)
    assert len({one.label_key for one in events}) == len(events)
    assert all(one.known_at >= one.event_time and 0 < one.confidence <= 1 for one in events)
