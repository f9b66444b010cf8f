"""Simulated companyfacts: what the periodic reports of an entity stated, as the one document EDGAR would serve today.

Every figure is a function of plan, entity and period, so that reports repeat each other, but where something was
planted: years whose accruals jump, and amended reports that restate a quarter. Both lead to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from .cast import Entity
from .chance import Chance
from .edgar import Paper
from .plan import SimulationPlan
from .story import Story

# Of ten annual reports one; of ten amended quarterly reports seven restate figures, the others words; of 25 quarterly
# reports one changes the quarter a year before without a word.
_JUMPS, _RESTATED, _SILENT = 0.1, 0.7, 0.04
_PRIOR_YEARS = 3
_LABELS = {
    "Revenues": "Revenues",
    "OperatingIncomeLoss": "Operating Income (Loss)",
    "NetIncomeLoss": "Net Income (Loss) Attributable to Parent",
    "NetCashProvidedByUsedInOperatingActivities": "Net Cash Provided by (Used in) Operating Activities",
    "Assets": "Assets",
    "Liabilities": "Liabilities",
    "StockholdersEquity": "Stockholders' Equity Attributable to Parent",
}
CASH = "NetCashProvidedByUsedInOperatingActivities"

# (concept, start or empty, end) of a figure.
Period = tuple[str, str, str]


@dataclass(slots=True)
class _Books:
    """What one entity has reported: figures restated since, years told, facts by concept in the order of filing."""

    plan: SimulationPlan
    entity: Entity
    restated: dict[Period, int] = field(default_factory=dict)
    stated: set[Period] = field(default_factory=set)
    years: set[date] = field(default_factory=set)
    jumps: set[date] = field(default_factory=set)
    facts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def quarter(self, end: date) -> dict[str, int]:
        """Revenues, operating and net income of the quarter that ends on `end`, in dollars."""
        chance = Chance(self.plan.seed, "books", self.entity.number, end.isoformat())
        size = Chance(self.plan.seed, "size", self.entity.number).lognormal(240e6, 0.8)
        revenues = int(size * chance.uniform(0.9, 1.1) * (1 + 0.015 * (end.year - 2020) + 0.00125 * end.month))
        operating = int(revenues * chance.uniform(0.09, 0.15))
        return {"Revenues": revenues, "OperatingIncomeLoss": operating, "NetIncomeLoss": int(operating * 0.78)}

    def year(self, end: date) -> dict[str, int]:
        """The same of the fiscal year that ends on `end`, and its operating cash flow."""
        quarters = [self.quarter(_months_before(end, months)) for months in (0, 3, 6, 9)]
        total = {concept: sum(quarter[concept] for quarter in quarters) for concept in quarters[0]}
        chance = Chance(self.plan.seed, "accruals", self.entity.number, end.isoformat())
        share = chance.uniform(-0.05, -0.04) + (chance.uniform(0.05, 0.14) if end in self.jumps else 0.0)
        return total | {CASH: int(total["NetIncomeLoss"] - share * self.balance(end)["Assets"])}

    def balance(self, end: date) -> dict[str, int]:
        """Assets, liabilities and equity on `end`."""
        chance = Chance(self.plan.seed, "balance", self.entity.number, end.isoformat())
        assets = int(self.quarter(end)["Revenues"] * 6 * chance.uniform(0.98, 1.02))
        liabilities = int(assets * chance.uniform(0.5, 0.54))
        return {"Assets": assets, "Liabilities": liabilities, "StockholdersEquity": assets - liabilities}

    def report(self, paper: Paper, end: date) -> None:
        """File what a 10-K or 10-Q about the period to `end` states, with the period a year before."""
        annual = paper.row["form"] == "10-K"
        for of in (end, _months_before(end, 12), _months_before(end, 24))[: 3 if annual else 2]:
            flows = self.year(of) if annual else self.quarter(of)
            start = _months_before(of, 12 if annual else 3) + timedelta(days=1)
            for concept, value in flows.items():
                self.state(paper, (concept, start.isoformat(), of.isoformat()), value)
        # The balance stands beside that of the last fiscal year-end.
        last = _months_before(end, 12 if annual else (end.month - self.entity.year_end) % 12)
        for of in (end, last):
            for concept, value in self.balance(of).items():
                self.state(paper, (concept, "", of.isoformat()), value)

    def restate(self, end: date) -> bool:
        """From now on less net income and equity of the quarter to `end` is stated.

        False, and nothing is changed, where it never was stated or was changed before.
        """
        income, equity = self._restatable(end)
        if income not in self.stated or income in self.restated:
            return False
        chance = Chance(self.plan.seed, "restated", self.entity.number, end.isoformat())
        cut = int(self.quarter(end)["NetIncomeLoss"] * chance.uniform(0.05, 0.3))
        self.restated[income] = self.quarter(end)["NetIncomeLoss"] - cut
        self.restated[equity] = self.balance(end)["StockholdersEquity"] - cut
        return True

    def amend(self, paper: Paper, end: date) -> None:
        """File an amended 10-Q: what was restated of the quarter to `end`, and nothing else."""
        for period in self._restatable(end):
            self.state(paper, period, self.restated[period])

    def _restatable(self, end: date) -> tuple[Period, Period]:
        start, last = (_months_before(end, 3) + timedelta(days=1)).isoformat(), end.isoformat()
        return ("NetIncomeLoss", start, last), ("StockholdersEquity", "", last)

    def state(self, paper: Paper, period: Period, value: int) -> None:
        """File one fact: as restated, where it was."""
        concept, start, end = period
        self.stated.add(period)
        fact: dict[str, Any] = {"start": start} if start else {}
        fact |= {"end": end, "val": self.restated.get(period, value), "accn": paper.row["accessionNumber"]}
        form = paper.row["form"]
        fact |= {"fy": int(paper.row["reportDate"][:4]), "fp": "FY" if form == "10-K" else "Q", "form": form}
        self.facts.setdefault(concept, []).append(fact | {"filed": paper.row["filingDate"]})


def company_facts(plan: SimulationPlan, story: Story, papers: Sequence[Paper]) -> str:
    """Return the companyfacts document of one entity; notes in the story what was planted."""
    books = _Books(plan, story.entity)

    def happens(what: str, day: str, share: float) -> bool:
        return Chance(plan.seed, what, story.entity.number, day).happens(share)

    for paper, end, amended in _reports(papers):
        live, planted = paper.accepted.date() >= plan.start, ("", "")
        if amended:
            if happens("amended", paper.row["accessionNumber"], _RESTATED) and books.restate(end):
                books.amend(paper, end)
                planted = ("S025", "a restated quarter")
        elif paper.row["form"] == "10-K":
            if live and len(books.years) >= _PRIOR_YEARS and happens("jump", end.isoformat(), _JUMPS):
                books.jumps.add(end)
                planted = ("S024", "accruals jump")
            # The report has the balances of two years: so many are whole.
            books.years |= {end, _months_before(end, 12)}
        elif live and happens("silent", end.isoformat(), _SILENT) and books.restate(_months_before(end, 12)):
            planted = ("S025", "a quarter restated without a word")
        if not amended:
            books.report(paper, end)
        if planted[0]:
            story.noise.append((*planted, paper.accepted))
    return json.dumps(_document(story.entity, books), separators=(",", ":"))


def _reports(papers: Sequence[Paper]) -> Iterator[tuple[Paper, date, bool]]:
    """Yield (report, end of its period, whether it amends the quarterly report before it) in order of acceptance."""
    last: date | None = None
    for paper in papers:
        form = paper.row["form"]
        if form in ("10-K", "10-Q"):
            end = date.fromisoformat(paper.row["reportDate"])
            last = end if form == "10-Q" else None
            yield paper, end, False
        elif form == "10-Q/A" and last is not None:
            yield paper, last, True
            # Once: a quarter restated twice in a row would be another story.
            last = None


def _months_before(end: date, months: int) -> date:
    """The last day of the month so many months before."""
    count = end.year * 12 + end.month - 1 - months + 1
    return date(count // 12, count % 12 + 1, 1) - timedelta(days=1)


def _document(entity: Entity, books: _Books) -> dict[str, Any]:
    concepts = {}
    for concept, facts in sorted(books.facts.items()):
        newest: dict[tuple[str, str], dict[str, Any]] = {}
        for fact in facts:
            newest[fact.get("start", ""), fact["end"]] = fact
        # EDGAR names a period's frame on the fact filed last, and moves the name with every filing.
        for (start, end), fact in newest.items():
            fact["frame"] = f"CY{end[:4]}{_frame(start, end)}"
        concepts[concept] = {"label": _LABELS[concept], "description": _LABELS[concept], "units": {"USD": facts}}
    return {"cik": entity.cik, "entityName": entity.name, "facts": {"us-gaap": concepts}}


def _frame(start: str, end: str) -> str:
    quarter = f"Q{(int(end[5:7]) + 2) // 3}"
    if not start:
        return f"{quarter}I"
    length = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return "" if length.days > 300 else quarter
