"""The companyfacts API: every XBRL fact of a company as it stands now, taken apart by the filing that reported it.

Source: data.sec.gov/api/xbrl/companyfacts/CIK##########.json. The API has the latest state of the company only, but
keeps each fact under the accession that reported it. So a filing's facts are what that filing said. Left out is what
later filings change: `frame` (moves to the newest filing of a period), names and descriptions of concepts, the order
of facts; and `fy` and `fp`, which are the filing's, not the fact's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from signaldelta_assets.errors import RecordError

from ...reading import json_object
from .values import ACCESSION, filed_date, form_type, iso_date, padded_cik

# Beyond it a whole number is not one number for every reader of JSON (RFC 8785): it is kept as text.
_LARGEST_WHOLE = 2**53 - 1


@dataclass(slots=True)
class FiledFacts:
    """The facts of one accession: taxonomy -> concept -> unit -> sorted [start or None, end, value]."""

    accession: str
    form: str
    filed: str
    facts: dict[str, dict[str, dict[str, list[list[Any]]]]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many facts there are."""
        return sum(
            len(rows) for concepts in self.facts.values() for units in concepts.values() for rows in units.values()
        )


@dataclass(frozen=True, slots=True)
class CompanyFacts:
    """One company's document: its facts by accession; `bad` has the first error of every accession that has one.

    An accession with an unreadable fact has none at all: half a statement would be taken for the whole. The key of an
    error whose fact names no accession is empty.
    """

    cik: str
    filings: Mapping[str, FiledFacts]
    bad: tuple[tuple[str, RecordError], ...]


def parse_company_facts(body: bytes, record: str) -> CompanyFacts:
    """Read a companyfacts document. Raises RecordError where it is not one."""
    document = json_object(body, record)
    cik = padded_cik(record, "cik", document.get("cik"))
    filings: dict[str, FiledFacts] = {}
    bad: dict[str, RecordError] = {}
    for taxonomy, concept, unit, place, fact in _facts(_object(document.get("facts"), record, "facts"), record):
        accession = fact.get("accn") if isinstance(fact, dict) else None
        name = f"{record}:{accession}" if isinstance(accession, str) else record
        where = f"facts.{taxonomy}.{concept}.{unit}[{place}]"
        try:
            if not isinstance(accession, str) or not ACCESSION.fullmatch(accession):
                accession = None
                raise RecordError(record, f"{where}.accn", "an accession number", fact)
            row = _row(fact, name, where)
            filing = filings.get(accession)
            if filing is None:
                filing = filings[accession] = _filing(fact, accession, name, where)
            elif (filing.form, filing.filed) != (fact.get("form"), fact.get("filed")):
                expected = f"{filing.form} filed {filing.filed}, as other facts of it"
                raise RecordError(name, where, expected, f"{fact.get('form')} filed {fact.get('filed')}")
        except RecordError as error:
            bad.setdefault(accession or "", error)
            continue
        filing.facts.setdefault(taxonomy, {}).setdefault(concept, {}).setdefault(unit, []).append(row)
    good = {accession: filing for accession, filing in sorted(filings.items()) if accession not in bad}
    for filing in good.values():
        _sort(filing)
    return CompanyFacts(cik, good, tuple(sorted(bad.items())))


def company_facts_payload(cik: str, filing: FiledFacts, form: str, accepted: str | None) -> dict[str, Any]:
    """Return the payload of one accession. `form` is EDGAR's; `stated_form` what the facts give (10-K for a 10-K/A)."""
    return {
        "accession": filing.accession,
        "cik": cik,
        "form": form,
        "stated_form": filing.form,
        "filing_date": filing.filed,
        "accepted_at": accepted,
        "facts": filing.facts,
    }


def _facts(taxonomies: Mapping[str, Any], record: str) -> Iterator[tuple[str, str, str, int, Any]]:
    for taxonomy, concepts in taxonomies.items():
        for concept, entry in _object(concepts, record, f"facts.{taxonomy}").items():
            where = f"facts.{taxonomy}.{concept}"
            units = _object(_object(entry, record, where).get("units"), record, f"{where}.units")
            for unit, facts in units.items():
                if not isinstance(facts, list):
                    raise RecordError(record, f"{where}.{unit}", "a list of facts", type(facts).__name__)
                for place, fact in enumerate(facts):
                    yield taxonomy, concept, unit, place, fact


def _object(value: Any, record: str, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecordError(record, name, "a JSON object", type(value).__name__)
    return value


def _filing(fact: Mapping[str, Any], accession: str, name: str, where: str) -> FiledFacts:
    form = form_type(name, f"{where}.form", fact.get("form"))
    day = _day(name, f"{where}.filed", fact.get("filed"))
    return FiledFacts(accession, form, filed_date(name, f"{where}.filed", day).isoformat())


def _row(fact: Mapping[str, Any], name: str, where: str) -> list[Any]:
    start = None if fact.get("start") is None else _day(name, f"{where}.start", fact["start"])
    end = _day(name, f"{where}.end", fact.get("end"))
    if start is not None and start > end:
        raise RecordError(name, f"{where}.start", f"a day up to the end {end}", start)
    value = fact.get("val")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RecordError(name, f"{where}.val", "a number", value)
    return [start, end, str(value) if isinstance(value, int) and abs(value) > _LARGEST_WHOLE else value]


def _day(name: str, where: str, text: Any) -> str:
    day = iso_date(name, where, text if isinstance(text, str) else None)
    if day is None or len(str(text)) != len(day):
        raise RecordError(name, where, "a date YYYY-MM-DD", text)
    return day


def _sort(filing: FiledFacts) -> None:
    """Sort the facts and keep one of each: the upstream's order is not the filing's."""
    for concepts in filing.facts.values():
        for units in concepts.values():
            for unit, rows in units.items():
                unique = {(start or "", end, str(value)): [start, end, value] for start, end, value in rows}
                units[unit] = [unique[key] for key in sorted(unique)]
