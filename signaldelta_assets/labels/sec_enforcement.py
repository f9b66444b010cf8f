"""SEC_ENFORCEMENT (signals.md 5): a litigation release that opens a case against a registrant.

It opens one where its head matches RX_INIT and RX_LATER comes only after that. The registrant is a defendant of the
caption (subtype complaint); where the caption has persons only, it is the issuer that the release names as the employer
of one of them (officer_complaint).
Event time is the feed's moment of publication; without it the day of the header, and without that the first dated "on"
of the text, which is the complaint's day. Each release of the window gives a label or one counted reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from ..contracts import LabeledEvent, SecurityContext, TimePrecision
from ..extractors import Record, first_available, rows
from ..extractors.frames import DAY_US
from ..timeline import NEW_YORK, new_york
from .base import Labeling, LabelParams, register_label
from .captions import REASONS, Found, Names
from .frames import EPOCH, Evidence, as_time

# A full stop after one capital ends an initial, not a sentence.
_SENTENCE_END = re.compile(r"(?<!\b[A-Z])[.;:]\s+(?=[A-Z0-9\u201c\"])")


@dataclass(frozen=True, slots=True)
class Release:
    """A release: its page and its feed entry, either may be missing; the day and moment of its event, and from where.

    `at` is None where nothing dates it. `counted`: it belongs to the window.
    """

    page: Record | None
    feed: Record | None
    at: int | None
    date_from: str
    counted: bool

    @property
    def day(self) -> date:
        """The day of the event in New York."""
        assert self.at is not None
        return new_york(as_time(self.at)).date()


@register_label("SEC_ENFORCEMENT")
class SecEnforcement:
    """One label per registrant and release, keyed by the release's number."""

    def classify(self, evidence: Evidence, context: SecurityContext, params: LabelParams) -> Labeling:
        """See the module."""
        out = Labeling()
        names = Names(context.securities.values(), params.tables, params["name_words"])
        for release in _releases(evidence, params, out):
            made = _judge(release, names, params)
            if isinstance(made, str):
                out.counts[made] += release.counted
            else:
                out.events += made
        return out


def _releases(evidence: Evidence, params: LabelParams, out: Labeling) -> list[Release]:
    timed = rows(first_available(evidence.timed, out.counts))
    feeds = {record.payload["number"]: record for record in timed if record.form == "feed"}
    pages: dict[str, Record] = {}
    loose = [record for record in evidence.untimed if record.form == "page"]
    for record in sorted(loose, key=lambda one: (one.observed_time, one.raw_record_id)):
        if pages.setdefault(record.payload["number"], record) is not record:
            out.counts["later_observation"] += record.is_trigger
    found = []
    for number, page in pages.items():
        feed = feeds.get(number)
        if feed is not None and abs(feed.t - _midnight(page.payload["date"])) <= params["same_release_days"] * DAY_US:
            del feeds[number]
            found.append(Release(page, feed, feed.t, "feed", feed.is_trigger))
        else:
            at, source = _dated(page, params["date_characters"])
            found.append(Release(page, None, at, source, page.is_trigger))
    found += [Release(None, feed, feed.t, "feed", feed.is_trigger) for feed in feeds.values()]
    return found


def _dated(page: Record, characters: int) -> tuple[int | None, str]:
    if page.payload["date_from"] == "header":
        return _midnight(page.payload["date"]), "header"
    if page.payload["date_from"] == "text" and page.payload["first_on"]["at"] < characters:
        return _midnight(page.payload["date"]), "complaint"
    return None, "nothing"


def _midnight(day: str) -> int:
    moment = datetime.combine(date.fromisoformat(day), datetime.min.time(), NEW_YORK)
    return int((moment - EPOCH).total_seconds()) * 1_000_000


def _judge(release: Release, names: Names, params: LabelParams) -> list[LabeledEvent] | str:
    """Return the labels of a release, or why it gives none."""
    if release.page is None:
        return "text_not_read"
    text = str(release.page.payload["text"])
    head = " ".join(text[: params["head_characters"]].split())
    opens, later = params.pattern("RX_INIT").search(head), params.pattern("RX_LATER").search(head)
    if opens is None:
        return "not_initiating"
    if later is not None and later.start() < opens.start():
        return "later_stage"
    if release.at is None:
        return "no_authoritative_time"
    title = None if release.feed is None else release.feed.payload["title"]
    caption = release.page.payload["caption"] or title
    if not caption:
        return "no_caption"
    found, subtype = names.in_caption(caption, release.day), "complaint"
    persons = names.persons(caption)
    if not found.entities and not found.refused:
        found, subtype = _employers(head, persons, release.day, names, params), "officer_complaint"
    if not found.entities:
        return next((reason for reason in REASONS if reason in found.refused), "no_registrant_named")
    attributes = {
        "release": release.page.payload["number"],
        "respondents": caption,
        "persons": persons,
        "date_from": release.date_from,
    }
    return [_label(release, entity, subtype, attributes, params) for entity in found.entities]


def _employers(head: str, persons: Iterable[str], day: date, names: Names, params: LabelParams) -> Found:
    """Return the registrants that the head names as the employer of a person just named, who is a defendant."""
    families = {person.split()[-1] for person in persons}
    text = head[: params["employer_characters"]]
    entities: set[str] = set()
    refused: set[str] = set()
    for office in params.pattern("RX_OFFICER_OF").finditer(text):
        before = text[max(office.start() - params["person_characters"], 0) : office.start()]
        # The office is that of the person named before it in the same sentence.
        sentence = _SENTENCE_END.split(before)[-1].upper()
        if not any(re.search(rf"\b{re.escape(family)}\b", sentence) for family in families):
            continue
        employer = names.at_start(text[office.end() :], day)
        entities.update(employer.entities)
        refused |= employer.refused
    return Found(tuple(sorted(entities)), frozenset(refused))


def _label(
    release: Release, entity: str, subtype: str, attributes: dict[str, Any], params: LabelParams
) -> LabeledEvent:
    assert release.at is not None and release.page is not None
    made = params.label(
        entity,
        [attributes["release"]],
        at=release.at,
        subtype=subtype,
        confidence=params["confidence"],
        deciding=[release.page] if release.feed is None else [release.page, release.feed],
        attributes=attributes,
    )
    return made if release.date_from == "feed" else replace(made, time_precision=TimePrecision.DAY)
