"""EDGAR documents to values: bytes in, payloads out. Pure: nothing is fetched, no clock is read.

A document that cannot be read raises `RecordError` naming the record, the field and what was expected there.
"""

from .companyfacts import CompanyFacts, FiledFacts, company_facts_payload, parse_company_facts
from .form8k import form_8k_payload
from .index import IndexEntry, parse_daily_index
from .items import item_numbers
from .litigation import FeedItem, ListedRelease, parse_litigation_feed, parse_litigation_list, release_payload
from .ownership import ownership_payload, parse_ownership
from .sgml import Party, Submission, SubmissionDocument, parse_submission
from .submissions import Page, SubmissionsFile, parse_main, parse_page

__all__ = [
    "CompanyFacts",
    "FeedItem",
    "FiledFacts",
    "IndexEntry",
    "ListedRelease",
    "Page",
    "Party",
    "Submission",
    "SubmissionDocument",
    "SubmissionsFile",
    "company_facts_payload",
    "form_8k_payload",
    "item_numbers",
    "ownership_payload",
    "parse_company_facts",
    "parse_daily_index",
    "parse_litigation_feed",
    "parse_litigation_list",
    "parse_main",
    "parse_ownership",
    "parse_page",
    "parse_submission",
    "release_payload",
]
