"""Simulated Uniswap V2 pools: first liquidity, swaps by the constant product, burns; half of them drained.

Written in the layout of the recorded events, Mint and Burn besides. Amounts are integers throughout, as on chain.
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
ROUTER = "0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D"
ETHER = 10**18
# A slot is 12 seconds since the merge; block 20,000,000 was made on 2024-06-01.
_BLOCK, _TIME, _SLOT = 20_000_000, 1_717_281_407, 12
_BLOCKS_A_DAY = 86_400 // _SLOT
# The rules that the traces are made for (signals.md 4.6): swaps until a flow counts as one-way, blocks until the first
# holder of a new pool's liquidity is looked at.
_ONE_WAY, _SETTLED = 20, 300


def block_at(moment: datetime) -> int:
    """Return the block of a moment on this chain."""
    return _BLOCK + (int(moment.timestamp()) - _TIME) // _SLOT


def time_of(block: int) -> int:
    """Return a block's time in seconds of the epoch."""
    return _TIME + _SLOT * (block - _BLOCK)


@dataclass(slots=True)
class Pool:
    """A pool while it is being simulated: reserves of quote and token, supply, events so far.

    `traces` are the signals planted in it, each with its block; `drained` is the block that ends it.
    """

    address: str
    token: str
    token_first: bool
    created: int
    quote: int = 0
    tokens: int = 0
    supply: int = 0
    syncs: list[dict[str, Any]] = field(default_factory=list)
    transfers: list[dict[str, Any]] = field(default_factory=list)
    mints: list[dict[str, Any]] = field(default_factory=list)
    burns: list[dict[str, Any]] = field(default_factory=list)
    traces: list[tuple[str, int]] = field(default_factory=list)
    led: bool = False
    drained: int | None = None

    def step(self, block: int, transfers: list[tuple[str, str, int]], liquidity: Liquidity | None = None) -> None:
        """Write one transaction: LP transfers, the Sync with the reserves as they are now, then Mint or Burn."""
        digest = sha256_hex(f"{self.address}/{block}/{len(self.syncs)}".encode())
        place, index = int(digest[:2], 16) % 150, int(digest[2:5], 16) % 300
        common = {"transactionIndex": place, "transactionHash": "0x" + digest, "address": self.address.lower()}

        def event(kind: str, args: dict[str, Any]) -> dict[str, Any]:
            nonlocal index
            index += 1
            return {"args": args, "event": kind, "logIndex": index - 1, **common, "blockNumber": block}

        for sender, receiver, value in transfers:
            self.transfers.append(event("Transfer", {"from": sender, "to": receiver, "value": value}))
        first, second = self._ordered(self.quote, self.tokens)
        self.syncs.append(event("Sync", {"reserve0": first, "reserve1": second}))
        if liquidity is not None:
            amount0, amount1 = self._ordered(liquidity.quote, liquidity.tokens)
            args: dict[str, Any] = {"sender": ROUTER, "amount0": amount0, "amount1": amount1}
            if liquidity.to is None:
                self.mints.append(event("Mint", args))
            else:
                self.burns.append(event("Burn", {**args, "to": liquidity.to}))

    def _ordered(self, quote: int, tokens: int) -> tuple[int, int]:
        return (tokens, quote) if self.token_first else (quote, tokens)

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

    def burn(self, block: int, owner: str, value: int, before: list[tuple[str, str, int]] | None = None) -> None:
        """Give back `value` of LP supply for its share of both reserves, after the transfers `before`."""
        quote, tokens = self.quote * value // self.supply, self.tokens * value // self.supply
        self.quote, self.tokens, self.supply = self.quote - quote, self.tokens - tokens, self.supply - value
        transfers = [*(before or ()), (owner, self.address, value), (self.address, ZERO, value)]
        self.step(block, transfers, Liquidity(quote, tokens, owner))


@dataclass(frozen=True, slots=True)
class Liquidity:
    """What a mint brings, or a burn gives back to `to`."""

    quote: int
    tokens: int
    to: str | None = None


def _address(*scope: object) -> str:
    return "0x" + sha256_hex("/".join(map(str, scope)).encode())[:40]


def make_pool(plan: SimulationPlan, number: int) -> Pool:
    """Return the `number`-th pool with all its events; every second one is drained in a single burn.

    Of the drained ones a share shows traces before (`plan.pool_drain`): purchases and no sale, liquidity nobody has
    locked or that a locker gives back, a price run up, a first withdrawal. Of the others some show the same for
    nothing. All the rest is traded both ways.
    """
    chance, effect = Chance(plan.seed, "pool", number), plan.pool_drain
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
    transfers = [(ZERO, ZERO, 1000), (ZERO, owner, held)]
    pool.step(block, transfers, Liquidity(pool.quote, pool.tokens))
    traced = chance.happens(effect.share if drained else effect.decoys)
    pool.led = traced and drained
    if traced:
        block, held = _trace(plan, pool, owner, held, block, chance)
    elif not drained and chance.happens(0.7):
        block += chance.integer(1, 20)
        pool.step(block, [(owner, LOCKER, held * 95 // 100)])
    elif not drained:
        pool.traces.append(("S045", block + _SETTLED))
    else:
        # Two hands hold half each, so that nobody holds it all before the last transaction.
        block += chance.integer(1, 20)
        pool.step(block, [(owner, _address(plan.seed, "partner", number), held // 2)])
    if not pool.led:
        block = _trade(pool, block, chance)
    if drained:
        block += chance.integer(5, 60)
        partner = [] if pool.led else [(_address(plan.seed, "partner", number), owner, held // 2)]
        pool.burn(block, owner, held * chance.integer(960, 999) // 1000, partner)
        pool.drained = block
    return pool


def _trade(pool: Pool, block: int, chance: Chance) -> int:
    """Trade both ways, one sale in four at the least; return the last block."""
    for count in range(chance.integer(50, 110)):
        block += chance.integer(20, 300)
        if count % 4 != 3 and chance.happens(0.68):
            pool.buy(block, pool.quote * chance.integer(4, 20) // 1000)
        else:
            pool.sell(block, pool.tokens * chance.integer(4, 20) // 1000)
    return block


def _trace(plan: SimulationPlan, pool: Pool, owner: str, held: int, block: int, chance: Chance) -> tuple[int, int]:
    """Let the traces of a drain happen; return the block at which the lead is over, and what the owner still holds."""
    effect = plan.pool_drain
    locked = held * 95 // 100 if chance.happens(0.3) else 0
    if locked:
        block += chance.integer(1, 20)
        pool.step(block, [(owner, LOCKER, locked)])
    else:
        pool.traces.append(("S045", block + _SETTLED))
    for _ in range(_ONE_WAY):
        block += chance.integer(2, 30)
        pool.buy(block, pool.quote * chance.integer(2, 10) // 1000)
    pool.traces.append(("S044", block))
    lead = min(max(chance.lognormal(effect.median_days, effect.spread), effect.shortest), effect.longest)
    end = block + int(lead * _BLOCKS_A_DAY)
    pumped = block + int((end - block) * chance.uniform(0.2, 0.4)) if chance.happens(0.5) else None
    partly = block + int((end - block) * chance.uniform(0.45, 0.6))
    while (block := block + chance.integer(100, 200)) < end:
        if pumped is not None and block >= pumped:
            # Half as much quote again as there was in the pool, and then some: the price goes up fourfold or more.
            pool.buy(block, pool.quote * chance.integer(1050, 1300) // 1000)
            pool.traces.append(("S054", block))
            pumped = None
        elif partly and block >= partly:
            if locked:
                pool.step(block, [(LOCKER, owner, locked)])
                pool.traces.append(("S050", block))
                block += chance.integer(2, 20)
            value = held * chance.integer(150, 400) // 1000
            pool.burn(block, owner, value)
            pool.traces.append(("S049", block))
            held, partly = held - value, 0
        else:
            pool.buy(block, pool.quote * chance.integer(2, 8) // 1000)
    return end, held


def anchors(plan: SimulationPlan, pools: list[Pool]) -> str:
    """Return the table of block times: every block with an event, and a day before and after the window.

    The chain goes on beyond the window: its first and last day can be told apart from their neighbours.
    """
    eve = datetime.combine(plan.start, time(0), UTC) - timedelta(days=1)
    edges = [eve, datetime.combine(plan.end, time(0), UTC) + timedelta(days=2)]
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
