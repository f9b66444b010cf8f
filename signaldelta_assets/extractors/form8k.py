"""8-K filings as the rules see them (signals.md 4.0, 8-K hygiene), and the text of one item.

Which evidence speaks. Index row and text of one accession are disseminated at the same moment, but we may come to the
text later, or never. The text speaks where it was available no later than `wait` after the index row, always so in a
backfill; one event per filing, available when the text was. A text seen later than that changes nothing any more, and
the index row speaks, as it does where no text was ever collected: with a lower reliability. So a day extracted again
while texts come in ends with the same events as the day extracted once, and what was final stays. As an earlier filing
to compare with, a filing counts from the first of its records on, for both name its items.
Forms 8-K12B, 8-K15D5 and the like are successor notices and yield nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from .frames import Record, first_available, rows, was_available

FORMS = ("8-K", "8-K/A")
EXHIBITS = "9.01"
_ITEM = re.compile(r"\d\.\d\d")
# A heading stands at the start of a line; "see Item 5.02" inside a sentence is a reference.
_HEADING = re.compile(r"^[^\w\n]*items?\s*(\d)\s*\.\s*(\d\d)\b[^\w\n]*|^[^\w\n]*(signatures?)\b", re.I | re.M)
# Where none does: texts in HTML whose lines only the source keeps.
_ANYWHERE = re.compile(r"\b(?i:items?)\s*(\d)\s*\.\s*(\d\d)\b[^\w\n]*|\b(SIGNATURES?)\b")
# The official titles of the items, word by word: what is left of a heading after its number.
_TITLE = (
    "departure of directors or principal officer; certain officers; election of director; appointment;"
    " compensatory arrangements; entry into a material definitive agreement; non-reliance on previously issued"
    " financial statements or a related audit report or completed interim review;"
    " changes in registrant's certifying accountant; material modification to rights of security holders"
)
_TITLE_WORDS = frozenset(re.findall(r"[\w'-]+", _TITLE))


@dataclass(frozen=True, slots=True)
class EightK:
    """One 8-K or 8-K/A of one registrant. `text` is None where the index row speaks.

    `record` is the evidence of the filing's own event, `first` the record by which the filing was known first.
    """

    record: Record
    first: Record
    accession: str
    form: str
    items: frozenset[str]
    report_date: str | None
    text: str | None

    @property
    def key(self) -> tuple[str]:
        """The key of an 8-K signal: the accession (the issuer is the event's entity)."""
        return (self.accession,)


def eight_ks(
    records: pd.DataFrame, tables: Mapping[str, Any], counts: Counter[str], wait: timedelta | None = None
) -> list[EightK]:
    """Return the 8-Ks of `form_8k` and `filing_index` rows in the frame's order, one per (entity, accession).

    `wait`: how long after the index row a text may have come to speak for the filing; None for any time (labels, which
    may look at later records).
    """
    source = records["source_type"]
    frame = records[source.isin(["form_8k", "filing_index"]) & records["form"].str.startswith("8-K", na=False)]
    usual = frame["form"].isin(FORMS)
    counts["successor_notice"] += int((~usual & frame["is_trigger"]).sum())
    frame = first_available(frame[usual], counts)
    since = datetime.fromisoformat(tables["item_numbering_from"] + "T00:00:00+00:00")
    old = frame["event_time"] < since
    counts["old_item_numbering"] += int((old & frame["is_trigger"]).sum())
    of_filing: dict[tuple[str, str], list[Record]] = {}
    for record in rows(frame[~old]):
        of_filing.setdefault((record.entity_id, _accession(record)), []).append(record)
    found = [_speaking(same, counts, wait) for same in of_filing.values()]
    return sorted(found, key=lambda filing: filing.record.at)


def text_wait(tables: Mapping[str, Any]) -> timedelta:
    """Return how long after its index row a filing's text may have come and still speak for it, for a signal."""
    return timedelta(days=tables["text_wait_days"])


def _accession(record: Record) -> str:
    return str(record.payload.get("accession") or record.natural_key)


def _speaking(same: Sequence[Record], counts: Counter[str], wait: timedelta | None) -> EightK:
    """Return the filing as the record reads it that speaks for it, of its text and its index row."""
    text = next((one for one in same if one.source_type == "form_8k"), None)
    listed = next((one for one in same if one.source_type == "filing_index"), None)
    if text is None or listed is None:
        return _read(same[0], same[0])
    if wait is not None and text.k - listed.k > wait // timedelta(microseconds=1):
        counts["text_too_late"] += text.is_trigger
        return _read(listed, listed)
    return _read(text, min(same, key=lambda one: one.at))


def _read(record: Record, first: Record) -> EightK:
    payload = record.payload
    is_text = record.source_type == "form_8k"
    report = payload.get("period_of_report" if is_text else "report_date")
    items = frozenset(item for item in payload.get("items") or () if _ITEM.fullmatch(item))
    text = (payload.get("text") or None) if is_text else None
    return EightK(record, first, _accession(record), record.form or "", items, report, text)


def news(
    filings: Sequence[EightK], lookback: timedelta, counts: Counter[str]
) -> Iterable[tuple[EightK, frozenset[str], list[EightK]]]:
    """Yield each trigger with the items that are news in it, and the earlier filings it was compared with.

    An 8-K's items are all news, but 9.01 never is; an 8-K/A's only those not seen for the same report date.
    """
    of_date: dict[tuple[str, str], list[EightK]] = {}
    for filing in filings:
        if filing.report_date:
            of_date.setdefault((filing.record.entity_id, filing.report_date), []).append(filing)
    for filing in filings:
        if not filing.record.is_trigger:
            continue
        if filing.form == "8-K":
            yield filing, filing.items - {EXHIBITS}, []
            continue
        if not filing.report_date:
            counts["amendment_without_report_date"] += 1
            continue
        same = of_date[(filing.record.entity_id, filing.report_date)]
        earlier = [other for other in same if was_available(other.first, filing.record, lookback)]
        fresh = filing.items.difference({EXHIBITS}, *(other.items for other in earlier))
        if fresh:
            yield filing, fresh, earlier
        else:
            counts["amendment_restates"] += 1


def headed_items(text: str) -> frozenset[str]:
    """Return the items that the text has a heading of."""
    return frozenset(f"{mark[1]}.{mark[2]}" for mark in _headings(text) if mark[1] is not None)


def item_text(text: str, item: str) -> str | None:
    """Return the text under the heading(s) of `item`, title removed; None where no heading is found."""
    marks = _headings(text)
    parts = []
    for i, mark in enumerate(marks):
        if mark[1] is None or f"{mark[1]}.{mark[2]}" != item:
            continue
        stop = marks[i + 1].start() if i + 1 < len(marks) else len(text)
        parts.append(_without_title(text[mark.end() : stop]))
    return "\n".join(part for part in parts if part) or None


def _headings(text: str) -> list[re.Match[str]]:
    marks = list(_HEADING.finditer(text))
    return marks if any(mark[1] is not None for mark in marks) else list(_ANYWHERE.finditer(text))


def _without_title(text: str) -> str:
    rest = text.lstrip()
    while True:
        word = re.match(r"[\W_]*([\w'’-]+)[\W_]*", rest)
        if word is None or word[1].lower().replace("’", "'") not in _TITLE_WORDS:
            return rest
        rest = rest[word.end() :]
