"""Daily bars as series on the session grid (signals.md 4.5), and from a condition to events.

Each (entity, share class, vintage) is a series of its own: returns never cross vintages, and a change of ticker does
not end a series. Where an entity has several, the one with most bars in the trailing `walk` sessions speaks at a
session, ties by class and vintage; no later bar enters that choice. The class that was the primary one on the day of
the session comes first: one issuer, one primary share class. Where no source names classes, a ticker stands for its.
Dropped sessions: zero or missing volume, stale repeats of the bar before, days on which the exchange did not trade.
Rolling figures are taken over whole windows, never updated along a series, so that they have the same bits in any run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..contracts import CollectionMode, FrontierEntry, SecurityContext, SignalEvent, merge_frontier
from ..timeline import sessions
from .base import Extraction, SignalParams
from .frames import Record, by_entity, first_available, frontier, rows
from .scales import Floats

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_SERIES = ["entity_id", "share_class", "vintage"]
_PRICES = ["open", "high", "low", "close", "volume"]
NEVER = np.iinfo(np.int64).max
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Bars:
    """The prepared bars as columns; a record is made of a row only where an event needs it."""

    frame: pd.DataFrame
    t: Ints
    k: Ints
    observed: Ints
    slot: Ints
    slots: list[tuple[str, CollectionMode]]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Bars:
        """Return the columns of a prepared frame; `slot` numbers its (form, mode) pairs."""
        pairs = frame["form"].fillna("").astype(str) + "|" + frame["collection_mode"].astype(str)
        slot, names = pd.factorize(pairs, sort=True)
        parts = [name.rpartition("|") for name in names.tolist()]
        return cls(
            frame=frame,
            t=frame["t"].to_numpy(np.int64),
            k=frame["k"].to_numpy(np.int64),
            observed=frame["observed_time"].dt.tz_localize(None).astype("datetime64[us]").astype("int64").to_numpy(),
            slot=slot.astype(np.int64),
            slots=[(form, CollectionMode(mode)) for form, _, mode in parts],
        )

    def records(self, wanted: Iterable[int]) -> dict[int, Record]:
        """Return the bars of those rows by row."""
        order = sorted(set(wanted))
        return dict(zip(order, rows(self.frame.iloc[order]), strict=True))

    def edge(self, used: Ints) -> tuple[FrontierEntry, ...]:
        """Return the frontier of the bars in the rows `used`: one entry per form and mode."""
        entries = []
        for number in np.unique(self.slot[used]):
            own = used[self.slot[used] == number]
            form, mode = self.slots[int(number)]
            happened, observed = _utc(int(self.t[own].max())), _utc(int(self.observed[own].max()))
            entries.append(FrontierEntry("daily_bar", form, mode, happened, observed))
        return tuple(entries)


def _utc(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


@dataclass(frozen=True)
class Series:
    """One vintage of one share class on consecutive sessions; arrays of length n, NaN (k: NEVER) where no bar counts.

    `position` is the first session's number; `row` points into the prepared bars, -1 where there is none; `r` is the
    log return on the last counting close, at most `max_gap` sessions back; `dv` the dollar volume in 1e6.
    """

    entity_id: str
    share_class: str
    vintage: str
    position: int
    days: pd.DatetimeIndex
    close: Floats
    volume: Floats
    k: Ints
    row: Ints
    split: Floats
    splits: tuple[tuple[int, Record], ...]
    max_gap: int

    @cached_property
    def dv(self) -> Floats:
        """Dollar volume, 1e6 USD; a split leaves it alone."""
        return self.close * self.volume / 1e6

    @cached_property
    def r(self) -> Floats:
        """Log returns, NaN where there is no counting close within `max_gap` sessions before."""
        value = np.log(self.close)
        past = np.full_like(value, np.nan)
        split = np.log(self.split)
        factor = np.zeros_like(value)
        for back in range(1, self.max_gap + 1):
            # Splits between the two closes, those of the later session included.
            factor = factor + _shift(split, back - 1, 0.0)
            past = np.where(np.isnan(past), _shift(value, back) - factor, past)
        found: Floats = value - past
        return found

    def until(self, at: int, span: int) -> Series:
        """Return the last `span` sessions as they could be known with bar `at`: without slower bars and splits."""
        part = slice(max(0, at - span), at + 1)
        hidden = self.k[part] > self.k[at]
        return replace(
            self,
            position=self.position + part.start,
            days=self.days[part],
            close=np.where(hidden, np.nan, self.close[part]),
            volume=np.where(hidden, np.nan, self.volume[part]),
            k=np.where(hidden, NEVER, self.k[part]),
            row=self.row[part],
            split=split_factors(len(self.k), self.known_splits(at))[part],
        )

    def known_splits(self, at: int) -> list[tuple[int, Record]]:
        """Return the splits that were known with bar `at`."""
        return [(place, split) for place, split in self.splits if split.k <= self.k[at]]


def split_factors(n: int, splits: Iterable[tuple[int, Record]]) -> Floats:
    """Return what splits multiply the shares by, per session of `n`."""
    factor = np.ones(n)
    for place, split in splits:
        factor[place] *= float(split.payload["split_to"]) / float(split.payload["split_from"])
    return factor


@dataclass(frozen=True)
class Measure:
    """A signal's figures per session: whether its condition holds, and what an event there would say."""

    holds: Bools
    strength: Floats
    direction: Ints
    figures: dict[str, Floats]
    # What the reliability is multiplied by; None for 1 throughout.
    factor: Floats | None = None


def _shift(values: Floats, by: int, fill: float = np.nan) -> Floats:
    if by == 0:
        return values
    return np.concatenate([np.full(min(by, len(values)), fill), values[:-by]])


def windows(values: Floats, length: int, lag: int) -> Floats:
    """Return, per session, the `length` values that end `lag` sessions before it: shape (n, length), NaN-padded."""
    padded = np.concatenate([np.full(length - 1 + lag, np.nan), values])[: len(values) + length - 1]
    # A contiguous copy, for the order of a sum must not depend on how many rows there are.
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, length))


def counted(window: Floats) -> Ints:
    """Return how many values of each window count."""
    found: Ints = np.count_nonzero(~np.isnan(window), axis=1)
    return found


def mean(window: Floats, least: int) -> Floats:
    """Return the mean of each window, NaN below `least` values."""
    n = counted(window)
    return np.where(n >= least, np.where(np.isnan(window), 0.0, window).sum(axis=1) / np.maximum(n, 1), np.nan)


def deviation(window: Floats, least: int) -> Floats:
    """Return the sample standard deviation of each window, NaN below `least` values."""
    off = window - mean(window, least)[:, None]
    n = counted(window)
    total = np.where(np.isnan(off), 0.0, off * off).sum(axis=1)
    return np.where(n >= max(least, 2), np.sqrt(total / np.maximum(n - 1, 1)), np.nan)


def median(window: Floats, least: int) -> Floats:
    """Return the median of each window (mean of the middle two), NaN below `least` values."""
    ordered = np.sort(window, axis=1)  # NaN last
    n = counted(window)
    at = np.arange(len(window))
    middle = (ordered[at, np.maximum(n - 1, 0) // 2] + ordered[at, np.minimum(n // 2, window.shape[1] - 1)]) / 2
    return np.where(n >= least, middle, np.nan)


def _classes(bars: pd.DataFrame, context: SecurityContext) -> list[str]:
    """Return the share class of each bar."""
    known: dict[tuple[str, str, date], str] = {}
    found = []
    for entity, ticker, session in zip(bars["entity_id"], bars["ticker"], bars["session"], strict=True):
        security = context.get(entity)
        if security is None or not security.listings:
            found.append(ticker)
            continue
        key = (entity, ticker, date.fromisoformat(session))
        if key not in known:
            known[key] = security.class_of(ticker, key[2])
        found.append(known[key])
    return found


def _columns(frame: pd.DataFrame, context: SecurityContext, counts: Counter[str]) -> pd.DataFrame:
    names = ("ticker", "session", "vintage", "open", "high", "low", "close", "volume", "adjusted")
    payloads = frame["payload"].tolist()
    bars = pd.DataFrame({name: [payload.get(name) for payload in payloads] for name in names})
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = pd.to_numeric(bars[name], errors="coerce").astype("float64")
    for name in ("entity_id", "k", "is_trigger"):
        bars[name] = frame[name].to_numpy()
    bars["row"] = np.arange(len(bars))
    bars["day"] = pd.to_datetime(bars["session"], format="%Y-%m-%d").astype("datetime64[us]")
    if len(bars):
        days = sessions(bars["day"].min().date(), bars["day"].max().date())
        bars["position"] = days.get_indexer(pd.DatetimeIndex(bars["day"]))
    else:
        bars["position"] = pd.Series(dtype="int64")
    bars["share_class"] = _classes(bars, context)
    bars["empty"] = ~((bars["close"] > 0) & (bars["volume"] > 0))
    # Of two bars of a day that say something the one available first: no later bar may take an earlier one's place.
    bars = bars.sort_values([*_SERIES, "day", "empty", "k", "ticker"], kind="stable")
    twice = bars.duplicated([*_SERIES, "day"])
    once = bars[~twice]
    before = once.groupby(_SERIES, sort=False)[[*_PRICES, "k"]].shift()
    # What came later than the bar itself does not make it a repeat.
    stale = (once[_PRICES] == before[_PRICES]).all(axis=1) & (before["k"] <= once["k"])
    for reason, refused in (
        # A download that has one class under its former and its present ticker.
        ("class_twice", twice),
        ("not_a_session", bars["position"] < 0),
        ("no_price", ~(bars["close"] > 0)),
        ("no_volume", ~(bars["volume"] > 0)),
        ("stale_repeat", stale),
    ):
        refused = refused.reindex(bars.index).fillna(False)
        counts[reason] += int((refused & bars["is_trigger"]).sum())
        bars = bars[~refused]
    return bars


def read_series(
    records: pd.DataFrame, context: SecurityContext, params: SignalParams, counts: Counter[str]
) -> tuple[list[Series], Bars]:
    """Return the series of the frame's `daily_bar` rows, ordered by entity, share class, vintage, and the bars."""
    frame = first_available(records[records["source_type"] == "daily_bar"], counts).reset_index(drop=True)
    bars = _columns(frame, context, counts)
    if bars.empty:
        return [], Bars.of(frame)
    all_days = sessions(bars["day"].min().date(), bars["day"].max().date())
    splits = by_entity(rows(first_available(records[records["source_type"] == "split"], Counter())))
    found = []
    for (entity, share_class, vintage), own in bars.groupby(_SERIES, sort=True):
        first, last = int(own["position"].min()), int(own["position"].max())
        n = last - first + 1
        at = own["position"].to_numpy() - first
        close, volume = np.full(n, np.nan), np.full(n, np.nan)
        k, row = np.full(n, NEVER, dtype=np.int64), np.full(n, -1, dtype=np.int64)
        close[at], volume[at] = own["close"], own["volume"]
        k[at], row[at] = own["k"], own["row"]
        days = all_days[first : last + 1]
        # An adjusted download has its splits in it; they cancel in ratios, whenever they happened.
        applied = []
        for split in [] if bool(own["adjusted"].iloc[0]) else splits.get(str(entity), []):
            place = int(days.searchsorted(pd.Timestamp(split.payload["execution_date"])))
            if _class_of(context, split) == share_class and 0 < place < n:
                applied.append((place, split))
        found.append(
            Series(str(entity), str(share_class), str(vintage), first, days, close, volume, k, row,
                   split_factors(n, applied), tuple(applied), params["max_gap_sessions"])
        )  # fmt: skip
    return found, Bars.of(frame)


def _class_of(context: SecurityContext, split: Record) -> str:
    security, ticker = context.get(split.entity_id), str(split.payload["ticker"])
    return (
        ticker if security is None else security.class_of(ticker, date.fromisoformat(split.payload["execution_date"]))
    )


def _late(series: Series, reach: int) -> Bools:
    """Return where a bar or split in reach before a session was available only after the session's own bar."""
    known = np.where(series.k == NEVER, -1, series.k).astype(np.float64)
    before = windows(known, reach, 1)
    worst = np.max(np.where(np.isnan(before), -1.0, before), axis=1)
    late: Bools = worst > known
    for place, split in series.splits:
        late[place : place + reach + 1] |= split.k > known[place : place + reach + 1]
    return late & (series.row >= 0)


def started(holds: Bools, counts_: Bools) -> Ints:
    """Return the sessions where the condition starts: it holds, and did not at the last counting session before."""
    at = np.flatnonzero(counts_)
    held = holds[at]
    before = np.concatenate([[False], held[:-1]])
    found: Ints = at[held & ~before]
    return found


def after_refractory(starts: Ints, gap: int, walk: int) -> Ints:
    """Return those starts that come at least `gap` sessions after the event before.

    Each start is judged by the starts of its own last `walk` sessions alone, so that the answer does not depend on
    how far back a run reads.
    """
    kept = []
    places = [int(start) for start in starts]
    for i, start in enumerate(places):
        last: int | None = None
        for other in places[bisect_left(places, start - walk) : i + 1]:
            if last is None or other - last >= gap:
                last = other
        if last == start:
            kept.append(start)
    return np.asarray(kept, dtype=np.int64)


@dataclass(frozen=True)
class Firing:
    """One session at which an event stands, with what it says."""

    at: int
    strength: float
    direction: int
    factor: float
    figures: dict[str, float]


def _firing(at: int, measure: Measure, place: int) -> Firing:
    return Firing(
        at=at,
        strength=float(measure.strength[place]),
        direction=int(measure.direction[place]),
        factor=1.0 if measure.factor is None else float(measure.factor[place]),
        figures={name: round(float(values[place]), 6) for name, values in measure.figures.items()},
    )


def _fires(series: Series, params: SignalParams, measure: Callable[[Series], Measure], reach: int) -> Iterator[Firing]:
    """Yield where the condition starts and the refractory is over, each session judged by what it could know."""
    walk, gap = params["walk"], params["gap"]
    whole = measure(series)
    late = _late(series, reach + walk + 1)
    for at in after_refractory(started(whole.holds, series.row >= 0), gap, walk):
        if not late[at]:
            yield _firing(int(at), whole, int(at))
    for at in np.flatnonzero(late):
        known = series.until(int(at), reach + walk + 1)
        then, last = measure(known), len(known.k) - 1
        if last in after_refractory(started(then.holds, known.k != NEVER), gap, walk):
            yield _firing(int(at), then, last)


def _speaks(series: Series, at: int, group: list[Series], primary: str | None, walk: int) -> bool:
    """Return True where `series` speaks for its entity at that session, by what was available then."""
    now, k = series.position + at, series.k[at]
    ranked = []
    for one in group:
        place = now - one.position
        if 0 <= place < len(one.k) and one.k[place] <= k:
            trailing = one.k[max(place - walk, 0) : place + 1]
            seen = -int(np.count_nonzero(trailing <= k))
            ranked.append((one.share_class != primary, seen, one.share_class, one.vintage))
    return min(ranked) == (
        series.share_class != primary,
        -int(np.count_nonzero(series.k[max(at - walk, 0) : at + 1] <= k)),
        series.share_class,
        series.vintage,
    )


def _used(series: Series, firing: Firing, bars: Bars, reach: int) -> Ints:
    """Return the rows of the bars that a firing was computed from, its own last."""
    used = series.row[max(0, firing.at - reach) : firing.at + 1]
    used = used[used >= 0]
    known: Ints = used[bars.k[used] <= series.k[firing.at]]
    return known


def _event(
    series: Series, firing: Firing, bars: Bars, read: Mapping[int, Record], params: SignalParams, reach: int
) -> SignalEvent:
    used = _used(series, firing, bars, reach)
    edge = bars.edge(used)
    splits = [record for place, record in series.known_splits(firing.at) if firing.at - reach <= place <= firing.at]
    day = str(series.days[firing.at].date())
    last = read[int(used[-1])]
    return params.event(
        last,
        [day],
        strength=firing.strength,
        direction=firing.direction,
        reliability=params["reliability"] * firing.factor,
        # The ids name the bars of the return itself; the frontier covers the whole window.
        inputs=[*(read[int(row)] for row in used[-2:-1]), *splits],
        edge=merge_frontier([*edge, *frontier(splits)]) if splits else edge,
        attributes={**firing.figures, "session": day, "ticker": last.payload["ticker"], "vintage": series.vintage},
    )


def bar_events(
    records: pd.DataFrame,
    context: SecurityContext,
    params: SignalParams,
    measure: Callable[[Series], Measure],
    reach: int,
) -> Extraction:
    """Return the events of a bar signal: one per entity and session (its key).

    `measure` gives a series' figures per session; `reach`: how many sessions before a session they look back on.
    """
    out = Extraction()
    found, bars = read_series(records, context, params, out.counts)
    is_trigger = bars.frame["is_trigger"].to_numpy(bool)
    fired: list[tuple[Series, Firing]] = []
    groups: dict[str, list[Series]] = {}
    for series in found:
        groups.setdefault(series.entity_id, []).append(series)
    for entity, group in groups.items():
        security = context.get(entity)
        for series in group:
            for firing in _fires(series, params, measure, reach):
                if not is_trigger[series.row[firing.at]]:
                    continue
                day = series.days[firing.at].date()
                primary = security.primary_class_on(day) if security is not None else None
                if _speaks(series, firing.at, group, primary, params["walk"]):
                    fired.append((series, firing))
                else:
                    out.counts["other_vintage_or_class"] += 1
    read = bars.records(int(row) for series, firing in fired for row in _used(series, firing, bars, reach)[-2:])
    out.events = [_event(series, firing, bars, read, params, reach) for series, firing in fired]
    return out
