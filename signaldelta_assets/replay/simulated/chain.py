"""Simulated Uniswap V2 pools: first liquidity, swaps by the constant product, burns; half of them drained.

Written in the layout of the recorded events. Amounts are integers throughout, as on chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from math import isqrt
from typing import Any

from ...versioning import sha256_hex
from .chance import Chance
from .plan import SimulationPlan

WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
LOCKER = "0xE2fE530C047f2d85298b07D9333C05737f1435fB"
ZERO = "0x" + "0" * 40
ETHER = 10**18
# A slot is 12 seconds since the merge; block 20,000,000 was made on 2024-06-01.
_BLOCK, _TIME, _SLOT = 20_000_000, 1_717_281_407, 12


def block_at(moment: datetime) -> int:
    """Return the block of a moment on this chain."""
    return _BLOCK + (int(moment.timestamp()) - _TIME) // _SLOT


def time_of(block: int) -> int:
    """Return a block's time in seconds of the epoch."""
    return _TIME + _SLOT * (block - _BLOCK)


@dataclass(slots=True)
class Pool:
    """A pool while it is being simulated: reserves of quote and token, supply, events so far."""

    address: str
    token: str
    token_first: bool
    created: int
    quote: int = 0
    tokens: int = 0
    supply: int = 0
    syncs: list[dict[str, Any]] = field(default_factory=list)
    transfers: list[dict[str, Any]] = field(default_factory=list)
    drained: int | None = None

    def step(self, block: int, transfers: list[tuple[str, str, int]]) -> None:
        """Write one transaction: LP transfers, then the Sync with the reserves as they are now."""
        digest = sha256_hex(f"{self.address}/{block}/{len(self.syncs)}".encode())
        place, index = int(digest[:2], 16) % 150, int(digest[2:5], 16) % 300
        common = {"transactionIndex": place, "transactionHash": "0x" + digest, "address": self.address.lower()}
        for sender, receiver, value in transfers:
            args: dict[str, Any] = {"from": sender, "to": receiver, "value": value}
            event = {"args": args, "event": "Transfer", "logIndex": index, **common, "blockNumber": block}
            self.transfers.append(event)
            index += 1
        first, second = (self.tokens, self.quote) if self.token_first else (self.quote, self.tokens)
        args = {"reserve0": first, "reserve1": second}
        self.syncs.append({"args": args, "event": "Sync", "logIndex": index, **common, "blockNumber": block})

    def buy(self, block: int, amount: int) -> None:
        """Swap `amount` of the quote for tokens; 0.3 % stays in the pool."""
        paid = amount * 997
        out = paid * self.tokens // (self.quote * 1000 + paid)
        self.quote, self.tokens = self.quote + amount, self.tokens - out
        self.step(block, [])

    def sell(self, block: int, amount: int) -> None:
        """Swap `amount` of tokens for the quote."""
        paid = amount * 997
        out = paid * self.quote // (self.tokens * 1000 + paid)
        self.quote, self.tokens = self.quote - out, self.tokens + amount
        self.step(block, [])

    def burn(self, block: int, owner: str, value: int) -> None:
        """Give back `value` of LP supply for its share of both reserves."""
        self.quote -= self.quote * value // self.supply
        self.tokens -= self.tokens * value // self.supply
        self.supply -= value
        self.step(block, [(owner, self.address, value), (self.address, ZERO, value)])


def _address(*scope: object) -> str:
    return "0x" + sha256_hex("/".join(map(str, scope)).encode())[:40]


def make_pool(plan: SimulationPlan, number: int) -> Pool:
    """Return the `number`-th pool with all its events; every second one is drained in a single burn."""
    chance = Chance(plan.seed, "pool", number)
    drained = number % 2 == 0
    token = _address(plan.seed, "token", number)
    born = datetime.combine(plan.start, time(12), UTC) + timedelta(hours=chance.uniform(24, 24 * (plan.days - 30)))
    pool = Pool(_address(plan.seed, "pool", number), token, int(token, 16) < int(WETH, 16), block_at(born))
    owner = _address(plan.seed, "owner", number)
    pool.quote, pool.tokens = chance.integer(8, 40) * ETHER, chance.integer(1, 900) * 10**6 * ETHER
    pool.supply = isqrt(pool.quote * pool.tokens)
    held = pool.supply - 1000
    block = pool.created + chance.integer(1, 5)
    # The first thousand wei of supply go to nobody for ever.
    pool.step(block, [(ZERO, ZERO, 1000), (ZERO, owner, held)])
    if not drained and chance.happens(0.7):
        block += chance.integer(1, 20)
        pool.step(block, [(owner, LOCKER, held * 95 // 100)])
    for _ in range(chance.integer(50, 110)):
        block += chance.integer(2, 30) if drained else chance.integer(20, 300)
        # Of a drained pool's swaps nearly all are purchases.
        if chance.happens(0.97 if drained else 0.52):
            pool.buy(block, pool.quote * chance.integer(5, 40) // 1000)
        else:
            pool.sell(block, pool.tokens * chance.integer(5, 30) // 1000)
    if drained:
        block += chance.integer(5, 60)
        pool.burn(block, owner, held * chance.integer(960, 999) // 1000)
        pool.drained = block
    return pool


def anchors(plan: SimulationPlan, pools: list[Pool]) -> str:
    """Return the table of block times: every block with an event, and both ends of the window."""
    edges = [datetime.combine(plan.start, time(0), UTC), datetime.combine(plan.end, time(0), UTC) + timedelta(days=1)]
    blocks = {block_at(edge) for edge in edges} | {pool.created for pool in pools}
    blocks |= {event["blockNumber"] for pool in pools for event in pool.syncs}
    lines = [f"{block},{time_of(block)},simulated" for block in sorted(blocks)]
    return "block_number,unix_timestamp,source\n" + "\n".join(lines) + "\n"


def pool_table(pools: list[Pool]) -> dict[str, Any]:
    """Return the pool table of the recorded layout, with the creating transaction."""
    table = {}
    for number, pool in enumerate(pools):
        first, second = (pool.token, WETH) if pool.token_first else (WETH, pool.token)
        table[pool.address] = {
            "address": pool.address,
            "dex": "uniswap_v2",
            "token0": first,
            "token1": second,
            "creation": pool.created,
            "pair_index": 300_000 + number,
            "transaction_hash": "0x" + sha256_hex(f"created/{pool.address}".encode()),
            "transaction_index": 7,
            "log_index": 21,
        }
    return table


def decimals(pools: list[Pool]) -> str:
    """Return the table of token decimals."""
    return "token_address,decimals\n" + "".join(f"{token},18\n" for token in [WETH, *(pool.token for pool in pools)])
