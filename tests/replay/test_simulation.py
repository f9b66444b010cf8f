"""The simulated archive: the same bytes for the same plan, and documents that hold exactly what the plan says.

What was planted is found again here by rules written anew from signals.md, on the served documents.
"""

from __future__ import annotations

import csv
import json
import math
import re
import statistics
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from signaldelta_assets.errors import DocumentError
from signaldelta_assets.replay import SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.replay.archive import Filing, Party
from signaldelta_assets.replay.sgml import find_document, parse_header, write_submission
from signaldelta_assets.replay.simulated.chance import Chance, exponential
from signaldelta_assets.replay.simulated.outsiders import FORMS as OUTSIDE
from signaldelta_assets.timeline import decide_clock
from signaldelta_assets.versioning import hash_document, sha256_file

NEW_YORK = ZoneInfo("America/New_York")
RX_DEAL = re.compile(
    r"agreement and plan of merger|merger agreement|(stock|share|asset|equity|membership interest) purchase agreement"
    r"|business combination agreement|tender offer",
    re.IGNORECASE,
)
RX_LEAVES = re.compile(r"\b(?:Mr|Ms|Mrs|Dr)\. ?([A-Z][A-Za-z'-]+)[^.]{0,120}?\bresign")


def _tree(root: Path) -> str:
    return hash_document({p.relative_to(root).as_posix(): sha256_file(p) for p in root.rglob("*") if p.is_file()})


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _accepted(filing: Filing) -> datetime:
    assert filing.accepted is not None
    return filing.accepted.replace(tzinfo=NEW_YORK).astimezone(UTC)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> SimulatedArchive:
    """The archive of the default plan, the one a demonstration uses."""
    root = tmp_path_factory.mktemp("usual") / "archive"
    simulate(SimulationPlan(), root)
    return SimulatedArchive(root)


@pytest.fixture(scope="module")
def texts(usual: SimulatedArchive) -> dict[str, bytes]:
    """accession -> submission text, of every filing that has one."""
    return {a: (usual.root / f.source).read_bytes() for a, f in usual.edgar.filings().items()}


def _events(archive: SimulatedArchive, kind: str) -> list[dict[str, Any]]:
    return [event for event in archive.plan["events"] if event["event_type"] == kind]


def test_a_plan_and_a_seed_make_one_archive(tmp_path: Path) -> None:
    plan = SimulationPlan(seed=3, entities=4, days=130, pools=2)
    first, second, other = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    assert simulate(plan, first) == simulate(plan, second)
    simulate(SimulationPlan(seed=4, entities=4, days=130, pools=2), other)
    assert _tree(first) == _tree(second) != _tree(other)
    # Pinned: a change of the generator is a reviewed change of this line.
    assert _tree(first) == "277289cc5c4a946d4607d2a590e0599781b48f6d189a096fbcc41b0aba6ad123"
    with pytest.raises(FileExistsError, match="empty or absent"):
        simulate(plan, first)


def test_an_entity_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    simulate(SimulationPlan(seed=3, entities=2, days=130, pools=1), few)
    simulate(SimulationPlan(seed=3, entities=5, days=130, pools=3), many)
    for name in ("prices/daily_raw_simulated/SIMAB.csv", "sec/submissions/as_served/CIK0009000002.json"):
        assert (few / name).read_bytes() == (many / name).read_bytes()


def test_plans_are_read_and_refused_by_field() -> None:
    assert SimulationPlan.parse("") == SimulationPlan()
    read = SimulationPlan.parse("seed=9,entities=20,days=150,end=2024-12-31,deal_share=0.5")
    assert (read.seed, read.entities, read.end, read.deal_share) == (9, 20, date(2024, 12, 31), 0.5)
    assert read.start == date(2024, 8, 3)
    for text, field in (
        ("size=3", "size"),
        ("entities=0", "entities"),
        ("days=x", "days"),
        ("deal_share=2", "deal_share"),
    ):
        with pytest.raises(DocumentError) as caught:
            SimulationPlan.parse(text)
        assert caught.value.field == field


def test_the_usual_plan_satisfies_the_minimum_dataset(usual: SimulatedArchive) -> None:
    equity = [event for event in usual.plan["events"] if not event["entity"].startswith("eth:")]
    kinds = Counter(event["event_type"] for event in equity)
    times = sorted(_moment(event["event_time"]) for event in equity)
    assert len(equity) >= 200
    assert len(kinds) >= 3
    assert kinds["EARNINGS_SURPRISE"] >= 50
    assert times[-1] - times[0] >= timedelta(days=183)
    assert len({event["entity"] for event in equity}) >= 100
    # And every type but enforcement and rugs is above the floor of 30.
    assert {kind for kind, count in kinds.items() if count >= 30} >= {
        "EARNINGS_SURPRISE",
        "MNA_ANNOUNCEMENT",
        "GOVERNANCE_COLLAPSE",
        "INSIDER_TRADING_DISCLOSURE",
    }
    assert usual.universe()["unserved"] == []


def test_surprises_are_exactly_those_of_the_plan(usual: SimulatedArchive) -> None:
    found = set()
    for row in usual.market.earnings():
        gap = row["actual_eps"] - row["estimated_eps"]
        moment = _moment(f"{row['date']}T{row['time']}+00:00")
        in_window = moment.astimezone(NEW_YORK).date().isoformat() >= usual.plan["window"][0]
        if in_window and abs(gap) >= 0.02 - 1e-9 and abs(gap) / max(abs(row["estimated_eps"]), 0.05) >= 0.10:
            found.add((row["ticker"], moment, "positive" if gap > 0 else "negative"))
    planned = {(e["ticker"], _moment(e["event_time"]), e["subtype"]) for e in _events(usual, "EARNINGS_SURPRISE")}
    assert found == planned


def test_facts_hold_the_jumps_and_restatements_of_the_plan(usual: SimulatedArchive) -> None:
    """Read from the served documents by accession: accruals against three years before, and figures that moved."""
    cash = "NetCashProvidedByUsedInOperatingActivities"
    found: dict[str, set[tuple[str, str]]] = {"S024": set(), "S025": set()}
    for cik in usual.universe()["edgar"]["companyfacts"]:
        body = usual.edgar.companyfacts(f"CIK{cik:010d}.json")
        assert body is not None
        stated: dict[tuple[str, str, str], int] = {}
        accruals: dict[str, float] = {}
        filings: dict[str, list[tuple[tuple[str, str, str], dict[str, Any]]]] = defaultdict(list)
        for concept, entry in json.loads(body.body)["facts"]["us-gaap"].items():
            for fact in entry["units"]["USD"]:
                filings[fact["accn"]].append(((concept, fact.get("start", ""), fact["end"]), fact))
        for accession, facts in sorted(filings.items()):
            moved = any(
                abs(fact["val"] - stated.get(key, fact["val"])) >= 0.01 * abs(fact["val"]) for key, fact in facts
            )
            stated |= {key: fact["val"] for key, fact in facts}
            if moved:
                found["S025"].add((f"{cik:010d}", accession))
            if facts[0][1]["form"] != "10-K":
                continue
            years = sorted({key for key, _ in facts if key[0] == cash}, key=lambda key: key[2])
            for _, start, end in years:
                if ("Assets", "", end) in stated and end not in accruals:
                    gap = stated["NetIncomeLoss", start, end] - stated[cash, start, end]
                    accruals[end] = gap / stated["Assets", "", end]
            end = max(accruals)
            prior = [value for other, value in accruals.items() if other < end]
            if len(prior) >= 3 and accruals[end] - statistics.median(prior) >= 0.03:
                found["S024"].add((f"{cik:010d}", accession))
    for signal, many in (("S024", 10), ("S025", 10)):
        planned = {noise["entity"] for noise in usual.plan["noise"] if noise["signal"] == signal}
        count = sum(noise["signal"] == signal for noise in usual.plan["noise"])
        assert {entity for entity, _ in found[signal]} == planned
        assert len(found[signal]) == count >= many


def test_every_announcement_of_the_window_has_its_8k(usual: SimulatedArchive) -> None:
    results = defaultdict(list)
    for filing in usual.edgar.filings().values():
        if "Results of Operations and Financial Condition" in filing.items:
            results[filing.parties[0].cik].append(_accepted(filing))
    for event in _events(usual, "EARNINGS_SURPRISE"):
        gaps = [moment - _moment(event["event_time"]) for moment in results[int(event["entity"])]]
        assert any(timedelta(0) < gap < timedelta(hours=1) for gap in gaps), event


def test_deals_are_exactly_the_item_101_filings_that_read_like_one(
    usual: SimulatedArchive, texts: dict[str, bytes]
) -> None:
    found, others = set(), 0
    for accession, filing in usual.edgar.filings().items():
        if "Entry into a Material Definitive Agreement" in filing.items:
            main = texts[accession].split(b"<TEXT>")[1].decode()
            if RX_DEAL.search(re.sub(r"<[^>]+>", " ", main)[:6000]):
                found.add((f"{filing.parties[0].cik:010d}", _accepted(filing)))
            else:
                others += 1
    assert found == {(e["entity"], _moment(e["event_time"])) for e in _events(usual, "MNA_ANNOUNCEMENT")}
    assert others > len(found), "most item 1.01 filings are no deal"


def test_departure_clusters_are_exactly_those_of_the_plan(usual: SimulatedArchive, texts: dict[str, bytes]) -> None:
    left: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for accession, filing in usual.edgar.filings().items():
        if any(item.startswith("Departure of Directors") for item in filing.items):
            for person in RX_LEAVES.findall(texts[accession].decode()):
                left[f"{filing.parties[0].cik:010d}"].append((_accepted(filing), person))
    found = set()
    for entity, rows in left.items():
        for moment, _ in sorted(rows):
            recent = {person for when, person in rows if timedelta(0) <= moment - when <= timedelta(days=30)}
            if len(recent) >= 3:
                found.add((entity, moment))
                break
    assert found == {(e["entity"], _moment(e["event_time"])) for e in _events(usual, "GOVERNANCE_COLLAPSE")}


def _purchases(usual: SimulatedArchive, texts: dict[str, bytes]) -> dict[str, list[tuple[datetime, tuple[str, ...]]]]:
    """issuer -> (acceptance, owners) of every eligible purchase report, in order."""
    found: dict[str, list[tuple[datetime, tuple[str, ...]]]] = defaultdict(list)
    for accession, filing in usual.edgar.filings().items():
        if filing.form != "4":
            continue
        document = find_document(texts[accession], "form4.xml", "")
        assert document is not None
        root = etree.fromstring(document.body)
        value = sum(
            float(line.findtext(".//transactionShares/value"))
            * float(line.findtext(".//transactionPricePerShare/value"))
            for line in root.iter("nonDerivativeTransaction")
            if line.findtext(".//transactionCode") == "P"
        )
        if value >= 10_000 and root.findtext("aff10b5One") == "0":
            owners = tuple(sorted(node.text or "" for node in root.iter("rptOwnerCik")))
            found[root.findtext("issuer/issuerCik") or ""].append((_accepted(filing), owners))
    return {issuer: sorted(rows) for issuer, rows in found.items()}


def test_planted_purchases_precede_their_surprise(usual: SimulatedArchive, texts: dict[str, bytes]) -> None:
    bought = _purchases(usual, texts)
    pairs = [pair for pair in usual.plan["planted"] if pair["event_type"] == "EARNINGS_SURPRISE"]
    assert len(pairs) >= 60
    for pair in pairs:
        seen, event = _moment(pair["signal_time"]), _moment(pair["event_time"])
        assert pair["lead_hours"] == pytest.approx((event - seen).total_seconds() / 3600, abs=1e-6)
        assert pair["lead_hours"] > 0
        rows = bought[pair["entity"]]
        assert seen in [moment for moment, _ in rows]
        if pair["signal"] == "S003":
            groups = {owners for moment, owners in rows if timedelta(0) <= seen - moment <= timedelta(days=30)}
            assert len(groups) >= 2
    leads = [pair["lead_hours"] / 24 for pair in pairs if pair["signal"] == "S001"]
    # Median 12 days, spread 0.5: the median of so many is within a fifth of it nearly always.
    assert 9 < statistics.median(leads) < 15


def test_led_and_unled_events_differ_as_planned(usual: SimulatedArchive) -> None:
    positive = [event for event in _events(usual, "EARNINGS_SURPRISE") if event["subtype"] == "positive"]
    share = sum(event["led"] for event in positive) / len(positive)
    assert 0.33 < share < 0.57
    assert not any(event["led"] for event in _events(usual, "EARNINGS_SURPRISE") if event["subtype"] == "negative")
    assert not any(event["led"] for event in _events(usual, "GOVERNANCE_COLLAPSE"))
    assert {noise["signal"] for noise in usual.plan["noise"]} >= {"S001", "S002", "S016", "S033", "S039", "S064"}


def test_insider_clusters_are_exactly_those_of_the_plan(usual: SimulatedArchive, texts: dict[str, bytes]) -> None:
    found = set()
    for issuer, rows in _purchases(usual, texts).items():
        quiet = datetime.min.replace(tzinfo=UTC)
        for moment, _ in rows:
            groups = {owners for when, owners in rows if timedelta(0) <= moment - when <= timedelta(days=30)}
            if len(groups) >= 3 and moment >= quiet:
                found.add((issuer, moment))
                quiet = moment + timedelta(days=30)
    planned = [e for e in _events(usual, "INSIDER_TRADING_DISCLOSURE") if e["subtype"] == "buy_cluster"]
    assert found == {(e["entity"], _moment(e["event_time"])) for e in planned}


def test_runs_before_deals_trip_price_and_volume(usual: SimulatedArchive) -> None:
    pairs = [pair for pair in usual.plan["planted"] if pair["signal"] == "S064"]
    assert len(pairs) >= 15
    fired = 0
    for pair in pairs:
        with (usual.root / f"prices/daily_raw_simulated/{pair['ticker']}.csv").open() as file:
            rows = list(csv.DictReader(file))
        seen = _moment(pair["signal_time"]).astimezone(NEW_YORK)
        assert (seen.hour, seen.minute) == (16, 0)
        at = [row["Date"] for row in rows].index(seen.date().isoformat())
        close = np.array([float(row["Close"]) for row in rows])
        volume = np.array([float(row["Volume"]) for row in rows])
        returns, dollars = np.diff(np.log(close), prepend=np.nan), np.log(close * volume)
        before = slice(at - 60, at)
        middle = np.median(dollars[before])
        deviation = max(1.4826 * np.median(np.abs(dollars[before] - middle)), 0.20)
        fired += abs(returns[at]) >= 3 * max(returns[before].std(ddof=1), 0.008) and (
            (dollars[at] - middle) / deviation >= 3
        )
        assert _moment(pair["signal_time"]) < _moment(pair["event_time"])
    # A quarter with results widens the deviation that a run is measured by.
    assert fired >= 0.8 * len(pairs)


def test_the_clock_of_every_submissions_file_can_be_told(usual: SimulatedArchive) -> None:
    told: Counter[str] = Counter()
    headers = {a: f.accepted for a, f in usual.edgar.filings().items() if f.accepted}
    for path in sorted((usual.root / "sec/submissions/as_served").iterdir()):
        document = json.loads(path.read_text())
        columns = document["filings"]["recent"] if "filings" in document else document
        rows = pd.DataFrame(
            {
                "accession": columns["accessionNumber"],
                "form": columns["form"],
                "filing_date": pd.to_datetime(columns["filingDate"]),
                "accepted_raw": pd.to_datetime([stamp.rstrip("Z") for stamp in columns["acceptanceDateTime"]]),
            }
        )
        planned = usual.plan["clocks"][path.name[3:13]]
        decision = decide_clock(rows, settled="submissions" in path.name)
        assert decision.clock == planned, path.name
        told[planned] += 1
        for accession, stamp in zip(rows["accession"], rows["accepted_raw"], strict=True):
            if accession in headers:
                eastern = (
                    stamp if planned == "eastern" else stamp.tz_localize("UTC").tz_convert(NEW_YORK).tz_localize(None)
                )
                assert eastern == headers[accession]
    assert told["eastern"] >= 10
    assert told["utc"] > told["eastern"]


def test_every_row_of_a_list_that_has_a_text_is_held(usual: SimulatedArchive) -> None:
    held = usual.edgar.filings()
    seen = set()
    for path in (usual.root / "sec/submissions/as_served").iterdir():
        document = json.loads(path.read_text())
        columns = document["filings"]["recent"] if "filings" in document else document
        for accession, form in zip(columns["accessionNumber"], columns["form"], strict=True):
            assert accession not in seen
            seen.add(accession)
            assert (accession in held) == (form in ("8-K", "4", *OUTSIDE))
    assert set(held) <= seen


def test_drained_pools_are_those_of_the_plan(usual: SimulatedArchive) -> None:
    weth = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
    table = json.loads((usual.root / "onchain/uniswap_v2_meta/full_data_pool_dict.json").read_text())
    found = set()
    for address, pair in table.items():
        events = json.loads((usual.root / f"onchain/uniswap_v2_sync_events/{address}.json").read_text())
        side = "reserve0" if pair["token0"] == weth else "reserve1"
        quotes = [event["args"][side] for event in events]
        assert min(quotes) > 0
        for before, now, event in zip(quotes, quotes[1:], events[1:], strict=False):
            if now <= before // 10 and before >= 10**18:
                block = usual.chain.block(event["blockNumber"])
                assert block is not None
                assert block.exact
                found.add((f"eth:{address}", datetime.fromtimestamp(block.timestamp, UTC)))
    assert found == {(e["entity"], _moment(e["event_time"])) for e in _events(usual, "RUG_PULL")}
    assert len(found) == 32


def test_others_read_the_filings_as_we_wrote_them(
    usual: SimulatedArchive, texts: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = pytest.importorskip("edgar.ownership.ownershipforms")
    owners = pytest.importorskip("edgar.ownership.owners")
    sgml = pytest.importorskip("edgar.sgml.sgml_common")
    # edgartools asks the live service for every owner; a person is what these are.
    person = SimpleNamespace(data=SimpleNamespace(is_company=False))
    monkeypatch.setattr(owners, "Entity", lambda cik: person)
    codes: Counter[str] = Counter()
    for accession in sorted(texts)[::25]:
        filing, raw = usual.edgar.filings()[accession], texts[accession].decode()
        read = sgml.FilingSGML.from_text(raw)
        assert read.header.accession_number == accession
        assert read.header.form == filing.form
        assert str(read.header.filing_date) == str(filing.filed)
        assert str(read.header.acceptance_datetime) == str(filing.accepted)
        assert len(list(read.attachments)) == raw.count("<DOCUMENT>")
        if filing.form == "4":
            document = find_document(texts[accession], "form4.xml", "")
            assert document is not None
            form4 = forms.Form4(**forms.Ownership.parse_xml(document.body.decode()))
            line = form4.non_derivative_table.transactions.data.iloc[0]
            root = etree.fromstring(document.body)
            assert int(form4.issuer.cik) == int(root.findtext("issuer/issuerCik"))
            assert line.Code == root.findtext(".//transactionCode")
            assert float(line.Shares) == float(root.findtext(".//transactionShares/value"))
            assert len(form4.reporting_owners.owners) == len(root.findall("reportingOwner"))
            codes[line.Code] += 1
    assert set(codes) >= {"P", "S", "A"}


_names = st.text(st.characters(codec="latin-1", categories=("Lu", "Ll", "Nd")), min_size=1, max_size=20)
_roles = ["filer", "issuer", "reporting-owner", "subject", "filed-by"]
_seconds = st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
_parties = st.lists(
    st.builds(
        Party,
        st.integers(1, 9_999_999_999),
        _names,
        st.sampled_from(["filer", "issuer", "reporting-owner", "subject", "filed-by"]),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda party: (party.cik, party.role),
)


@given(
    _parties,
    st.sampled_from(["8-K", "4", "4/A", "SC 13D/A"]),
    st.one_of(
        st.none(), st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1)).map(lambda m: m.replace(microsecond=0))
    ),
    st.one_of(st.none(), st.dates(date(1995, 1, 1), date(2035, 1, 1))),
    st.lists(st.sampled_from(["Other Events", "Regulation FD Disclosure"]), max_size=2).map(tuple),
)
def test_a_header_reads_back_as_it_was_written(
    parties: list[Party], form: str, accepted: datetime | None, filed: date | None, items: tuple[str, ...]
) -> None:
    filing = Filing("0000000001-25-000001", form, filed, accepted, None, items, tuple(parties), "x")
    raw = write_submission(filing, [(form, "a.htm", "<p>\u00e9</p>"), (form, "b.xml", "<x/>")])
    head = raw.split(b"</SEC-HEADER>")[0].decode("utf-8")
    assert parse_header(head, "x") == filing
    first, second = find_document(raw, "a.htm", ""), find_document(raw, "b.xml", "")
    assert first is not None and first.body.decode().strip() == "<p>\u00e9</p>"
    assert second is not None and second.body == b"<x/>"
    assert find_document(raw, "c.htm", "") is None


@given(st.floats(-7, 7))
def test_the_own_exponential_is_the_exponential(x: float) -> None:
    assert exponential(x) == pytest.approx(math.exp(x), rel=1e-10)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_draws_have_the_moments_they_promise(seed: int) -> None:
    chance = Chance(seed, "x")
    draws = [chance.normal() for _ in range(3000)]
    assert abs(statistics.fmean(draws)) < 0.1
    assert abs(statistics.pstdev(draws) - 1) < 0.08
    leads = [chance.lognormal(12, 0.5) for _ in range(2001)]
    assert 10.5 < statistics.median(leads) < 13.7
    assert Counter(chance.sample(range(5), 5)) == Counter(range(5))
    assert {chance.integer(1, 3) for _ in range(200)} == {1, 2, 3}


def test_the_universe_is_companies_and_none_of_those_who_file_about_them(usual: SimulatedArchive) -> None:
    owners = {cik for filing in usual.edgar.filings().values() for cik in filing.ciks - filing.companies}
    entities = usual.universe()["entities"]
    assert len(owners) > 500 and all(entity["tickers"] and entity["name"] for entity in entities)
    assert not owners & {entity["cik"] for entity in entities}
