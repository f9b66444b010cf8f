"""Writing a simulated archive: the stories of all entities and pools as files of the recorded layout, and the plan."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from ...versioning import canonical_json
from . import chain, days, edgar, facts, listings, market
from .cast import make_entity
from .plan import SimulationPlan
from .story import Story, tell

PLAN_SCHEMA = "signaldelta.simulation_plan/1"


def simulate(plan: SimulationPlan, root: Path) -> dict[str, Any]:
    """Write the archive of `plan` into `root`, which must be empty or absent; return what was planted (`plan.json`).

    The same plan gives the same bytes in every file, on any machine.
    """
    if root.exists() and any(root.iterdir()):
        raise FileExistsError(f"simulate: expected an empty or absent folder at {root}, found files")
    out = _Output(root)
    stories = [tell(plan, make_entity(plan, number)) for number in range(plan.entities)]
    common = market.market_returns(plan)
    announcements: list[dict[str, Any]] = []
    splits = ["ticker,execution_date,split_from,split_to"]
    for story in stories:
        ticker = story.entity.ticker
        bars = market.daily_bars(plan, story, common)
        out.text(f"prices/daily_raw_simulated/{ticker}.csv", market.bars_csv(bars))
        hourly = listings.hourly(plan, story.entity, bars)
        if hourly is not None:
            out.text(f"prices/hourly_raw_simulated/{ticker}.csv", hourly)
        split = market.split_of(plan, story)
        if split:
            splits.append(f"{ticker},{split[0]},1,{split[1]}")
        papers = edgar.papers_of(plan, story, bars)
        for paper in papers:
            if paper.path is not None and paper.body is not None:
                out.raw(paper.path, paper.body)
        for name, text in edgar.submissions(plan, story, papers):
            out.text(f"sec/submissions/as_served/{name}", text)
        out.text(
            f"sec/companyfacts/as_served/CIK{story.entity.cik:010d}.json", facts.company_facts(plan, story, papers)
        )
        announcements += market.earnings(plan, story)
    changed = listings.changes(plan)
    _changes(out, plan, common, changed)
    lines = listings.lines(plan, [story.entity for story in stories])
    paid = [row for line in lines for row in listings.dividends(plan, line)]
    out.text("reference/tickers_simulated.json", json.dumps(listings.reference(plan, lines)))
    out.text("reference/dividends_simulated.json", json.dumps(paid))
    out.text("reference/splits_simulated.csv", "\n".join(splits) + "\n")
    out.text("reference/company_tickers/company_tickers_simulated.json", edgar.tickers(stories))
    out.text("earnings/benzinga_simulated/earnings.json", json.dumps(announcements, separators=(",", ":")))
    releases = edgar.releases(plan, stories)
    _litigation(out, releases)
    pools = [chain.make_pool(plan, number) for number in range(plan.pools)]
    _chain(out, plan, pools)
    document = _document(plan, stories, releases, pools) | {"listings": listings.planted(changed)}
    out.raw("plan.json", canonical_json(document))
    return document


def _changes(out: _Output, plan: SimulationPlan, common: dict[date, float], changed: list[listings.Line]) -> None:
    """Write the prices of the issuers whose tickers change, each session under the ticker it had."""
    found: dict[str, list[market.Bar]] = {}
    for line in changed:
        bars = market.daily_bars(plan, Story(line.entity), common)
        for ticker, own in listings.by_ticker(line, bars).items():
            found.setdefault(ticker, []).extend(own)
    for ticker, bars in found.items():
        out.text(f"prices/daily_raw_simulated/{ticker}.csv", market.bars_csv(sorted(bars)))


class _Output:
    """Files under one root; folders are made once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: set[Path] = set()

    def raw(self, name: str, body: bytes) -> None:
        path = self._root / name
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        path.write_bytes(body)

    def text(self, name: str, text: str) -> None:
        self.raw(name, text.encode("utf-8"))


def _litigation(out: _Output, releases: list[edgar.Release]) -> None:
    tables: dict[int, io.StringIO] = {}
    for year, row in edgar.release_rows(releases):
        if year not in tables:
            tables[year] = io.StringIO()
            csv.writer(tables[year], lineterminator="\n").writerow(("lt_no", "yr", "title", "lt"))
        csv.writer(tables[year], lineterminator="\n").writerow(row)
    for year, table in tables.items():
        out.text(f"sec/litigation_releases/by_year/{year}.csv", table.getvalue())
    out.text("sec/litigation_releases/rss/litigation_releases_simulated.xml", edgar.release_rss(releases))


def _chain(out: _Output, plan: SimulationPlan, pools: list[chain.Pool]) -> None:
    for pool in pools:
        out.text(f"onchain/uniswap_v2_sync_events/{pool.address}.json", json.dumps(pool.syncs))
        out.text(f"onchain/uniswap_v2_lp_transfer_events/{pool.address}.json", json.dumps(pool.transfers))
        out.text(f"onchain/uniswap_v2_mint_events/{pool.address}.json", json.dumps(pool.mints))
        out.text(f"onchain/uniswap_v2_burn_events/{pool.address}.json", json.dumps(pool.burns))
    out.text("onchain/uniswap_v2_meta/full_data_pool_dict.json", json.dumps(chain.pool_table(pools)))
    out.text("onchain/uniswap_v2_meta/full_data_decimals.csv", chain.decimals(pools))
    out.text("onchain/block_anchors.csv", chain.anchors(plan, pools))


def _stamp(eastern: datetime) -> str:
    return days.stamp(days.utc(eastern))


def _block_stamp(block: int) -> str:
    return days.stamp(datetime.fromtimestamp(chain.time_of(block), UTC))


def _pool_facts(
    pool: chain.Pool, planted: list[dict[str, Any]], events: list[dict[str, Any]], noise: list[dict[str, Any]]
) -> None:
    entity = {"entity": f"eth:{pool.address}", "ticker": ""}
    if pool.drained is not None:
        fact = {"event_type": "RUG_PULL", "subtype": "simple", "event_time": _block_stamp(pool.drained)}
        events.append({**entity, **fact, "led": pool.led})
    for signal, block in pool.traces:
        fact = {"signal": signal, "signal_time": _block_stamp(block)}
        if pool.drained is None:
            noise.append({**entity, **fact, "reason": "trace in a pool that is not drained"})
            continue
        hours = round((chain.time_of(pool.drained) - chain.time_of(block)) / 3600, 6)
        event = {"event_type": "RUG_PULL", "event_time": _block_stamp(pool.drained)}
        planted.append({**entity, **fact, "lead_hours": hours, **event})


def _document(
    plan: SimulationPlan, stories: list[Story], releases: list[edgar.Release], pools: list[chain.Pool]
) -> dict[str, Any]:
    """What was planted: pairs, events (led or not), noise, clocks. Times are UTC; leads are in hours."""
    planted: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    noise: list[dict[str, Any]] = []
    for story in stories:
        entity = {"entity": f"{story.entity.cik:010d}", "ticker": story.entity.ticker}
        for lead in story.leads:
            for signal, seen in lead.signals:
                hours = round((days.utc(lead.event) - days.utc(seen)).total_seconds() / 3600, 6)
                pair = {"signal": signal, "signal_time": _stamp(seen), "lead_hours": hours}
                planted.append({**entity, **pair, "event_type": lead.event_type, "event_time": _stamp(lead.event)})
        led = {(lead.event_type, lead.event) for lead in story.leads}
        for kind, subtype, moment in story.events:
            fact = {"event_type": kind, "subtype": subtype, "event_time": _stamp(moment)}
            events.append({**entity, **fact, "led": (kind, moment) in led})
        for signal, reason, moment in story.noise:
            noise.append({**entity, "signal": signal, "signal_time": _stamp(moment), "reason": reason})
    for release in releases:
        entity = {"entity": f"{release.story.entity.cik:010d}", "ticker": release.story.entity.ticker}
        fact = {"event_type": "SEC_ENFORCEMENT", "subtype": "complaint", "event_time": _stamp(release.published)}
        events.append({**entity, **fact, "led": False})
    for pool in pools:
        _pool_facts(pool, planted, events, noise)
    order = ("event_time", "signal_time", "entity", "event_type", "signal")

    def key(row: dict[str, Any]) -> list[str]:
        return [str(row.get(name, "")) for name in order]

    return {
        "schema": PLAN_SCHEMA,
        "plan": plan.to_document(),
        "window": [plan.start.isoformat(), plan.end.isoformat()],
        "planted": sorted(planted, key=key),
        "events": sorted(events, key=key),
        "noise": sorted(noise, key=key),
        "clocks": {f"{story.entity.cik:010d}": edgar.clock_of(plan, story) for story in stories},
    }
