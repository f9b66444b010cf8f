"""The bar signals: each rule against figures computed directly, each trap, and what was known when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from signaldelta_assets.contracts import Listing, Security, SecurityContext
from signaldelta_assets.extractors import run_extractor
from signaldelta_assets.extractors.bars import after_refractory, deviation, median, started, windows
from signaldelta_assets.timeline import sessions
from tests.extractors.make import ACME, FETCHED, bar, definitions, frame, record, run

DAYS = [day.date() for day in sessions(date(2023, 1, 3), date(2024, 6, 28))]


def series(
    n: int = 140, jumps: dict[int, float] | None = None, volumes: dict[int, float] | None = None, **more: Any
) -> list[dict[str, Any]]:
    """Return n bars with returns of +1 % and -1 % in turn, `jumps` (log returns) and `volumes` instead at places."""
    returns = np.where(np.arange(n) % 2 == 0, 0.01, -0.01)
    for place, jump in (jumps or {}).items():
        returns[place] = jump
    closes = 100 * np.exp(np.cumsum(returns))
    turnover = 1e6 * np.where(np.arange(n) % 2 == 0, 1.1, 0.9)
    for place, volume in (volumes or {}).items():
        turnover[place] = volume
    return [bar(DAYS[i], float(closes[i]), float(turnover[i]), **more) for i in range(n)]


def fired(signal: str, records: list[dict[str, Any]]) -> list[str]:
    return [event.key[0] for event in run(signal, records).events]


def test_windows_end_before_the_session() -> None:
    found = windows(np.arange(4.0), 2, 1)
    assert np.array_equal(found, [[np.nan, np.nan], [np.nan, 0], [0, 1], [1, 2]], equal_nan=True)
    assert np.array_equal(windows(np.arange(3.0), 2, 0), [[np.nan, 0], [0, 1], [1, 2]], equal_nan=True)


def test_rolling_figures_are_pandas() -> None:
    values = np.random.default_rng(3).normal(size=300)
    values[::7] = np.nan
    past, pandas_ = windows(values, 20, 1), pd.Series(values).rolling(20, min_periods=10)
    np.testing.assert_allclose(deviation(past, 10), pandas_.std().shift(1).to_numpy(), rtol=1e-9)
    np.testing.assert_allclose(median(past, 10), pandas_.median().shift(1).to_numpy(), rtol=1e-12)


def test_refractory() -> None:
    assert list(started(np.array([True, True, False, True]), np.array([True, True, True, True]))) == [0, 3]
    # The session between does not count, so the condition has not ended there.
    assert list(started(np.array([True, False, True]), np.array([True, False, True]))) == [0]
    assert list(after_refractory(np.array([0, 3, 5, 8, 11]), 5, 100)) == [0, 5, 11]


def test_s059_strength_sign_and_time() -> None:
    (event,) = run("S059", series(jumps={100: -0.06})).events
    past = np.where(np.arange(40, 100) % 2 == 0, 0.01, -0.01)
    z = 0.06 / np.std(past, ddof=1)
    assert event.strength_norm == pytest.approx(0.25 + 0.75 * (z - 3) / 5, abs=1e-6)
    assert (event.direction, event.reliability, event.key) == (-1, 0.7, (str(DAYS[100]),))
    assert event.event_time == datetime(DAYS[100].year, DAYS[100].month, DAYS[100].day, 20, tzinfo=UTC)
    (entry,) = event.frontier
    assert entry.event_time == event.event_time and len(event.raw_record_ids) == 2


def test_s059_floor_and_history() -> None:
    assert fired("S059", series(jumps={39: 0.2})) == []  # fewer than 40 returns before
    assert fired("S059", series(jumps={41: 0.2})) == [str(DAYS[41])]
    quiet = [bar(DAYS[i], 100 + 0.01 * (i % 2), 1e6 + i) for i in range(80)]
    quiet += [bar(DAYS[80], 102.0, 1e6), bar(DAYS[81], 104.9, 1e6)]
    assert fired("S059", quiet) == [str(DAYS[81])]  # 2 % is below three times the floor of 0.008, 2.8 % is not


def test_s059_condition_starts_then_refractory() -> None:
    assert fired("S059", series(jumps={100: 0.2, 101: 0.3})) == [str(DAYS[100])]
    assert fired("S059", series(jumps={100: 0.2, 103: 0.3})) == [str(DAYS[100])]
    assert fired("S059", series(jumps={100: 0.2, 105: 0.3})) == [str(DAYS[100]), str(DAYS[105])]


@pytest.mark.parametrize("fault", ["volume", "stale", "missing"])
def test_dropped_sessions_leave_the_return_to_the_next(fault: str) -> None:
    records = series(jumps={100: 0.0, 101: 0.2})
    if fault == "volume":
        records[100]["payload"]["volume"] = 0
    elif fault == "stale":
        records[100]["payload"] |= {k: records[99]["payload"][k] for k in ("open", "high", "low", "close", "volume")}
    else:
        del records[100]
    made = run("S059", records)
    assert [event.key[0] for event in made.events] == [str(DAYS[101])]
    assert dict(made.counts) == {"volume": {"no_volume": 1}, "stale": {"stale_repeat": 1}, "missing": {}}[fault]


def test_unadjusted_closes_need_the_split() -> None:
    records = series(jumps={100: -np.log(4)}, adjusted=False)
    assert fired("S059", records) == [str(DAYS[100])]
    payload = {"ticker": "ACM", "execution_date": str(DAYS[100]), "split_from": 1, "split_to": 4}
    early = datetime(DAYS[100].year, DAYS[100].month, DAYS[100].day, 9, tzinfo=UTC)
    split = record("split", "ACM|x", early, payload)
    assert fired("S059", [*records, split]) == []
    unseen = record("split", "ACM|x", early, payload, observed=early + timedelta(days=3), mode="live")
    assert fired("S059", [*records, unseen]) == [str(DAYS[100])]


def test_a_split_known_late_counts_from_then_on() -> None:
    """The jump of 6 % is nothing beside a fall by a factor of four, until the split that made the fall is known."""
    records = series(jumps={100: -np.log(4), 120: 0.06, 140: 0.06}, n=160, adjusted=False)
    payload = {"ticker": "ACM", "execution_date": str(DAYS[100]), "split_from": 1, "split_to": 4}
    early = datetime(DAYS[100].year, DAYS[100].month, DAYS[100].day, 9, tzinfo=UTC)
    seen = datetime(DAYS[130].year, DAYS[130].month, DAYS[130].day, 9, tzinfo=UTC)
    assert fired("S059", records) == [str(DAYS[100])]
    made = run("S059", [*records, record("split", "ACM|x", early, payload, observed=seen, mode="live")])
    assert [event.key[0] for event in made.events] == [str(DAYS[100]), str(DAYS[140])]
    assert [[e.source_type for e in event.frontier] for event in made.events] == [["daily_bar"], ["daily_bar", "split"]]


def test_s060_run() -> None:
    assert fired("S060", series(jumps=dict.fromkeys(range(100, 110), 0.012))) != []
    (event, *_) = run("S060", series(jumps=dict.fromkeys(range(100, 110), -0.012))).events
    assert event.direction == -1 and event.attributes["log_return"] < 0
    assert fired("S060", series()) == []


def test_s064_direction_follows_the_return_only_where_it_is_one() -> None:
    still = run("S064", series(volumes={100: 4e6}, jumps={100: 0.001})).events
    moved = run("S064", series(volumes={100: 4e6}, jumps={100: -0.05})).events
    assert [event.direction for event in still] == [0] and [event.direction for event in moved] == [-1]
    assert still[0].reliability == 0.75


def test_s064_triple_witching_halves_reliability() -> None:
    place = DAYS.index(date(2023, 6, 16))
    (event,) = run("S064", series(volumes={place: 5e6})).events
    assert event.reliability == 0.375


def test_s065_and_s069() -> None:
    thin = series(200, volumes=dict.fromkeys(range(150, 158), 200000.0))
    assert fired("S065", thin)[0] >= str(DAYS[150])
    wild = series(200, jumps={i: 0.04 * (-1) ** i for i in range(160, 175)})
    (event, *_) = run("S069", wild).events
    assert event.direction == 0 and event.attributes["ratio"] >= 2


def test_vintages_do_not_mix_and_one_speaks() -> None:
    whole = series(jumps={100: 0.2})
    other = [bar(DAYS[i], 50.0 + (i % 2), 1e6 + i, vintage="v0") for i in range(60, 140)]
    made = run("S059", [*whole, *other])
    assert [(event.key[0], event.attributes["vintage"]) for event in made.events] == [(str(DAYS[100]), "v1")]
    both = run("S059", [*whole, *series(jumps={100: 0.2}, vintage="v2")])
    assert [event.attributes["vintage"] for event in both.events] == ["v1"]
    assert both.counts["other_vintage_or_class"] == 1


def test_primary_share_class_speaks() -> None:
    records = [*series(jumps={100: 0.2}), *series(jumps={100: 0.2}, ticker="ACM.B")]
    context = SecurityContext({ACME: Security(ACME, "Acme", primary_ticker="ACM.B")})
    made = run_extractor("S059", frame(records), context, definitions(), date(2020, 1, 1), date(2026, 1, 1))
    assert [event.attributes["ticker"] for event in made.events] == ["ACM.B"]


def test_a_change_of_ticker_does_not_end_a_series() -> None:
    records = [row for i, row in enumerate(series(jumps={100: 0.2})) if i < 80]
    records += [row for i, row in enumerate(series(jumps={100: 0.2}, ticker="NEW")) if i >= 80]
    assert fired("S059", records) == []  # two series, each too short
    listings = (Listing(ACME, "ACM", date(2010, 1, 4), DAYS[80], "CLASS", True),
                Listing(ACME, "NEW", DAYS[80], None, "CLASS", True))  # fmt: skip
    context = SecurityContext({ACME: Security(ACME, "Acme", listings=listings, primary_ticker="NEW")})
    made = run_extractor("S059", frame(records), context, definitions(), date(2020, 1, 1), date(2026, 1, 1))
    assert [(event.key[0], event.attributes["ticker"]) for event in made.events] == [(str(DAYS[100]), "NEW")]


def test_a_class_under_two_tickers_on_one_day_is_one_bar() -> None:
    records = [*series(jumps={100: 0.2}), bar(DAYS[100], 7.0, 1e6, ticker="NEW")]
    listings = (Listing(ACME, "ACM", date(2010, 1, 4), DAYS[80], "CLASS", True),
                Listing(ACME, "NEW", DAYS[80], None, "CLASS", True))  # fmt: skip
    context = SecurityContext({ACME: Security(ACME, "Acme", listings=listings)})
    made = run_extractor("S059", frame(records), context, definitions(), date(2020, 1, 1), date(2026, 1, 1))
    assert made.counts["class_twice"] == 1 and [event.key[0] for event in made.events] == [str(DAYS[100])]


def test_of_a_class_twice_on_one_day_the_first_known_bar_stands() -> None:
    """The former ticker's bar comes days later: what fired on the present one's stays. One without volume is none."""
    jump = series(jumps={100: 0.2})
    present = [row | {"natural_key": row["natural_key"].replace("ACM", "NEW"),
                      "payload": row["payload"] | {"ticker": "NEW"}} for row in jump[100:101]]  # fmt: skip
    listings = (Listing(ACME, "ACM", date(2010, 1, 4), DAYS[80], "CLASS", True),
                Listing(ACME, "NEW", DAYS[80], None, "CLASS", True))  # fmt: skip
    context = SecurityContext({ACME: Security(ACME, "Acme", listings=listings)})
    late = bar(DAYS[100], 7.0, 1e6, mode="live", observed=jump[100]["event_time"] + timedelta(days=3))
    halted = bar(DAYS[100], 7.0, 0.0)
    for former in ([], [late], [halted]):
        records = [*jump[:100], *jump[101:], *present, *former]
        made = run_extractor("S059", frame(records), context, definitions(), date(2020, 1, 1), date(2026, 1, 1))
        assert [(event.key[0], event.attributes["ticker"]) for event in made.events] == [(str(DAYS[100]), "NEW")]
        assert made.counts["class_twice"] == len(former)


def test_a_bar_that_came_later_makes_no_repeat_of_an_earlier_one() -> None:
    """The day before the jump is told late, with the jump's own figures: the jump was news when it came."""
    whole = series(jumps={100: 0.2})
    same = whole[100]["payload"] | {"session": str(DAYS[99])}
    for days, fires in ((3, True), (0, False)):
        told = whole[99] | {"payload": same, "collection_mode": "live",
                            "observed_time": whole[99]["event_time"] + timedelta(days=days)}  # fmt: skip
        found = fired("S059", [*whole[:99], told, *whole[100:]])
        assert (str(DAYS[100]) in found) == fires


def test_the_primary_class_is_that_of_the_session() -> None:
    """The primary class has another ticker since; another class trades under its former one today."""
    records = [*series(jumps={100: 0.2}), *series(jumps={100: 0.2}, ticker="ACM.B")]
    later = DAYS[130]
    listings = (Listing(ACME, "ACM.B", date(2010, 1, 4), later, "FIRST", True),
                Listing(ACME, "ACM", date(2010, 1, 4), later, "SECOND"),
                Listing(ACME, "ACM", later, None, "FIRST", True))  # fmt: skip
    context = SecurityContext({ACME: Security(ACME, "Acme", listings=listings, primary_ticker="ACM")})
    made = run_extractor("S059", frame(records), context, definitions(), date(2020, 1, 1), DAYS[120])
    assert [event.attributes["ticker"] for event in made.events] == ["ACM.B"]


def test_a_bar_seen_late_is_not_in_earlier_figures() -> None:
    """A live bar that came a week late hides itself from the days before it came, and only from them."""
    records = series(jumps={100: 0.2, 101: -0.2})
    late = DAYS[100] + timedelta(days=30)
    records[100] |= {"collection_mode": "live", "observed_time": datetime(late.year, late.month, late.day, tzinfo=UTC)}
    # The day after: the return from the last known close is nothing unusual. The late bar itself fires.
    assert fired("S059", records) == [str(DAYS[100])]
    (event,) = run("S059", records).events
    assert max(entry.observed_time for entry in event.frontier if entry.collection_mode == "live").date() == late


def test_a_correction_does_not_change_what_fired() -> None:
    records = series(jumps={100: 0.2})
    fixed = bar(DAYS[100], 1.0, 1e6, mode="live", observed=FETCHED + timedelta(days=30))
    before, after = run("S059", records), run("S059", [*records, fixed])
    assert [event.content_hash for event in before.events] == [event.content_hash for event in after.events]
    assert after.counts["later_observation"] == 1
