"""Time: the latency model, EDGAR's calendar, equity sessions, cron lines, and which clock a submissions
document is on.

Pure: no clock is read, nothing is fetched, the same input gives the same answer. Rules and sources: time.md.
"""

from .asof import join_as_of
from .clock import Clock, ClockDecision, acceptance_times, decide_clock, to_utc
from .cron import last_fire
from .edgar import (
    EDGAR_CLOSINGS,
    EVENING_FORMS,
    NEW_YORK,
    EveningForms,
    edgar_business_days,
    edgar_calendar,
    edgar_dissemination,
    edgar_filing_date,
    header_acceptance_to_utc,
    is_edgar_business_day,
    latest_acceptance,
    new_york,
    next_edgar_business_day,
)
from .latency import LatencyModel, LatencyModelError, latest_available
from .sessions import session_close, sessions

__all__ = [
    "EDGAR_CLOSINGS",
    "EVENING_FORMS",
    "NEW_YORK",
    "Clock",
    "ClockDecision",
    "EveningForms",
    "LatencyModel",
    "LatencyModelError",
    "acceptance_times",
    "decide_clock",
    "edgar_business_days",
    "edgar_calendar",
    "edgar_dissemination",
    "edgar_filing_date",
    "header_acceptance_to_utc",
    "is_edgar_business_day",
    "join_as_of",
    "last_fire",
    "latest_acceptance",
    "latest_available",
    "new_york",
    "next_edgar_business_day",
    "session_close",
    "sessions",
    "to_utc",
]
