"""The chain's shelf of a recorded archive: Uniswap V2 logs by pool, pair creations, block times from anchors.

The recordings have block numbers, transaction hashes and log indices, but no block hashes, and times only at anchors.
What is unknown is None here and null on the wire; nothing is made up. A time between anchors comes with its error.
"""

from __future__ import annotations

import csv
import io
import json
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from math import isqrt
from pathlib import Path
from typing import Any

from ..archive import Block, Log, Tally
from .files import listing, read, rows, stem

FACTORY = "0x5c69bee701ef814a2b6a3edd4b1652cb9cc5aa6f"
TOPIC_SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
TOPIC_TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TOPIC_PAIR_CREATED = "0x0d3648bd0f6ba80134a33ba9275ac585d9d315f0ad8355cddefde31afa28d0e9"
TOPIC_MINT = "0x4c209b5fc8ad50758f13e2e1088ba56a560dff690a1c6fef26394f4c03821c4f"
TOPIC_BURN = "0xdccd412f0b1252819cb1fd330b93224ca42612892bb3f4f789976e6d81936496"
SELECTOR_TOKEN0, SELECTOR_TOKEN1, SELECTOR_DECIMALS = "0x0dfe1681", "0xd21220a7", "0x313ce567"

# The kinds of logs of a pool, each in a folder of its own with a file per pool.
_EVENT_FOLDERS = (
    "uniswap_v2_sync_events",
    "uniswap_v2_lp_transfer_events",
    "uniswap_v2_mint_events",
    "uniswap_v2_burn_events",
)
_INFERRED = "inferred"
# Of 1,000 interpolated times 997 should lie within the error, were the bridge a normal one.
_STANDARD_DEVIATIONS = 3


def word(value: int | str) -> str:
    """Return a number or an address as 32 bytes of hex, without prefix."""
    return f"{int(value, 16) if isinstance(value, str) else value:064x}"


def interpolate(before: tuple[int, int], after: tuple[int, int], number: int) -> tuple[int, int]:
    """Return (time, error) in seconds of a block between two others, each given as (number, time).

    Between fixed ends the sum of independent intervals is a bridge: after k of n blocks its standard deviation is that
    of one interval times sqrt(k (n - k) / n). Under proof of work intervals are close to exponential, so that of one is
    the mean of the stretch. Whatever the chance, a block is at least a second after the one before it: the error is
    never wider than that leaves room for.
    """
    (first, start), (last, end) = before, after
    blocks, passed, span = last - first, number - first, end - start
    stamp = start + round(passed / blocks * span)
    room = max(stamp - start - passed, end - stamp - (blocks - passed), 0)
    # In whole numbers: an error must be the same on every machine.
    bound = isqrt(_STANDARD_DEVIATIONS**2 * span**2 * passed * (blocks - passed) // blocks**3) + 1
    return stamp, min(bound, room)


class RecordedChain:
    """See `archive.ChainShelf`. Reads `onchain/*`; a pool's logs are read when they are first asked for."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "onchain"
        self._root = root
        self._logs: dict[str, list[Log]] = {}

    @cached_property
    def _anchors(self) -> tuple[list[int], list[int], list[str]]:
        numbers, times, sources = [], [], []
        for path in listing(self._folder, "block_anchors.csv*"):
            table = csv.reader(io.StringIO(read(path).decode()))
            next(table)
            for number, stamp, source in table:
                numbers.append(int(number))
                times.append(int(stamp))
                sources.append(source)
        return numbers, times, sources

    @cached_property
    def _pool_files(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for folder in _EVENT_FOLDERS:
            for path in listing(self._folder / folder, "0x*.json*"):
                found.setdefault(stem(path).lower(), []).append(path)
        return found

    @cached_property
    def _pairs(self) -> dict[str, dict[str, Any]]:
        """pool -> tokens and creation block: the pool table, then what feature tables of others say of more pools."""
        path = next(iter(listing(self._folder / "uniswap_v2_meta", "*pool_dict.json*")), None)
        found = {k.lower(): v for k, v in json.loads(read(path)).items()} if path else {}
        for row in self._features:
            # These tables name the coin of interest first; the contract orders tokens by address. Where both tables
            # have a pool they agree on tokens and block.
            token0, token1 = sorted((row["token00.id"].lower(), row["token11.id"].lower()))
            pair = {"token0": token0, "token1": token1, "creation": int(row["createdAtBlockNumber"])}
            found.setdefault(row["id"].lower(), pair)
        return found

    @cached_property
    def _features(self) -> list[dict[str, str]]:
        """Rows about recorded pools in `labels_bob_team/*_feature_*`: facts of the chain, not the labels."""
        paths = listing(self._folder / "labels_bob_team", "*_feature_*.csv*")
        return [row for path in paths for row in rows(path) if row["id"].lower() in self._pool_files]

    @cached_property
    def _decimals(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for path in listing(self._folder / "uniswap_v2_meta", "*decimals.csv*"):
            for row in rows(path):
                if row["decimals"].isdigit():
                    found[row["token_address"].lower()] = int(row["decimals"])
        for row in self._features:
            for side in ("token00", "token11"):
                if row.get(f"{side}.decimals", "").isdigit():
                    found.setdefault(row[f"{side}.id"].lower(), int(row[f"{side}.decimals"]))
        return found

    @cached_property
    def _transactions(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for address in self._pool_files:
            for log in self._of(address):
                known = found.setdefault(log.block, [])
                if log.transaction and log.transaction not in known:
                    known.append(log.transaction)
        return found

    def _of(self, address: str) -> list[Log]:
        if address not in self._logs:
            found = self._created() if address == FACTORY else []
            for path in self._pool_files.get(address, ()):
                found += [_log(event) for event in json.loads(read(path))]
            self._logs[address] = sorted(found, key=_position)
        return self._logs[address]

    @cached_property
    def _every(self) -> list[Log]:
        return sorted((log for address in (FACTORY, *self._pool_files) for log in self._of(address)), key=_position)

    def _created(self) -> list[Log]:
        """Pair creations: block and tokens were recorded, the transaction mostly was not."""
        return [
            Log(
                address=FACTORY,
                topics=(TOPIC_PAIR_CREATED, "0x" + word(pair["token0"]), "0x" + word(pair["token1"])),
                data="0x" + word(address) + word(pair.get("pair_index", 0)),
                block=int(pair["creation"]),
                log_index=pair.get("log_index"),
                transaction=pair.get("transaction_hash"),
                transaction_index=pair.get("transaction_index"),
            )
            for address, pair in self._pairs.items()
            # The table also lists pools of which nothing else was recorded.
            if pair.get("creation") is not None and address in self._pool_files
        ]

    def head(self) -> int | None:
        """Return the highest block whose time is known."""
        numbers = self._anchors[0]
        return numbers[-1] if numbers else None

    @cached_property
    def _exact(self) -> tuple[list[int], list[int]]:
        pairs = [
            (number, stamp)
            for number, stamp, source in zip(*self._anchors, strict=True)
            if not source.startswith(_INFERRED)
        ]
        return [number for number, _ in pairs], [stamp for _, stamp in pairs]

    def block(self, number: int) -> Block | None:
        """Return a block's time: exact at an exact anchor, else linear between its two neighbours, never beyond."""
        numbers, times, sources = self._anchors
        at = bisect_left(numbers, number)
        if at == len(numbers) or (at == 0 and numbers[0] != number):
            return None
        if numbers[at] == number:
            exact = not sources[at].startswith(_INFERRED)
            error = 0 if exact else self._error_of_inferred(number, times[at])
            return Block(number, times[at], exact, sources[at], error)
        before, after = (numbers[at - 1], times[at - 1]), (numbers[at], times[at])
        stamp, error = interpolate(before, after, number)
        return Block(number, stamp, False, f"interpolated between {before[0]} and {after[0]}", error)

    def _error_of_inferred(self, number: int, stamp: int) -> int | None:
        """Return how far an inferred time may be off: its distance from the interpolated one and the error of that."""
        numbers, times = self._exact
        at = bisect_left(numbers, number)
        if at in (0, len(numbers)):
            return None
        between, error = interpolate((numbers[at - 1], times[at - 1]), (numbers[at], times[at]), number)
        return abs(stamp - between) + error

    def transactions(self, number: int) -> Sequence[str]:
        """Return the recorded transactions of a block: those that touched a recorded pool."""
        return self._transactions.get(number, [])

    def logs(self, first: int, last: int, addresses: frozenset[str] | None) -> Sequence[Log]:
        """Return the logs of blocks first to last (inclusive), by block and index; addresses in lower case."""
        series = [self._every] if addresses is None else [self._of(address) for address in addresses]
        found: list[Log] = []
        for own in series:
            start = bisect_left(own, first, key=_block)
            found += own[start : bisect_left(own, last + 1, lo=start, key=_block)]
        return sorted(found, key=_position)

    def call(self, address: str, selector: str) -> str | None:
        """Return the answer of token0(), token1() or decimals(), None where it is not known."""
        pair = self._pairs.get(address)
        if pair and selector in (SELECTOR_TOKEN0, SELECTOR_TOKEN1):
            return "0x" + word(pair["token0" if selector == SELECTOR_TOKEN0 else "token1"])
        if selector == SELECTOR_DECIMALS and address in self._decimals:
            return "0x" + word(self._decimals[address])
        return None

    def inventory(self) -> dict[str, Any]:
        """Return the pools with their tokens and creation blocks, and the range of blocks."""
        numbers, _, sources = self._anchors
        pools = []
        for address, paths in sorted(self._pool_files.items()):
            pair = self._pairs.get(address, {})
            pools.append(
                {
                    "pool": address,
                    "token0": pair.get("token0"),
                    "token1": pair.get("token1"),
                    "created": pair.get("creation"),
                    "feeds": sorted(path.parent.name for path in paths),
                }
            )
        tally = Tally()
        tally.add(
            "onchain/uniswap_v2_*",
            sum(address not in self._pairs for address in self._pool_files),
            "pools whose tokens were not recorded: their logs are served, their creation is not",
        )
        tally.add(
            "onchain/uniswap_v2_meta",
            len(self._pairs.keys() - self._pool_files.keys()),
            "pairs of which no event was recorded",
        )
        for name in sorted(p.name for p in self._folder.glob("labels_*")) if self._folder.is_dir() else ():
            tally.add(
                f"onchain/{name}", len(listing(self._folder / name, "*")), "labels by others: no endpoint has them"
            )
        return {
            "pools": pools,
            "blocks": {
                "first": numbers[0] if numbers else None,
                "last": numbers[-1] if numbers else None,
                "exact": sum(not source.startswith(_INFERRED) for source in sources),
            },
            "unserved": tally.to_list(),
        }


def _block(log: Log) -> int:
    return log.block


def _position(log: Log) -> tuple[int, int]:
    return log.block, log.log_index or 0


def _log(event: dict[str, Any]) -> Log:
    args = event["args"]
    match event["event"]:
        case "Sync":
            topics: tuple[str, ...] = (TOPIC_SYNC,)
            data = word(args["reserve0"]) + word(args["reserve1"])
        case "Transfer":
            topics = (TOPIC_TRANSFER, "0x" + word(args["from"]), "0x" + word(args["to"]))
            data = word(args["value"])
        case "Mint":
            topics = (TOPIC_MINT, "0x" + word(args["sender"]))
            data = word(args["amount0"]) + word(args["amount1"])
        case "Burn":
            topics = (TOPIC_BURN, "0x" + word(args["sender"]), "0x" + word(args["to"]))
            data = word(args["amount0"]) + word(args["amount1"])
        case other:
            expected = "Sync, Transfer, Mint or Burn"
            raise ValueError(f"{event['transactionHash']}: event {other!r}: expected {expected}")
    return Log(
        address=event["address"].lower(),
        topics=topics,
        data="0x" + data,
        block=event["blockNumber"],
        log_index=event["logIndex"],
        transaction=event["transactionHash"],
        transaction_index=event["transactionIndex"],
    )
