"""Handmade chain records of one or more pools, as the frame that a loader would hand over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from signaldelta_assets.contracts import PUBLISHER_ETHEREUM, Pool, Security, SecurityContext
from signaldelta_assets.extractors import Extraction, run_extractor
from tests.extractors.make import at, definitions, frame, record

WETH = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
USDC = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
TOKEN = "0x" + "11" * 20
POOL, OTHER = "0x" + "aa" * 20, "0x" + "bb" * 20
ZERO, DEAD = "0x" + "00" * 20, "0x000000000000000000000000000000000000dead"
OWNER, FRIEND = "0x" + "01" * 20, "0x" + "02" * 20
LOCKER, FEE_SINK = "0x663a5c229c09b049e36dcc11a9b0d4a8eb9db214", "0xa7577f841d95b1331954c936d71fe45ba2f62fe5"
ETHER = 10**18
GENESIS, FIRST = at("2023-09-01 00:00"), 1_000_000
EXACT = {"precision": "second", "error_seconds": 0, "source": "block"}


def entity(pool: str = POOL) -> str:
    return f"eth:{pool}"


def moment(block: int) -> datetime:
    """Return the time of a block: 13 seconds each."""
    return GENESIS + timedelta(seconds=13 * (block - FIRST))


def security(pool: str = POOL, token0: str = TOKEN, token1: str = WETH, decimals1: int | None = 18) -> Security:
    return Security(entity(pool), entity(pool), "pool", pool=Pool(token0, token1, 18, decimals1))


def context(*securities: Security) -> SecurityContext:
    return SecurityContext({one.entity_id: one for one in securities or (security(), security(OTHER))})


def _log(source: str, block: int, log: int, tx: str | None, pool: str, payload: Mapping[str, Any], **more: Any) -> Any:
    key = f"{block:012d}:{log:06d}"
    place = {"block": block, "log_index": log, "transaction": tx or f"0x{key}", "transaction_index": 0}
    time = more.pop("time", EXACT)
    when = more.pop("when", moment(block))
    return record(source, key, when, {**place, **payload, "time": time}, entity=entity(pool), **more)


def sync(
    block: int, quote: float, token: float, log: int = 0, tx: str | None = None, pool: str = POOL, **more: Any
) -> dict[str, Any]:
    """A Sync with reserves in units of 1e18; the quote is the second token."""
    payload = {"reserve0": str(round(token * 10**6) * 10**12), "reserve1": str(round(quote * 10**6) * 10**12)}
    made: dict[str, Any] = _log("uni2_sync", block, log, tx, pool, payload, **more)
    return made


def transfer(
    block: int, sender: str, receiver: str, value: int, log: int = 0, tx: str | None = None, pool: str = POOL,
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    payload = {"sender": sender, "receiver": receiver, "value": str(value)}
    made: dict[str, Any] = _log("uni2_lp_transfer", block, log, tx, pool, payload, **more)
    return made


def header(block: int, **more: Any) -> dict[str, Any]:
    payload = {"number": block, "hash": f"0x{block:064x}", "time": EXACT}
    return record("chain_block", f"{block:012d}", moment(block), payload, entity=PUBLISHER_ETHEREUM, **more)


def first_mint(value: int = 1_000_000, to: str = OWNER, block: int = FIRST, pool: str = POOL) -> list[dict[str, Any]]:
    tx = f"0xmint{block}"
    return [transfer(block, ZERO, ZERO, 1000, 0, tx, pool), transfer(block, ZERO, to, value - 1000, 1, tx, pool)]


def trades(
    kinds: str, block: int = FIRST, step: int = 10, quote: float = 10, token: float = 1000, log: int = 0, **more: Any
) -> list[dict[str, Any]]:
    """Return a Sync and then one per letter: buy, sell (both of 1 %), mint, burn (both of 10 %), skim."""
    made = [sync(block, quote, token, log, **more)]
    for place, kind in enumerate(kinds, 1):
        by_quote = {"b": 1.01, "s": 1 / 1.01, "m": 1.1, "u": 0.9, "k": 1.001}[kind]
        by_token = {"b": 1 / 1.01, "s": 1.01, "m": 1.1, "u": 0.9, "k": 1.0}[kind]
        quote, token = quote * by_quote, token * by_token
        made.append(sync(block + place * step, quote, token, log, **more))
    return made


def run(
    signal: str,
    records: Iterable[Mapping[str, Any]],
    start: date = date(2020, 1, 1),
    end: date = date(2027, 1, 1),
    known: SecurityContext | None = None,
) -> Extraction:
    return run_extractor(signal, frame(records), known or context(), definitions(), start, end)


def chain(seed: int, days: int = 40) -> list[dict[str, Any]]:
    """Return random Syncs, LP transfers and headers of two pools, with pumps, drains, silences, and some seen late."""
    rng = np.random.default_rng(seed)
    made: list[dict[str, Any]] = []
    last = days * 86_400 // 13

    def seen(block: int) -> dict[str, Any]:
        if rng.random() < 0.85:
            return {}
        return {"mode": "live", "observed": moment(block) + timedelta(minutes=int(rng.exponential(30)))}

    for pool in (POOL, OTHER):
        quote, token, block, age = float(rng.uniform(0.5, 20)), 1000.0, int(rng.integers(0, 4000)), 0
        balances, supply = {OWNER: 10**9 - 1000}, 10**9
        made += first_mint(10**9, block=FIRST + block, pool=pool)
        made.append(sync(FIRST + block, quote, token, 2, f"0xmint{FIRST + block}", pool))
        while block < last:
            style = (age // 25 + seed) % 4
            block += int(rng.exponential(40 if style else 8_000)) if rng.random() < 0.95 else 9_000
            age += 1
            more, tx, log = seen(FIRST + block), f"0x{pool[2:4]}{age}", int(rng.integers(0, 50)) * 10
            draw = rng.random()
            if draw < 0.08 and len(balances) and supply > 10**4:
                holder = str(rng.choice(sorted(balances)))
                part = int(balances[holder] * rng.uniform(0.2, 1.0))
                to = str(rng.choice([OWNER, FRIEND, LOCKER, DEAD, "burn", "burn"]))
                balances[holder] -= part
                if to == "burn":
                    made.append(transfer(FIRST + block, holder, pool, part, log, tx, pool, **more))
                    made.append(transfer(FIRST + block, pool, ZERO, part, log + 1, tx, pool, **more))
                    kept = 1 - part / supply if rng.random() < 0.5 else 0.03
                    supply -= part
                    quote, token = quote * kept, token * kept
                    made.append(sync(FIRST + block, quote, token, log + 2, tx, pool, **more))
                else:
                    made.append(transfer(FIRST + block, holder, to, part, log, tx, pool, **more))
                    balances[to] = balances.get(to, 0) + part
                    if rng.random() < 0.3:
                        back = str(rng.choice([LOCKER, OWNER]))
                        made.append(transfer(FIRST + block, to, back, part // 2, log + 3, tx, pool, **more))
                        balances[to] -= part // 2
                        balances[back] = balances.get(back, 0) + part // 2
            elif draw < 0.13:
                added, value = float(rng.uniform(0.2, 8)), max(supply, 10**6)
                token, quote = token * (1 + added), max(quote, 3.0) * (1 + added)
                made.append(transfer(FIRST + block, ZERO, FRIEND, int(value * added), log, tx, pool, **more))
                supply += int(value * added)
                balances[FRIEND] = balances.get(FRIEND, 0) + int(value * added)
                made.append(sync(FIRST + block, quote, token, log + 1, tx, pool, **more))
            else:
                buys = rng.random() < (0.98 if style in (1, 2) else 0.5)
                size = float(rng.uniform(1.001, 1.2 if style == 2 else 1.02))
                quote, token = (quote * size, token / size) if buys else (quote / size, token * size)
                if quote > 500:
                    quote, token = quote / 100, token * 100
                made.append(sync(FIRST + block, quote, token, log, tx, pool, **more))
            if rng.random() < 0.3:
                made.append(header(FIRST + block, **more))
    unique = {(one["source_type"], one["entity_id"], one["natural_key"]): one for one in made}
    return list(unique.values())
