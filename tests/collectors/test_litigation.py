"""Litigation releases: feed, lists and pages on small documents, then over the real server and the recorded tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.collectors import (
    UniverseEntity,
    Window,
    parse_universe,
    registered_collectors,
    run_collector,
)
from signaldelta_assets.collectors.edgar.litigation import _placed
from signaldelta_assets.collectors.edgar.parsers import (
    FeedItem,
    parse_litigation_feed,
    parse_litigation_list,
    parse_main,
    release_payload,
)
from signaldelta_assets.collectors.edgar.submissions import _security
from signaldelta_assets.contracts import PUBLISHER_SEC, Security, SecurityContext
from signaldelta_assets.errors import RecordError
from signaldelta_assets.labels import run_classifier
from signaldelta_assets.replay.recorded import RecordedArchive
from signaldelta_assets.replay.server import ReplayServer
from signaldelta_assets.replay.simulated import SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import raw, reference
from tests.collectors.conftest import OBSERVED, Run, rows_of, settings_for
from tests.extractors.make import COLUMNS, definitions
from tests.paths import DATA, needs_data

ITEM = (
    "<item><title>Acme &amp; Sons Corp. et al.</title><link>https://www.sec.gov/node/1\n</link>"
    "<pubDate>Fri, 14 Jun 2024 17:15:34 -0400</pubDate>"
    "<dc:creator>LR-26029</dc:creator></item>"
)


def rss(*items: str, head: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8"?>{head}<rss xmlns:dc="http://purl.org/dc/elements/1.1/" version="2.0">'
        f"<channel>{''.join(items)}</channel></rss>"
    ).encode()


# --- the feed


def test_an_entry_has_its_number_and_its_moment() -> None:
    (item,) = parse_litigation_feed(rss(ITEM), "rss")
    published = datetime(2024, 6, 14, 21, 15, 34, tzinfo=UTC)
    assert item == FeedItem("26029", "Acme & Sons Corp. et al.", published, "https://www.sec.gov/node/1")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("LR-26029", "", "dc:creator"),
        ("LR-26029", "26029 and more", "dc:creator"),
        ("Fri, 14 Jun 2024 17:15:34 -0400", "", "pubDate"),
        ("Fri, 14 Jun 2024 17:15:34 -0400", "yesterday", "pubDate"),
        ("Fri, 14 Jun 2024 17:15:34 -0400", "Fri, 14 Jun 2024 17:15:34", "pubDate"),
        ("Fri, 14 Jun 2024 17:15:34 -0400", "Sun, 14 Jun 1900 17:15:34 -0400", "pubDate"),
    ],
)
def test_an_entry_without_number_or_moment_is_refused_and_the_rest_read(old: str, new: str, field: str) -> None:
    bad, good = parse_litigation_feed(rss(ITEM.replace(old, new), ITEM), "rss")
    assert isinstance(bad, RecordError) and (bad.field, bad.record) == (field, "rss:1")
    assert isinstance(good, FeedItem)


BOMB = '<!DOCTYPE rss [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("body", [b"", b"<html>", b"<html/>", rss(ITEM)[:200], rss(ITEM, head=BOMB)])
def test_what_is_no_feed_is_refused_whole(body: bytes) -> None:
    with pytest.raises(RecordError, match="rss"):
        list(parse_litigation_feed(body, "rss"))


# --- list and page


def test_a_list_gives_each_release_once() -> None:
    links = ("/litigation/litreleases/2016/lr23441.htm", "https://www.sec.gov/litigation/litreleases/lr14770.txt",
             "/litigation/litreleases/2016/lr23441.htm#x", "/litigation/complaints/comp23441.pdf", "lr23442.htm",
             "https://elsewhere.example/lr23443.htm",
             "/enforcement-litigation/litigation-releases/lr-26040")  # fmt: skip
    body = "".join(f'<a href="{link}">x</a>' for link in links).encode()
    found = [(one.number, one.path) for one in parse_litigation_list(body, "2016")]
    assert found == [
        ("14770", "/litigation/litreleases/lr14770.txt"),
        ("23441", "/litigation/litreleases/2016/lr23441.htm"),
        ("26040", "/enforcement-litigation/litigation-releases/lr-26040"),
    ]
    with pytest.raises(RecordError, match="list"):
        parse_litigation_list(b"", "2016")


def page(header: str, text: str = "On March 4, 2008, the Commission filed a complaint.") -> bytes:
    caption = "<i>Securities and Exchange Commission v. Acme Corp. and Jane Roe</i>, Civil Action No. 08-1 (D.D.C.)"
    return f"<html><body><h2>{header}</h2><h2>{caption}</h2><p>{text}</p></body></html>".encode()


@pytest.mark.parametrize(
    ("header", "released", "source"),
    [
        ("Litigation Release No. 20100 / April 2, 2008", "2008-04-02", "header"),
        ("LITIGATION RELEASE NO.  20100 /APRIL  2 2008", "2008-04-02", "header"),
        # Another number is an earlier release that this one refers to.
        ("Litigation Release No. 19999 / April 2, 2008", None, "text"),
        ("Litigation Release No. 20100 / February 30, 2008", None, "text"),
        ("Litigation Release No. 20100 / April 2, 1908", None, "text"),
        ("Litigation Release", None, "text"),
    ],
)
def test_a_page_is_dated_by_its_own_header_else_by_its_text(header: str, released: str | None, source: str) -> None:
    payload = release_payload(page(header), "20100")
    assert (payload["released_on"], payload["caption"]) == (released, "Acme Corp. and Jane Roe")
    assert payload["first_on"]["date"] == "2008-03-04"
    expected = date.fromisoformat(released) if released else date(2008, 3, 4)
    assert _placed(payload, 2008) == (expected, source)
    # A header of another year than its list is a slip of the pen.
    if released:
        assert _placed(payload, 2009) == (date(2008, 3, 4), "text")
    # A date in the text of another time is not the complaint's.
    assert _placed(payload | {"released_on": None}, 2012) == (date(2012, 1, 1), "year")


def test_a_page_without_text_is_refused() -> None:
    with pytest.raises(RecordError, match="text"):
        release_payload(b"<html><body></body></html>", "20100")


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 400))
def test_any_bytes_are_read_or_refused(noise: bytes, at: int, to: int) -> None:
    body = page("Litigation Release No. 20100 / April 2, 2008")
    for mutated in (noise, body[:at] + noise + body[at:], body[: min(at, to)] + body[max(at, to) :]):
        try:
            assert release_payload(mutated, "20100")["text"]
        except RecordError as error:
            assert error.field == "text"
        for parse in (parse_litigation_feed, parse_litigation_list):
            try:
                list(parse(mutated, "rss"))  # type: ignore[operator]
            except RecordError as error:
                assert error.record == "rss"


# --- over the server


@pytest.fixture
def warehouse(fresh_postgres_url: str) -> Iterator[Warehouse]:
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


@pytest.mark.postgres
@pytest.mark.archive
@needs_data
def test_the_collector_takes_feed_lists_and_pages(run: Run, warehouse: Warehouse) -> None:
    june = run("edgar/litigation", date(2024, 6, 10), date(2024, 6, 20))
    found = rows_of(warehouse, "raw_records", "*", "natural_key")
    # The pages behind this feed were not recorded: its entries alone, and their moments.
    assert june.counts["pages_absent"] == len(found) == 16 and {row["form"] for row in found} == {"feed"}
    assert all(row["event_time"].date() == row["partition_date"] for row in found)
    year = run("edgar/litigation", date(2001, 1, 1), date(2001, 12, 31))
    # The lists of 2001 and, for what only its complaint dates, of 2002. One of the 25 of 2001 is dated to 2000.
    assert year.counts["releases_found"] == 25 + 614 and year.records_quarantined == 0
    pages = rows_of(warehouse, "raw_records WHERE form = 'page'", "*", "natural_key")
    assert len(pages) == year.records_written == 24
    assert all(row["event_time"] is None and row["entity_id"] == PUBLISHER_SEC for row in pages)
    assert Counter(row["payload"]["date_from"] for row in pages) == {"header": 22, "year": 2}
    assert year.counts["outside_window"] == 25 + 25 + 614 - 24
    again = run("edgar/litigation", date(2001, 1, 1), date(2001, 12, 31))
    assert (again.records_written, again.counts["releases_known"]) == (0, len(pages))
    assert {row["observed_time"] for row in pages} == {OBSERVED}


@pytest.mark.postgres
def test_what_the_simulation_planted_is_labeled_to_the_second(
    warehouse: Warehouse, archive: Any, no_limit: None, tmp_path: Path
) -> None:
    plan = SimulationPlan(seed=5, entities=30, days=120, pools=0)
    simulate(plan, tmp_path / "simulated")
    simulated = SimulatedArchive(tmp_path / "simulated")
    universe = parse_universe(simulated.universe()["entities"])
    with ReplayServer(simulated) as server:
        for name in ("edgar/submissions", "edgar/litigation"):
            run_collector(
                registered_collectors()[name], warehouse, archive, settings_for(server.url),
                Window(plan.start, plan.end), universe=universe, sleep=lambda seconds: None,
            )  # fmt: skip
    records = raw.read_raw(warehouse, ["litigation"], plan.start, plan.end)
    context = SecurityContext(reference.read_securities(warehouse))
    made = run_classifier("SEC_ENFORCEMENT", records, context, definitions(), plan.start, plan.end)
    planted = [event for event in simulated.plan["events"] if event["event_type"] == "SEC_ENFORCEMENT"]
    assert len(planted) >= 2
    assert [(one.entity_id, one.subtype, one.event_time) for one in made.events] == [
        (event["entity"], event["subtype"], datetime.fromisoformat(event["event_time"])) for event in planted
    ]
    assert all(len(one.raw_record_ids) == 2 for one in made.events) and made.counts == {}


# --- every recorded release


@cache
def releases() -> pd.DataFrame:
    """Every recorded page and feed entry as the collector would hand it over."""
    shelf = RecordedArchive(DATA).edgar
    made: list[tuple[Any, ...]] = []
    for year in range(1996, 2019):
        listed = shelf.litigation_list(year)
        for one in parse_litigation_list(listed.body, str(year)) if listed else ():
            found = shelf.litigation_release(one.number)
            assert found is not None
            payload = release_payload(found.body, one.number)
            day, source = _placed(payload, year)
            payload |= {"date": day.isoformat(), "date_from": source}
            made.append((f"page-{one.number}", "litigation", PUBLISHER_SEC, f"LR-{one.number}", "page", None, OBSERVED,
                         "backfill", payload))  # fmt: skip
    feed = shelf.litigation_feed()
    assert feed is not None
    for item in parse_litigation_feed(feed.body, "rss"):
        assert isinstance(item, FeedItem)
        payload = {"number": item.number, "title": item.title}
        made.append((f"feed-{item.number}", "litigation", PUBLISHER_SEC, f"LR-{item.number}/feed", "feed",
                     item.published, OBSERVED, "backfill", payload))  # fmt: skip
    frame = pd.DataFrame(made, columns=COLUMNS)
    frame["event_time"] = pd.to_datetime(frame["event_time"], utc=True)
    return frame


@pytest.mark.archive
@needs_data
def test_every_recorded_release_is_a_label_or_a_counted_reason() -> None:
    """The design counts 5,449 releases, 4,806 datable, 2,614 initiating, by the tables' text without the headline."""
    frame = releases()
    assert Counter(frame["form"]) == {"page": 5_449, "feed": 25}
    shelf = RecordedArchive(DATA).edgar
    known = {}
    for name in ("CIK0000310158.json", "CIK0000040545.json"):
        document = shelf.submissions(name)
        assert document is not None
        main = parse_main(document.body, name)
        row = _security(main, UniverseEntity(main.cik, main.name))
        names = tuple((one.value, one.valid_from, one.valid_to) for one in row.identifiers if one.kind == "name")
        known[main.cik] = Security(main.cik, main.name, names=names)
    made = run_classifier(
        "SEC_ENFORCEMENT", frame, SecurityContext(known), definitions(), date(1990, 1, 1), date(2027, 1, 1)
    )
    # CIK 310158 is Merck today; it was Schering-Plough then.
    assert [(one.entity_id, one.attributes["release"]) for one in made.events] == [
        ("0000310158", "18740"),
        ("0000040545", "21166"),
    ]
    assert made.counts == {
        "not_initiating": 2_396, "later_stage": 436, "no_authoritative_time": 387, "no_caption": 373,
        "no_registrant_named": 1_855, "text_not_read": 25,
    }  # fmt: skip
    assert made.counts.total() + len(made.events) == len(frame)
