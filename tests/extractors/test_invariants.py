"""What must hold for every signal on any records: windows, order, later records, ranges (signals.md 4.0)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaldelta_assets.contracts import SecurityContext, SignalEvent
from signaldelta_assets.extractors import Extraction, registered, required_window, run_extractor
from signaldelta_assets.timeline import LatencyModel, sessions
from tests.extractors import make_chain
from tests.extractors.make import (
    ACME,
    OTHER,
    bar,
    context,
    definitions,
    earnings,
    eight_k,
    facts,
    form4,
    frame,
    index,
    line,
    record,
)

START, END = date(2023, 9, 1), date(2024, 3, 1)
ITEMS = ["1.01", "1.02", "2.02", "2.03", "2.05", "3.01", "3.03", "4.01", "4.02", "5.01", "5.02", "9.01"]
TEXT = (
    "Item 5.02 Departure of Directors\nMr. {} resigned.\nItem 1.01 Entry\nA {} contract.\nItem 4.01 Auditor\nresigned."
)
FILINGS = ("S001", "S002", "S003", "S004", "S006", "S011", "S016", "S017", "S018", "S019", "S022", "S023", "S024",
           "S025", "S028", "S033", "S034", "S035", "S036", "S039", "S040", "S041")  # fmt: skip
BARS = ("S059", "S060", "S064", "S065", "S069")
CHAIN = ("S044", "S045", "S049", "S050", "S054")
# Seeds of random chains in which every one of these signals fires.
CHAINS = (6, 9)


def filings(seed: int, n: int = 70) -> list[dict[str, Any]]:
    """Return random filings, trades and releases of two issuers over nine months, some late, amended or repeated."""
    rng, again = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    made: list[dict[str, Any]] = []
    for i in range(n):
        when = datetime(2023, 6, 1, tzinfo=UTC) + timedelta(minutes=int(rng.integers(0, 270 * 24 * 60)))
        entity = (ACME, OTHER)[int(rng.integers(2))]
        more: dict[str, Any] = {"entity": entity}
        if rng.random() < 0.3:
            more |= {"mode": "live", "observed": when + timedelta(minutes=int(rng.integers(1, 5 * 24 * 60)))}
        kind, name, report = int(rng.integers(6)), f"k-{i:03d}", f"2023-{int(rng.integers(6, 10)):02d}-01"
        items = sorted(rng.choice(ITEMS, 3, replace=False).tolist())
        form = "8-K" if rng.random() < 0.7 else "8-K/A"
        if kind == 0:
            made.append(index(name, when, form, items, report, **more))
        elif kind == 1:
            text = TEXT.format("Smith" if i % 2 else "Jones", "credit agreement" if i % 3 else "supply")
            made.append(eight_k(name, when, items, text, form, report, **more))
        elif kind == 2:
            made.append(index(name, when, str(rng.choice(["NT 10-K", "NT 10-Q", "8-A12B"])), **more))
        elif kind == 3 and i % 2:
            made.append(earnings(str(when.date()), float(rng.normal(1, 0.3)), 1.0, f"{when:%H:%M}", f"Q{i}", **more))
            if again.random() < 0.3:
                day, late = str(when.date() + timedelta(days=2)), {"entity": entity}
                made.append(earnings(day, float(again.normal(1, 0.3)), 1.0, f"{when:%H:%M}", f"Q{i}", **late))
        else:
            code = "P" if rng.random() < 0.5 else "S"
            trade = line(code, int(rng.integers(1, 4)) * 20_000, 10.0, str(when.date() - timedelta(days=1)))
            kind_ = "4" if rng.random() < 0.8 else "4/A"
            made.append(form4(name, when, [trade], [str(int(rng.integers(1, 9)))], document_type=kind_, **more))
    made += stated(seed, n // 5) + declared(seed, n // 5)
    return made + periodic(seed) + contests(seed, 14) + both_ways(seed, n // 4)


def declared(seed: int, n: int) -> list[dict[str, Any]]:
    """Return roles of the same issuers: initial schedules and amendments, some seen first in the feed, some late."""
    rng = np.random.default_rng([seed, 6])
    made: list[dict[str, Any]] = []
    for i in range(n):
        when = datetime(2023, 6, 1, tzinfo=UTC) + timedelta(minutes=int(rng.integers(0, 270 * 24 * 60)))
        more: dict[str, Any] = {"entity": (ACME, OTHER)[int(rng.integers(2))]}
        form = str(rng.choice(["SC 13D", "SCHEDULE 13D", "SCHEDULE 13D/A", "SCHEDULE 13G"]))
        payload: dict[str, Any] = {"form": form, "filers": [{"cik": "9", "name": "X"}], "percent": None}
        if rng.random() < 0.3:
            seen = when + timedelta(minutes=int(rng.integers(1, 5 * 24 * 60)))
            made.append(
                record("filing_role", f"r-{i:03d}", when, payload, form=form, mode="live", observed=seen, **more)
            )
            more |= {"mode": "live", "observed": seen + timedelta(minutes=20)}
        payload = payload | {"percent": str(rng.choice(["5.1", "9.9", "25"]))} if i % 2 else payload
        made.append(record("filing_role", f"r-{i:03d}", when, payload, form=form, **more))
    return made


def _now_and_then_live(rng: np.random.Generator, when: datetime) -> dict[str, Any]:
    if rng.random() < 0.8:
        return {}
    return {"mode": "live", "observed": when + timedelta(minutes=int(rng.integers(1, 9 * 24 * 60)))}


def _told(rng: np.random.Generator, entity: str, form: str, period: date, filed: date) -> list[dict[str, Any]]:
    name, is_xbrl = f"{entity}-{form}-{period}", bool(rng.random() < 0.5)
    when = datetime(filed.year, filed.month, filed.day, tzinfo=UTC) + timedelta(hours=int(rng.integers(11, 23)))
    trade = line(str(rng.choice(["A", "P", "S"])), 10.0, 10.0, str(filed - timedelta(days=int(rng.integers(9)))))
    kind, owner = "4" if rng.random() < 0.8 else "4/A", str(int(rng.integers(40, 43)))
    late, other = _now_and_then_live(rng, when), _now_and_then_live(rng, when)
    report = index(name, when, form, report=str(period), filed=str(filed), is_xbrl=is_xbrl, entity=entity, **late)
    if filed < date(2023, 1, 1):
        return [report]
    return [report, form4(f"o-{name}", when, [trade], [owner], document_type=kind, entity=entity, **other)]


def periodic(seed: int) -> list[dict[str, Any]]:
    """Return quarterly reports of four years, some late, some amended, some seen late; and late Forms 4."""
    rng = np.random.default_rng([seed, 3])
    made: list[dict[str, Any]] = []
    for entity in (ACME, OTHER):
        for year in range(2019, 2024):
            for end in ("03-31", "06-30", "09-30", "12-31"):
                form, period = "10-K" if end == "12-31" else "10-Q", date.fromisoformat(f"{year}-{end}")
                filed = period + timedelta(
                    days=35 + int(rng.integers(-2, 3)) + 25 * int(rng.random() < (0.7 if year == 2023 else 0.1))
                )
                made += _told(rng, entity, form, period, filed)
                if rng.random() < 0.5:
                    made += _told(rng, entity, f"{form}/A", period, filed + timedelta(days=int(rng.integers(1, 150))))
    return made


def contests(seed: int, n: int) -> list[dict[str, Any]]:
    """Return proxy papers of the two issuers over three years, some of them about others."""
    rng = np.random.default_rng([seed, 4])
    made = []
    for i in range(n):
        when = datetime(2021, 6, 1, tzinfo=UTC) + timedelta(minutes=int(rng.integers(0, 1000 * 24 * 60)))
        form = str(rng.choice(["DFAN14A", "PREC14A", "DEFC14A", "PX14A6G"]))
        entity, number = (ACME, OTHER)[int(rng.integers(2))], "001-1" if rng.random() < 0.8 else None
        late = _now_and_then_live(rng, when)
        made.append(index(f"c-{i:03d}", when, form, entity=entity, file_number=number, **late))
    return made


def both_ways(seed: int, n: int) -> list[dict[str, Any]]:
    """Return 8-Ks of which index row and text are there: both backfilled, or the text seen long after the row."""
    rng = np.random.default_rng([seed, 5])
    made = []
    for i in range(n):
        when = datetime(2023, 6, 1, tzinfo=UTC) + timedelta(minutes=int(rng.integers(0, 270 * 24 * 60)))
        entity, form = (ACME, OTHER)[int(rng.integers(2))], "8-K" if rng.random() < 0.7 else "8-K/A"
        usual = [item for item in ITEMS if item != "4.02"]
        items, report = sorted(rng.choice(usual, 3, replace=False).tolist()), f"2023-{int(rng.integers(6, 10)):02d}-15"
        text = TEXT.format("Smith" if i % 2 else "Jones", "credit agreement" if i % 3 else "supply")
        late: dict[str, Any] = {}
        if i % 3 == 0:
            late = {"mode": "live", "observed": when + timedelta(days=int(rng.integers(12, 60)))}
        made.append(index(f"b-{i:03d}", when, form, items, report, entity=entity))
        made.append(eight_k(f"b-{i:03d}", when, items, text, form, report, entity=entity, **late))
    return made


def stated(seed: int, n: int) -> list[dict[str, Any]]:
    """Return facts of the same issuers, some seen late: years of three figures each, newer ones as time goes on."""
    rng = np.random.default_rng([seed, 2])
    made: list[dict[str, Any]] = []
    for i in range(n):
        minutes = int(rng.integers(0, 270 * 24 * 60))
        when = datetime(2023, 6, 1, tzinfo=UTC) + timedelta(minutes=minutes)
        more: dict[str, Any] = {"entity": (ACME, OTHER)[int(rng.integers(2))]}
        if rng.random() < 0.3:
            more |= {"mode": "live", "observed": when + timedelta(minutes=int(rng.integers(1, 5 * 24 * 60)))}
        values: dict[tuple[str, str, str], float] = {}
        last = 2010 + minutes // (30 * 24 * 60) - int(rng.integers(3))
        for year in range(last - int(rng.integers(5)), last + 1):
            start, end = f"{year}-01-01", f"{year}-12-31"
            values["NetIncomeLoss", start, end] = float(rng.choice([90.0, 100.0, 180.0]))
            values["NetCashProvidedByUsedInOperatingActivities", start, end] = float(rng.choice([90.0, 100.0]))
            if rng.random() < 0.8:
                values["Assets", "", end] = 1000.0
        made.append(facts(f"f-{i:03d}", when, values, str(rng.choice(["10-K", "10-K/A"])), **more))
    return made


def bars(seed: int) -> list[dict[str, Any]]:
    """Return bars of one issuer in two vintages with jumps, thin days, gaps, and some seen late."""
    rng = np.random.default_rng(seed)
    made: list[dict[str, Any]] = []
    for vintage in ("v1", "v2")[: 1 + seed % 2]:
        days = sessions(date(2021, 12, 1), date(2024, 3, 1))
        # Spells of four times the usual movement with a drift, so that every rule has something to fire on.
        spell = (np.arange(len(days)) // 25) % 4 == 3
        returns = rng.standard_t(3, len(days)) * np.where(spell, 0.03, 0.008) + np.where(spell, 0.02, 0.0)
        closes, volumes = 50 * np.exp(np.cumsum(returns)), np.exp(rng.standard_t(3, len(days)) * 0.5 + 14)
        for day, close, volume in zip(days, closes, volumes, strict=True):
            if rng.random() < 0.02:
                continue
            more: dict[str, Any] = {}
            if rng.random() < 0.01:
                seen = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=int(rng.integers(1, 9)))
                more = {"mode": "live", "observed": seen}
            made.append(bar(day.date(), float(close), float(volume), vintage=vintage, **more))
    return made


def extract(signal: str, records: list[dict[str, Any]], start: date = START, end: date = END) -> Extraction:
    known = SecurityContext({**context().securities, **make_chain.context().securities})
    return run_extractor(signal, frame(records), known, definitions(), start, end)


def content(events: list[SignalEvent]) -> list[tuple[str, str, object]]:
    return [(event.event_id, event.content_hash, event.frontier) for event in events]


def loaded(signal: str, records: list[dict[str, Any]], start: date, end: date) -> list[dict[str, Any]]:
    """Return what a loader would read for the window: partitions by UTC date, declared source types."""
    window = required_window(signal, start, end, definitions())
    return [
        one for one in records
        if one["source_type"] in window.source_types and window.start <= one["event_time"].date() < window.end
    ]  # fmt: skip


def check_windows(signal: str, records: list[dict[str, Any]], cuts: list[int]) -> int:
    whole = extract(signal, records)
    edges = sorted({START, END, *(START + timedelta(days=cut) for cut in cuts)})
    events: list[SignalEvent] = []
    counts: dict[str, int] = {}
    for low, high in pairwise(edges):
        part = extract(signal, loaded(signal, records, low, high), low, high)
        events += part.events
        for reason, n in part.counts.items():
            counts[reason] = counts.get(reason, 0) + n
    assert content(events) == content(whole.events)
    assert counts == dict(whole.counts)
    assert len({event.event_key for event in events}) == len(events)
    return len(events)


cuts_ = st.lists(st.integers(1, (END - START).days - 1), max_size=4)
quick = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

few = settings(quick, max_examples=6)


@quick
@given(seed=st.integers(0, 10_000), cuts=cuts_, signal=st.sampled_from(FILINGS))
def test_split_windows_give_the_same_filing_events(seed: int, cuts: list[int], signal: str) -> None:
    check_windows(signal, filings(seed), cuts)


@pytest.mark.parametrize("signal", FILINGS)
def test_every_day_alone_gives_the_same_filing_events(signal: str) -> None:
    assert check_windows(signal, filings(11, 280), list(range(1, (END - START).days, 9))) > 0


@pytest.mark.parametrize("signal", BARS)
def test_split_windows_give_the_same_bar_events(signal: str) -> None:
    assert sum(check_windows(signal, bars(seed), [1, 18, 60, 125]) for seed in (1,)) > 0


@quick
@given(seed=st.integers(0, 10_000), signal=st.sampled_from(FILINGS))
def test_order_of_records_never_matters(seed: int, signal: str) -> None:
    records = filings(seed)
    shuffled = [records[i] for i in np.random.default_rng(seed).permutation(len(records))]
    first, second = extract(signal, records), extract(signal, shuffled)
    assert content(first.events) == content(second.events) and first.counts == second.counts


def one_evening(seed: int) -> list[dict[str, Any]]:
    """Return the filings and declarations of many days as of a few evenings: most share when they were available."""
    rng = np.random.default_rng([seed, 7])

    def when() -> datetime:
        # After half past five in New York, in a handful of seconds: the next morning is when all of them are known.
        return datetime(2023, 11, 6 + int(rng.integers(2)), 23, 10, int(rng.integers(4)), tzinfo=UTC)

    return [one | {"event_time": when(), "collection_mode": "backfill"} for one in filings(seed, 120)]


@pytest.mark.parametrize("signal", FILINGS)
def test_order_never_matters_among_what_became_known_together(signal: str) -> None:
    """Ties of availability are broken by what the records are, never by where they stand."""
    for seed in (3, 4):
        records = one_evening(seed)
        whole = extract(signal, records)
        for turn in range(2):
            shuffled = [records[i] for i in np.random.default_rng(turn).permutation(len(records))]
            again = extract(signal, shuffled)
            assert content(again.events) == content(whole.events) and again.counts == whole.counts


def _until(records: list[dict[str, Any]], moment: datetime) -> list[dict[str, Any]]:
    known = LatencyModel.from_dict(definitions().availability_basis).available_time(frame(records))
    return [one for one, when in zip(records, known, strict=True) if when <= moment]


def _check_no_look_ahead(signal: str, records: list[dict[str, Any]], moment: datetime) -> None:
    """Events that were available at `moment` are the same whether or not later records are there."""
    model = LatencyModel.from_dict(definitions().availability_basis)

    def known(events: list[SignalEvent]) -> list[SignalEvent]:
        found = []
        for event in events:
            rows = [entry.to_document() | {"event": 0} for entry in event.frontier]
            table = frame([])[["source_type", "form", "event_time", "observed_time", "collection_mode"]]
            for row in rows:
                table.loc[len(table)] = [row["source_type"], row["form"], row["event_time"], row["observed_time"],
                                         row["collection_mode"]]  # fmt: skip
            for name in ("event_time", "observed_time"):
                table[name] = np.asarray([datetime.fromisoformat(value) for value in table[name]], dtype=object)
                table[name] = table[name].astype("datetime64[us, UTC]")
            if model.available_time(table).max() <= moment:
                found.append(event)
        return found

    whole, part = extract(signal, records).events, extract(signal, _until(records, moment)).events
    assert content(known(whole)) == content(known(part))


@quick
@given(seed=st.integers(0, 10_000), day=st.integers(30, 170), signal=st.sampled_from(FILINGS))
def test_later_records_never_move_earlier_filing_events(seed: int, day: int, signal: str) -> None:
    moment = datetime(START.year, START.month, START.day, 14, tzinfo=UTC) + timedelta(days=day)
    _check_no_look_ahead(signal, filings(seed), moment)


def test_a_filing_seen_late_is_not_in_earlier_figures() -> None:
    """The first notice was seen only after the second, which therefore repeats nothing."""
    first, second = (datetime(2023, 10, day, 15, tzinfo=UTC) for day in (2, 20))
    seen_late = index("n-1", first, "NT 10-K", mode="live", observed=second + timedelta(days=1))
    records = [seen_late, index("n-2", second, "NT 10-K")]
    assert [event.strength_norm for event in extract("S016", records).events] == [0.8, 0.8]
    records[0] = index("n-1", first, "NT 10-K", mode="live", observed=first)
    assert [event.strength_norm for event in extract("S016", records).events] == [0.8, 1.0]


@pytest.mark.parametrize("signal", BARS)
def test_later_records_never_move_earlier_bar_events(signal: str) -> None:
    """Each moment lies between the close of a session that fires and the arrival of a bar from just before it."""
    records = [one for one in bars(4) if one["collection_mode"] == "backfill"]
    fired = extract(signal, records).events
    assert fired
    for event in fired[:3]:
        place = next(i for i, one in enumerate(records) if one["event_time"] == event.event_time)
        late = event.event_time + timedelta(days=20)
        slow = [*records]
        slow[place - 1] = records[place - 1] | {"collection_mode": "live", "observed_time": late}
        _check_no_look_ahead(signal, slow, event.event_time + timedelta(hours=1))


@quick
@given(seed=st.integers(0, 10_000), signal=st.sampled_from(FILINGS))
def test_figures_are_in_range_and_rounded(seed: int, signal: str) -> None:
    events = extract(signal, filings(seed)).events
    assert len({event.event_id for event in events}) == len(events)
    for event in events:
        for figure in (event.strength_norm, event.reliability):
            assert 0 <= figure <= 1 and figure == round(figure, 6)
        fixed = definitions().signal(signal).direction
        assert event.direction == fixed or (fixed == "sign" and event.direction in (-1, 0, 1))
        assert all(entry.event_time is not None and entry.event_time <= event.event_time for entry in event.frontier)


def test_every_registered_signal_is_tested_here() -> None:
    assert set(registered()) == {*FILINGS, *BARS, *CHAIN}


@pytest.mark.parametrize("signal", CHAIN)
def test_parts_give_the_same_chain_events(signal: str) -> None:
    assert sum(check_windows(signal, make_chain.chain(seed), list(range(1, 42, 5))) for seed in CHAINS) > 0


@few
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 40), max_size=3), signal=st.sampled_from(CHAIN))
def test_split_windows_and_order_never_change_chain_events(seed: int, cuts: list[int], signal: str) -> None:
    records = make_chain.chain(seed)
    check_windows(signal, records, cuts)
    shuffled = [records[i] for i in np.random.default_rng(seed).permutation(len(records))]
    first, second = extract(signal, records), extract(signal, shuffled)
    assert content(first.events) == content(second.events) and first.counts == second.counts


@few
@given(seed=st.integers(0, 10_000), hours=st.integers(24, 40 * 24), signal=st.sampled_from(CHAIN))
def test_later_records_never_move_earlier_chain_events(seed: int, hours: int, signal: str) -> None:
    moment = datetime(START.year, START.month, START.day, tzinfo=UTC) + timedelta(hours=hours)
    _check_no_look_ahead(signal, make_chain.chain(seed), moment)


@pytest.mark.parametrize("signal", CHAIN)
def test_later_records_never_move_the_chain_events_just_before_them(signal: str) -> None:
    records = max((make_chain.chain(seed) for seed in CHAINS), key=lambda one: len(extract(signal, one).events))
    fired = extract(signal, records).events
    assert fired
    for event in fired[:2]:
        _check_no_look_ahead(signal, records, event.observed_time + timedelta(minutes=1))
        _check_no_look_ahead(signal, records, event.event_time + timedelta(minutes=4))


@pytest.mark.parametrize("signal", ["S044", "S049", "S054"])
def test_a_sync_that_comes_late_moves_nothing_that_fired_before_it_came(signal: str) -> None:
    """Each Sync just before one that fires comes an hour later: at that one's moment the pool looks different."""
    moved = 0
    for seed in CHAINS:
        records = [one | {"collection_mode": "backfill"} for one in make_chain.chain(seed)]
        syncs = [one for one in records if one["source_type"] == "uni2_sync"]
        for event in extract(signal, records).events[:4]:
            own = [one for one in syncs if one["entity_id"] == event.entity_id]
            place = next(i for i, one in enumerate(own) if one["raw_record_id"] in event.raw_record_ids)
            late = own[place]
            if late["event_time"] == event.event_time:
                continue
            came = event.event_time + timedelta(hours=1)
            slow = [one for one in records if one is not late]
            slow.append(late | {"collection_mode": "live", "observed_time": came})
            _check_no_look_ahead(signal, slow, came - timedelta(seconds=1))
            moved += 1
    assert moved
