"""Where a raw record came from, for a reader who wants to see it: accession number and addresses. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_ACCESSION = re.compile(r"\d{10}-\d{2}-\d{6}")
_CIK = re.compile(r"\d{1,10}")
_ARCHIVE = re.compile(r"/Archives/edgar/data/(\d+)/")
_INDEX = "https://www.sec.gov/Archives/edgar/data/{cik}/{folder}/{accession}-index.htm"
# Stored addresses carry no key. One that was stored otherwise must not be shown either.
_SECRETS = frozenset({"apikey", "api_key", "apitoken", "api_token", "access_token", "key", "token"})
ABSENT = "this warehouse has no such raw record"


def source_document(raw_record_id: str, row: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what is to be shown of a raw record; row: of `raw.read_provenance`, None where it is not there.

    `accession` and `index_url` (the filing's page in EDGAR's archive) where it is of a filing, else None; `url` is
    the address that was asked, without anything secret. `reason` says why nothing else is known.
    """
    if row is None:
        return {"raw_record_id": raw_record_id, "reason": ABSENT}
    accession = row["natural_key"] if _ACCESSION.fullmatch(row["natural_key"]) else None
    return {
        "raw_record_id": raw_record_id,
        "source_type": row["source_type"],
        "form": row["form"],
        "natural_key": row["natural_key"],
        "event_time": None if row["event_time"] is None else row["event_time"].isoformat(),
        "observed_time": row["observed_time"].isoformat(),
        "collector": row["collector"],
        "payload_hash": row["payload_hash"],
        "body_hash": row["body_hash"],
        "accession": accession,
        "index_url": None if accession is None else _index_url(accession, row["entity_id"], row["source_url"]),
        "url": without_secrets(row["source_url"]),
    }


def _index_url(accession: str, entity_id: str, source_url: str) -> str | None:
    """The filing's index page; a filing can be reached under the CIK of any party to it."""
    under = _ARCHIVE.search(urlsplit(source_url).path)
    cik = under[1] if under else entity_id
    if not _CIK.fullmatch(cik):
        return None
    return _INDEX.format(cik=int(cik), folder=accession.replace("-", ""), accession=accession)


def without_secrets(url: str) -> str:
    """Return `url` without user, password and parameters that name a key."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True)
             if name.lower() not in _SECRETS]  # fmt: skip
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, urlencode(query), ""))
