"""Which refusals a run has answered: it read the same thing again, and did not refuse it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from signaldelta_assets.contracts import QuarantinedRecord
from signaldelta_assets.warehouse.stores.quarantine import OpenRefusal

if TYPE_CHECKING:
    from .base import Window

READ_AGAIN = "read again without refusal"
HELD = "its record is held"
GONE = "the upstream has no such document"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def resource_of(url: str) -> str:
    """Return what a URL leads to, whatever days are asked for: host and path, dates starred, query left out."""
    parts = urlsplit(url)
    return f"{parts.netloc}{_DAY.sub('*', parts.path)}"


@dataclass(slots=True)
class Judgement:
    """What a run read, accepted and refused. Only what was read before a batch was written counts as read."""

    read: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    # (source type, record, resource)
    refused: set[tuple[str, str, str]] = field(default_factory=set)
    # The URLs of those refusals.
    doubtful: set[str] = field(default_factory=set)
    # What was read of a document that is another one every time: names as its refusals have them.
    seen: set[str] = field(default_factory=set)

    def refuse(self, refused: QuarantinedRecord) -> None:
        """Note a refusal, kept or not: what lies outside the run's window may be refused and left to another."""
        self.refused.add((refused.source_type, refused.record, resource_of(refused.source_url)))
        self.doubtful.add(refused.source_url)

    def take(self, read: Iterable[str], accepted: Iterable[str], gone: Iterable[str] = ()) -> None:
        """Note the URLs read since the batch before, those that the batch has records of, and those not there."""
        self.read.update(read)
        self.gone.update(gone)
        self.accepted.update(accepted)

    def refuses(self, refusal: OpenRefusal) -> bool:
        """Return whether this run has refused that record again, for whatever reason."""
        return (refusal.source_type, refusal.record, resource_of(refusal.source_url)) in self.refused

    def answered(
        self,
        standing: Iterable[OpenRefusal],
        window: Window,
        *,
        whole_documents: bool,
        complete: bool,
        moving: bool = False,
    ) -> dict[str, str]:
        """Return the refusals that this run has answered, by id, with the reason.

        Answered is what was read again, on all the days the refusal is about, and not refused: not the record, and
        not the document to the last record either. `whole_documents` says that a URL without dates leads to the same
        document whatever window was asked for; else the days of the refusing run count. A run that is not `complete`
        answers what it read by the very same URL. Of a `moving` document only what was `seen` again is answered: it
        may be read a thousand times without what was refused.
        """
        resources = {resource_of(url) for url in self.read}
        # By URL: of one resource several documents may be read, each about others, and one of them may be broken.
        spoiled = {resource_of(url) for url in self.doubtful - self.accepted}
        found = {}
        for refusal in standing:
            if moving and refusal.record not in self.seen:
                continue
            if refusal.source_url in self.gone and not self.refuses(refusal):
                # What was refused was no document: an error page, say. Unless that it is not there is the refusal.
                found[refusal.quarantine_id] = GONE
                continue
            resource = resource_of(refusal.source_url)
            again = refusal.source_url in self.read if not complete else resource in resources
            timeless = whole_documents and not refusal.dated and not _DAY.search(refusal.source_url)
            covered = timeless or (refusal.first_day in window and refusal.last_day in window)
            if again and covered and not self.refuses(refusal) and resource not in spoiled:
                found[refusal.quarantine_id] = READ_AGAIN
        return found
