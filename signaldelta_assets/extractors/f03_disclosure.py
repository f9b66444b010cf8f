"""F03, disclosure irregularity: S016 late_periodic_notice to S019 slower_than_own_history (signals.md 4.2).

Traps. S016: NT 11-K is a plan's and NT/A restates: counted, no event. S017: a 10-K/A soon after the year's end adds
Part III, and a first XBRL exhibit is all that some amendments bring (Regulation S-T 405(a)(2), 2009 to 2014); other
exhibits are not told apart. Amendments of 10-K405, 10-KT and the like are counted, no event. S018 rests on the clock
decision of the collector, which is in event_time; a filing after 17:30 is disseminated next business day, but its
event_time stays the acceptance, and the latency model delays it. S019: transition reports (10-KT, 10-QT) are neither
judged nor compared with, and periods on another fiscal calendar are left out. Its dated exclusions are the shortened
deadlines of accelerated filers (Releases 33-8128, 33-8644) and the relief of 2020 (Releases 34-88318, 34-88465), whose
reports are left out of later histories as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import numpy as np
import pandas as pd

from ..contracts import SecurityContext
from ..timeline import is_edgar_business_day, new_york
from .base import Extraction, SignalParams, register
from .form8k import eight_ks, news
from .frames import DAY_US, Record, by_entity, first_available, rows, was_available
from .scales import ramp


@register("S016")
class LatePeriodicNotice:
    """A notice that a periodic report will be late; stronger where there was another in the look-back."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per NT filing, keyed by accession."""
        out = Extraction()
        strengths = params["strength"]
        notices = records[records["form"].str.startswith("NT ", na=False)]
        usual = notices["form"].isin(list(strengths))
        for form in notices.loc[~usual & notices["is_trigger"], "form"]:
            out.counts["notice_amended" if form.endswith("/A") else "notice_of_another_form"] += 1
        for own in by_entity(rows(first_available(notices[usual], out.counts))).values():
            for record in own:
                if not record.is_trigger:
                    continue
                earlier = [other for other in own if was_available(other, record, params.lookback)]
                event = params.event(
                    record,
                    [record.natural_key],
                    strength=min(1.0, strengths[record.form or ""] + (params["repeat_bonus"] if earlier else 0.0)),
                    direction=-1,
                    reliability=params["reliability"],
                    inputs=earlier,
                    attributes={"form": record.form, "earlier_notices": len(earlier)},
                )
                out.events.append(event)
        return out


@register("S017")
class PeriodicAmendment:
    """An amended annual or quarterly report; stronger beside another period's, or after a non-reliance."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per 10-K/A or 10-Q/A, keyed by accession."""
        out = Extraction()
        forms = list(params["forms"])
        amendment = records["form"].isin(forms)
        other = records["form"].str.match(r"10-[KQ].*/A$", na=False) & ~amendment
        out.counts["amendment_of_another_form"] += int((other & records["is_trigger"]).sum())
        originals = records["form"].isin([form.removesuffix("/A") for form in forms])
        reports = by_entity(rows(first_available(records[amendment | originals], out.counts)))
        denied = [
            one for one in eight_ks(records, params.tables, Counter()) if params["non_reliance_item"] in one.items
        ]
        told = by_entity(one.record for one in denied)
        for entity, own in reports.items():
            for record in own:
                if record.is_trigger and record.form in forms:
                    self._judge(record, own, told.get(entity, []), params, out)
        return out

    def _judge(
        self, record: Record, own: Sequence[Record], told: Sequence[Record], params: SignalParams, out: Extraction
    ) -> None:
        period, lag = _period(record), _lag_days(record)
        if period is None or lag is None:
            out.counts["no_report_or_filing_date"] += 1
            return
        if _is_part_iii(record, params):
            out.counts["part_iii"] += 1
            return
        before = [one for one in own if was_available(one, record, params.lookback)]
        originals = [
            one for one in before if f"{one.form}/A" == record.form and one.payload.get("report_date") == period
        ]
        # An amendment that brings the XBRL exhibit which the original was allowed to leave out changes no figure.
        if record.payload.get("is_xbrl") and originals and not any(one.payload.get("is_xbrl") for one in originals):
            out.counts["exhibit_only"] += 1
            return
        others = [
            one
            for one in before
            if one.form in params["forms"]
            and _period(one) not in (None, period)
            and not _is_part_iii(one, params)
            and record.t - one.t <= params["other_period_days"] * DAY_US
        ]
        within = timedelta(days=params["non_reliance_days"])
        denials = [one for one in told if was_available(one, record, within)]
        strength = params["base"]
        strength += params["other_period_bonus"] if others else 0.0
        strength += params["non_reliance_bonus"] if denials else 0.0
        event = params.event(
            record,
            [record.natural_key],
            strength=min(1.0, strength),
            direction=-1,
            reliability=params["reliability"],
            inputs=[*originals, *others, *denials],
            attributes={"form": record.form, "report_date": period, "days_after_period": lag,
                        "other_periods": len(others), "non_reliance": bool(denials)},
        )  # fmt: skip
        out.events.append(event)


def _is_part_iii(record: Record, params: SignalParams) -> bool:
    """Whether an amended annual report comes so early that it most likely adds Part III (General Instruction G(3))."""
    lag = _lag_days(record)
    return record.form in params["part_iii_forms"] and lag is not None and lag <= params["part_iii_days"]


def _date(record: Record, field: str) -> date | None:
    try:
        return date.fromisoformat(str(record.payload.get(field)))
    except ValueError:
        return None


def _period(record: Record) -> str | None:
    day = _date(record, "report_date")
    return None if day is None else day.isoformat()


def _lag_days(record: Record) -> int | None:
    """Return the calendar days from the end of the period to the filing date."""
    period, filed = _date(record, "report_date"), _date(record, "filing_date")
    return None if period is None or filed is None else (filed - period).days


@register("S018")
class QuietHoursBadNews:
    """Bad-news items accepted late in the evening, or late before a weekend or holiday."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per 8-K, keyed by accession."""
        out = Extraction()
        bad = frozenset(params["items"])
        late_from, eve_from = (time.fromisoformat(params[name]) for name in ("late_from", "eve_from"))
        for filing, items, earlier in news(eight_ks(records, params.tables, out.counts), params.lookback, out.counts):
            if not items & bad:
                continue
            local = new_york(pd.Timestamp(filing.record.event_time).to_pydatetime())
            late = local.time() >= late_from
            eve = local.time() > eve_from and _before_days_off(local)
            if not (late or eve):
                out.counts["usual_hours"] += 1
                continue
            event = params.event(
                filing.record,
                filing.key,
                strength=params["strength_both"] if late and eve else params["strength_one"],
                direction=-1,
                reliability=params["reliability"],
                inputs=[other.first for other in earlier],
                attributes={"items": sorted(items & bad), "late": late, "eve": eve},
            )
            out.events.append(event)
        return out


def _before_days_off(local: datetime) -> bool:
    """Return True on a Friday, and on a day before a weekday on which EDGAR is closed."""
    tomorrow = local.date() + timedelta(days=1)
    return local.weekday() == 4 or (tomorrow.weekday() < 5 and not is_edgar_business_day(tomorrow))


@register("S019")
class SlowerThanOwnHistory:
    """A 10-Q or 10-K that comes later after its period than the filer's own last ones did."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per 10-Q or 10-K, keyed by accession."""
        out = Extraction()
        for form in params["history"]:
            reports = rows(first_available(records[records["form"] == form], out.counts))
            for own in by_entity(reports).values():
                for record in own:
                    if record.is_trigger:
                        self._judge(record, own, params, out)
        return out

    def _judge(self, record: Record, own: Sequence[Record], params: SignalParams, out: Extraction) -> None:
        period, lag = _date(record, "report_date"), _lag_days(record)
        if period is None or lag is None:
            out.counts["no_report_or_filing_date"] += 1
            return
        if lag < 0:
            out.counts["report_date_after_filing"] += 1
            return
        reason = _excluded(record, period, params, as_history=False)
        if reason:
            out.counts[reason] += 1
            return
        rule = params["history"][record.form]
        before = [one for one in own if was_available(one, record, params.lookback)]
        if any(_date(one, "report_date") == period for one in before):
            out.counts["period_reported_before"] += 1
            return
        past = _comparable(before, period, rule["cycle_days"], params)[-rule["last"] :]
        if len(past) < rule["least"]:
            out.counts["short_history"] += 1
            return
        lags = np.array([_lag_days(one) for one in past], dtype=np.float64)
        median = float(np.median(lags))
        spread = max(params["mad_scale"] * float(np.median(np.abs(lags - median))), params["mad_floor"])
        slower = lag - median
        if slower < params["min_days"] or slower / spread < params["min_ratio"]:
            out.counts["as_usual"] += 1
            return
        event = params.event(
            record,
            [record.natural_key],
            strength=float(ramp(slower, *params["ramp"])),
            direction=-1,
            reliability=params["reliability"],
            inputs=past,
            attributes={"form": record.form, "report_date": period.isoformat(), "days": lag, "median": median,
                        "slower_by": slower, "compared": len(past)},
        )  # fmt: skip
        out.events.append(event)


def _comparable(before: Sequence[Record], period: date, cycle: float, params: SignalParams) -> list[Record]:
    """Return the first report of each earlier period on the same fiscal calendar, in the order of the periods.

    A period that ends at another point of the cycle (a year, or a quarter) belongs to another fiscal calendar, from
    before a change of the year's end.
    """
    of_period: dict[date, Record] = {}
    for one in before:
        day, lag = _date(one, "report_date"), _lag_days(one)
        if day is None or lag is None or lag < 0 or day >= period or _excluded(one, day, params, as_history=True):
            continue
        off = (period - day).days % cycle
        if min(off, cycle - off) <= params["calendar_days"]:
            of_period.setdefault(day, one)
    return [of_period[day] for day in sorted(of_period)]


def _excluded(record: Record, period: date, params: SignalParams, *, as_history: bool) -> str | None:
    """Return the reason why no report of that form and period is judged, or compared with; None where there is none."""
    for name, span in params["excluded"].items():
        first, last = map(date.fromisoformat, span["report_dates"])
        if record.form in span["forms"] and first <= period <= last and (span["as_history"] or not as_history):
            return f"excluded_{name}"
    return None
