"""Form 8-K items: from the words of a submission header's ITEM INFORMATION lines to item numbers.

Numbers `1.01` and so on are in force since 2004-08-23 (SEC release 33-8400); before it the items were 1 to 12, some
under the very same names ("Financial statements and exhibits" is 9.01 or 7): the filing's day decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Final

from signaldelta_assets.errors import RecordError

NEW_NUMBERING_SINCE: Final = date(2004, 8, 23)

# Beginnings of the names, as letters and digits only: EDGAR has reworded the tails over the years.
_NEW: Final = {
    "entryintoamaterial": "1.01",
    "terminationofamaterial": "1.02",
    "bankruptcyorreceivership": "1.03",
    "minesafety": "1.04",
    "materialcybersecurity": "1.05",
    "completionofacquisition": "2.01",
    "resultsofoperations": "2.02",
    "creationofadirectfinancial": "2.03",
    "triggeringevents": "2.04",
    "costassociatedwithexit": "2.05",
    "costsassociatedwithexit": "2.05",
    "materialimpairment": "2.06",
    "noticeofdelisting": "3.01",
    "unregisteredsale": "3.02",
    "materialmodification": "3.03",
    "changesinregistrantscertifying": "4.01",
    "nonrelianceonpreviously": "4.02",
    "changesincontrolofregistrant": "5.01",
    "departureofdirectors": "5.02",
    "amendmentstoarticles": "5.03",
    "amendmentstothearticles": "5.03",
    "temporarysuspension": "5.04",
    "amendmentstotheregistrantscode": "5.05",
    "amendmenttotheregistrantscode": "5.05",
    "amendmentstoregistrantscode": "5.05",
    "changeinshellcompany": "5.06",
    "submissionofmatters": "5.07",
    "shareholdernominations": "5.08",
    "shareholderdirectornominations": "5.08",
    "absinformational": "6.01",
    "changeofserviceror": "6.02",
    "changeincreditenhancement": "6.03",
    "failuretomakearequired": "6.04",
    "securitiesactupdating": "6.05",
    "staticpool": "6.06",
    "alternativefilings": "6.10",
    "regulationfd": "7.01",
    "otherevents": "8.01",
    "financialstatementsandexhibits": "9.01",
}
_OLD: Final = {
    "changesincontrolofregistrant": "1",
    "acquisitionordisposition": "2",
    "bankruptcyorreceivership": "3",
    "changesinregistrantscertifying": "4",
    "otherevents": "5",
    "resignationsofregistrantsdirectors": "6",
    "resignationofregistrantsdirectors": "6",
    "financialstatementsandexhibits": "7",
    "financialstatementsproforma": "7",
    "changeinfiscalyear": "8",
    "regulationfd": "9",
    "amendmentstotheregistrantscode": "10",
    "temporarysuspension": "11",
    "resultsofoperations": "12",
}
_NUMBER = re.compile(r"(?:<ITEMS>)?\s*(?:item\s*)?(\d{1,2}(?:\.\d{2})?)(?:\([a-z0-9]\))?\.?", re.IGNORECASE)


def item_numbers(record: str, lines: Iterable[str], filed: date | None) -> list[str]:
    """Return the item numbers of header lines, in their order, each once.

    A line may hold the item's name, its number, or ``<ITEMS>1.05`` where EDGAR had no name yet; an empty line (EDGAR
    lost the words) says nothing. `filed` picks the numbering, the present one where it is not known.
    Raises RecordError for words that are no item of that time.
    """
    old = filed is not None and filed < NEW_NUMBERING_SINCE
    first, second = (_OLD, _NEW) if old else (_NEW, _OLD)
    numbers: list[str] = []
    for line in lines:
        words = line.strip()
        if not words:
            continue
        given = _NUMBER.fullmatch(words)
        number = given.group(1) if given else _by_name(words, first) or _by_name(words, second)
        if number is None:
            raise RecordError(record, "ITEM INFORMATION", "the name or number of a Form 8-K item", words)
        if number not in numbers:
            numbers.append(number)
    return numbers


def _by_name(words: str, names: dict[str, str]) -> str | None:
    letters = re.sub(r"[^a-z0-9]", "", words.lower())
    return next((number for beginning, number in names.items() if letters.startswith(beginning)), None)
