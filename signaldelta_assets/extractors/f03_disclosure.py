"""F03, disclosure irregularity: S016 late_periodic_notice, S018 quiet_hours_bad_news (signals.md 4.2).

Traps. S016: NT 11-K is a plan's and NT/A restates: counted, no event. S018 rests on the clock decision of the
collector, which is in event_time; a filing after 17:30 is disseminated next business day, but its event_time stays the
acceptance, and the latency model delays it.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pandas as pd

from ..contracts import SecurityContext
from ..timeline import is_edgar_business_day, new_york
from .base import Extraction, SignalParams, register
from .form8k import eight_ks, news
from .frames import by_entity, first_available, rows, was_available


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
                inputs=[other.record for other in earlier],
                attributes={"items": sorted(items & bad), "late": late, "eve": eve},
            )
            out.events.append(event)
        return out


def _before_days_off(local: datetime) -> bool:
    """Return True on a Friday, and on a day before a weekday on which EDGAR is closed."""
    tomorrow = local.date() + timedelta(days=1)
    return local.weekday() == 4 or (tomorrow.weekday() < 5 and not is_edgar_business_day(tomorrow))
