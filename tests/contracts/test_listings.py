"""Whom a ticker meant on a day: renames, reuse, delistings, contradictions; and no two issuers at once, ever."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaldelta_assets.contracts import Listing, Security, SecurityContext, TickerBook

A, B = "0000000001", "0000000002"
DAY = timedelta(days=1)


def day(text: str) -> date:
    return date.fromisoformat(text)


def test_a_rename_moves_the_ticker_on_its_day() -> None:
    book = TickerBook.of(
        [Listing(A, "FB", day("2012-05-18"), day("2022-06-11")), Listing(A, "META", day("2022-06-11"))]
    )
    assert book.holder("FB", day("2022-06-10")).entity_id == book.holder("META", day("2022-06-11")).entity_id == A
    assert book.holder("FB", day("2022-06-11")).basis == book.holder("META", day("2022-06-10")).basis == "not_held"
    assert book.holder("GOOG", day("2022-06-10")).basis == "unknown"


def test_a_ticker_that_is_used_again_means_each_issuer_in_its_time() -> None:
    book = TickerBook.of([Listing(A, "X", day("2001-01-02"), day("2020-03-02")), Listing(B, "X", day("2021-05-03"))])
    asked = {text: book.holder("X", day(text)) for text in ("2020-03-01", "2020-03-02", "2021-05-02", "2021-05-03")}
    assert [holder.entity_id for holder in asked.values()] == [A, None, None, B]


def test_an_end_that_nobody_gave_is_where_the_next_issuer_begins() -> None:
    book = TickerBook.of([Listing(A, "X", day("2001-01-02")), Listing(B, "X", day("2021-05-03"))])
    assert [book.holder("X", day(text)).entity_id for text in ("2021-05-02", "2021-05-03")] == [A, B]


def test_days_that_two_claim_are_nobodys() -> None:
    book = TickerBook.of([Listing(A, "X", day("2020-01-01"), day("2020-03-01")), Listing(B, "X", day("2020-02-01"))])
    found = [book.holder("X", day(text)) for text in ("2020-01-31", "2020-02-01", "2020-02-29", "2020-03-01")]
    assert [holder.basis for holder in found] == ["dated", "ambiguous", "ambiguous", "dated"]
    assert found[1].claimants == (A, B) and found[3].entity_id == B


def test_an_undated_claim_counts_only_where_no_date_is_known() -> None:
    alone = TickerBook.of([Listing(A, "X")])
    assert (alone.holder("X", day("1999-01-01")).entity_id, alone.holder("X", day("1999-01-01")).basis) == (
        A,
        "undated",
    )
    assert TickerBook.of([Listing(A, "X"), Listing(B, "X")]).holder("X", day("2020-01-01")).basis == "ambiguous"
    # The universe's own undated claim does not bring back what the dates end.
    dated = TickerBook.of([Listing(A, "X"), Listing(A, "X", day("2001-01-02"), day("2020-03-02"))])
    assert dated.holder("X", day("2021-01-01")).basis == "not_held"
    gone = TickerBook.of([Listing(A, "X", None, day("2020-03-02")), Listing(B, "X")])
    assert gone.holder("X", day("2021-01-01")).entity_id == B


DAYS = st.integers(0, 60).map(lambda n: date(2020, 1, 1) + n * DAY)
SPANS = st.tuples(DAYS, st.none() | st.integers(1, 30)).map(
    lambda span: (span[0], None if span[1] is None else span[0] + span[1] * DAY)
)
LISTINGS = st.lists(
    st.builds(lambda entity, span: Listing(entity, "X", *span), st.sampled_from([A, B, "0000000003"]), SPANS),
    max_size=8,
)


@given(LISTINGS)
def test_spells_of_one_ticker_never_overlap(listings: list[Listing]) -> None:
    book = TickerBook.of(listings)
    spells = book.spells("X")
    for before, after in pairwise(spells):
        assert before.valid_to is not None and before.valid_to <= after.valid_from
    for n in range(100):
        on = date(2019, 12, 25) + n * DAY
        holder = book.holder("X", on)
        claim = {one.entity_id for one in listings if one.covers(on)}
        assert set(holder.claimants) <= claim
        began = max((one.valid_from for one in listings if one.covers(on) and one.valid_from), default=None)
        if len(claim) == 1 and not any(
            one.valid_from and began and began < one.valid_from <= on for one in listings if one.entity_id not in claim
        ):
            assert holder.entity_id in claim
        # Nobody is chosen among those whom sources give the day with an end of their own.
        closed = {one.entity_id for one in listings if one.covers(on) and one.valid_to is not None}
        assert holder.entity_id is None or len(closed) < 2


@given(LISTINGS, st.randoms())
def test_the_order_in_which_listings_come_is_nothing(listings: list[Listing], chance: object) -> None:
    assert TickerBook.of(listings).spells("X") == TickerBook.of(reversed(listings)).spells("X")


GOOGLE = Security(
    A,
    "Alphabet",
    listings=(
        Listing(A, "GOOG", day("2004-08-19"), day("2014-04-03"), "CLASS-A", True),
        Listing(A, "GOOGL", day("2014-04-03"), None, "CLASS-A", True),
        Listing(A, "GOOG", day("2014-04-03"), None, "CLASS-C"),
    ),
    primary_ticker="GOOGL",
)


def test_a_share_class_keeps_its_name_and_the_primary_one_is_the_sessions() -> None:
    assert GOOGLE.class_of("GOOG", day("2014-04-02")) == GOOGLE.class_of("GOOGL", day("2014-04-03")) == "CLASS-A"
    assert GOOGLE.class_of("GOOG", day("2014-04-03")) == "CLASS-C"
    first, later = GOOGLE.primary_on(day("2010-01-04")), GOOGLE.primary_on(day("2020-01-02"))
    assert first is not None and later is not None
    assert (first.ticker, later.ticker) == ("GOOG", "GOOGL")
    assert GOOGLE.primary_class_on(day("2010-01-04")) == "CLASS-A"
    # Before it was listed today's ticker is no answer; with no dates at all it is the only one.
    assert GOOGLE.primary_class_on(day("2004-08-18")) is None
    assert Security(A, "x", primary_ticker="X").primary_class_on(day("2004-08-18")) == "X"


def test_the_context_answers_for_all_its_securities() -> None:
    context = SecurityContext({A: GOOGLE, B: Security(B, "Other", listings=(Listing(B, "OTH", day("2020-01-02")),))})
    assert context.entity_of_ticker("GOOG", day("2014-04-03")).entity_id == A
    assert context.entity_of_ticker("OTH", day("2020-01-01")).basis == "not_held"


@pytest.mark.parametrize("ticker", ["GOOG", "GOOGL"])
def test_delisting_ends_every_ticker(ticker: str) -> None:
    gone = TickerBook.of([Listing(A, ticker, day("2004-08-19"), day("2020-06-02"))])
    assert [gone.holder(ticker, day(text)).basis for text in ("2020-06-01", "2020-06-02")] == ["dated", "not_held"]
