"""XBRL facts as the rules see them (signals.md 4.3): the monetary facts of one filing, by concept and period.

A period is what the fact itself says, (start, end), start None for a balance: never the `fy` and `fp` of the upstream,
which are those of the filing. Of concepts with the same meaning the first that a filing has for a period counts. What a
filing states twice with different values it does not state at all, and is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from ..errors import RecordError
from .frames import Record

TAXONOMY = "us-gaap"
# A currency. `shares`, `pure` and `USD/shares` are no amounts of money, and splits change them.
_MONEY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """What a value is of: concept, period (ISO dates; `start` is empty for a balance) and currency."""

    concept: str
    start: str
    end: str
    unit: str


@dataclass(frozen=True, slots=True)
class Statement:
    """The monetary facts of one filing."""

    record: Record
    values: Mapping[Fact, float]


def statement(record: Record, concepts: Sequence[str], counts: Counter[str]) -> Statement:
    """Return the facts of a record whose concept matches one of `concepts` (a name, or a pattern like `Revenues*`)."""
    values: dict[Fact, float] = {}
    unclear: set[Fact] = set()
    facts = record.payload.get("facts")
    if not isinstance(facts, Mapping):
        raise RecordError(record.name, "facts", "an object of taxonomies", facts)
    for concept, units in facts.get(TAXONOMY, {}).items():
        if not any(fnmatchcase(concept, one) for one in concepts):
            continue
        for unit, rows in units.items():
            if not _MONEY.fullmatch(unit):
                continue
            for start, end, value in rows:
                fact = Fact(concept, start or "", end, unit)
                if values.setdefault(fact, float(value)) != float(value):
                    unclear.add(fact)
    counts["stated_twice"] += len(unclear) * record.is_trigger
    return Statement(record, {fact: value for fact, value in values.items() if fact not in unclear})


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and the record that stated it."""

    value: float
    record: Record


@dataclass(frozen=True, slots=True)
class FiscalYear:
    """Net income, operating cash flow and total assets of one fiscal year, each as first filed."""

    end: str
    income: Figure
    cash_flow: Figure
    assets: Figure

    @property
    def accruals(self) -> float:
        """(net income - operating cash flow) / total assets."""
        return (self.income.value - self.cash_flow.value) / self.assets.value

    @property
    def records(self) -> list[Record]:
        """The records that stated it, each once."""
        found = {figure.record.raw_record_id: figure.record for figure in (self.income, self.cash_flow, self.assets)}
        return list(found.values())


def fiscal_years(
    statements: Iterable[Statement], names: Mapping[str, Sequence[str]], unit: str, days: Sequence[int]
) -> dict[str, FiscalYear]:
    """Return the complete fiscal years of `statements` (in the order in which they became available) by their end.

    `names`: the concepts of income, cash_flow and assets, first choice first. `days`: the shortest and longest year.
    """
    first: dict[tuple[str, str, str], Figure] = {}
    for one in statements:
        for role, concepts in names.items():
            for concept in concepts:
                for fact, value in one.values.items():
                    if fact.concept == concept and fact.unit == unit and (role == "assets" or _year(fact, days)):
                        first.setdefault((role, fact.start, fact.end), Figure(value, one.record))
    years: dict[str, FiscalYear] = {}
    for (role, start, end), income in sorted(first.items(), key=lambda item: item[0]):
        cash_flow, assets = first.get(("cash_flow", start, end)), first.get(("assets", "", end))
        if role == "income" and cash_flow is not None and assets is not None and assets.value > 0:
            years.setdefault(end, FiscalYear(end, income, cash_flow, assets))
    return years


def days_between(start: str, end: str) -> int:
    """Return the days from one ISO date to another."""
    return (date.fromisoformat(end) - date.fromisoformat(start)).days


def _year(fact: Fact, days: Sequence[int]) -> bool:
    return fact.start != "" and days[0] <= days_between(fact.start, fact.end) <= days[1]
