"""F01, insider ownership trades: S006 insider_late_report (signals.md 4.1).

A Form 4 is due on the second business day after the transaction (Exchange Act section 16(a)(2)(C), since 2002-08-29).
The lag counts EDGAR business days after the transaction, or its deemed execution date, up to the filing date: a form
accepted by 22:00 New York is filed that day (17:30 before 2003-07-28). One event per filing, named by its latest line.
Traps. Lines marked `E` (early) owe nothing yet. A 4/A comes weeks later by nature: only lines it adds are judged, and
only where the original is at hand. A form filed twice, and the same open-market trade told by another group, are one
report. Gifts are no code of the rule: before 2023-02-27 they belonged on Form 5. Grants have no price, so that lines
without one count here, unlike in the other signals of the family.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd

from ..contracts import SecurityContext
from ..timeline import edgar_business_days, edgar_filing_date
from .base import Extraction, SignalParams, register
from .frames import Record, by_entity, first_available, rows, was_available
from .ownership import FORMS
from .scales import ramp

EARLY = "E"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the non-derivative table that the rule judges. `due_from`: the day that the deadline counts from."""

    number: int
    code: str
    traded: date
    due_from: date
    security: str
    side: str
    shares: str
    price: str

    @property
    def identity(self) -> tuple[object, ...]:
        """What names the line when an amendment restates it (signals.md 4.0, Amendments)."""
        return self.traded, self.code, self.security, self.side

    @property
    def trade(self) -> tuple[object, ...]:
        """What two groups that report one trade have in common."""
        return self.traded, self.code, self.shares, self.price


@dataclass(frozen=True, slots=True)
class Report:
    """One Form 4 or 4/A: who files, when, for which period, and its lines."""

    record: Record
    owners: frozenset[str]
    filed: date
    period: str | None
    amends: str | None
    lines: tuple[Line, ...]

    @property
    def is_amendment(self) -> bool:
        """True for a 4/A."""
        return self.record.payload.get("document_type") == "4/A"


@register("S006")
class InsiderLateReport:
    """A Form 4 filed later than the second business day after a transaction; stronger the later."""

    def extract(self, records: pd.DataFrame, context: SecurityContext, params: SignalParams) -> Extraction:
        """Return one event per accession, keyed by it and its latest late line."""
        out = Extraction()
        for issuer in _reports(records, params, out.counts).values():
            for report in issuer:
                if report.record.is_trigger:
                    self._judge(report, issuer, params, out)
        return out

    def _judge(self, report: Report, issuer: Sequence[Report], params: SignalParams, out: Extraction) -> None:
        earlier = [one for one in issuer if was_available(one.record, report.record, params.lookback)]
        own = [one for one in earlier if one.owners & report.owners]
        lines, told_by = _first_told(report, own, earlier, params.tables["joint_trade_days"], out.counts)
        lags = {line.number: edgar_business_days(line.due_from, report.filed) for line in lines}
        late = [line for line in lines if lags[line.number] >= params["min_lag"]]
        if not late:
            out.counts["in_time"] += bool(lines)
            return
        direction = params["direction"]
        # Of lines equally late, as an exercise and the sale of its shares, the one with a direction speaks.
        latest = min(late, key=lambda line: (-lags[line.number], line.code not in direction, line.number))
        event = params.event(
            report.record,
            [report.record.natural_key, str(latest.number)],
            strength=float(ramp(lags[latest.number], *params["ramp"])),
            direction=int(direction.get(latest.code, 0)),
            reliability=params["reliability"],
            inputs=[*(one.record for one in own), *told_by],
            attributes={
                "lag_business_days": lags[latest.number],
                "code": latest.code,
                "transaction_date": latest.traded.isoformat(),
                "counted_from": latest.due_from.isoformat(),
                "late_lines": len(late),
            },
        )
        out.events.append(event)


def _reports(records: pd.DataFrame, params: SignalParams, counts: Counter[str]) -> dict[str, list[Report]]:
    frame = records[records["source_type"] == "ownership"]
    kind = frame["payload"].map(lambda payload: payload.get("document_type")).astype(object)
    form4 = kind.isin(FORMS)
    counts["not_form_4"] += int((~form4 & frame["is_trigger"]).sum())
    frame = first_available(frame[form4], counts)
    filed = edgar_filing_date(frame["event_time"], frame["form"]) if len(frame) else []
    read = [_read(record, day, params, counts) for record, day in zip(rows(frame), filed, strict=True)]
    issuers: dict[str, list[Report]] = {entity: [] for entity in by_entity(one.record for one in read)}
    for report in read:
        issuers[report.record.entity_id].append(report)
    return issuers


def _read(record: Record, filed: date, params: SignalParams, counts: Counter[str]) -> Report:
    payload = record.payload
    tally: Counter[str] = counts if record.is_trigger else Counter()
    lines = []
    for number, line in enumerate(payload.get("non_derivative_transactions") or [], 1):
        found = _line(int(line.get("line") or number), line, filed, params)
        if isinstance(found, str):
            tally[found] += 1
        else:
            lines.append(found)
    return Report(
        record=record,
        owners=frozenset(str(owner.get("cik")).zfill(10) for owner in payload.get("owners") or []),
        filed=filed,
        period=payload.get("period_of_report"),
        amends=payload.get("date_of_original_submission"),
        lines=tuple(lines),
    )


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _line(number: int, line: Mapping[str, Any], filed: date, params: SignalParams) -> Line | str:
    """Return the line as the rule sees it, or the reason why it is not judged."""
    code = str(line.get("code") or "")
    if code not in params["codes"]:
        return "other_code"
    if line.get("equity_swap_involved"):
        return "equity_swap"
    if line.get("timeliness") == EARLY:
        return "reported_early"
    traded = _day(line.get("transaction_date"))
    if traded is None:
        return "no_transaction_date"
    if traded < date.fromisoformat(params["rule_from"]):
        return "before_the_two_day_rule"
    due_from = max(traded, _day(line.get("deemed_execution_date")) or traded)
    if due_from > filed:
        return "transaction_after_filing"
    texts = (str(line.get(name) or "") for name in ("security_title", "acquired_disposed", "shares", "price"))
    return Line(number, code, traded, due_from, *texts)


def _first_told(
    report: Report, own: Sequence[Report], earlier: Sequence[Report], joint_days: int, counts: Counter[str]
) -> tuple[list[Line], list[Record]]:
    """Return the lines that `report` is the first to tell, of what was available then, and who told others before it.

    `own`: the earlier reports of the same owners; `earlier`: those of all owners of the issuer.
    """
    if report.is_amendment and not any(one.period == report.period or _is_of(one, report.amends) for one in own):
        counts["original_not_at_hand"] += 1
        return [], []
    since = report.record.t - timedelta(days=joint_days) // timedelta(microseconds=1)
    restated = {line.identity for one in own for line in one.lines}
    repeated = {(line.identity, line.shares) for one in own for line in one.lines}
    joint: dict[tuple[object, ...], Record] = {}
    for one in earlier:
        if not one.owners & report.owners and one.record.t >= since:
            for line in one.lines:
                if line.code in ("P", "S"):
                    joint.setdefault(line.trade, one.record)
    kept, told_by = list[Line](), list[Record]()
    for line in report.lines:
        if report.is_amendment and line.identity in restated:
            counts["amendment_restates"] += 1
        elif (line.identity, line.shares) in repeated:
            counts["reported_before"] += 1
        elif line.code in ("P", "S") and line.trade in joint:
            counts["joint_filing"] += 1
            told_by.append(joint[line.trade])
        else:
            kept.append(line)
    return kept, told_by


def _is_of(one: Report, day: str | None) -> bool:
    return day is not None and one.filed.isoformat() == day
