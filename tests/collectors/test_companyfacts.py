"""Companyfacts: a filing's facts taken out of the company's newest document; the collector over a server."""

from __future__ import annotations

import copy
import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.collectors import UniverseEntity, Window, registered_collectors
from signaldelta_assets.collectors import run_collector as run_registered
from signaldelta_assets.collectors.edgar.parsers import company_facts_payload, parse_company_facts
from signaldelta_assets.errors import RecordError
from signaldelta_assets.replay import SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.replay.server import ReplayServer
from signaldelta_assets.versioning import canonical_json
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.collectors.conftest import UNIVERSE, Run, rows_of, settings_for
from tests.paths import DATA, needs_data

CIK = "0000000007"
NAME = f"CIK{CIK}.json"


def fact(accession: str, end: str, value: Any, start: str | None = None, **more: Any) -> dict[str, Any]:
    """One fact as the upstream gives it; the filing date follows from the accession."""
    period = {"end": end} if start is None else {"start": start, "end": end}
    filed = f"20{accession[11:13]}-05-01"
    return {**period, "val": value, "accn": accession, "fy": 2022, "fp": "Q1", "form": "10-Q", "filed": filed, **more}


def document(facts: dict[str, list[dict[str, Any]]], unit: str = "USD", **more: Any) -> dict[str, Any]:
    """A company's document: facts by concept."""
    concepts = {name: {"label": name, "description": None, "units": {unit: rows}} for name, rows in facts.items()}
    return {"cik": 7, "entityName": "Seven Inc.", "facts": {"us-gaap": concepts}, **more}


def parse(given: Any) -> Any:
    return parse_company_facts(orjson.dumps(given), NAME)


A, B, C = "0000000007-22-000001", "0000000007-23-000002", "0000000007-24-000003"


def test_facts_are_kept_by_the_filing_that_stated_them() -> None:
    found = parse(
        document(
            {
                "Assets": [
                    fact(A, "2022-03-31", 10),
                    fact(B, "2022-03-31", 11, frame="CY2022Q1I"),
                    fact(B, "2023-03-31", 12),
                ],
                "NetIncomeLoss": [fact(B, "2023-03-31", 1.5, "2023-01-01"), fact(B, "2023-03-31", 1.5, "2023-01-01")],
            }
        )
    )  # fmt: skip
    assert found.cik == CIK and found.bad == () and list(found.filings) == [A, B]
    assert company_facts_payload(CIK, found.filings[B], "10-Q/A", None) == {
        "accession": B,
        "cik": CIK,
        "form": "10-Q/A",
        "stated_form": "10-Q",
        "filing_date": "2023-05-01",
        "accepted_at": None,
        "facts": {
            "us-gaap": {
                "Assets": {"USD": [[None, "2022-03-31", 11], [None, "2023-03-31", 12]]},
                "NetIncomeLoss": {"USD": [["2023-01-01", "2023-03-31", 1.5]]},
            }
        },
    }
    assert (found.filings[A].count, found.filings[B].count) == (1, 3)


def test_a_whole_number_too_large_for_a_double_stays_exact() -> None:
    found = parse(document({"Assets": [fact(A, "2022-03-31", 2**53 + 1), fact(A, "2021-03-31", 2**53 - 1)]}))
    payload = company_facts_payload(CIK, found.filings[A], "10-Q", None)
    assert payload["facts"]["us-gaap"]["Assets"]["USD"] == [
        [None, "2021-03-31", 9007199254740991],
        [None, "2022-03-31", "9007199254740993"],
    ]
    assert b"9007199254740993" in canonical_json(payload)


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"val": None}, "val", "a number"),
        ({"val": "12"}, "val", "a number"),
        ({"val": True}, "val", "a number"),
        ({"end": None}, "end", "a date YYYY-MM-DD"),
        ({"end": "2022-02-30"}, "end", "a date YYYY-MM-DD"),
        ({"end": "2022-03-31Z"}, "end", "a date YYYY-MM-DD"),
        ({"start": "2022-04-01"}, "start", "a day up to the end 2022-03-31"),
        ({"start": 20220101}, "start", "a date YYYY-MM-DD"),
        ({"form": ""}, "form", "a form type"),
        ({"filed": None}, "filed", "a date YYYY-MM-DD"),
    ],
)
def test_a_bad_fact_refuses_its_filing_and_no_other(change: dict[str, Any], field: str, expected: str) -> None:
    rows = [fact(A, "2022-03-31", 1) | change, fact(A, "2021-03-31", 2), fact(B, "2022-03-31", 3)]
    found = parse(document({"Assets": rows}))
    assert list(found.filings) == [B]
    ((accession, error),) = found.bad
    assert accession == A and error.record == f"{NAME}:{A}"
    assert error.field == f"facts.us-gaap.Assets.USD[0].{field}" and error.expected == expected


@pytest.mark.parametrize("accession", [None, 7, "", "7-22-1", f"{A} "])
def test_a_fact_of_no_accession_is_refused_by_its_place(accession: Any) -> None:
    found = parse(document({"Assets": [fact(A, "2022-03-31", 1) | {"accn": accession}, fact(B, "2022-03-31", 3)]}))
    assert list(found.filings) == [B]
    ((key, error),) = found.bad
    assert (key, error.record, error.field) == ("", NAME, "facts.us-gaap.Assets.USD[0].accn")


def test_facts_of_one_filing_agree_on_form_and_day() -> None:
    found = parse(document({"Assets": [fact(A, "2022-03-31", 1), fact(A, "2021-03-31", 2, form="10-K")]}))
    ((accession, error),) = found.bad
    assert found.filings == {} and accession == A
    assert (error.expected, error.found) == (
        "10-Q filed 2022-05-01, as other facts of it",
        "10-K filed 2022-05-01",
    )


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (b"", "body"),
        (b"<html>", "body"),
        (b"[]", "body"),
        (b'{"cik": 7}', "facts"),
        (b'{"cik": "x", "facts": {}}', "cik"),
        (b'{"cik": 7, "facts": []}', "facts"),
        (b'{"cik": 7, "facts": {"us-gaap": 1}}', "facts.us-gaap"),
        (b'{"cik": 7, "facts": {"us-gaap": {"Assets": {}}}}', "facts.us-gaap.Assets.units"),
        (b'{"cik": 7, "facts": {"us-gaap": {"Assets": {"units": {"USD": {}}}}}}', "facts.us-gaap.Assets.USD"),
    ],
)
def test_what_is_no_document_is_refused_by_field(given: bytes, field: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse_company_facts(given, NAME)
    assert (caught.value.record, caught.value.field) == (NAME, field)


# --- what may be known when -----------------------------------------------------------------------------------------


def until(given: dict[str, Any], day: str) -> dict[str, Any]:
    """The document as the upstream had it on `day`: later filings' facts away, frames on the newest left."""
    cut = copy.deepcopy(given)
    cut["entityName"] = f"{given['entityName']} as of {day}"
    for concepts in cut["facts"].values():
        for name in list(concepts):
            for unit, rows in list(concepts[name]["units"].items()):
                left = [{k: v for k, v in row.items() if k != "frame"} for row in rows if row["filed"] <= day]
                newest = {(row.get("start"), row["end"]): row for row in left}
                for (_, end), row in newest.items():
                    row["frame"] = f"CY{end[:4]}"
                concepts[name]["units"][unit] = left
                if not left:
                    del concepts[name]["units"][unit]
    return cut


def check_cut(given: dict[str, Any], day: str) -> int:
    """Compare all payloads that both states have; return how many."""
    whole, part = parse(given).filings, parse(until(given, day)).filings
    assert set(part) == {accession for accession, filing in whole.items() if filing.filed <= day}
    for accession, filing in part.items():
        before, now = (company_facts_payload(CIK, one, "10-Q", None) for one in (filing, whole[accession]))
        assert canonical_json(before) == canonical_json(now)
    return len(part)


ACCESSIONS = [f"0000000007-{year}-{number:06d}" for year in range(20, 25) for number in (1, 2)]
some_facts = st.lists(
    st.builds(
        fact,
        st.sampled_from(ACCESSIONS),
        st.sampled_from(["2020-03-31", "2021-03-31", "2022-03-31"]),
        st.integers(-5, 5) | st.floats(-1e6, 1e6, allow_nan=False),
        st.sampled_from([None, "2020-01-01"]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(assets=some_facts, income=some_facts, year=st.integers(19, 25))
def test_later_filings_change_nothing_of_what_a_filing_stated(
    assets: list[dict[str, Any]], income: list[dict[str, Any]], year: int
) -> None:
    check_cut(document({"Assets": assets, "NetIncomeLoss": income}), f"20{year}-05-01")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(facts=some_facts, order=st.randoms(use_true_random=False))
def test_the_order_of_facts_never_matters(facts: list[dict[str, Any]], order: Any) -> None:
    shuffled = [*facts, *facts[:2]]
    order.shuffle(shuffled)
    first, second = (parse(document({"Assets": rows})).filings for rows in (facts, shuffled))
    for accession in first.keys() | second.keys():
        payloads = [company_facts_payload(CIK, one[accession], "10-Q", None) for one in (first, second)]
        assert canonical_json(payloads[0]) == canonical_json(payloads[1])


@pytest.mark.archive
@needs_data
def test_recorded_documents_are_read_whole() -> None:
    """15 documents, every fact of them; of two, what each filing stated is the same in earlier states."""
    filings = facts = 0
    paths = sorted((DATA / "sec" / "companyfacts").glob("*/*.json.gz"))
    for place, path in enumerate(paths):
        body = gzip.decompress(path.read_bytes())
        given = orjson.loads(body)
        found = parse_company_facts(body, path.name)
        upstream = {
            (row["accn"], taxonomy, concept, unit, row.get("start"), row["end"], row["val"])
            for taxonomy, concepts in given["facts"].items()
            for concept, entry in concepts.items()
            for unit, rows in entry["units"].items()
            for row in rows
        }
        ours = {
            (accession, taxonomy, concept, unit, start, end, value)
            for accession, filing in found.filings.items()
            for taxonomy, concepts in filing.facts.items()
            for concept, units in concepts.items()
            for unit, rows in units.items()
            for start, end, value in rows
        }
        assert ours == upstream and found.bad == ()
        filings, facts = filings + len(found.filings), facts + len(ours)
        if place < 2:
            assert check_cut(given, "2018-06-30") >= 10
    assert (len(paths), filings, facts) == (15, 825, 290_020)


# --- the collector --------------------------------------------------------------------------------------------------


@pytest.fixture
def warehouse(fresh_postgres_url: str) -> Iterator[Warehouse]:
    """Every test here starts from nothing."""
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


def found_in(warehouse: Warehouse) -> list[dict[str, Any]]:
    return [
        row for row in rows_of(warehouse, "raw_records", "*", "raw_record_id") if row["source_type"] == "xbrl_facts"
    ]


@pytest.mark.postgres
@pytest.mark.archive
@needs_data
def test_facts_stand_where_the_filing_index_puts_their_filing(run: Run, warehouse: Warehouse) -> None:
    window = date(2023, 1, 1), date(2023, 12, 31)
    run("edgar/submissions", *window)
    report = run("edgar/companyfacts", *window)
    index = {
        row["natural_key"]: row for row in rows_of(warehouse, "raw_records", "*", "1")
        if row["source_type"] == "filing_index"
    }  # fmt: skip
    found = found_in(warehouse)
    # Four periodic reports of Apple and of Nvidia; of Tesla no facts are recorded.
    assert len(found) == report.records_written == 8
    assert report.counts["companyfacts_absent"] == 1
    for row in found:
        filed = index[row["natural_key"]]
        assert (row["event_time"], row["form"]) == (filed["event_time"], filed["form"])
        assert row["payload"]["accepted_at"] == filed["event_time"].isoformat()
        assert row["source_url"].endswith(f"/api/xbrl/companyfacts/CIK{row['entity_id']}.json")
    apple = next(row for row in found if row["natural_key"] == "0000320193-23-000106")
    assert apple["event_time"] == datetime(2023, 11, 2, 22, 8, 27, tzinfo=UTC)
    assert ["2022-09-25", "2023-09-30", 96995000000] in apple["payload"]["facts"]["us-gaap"]["NetIncomeLoss"]["USD"]


@pytest.mark.postgres
@pytest.mark.archive
@needs_data
def test_without_a_filing_index_no_time_is_invented(run: Run, warehouse: Warehouse) -> None:
    sunation = UniverseEntity("0000022701", "SUNATION ENERGY, INC.", ())
    report = run("edgar/companyfacts", date(2024, 1, 1), date(2024, 12, 31), (sunation,))
    found = found_in(warehouse)
    assert len(found) == report.records_written == report.counts["acceptance_unknown"] == 5
    for row in found:
        assert row["event_time"] is None and row["payload"]["accepted_at"] is None
        assert row["partition_date"].isoformat() == row["payload"]["filing_date"]


@pytest.mark.postgres
@pytest.mark.archive
@needs_data
def test_who_filed_nothing_in_the_window_is_not_asked_for(run: Run, warehouse: Warehouse) -> None:
    """The documents are large: only that of a company with a filing of facts in the window is fetched."""
    run("edgar/submissions", date(2024, 2, 1), date(2024, 2, 20), UNIVERSE[:2])
    report = run("edgar/companyfacts", date(2024, 2, 1), date(2024, 2, 20), UNIVERSE[:2])
    assert {row["entity_id"] for row in found_in(warehouse)} == {"0000320193"}
    assert report.counts["documents_read"] == 1


@pytest.mark.postgres
def test_what_cannot_be_read_is_quarantined_and_taken_up_after_repair(
    warehouse: Warehouse, make_postgres_url: Callable[[], str], tmp_path: Path, no_limit: None
) -> None:
    """One filing with a value that is none, one document that is no JSON: refused with reasons, the others stand."""
    root = tmp_path / "simulated"
    plan = simulate(SimulationPlan(entities=3, days=200, pools=0), root)
    first, last = (date.fromisoformat(day) for day in plan["window"])
    universe = tuple(UniverseEntity(f"{9_000_001 + n:010d}", f"Company {n}", ()) for n in range(3))
    paths = [root / f"sec/companyfacts/as_served/CIK{entity.cik}.json" for entity in universe]
    whole = [path.read_bytes() for path in paths]

    def collect(on: Warehouse, name: str, start: date, end: date) -> Any:
        with ReplayServer(SimulatedArchive(root)) as server:
            return run_registered(
                registered_collectors()[name], on, ArtifactStore(tmp_path / "archive"), settings_for(server.url),
                Window(start, end), universe=universe, sleep=lambda seconds: None,
            )  # fmt: skip

    collect(warehouse, "edgar/submissions", first, last)
    broken = orjson.loads(whole[0])
    rows = broken["facts"]["us-gaap"]["Assets"]["units"]["USD"]
    hit = next(row for row in rows if row["filed"] >= (first + timedelta(days=40)).isoformat())
    hit["val"] = "a lot"
    paths[0].write_bytes(orjson.dumps(broken))
    paths[1].write_bytes(whole[1][:-30])
    report = collect(warehouse, "edgar/companyfacts", first, last)
    refused = rows_of(
        warehouse, "quarantined_records", "record, field, expected, found, partition_date, body_hash", "record"
    )
    assert report.records_quarantined == len(refused) == 2
    assert [row["record"] for row in refused] == [
        f"CIK{universe[0].cik}.json:{hit['accn']}",
        f"CIK{universe[1].cik}.json",
    ]
    assert (refused[0]["expected"], refused[0]["found"]) == ("a number", "a lot")
    assert refused[1]["field"] == "body" and refused[0]["partition_date"] >= first and refused[0]["body_hash"]
    held = {row["natural_key"] for row in found_in(warehouse)}
    assert hit["accn"] not in held and {key[:10] for key in held} == {universe[0].cik, universe[2].cik}
    # The same broken documents refuse nothing new; repaired, they are taken up.
    assert collect(warehouse, "edgar/companyfacts", first, last).records_quarantined == 0
    for path, body in zip(paths, whole, strict=True):
        path.write_bytes(body)
    collect(warehouse, "edgar/companyfacts", first, last)
    after = {row["natural_key"] for row in found_in(warehouse)}
    assert after > held and hit["accn"] in after
    # A day at a time comes to the same records.
    with Warehouse(make_postgres_url()) as other:
        for name in ("edgar/submissions", "edgar/companyfacts"):
            for day in sorted({row["partition_date"] for row in rows_of(warehouse, "raw_records", "*", "1")}):
                collect(other, name, day, day)
        ids = [{row["raw_record_id"] for row in found_in(one)} for one in (warehouse, other)]
        assert ids[0] == ids[1] and len(ids[0]) == len(after)


@pytest.mark.postgres
def test_facts_of_a_filing_the_index_does_not_mark_or_have_are_kept_or_counted(
    warehouse: Warehouse, tmp_path: Path, no_limit: None
) -> None:
    root = tmp_path / "simulated"
    plan = simulate(SimulationPlan(entities=1, days=200, pools=0), root)
    first, last = (date.fromisoformat(day) for day in plan["window"])
    universe = (UniverseEntity("0009000001", "Company 0", ()),)
    window = Window(first, last)

    def collect(name: str) -> Any:
        with ReplayServer(SimulatedArchive(root)) as server:
            return run_registered(
                registered_collectors()[name], warehouse, ArtifactStore(tmp_path / "archive"),
                settings_for(server.url), window, universe=universe, sleep=lambda seconds: None,
            )  # fmt: skip

    collect("edgar/submissions")
    rows = [
        row for row in rows_of(warehouse, "raw_records", "*", "natural_key") if row["source_type"] == "filing_index"
    ]
    other = next(row for row in rows if row["form"] == "8-K")
    path = root / "sec/companyfacts/as_served/CIK0009000001.json"
    served = orjson.loads(path.read_bytes())
    more = {"end": first.isoformat(), "val": 7, "filed": first.isoformat(), "form": "8-K"}
    unknown = "0000000001-99-000001"
    served["facts"]["us-gaap"]["Assets"]["units"]["USD"] += [
        more | {"accn": other["natural_key"]}, more | {"accn": unknown}
    ]  # fmt: skip
    path.write_bytes(orjson.dumps(served))
    report = collect("edgar/companyfacts")
    found = {row["natural_key"]: row for row in found_in(warehouse)}
    assert found[other["natural_key"]]["event_time"] == other["event_time"]
    assert unknown not in found and report.counts["filings_not_indexed"] == 1
