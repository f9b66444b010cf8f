"""Which clock `acceptanceDateTime` of a submissions document is on: true UTC, or New York time labelled Z.

The collector decides once per document, from evidence, and stores the decision with its grounds (signals.md 4.0,
`Clocks`). What cannot be decided is not guessed: a wrong guess is four to five hours of look-ahead.

The evidence. A submission header gives the Eastern time outright. Without one, EDGAR's own rules tell the clocks
apart: stamps lie between 06:00 and 22:00 New York, and the filing date is the day of acceptance up to the form's
cut-off and the next business day after it (17 CFR 232.12 and 232.13). Read on the wrong clock, afternoon filings
seem to come at night and morning ones before dawn. Filings whose time of day is not recorded stand at 00:00:00 on
New York's clock, which tells just as well.

A document can be on two clocks: one recorded document is UTC throughout except its newest week, which is Eastern,
as later copies of the same filings show. So a document decided UTC is believed only up to its newest proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..contracts import require_utc
from ..errors import RecordError
from .edgar import CLOSES, CUTOFF, NEW_YORK, OPENS, edgar_calendar, evening_since, latest_acceptance

Clock = Literal["utc", "eastern", "undecided"]
COLUMNS: Final = ("accession", "form", "filing_date", "accepted_raw")

# Documents whose filing date Rule 13(a) does not set: acts and letters of the staff, correspondence released later,
# exchange certifications, annual reports and notices on paper. They say nothing of the clock.
_NOT_BY_RULE_13: Final = (
    r"UPLOAD|CORRESP|LETTER|DRSLTR|NO ACT|CT ORDER|EFFECT|QUALIF|SEC STAFF .*|CERT.*|ARS(/A)?|REGDEX(/A)?"
)
# EDGAR keeps the day of a stamp up to 17:30:59 (every recorded 17:30:01 to 17:30:59 has that day's filing date), and
# takes some seconds to close: the minutes after the two cut-offs tell nothing.
_MINUTE: Final = 60_000_000
_DAY: Final = 86_400_000_000

# One vote per day, because filings of one day come in batches. On documents whose clock the headers prove, fewer than
# one telling day in 20 points the wrong way; then a lead of 3 days is odds of 19**3, about 7,000 to 1.
MIN_LEAD_DAYS: Final = 3
# More contrary days than this and the document is not on one clock, whatever the lead.
MAX_CONTRARY_SHARE: Final = 0.2
# A run of days that leads by this much against the decision is no chance (odds of 19**5): its rows are doubtful.
CONTRARY_RUN_DAYS: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class ClockDecision:
    """The clock of one submissions document, why, and which of its rows cannot be trusted on it.

    `grounds` are counts, to be stored: rows; telling rows and days per clock; placeholders (rows without time of day);
    headers agreeing with each clock or with neither; rows that contradict the decision; rows newer than the newest
    proof of UTC; doubtful rows.
    `doubtful` is aligned with the rows: True where the row is to be quarantined (all of them when undecided). Another
    fetch of the document may prove it.
    """

    clock: Clock
    reason: str
    grounds: Mapping[str, int]
    doubtful: pd.Series[bool]


def decide_clock(
    rows: pd.DataFrame,
    headers: Mapping[str, datetime] | None = None,
    *,
    observed_time: datetime | None = None,
    settled: bool = False,
) -> ClockDecision:
    """Decide the clock of one document's `acceptanceDateTime`.

    `rows`: accession, form, filing_date (naive dates), accepted_raw (naive datetime64: the stamp without its Z), any
    order. `headers`: accession to naive Eastern acceptance time, from submission headers or any other authority.
    `observed_time`: when the document was fetched; a stamp that would lie after it if Eastern proves UTC. `settled`:
    True for a history page (`-submissions-NNN`), whose rows are too old to have been added on another clock.

    A header that fits one clock decides, unless others or the calendar decide otherwise. Without headers one clock
    must lead by `MIN_LEAD_DAYS`. Runs of rows that contradict the decision are doubtful, not re-decided, and so are,
    unless `settled`, the rows newer than the newest proof of UTC: read as UTC they could be early.
    Raises RecordError where a column is missing or a stamp carries a zone.
    """
    frame = _checked(rows)
    stamps = pd.DatetimeIndex(frame["accepted_raw"])
    wall = {"utc": _utc_wall(frame["accepted_raw"]), "eastern": stamps}
    vote = _votes(frame, wall)
    if observed_time is not None:
        fetched = require_utc("submissions", "observed_time", observed_time)
        impossible = to_utc(frame["accepted_raw"], "eastern") > fetched
        vote = np.where(impossible & (to_utc(frame["accepted_raw"], "utc") <= fetched), 1, vote)
    agree = {clock: _agreement(frame["accession"], wall[clock], headers or {}) for clock in wall}
    known = np.isin(frame["accession"].to_numpy(object), list(headers or {})) & ~np.asarray(stamps.isna())
    by_day: pd.Series[Any] = pd.Series(vote).groupby(stamps.normalize().to_numpy()).sum().clip(-1, 1)

    grounds = {
        "rows": len(frame),
        "telling_rows_utc": int((vote > 0).sum()),
        "telling_rows_eastern": int((vote < 0).sum()),
        "telling_days_utc": int((by_day > 0).sum()),
        "telling_days_eastern": int((by_day < 0).sum()),
        "headers_utc": int((agree["utc"] & ~agree["eastern"]).sum()),
        "headers_eastern": int((agree["eastern"] & ~agree["utc"]).sum()),
        "headers_neither": int((known & ~agree["utc"] & ~agree["eastern"]).sum()),
    }
    clock, reason = _decide(grounds)
    doubtful = np.ones(len(frame), np.bool_)
    contradicting = unproven = day_only = np.zeros(len(frame), np.bool_)
    if clock != "undecided":
        sign = 1 if clock == "utc" else -1
        denied = known & ~agree[clock]
        contradicting = (vote == -sign) | denied
        if clock == "utc" and not settled:
            unproven = np.asarray(stamps > stamps[(vote > 0) | agree["utc"]].max(), np.bool_)
        doubtful = _contrary_runs(by_day * sign, stamps) | denied | unproven | np.asarray(stamps.isna())
        day_only = _placeholder(wall[clock], frame["filing_date"])
    grounds |= {
        "placeholders": int(day_only.sum()),
        "contradicting_rows": int(contradicting.sum()),
        "unproven_rows": int(unproven.sum()),
        "doubtful_rows": int(doubtful.sum()),
    }
    return ClockDecision(clock, reason, grounds, pd.Series(doubtful, index=rows.index, name="doubtful"))


def _decide(grounds: Mapping[str, int]) -> tuple[Clock, str]:
    """Weigh headers and telling days (see the module)."""
    header: Clock = "undecided"
    if grounds["headers_utc"] or grounds["headers_eastern"]:
        if grounds["headers_utc"] and grounds["headers_eastern"]:
            return "undecided", "headers contradict each other"
        header = "utc" if grounds["headers_utc"] else "eastern"
        if grounds["headers_neither"] > grounds[f"headers_{header}"]:
            return "undecided", "headers fit neither clock"
    elif grounds["headers_neither"]:
        return "undecided", "headers fit neither clock"

    utc, eastern = grounds["telling_days_utc"], grounds["telling_days_eastern"]
    calendar: Clock = "undecided"
    reason = "too few telling days"
    if abs(utc - eastern) >= MIN_LEAD_DAYS:
        if min(utc, eastern) <= MAX_CONTRARY_SHARE * (utc + eastern):
            calendar, reason = ("utc" if utc > eastern else "eastern"), "calendar"
        else:
            reason = "telling days contradict each other"
    if header == "undecided":
        return calendar, reason
    if calendar not in ("undecided", header):
        return "undecided", "headers contradict the calendar"
    return header, "headers and calendar" if calendar == header else "headers"


def to_utc(accepted_raw: pd.Series[Any], clock: Clock) -> pd.Series[Any]:
    """Return naive stamps on `clock` as datetime64[us, UTC], same index; NaT stays NaT.

    An Eastern hour that the clocks show twice, or skip, is read as the later of the two instants it can be: late is
    safe, early would be look-ahead (EDGAR is closed at that hour). RecordError where the clock is undecided.
    """
    wall = pd.DatetimeIndex(accepted_raw).as_unit("us")
    if wall.tz is not None:
        raise RecordError("submissions", "accepted_raw", "stamps without a time zone", wall.dtype)
    if clock == "utc":
        moments = wall.tz_localize("UTC")
    elif clock == "eastern":
        standard = np.zeros(len(wall), np.bool_)
        zoned = wall.tz_localize(NEW_YORK, ambiguous=standard, nonexistent=pd.Timedelta(hours=1))
        moments = zoned.tz_convert("UTC")
    else:
        raise RecordError("submissions", "clock", "utc or eastern", clock)
    return pd.Series(moments, index=accepted_raw.index, name=accepted_raw.name)


def acceptance_times(rows: pd.DataFrame, clock: Clock) -> pd.DataFrame:
    """Return accepted_at (datetime64[us, UTC]) and time_precision ("second" or "day") per row, index of `rows`.

    `rows` as for `decide_clock`. A stamp of 00:00:00 New York on its own filing date carries no time of day (EDGAR's
    index before May 2002): its precision is day and accepted_at is the latest moment at which a filing of that form
    can have got that filing date, so that evidence is never let out early. A label of day precision stands at 00:00
    New York instead (signals.md 5): its classifier takes the day from the filing date.
    """
    frame = _checked(rows)
    accepted = to_utc(frame["accepted_raw"], clock)
    wall = _utc_wall(frame["accepted_raw"]) if clock == "utc" else pd.DatetimeIndex(frame["accepted_raw"])
    day_only = _placeholder(wall, frame["filing_date"])
    latest = latest_acceptance(frame["filing_date"], frame["form"])
    return pd.DataFrame(
        {
            "accepted_at": accepted.where(~day_only, latest),
            "time_precision": pd.Series(np.where(day_only, "day", "second"), index=rows.index),
        }
    )


def _checked(rows: pd.DataFrame) -> pd.DataFrame:
    for name in COLUMNS:
        if name not in rows.columns:
            raise RecordError("submissions", name, "a column of that name", ", ".join(map(str, rows.columns)))
    frame = rows.loc[:, list(COLUMNS)].copy()
    for name in ("filing_date", "accepted_raw"):
        times = pd.to_datetime(frame[name])
        if isinstance(times.dtype, pd.DatetimeTZDtype):
            raise RecordError("submissions", name, "times without a time zone", times.dtype)
        frame[name] = times.dt.as_unit("us")
    frame["filing_date"] = frame["filing_date"].dt.normalize()
    return frame


def _utc_wall(accepted_raw: pd.Series[Any]) -> pd.DatetimeIndex:
    """Return what New York's clock showed if the stamps are UTC."""
    return pd.DatetimeIndex(accepted_raw).tz_localize("UTC").tz_convert(NEW_YORK).tz_localize(None)


def _placeholder(wall: pd.DatetimeIndex, filing_date: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    """Return where the stamp is midnight of the filing date itself: a day, not a time."""
    return np.asarray(wall == pd.DatetimeIndex(filing_date), np.bool_)


def _fits(wall: pd.DatetimeIndex, frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return where a stamp read as New York `wall` lies in opening hours and explains its filing date."""
    micros = np.where(wall.isna(), 0, wall.as_unit("us").asi8)
    number, clock = np.divmod(micros, _DAY)
    day = number.astype("datetime64[D]")
    calendar = edgar_calendar()
    evening = day >= evening_since(frame["form"])
    following = np.busday_offset(day + 1, 0, roll="forward", busdaycal=calendar)
    filed = pd.DatetimeIndex(frame["filing_date"]).to_numpy().astype("datetime64[D]")
    same_day = (filed == day) & (evening | (clock < CUTOFF + _MINUTE))
    next_day = (filed == following) & ~evening & (clock >= CUTOFF)
    open_then = np.is_busday(day, busdaycal=calendar) & (clock >= OPENS) & (clock <= CLOSES + _MINUTE)
    return np.asarray(open_then & (same_day | next_day), np.bool_)


def _votes(frame: pd.DataFrame, wall: Mapping[str, pd.DatetimeIndex]) -> npt.NDArray[np.int64]:
    """Return +1 for a row that fits UTC alone, -1 for one that fits Eastern alone, 0 for one that tells nothing."""
    exempt = frame["form"].fillna("").astype(str).str.strip().str.upper().str.fullmatch(_NOT_BY_RULE_13)
    usable = (frame["accepted_raw"].notna() & frame["filing_date"].notna() & ~exempt).to_numpy()
    midnight = {clock: _placeholder(wall[clock], frame["filing_date"]).astype(np.int64) for clock in wall}
    fits = {clock: _fits(wall[clock], frame).astype(np.int64) for clock in wall}
    # Exact midnight is a placeholder on the clock that shows it, though an evening filing could fit the other clock.
    by_midnight = midnight["utc"] - midnight["eastern"]
    vote = np.where(by_midnight != 0, by_midnight, fits["utc"] - fits["eastern"])
    return np.where(usable, vote, 0)


def _agreement(
    accession: pd.Series[Any], wall: pd.DatetimeIndex, headers: Mapping[str, datetime]
) -> npt.NDArray[np.bool_]:
    """Return where the header's Eastern time is what the stamp says on this clock, to the second."""
    told = pd.DatetimeIndex(pd.to_datetime(accession.map(dict(headers)))) if headers else None
    if told is None:
        return np.zeros(len(accession), np.bool_)
    return np.asarray(told.floor("s") == wall.floor("s"), np.bool_)


def _contrary_runs(support: pd.Series[Any], stamps: pd.DatetimeIndex) -> npt.NDArray[np.bool_]:
    """Return the rows inside runs of days that lead by `CONTRARY_RUN_DAYS` against the decision.

    `support` is +1, 0 or -1 by day, in order. A run reaches to the nearest day that supports the decision on either
    side: between them nobody knows where the clock changed.
    """
    telling = support[support != 0]
    days, votes = telling.index.to_numpy(), telling.to_numpy()
    inside = np.zeros(len(stamps), np.bool_)
    at = stamps.normalize().to_numpy()
    excess, start, best, best_run = 0, 0, 0, (0, 0)
    for position, against in enumerate([*(-votes), -len(votes) - 1]):
        if excess == 0:
            start, best = position, 0
        excess = max(0, excess + int(against))
        if excess > best:
            best, best_run = excess, (start, position)
        if excess == 0 and best >= CONTRARY_RUN_DAYS:
            first, last = best_run
            after = at > days[first - 1] if first else np.ones(len(at), np.bool_)
            before = at < days[last + 1] if last + 1 < len(days) else np.ones(len(at), np.bool_)
            inside |= after & before
    return inside
