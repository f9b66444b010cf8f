"""Who a filing is about and who filed it, to the `filing_role` payload: from a submission's header or the current feed.

Both ways give the same payload of a filing without structured document, byte for byte, so that it is the same record
however it was found. What makes them agree: parties go by CIK, and a filer that is the subject too is none of `filers`,
because the feed lists a party of both roles once, as subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from signaldelta_assets.errors import RecordError

from .feed import CurrentEntry
from .schedule13 import Schedule, parse_schedule_13
from .sgml import Party, Submission
from .xml import xml_document

# Forms about a company that another may file. The predecessors of 2000 (SC 14D1) and the revised forms are with them.
OWNERSHIP_FORMS = tuple(
    f"{kind} 13{letter}{suffix}" for kind in ("SC", "SCHEDULE") for letter in "DG" for suffix in ("", "/A")
)
TENDER_FORMS = (
    *(f"SC {kind}{suffix}" for kind in ("TO-T", "TO-I", "14D9", "14D1") for suffix in ("", "/A")),
    *("SC TO-C", "SC14D9C", "425"),
)
CONTEST_FORMS = ("DFAN14A", "DEFC14A", "DEFN14A", "DFRN14A", "PREC14A", "PREN14A", "PRRN14A")
ROLE_FORMS = (*OWNERSHIP_FORMS, *TENDER_FORMS, *CONTEST_FORMS)
# Never filed by the subject: without another filer the feed has shown one side only.
_BY_ANOTHER = frozenset({*OWNERSHIP_FORMS, "SC TO-T", "SC TO-T/A", "SC 14D1", "SC 14D1/A", "DFAN14A"})


def role_payloads(submission: Submission, accepted_at: datetime | None) -> list[tuple[str, dict[str, Any]]]:
    """Return (subject CIK, payload) per subject of a submission. Raises RecordError.

    `accepted_at` is the header's acceptance or what stands in for it. A structured Schedule 13D or 13G gives percent,
    event date and persons; its issuer must be a subject of the header.
    """
    record = submission.accession
    body = xml_document(submission) if submission.form.startswith("SCHEDULE 13") else None
    schedule = None if body is None else parse_schedule_13(body, record)
    found = _payloads(
        record, submission.form, accepted_at, submission.filed, submission.parties, schedule, "SUBJECT COMPANY"
    )
    if schedule is not None and schedule.issuer not in {cik for cik, _ in found}:
        expected = f"a subject of the header, {', '.join(cik for cik, _ in found)}"
        raise RecordError(record, "issuerInfo.issuerCik", expected, schedule.issuer)
    return found


def entry_role_payloads(entries: Sequence[CurrentEntry]) -> list[tuple[str, dict[str, Any]]]:
    """Return (subject CIK, payload) per subject of the feed's entries of one filing.

    Raises RecordError where only one side of the filing is among them.
    """
    first = entries[0]
    parties = [entry.party for entry in entries]
    others = {party.cik for party in parties if party.role == "filed-by"}
    if first.form in _BY_ANOTHER and not others:
        found = ", ".join(sorted({party.role for party in parties}))
        raise RecordError(first.accession, "entries", f"both sides of a {first.form}", found)
    return _payloads(first.accession, first.form, first.accepted_at, first.filed, parties, None, "entries")


def _payloads(
    record: str,
    form: str,
    accepted_at: datetime | None,
    filed: date,
    parties: Iterable[Party],
    schedule: Schedule | None,
    field: str,
) -> list[tuple[str, dict[str, Any]]]:
    by_role: dict[str, dict[str, str]] = {}
    for party in sorted(parties, key=lambda one: (one.cik, one.name)):
        by_role.setdefault(party.role, {}).setdefault(party.cik, party.name)
    # A company that files about itself has no subject in its header: it is the filer.
    subjects = by_role.get("subject") or by_role.get("filer")
    if not subjects:
        raise RecordError(record, field, "a subject company or a filer", ", ".join(sorted(by_role)))
    filers = [{"cik": cik, "name": name} for cik, name in by_role.get("filed-by", {}).items() if cik not in subjects]
    shared = {
        "accession": record,
        "form": form,
        "accepted_at": None if accepted_at is None else accepted_at.isoformat(),
        "filing_date": filed.isoformat(),
        "filers": filers,
        "percent": None if schedule is None else schedule.percent,
        "event_date": None if schedule is None else schedule.event_date,
        "previous_accession": None if schedule is None else schedule.previous_accession,
        "persons": [] if schedule is None else list(schedule.persons),
    }
    return [(cik, {"subject": {"cik": cik, "name": name}} | shared) for cik, name in subjects.items()]
