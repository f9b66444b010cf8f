"""EDGAR documents to values: bytes in, payloads out. Pure: nothing is fetched, no clock is read.

A document that cannot be read raises `RecordError` naming the record, the field and what was expected there.
"""

from .companyfacts import CompanyFacts, FiledFacts, company_facts_payload, parse_company_facts
from .feed import CurrentEntry, is_feed, parse_current_feed
from .form8k import form_8k_payload
from .form144 import form_144_payload, parse_form_144
from .index import IndexEntry, parse_daily_index
from .items import item_numbers
from .litigation import FeedItem, ListedRelease, parse_litigation_feed, parse_litigation_list, release_payload
from .ownership import ownership_payload, parse_ownership
from .roles import ROLE_FORMS, entry_role_payloads, role_payloads
from .schedule13 import Schedule, parse_schedule_13
from .sgml import Party, Submission, SubmissionDocument, parse_submission
from .submissions import Page, SubmissionsFile, parse_main, parse_page

__all__ = [
    "ROLE_FORMS",
    "CompanyFacts",
    "CurrentEntry",
    "FeedItem",
    "FiledFacts",
    "IndexEntry",
    "ListedRelease",
    "Page",
    "Party",
    "Schedule",
    "Submission",
    "SubmissionDocument",
    "SubmissionsFile",
    "company_facts_payload",
    "entry_role_payloads",
    "form_8k_payload",
    "form_144_payload",
    "is_feed",
    "item_numbers",
    "ownership_payload",
    "parse_company_facts",
    "parse_current_feed",
    "parse_daily_index",
    "parse_form_144",
    "parse_litigation_feed",
    "parse_litigation_list",
    "parse_main",
    "parse_ownership",
    "parse_page",
    "parse_schedule_13",
    "parse_submission",
    "release_payload",
    "role_payloads",
]
