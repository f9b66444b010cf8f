"""RUG_PULL: the rule, each rejection, and what must hold for windows, order and times."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.catalogue import default_document, load_definitions
from signaldelta_assets.labels import Labeling, required_label_window, run_classifier
from tests.extractors.make import definitions, frame
from tests.extractors.make_chain import FIRST, OTHER, POOL, USDC, chain, context, header, moment, security, sync, trades

WHOLE = (date(2020, 1, 1), date(2027, 1, 1))
RUG = FIRST + 200
OVER = header(RUG + 6_500)


def label(records: Iterable[Mapping[str, Any]], window: tuple[date, date] = WHOLE, **params: Any) -> Labeling:
    known = definitions()
    if params:
        document = default_document()
        document["labels"]["RUG_PULL"]["params"] |= params
        known = load_definitions(document)
    return run_classifier("RUG_PULL", frame(records), context(), known, *window)


def before(kinds: str = "bsbsbsbsbs", **more: Any) -> list[dict[str, Any]]:
    """Ten swaps that end where they began: 10 ether, 1,000 tokens."""
    return trades(kinds, **more)


def drained(left: float = 0.5, **more: Any) -> list[dict[str, Any]]:
    return [*before(), sync(RUG, left, left * 100, tx="0xrug", **more), OVER]


def test_a_drain_is_a_label() -> None:
    made = label(drained())
    (one,) = made.events
    assert (one.subtype, one.confidence, one.time_precision) == ("simple", 0.9, "second")
    assert (one.entity_id, one.key, one.event_time) == (f"eth:{POOL}", ("simple", "0xrug"), moment(RUG))
    # Known with the header that ends the recovery window: 12 blocks and a minute after it.
    assert one.known_at == moment(RUG + 6_500) + timedelta(seconds=156 + 60)
    assert one.attributes == {"block": RUG, "share": 0.95, "quote": "WETH", "quote_before": str(10**19),
                              "swaps_before": 10}  # fmt: skip
    # The ten swaps, the Sync that drains, and the header.
    assert len(one.raw_record_ids) == 12 and made.counts == {"no_drain": 11}


@pytest.mark.parametrize(("left", "labels"), [(1.0, 1), (1.01, 0)])
def test_nine_tenths(left: float, labels: int) -> None:
    assert len(label(drained(left)).events) == labels


@pytest.mark.parametrize(("apart", "labels"), [(40, 1), (41, 0)])
def test_steps_within_forty_blocks(apart: int, labels: int) -> None:
    records = [*before(), sync(RUG - apart, 4, 400), sync(RUG, 0.9, 90), OVER]
    made = label(records)
    assert [one.event_time for one in made.events] == [moment(RUG)] * labels
    # What is left afterwards may be taken too: the same drain.
    more = label([*records, sync(RUG + 40, 0.01, 1), header(RUG + 6_540)])
    assert len(more.events) == 1 and more.counts["same_drain"] == labels


def test_what_came_back_is_drained_anew() -> None:
    """A launch that is taken back and tried again: the second drain is no part of the first, which recovered."""
    again = trades("bsbsbsbsbs", block=FIRST + 3, step=2)
    tried = [sync(FIRST, 10, 1_000), sync(FIRST + 1, 0.5, 50, tx="0xtried"), *again]
    made = label([*tried, sync(FIRST + 35, 0.5, 50, tx="0xrug"), header(FIRST + 7_000)])
    (one,) = made.events
    assert one.key == ("simple", "0xrug") and one.attributes["quote_before"] == str(10**19)
    assert (one.attributes["share"], made.counts["no_counterparty"], made.counts["same_drain"]) == (0.95, 1, 0)
    # What came back is less than half of it: the same drain.
    little = [*before(), sync(RUG - 20, 0.5, 50), sync(RUG - 10, 4.9, 490), sync(RUG, 0.1, 10), OVER]
    found = label(little)
    assert [one.event_time for one in found.events] == [moment(RUG - 20)] and found.counts["same_drain"] == 1
    # Back in full, met by nobody, and taken again: neither is a drain of others' money.
    for back in (RUG - 10, RUG - 10 + 50):
        twice = [*before(), sync(RUG - 20, 0.5, 50), sync(back, 12, 1_200), sync(back + 10, 0.1, 10), OVER]
        refused = label([*twice, header(RUG + 9_000)])
        assert refused.events == [] and (refused.counts["recovered"], refused.counts["no_counterparty"]) == (1, 1)


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([*before(quote=0.99), sync(RUG, 0.01, 1), OVER], "below_dust"),
        ([*before("bsbsbsbsb"), sync(RUG, 0.01, 1), OVER], "too_few_swaps"),
        ([sync(FIRST, 10, 10), sync(RUG, 0.01, 0.01), OVER], "no_counterparty"),
        ([*before(), sync(RUG - 5, 200, 20_000), sync(RUG, 10, 1_000), OVER], "no_counterparty"),
        ([*drained(), sync(RUG + 6_500, 5, 500)], "recovered"),
        (drained()[:-1], "recovery_not_over"),
        ([*drained()[:-1], header(RUG + 6_499)], "recovery_not_over"),
        (drained(time=None), "no_block_time"),
        ([*before(), sync(RUG, 0.5, 2_100), OVER], "dump_off"),
        ([*before("b" * 20), sync(RUG + 10, 0.5, 2_100), header(RUG + 7_000)], "trap_door_off"),
        ([*drained()[:-1], header(RUG + 50_000)], "recovery_not_over"),
    ],
)
def test_rejected(records: list[dict[str, Any]], reason: str) -> None:
    made = label(records)
    assert made.events == [] and made.counts[reason] == 1


def test_what_is_no_rejection() -> None:
    """A return after the window, to less than half, and liquidity added before a drain of all."""
    for records in (
        [*drained(), sync(RUG + 6_501, 50, 5_000)],
        [*drained(), sync(RUG + 6_500, 4.99, 499)],
        [*before(), sync(RUG - 5, 20, 2_000), sync(RUG, 0.1, 10), OVER],
    ):
        assert len(label(records).events) == 1


@pytest.mark.parametrize(("block", "gain", "labels"), [(RUG + 40, 4.75, 0), (RUG + 41, 4.75, 1), (RUG + 40, 4.74, 1)])
def test_liquidity_that_moves_to_another_pool_of_the_token(block: int, gain: float, labels: int) -> None:
    other = [sync(FIRST, 3, 300, pool=OTHER), sync(block, 3 + gain, 900, pool=OTHER)]
    made = label([*drained(), *other])
    assert len(made.events) == labels and made.counts["migrated"] == 1 - labels
    launched = label([*drained(), sync(block, gain, 900, pool=OTHER)])
    assert len(launched.events) == labels


def test_a_sync_without_time_is_rejected_and_hides_the_drain() -> None:
    for missing, reasons in ((RUG, 1), (RUG - 1, 2)):
        records = drained()
        records.insert(-1, sync(missing, 0.6, 60, 1, when=None))
        if missing == RUG:
            records.pop(-3)
        made = label(records)
        assert made.events == [] and made.counts["no_block_time"] == reasons


def test_weak_subtypes_can_be_switched_on() -> None:
    kinds = ["simple", "dump", "trap_door"]
    (one,) = label([*before(), sync(RUG, 0.5, 2_100), OVER], subtypes=kinds).events
    assert (one.subtype, one.confidence) == ("dump", 0.5)
    (one,) = label([*before("b" * 20), sync(RUG + 10, 0.5, 2_100), header(RUG + 7_000)], subtypes=kinds).events
    assert (one.subtype, one.confidence) == ("trap_door", 0.5)


def test_an_interpolated_time_is_said() -> None:
    time = {"precision": "interpolated", "error_seconds": 97, "source": "between two blocks"}
    (one,) = label(drained(time=time)).events
    assert one.time_precision == "interpolated" and one.attributes["time_error_seconds"] == 97


def test_major_pairs_are_counted() -> None:
    known = context(security(token0=USDC))
    made = run_classifier("RUG_PULL", frame(drained()), known, definitions(), *WHOLE)
    assert made.events == [] and made.counts == {"major_pair": 12}


@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000))
def test_windows_and_order_never_matter(seed: int) -> None:
    records = [one for one in chain(seed) if one["source_type"] != "uni2_lp_transfer"]
    whole = label(records)
    start, end = date(2023, 9, 1), date(2023, 11, 1)
    events, counts = [], dict[str, int]()
    for low, high in pairwise([start, *(start + timedelta(days=n) for n in (1, 8, 9, 25)), end]):
        need = required_label_window("RUG_PULL", low, high, definitions())
        part = [one for one in records if need.start <= one["event_time"].date() < need.end]
        made = label([part[i] for i in np.random.default_rng(seed).permutation(len(part))], (low, high))
        events += made.events
        for reason, n in made.counts.items():
            counts[reason] = counts.get(reason, 0) + n
    assert [(one.label_id, one.content_hash) for one in events] == [(o.label_id, o.content_hash) for o in whole.events]
    assert counts == dict(whole.counts)
    assert all(one.known_at > one.event_time for one in events)
    assert json.dumps([dict(one.attributes) for one in events])


def test_random_chains_have_drains() -> None:
    assert sum(len(label(chain(seed)).events) for seed in range(6)) > 0
