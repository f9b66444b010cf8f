"""EDGAR's shelf of a recorded archive: the adapters of `sec/*` behind one face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ..archive import Document, FeedEntry, Filing, FilingDocument, Tally
from ..sgml import compact
from .feeds import CurrentFeed, ListFiles, Litigation
from .filings import FilingSource, FullSubmissions, MainDocumentsZip, OwnershipXml
from .submissions import SUBMISSION_FOLDERS, FactFiles, SubmissionFiles


class RecordedEdgar:
    """See `archive.EdgarShelf`. Nothing is read before it is asked for."""

    def __init__(self, root: Path, submissions_order: tuple[str, ...] = SUBMISSION_FOLDERS) -> None:
        self._submissions = SubmissionFiles(root, submissions_order)
        self._facts = FactFiles(root)
        self._feed = CurrentFeed(root)
        self._lists = ListFiles(root)
        self._litigation = Litigation(root)
        # Whole submissions before anything that has to be assembled.
        self._sources: tuple[FilingSource, ...] = (
            FullSubmissions(root, "sec/8k_full_submissions"),
            FullSubmissions(root, "sec/form4_full_submissions"),
            FullSubmissions(root, "sec/sc13_headers", "*.txt*"),
            FullSubmissions(root, "sec/other_full_submissions"),
            OwnershipXml(root),
            MainDocumentsZip(root),
        )

    @cached_property
    def _owner(self) -> dict[str, FilingSource]:
        owner: dict[str, FilingSource] = {}
        for source in self._sources:
            for accession in source.accessions():
                owner.setdefault(accession, source)
        return owner

    @cached_property
    def _all(self) -> dict[str, Filing]:
        found = ((accession, source.filing(accession)) for accession, source in sorted(self._owner.items()))
        return {accession: filing for accession, filing in found if filing is not None}

    def submissions(self, name: str) -> Document | None:
        return self._submissions.get(name)

    def companyfacts(self, name: str) -> Document | None:
        return self._facts.get(name)

    def company_tickers(self) -> Document | None:
        return self._lists.company_tickers()

    def filings(self) -> Mapping[str, Filing]:
        return self._all

    def filing(self, accession: str) -> Filing | None:
        source = self._owner.get(accession)
        return source.filing(accession) if source else None

    def submission_text(self, accession: str) -> Document | None:
        source = self._owner.get(accession)
        return source.text(accession) if source else None

    def filing_documents(self, accession: str) -> Sequence[FilingDocument]:
        source = self._owner.get(accession)
        return source.documents(accession) if source else []

    def filing_document(self, accession: str, name: str) -> Document | None:
        page = self._lists.page(compact(accession), name)
        source = self._owner.get(accession)
        return page or (source.document(accession, name) if source else None)

    def daily_index(self, name: str) -> Document | None:
        return self._lists.daily_index(name)

    def daily_index_names(self) -> Sequence[str]:
        return self._lists.daily_index_names()

    def current_page(self, form: str, start: int, count: int) -> Document | None:
        return self._feed.page(form, start, count)

    def current_entries(self) -> Sequence[FeedEntry]:
        return self._feed.entries

    def litigation_feed(self) -> Document | None:
        return self._litigation.feed()

    def litigation_list(self, year: int) -> Document | None:
        return self._litigation.year(year)

    def litigation_release(self, number: str) -> Document | None:
        return self._litigation.release(number)

    def inventory(self) -> dict[str, Any]:
        """Return what this shelf can serve and what it cannot, with the reasons."""
        tally = Tally()
        self._submissions.unserved(tally)
        self._lists.unserved(tally)
        for source in self._sources:
            source.unserved(tally)
        return {
            "submissions": self._submissions.inventory(),
            "companyfacts": self._facts.ciks(),
            "filings": [
                {
                    "accession": filing.accession,
                    "form": filing.form,
                    "filed": filing.filed.isoformat() if filing.filed else None,
                    "ciks": sorted(filing.ciks),
                    "companies": sorted(filing.companies),
                    "source": filing.source,
                }
                for filing in self._all.values()
            ],
            "current_feed": self._feed.inventory(),
            "litigation": self._litigation.inventory(),
            "daily_index_recorded": self._lists.daily_index_names(),
            "unserved": tally.to_list(),
        }
