"""What the demo does on an archive: which days, feeds and labels, what is frozen, and which questions are asked of it.

Everything that could be chosen after an answer is seen stands here: a plan is made before its archive is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from signaldelta_assets.catalogue import SignalDefinitions
from signaldelta_assets.defs.partitions import QUARTERS_IN_SNAPSHOT
from signaldelta_assets.scoring import default_model


@dataclass(frozen=True)
class Question:
    """One hypothesis: whose signals are scored, which events they are held against, and how far ahead.

    seasons: announcements come in seasons that all entities share, and a null that breaks these up would call them
    skill. False where every entity has a life of its own: it is asked about while it is covered, and its null stays in
    its life.
    """

    hypothesis: str
    signals: tuple[str, ...]
    event_types: tuple[str, ...]
    horizon_hours: int
    seasons: bool = True


@dataclass(frozen=True)
class Plan:
    """The window of one archive: days to collect, quarters to label and freeze, and how far back inputs reach.

    first, last: the days collected and extracted. observed: when the archive was complete; no document of it may be
    younger, and whoever replays it observes it then. histories: which collectors reach further back, and to which day.
    step_seconds: of the grid; scores are the same on any. quarters: those labeled, by their first days; the last
    `frozen` of them are frozen and asked about. upstreams: those collected, with the signals and labels of their
    records alone; empty for all. feeds: only entities of which the archive has all of these. interpolated: labels
    whose time is an estimate are frozen too.
    """

    first: date
    last: date
    observed: date
    histories: tuple[tuple[tuple[str, ...], date], ...]
    step_seconds: int
    quarters: tuple[str, ...]
    questions: tuple[Question, ...]
    frozen: int = QUARTERS_IN_SNAPSHOT
    upstreams: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()
    interpolated: bool = False


def quarters(first: int, last: int) -> tuple[str, ...]:
    """Return the first days of all quarters of the years from `first` to `last`."""
    return tuple(f"{year}-{month:02}-01" for year in range(first, last + 1) for month in (1, 4, 7, 10))


DAYS = 24
_DEALS = ("EARNINGS_SURPRISE", "MNA_ANNOUNCEMENT", "GOVERNANCE_COLLAPSE")
EARNINGS, FACTS = ("polygon/earnings",), ("edgar/submissions", "edgar/companyfacts")

# What the simulated archive has planted, and what it has not (plan.json of the archive says so too).
QUESTIONS = (
    Question("insider-buys-before-earnings", ("S001", "S003"), ("EARNINGS_SURPRISE",), 21 * DAYS),
    Question("market-move-before-deal", ("S059", "S064"), ("MNA_ANNOUNCEMENT",), 10 * DAYS),
    Question("noise-before-earnings", ("S018", "S033"), ("EARNINGS_SURPRISE",), 21 * DAYS),
    Question("all-signals", (), _DEALS, 21 * DAYS),
)

# The recorded archive holds few purchases and three deals: asked is what its bars, filings and results can answer.
RECORDED_QUESTIONS = (
    Question("market-move-before-earnings", ("S059", "S060", "S064"), ("EARNINGS_SURPRISE",), 21 * DAYS),
    Question("filings-before-earnings", ("S018", "S033", "S039"), ("EARNINGS_SURPRISE",), 21 * DAYS),
    Question("past-surprise-before-earnings", ("S028",), ("EARNINGS_SURPRISE",), 21 * DAYS),
    Question("all-signals", (), _DEALS, 21 * DAYS),
)

# Thirty-odd issuers are too few for the minimum over several types: all signals are asked about results alone as well.
EQUITY_QUESTIONS = (*RECORDED_QUESTIONS, Question("all-signals-before-earnings", (), ("EARNINGS_SURPRISE",), 21 * DAYS))

# Half of the recorded pools that are drained are so within eight hours of their first trade.
POOL_QUESTIONS = (
    Question("one-way-and-concentrated-before-rug", ("S044", "S045"), ("RUG_PULL",), 24, seasons=False),
    Question("pump-before-rug", ("S054",), ("RUG_PULL",), 24, seasons=False),
    Question("all-pool-signals", ("S044", "S045", "S049", "S050", "S054"), ("RUG_PULL",), 24, seasons=False),
)

# A surprise is measured against eight quarters before it, so earnings are collected from earlier on; accruals against
# three fiscal years at least, so facts too, and the lists that date them.
SIMULATED = Plan(
    date(2024, 6, 30),
    date(2025, 6, 30),
    date(2025, 7, 1),
    ((EARNINGS, date(2022, 4, 1)), (FACTS, date(2022, 1, 1))),
    3600,
    ("2024-07-01", "2024-10-01", "2025-01-01", "2025-04-01"),
    QUESTIONS,
)

# The youngest recorded document is of August 2026.
RECORDED_BY = date(2026, 9, 1)
# The recorded inputs are densest here: 8-K texts from 2023-11, ownership documents and prices throughout.
RECORDED = Plan(
    date(2023, 10, 1),
    date(2025, 9, 30),
    RECORDED_BY,
    ((EARNINGS, date(2021, 1, 1)), (FACTS, date(2019, 1, 1))),
    # Two thousand entities for a year, four times the reference size if hourly.
    6 * 3600,
    quarters(2023, 2025)[3:-1],
    RECORDED_QUESTIONS,
)

PLANS = {
    "recorded": RECORDED,
    # Eleven years of the issuers of whom filings, earnings and prices are recorded; once a day, before the market.
    "equities": Plan(
        date(2014, 1, 1),
        date(2025, 12, 31),
        RECORDED_BY,
        ((EARNINGS, date(2011, 1, 1)), (FACTS, date(2009, 1, 1))),
        24 * 3600,
        quarters(2015, 2025),
        EQUITY_QUESTIONS,
        frozen=44,
        upstreams=("edgar", "polygon"),
        feeds=("submissions", "prices", "earnings"),
    ),
    # Pools live for hours: five minutes, and each only while it trades. Most recorded ones were made in the autumns.
    "pools": Plan(
        date(2020, 9, 1),
        date(2021, 10, 31),
        RECORDED_BY,
        (),
        300,
        quarters(2020, 2021)[2:],
        POOL_QUESTIONS,
        frozen=6,
        upstreams=("ethereum",),
        interpolated=True,
    ),
}


def plan_of(simulated: bool, name: str) -> Plan:
    """Return the plan for the simulated archive, or a named one for a recorded archive. Raises KeyError."""
    return SIMULATED if simulated else PLANS[name]


def protocol_document(question: Question, plan: Plan) -> dict[str, Any]:
    """Return the evaluation protocol of a question over the snapshot's window, with the requirement's minimum."""
    start = datetime.fromisoformat(plan.quarters[-plan.frozen]).replace(tzinfo=UTC)
    end = datetime(plan.last.year, plan.last.month, plan.last.day, tzinfo=UTC)
    grid: dict[str, Any] = {
        "start": int(start.timestamp()),
        "end": int(end.timestamp()),
        "step_seconds": plan.step_seconds,
    }
    if not question.seasons:
        grid["within"] = "coverage"
    return {
        "schema": "signaldelta.evaluation_protocol/1",
        "name": question.hypothesis,
        "grid": grid,
        "horizon_hours": question.horizon_hours,
        # A fresh full-strength tier-1 event alone gives about 0.2; half a half-life of a weaker one still stands above.
        "alert": {"threshold": 0.02, "rearm_below": 0.012, "refractory_hours": 24},
        "event_types": list(question.event_types),
        "embargo_hours": question.horizon_hours,
        "folds": 4,
        "calibration": {"method": "platt"},
        "bootstrap": {"cluster_hours": 168, "level": 0.95, "replicates": 400, "seed": 20250701},
        "nulls": {"draws": 200, "seed": 20250702, "shift": "common" if question.seasons else "entity"},
        "minimum_dataset": _minimum(question),
    }


def _minimum(question: Question) -> dict[str, int]:
    """Return the minimum viable dataset (docs/labels.md)."""
    if not question.seasons:
        return {"entities": 100, "event_types": 1, "events": 100, "events_of_commonest_type": 50, "months": 6}
    # The meta-plan's speaks of a dataset over several types; a question about one type asks the rest of it.
    several = len(question.event_types) > 1
    return {
        "entities": 100 if several else 20,
        "event_types": 3 if several else 1,
        "events": 200 if several else 30,
        "events_of_commonest_type": 50 if several else 30,
        "months": 6,
    }


def model_document(question: Question, definitions: SignalDefinitions) -> dict[str, Any]:
    """Return the default model; where a question has its own signals, all others are named with weight 0."""
    model = default_model(definitions.document)
    for name, signal in model["signals"].items():
        if question.signals and name not in question.signals:
            signal["weight"] = 0.0
    return model
