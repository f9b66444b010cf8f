"""Form 8-K full submissions to the `form_8k` payload, one per registrant."""

from __future__ import annotations

from typing import Any

from signaldelta_assets.errors import RecordError

from .items import item_numbers
from .sgml import Submission, SubmissionDocument
from .text import document_text


def form_8k_payload(submission: Submission) -> list[tuple[str, dict[str, Any]]]:
    """Return (CIK, payload) per registrant of an 8-K or 8-K/A. Raises RecordError.

    `text` is the main document's; exhibits are listed and not kept. Co-registrants share everything but `cik`.
    """
    record = submission.accession
    if submission.form.removesuffix("/A") not in ("8-K", "8-K12B", "8-K12G3", "8-K15D5"):
        raise RecordError(record, "CONFORMED SUBMISSION TYPE", "8-K or 8-K/A", submission.form)
    registrants = submission.named("filer") or submission.named("subject")
    if not registrants:
        raise RecordError(record, "FILER", "at least one filer in the header")
    main = _main_document(submission)
    shared: dict[str, Any] = {
        "accession": record,
        "form": submission.form,
        "registrants": [{"cik": party.cik, "name": party.name} for party in registrants],
        "items": item_numbers(record, submission.item_lines, submission.filed),
        "period_of_report": submission.period,
        "filed_date": submission.filed.isoformat(),
        "accepted_at": None if submission.accepted_at is None else submission.accepted_at.isoformat(),
        "primary_document": main.filename,
        "documents": [
            {
                "type": document.type,
                "sequence": document.sequence,
                "filename": document.filename,
                "description": document.description or None,
            }
            for document in submission.documents
        ],
        "text": document_text(main.body, record),
    }
    return [(party.cik, {"cik": party.cik} | shared) for party in registrants]


def _main_document(submission: Submission) -> SubmissionDocument:
    typed = [document for document in submission.documents if document.type == submission.form]
    # Some filers give the main document of an 8-K/A the type 8-K.
    typed = typed or [
        d for d in submission.documents if d.type.removesuffix("/A") == submission.form.removesuffix("/A")
    ]
    first = [document for document in submission.documents if document.sequence == "1"]
    chosen = typed or first
    if not chosen:
        found = ", ".join(document.type for document in submission.documents)
        raise RecordError(submission.accession, "DOCUMENT", f"a main document of type {submission.form}", found)
    return chosen[0]
