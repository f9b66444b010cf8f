"""Hostile rows of the market's pages and of a node's answers, through whole runs with a real database."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from signaldelta_assets.collectors import Window
from signaldelta_assets.replay import SimulatedArchive

from .conftest import MONTH, WINDOW, Desk

pytestmark = pytest.mark.postgres


def test_pages_of_the_market(desk: Desk) -> None:
    """Rows that are no bars are refused one by one, a page that is none as a whole; the rest is written."""
    desk.window = MONTH
    desk.run("edgar/submissions", "polygon/tickers", "polygon/splits")
    desk.run("polygon/daily_bars")
    # A month need not have any earnings.
    desk.window = WINDOW
    desk.run("polygon/earnings")
    good = {row["raw_record_id"] for row in desk.records("daily_bar", "earnings_actual")}
    wrong: tuple[Any, ...] = (
        None,
        [],
        "x",
        {"t": 1},
        {"v": -5},
        {"c": "12"},
        {"o": 2**63},
        {"t": 253402300799000},
        {"h": 0},
    )
    pages = Counter[str]()

    def sent(url: str, body: bytes) -> bytes:
        if b'"results"' not in body or not re.search(r"/v2/aggs|/benzinga", url):
            return body
        document = orjson.loads(body)
        kind = "bars" if "/v2/aggs" in url else "earnings"
        pages[kind] += 1
        if kind == "bars" and pages[kind] == 1:
            return body[: len(body) // 2]
        if kind == "bars":
            document["results"] += [
                {**document["results"][0], **one} if isinstance(one, dict) else one for one in wrong
            ]
        else:
            first = next(row for row in document["results"] if row.get("actual_eps") is not None)
            odd: tuple[dict[str, Any], ...] = ({"date": "1900-01-01"}, {"date": "2100-12-31"}, {"time": "25:61:00"})
            odd += ({"ticker": {}}, {"benzinga_id": "x" * 4000}, {"actual_eps": "1e999"})
            document["results"] += [{**first, **one} for one in odd]
        return orjson.dumps(document)

    desk.sent = sent
    (earnings,) = desk.run("polygon/earnings")
    desk.window = MONTH
    desk.run("polygon/daily_bars")
    assert {row["raw_record_id"] for row in desk.records("daily_bar", "earnings_actual")} == good
    refused = Counter(row["collector"] for row in desk.refused())
    assert refused["polygon/daily_bars"] == 1 + (pages["bars"] - 1) * len(wrong)
    # A row of 1900 is of another day than was asked for: counted. One of 2100 cannot be.
    assert refused["polygon/earnings"] == 5 * pages["earnings"] > 0
    assert earnings.counts["outside_window"] == pages["earnings"]


def test_answers_of_a_node(desk: Desk, simulated: SimulatedArchive) -> None:
    """A log that is none is refused with its bytes; the others of its answer are written."""
    first = simulated.chain.block(simulated.chain.logs(0, simulated.chain.head() or 0, None)[0].block)
    assert first is not None
    created = datetime.fromtimestamp(first.timestamp, UTC).date()
    desk.window = Window(created, created + timedelta(days=2))
    desk.run("ethereum/pairs", "ethereum/pool_events")
    good = {row["raw_record_id"] for row in desk.records("uni2_pair", "uni2_sync", "uni2_lp_transfer", "uni2_mint")}
    assert good
    desk.forget()
    odd: tuple[dict[str, Any], ...] = (
        {"blockNumber": "0xffffffffffffffff"}, {"data": "0x00"}, {"topics": ["0x" + "0" * 64]}, {"address": "0x1"},
        {"topics": {}},
    )  # fmt: skip
    spoiled = Counter[str]()

    def sent(url: str, body: bytes) -> bytes:
        if "eth_getLogs" not in url:
            return body
        answers = orjson.loads(body)
        for answer in answers:
            if isinstance(answer.get("result"), list) and answer["result"]:
                log = answer["result"][0]
                answer["result"] += [{**log, **one} for one in odd] + [None, "x"]
                spoiled["answers"] += 1
        return orjson.dumps(answers)

    desk.sent = sent
    desk.run("ethereum/pairs", "ethereum/pool_events")
    found = {row["raw_record_id"] for row in desk.records("uni2_pair", "uni2_sync", "uni2_lp_transfer", "uni2_mint")}
    assert found == good
    assert len(desk.refused()) >= spoiled["answers"] * (len(odd) + 1) > 0
    for row in desk.refused():
        assert desk.archive.path(row["body_hash"]).is_file()
