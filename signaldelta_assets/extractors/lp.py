"""LP tokens of a pool: transfers as moves, balances and supply from the first mint on (signals.md 4.6).

A balance follows from all transfers before it. A pool is therefore judged only while its whole life lies in the look-
back; it begins with the minimum liquidity, 1,000 units minted from zero to zero. Zero can only mint, and what the
pool sends to zero is burned; what anybody else sends there stays in the supply, out of reach.

A transaction is one moment: it is judged once, with all of its records that were available together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from .base import Extraction
from .frames import Record, by_entity, first_available, rows

ZERO = "0x" + "0" * 40
MINIMUM_LIQUIDITY = 1000
# A header stands after all logs of its block.
END_OF_BLOCK = 1 << 40


@dataclass(frozen=True, slots=True)
class Moment:
    """The records of one transaction that were available together, in chain order; the last is the trigger."""

    records: tuple[Record, ...]

    @property
    def last(self) -> Record:
        """The record with which the transaction was complete."""
        return self.records[-1]

    @property
    def moves(self) -> list[Record]:
        """Its transfers of LP tokens."""
        return [record for record in self.records if record.source_type == "uni2_lp_transfer"]

    @property
    def block(self) -> int:
        """The block of the transaction."""
        return int(self.last.payload["block"])


def place(record: Record) -> tuple[int, int]:
    """Return where a log stands in the chain."""
    return int(record.payload["block"]), int(record.payload["log_index"])


@dataclass
class Ledger:
    """Balances and supply of one pool's LP tokens, in smallest units.

    `complete` turns False where the history does not begin with the first mint, or where one sends more than they had.
    """

    pool: str
    balances: dict[str, int] = field(default_factory=dict)
    supply: int = 0
    complete: bool = True
    first: Record | None = None

    def apply(self, move: Record) -> None:
        """Book one transfer."""
        sender, receiver = str(move.payload["sender"]), str(move.payload["receiver"])
        value = int(str(move.payload["value"]))
        if self.first is None:
            self.first = move
            self.complete = (sender, receiver, value) == (ZERO, ZERO, MINIMUM_LIQUIDITY)
        if sender == ZERO:
            self.supply += value
        else:
            left = self.balances.get(sender, 0) - value
            self.complete &= left >= 0
            self.balances[sender] = left
        if sender == self.pool and receiver == ZERO:
            self.supply -= value
        else:
            self.balances[receiver] = self.balances.get(receiver, 0) + value

    def share(self, holder: str) -> float:
        """Return what part of the supply `holder` has."""
        return self.balances.get(holder, 0) / self.supply if self.supply else 0.0

    def reaches(self, trigger: Record, lookback: int) -> bool:
        """Return True where the whole history lies in the look-back (microseconds) of the trigger."""
        return self.complete and self.first is not None and self.first.t >= trigger.t - lookback


def moments(records: Sequence[Record]) -> list[Moment]:
    """Return the records of one pool as moments in chain order."""
    grouped: dict[tuple[str, int], list[Record]] = {}
    for record in sorted(records, key=place):
        grouped.setdefault((str(record.payload["transaction"]), record.k), []).append(record)
    return sorted((Moment(tuple(own)) for own in grouped.values()), key=lambda moment: place(moment.last))


def seen_by(own: Sequence[Moment], trigger: Moment) -> list[Moment]:
    """Return the moments that `trigger` may see, itself last: not later in the chain, in time or in availability."""
    here = place(trigger.last)
    return [
        moment
        for moment in own
        if place(moment.last) <= here and moment.last.k <= trigger.last.k and moment.last.t <= trigger.last.t
    ]


def late(own: Sequence[Moment]) -> set[int]:
    """Return the places of the moments before which one stands that was available or happened later."""
    found, k, t = set(), -1, -1
    for at, moment in enumerate(own):
        if k > moment.last.k or t > moment.last.t:
            found.add(at)
        k, t = max(k, moment.last.k), max(t, moment.last.t)
    return found


def _readable(payload: Mapping[str, Any]) -> bool:
    value = payload.get("value", "0")
    return str(value).isascii() and str(value).isdigit()


def pools(records: pd.DataFrame, counts: Counter[str]) -> Iterator[tuple[str, list[Moment]]]:
    """Yield each pool's address with its moments; transfers without a readable value are counted."""
    frame = first_available(records, counts)
    readable = frame["payload"].map(_readable).astype(bool)
    counts["unreadable_value"] += int((~readable & frame["is_trigger"]).sum())
    for entity, own in sorted(by_entity(rows(frame[readable])).items()):
        yield entity.removeprefix("eth:"), moments(own)


@dataclass(frozen=True)
class Finding:
    """What a judge says of a moment: `why` there is no event, or "" and the holder, their share of the supply."""

    why: str
    holder: str = ""
    share: float = 0.0
    supply: int = 0


class Judge(Protocol):
    """Takes the moments of one pool in order and judges each by what came before."""

    def judge(self, moment: Moment) -> Finding:
        """Take the moment in and return what it says."""
        ...


@dataclass(frozen=True)
class Headers:
    """The block headers of a prepared frame, ascending by number."""

    numbers: npt.NDArray[np.int64]
    k: npt.NDArray[np.int64]
    frame: pd.DataFrame

    @classmethod
    def of(cls, records: pd.DataFrame) -> Headers:
        """Return the headers among the records."""
        frame = first_available(records[records["source_type"] == "chain_block"], Counter())
        numbers = np.asarray([payload["number"] for payload in frame["payload"]], dtype=np.int64)
        order = np.argsort(numbers, kind="stable")
        return cls(numbers[order], frame["k"].to_numpy(np.int64)[order], frame.iloc[order])

    def reached(self, block: int, entity_id: str) -> list[Moment]:
        """Return with which headers it was known that the chain had reached a block, as moments of that entity.

        That is the first header at or after the block, and before it in the chain those that came later.
        """
        start = int(np.searchsorted(self.numbers, block))
        k = self.k[start:]
        first = np.flatnonzero(k < np.concatenate([[np.iinfo(np.int64).max], np.minimum.accumulate(k)[:-1]]))
        found = []
        for header in rows(self.frame.iloc[start + first]):
            payload = {
                "block": int(header.payload["number"]),
                "log_index": END_OF_BLOCK,
                "transaction": header.natural_key,
            }
            found.append(Moment((replace(header, entity_id=entity_id, payload=payload),)))
        return found


def findings(
    records: pd.DataFrame, judge_of: Callable[[str], Judge], out: Extraction, settle: int | None = None
) -> Iterator[tuple[Moment, Finding, list[Record]]]:
    """Yield the triggers at which a judge finds something, with all transfers known by then; count the others.

    With `settle` a pool is also judged as soon as a header shows that many blocks to have passed since its first mint.
    """
    headers = Headers.of(records) if settle is not None else None
    for pool, own in pools(records[records["source_type"] == "uni2_lp_transfer"], out.counts):
        if headers is not None and settle is not None:
            own += headers.reached(own[0].block + settle, own[0].last.entity_id)
            own.sort(key=lambda moment: place(moment.last))
        slow = late(own)
        walk = judge_of(pool)
        for at, moment in enumerate(own):
            found, past = walk.judge(moment), own[: at + 1]
            if not moment.last.is_trigger:
                continue
            if at in slow:
                past, again = seen_by(own, moment), judge_of(pool)
                found = [again.judge(one) for one in past][-1]
            if found.why:
                out.counts[found.why] += 1
            else:
                yield moment, found, [move for one in past for move in one.moves]
