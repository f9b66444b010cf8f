"""From logs to records: the time of each log is that of its block, and its block is the one the node has there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from signaldelta_assets.contracts import RawRecord
from signaldelta_assets.errors import RecordError

from ..base import Batch, CollectContext
from ..transport import Fetched
from .node import Node
from .parsers import Header, LogEntry

_DAYS_AT_A_TIME = 31

# The body a log stands in, the log, whose record it makes, of which source type, and the payload but for its time.
Named = tuple[Fetched, LogEntry, str, str, dict[str, Any]]


def stamped(context: CollectContext, node: Node, day: date, logs: Sequence[Named], batch: Batch) -> Iterator[RawRecord]:
    """Yield the records of `logs` in the order of the chain; those that cannot be dated are quarantined in `batch`.

    A log of another block than the one with that number now was reorganised between two answers: it never happened.
    """
    headers = node.headers(sorted({log.block for _, log, _, _, _ in logs}))
    for fetched, log, entity_id, source_type, payload in sorted(logs, key=_position):
        header = headers[log.block][1]
        try:
            moment, time = _time(log, header, day)
        except RecordError as error:
            batch.quarantined.append(context.refuse(error, source_type, fetched, fetched.url, day))
            continue
        context.counts[f"times_{time['precision']}"] += 1
        yield context.record(
            fetched,
            source_type=source_type,
            entity_id=entity_id,
            natural_key=log.natural_key,
            payload=payload | {"time": time},
            event_time=moment,
        )


def worth_writing(batch: Batch) -> bool:
    """Return whether a day's batch should be written now: days without anything are written by the month."""
    return bool(batch.records or batch.quarantined) or batch.done == batch.total or batch.done % _DAYS_AT_A_TIME == 0


def _time(log: LogEntry, header: Header | RecordError, day: date) -> tuple[Any, dict[str, Any]]:
    if isinstance(header, RecordError):
        raise RecordError(log.record, f"block.{header.field}", header.expected, header.found)
    if None not in (log.block_hash, header.hash) and log.block_hash != header.hash:
        raise RecordError(log.record, "blockHash", f"{header.hash}, the hash of block {log.block}", log.block_hash)
    if header.moment.date() != day:
        raise RecordError(log.record, "blockNumber", f"a block of {day}, as was asked for", log.block)
    return header.moment, header.time


def _position(named: Named) -> tuple[int, int, str]:
    return named[1].block, named[1].log_index or 0, named[2]
