"""Who departs, by the text of item 5.02 (signals.md 4.4, S039; the same rule serves GOVERNANCE_COLLAPSE).

A departure is a match of RX_DEPART in the item's own text with its heading removed. Its persons are the RX_PERSON up to
120 characters before it in the same sentence, with no RX_APPOINT between: the successor is not the one who leaves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

BEFORE = 120
# A full stop ends a sentence where a capital follows, but not after an honorific, an initial or a company's suffix.
_END = re.compile(
    r"(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bMrs)(?<!\b[A-Z])(?<!\bJr)(?<!\bSr)(?<!\bNo)[.;!?][\"”)]*\s+(?=[\"“(]*[A-Z])|\n+"
)


@dataclass(frozen=True, slots=True)
class Departures:
    """What the item says. `persons`: names as "Mr. Smith"; `scheduled`: those leaving with the annual meeting."""

    matched: bool
    persons: tuple[str, ...]
    scheduled: tuple[str, ...]
    chief: bool


def departures(text: str, patterns: Mapping[str, re.Pattern[str]]) -> Departures:
    """Return the departures of `text`, an item's own text without its heading."""
    matched, chief = False, False
    persons: dict[str, bool] = {}
    for sentence in _END.split(text.replace("’", "'")):
        for match in patterns["RX_DEPART"].finditer(sentence):
            matched = True
            found = _persons(sentence, match.start(), patterns)
            scheduled = patterns["RX_ANNUAL_MEETING"].search(sentence) is not None
            for name in found:
                persons[name] = persons.get(name, True) and scheduled
            chief = chief or patterns["RX_CHIEF"].search(sentence) is not None
    later = tuple(sorted(name for name, is_scheduled in persons.items() if is_scheduled))
    return Departures(matched, tuple(sorted(persons)), later, chief)


def _persons(sentence: str, stop: int, patterns: Mapping[str, re.Pattern[str]]) -> set[str]:
    found = set()
    for match in patterns["RX_PERSON"].finditer(sentence, max(0, stop - BEFORE), stop):
        if patterns["RX_APPOINT"].search(sentence, match.end(), stop) is None:
            honorific, _, name = match[0].partition(".")
            found.add(f"{honorific}. {name.strip().removesuffix(chr(39) + 's').rstrip(chr(39))}")
    return found
