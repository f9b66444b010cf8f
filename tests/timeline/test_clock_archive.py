"""The clock decision on every recorded submissions document, against submission headers and other publishers.

Headers are kept out of the decision here, so that they check it.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from signaldelta_assets.timeline import (
    NEW_YORK,
    ClockDecision,
    acceptance_times,
    decide_clock,
    edgar_dissemination,
    header_acceptance_to_utc,
    is_edgar_business_day,
)
from tests.paths import DATA, needs_data

pytestmark = [needs_data, pytest.mark.archive]

FOLDERS = ("as_served", "merged_full_history", "paged", "wrapped_recent")


def read(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def submissions(path: Path) -> pd.DataFrame:
    document: dict[str, Any] = json.loads(read(path))
    if "cik" not in document and "data" in document:
        document = document["data"]
    listed = document["filings"]["recent"] if "filings" in document else document
    return pd.DataFrame(
        {
            "accession": listed["accessionNumber"],
            "form": listed["form"],
            "filing_date": pd.to_datetime(listed["filingDate"]),
            "accepted_raw": pd.to_datetime(pd.Series(listed["acceptanceDateTime"]).str.removesuffix("Z")),
        }
    )


@pytest.fixture(scope="module")
def decided() -> dict[str, tuple[pd.DataFrame, ClockDecision]]:
    paths = [path for folder in FOLDERS for path in sorted((DATA / "sec/submissions" / folder).glob("*.json*"))]
    assert paths
    found = {}
    for path in paths:
        rows = submissions(path)
        found[f"{path.parent.name}/{path.name}"] = (rows, decide_clock(rows, settled="-submissions-" in path.name))
    return found


@pytest.fixture(scope="module")
def filings(decided: dict[str, tuple[pd.DataFrame, ClockDecision]]) -> pd.DataFrame:
    """Every row of every decided document with its accepted_at."""
    parts = [
        rows.assign(document=name, **acceptance_times(rows, decision.clock))[~decision.doubtful]
        for name, (rows, decision) in decided.items()
        if decision.clock != "undecided"
    ]
    return pd.concat(parts, ignore_index=True)


def header_times() -> Iterator[tuple[str, pd.Timestamp]]:
    for folder in ("8k_full_submissions", "form4_full_submissions"):
        for path in sorted((DATA / "sec" / folder).glob("*/*.txt*")):
            text = read(path)[:4000].decode("latin-1")
            accession = re.search(r"ACCESSION NUMBER:\s*(\S+)", text)
            stamp = re.search(r"<ACCEPTANCE-DATETIME>(\d+)", text)
            assert accession and stamp, path.name
            yield accession[1], pd.Timestamp(header_acceptance_to_utc(stamp[1]))


def test_every_document_of_any_size_is_decided(decided: dict[str, tuple[pd.DataFrame, ClockDecision]]) -> None:
    undecided = {name: len(rows) for name, (rows, decision) in decided.items() if decision.clock == "undecided"}
    assert all(size < 20 for size in undecided.values()), undecided
    wrapped = {decision.clock for name, (_, decision) in decided.items() if name.startswith("wrapped_recent/")}
    assert wrapped == {"eastern"}
    clocks = pd.Series([decision.clock for _, decision in decided.values()]).value_counts()
    assert clocks["utc"] > clocks["eastern"] > 0


def test_contradictions_are_rare_and_little_is_left_unproven(
    decided: dict[str, tuple[pd.DataFrame, ClockDecision]],
) -> None:
    grounds = pd.DataFrame({name: decision.grounds for name, (_, decision) in decided.items()}).T
    certain = grounds[[decision.clock != "undecided" for _, decision in decided.values()]]
    assert (certain["doubtful_rows"] == certain["unproven_rows"]).all()
    assert certain["unproven_rows"].sum() < 0.002 * certain["rows"].sum()
    telling = certain[["telling_rows_utc", "telling_rows_eastern"]].sum().sum()
    assert certain["contradicting_rows"].sum() < 0.001 * telling
    days = certain[["telling_days_utc", "telling_days_eastern"]]
    # One in 20 is what the rule allows for; it is also what makes three days of lead enough.
    assert days.min(axis=1).sum() < 0.05 * days.sum().sum()


def test_headers_equal_the_decided_times_to_the_second(filings: pd.DataFrame) -> None:
    headers = pd.Series(dict(header_times()), name="header")
    both = filings.join(headers, on="accession", how="inner")
    assert len(both) > 300
    assert both["document"].nunique() > 20
    assert both["document"].str.startswith("wrapped_recent/").sum() > 50
    assert (both["accepted_at"] != both["header"]).sum() == 0


def test_another_publisher_in_utc_agrees(filings: pd.DataFrame) -> None:
    source = DATA / "insider_parsed/p_codes_2026/form4_filing_manifest.csv.gz"
    manifest = pd.read_csv(io.BytesIO(read(source)), usecols=["accession", "accepted_at"])
    theirs = pd.to_datetime(manifest.set_index("accession")["accepted_at"], utc=True).rename("theirs")
    both = filings.join(theirs, on="accession", how="inner")
    assert len(both) > 50
    assert (both["accepted_at"] != both["theirs"]).sum() == 0


def test_a_filing_in_two_documents_has_one_time(filings: pd.DataFrame) -> None:
    # This is what the rule on rows newer than the newest proof is for: without it seven filings have two times.
    seen = filings[filings["time_precision"] == "second"].groupby("accession")["accepted_at"].agg(["nunique", "size"])
    shared = seen[seen["size"] > 1]
    assert len(shared) > 10_000
    assert (shared["nunique"] > 1).sum() == 0


def test_the_model_never_releases_a_filing_before_its_filing_date(filings: pd.DataFrame) -> None:
    # Court orders (CT ORDER) are dated by the staff, days after they are stamped.
    rows = filings[filings["form"] != "CT ORDER"].drop_duplicates("accession")
    released = edgar_dissemination(rows["accepted_at"], rows["form"])
    day = released.dt.tz_convert(NEW_YORK).dt.tz_localize(None).dt.normalize()
    assert (day < rows["filing_date"]).sum() == 0
    current = rows["form"] == "8-K"
    assert (day == rows["filing_date"])[current].mean() > 0.995


def test_edgar_is_closed_when_the_calendar_says_so(filings: pd.DataFrame) -> None:
    rows = filings[filings["time_precision"] == "second"].drop_duplicates("accession")
    local = rows["accepted_at"].dt.tz_convert(NEW_YORK)
    closed = {day for day in local.dt.date.unique() if not is_edgar_business_day(day)}
    # What is stamped on a closed day: acts of the staff, and one weekend's make-up of prospectuses.
    assert local.dt.date.isin(closed).mean() < 0.0005
    weekdays = pd.bdate_range("2013-01-01", "2024-12-31").date
    quiet = {day for day in weekdays if is_edgar_business_day(day)} - set(local.dt.date)
    assert len(quiet) <= 5, sorted(quiet)
