"""The recorded inputs as frames, through the collectors' parsers: index rows, 8-K texts, ownership, bars, releases."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signaldelta_assets.collectors.edgar.parsers import (
    company_facts_payload,
    form_8k_payload,
    ownership_payload,
    parse_company_facts,
    parse_main,
    parse_page,
    parse_submission,
)
from signaldelta_assets.collectors.edgar.parsers.ownership import ownership_document
from signaldelta_assets.contracts import Security, SecurityContext
from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import acceptance_times, decide_clock, session_close
from tests.extractors.make import COLUMNS, FETCHED
from tests.paths import DATA

SEC = DATA / "sec"


def _read(path: Path) -> bytes:
    body = path.read_bytes()
    return gzip.decompress(body) if path.suffix == ".gz" else body


def known(frame: pd.DataFrame) -> SecurityContext:
    return SecurityContext({str(entity): Security(str(entity), str(entity)) for entity in frame["entity_id"].unique()})


def _frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    made = pd.DataFrame(rows, columns=COLUMNS)
    made["event_time"] = pd.to_datetime(made["event_time"], utc=True).astype("datetime64[us, UTC]")
    made["observed_time"] = pd.to_datetime(made["observed_time"], utc=True).astype("datetime64[us, UTC]")
    return made


def _listed(path: Path) -> tuple[str, pd.DataFrame]:
    body = _read(path)
    if path.parent.name == "wrapped_recent":
        body = json.dumps(json.loads(body)["data"]).encode()
    if "-submissions-" in path.name:
        return path.name[3:13], parse_page(body, path.name)[0]
    main = parse_main(body, path.name)
    return main.cik, main.rows


@cache
def filing_index() -> pd.DataFrame:
    """Every recorded row of a submissions list once per (filer, accession), its clock decided per file."""
    parts = []
    for folder in ("merged_full_history", "paged", "as_served", "wrapped_recent"):
        for path in sorted((SEC / "submissions" / folder).iterdir()):
            cik, rows = _listed(path)
            if rows.empty:
                continue
            rows = rows.assign(filing_date=pd.to_datetime(rows["filing_date"]), filed=rows["filing_date"])
            decision = decide_clock(
                rows[["accession", "form", "filing_date", "accepted_raw"]], settled="-submissions-" in path.name
            )
            if decision.clock == "undecided":
                continue
            times = acceptance_times(rows, decision.clock)
            parts.append(rows.assign(cik=cik, accepted_at=times["accepted_at"])[~decision.doubtful.to_numpy()])
    rows = pd.concat(parts, ignore_index=True).drop_duplicates(["cik", "accession"])
    return _frame(
        [
            (
                f"index-{row.cik}-{row.accession}", "filing_index", row.cik, row.accession, row.form, row.accepted_at,
                FETCHED,
                "backfill",
                {"accession": row.accession, "form": row.form, "items": [i for i in row.items.split(",") if i],
                 "filing_date": row.filed, "report_date": row.report_date or None,
                 "file_number": row.file_number or None, "is_xbrl": bool(row.is_xbrl)},
            )
            for row in rows.rename(columns={"items": "items_"}).rename(columns={"items_": "items"})[
                ["cik", "accession", "form", "items", "filed", "report_date", "accepted_at", "file_number", "is_xbrl"]
            ].itertuples(index=False)
        ]
    )  # fmt: skip


@cache
def eight_ks() -> pd.DataFrame:
    """The 8-K full submissions, one record per registrant."""
    rows = []
    for path in sorted((SEC / "8k_full_submissions").glob("*/*.txt.gz")):
        submission = parse_submission(_read(path), path.name.removesuffix(".txt.gz"))
        for cik, payload in form_8k_payload(submission):
            key = submission.accession
            rows.append((f"8k-{cik}-{key}", "form_8k", cik, key, submission.form, submission.accepted_at, FETCHED,
                         "backfill", payload))  # fmt: skip
    return _frame(rows)


@cache
def xbrl_facts() -> tuple[pd.DataFrame, SecurityContext]:
    """The companyfacts of the filers whose list is recorded, with their index rows; and their industries."""
    index = filing_index()
    accepted = {(row.entity_id, row.natural_key): row for row in index.itertuples(index=False)}
    rows: dict[tuple[str, str], tuple[Any, ...]] = {}
    for folder in ("as_served", "reserialised"):
        for path in sorted((SEC / "companyfacts" / folder).iterdir()):
            found = parse_company_facts(_read(path), path.name)
            for key, filing in found.filings.items():
                row = accepted.get((found.cik, key))
                if row is not None and (found.cik, key) not in rows:
                    payload = company_facts_payload(found.cik, filing, row.form, row.event_time.isoformat())
                    rows[found.cik, key] = (f"facts-{found.cik}-{key}", "xbrl_facts", found.cik, key, row.form,
                                            row.event_time, FETCHED, "backfill", payload)  # fmt: skip
    filers = {cik for cik, _ in rows}
    sic: dict[str, str | None] = {}
    for folder in ("merged_full_history", "paged", "as_served", "wrapped_recent"):
        for path in sorted((SEC / "submissions" / folder).iterdir()):
            if "-submissions-" in path.name:
                continue
            body = _read(path)
            if folder == "wrapped_recent":
                body = json.dumps(json.loads(body)["data"]).encode()
            main = parse_main(body, path.name)
            sic.setdefault(main.cik, main.sic)
    frame = pd.concat([_frame(list(rows.values())), index[index["entity_id"].isin(filers)]], ignore_index=True)
    return frame, SecurityContext({cik: Security(cik, cik, sic=sic.get(cik)) for cik in sorted(filers)})


@cache
def ownership() -> pd.DataFrame:
    """Ownership documents: with header where recorded, else accepted at 20:00 UTC of the day named by the metadata."""
    rows = []
    for path in sorted((SEC / "form4_full_submissions").glob("*/*.txt")):
        try:
            submission = parse_submission(path.read_bytes(), path.stem)
            payload = ownership_payload(ownership_document(submission), submission.accession, submission.accepted_at,
                                        "header", submission.filed)  # fmt: skip
        except RecordError:
            continue
        rows.append((path.stem, submission.accession, submission.accepted_at, payload))
    for path in sorted((SEC / "form4_xml").glob("*/*.xml")):
        described = path.with_suffix("").with_suffix(".metadata.json")
        try:
            payload = ownership_payload(path.read_bytes(), path.stem, None, None, None)
        except RecordError:
            continue
        day = payload["period_of_report"].replace("-", "")
        if described.is_file():
            day = json.loads(described.read_text())["submission"]["FILING-DATE"]
        when = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) + timedelta(hours=20)
        rows.append((path.stem, path.stem, when, payload))
    unique = {key: (key, when, payload) for _, key, when, payload in rows}
    return _frame(
        [
            (f"own-{key}", "ownership", payload["issuer"]["cik"], key, payload["document_type"], when, FETCHED,
             "backfill", payload)
            for key, when, payload in unique.values()
        ]
    )  # fmt: skip


@cache
def daily_bars(limit: int | None = None) -> pd.DataFrame:
    """The adjusted daily bars of 2010-2026; the entity is the ticker."""
    rows: list[tuple[Any, ...]] = []
    for path in sorted((DATA / "prices" / "daily_yahoo_adjusted_2010_2026").glob("*.csv.gz"))[:limit]:
        ticker = path.name.removesuffix(".csv.gz")
        bars = pd.read_csv(path, skiprows=[1, 2]).rename(columns=str.lower).rename(columns={"price": "session"})
        closes = session_close(pd.to_datetime(bars["session"]))
        for bar, close in zip(bars.to_dict("records"), closes, strict=True):
            payload = bar | {"ticker": ticker, "adjusted": True, "vintage": "yahoo", "vwap": None, "transactions": None}
            rows.append((f"{ticker}-{bar['session']}", "daily_bar", ticker, f"{ticker}|{bar['session']}|yahoo", None,
                         close, FETCHED, "backfill", payload))  # fmt: skip
    return _frame(rows)


@cache
def releases() -> pd.DataFrame:
    """The announcements of the S&P 500 set; its coarse times are Eastern, the entity is the ticker."""
    table = pd.read_csv(DATA / "earnings" / "yahoo_sp500" / "earnings_surprises.csv.gz")
    local = pd.to_datetime(table["earnings_date"]).dt.tz_localize("America/New_York")
    table = table.assign(released=local.dt.tz_convert("UTC"), local=local).replace({np.nan: None})
    return _frame(
        [
            (f"{row.ticker}-{row.earnings_date}-{place}", "earnings_actual", row.ticker,
             f"{row.ticker}|{row.earnings_date}",
             None,
             row.released, FETCHED, "backfill",
             {"ticker": row.ticker, "date": str(row.local.date()), "time": str(row.local.time()),
              "actual_eps": row.reported_eps, "estimated_eps": row.eps_estimate, "fiscal_year": None,
              "fiscal_period": None})
            for place, row in enumerate(table.itertuples(index=False))
        ]
    )  # fmt: skip


WHOLE = (date(1990, 1, 1), date(2027, 1, 1))
