"""Each rule and each trap of the chain's signals, with handmade records (signals.md 4.6)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.extractors import prepare
from signaldelta_assets.extractors.pools import BURN, BUY, MINT, NO_KIND, SELL, Flow, flows
from tests.extractors.make import definitions, frame
from tests.extractors.make_chain import (
    DEAD,
    FEE_SINK,
    FIRST,
    FRIEND,
    LOCKER,
    OTHER,
    OWNER,
    POOL,
    TOKEN,
    USDC,
    ZERO,
    chain,
    context,
    first_mint,
    header,
    moment,
    run,
    security,
    sync,
    trades,
    transfer,
)
from tests.extractors.recorded import WHOLE


def flow(records: list[dict[str, Any]]) -> Flow:
    counts: Counter[str] = Counter()
    prepared = prepare(frame(records), definitions().availability_basis, ["uni2_sync"], context(), *WHOLE, counts)
    (made,) = flows(prepared, context(), definitions().tables["quotes"], timedelta(days=30), counts)
    return made


# --- pools


def test_step_kinds() -> None:
    assert flow(trades("bsmuk")).kind.tolist() == [NO_KIND, BUY, SELL, MINT, BURN, NO_KIND]


def test_several_syncs_of_one_transaction_are_several_steps() -> None:
    records = [sync(FIRST, 10, 10), sync(FIRST + 1, 5, 5, 1, "0xt"), sync(FIRST + 1, 6, 4, 2, "0xt")]
    assert flow(records[::-1]).kind.tolist() == [NO_KIND, BURN, BUY]


def test_reserves_are_compared_as_integers() -> None:
    """Two reserves that are one float: 2^112 has 34 digits, a float 16."""
    records = [sync(FIRST, 1, 1), sync(FIRST + 1, 1, 1)]
    for record, last in zip(records, (1, 0), strict=True):
        record["payload"] |= {"reserve0": str(2**111 + 1 - last), "reserve1": str(2**111 + last)}
    assert flow(records).kind.tolist() == [NO_KIND, SELL]


def test_a_silence_begins_a_pool_anew() -> None:
    made = flow([*trades("b"), *trades("b", FIRST + 300_000)])
    assert made.kind.tolist() == [NO_KIND, BUY, NO_KIND, BUY] and made.age.tolist() == [0, 10, 0, 10]


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (security(token0=USDC), "major_pair"),
        (security(token1=FRIEND), "no_quote_side"),
        (security(decimals1=None), "quote_decimals_unknown"),
    ],
)
def test_pools_without_one_quote_side_are_counted(known: Any, reason: str) -> None:
    for signal in ("S044", "S049", "S054"):
        assert run(signal, trades("bb"), known=context(known)).counts == {reason: 3}
    nameless = type(known)(known.entity_id, known.name, "pool")
    assert run("S049", trades("bb"), known=context(nameless)).counts == {"pool_not_in_context": 3}


def test_unreadable_reserves_are_counted() -> None:
    for text in ("-1", "1.5", str(2**112), "", None):
        records = trades("b")
        records[1]["payload"] |= {"reserve1": text}
        assert run("S049", records).counts == {"unreadable_reserves": 1, "no_sync_before": 1}


@pytest.mark.parametrize(("quote", "fires"), [(1_999.0, False), (2_000.0, True)])
def test_dust_goes_by_quote_and_decimals(quote: float, fires: bool) -> None:
    """2,000 USDC have six decimals; as the first token."""
    known = context(security(token0=USDC, token1=TOKEN))
    records = [sync(FIRST, 1, 1), sync(FIRST + 1, 0.5, 0.5)]
    for record, part in zip(records, (1.0, 0.5), strict=True):
        record["payload"]["reserve0"] = str(int(quote * part * 10**18))
    made = run("S049", records, known=known)
    assert len(made.events) == fires and (fires or made.counts["below_dust"] == 1)


# --- S044


def test_s044_fires_once_per_episode() -> None:
    made = run("S044", trades("b" * 30, FIRST))
    (event,) = made.events
    # The twentieth buy, within 300 blocks of the launch; 0.25 is the foot of the ramp of buys.
    assert (event.key, event.strength_norm, event.reliability) == ((str(FIRST + 200),), 0.25, 0.56)
    assert event.direction == -1 and event.event_time == moment(FIRST + 200)
    assert (event.attributes["buys"], event.attributes["sells"]) == (20, 0)
    assert made.counts == {"few_swaps": 20, "episode_goes_on": 10}


def test_s044_share_of_sells_and_age() -> None:
    """One sell of twenty is five per cent; twenty blocks apart the launch is over."""
    (event,) = run("S044", trades("s" + "b" * 19, step=20)).events
    assert (event.strength_norm, event.reliability) == (0.0625, 0.8)
    made = run("S044", trades("ss" + "b" * 18, step=20))
    assert made.events == [] and made.counts["two_way"] == 1
    assert run("S044", trades("b" * 30, quote=0.1)).counts["below_dust"] == 11


def test_s044_looks_back_6500_blocks() -> None:
    """Nineteen steps of 342 blocks lie within 6,500, the twentieth before."""
    assert len(run("S044", trades("b" * 30, step=341)).events) == 1
    assert run("S044", trades("b" * 30, step=343)).events == []


def test_s044_rearms_above_a_fifth() -> None:
    first, between = "b" * 20, "s" * 6
    made = run("S044", trades(first + between + "b" * 200))
    assert [event.attributes["sells"] for event in made.events] == [0, 6]
    assert run("S044", trades(first + "s" * 5 + "b" * 200)).counts["episode_goes_on"] > 0
    assert len(run("S044", trades(first + "s" * 5 + "b" * 200)).events) == 1


def test_s044_episode_ends_with_silence() -> None:
    first = trades("b" * 20, quote=10)
    for after, events in ((26_000, 1), (26_001, 2)):
        # The first step of the second spell is a mint; its twentieth buy comes that long after the first event.
        second = trades("b" * 21, FIRST + after - 10, quote=20)[1:]
        assert len(run("S044", [*first, *second]).events) == events


# --- S045


def held(*moves: dict[str, Any], seen: int = 300) -> list[dict[str, Any]]:
    return [*first_mint(), *moves, header(FIRST + seen)]


def test_s045_fires_when_the_blocks_have_passed() -> None:
    made = run("S045", held())
    (event,) = made.events
    assert event.key == (OWNER, f"{FIRST + 300:012d}") and event.entity_id == f"eth:{POOL}"
    assert (event.event_time, event.reliability, event.attributes["share"]) == (moment(FIRST + 300), 0.75, 0.999)
    assert event.strength_norm == pytest.approx(0.25 + 0.75 * 0.199 / 0.2)
    assert {entry.source_type for entry in event.frontier} == {"chain_block", "uni2_lp_transfer"}
    assert run("S045", held(seen=299)).events == []
    assert len(run("S045", [*held(), header(FIRST + 301), header(FIRST + 400)]).events) == 1


@pytest.mark.parametrize("nobody", [ZERO, DEAD, POOL, LOCKER, FEE_SINK])
def test_s045_leaves_out_who_is_no_holder(nobody: str) -> None:
    made = run("S045", held(transfer(FIRST + 50, OWNER, nobody, 900_000)))
    assert made.events == [] and made.counts["below_threshold"] == 1


def test_s045_a_burn_shrinks_the_supply() -> None:
    """What the pool sends to zero is gone; what the friend sends there stays in the supply."""
    moves = [
        transfer(FIRST + 9, OWNER, FRIEND, 500_000, 0, "0xa"),
        transfer(FIRST + 400, FRIEND, POOL, 500_000, 1, "0xb"),
        transfer(FIRST + 400, POOL, ZERO, 500_000, 2, "0xb"),
    ]
    (event,) = run("S045", held(*moves)).events
    assert event.event_time == moment(FIRST + 400) and event.attributes["supply"] == "500000"
    moves[1:] = [transfer(FIRST + 400, FRIEND, ZERO, 500_000, 1, "0xb")]
    assert run("S045", held(*moves)).events == []


def test_s045_episodes() -> None:
    out, back = (FIRST + 400, OWNER, FRIEND), (FIRST + 500, FRIEND, OWNER)
    for part, events in ((390_000, 1), (450_000, 2)):
        made = run("S045", held(transfer(*out, part), transfer(*back, part)))
        assert len(made.events) == events
    assert {event.key[0] for event in run("S045", held(transfer(*out, 999_000))).events} == {OWNER, FRIEND}


def test_s045_a_known_contract_may_be_a_locker() -> None:
    (event,) = run("S045", [*first_mint(to=TOKEN), header(FIRST + 300)]).events
    assert event.reliability == 0.45 and event.attributes["holder_is_contract"]


def test_s045_needs_the_whole_life() -> None:
    assert run("S045", held()[1:]).counts == {"history_not_complete": 2}
    oversold = transfer(FIRST + 9, FRIEND, OWNER, 5)
    assert run("S045", held(oversold)).counts["history_not_complete"] == 2
    late = transfer(FIRST + 401 * 86_400 // 13, OWNER, FRIEND, 999_000)
    assert run("S045", held(late)).counts == {"first_blocks": 1, "history_not_complete": 1}


# --- S049


@pytest.mark.parametrize(("left", "strength"), [(9.01, None), (9.0, 0.25), (5.0, 0.625), (1.01, 0.999062), (1.0, None)])
def test_s049_cut(left: float, strength: float | None) -> None:
    made = run("S049", [sync(FIRST, 10, 1000), sync(FIRST + 1, left, 900, tx="0xt")])
    assert [event.strength_norm for event in made.events] == ([] if strength is None else [strength])
    assert all((event.key, event.reliability) == (("0xt",), 0.85) for event in made.events)
    assert made.events or made.counts.keys() & {"below_threshold", "drained"}


def test_s049_is_a_burn_of_more_than_dust() -> None:
    assert run("S049", [sync(FIRST, 10, 10), sync(FIRST + 1, 5, 20)]).counts["not_a_burn"] == 1
    assert run("S049", [sync(FIRST, 0.99, 10), sync(FIRST + 1, 0.5, 5)]).counts["below_dust"] == 1
    twice = [sync(FIRST, 10, 10), sync(FIRST + 1, 5, 5, 1, "0xt"), sync(FIRST + 1, 3, 3, 2, "0xt")]
    made = run("S049", twice)
    assert [event.attributes["cut"] for event in made.events] == [0.5] and made.counts["same_transaction"] == 1


@pytest.mark.parametrize(("share", "reliability"), [(400_000, 0.425), (600_000, 0.85)])
def test_s049_who_burned(share: int, reliability: float) -> None:
    burn = [transfer(FIRST + 9, FRIEND, POOL, share, 0, "0xt"), transfer(FIRST + 9, POOL, ZERO, share, 1, "0xt")]
    records = [*first_mint(), sync(FIRST, 10, 10, 9), transfer(FIRST + 5, OWNER, FRIEND, share), *burn,
               sync(FIRST + 9, 6, 6, 2, "0xt")]  # fmt: skip
    (event,) = run("S049", records).events
    assert event.reliability == reliability and event.attributes["burner_share"] == share / 1e6
    (event,) = run("S049", records[1:]).events
    assert event.reliability == 0.85 and event.attributes["burner_share"] is None


# --- S050


def locked(part: int = 500_000) -> list[dict[str, Any]]:
    return [*first_mint(), transfer(FIRST + 9, OWNER, LOCKER, part)]


def test_s050_release() -> None:
    made = run("S050", [*locked(), transfer(FIRST + 99, LOCKER, OWNER, 500_000, 3, "0xt")])
    (event,) = made.events
    assert (event.key, event.strength_norm, event.reliability) == (("0xt",), 0.5, 0.9)
    assert event.attributes["share"] == 0.5 and made.counts == {"no_locker_sends": 2}
    small = run("S050", [*locked(), transfer(FIRST + 99, LOCKER, OWNER, 249_999)])
    assert small.events == [] and small.counts["below_threshold"] == 1


def test_s050_relock_in_the_same_transaction() -> None:
    out = transfer(FIRST + 99, LOCKER, OWNER, 500_000, 3, "0xt")
    fee = transfer(FIRST + 99, OWNER, FEE_SINK, 4_950, 4, "0xt")
    for tx, events in (("0xt", 0), ("0xu", 1)):
        made = run("S050", [*locked(), out, fee, transfer(FIRST + 99, OWNER, LOCKER, 495_050, 5, tx)])
        assert len(made.events) == events and made.counts["relocked"] == 1 - events


def test_s050_needs_the_supply() -> None:
    made = run("S050", [*locked()[1:], transfer(FIRST + 99, LOCKER, OWNER, 500_000)])
    assert made.events == [] and made.counts["history_not_complete"] == 1


# --- S054


def priced(*prices: float, block: int = FIRST + 100, step: int = 10) -> list[dict[str, Any]]:
    """Syncs of a pool of constant product at those prices, the first of them 100 blocks before the others."""
    return [sync(FIRST, 10, 1000), *(sync(block + i * step, 10 * p**0.5, 1000 / p**0.5) for i, p in enumerate(prices))]


def test_s054_pump() -> None:
    made = run("S054", priced(2.9, 3.2))
    (event,) = made.events
    assert event.key == (f"{FIRST + 110:012d}", "000000") and event.reliability == 0.6
    assert event.attributes["ratio"] == pytest.approx(3.2, rel=1e-5) and 0.25 < event.strength_norm < 0.3
    (event,) = run("S054", [sync(FIRST, 10, 1000), sync(FIRST + 100, 20, 20)]).events
    assert event.strength_norm == 1.0


def test_s054_exact_threshold() -> None:
    records = [sync(FIRST, 7, 3 * 7), sync(FIRST + 100, 7.7, 3 * 7.7 / 3)]
    assert len(run("S054", records).events) == 1


def test_s054_traps() -> None:
    assert run("S054", priced(4.0, block=FIRST + 19)).counts["first_blocks"] == 1
    assert len(run("S054", priced(4.0, block=FIRST + 20)).events) == 1
    # A rebase takes tokens away and leaves the quote.
    rebased = [sync(FIRST, 10, 1000), sync(FIRST + 100, 10, 200)]
    assert run("S054", rebased).counts["not_a_buy"] == 1
    poor = [sync(FIRST, 0.3, 1000), sync(FIRST + 100, 0.9, 300)]
    assert run("S054", poor).counts["below_dust"] == 1


def test_s054_the_price_in_force_counts_and_an_older_one_does_not() -> None:
    assert len(run("S054", priced(4.0, block=FIRST + 5_000)).events) == 1
    assert run("S054", priced(2.0, 4.0, block=FIRST + 1_000, step=1_000)).events != []
    assert run("S054", priced(2.0, 2.5, 4.0, block=FIRST + 1_000, step=1_700)).events == []


def test_s054_rearms_after_6500_blocks() -> None:
    for step, events in ((6_499, 1), (6_500, 2)):
        assert len(run("S054", priced(4.0, 16.0, step=step)).events) == events


# --- all of them


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), factor=st.integers(2, 50), signal=st.sampled_from(["S044", "S049", "S054"]))
def test_scaling_both_reserves_changes_nothing_above_dust(seed: int, factor: int, signal: str) -> None:
    records = [one for one in chain(seed, 20) if one["source_type"] == "uni2_sync"]
    deep = [dict(one, payload=_scaled(one["payload"], 1000)) for one in records]
    deeper = [dict(one, payload=_scaled(one["payload"], 1000 * factor)) for one in records]
    first, second = run(signal, deep), run(signal, deeper)
    assert [event.content_hash for event in first.events] == [event.content_hash for event in second.events]
    assert first.counts == second.counts


def _scaled(payload: dict[str, Any], factor: int) -> dict[str, Any]:
    return payload | {name: str(int(payload[name]) * factor) for name in ("reserve0", "reserve1")}


def test_a_log_collected_late_is_not_seen_before() -> None:
    """The first Sync was collected after the burn: then the burn has none before it."""
    for minutes, events in ((0, 1), (600, 0)):
        observed = moment(FIRST) + timedelta(minutes=minutes)
        slow = sync(FIRST, 10, 10, mode="live", observed=observed)
        assert len(run("S049", [slow, sync(FIRST + 1, 5, 5)]).events) == events


def test_pools_do_not_mix() -> None:
    records = [sync(FIRST, 10, 10), sync(FIRST + 1, 5, 5, pool=OTHER), sync(FIRST + 2, 9.9, 9.9)]
    assert run("S049", records).events == []


def test_parts_of_a_transaction_seen_the_other_way_round_are_one_event() -> None:
    """Neither part saw the other: the one known first stands, for it may have been acted on."""

    def live(minutes: int) -> dict[str, Any]:
        return {"mode": "live", "observed": moment(FIRST + 400) + timedelta(minutes=minutes)}

    burns = [sync(FIRST + 1, 5, 5, 1, "0xt", **live(60)), sync(FIRST + 1, 3, 3, 2, "0xt", **live(5))]
    made = run("S049", [sync(FIRST, 10, 10), *burns])
    assert [(event.key, event.attributes["cut"]) for event in made.events] == [(("0xt",), 0.7)]
    assert made.counts["same_transaction"] == 1
    held = [*first_mint(1_000_000, LOCKER)]
    parts = [transfer(FIRST + 9, LOCKER, OWNER, 300_000, 1, "0xt", **live(60)),
             transfer(FIRST + 9, LOCKER, OWNER, 400_000, 2, "0xt", **live(5))]  # fmt: skip
    out = run("S050", [*held, *parts])
    assert [(event.key, event.attributes["share"]) for event in out.events] == [(("0xt",), 0.4)]
    assert out.counts["same_transaction"] == 1
