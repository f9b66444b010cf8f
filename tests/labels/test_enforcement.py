"""SEC_ENFORCEMENT: which releases open a case, when, and against whom; every release is a label or a counted reason."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.collectors.edgar.parsers import release_payload
from signaldelta_assets.contracts import PUBLISHER_SEC, Security, SecurityContext, TimePrecision
from signaldelta_assets.labels import Labeling, run_classifier
from signaldelta_assets.labels.captions import Names
from tests.extractors.make import ACME, OTHER, at, definitions, frame, record

WHOLE = (date(2000, 1, 1), date(2027, 1, 1))
BORN = date(1995, 3, 1)
OPENS = "The Commission announced that it filed a complaint against the defendants."
ACME_NAMES = (("GRANITE POWER CORP", BORN, date(2006, 7, 1)), ("ACME WIDGET HOLDINGS INC", date(2006, 7, 1), None))


def securities(**names: Any) -> SecurityContext:
    held = {ACME: ACME_NAMES, OTHER: (("Other Pastimes Ltd", date(2009, 1, 1), None),)} | names
    return SecurityContext({entity: Security(entity, own[0][0], names=own) for entity, own in held.items()})


def page(
    number: str = "20100",
    caption: str = "Acme Widget Holdings, Inc.",
    text: str = OPENS,
    day: str | None = "April 2, 2008",
    **more: Any,
) -> dict[str, Any]:
    header = f"Litigation Release No. {number} / {day}" if day else "Litigation Release"
    of = f"Securities and Exchange Commission v. {caption}, Civil Action No. 08-1" if caption else ""
    body = f"<html><body><h2>{header}</h2><h2>{of}</h2><p>{text}</p></body></html>"
    payload = release_payload(body.encode(), number)
    first = payload["first_on"]
    placed = (payload["released_on"], "header") if day else (first["date"], "text") if first else ("2008-01-01", "year")
    payload |= {"date": placed[0], "date_from": placed[1]}
    return record("litigation", f"LR-{number}", None, payload, form="page", entity=PUBLISHER_SEC, **more)


def feed(number: str = "20100", when: str = "2008-04-02 19:00", title: str = "Acme Widget Holdings, Inc.") -> Any:
    payload = {"number": number, "title": title, "published": when, "link": None}
    return record("litigation", f"LR-{number}/feed", at(when), payload, form="feed", entity=PUBLISHER_SEC)


def label(
    records: Iterable[Mapping[str, Any]], context: SecurityContext | None = None, window: tuple[date, date] = WHOLE
) -> Labeling:
    return run_classifier("SEC_ENFORCEMENT", frame(records), context or securities(), definitions(), *window)


def why(*records: Mapping[str, Any], context: SecurityContext | None = None) -> str:
    """Return the one reason why these records give no label."""
    made = label(records, context)
    assert made.events == [] and sum(made.counts.values()) == 1, made
    return next(iter(made.counts))


# --- when


def test_the_day_of_the_header_in_new_york() -> None:
    (one,) = label([page()]).events
    assert (one.entity_id, one.subtype, one.confidence) == (ACME, "complaint", 0.75)
    assert one.event_time == at("2008-04-02 04:00") and one.time_precision is TimePrecision.DAY
    assert one.attributes["date_from"] == "header" and one.attributes["release"] == "20100"
    assert one.known_at >= one.observed_time and one.source_url


def test_the_feed_gives_the_second() -> None:
    (one,) = label([page(), feed()]).events
    assert one.event_time == at("2008-04-02 19:00") and one.time_precision is TimePrecision.SECOND
    assert len(one.raw_record_ids) == 2 and one.attributes["date_from"] == "feed"
    # An entry months away is of another release, or of a number given twice.
    made = label([page(), feed(when="2008-09-02 19:00")])
    assert [label.attributes["date_from"] for label in made.events] == ["header"]
    assert made.counts == {"text_not_read": 1}


def test_the_complaint_gives_the_day_where_the_header_gives_none() -> None:
    dated = page(day=None, text=f"{OPENS} It was filed on March 7, 2008.")
    (one,) = label([dated]).events
    assert one.event_time == at("2008-03-07 05:00") and one.attributes["date_from"] == "complaint"
    far = page(day=None, text=f"{OPENS} {'x ' * 200} It was filed on March 7, 2008.")
    assert why(far) == why(page(day=None)) == "no_authoritative_time"


# --- whether


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The court entered an order.", "not_initiating"),
        ("The court entered a final judgment. The Commission filed its complaint in 2007.", "later_stage"),
        (f"{'y ' * 800} {OPENS}", "not_initiating"),
    ],
)
def test_what_does_not_open_a_case(text: str, reason: str) -> None:
    assert why(page(text=text)) == reason
    assert label([page(text="The Commission charged them. A final judgment is sought.")]).events


# --- whom


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("Acme Widget Holdings, Inc.", None),
        ("ACME WIDGET HOLDINGS INCORPORATED, et al.", None),
        ("Jane Roe, Acme Widget Holdings Inc. and John Doe", None),
        ("The Acme Widget Holdings, Inc. (f/k/a Granite Power Corp.)", None),
        ("Acme Widget Holdings", None),
        ("Acme Widget Holdings Trust, Inc.", "no_registrant_named"),
        ("New Acme Widget Holdings, Inc.", "no_registrant_named"),
        ("Acme Widget Holdings, LLC", "other_legal_form"),
        ("Acme Widget Holdings & Co. Incorporated", "other_legal_form"),
        ("Granite Power Corporation", "name_not_held_then"),
        ("Other Pastimes Ltd.", "name_not_held_then"),
        ("Jane Roe, Defendant, and Acme Widget Holdings, Inc., Relief Defendant", "relief_defendant"),
        ("Jane Roe and John Doe", "no_registrant_named"),
        ("", "no_caption"),
    ],
)
def test_a_registrant_is_a_whole_party_by_the_name_of_that_day(caption: str, reason: str | None) -> None:
    made = label([page(caption=caption)])
    if reason is None:
        assert [one.entity_id for one in made.events] == [ACME] and made.counts == {}
    else:
        assert made.events == [] and made.counts == {reason: 1}


def test_the_name_of_the_day_decides() -> None:
    early = page("18000", "Granite Power Corp.", day="April 2, 2003")
    assert [one.entity_id for one in label([early]).events] == [ACME]
    assert why(page("18000", "Acme Widget Holdings, Inc.", day="April 2, 2003")) == "name_not_held_then"


def test_names_that_tell_nothing_are_refused() -> None:
    undated = securities(**{ACME: (("Acme Widget Holdings Inc", None, None),)})
    assert why(page(), context=undated) == "name_without_date"
    twice = securities(**{OTHER: ACME_NAMES})
    assert why(page(), context=twice) == "ambiguous_name"
    marked = securities(**{ACME: (("ACME WIDGET HOLDINGS INC /DE/", BORN, None),)})
    assert why(page(), context=marked) == "ambiguous_name"
    one = securities(**{ACME: (("Southern Corp", BORN, None),)})
    assert why(page(caption="Southern Corp."), context=one) == "one_word_name"
    # A security without any dated name is known by an undated one.
    plain = SecurityContext({ACME: Security(ACME, "Acme Widget Holdings Inc")})
    assert why(page(), context=plain) == "name_without_date"


def test_two_registrants_are_two_labels() -> None:
    both = page("21000", "Acme Widget Holdings, Inc. and Other Pastimes Ltd.", day="May 4, 2010")
    made = label([both]).events
    assert sorted(one.entity_id for one in made) == [ACME, OTHER] and len({one.label_id for one in made}) == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("against Jane Q. Roe, the former chief financial officer of Acme Widget Holdings, Inc., for fraud.", None),
        ("against Jane Q. Roe, president of Acme Widget Holdings.", "other_legal_form"),
        ("against Jane Q. Roe, president of Acme Widget Holdings Finance, Inc.", "no_registrant_named"),
        (
            "against Jane Q. Roe. John Doe, president of Acme Widget Holdings, Inc., is not charged.",
            "no_registrant_named",
        ),
        ("against her. The president of Acme Widget Holdings, Inc. was told.", "no_registrant_named"),
        ("against Jane Q. Roe, who bought shares of Acme Widget Holdings, Inc.", "no_registrant_named"),
    ],
)
def test_an_officer_leads_to_the_issuer_that_is_named_the_employer(said: str, reason: str | None) -> None:
    made = label([page(caption="Jane Q. Roe", text=f"The Commission filed a complaint {said}")])
    if reason is None:
        (one,) = made.events
        assert (one.entity_id, one.subtype, one.attributes["persons"]) == (ACME, "officer_complaint", ["JANE Q ROE"])
    else:
        assert made.events == [] and made.counts == {reason: 1}


def test_the_title_of_the_feed_stands_for_a_caption_that_the_page_lacks() -> None:
    (one,) = label([page(caption=""), feed()]).events
    assert one.attributes["respondents"] == "Acme Widget Holdings, Inc."
    assert why(feed()) == "text_not_read"


def test_an_unchanged_page_read_again_counts_once() -> None:
    again = page(text=f"{OPENS} Corrected.", observed=datetime(2026, 7, 1, tzinfo=UTC))
    made = label([page(), again])
    assert len(made.events) == 1 and made.counts == {"later_observation": 1}


# --- what holds for all


CAPTIONS = ("Acme Widget Holdings, Inc.", "Granite Power Corp.", "Jane Roe", "Other Pastimes Ltd., et al.", "")
TEXTS = (OPENS, "A final judgment.", "John sued on May 5, 2008, and the Commission filed an action.")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3000), st.sampled_from(CAPTIONS), st.sampled_from(TEXTS), st.booleans(),
                          st.integers(-15, 15)), max_size=12), st.lists(st.integers(0, 3000), max_size=4))  # fmt: skip
def test_each_release_is_a_label_or_a_reason_in_one_window(made: list[Any], cuts: list[int]) -> None:
    records: list[dict[str, Any]] = []
    for n, (days, caption, text, has_feed, gap) in enumerate(made):
        day = date(2004, 1, 1) + timedelta(days=days)
        number = str(18_000 + n)
        records.append(page(number, caption, text, f"{day:%B} {day.day}, {day.year}"))
        if has_feed:
            records.append(feed(number, f"{day + timedelta(days=gap)} 18:00", caption or "Nobody"))
    whole = label(records)
    releases = {one.attributes["release"] for one in whole.events}
    apart = sum(has_feed and abs(gap) > 10 for *_, has_feed, gap in made)
    # A day more or less by the hour of the entry.
    assert (
        len(made)
        <= len(releases) + sum(whole.counts.values())
        <= len(made) + apart + sum(has_feed and abs(gap) == 10 for *_, has_feed, gap in made)
    )
    edges = sorted({date(2003, 1, 1), date(2014, 1, 1), *(date(2004, 1, 1) + timedelta(days=cut) for cut in cuts)})
    parts = [label(reversed(records), window=window) for window in itertools.pairwise(edges)]
    assert [one.content_hash for part in parts for one in part.events] == [one.content_hash for one in whole.events]
    assert sum((part.counts for part in parts), start=type(whole.counts)()) == whole.counts


@given(st.text(max_size=200))
def test_any_caption_is_read(caption: str) -> None:
    context = securities()
    names = Names(context.securities.values(), definitions().tables, 2)
    found = names.in_caption(caption, date(2010, 1, 1))
    assert set(found.entities) <= set(context.securities)
    assert all(len(name.split()) >= 2 for name in names.persons(caption))
    around = names.in_caption(f"Jane Roe, Acme Widget Holdings, Inc., and {caption}", date(2010, 1, 1))
    assert ACME in around.entities or "relief_defendant" in around.refused
