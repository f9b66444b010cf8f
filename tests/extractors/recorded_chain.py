"""The recorded pools as frames of the source types that the chain's signals read, without a server between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pandas as pd

from signaldelta_assets.contracts import PUBLISHER_ETHEREUM, Pool, Security, SecurityContext
from signaldelta_assets.replay.recorded.chain import (
    SELECTOR_DECIMALS,
    TOPIC_SYNC,
    TOPIC_TRANSFER,
    RecordedChain,
)
from tests.extractors.make import COLUMNS, FETCHED
from tests.paths import DATA

LAST_BLOCK = 1 << 40


@cache
def chain() -> RecordedChain:
    return RecordedChain(DATA)


def _decimals(token: str | None) -> int | None:
    answer = None if token is None else chain().call(token, SELECTOR_DECIMALS)
    return None if answer is None else int(answer, 16)


@cache
def context() -> SecurityContext:
    """Return every recorded pool; those whose tokens are not known have no `pool`."""
    found = {}
    for row in chain().inventory()["pools"]:
        pool = None
        if row["token0"] is not None:
            token0, token1 = row["token0"].lower(), row["token1"].lower()
            pool = Pool(token0, token1, _decimals(token0), _decimals(token1), row["created"])
        entity = f"eth:{row['pool']}"
        found[entity] = Security(entity, entity, "pool", pool=pool)
    return SecurityContext(found)


@cache
def _time(number: int) -> tuple[datetime, dict[str, Any]] | None:
    block = chain().block(number)
    if block is None:
        return None
    exact = {"precision": "second", "error_seconds": 0, "source": block.source}
    # The weakest stretch of the recordings: 19 minutes at worst.
    rough = {"precision": "interpolated", "error_seconds": 1140, "source": block.source}
    return datetime.fromtimestamp(block.timestamp, UTC), exact if block.exact else rough


def _logs() -> Iterator[tuple[str, str, Any, dict[str, Any]]]:
    for log in chain().logs(0, LAST_BLOCK, None):
        place = {"block": log.block, "log_index": log.log_index, "transaction": log.transaction,
                 "transaction_index": log.transaction_index}  # fmt: skip
        data = log.data.removeprefix("0x")
        if log.topics[0] == TOPIC_SYNC:
            payload = {"reserve0": str(int(data[:64], 16)), "reserve1": str(int(data[64:128], 16))}
            yield "uni2_sync", log.address, log, place | payload
        elif log.topics[0] == TOPIC_TRANSFER:
            payload = {"sender": f"0x{log.topics[1][-40:]}", "receiver": f"0x{log.topics[2][-40:]}"}
            yield "uni2_lp_transfer", log.address, log, place | payload | {"value": str(int(data, 16))}


@cache
def records() -> pd.DataFrame:
    """Return Syncs, LP transfers, and the header of each of their blocks."""
    made, blocks = [], set()
    for source, address, log, payload in _logs():
        when, time = _time(log.block) or (None, {})
        key = f"{log.block:012d}:{log.log_index:06d}"
        blocks.add(log.block)
        name = f"{source}-{address}-{key}"
        made.append((name, source, f"eth:{address}", key, None, when, FETCHED, "backfill", payload | {"time": time}))
    for number in sorted(blocks):
        when, time = _time(number) or (None, {})
        payload = {"number": number, "hash": None, "time": time}
        key = f"{number:012d}"
        made.append((f"block-{key}", "chain_block", PUBLISHER_ETHEREUM, key, None, when, FETCHED, "backfill", payload))
    frame = pd.DataFrame(made, columns=COLUMNS)
    for name in ("event_time", "observed_time"):
        frame[name] = pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]")
    return frame
