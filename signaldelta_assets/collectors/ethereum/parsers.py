"""A node's answers to values: headers and logs in, payloads out. Pure.

Addresses and hashes are lower case with 0x. Amounts go to 2**256 and are text in payloads, block numbers are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from signaldelta_assets.errors import RecordError

FACTORY = "0x5c69bee701ef814a2b6a3edd4b1652cb9cc5aa6f"
# Keccak-256 of the events' signatures in the contracts of Uniswap V2.
TOPIC_PAIR_CREATED = "0x0d3648bd0f6ba80134a33ba9275ac585d9d315f0ad8355cddefde31afa28d0e9"
TOPIC_SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
TOPIC_TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TOPIC_MINT = "0x4c209b5fc8ad50758f13e2e1088ba56a560dff690a1c6fef26394f4c03821c4f"
TOPIC_BURN = "0xdccd412f0b1252819cb1fd330b93224ca42612892bb3f4f789976e6d81936496"

_HASH = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,12})")
# What JSON holds as one number for every reader (RFC 8785): 53 bits.
_LARGEST_WHOLE = 2**53 - 1
# Times before the year 2100; the first block of all has the time 0.
_TIMES = range(4_102_444_800)
# The contract keeps reserves in 112 bits.
_RESERVE_LIMIT = 2**112


@dataclass(frozen=True, slots=True)
class Header:
    """A block's number, hash (None where the node does not give it) and time.

    `time` is the payload's member of that name: precision, error_seconds, source.
    """

    number: int
    hash: str | None
    moment: datetime
    time: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event log: who emitted it, its topics and 32-byte words, and where it stands."""

    record: str
    address: str
    topics: tuple[str, ...]
    words: tuple[int, ...]
    block: int
    block_hash: str | None
    log_index: int | None
    transaction: str | None
    transaction_index: int | None

    @property
    def natural_key(self) -> str:
        """The place on the chain as text: text order is chain order."""
        return f"{self.block:012d}:{self.log_index or 0:06d}"

    @property
    def place(self) -> dict[str, Any]:
        """The members that every payload of a log of a pool begins with."""
        return {
            "block": self.block,
            "log_index": self.log_index,
            "transaction": self.transaction,
            "transaction_index": self.transaction_index,
        }


def parse_header(block: Any, number: int) -> Header:
    """Return the header in the answer for block `number`. Raises RecordError.

    A replayed archive says in a member of its own, `signaldelta`, whether it knows the time or has interpolated it.
    """
    record = f"block:{number}"
    row = _object(record, block)
    if _quantity(record, row, "number") != number:
        raise RecordError(record, "number", hex(number), row.get("number"))
    about = row.get("signaldelta")
    time: dict[str, Any] = {"precision": "second", "error_seconds": 0, "source": "header"}
    if about is not None:
        about = _object(record, about)
        source = about.get("source") or "header"
        if not isinstance(source, str):
            raise RecordError(record, "signaldelta.source", "a text", source)
        time["source"] = source
        if about.get("exact") is not True:
            error = about.get("error_seconds")
            if isinstance(error, bool) or not isinstance(error, int) or not 0 <= error <= _LARGEST_WHOLE:
                raise RecordError(record, "signaldelta.error_seconds", "whole seconds of an interpolated time", error)
            time |= {"precision": "interpolated", "error_seconds": error}
    stamp = _quantity(record, row, "timestamp")
    if stamp not in _TIMES:
        raise RecordError(record, "timestamp", "seconds of the epoch, before the year 2100", row.get("timestamp"))
    return Header(number, _hash(record, row, "hash"), datetime.fromtimestamp(stamp, UTC), time)


def is_removed(log: Any) -> bool:
    """Return whether the node itself says that a reorganisation took this log back."""
    return isinstance(log, dict) and log.get("removed") is True


def parse_log(log: Any, record: str) -> LogEntry:
    """Return the parts of one log. Raises RecordError; `record` names it until its place is known."""
    row = _object(record, log)
    address = _text(record, row, "address").lower()
    if not _ADDRESS.fullmatch(address):
        raise RecordError(record, "address", "20 bytes in hexadecimal", address)
    block = _quantity(record, row, "blockNumber")
    index = None if row.get("logIndex") is None else _quantity(record, row, "logIndex")
    record = f"{address}:{block}:{'' if index is None else index}"
    topics = row.get("topics")
    if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
        raise RecordError(record, "topics", "a list of 32-byte words", topics)
    for topic in topics:
        if not _HASH.fullmatch(topic.lower()):
            raise RecordError(record, "topics", "32-byte words in hexadecimal", topic)
    data = _text(record, row, "data").lower()
    if not re.fullmatch(r"0x([0-9a-f]{64})*", data):
        raise RecordError(record, "data", "32-byte words in hexadecimal", data)
    return LogEntry(
        record=record,
        address=address,
        topics=tuple(topic.lower() for topic in topics),
        words=tuple(int(data[at : at + 64], 16) for at in range(2, len(data), 64)),
        block=block,
        block_hash=_hash(record, row, "blockHash"),
        log_index=index,
        transaction=_hash(record, row, "transactionHash"),
        transaction_index=None if row.get("transactionIndex") is None else _quantity(record, row, "transactionIndex"),
    )


def pair_created(log: LogEntry) -> dict[str, Any]:
    """Return what a PairCreated log says: pool, tokens in the contract's order, number of the pair, its place.

    Pairs are numbered from 1; a number of 0 stands for one that was not recorded. Raises RecordError.
    """
    _shape(log, topics=3, words=2)
    pool = _address_of(log, "pair", log.words[0])
    token0, token1 = (
        _address_of(log, name, int(topic, 16)) for name, topic in zip(_TOKENS, log.topics[1:], strict=True)
    )
    if log.words[1] > _LARGEST_WHOLE:
        raise RecordError(log.record, "data", "the number of a pair", log.words[1])
    if token0 >= token1:
        raise RecordError(log.record, "token0", "an address below that of token1", f"{token0} {token1}")
    return {
        "pool": pool,
        "token0": token0,
        "token1": token1,
        "pair_index": log.words[1] or None,
        "block": log.block,
        "log_index": log.log_index,
        "transaction": log.transaction,
    }


_TOKENS = ("token0", "token1")


def _sync(log: LogEntry) -> dict[str, Any]:
    _shape(log, topics=1, words=2)
    for name, value in zip(("reserve0", "reserve1"), log.words, strict=True):
        if value >= _RESERVE_LIMIT:
            raise RecordError(log.record, name, "less than 2**112", value)
    return {"reserve0": str(log.words[0]), "reserve1": str(log.words[1])}


def _lp_transfer(log: LogEntry) -> dict[str, Any]:
    _shape(log, topics=3, words=1)
    sender, receiver = (
        _address_of(log, name, int(topic, 16)) for name, topic in zip(("from", "to"), log.topics[1:], strict=True)
    )
    return {"sender": sender, "receiver": receiver, "value": str(log.words[0])}


def _mint(log: LogEntry) -> dict[str, Any]:
    _shape(log, topics=2, words=2)
    sender = _address_of(log, "sender", int(log.topics[1], 16))
    return {"sender": sender, "amount0": str(log.words[0]), "amount1": str(log.words[1])}


def _burn(log: LogEntry) -> dict[str, Any]:
    _shape(log, topics=3, words=2)
    sender, to = (
        _address_of(log, name, int(topic, 16)) for name, topic in zip(("sender", "to"), log.topics[1:], strict=True)
    )
    return {"sender": sender, "to": to, "amount0": str(log.words[0]), "amount1": str(log.words[1])}


# What a pool's logs are, by their first topic: the source type, and what its payload says beside the place.
POOL_LOGS: dict[str, tuple[str, Callable[[LogEntry], dict[str, Any]]]] = {
    TOPIC_SYNC: ("uni2_sync", _sync),
    TOPIC_TRANSFER: ("uni2_lp_transfer", _lp_transfer),
    TOPIC_MINT: ("uni2_mint", _mint),
    TOPIC_BURN: ("uni2_burn", _burn),
}


def pool_event(log: LogEntry) -> tuple[str, dict[str, Any]]:
    """Return (source type, payload without its time) of a pool's log. Raises RecordError.

    A log of a pool has an index: its place among the others of its block decides what it means.
    """
    if not log.topics or log.topics[0] not in POOL_LOGS:
        found = log.topics[0] if log.topics else None
        raise RecordError(log.record, "topics", "one of Sync, Transfer, Mint, Burn", found)
    if log.log_index is None:
        raise RecordError(log.record, "logIndex", "the log's place in its block", None)
    source_type, read = POOL_LOGS[log.topics[0]]
    return source_type, log.place | read(log)


def kind_of(log: Any) -> str:
    """Return the source type that a log would have, by its first topic alone; that of a Sync where it has none."""
    topics = log.get("topics") if isinstance(log, dict) else None
    first = topics[0] if isinstance(topics, list) and topics else None
    return POOL_LOGS.get(str(first).lower(), POOL_LOGS[TOPIC_SYNC])[0]


def parse_decimals(answer: Any) -> int | None:
    """Return the decimals in an answer of `decimals()`, None where it is no number that the standard allows."""
    if not isinstance(answer, str) or not _HASH.fullmatch(answer.lower()):
        return None
    value = int(answer, 16)
    return value if value < 256 else None


def parse_quantity(value: Any, record: str) -> int:
    """Return a number on the wire (`0x1b4`). Raises RecordError."""
    return _quantity(record, {"result": value}, "result")


def _shape(log: LogEntry, *, topics: int, words: int) -> None:
    if len(log.topics) != topics:
        raise RecordError(log.record, "topics", f"{topics} topics", len(log.topics))
    if len(log.words) != words:
        raise RecordError(log.record, "data", f"{words} words of 32 bytes", len(log.words))


def _address_of(log: LogEntry, field: str, word: int) -> str:
    if word >= 2**160:
        raise RecordError(log.record, field, "an address of 20 bytes", f"{word:#x}")
    return f"0x{word:040x}"


def _object(record: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecordError(record, "result", "an object", type(value).__name__)
    return value


def _text(record: str, row: dict[str, Any], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise RecordError(record, field, "a text", value)
    return value


def _hash(record: str, row: dict[str, Any], field: str) -> str | None:
    value = row.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or not _HASH.fullmatch(value.lower()):
        raise RecordError(record, field, "32 bytes in hexadecimal", value)
    return value.lower()


def _quantity(record: str, row: dict[str, Any], field: str) -> int:
    value = row.get(field)
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value.lower()):
        raise RecordError(record, field, "a number of up to 52 bits in hexadecimal without leading zeros", value)
    return int(value, 16)
