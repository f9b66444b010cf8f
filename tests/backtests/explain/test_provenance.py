"""What is shown of where a raw record came from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from signaldelta_assets.backtests.provenance import ABSENT, source_document, without_secrets

TIME = datetime(2024, 1, 2, 3, tzinfo=UTC)


def _row(**more: Any) -> dict[str, Any]:
    row = {
        "raw_record_id": "R",
        "source_type": "ownership",
        "entity_id": "0000320193",
        "natural_key": "0001140361-24-000123",
        "form": "4",
        "event_time": TIME,
        "observed_time": TIME,
        "collector": "edgar/ownership",
        "payload_hash": "a" * 64,
        "body_hash": "b" * 64,
        "source_url": "https://www.sec.gov/Archives/edgar/data/1214156/000114036124000123/0001140361-24-000123.txt",
    }
    return row | more


def test_a_filing_has_its_accession_number_and_its_page_in_the_archive() -> None:
    found = source_document("R", _row())
    assert found["accession"] == "0001140361-24-000123"
    # Under the party it was fetched by: the owner here, not the issuer.
    folder = "https://www.sec.gov/Archives/edgar/data/1214156/000114036124000123"
    assert found["index_url"] == f"{folder}/0001140361-24-000123-index.htm"
    assert found["url"] == f"{folder}/0001140361-24-000123.txt"


def test_a_row_of_a_submissions_list_is_found_under_its_filer() -> None:
    found = source_document("R", _row(source_url="https://data.sec.gov/submissions/CIK0000320193.json"))
    folder = "https://www.sec.gov/Archives/edgar/data/320193/000114036124000123"
    assert found["index_url"] == f"{folder}/0001140361-24-000123-index.htm"


@pytest.mark.parametrize("key", ["AAPL|2024-01-02|x", "0001140361-24-0001234", "0001140361-24-000123/1"])
def test_what_is_no_filing_has_the_address_that_was_asked(key: str) -> None:
    url = "https://api.polygon.io/v2/aggs/ticker/AAPL/range/1/day/2024-01-01/2024-01-31?adjusted=false&limit=50000"
    found = source_document("R", _row(natural_key=key, source_url=url, event_time=None))
    assert (found["accession"], found["index_url"], found["event_time"]) == (None, None, None)
    assert found["url"] == url


def test_an_entity_without_a_cik_has_no_page_to_show() -> None:
    found = source_document("R", _row(entity_id="pool:0xabc", source_url="https://example.test/x"))
    assert found["accession"] is not None and found["index_url"] is None


@pytest.mark.parametrize("name", ["apiKey", "APIKEY", "api_key", "token", "access_token"])
def test_no_secret_is_shown(name: str) -> None:
    url = f"https://user:pass@api.polygon.io/v1/x?a=1&{name}=s3cret&b=#part"
    assert without_secrets(url) == "https://api.polygon.io/v1/x?a=1&b="


def test_a_record_that_is_not_there_is_said_to_be_absent() -> None:
    assert source_document("R", None) == {"raw_record_id": "R", "reason": ABSENT}
