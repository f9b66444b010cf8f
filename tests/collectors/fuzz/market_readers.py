"""The readers of the market-data vendor's pages and of a node's answers, see `readers`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from signaldelta_assets.collectors.ethereum.parsers import (
    pair_created,
    parse_decimals,
    parse_header,
    parse_log,
    parse_quantity,
    pool_event,
)
from signaldelta_assets.collectors.ethereum.protocol import RpcError, read_answers
from signaldelta_assets.collectors.polygon import lines
from signaldelta_assets.collectors.polygon import parsers as polygon
from signaldelta_assets.collectors.polygon.dividends import known_at
from signaldelta_assets.collectors.polygon.identity import named_on
from signaldelta_assets.contracts import RawRecord
from signaldelta_assets.errors import RecordError

from .making import OBSERVED, Out, Reader, record_of


def _bars(read: Callable[..., Any], at: str) -> Reader:
    def reader(body: bytes, record: str) -> Out:
        page = polygon.parse_page(body, record)
        for bar in read(page, record, record):
            if isinstance(bar, RecordError):
                yield bar
                continue
            named_on(page.document, date.fromisoformat(bar["session"]))
            assert bar["volume"] >= 0
            assert min(bar[name] for name in ("open", "high", "low", "close")) > 0
            yield record_of(at, f"{record}|{bar.get('start') or bar['session']}|{bar['vintage']}", bar, None)

    return reader


def _rows(read: Callable[[Any, str], RawRecord | None]) -> Reader:
    def reader(body: bytes, record: str) -> Out:
        for number, row in enumerate(polygon.parse_page(body, record).rows):
            try:
                made = read(row, f"{record}:{number}")
            except RecordError as error:
                yield error
                continue
            if made is not None:
                yield made

    return reader


def _dividend(row: Any, record: str) -> RawRecord:
    payload = polygon.dividend(row, record)
    return record_of("dividend", payload["vendor_id"] or record, payload, known_at(payload)[0])


def _split(row: Any, record: str) -> RawRecord:
    payload = polygon.split(row, record)
    return record_of("split", f"{payload['ticker']}|{payload['execution_date']}", payload, None)


def _earnings(row: Any, record: str) -> RawRecord | None:
    payload = polygon.earnings(row, record)
    if payload is None:
        return None
    named_on(row, date.fromisoformat(payload["date"]))
    fiscal = f"{payload['ticker']}|{payload['fiscal_period'] or ''}{payload['fiscal_year'] or ''}"
    released = payload["released_at"] and datetime.fromisoformat(payload["released_at"])
    return record_of("earnings_actual", payload["vendor_id"] or fiscal, payload, released)


def _line(row: Any, record: str) -> RawRecord:
    found = lines.line(row, record)
    # What a line names becomes paths and keys of tables.
    assert found.ticker.isprintable() and hash(found) is not None
    own = lines.spells(found, (), OBSERVED.date(), record)
    return record_of(
        "ticker_reference", f"{found.share_class}|{found.ticker}", {"spells": [str(one) for one in own]}, None
    )


def details(body: bytes, record: str) -> Out:
    yield _line(lines.reference_object(body, record), record)


def history(body: bytes, record: str) -> Out:
    changes = lines.ticker_changes(lines.reference_object(body, record), record)
    yield record_of("ticker_reference", record, {"changes": [[str(day), ticker] for day, ticker in changes]}, None)


# --- a node ---------------------------------------------------------------------------------------------------------


def _answers(read: Callable[[Any, str], Any]) -> Reader:
    def reader(body: bytes, record: str) -> Out:
        for name, answer in read_answers(body, record).items():
            for number, one in enumerate(answer if isinstance(answer, list) else [answer]):
                if isinstance(one, RpcError):
                    assert one.narrowed(1, 100) is None or 1 <= (one.narrowed(1, 100) or 0) < 100
                    continue
                try:
                    made = read(one, record)
                    yield made
                except RecordError as error:
                    yield error
                assert name is not None and number >= 0

    return reader


def _block(answer: Any, record: str) -> RawRecord:
    number = int(record)
    found = parse_header(answer, number)
    payload = {"number": found.number, "hash": found.hash, "time": found.time}
    return record_of("chain_block", f"{found.number:012d}", payload, found.moment)


def _pool_log(answer: Any, record: str) -> RawRecord:
    log = parse_log(answer, record)
    source_type, payload = pool_event(log)
    return record_of(source_type, log.natural_key, payload, None)


def _pair_log(answer: Any, record: str) -> RawRecord:
    log = parse_log(answer, record)
    return record_of("uni2_pair", log.natural_key, pair_created(log), None)


def _number(answer: Any, record: str) -> RawRecord:
    found = {"decimals": parse_decimals(answer), "number": parse_quantity(answer, record)}
    return record_of("number", "n", found, None)


MARKET_READERS: dict[str, Reader] = {
    "daily_bars": _bars(polygon.bars, "daily_bar"),
    "hourly_bars": _bars(polygon.hours, "hourly_bar"),
    "dividends": _rows(_dividend),
    "splits": _rows(_split),
    "earnings": _rows(_earnings),
    "tickers": _rows(_line),
    "details": details,
    "history": history,
    "block": _answers(_block),
    "pool_logs": _answers(_pool_log),
    "pair_logs": _answers(_pair_log),
    "numbers": _answers(_number),
}
