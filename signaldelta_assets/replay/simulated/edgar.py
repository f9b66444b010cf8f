"""Simulated EDGAR: full submission texts, submissions lists with their clocks, litigation releases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from ..archive import Filing, Party
from ..recorded.submissions import COLUMNS
from ..sgml import ITEM_NAMES, write_submission
from . import days, outsiders, papers
from .chance import Chance
from .market import Bar
from .plan import SimulationPlan
from .story import Report, Story, Trade

_FOLDERS = {"8-K": "8k_full_submissions", "4": "form4_full_submissions", "SCHEDULE 13D": "sc13_headers"}
_FOLDERS |= dict.fromkeys((form for form in outsiders.FORMS if form not in _FOLDERS), "other_full_submissions")
# Who submits for holders, sellers and bidders: one agent per issuer, so that its own numbers never meet theirs.
_AGENT_CIK = 9_600_000


@dataclass(frozen=True, slots=True)
class Paper:
    """One filing of the list: its row, and the submission text where this archive has one."""

    accepted: datetime
    row: dict[str, Any]
    path: str | None
    body: bytes | None


def papers_of(plan: SimulationPlan, story: Story, bars: list[Bar]) -> list[Paper]:
    """Return all filings of one entity in order of acceptance; accession numbers count per year in that order."""
    closes = {bar[0]: bar[4] for bar in bars}
    owned = {person.cik: 20_000 + 137 * (person.cik % 997) for person in story.entity.people}
    todo: list[Report | Trade] = sorted([*story.reports, *story.trades], key=lambda item: item.accepted)
    numbers: dict[int, int] = {}
    found = []
    for item in todo:
        year = item.accepted.year
        numbers[year] = numbers.get(year, 0) + 1
        accession = f"{story.entity.cik:010d}-{year % 100:02d}-{numbers[year]:06d}"
        if isinstance(item, Trade):
            found.append(_form4(story, item, accession, closes, owned))
        else:
            found.append(_report(plan, story, item, accession))
    for count, item in enumerate(sorted(story.outsiders, key=lambda report: (report.accepted, report.form)), 1):
        accession = f"{_AGENT_CIK + story.entity.number:010d}-{item.accepted.year % 100:02d}-{count:06d}"
        found.append(_report(plan, story, item, accession))
    return sorted(found, key=lambda paper: paper.accepted)


def _row(accession: str, form: str, accepted: datetime, about: date, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row |= {
        "accessionNumber": accession,
        "filingDate": days.filing_date(form, accepted).isoformat(),
        "reportDate": about.isoformat(),
        "acceptanceDateTime": accepted,
        "act": "34",
        "form": form,
        "core_type": form,
        "isXBRL": 0,
        "isInlineXBRL": 0,
        "size": 0,
    }
    return row | more


def _report(plan: SimulationPlan, story: Story, report: Report, accession: str) -> Paper:
    entity, form = story.entity, report.form
    number = f"001-{70000 + entity.number}"
    base = f"{entity.ticker.lower()}-{report.about:%Y%m%d}"
    filed = days.filing_date(form, report.accepted)
    if form not in _FOLDERS:
        # Periodic reports and notices are rows of the list; nothing here reads their text.
        row = _row(accession, form, report.accepted, report.about, fileNumber=number)
        row |= {"primaryDocument": f"{base}.htm", "primaryDocDescription": form, "size": 900_000}
        row["isXBRL"] = row["isInlineXBRL"] = int(form.startswith("10-"))
        return Paper(report.accepted, row, None, None)
    chance = Chance(plan.seed, "paper", accession)
    parties: tuple[Party, ...] = (Party(entity.cik, entity.name.upper(), "filer"),)
    primary = f"{base}.htm"
    if form in outsiders.FORMS:
        parties, parts, primary = outsiders.outside_paper(report, entity, chance)
    else:
        parts = [(form, primary, papers.main_document(report, entity, chance))]
        if report.announcement is not None:
            parts.append(("EX-99.1", f"{base}-ex991.htm", papers.press_release(report.announcement, entity)))
    items = tuple(ITEM_NAMES[item] for item in report.items)
    filing = Filing(accession, form, filed, report.accepted, f"{report.about:%Y%m%d}", items, parties, "")
    body = write_submission(filing, parts, number)
    row = _row(accession, form, report.accepted, report.about, fileNumber=number, items=",".join(report.items))
    row |= {"primaryDocument": primary, "primaryDocDescription": form, "size": len(body)}
    return Paper(report.accepted, row, _path(story, form, accession), body)


def _path(story: Story, form: str, accession: str) -> str:
    folder = _FOLDERS[form]
    return (
        f"sec/{folder}/{accession}.txt"
        if folder == "sc13_headers"
        else (f"sec/{folder}/{story.entity.ticker}/{accession}.txt")
    )


def _form4(story: Story, trade: Trade, accession: str, closes: dict[date, float], owned: dict[int, int]) -> Paper:
    entity, owner = story.entity, trade.owners[0]
    close = closes[trade.traded]
    shares = max(int(trade.value / close), 1)
    if trade.code in "SF":
        # Nobody sells more than is there.
        owned[owner.cik] = max(owned[owner.cik], 2 * shares) - shares
    else:
        owned[owner.cik] += shares
    line = papers.Line(shares, 0.0 if trade.code in "AM" else close, owned[owner.cik])
    parties = (
        *(Party(person.cik, f"{person.last} {person.first}", "reporting-owner") for person in trade.owners),
        Party(entity.cik, entity.name.upper(), "issuer"),
    )
    filed = days.filing_date("4", trade.accepted)
    filing = Filing(accession, "4", filed, trade.accepted, f"{trade.traded:%Y%m%d}", (), parties, "")
    body = write_submission(filing, [("4", "form4.xml", papers.ownership_xml(trade, entity, line))])
    row = _row(accession, "4", trade.accepted, trade.traded, act="", size=len(body))
    row |= {"primaryDocument": "xslF345X05/form4.xml", "primaryDocDescription": "FORM 4"}
    return Paper(trade.accepted, row, _path(story, "4", accession), body)


def clock_of(plan: SimulationPlan, story: Story) -> str:
    """Return `eastern` where this entity's submissions files have New York time labelled Z, else `utc`."""
    return "eastern" if Chance(plan.seed, "clock", story.entity.number).happens(plan.eastern_share) else "utc"


def submissions(plan: SimulationPlan, story: Story, found: list[Paper]) -> Iterator[tuple[str, str]]:
    """Yield (file name, JSON) of the main file and, for some, of one older page; newest filings first."""
    entity, clock = story.entity, clock_of(plan, story)
    newest = [paper.row for paper in reversed(found)]
    paged = Chance(plan.seed, "paged", entity.number).happens(plan.paged_share)
    # The older page keeps the quarterly reports from before the window: enough rows to tell its clock.
    old = [row for row in newest if row["acceptanceDateTime"].date() < plan.start] if paged else []
    recent = newest[: len(newest) - len(old)]
    name = f"CIK{entity.cik:010d}"
    files = []
    if old:
        page = f"{name}-submissions-001.json"
        dates = [row["filingDate"] for row in old]
        files.append({"name": page, "filingCount": len(old), "filingFrom": min(dates), "filingTo": max(dates)})
        yield page, _json(_columns(old, clock))
    yield (
        f"{name}.json",
        _json(
            {
                "cik": f"{entity.cik:010d}",
                "entityType": "operating",
                "sic": "7372",
                "sicDescription": "Services-Prepackaged Software",
                "insiderTransactionForOwnerExists": 0,
                "insiderTransactionForIssuerExists": 1,
                "name": entity.name,
                "tickers": [entity.ticker],
                "exchanges": ["Nasdaq"],
                "fiscalYearEnd": f"{entity.year_end:02d}{(31, 30, 30, 31)[entity.year_end // 3 - 1]}",
                "formerNames": [],
                "filings": {"recent": _columns(recent, clock), "files": files},
            }
        ),
    )


def _columns(rows: list[dict[str, Any]], clock: str) -> dict[str, list[Any]]:
    columns = {column: [row[column] for row in rows] for column in COLUMNS}
    moments = columns["acceptanceDateTime"]
    written = moments if clock == "eastern" else [days.utc(moment) for moment in moments]
    columns["acceptanceDateTime"] = [f"{moment:%Y-%m-%dT%H:%M:%S}.000Z" for moment in written]
    return columns


def _json(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"))


def tickers(stories: list[Story]) -> str:
    """Return the ticker table."""
    rows = [{"cik_str": s.entity.cik, "ticker": s.entity.ticker, "title": s.entity.name} for s in stories]
    return _json({str(n): row for n, row in enumerate(rows)})


@dataclass(frozen=True, slots=True)
class Release:
    """One litigation release: number, Eastern moment of publication, the registrant named."""

    number: int
    published: datetime
    story: Story


def releases(plan: SimulationPlan, stories: list[Story]) -> list[Release]:
    """Return the litigation releases, oldest first: one for every twelfth entity, led by nothing."""
    found = []
    for story in stories:
        chance = Chance(plan.seed, "litigation", story.entity.number)
        if story.entity.number % 12 == 5:
            day = days.on_or_after(plan.start + timedelta(days=chance.integer(10, plan.days - 10)))
            found.append(
                (datetime.combine(day, datetime.min.time()) + timedelta(seconds=chance.integer(36_000, 61_200)), story)
            )
    found.sort(key=lambda pair: (pair[0], pair[1].entity.number))
    return [Release(26_501 + n, moment, story) for n, (moment, story) in enumerate(found)]


def release_rss(found: list[Release]) -> str:
    """Return the RSS feed: the newest 25 releases, newest first."""
    items = []
    for release in reversed(found[-25:]):
        moment = release.published.replace(tzinfo=days.NEW_YORK)
        title = release.story.entity.name
        items.append(
            f"<item>\n  <title>{title}</title>\n  <link>https://www.sec.gov/enforcement-litigation/litigation-releases/"
            f"lr-{release.number}</link>\n  <description>{title}</description>\n"
            f"  <pubDate>{moment:%a, %d %b %Y %H:%M:%S %z}</pubDate>\n"
            f"    <dc:creator>LR-{release.number}</dc:creator>\n"
            f'    <guid isPermaLink="false">LR-{release.number}</guid>\n    </item>'
        )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<rss xmlns:dc="http://purl.org/dc/elements/1.1/" version="2.0" '
        'xml:base="https://www.sec.gov/">\n  <channel>\n    <title>Litigation Releases</title>\n'
        "    <link>https://www.sec.gov/</link>\n    <language>en</language>\n"
        + "\n".join(items)
        + "\n  </channel>\n</rss>\n"
    )


def release_rows(found: list[Release]) -> Iterator[tuple[int, tuple[str, str, str, str]]]:
    """Yield (year, (number, year, title, text)) of every release, as the recorded tables have them."""
    for release in found:
        day, name = release.published.date(), release.story.entity.name
        heading = f"Litigation Release No. {release.number} / {day:%B} {day.day}, {day.year}"
        title = f"[<h2>{heading}</h2>, <h2><i>Securities and Exchange Commission v. {name}</i></h2>]"
        text = (
            f"On {day:%B} {day.day}, {day.year}, the Securities and Exchange Commission filed a complaint against "
            f"{name}, charging it with violations of the reporting and internal controls provisions."
        )
        yield day.year, (str(release.number), str(day.year), title, text)
