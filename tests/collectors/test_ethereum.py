"""The chain: its parsers and protocol on small values, then the collectors over the real server and both archives."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.collectors import (
    CollectionFailedError,
    CollectorRunReport,
    Window,
    registered_collectors,
    run_collector,
)
from signaldelta_assets.collectors.ethereum.parsers import (
    TOPIC_BURN,
    TOPIC_MINT,
    TOPIC_SYNC,
    TOPIC_TRANSFER,
    parse_decimals,
    parse_header,
    parse_log,
    pool_event,
)
from signaldelta_assets.collectors.ethereum.protocol import RpcError, rate_limited
from signaldelta_assets.contracts import Pool
from signaldelta_assets.errors import DocumentError, RecordError
from signaldelta_assets.replay.archive import Block, Log
from signaldelta_assets.replay.recorded import RecordedArchive
from signaldelta_assets.replay.recorded import chain as recorded
from signaldelta_assets.replay.server import ReplayServer
from signaldelta_assets.replay.simulated import SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import reference
from tests.collectors.conftest import rows_of, settings_for
from tests.paths import DATA, needs_data

POOL, WETH = "0x" + "ab" * 20, "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
NAMES = ("ethereum/pairs", "ethereum/pool_events", "ethereum/blocks")


def word(value: int) -> str:
    return f"{value:064x}"


def wire(topics: Sequence[str] = (TOPIC_SYNC,), words: Sequence[int] = (5, 2**80), **more: Any) -> dict[str, Any]:
    row = {
        "address": POOL.upper().replace("X", "x"),
        "topics": list(topics),
        "data": "0x" + "".join(map(word, words)),
        "blockNumber": "0xa",
        "blockHash": None,
        "transactionHash": "0x" + "CD" * 32,
        "transactionIndex": "0x1",
        "logIndex": "0x2",
        "removed": False,
    }
    return row | more


# --- values


def test_a_log_is_read_to_the_last_digit_and_keyed_in_the_order_of_the_chain() -> None:
    log = parse_log(wire(words=(2**112 - 1, 2**80 + 1)), "log")
    assert log.natural_key == "000000000010:000002"
    assert pool_event(log) == (
        "uni2_sync",
        {
            "block": 10,
            "log_index": 2,
            "transaction": "0x" + "cd" * 32,
            "transaction_index": 1,
            "reserve0": str(2**112 - 1),
            "reserve1": str(2**80 + 1),
        },
    )
    a, b = "0x" + word(0x11), "0x" + word(0x22)
    one, two = f"0x{0x11:040x}", f"0x{0x22:040x}"
    for topics, words, kind, expected in (
        ((TOPIC_TRANSFER, a, b), (7,), "uni2_lp_transfer", {"sender": one, "receiver": two, "value": "7"}),
        ((TOPIC_MINT, a), (7, 8), "uni2_mint", {"sender": one, "amount0": "7", "amount1": "8"}),
        ((TOPIC_BURN, a, b), (7, 8), "uni2_burn", {"sender": one, "to": two, "amount0": "7", "amount1": "8"}),
    ):
        source_type, payload = pool_event(parse_log(wire(topics, words), "log"))
        assert (source_type, {k: v for k, v in payload.items() if k in expected}) == (kind, expected)
        assert ("to" in payload) == (kind == "uni2_burn")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"address": "0x12"}, "address"),
        ({"blockNumber": "10"}, "blockNumber"),
        ({"blockNumber": None}, "blockNumber"),
        ({"logIndex": None}, "logIndex"),
        ({"topics": []}, "topics"),
        ({"topics": ["0x" + "0" * 64]}, "topics"),
        ({"topics": [TOPIC_SYNC, TOPIC_SYNC]}, "topics"),
        ({"data": "0x" + word(1)}, "data"),
        ({"data": "0x123"}, "data"),
        ({"data": "0x" + word(1) + word(2**112)}, "reserve1"),
        ({"transactionHash": "0x12"}, "transactionHash"),
    ],
)
def test_a_broken_log_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(RecordError) as caught:
        pool_event(parse_log(wire(**change), "log"))
    assert caught.value.field == field


_ANYTHING = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=4), max_size=2)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(sorted(wire())), _ANYTHING, min_size=1, max_size=4))
def test_any_member_of_a_log_is_read_or_refused(change: dict[str, Any]) -> None:
    try:
        source_type, payload = pool_event(parse_log(wire() | change, "log"))
    except RecordError as error:
        assert error.field in {*wire(), "reserve0", "reserve1"}
    else:
        # What was read is what stood there: the changes were no part of the log's meaning.
        assert (source_type, payload["reserve1"]) == ("uni2_sync", str(2**80))


def test_a_header_says_how_well_its_time_is_known() -> None:
    block = {"number": "0xa", "hash": None, "timestamp": "0x3e8"}
    header = parse_header(block, 10)
    assert (header.moment, header.hash) == (datetime.fromtimestamp(1000, UTC), None)
    assert header.time == {"precision": "second", "error_seconds": 0, "source": "header"}
    about = {"exact": False, "source": "interpolated between 9 and 12", "error_seconds": 17}
    assert parse_header(block | {"signaldelta": about}, 10).time == {
        "precision": "interpolated",
        "error_seconds": 17,
        "source": "interpolated between 9 and 12",
    }
    for change, field in (
        ({"number": "0xb"}, "number"),
        ({"timestamp": "0xzz"}, "timestamp"),
        # A time that is not exact and does not say by how much could be off by anything.
        ({"signaldelta": {"exact": False, "error_seconds": None}}, "signaldelta.error_seconds"),
    ):
        with pytest.raises(RecordError) as caught:
            parse_header(block | change, 10)
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("0x" + word(18), 18), ("0x" + word(0), 0), ("0x" + word(256), None), ("0x", None), (None, None)],
)
def test_decimals_are_a_byte_or_unknown(answer: Any, expected: int | None) -> None:
    assert parse_decimals(answer) == expected


@pytest.mark.parametrize(
    ("error", "limit", "middle"),
    [
        (RpcError(-32005, "query returned more than 10000 results", {"from": "0x64", "to": "0x78"}), False, 0x78),
        (RpcError(-32005, "more than 10000 results. Try with this block range [0x64, 0x96]."), False, 150),
        # A suggestion outside of what was asked is none.
        (RpcError(-32005, "query returned more than 10000 results", {"to": "0x10"}), False, 150),
        (RpcError(-32602, "eth_getLogs is limited to a 10,000 block range"), False, 150),
        (RpcError(-32000, "Log response size exceeded."), False, 150),
        (RpcError(-32005, "limit exceeded"), True, None),
        (RpcError(-32005, "daily request count exceeded, request rate limited"), True, None),
        (RpcError(429, "Your app has exceeded its compute units per second capacity"), True, None),
        (RpcError(-32601, "the method does not exist"), False, None),
        (RpcError(-32603, "internal error"), False, None),
    ],
)  # fmt: skip
def test_what_an_error_asks_for(error: RpcError, limit: bool, middle: int | None) -> None:
    assert error.is_rate_limit == limit
    assert limit or error.narrowed(100, 200) == middle
    assert error.narrowed(100, 100) is None
    body = orjson.dumps([{"id": "x", "error": {"code": error.code, "message": error.message, "data": error.data}}])
    assert (rate_limited(body) is not None) == limit


# --- interpolated times


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=60), st.data())
def test_an_interpolated_time_lies_between_its_neighbours_and_its_error_leaves_them_room(
    intervals: list[int], data: st.DataObject
) -> None:
    passed = data.draw(st.integers(1, len(intervals) - 1))
    end = 1000 + sum(intervals)
    stamp, error = recorded.interpolate((100, 1000), (100 + len(intervals), end), 100 + passed)
    assert 1000 <= stamp <= end
    assert 0 <= error <= max(stamp - 1000, end - stamp)
    if set(intervals) == {1}:
        assert (stamp, error) == (1000 + passed, 0)


@needs_data
def test_of_the_recorded_block_times_left_out_one_by_one_nearly_all_lie_within_the_error() -> None:
    body = gzip.decompress((DATA / "onchain/block_anchors.csv.gz").read_bytes()).decode()
    rows = [(int(n), int(t), source) for n, t, source in list(csv.reader(io.StringIO(body)))[1:]]
    inside: list[bool] = []
    for before, now, after in zip(rows, rows[1:], rows[2:], strict=False):
        # One long stretch has every block: times between direct neighbours say little, and there are 35,000.
        if now[2].startswith("inferred") or 12_965_000 <= now[0] <= 13_000_000:
            continue
        stamp, error = recorded.interpolate(before[:2], after[:2], now[0])
        inside.append(abs(stamp - now[1]) <= error)
    assert len(inside) > 10_000
    assert 0.99 <= sum(inside) / len(inside) < 1


# --- over the server


Chain = Callable[..., list[CollectorRunReport]]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedArchive:
    """Pools only, and few of them."""
    root = tmp_path_factory.mktemp("chain") / "archive"
    simulate(SimulationPlan(seed=5, entities=1, days=120, pools=8), root)
    return SimulatedArchive(root)


@pytest.fixture
def collect(archive: ArtifactStore, no_limit: None) -> Chain:
    """`collect(server, warehouse, first, last, names)`: run the chain's collectors in their order."""

    def go(
        server: ReplayServer, on: Warehouse, first: date, last: date, names: Sequence[str] = NAMES, **more: Any
    ) -> list[CollectorRunReport]:
        values = {"ethereum_url": f"{server.url}/ethereum", "ethereum_requests_per_second": 1000.0} | more
        return [
            run_collector(
                registered_collectors()[name], on, archive, settings_for(server.url, **values), Window(first, last),
                universe=(), sleep=lambda seconds: None,
            )
            for name in names
        ]  # fmt: skip

    return go


def records(on: Warehouse, source_type: str | None = None) -> list[dict[str, Any]]:
    columns = "raw_record_id, source_type, entity_id, natural_key, event_time, partition_date, payload, body_hash"
    found = rows_of(on, "raw_records", columns, "source_type, natural_key, entity_id")
    return [row for row in found if source_type in (None, row["source_type"])]


def days_of(archive: SimulatedArchive, address: str) -> tuple[date, date]:
    syncs = json.loads((archive.root / f"onchain/uniswap_v2_sync_events/{address}.json").read_text())
    first, last = (archive.chain.block(syncs[at]["blockNumber"]) for at in (0, -1))
    assert first is not None and last is not None
    return tuple(datetime.fromtimestamp(block.timestamp, UTC).date() for block in (first, last))  # type: ignore[return-value]


def drained(archive: SimulatedArchive) -> str:
    """The pool whose drain comes first."""
    rugs = [event for event in archive.plan["events"] if event["event_type"] == "RUG_PULL"]
    return str(rugs[0]["entity"].removeprefix("eth:"))


@pytest.mark.postgres
def test_the_simulated_chain_is_collected_whole_and_once(
    simulated: SimulatedArchive, warehouse: Warehouse, collect: Chain
) -> None:
    address = drained(simulated)
    first, last = days_of(simulated, address)
    with ReplayServer(simulated) as server:
        reports = collect(server, warehouse, first, last)
        again = collect(server, warehouse, first, last)
        asked = httpx.get(f"{server.url}/__replay__/log").json()["requests"]
    table = json.loads((simulated.root / "onchain/uniswap_v2_meta/full_data_pool_dict.json").read_text())
    for folder, kind in (
        ("sync", "uni2_sync"),
        ("lp_transfer", "uni2_lp_transfer"),
        ("mint", "uni2_mint"),
        ("burn", "uni2_burn"),
    ):
        events = json.loads((simulated.root / f"onchain/uniswap_v2_{folder}_events/{address}.json").read_text())
        written = [f"{event['blockNumber']:012d}:{event['logIndex']:06d}" for event in events]
        found = [row["natural_key"] for row in records(warehouse, kind) if row["entity_id"] == f"eth:{address}"]
        assert found == written != []
    row = table[address]
    pairs = {one["entity_id"]: one["payload"] for one in records(warehouse, "uni2_pair")}
    assert pairs[f"eth:{address}"]["block"] == row["creation"]
    everything = records(warehouse)
    assert {one["payload"]["time"]["precision"] for one in everything} == {"second"}
    blocks = {one["payload"].get("block"): one["event_time"] for one in everything if "block" in one["payload"]}
    assert blocks == {one["payload"]["number"]: one["event_time"] for one in records(warehouse, "chain_block")}
    # A second time the head is asked for, by each of the three, and nothing else.
    assert asked == sum(report.counts["requests"] for report in (*reports, *again))
    assert [report.counts["requests"] for report in again] == [1, 1, 1]
    assert all(report.records_written == 0 and report.records_known > 0 for report in again)
    security = reference.read_securities(warehouse, [f"eth:{address}"])[f"eth:{address}"]
    assert (security.asset_class, security.currency) == ("pool", "WETH")
    assert security.pool == Pool(row["token0"].lower(), row["token1"].lower(), 18, 18, row["creation"])


@pytest.mark.postgres
def test_day_by_day_is_the_range(
    simulated: SimulatedArchive, make_postgres_url: Callable[[], str], collect: Chain
) -> None:
    address = (
        simulated.plan["events"][0]["entity"].removeprefix("eth:")
        if False
        else next(
            event["entity"].removeprefix("eth:")
            for event in simulated.plan["events"]
            if event["event_type"] == "RUG_PULL"
        )
    )
    first, last = days_of(simulated, address)
    days = [first + timedelta(days=n) for n in range((last - first).days + 2)]
    with (
        ReplayServer(simulated) as server,
        Warehouse(make_postgres_url()) as single,
        Warehouse(make_postgres_url()) as whole,
    ):
        for day in days:
            collect(server, single, day, day)
        collect(server, whole, days[0], days[-1])
        assert records(single) == records(whole) != []


@pytest.mark.postgres
@needs_data
def test_recorded_days_have_their_times_with_an_error_and_refusals_narrow_the_range(
    make_postgres_url: Callable[[], str], collect: Chain
) -> None:
    day, inputs = date(2020, 10, 7), RecordedArchive(DATA)
    with Warehouse(make_postgres_url()) as wide, Warehouse(make_postgres_url()) as narrow:
        with ReplayServer(inputs) as server:
            reports = collect(server, wide, day, day)
        with ReplayServer(inputs, max_log_range=3_000, max_logs=40) as server:
            refused = collect(server, narrow, day, day, ethereum_pools_per_request=7)
        found = records(wide)
        assert [{k: v for k, v in row.items() if k != "body_hash"} for row in found] == [
            {k: v for k, v in row.items() if k != "body_hash"} for row in records(narrow)
        ]
    assert "ranges_narrowed" not in reports[1].counts
    assert refused[1].counts["ranges_narrowed"] >= 3
    assert reports[1].counts["logs_read"] == len([row for row in found if row["source_type"] == "uni2_sync"]) > 100
    times = [row["payload"]["time"] for row in found]
    assert {time["precision"] for time in times} >= {"interpolated"}
    for row, time in zip(found, times, strict=True):
        assert (time["error_seconds"] > 0) == (time["precision"] == "interpolated")
        assert row["partition_date"] == row["event_time"].date()


class _Shelf:
    """A chain of 400 blocks of 12 seconds across a midnight, with one pool; what is set here is what it says."""

    def __init__(self) -> None:
        self.start = int(datetime(2024, 3, 9, 23, 30, tzinfo=UTC).timestamp())
        self.last = 399
        self.fork = "aa"
        self.logs_given: list[Log] = [self.pair(10), *(self.sync(block) for block in (20, 170, 380, 388))]

    @staticmethod
    def pair(block: int) -> Log:
        topics = (recorded.TOPIC_PAIR_CREATED, "0x" + word(0x77), "0x" + word(int(WETH, 16)))
        data = "0x" + word(int(POOL, 16)) + word(9)
        return Log(recorded.FACTORY, topics, data, block, 1, "0x" + "01" * 32, 0, "0x" + "aa" * 32)

    @staticmethod
    def sync(block: int, data: str | None = None, **more: Any) -> Log:
        data = "0x" + word(10**18) + word(10**19) if data is None else data
        return Log(POOL, (TOPIC_SYNC,), data, block, 3, "0x" + f"{block:064x}", 0, "0x" + "aa" * 32)._replace(**more)

    def head(self) -> int | None:
        return self.last

    def block(self, number: int) -> Block | None:
        if number > self.last:
            return None
        return Block(number, self.start + 12 * number, True, "test", 0, "0x" + self.fork * 32)

    def transactions(self, number: int) -> Sequence[str]:
        return ()

    def logs(self, first: int, last: int, addresses: frozenset[str] | None) -> Sequence[Log]:
        return [
            log
            for log in self.logs_given
            if first <= log.block <= last and (addresses is None or log.address in addresses)
        ]

    def call(self, address: str, selector: str) -> str | None:
        return "0x" + word(18) if address == WETH else None

    def inventory(self) -> dict[str, Any]:
        return {"unserved": []}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[tuple[_Shelf, ReplayServer]]:
    root = tmp_path / "empty"
    root.mkdir()
    made = RecordedArchive(root)
    made.chain = _Shelf()  # type: ignore[assignment]
    with ReplayServer(made) as server:
        yield made.chain, server  # type: ignore[misc]


FIRST, SECOND = date(2024, 3, 9), date(2024, 3, 10)


def keys(on: Warehouse, source_type: str = "uni2_sync") -> list[str]:
    return [row["natural_key"] for row in records(on, source_type)]


@pytest.mark.postgres
def test_a_log_comes_when_it_is_deep_enough_and_a_token_may_not_say_its_decimals(
    shelf: tuple[_Shelf, ReplayServer], fresh_postgres_url: str, collect: Chain
) -> None:
    chain, server = shelf
    with Warehouse(fresh_postgres_url) as warehouse:
        pairs, events, _ = collect(server, warehouse, FIRST, SECOND)
        # Of head 399 twelve deep is 387: 388 is not.
        assert keys(warehouse) == [f"{block:012d}:000003" for block in (20, 170, 380)]
        assert keys(warehouse, "chain_block") == [f"{block:012d}" for block in (10, 20, 170, 380)]
        assert [row["partition_date"] for row in records(warehouse, "uni2_sync")] == [FIRST, SECOND, SECOND]
        assert pairs.counts["tokens_without_decimals"] == 1
        assert events.counts["days_not_complete"] == 1
        (pair,) = records(warehouse, "uni2_pair")
        assert pair["payload"] == {
            "pool": POOL, "token0": f"0x{0x77:040x}", "token1": WETH, "decimals0": None, "decimals1": 18,
            "pair_index": 9, "block": 10, "log_index": 1, "transaction": "0x" + "01" * 32,
            "time": {"precision": "second", "error_seconds": 0, "source": "test"},
        }  # fmt: skip
        chain.last = 400
        collect(server, warehouse, FIRST, SECOND)
        assert keys(warehouse)[-1] == "000000000388:000003"
        beyond = collect(server, warehouse, date(2024, 3, 11), date(2024, 3, 12), NAMES[:2])
        assert [report.counts["days_without_final_blocks"] for report in beyond] == [2, 2]


@pytest.mark.postgres
def test_a_broken_log_is_quarantined_with_its_bytes_and_a_reorganised_one_never_happened(
    shelf: tuple[_Shelf, ReplayServer], fresh_postgres_url: str, collect: Chain, archive: ArtifactStore
) -> None:
    chain, server = shelf
    chain.logs_given += [
        chain.sync(21, data="0x" + word(1)),
        chain.sync(22, removed=True),
        chain.sync(23, block_hash="0x" + "bb" * 32),
        chain.pair(11)._replace(topics=(recorded.TOPIC_PAIR_CREATED, "0x" + word(5), "0x" + word(6))),
    ]
    with Warehouse(fresh_postgres_url) as warehouse:
        pairs, events, _ = collect(server, warehouse, FIRST, SECOND)
        again = collect(server, warehouse, FIRST, SECOND)
        assert keys(warehouse) == [f"{block:012d}:000003" for block in (20, 170, 380)]
        refused = rows_of(warehouse, "quarantined_records", "record, field, found, body_hash, partition_date", "record")
    assert [(row["record"], row["field"], row["partition_date"]) for row in refused] == [
        (f"{POOL}:21:3", "data", FIRST),
        (f"{POOL}:23:3", "blockHash", FIRST),
    ]
    for row in refused:
        logs = orjson.loads(archive.read_bytes(row["body_hash"]))[0]["result"]
        assert hex(int(row["record"].split(":")[1])) in [log["blockNumber"] for log in logs]
    assert (events.counts["logs_removed"], pairs.counts["pairs_without_quote"]) == (1, 1)
    assert [report.records_quarantined for report in again] == [0, 0, 0]


@pytest.mark.postgres
def test_faults_are_tried_again_or_named_and_no_key_is_kept(
    shelf: tuple[_Shelf, ReplayServer], fresh_postgres_url: str, collect: Chain
) -> None:
    _, server = shelf
    with Warehouse(fresh_postgres_url) as warehouse:
        faults = [
            {"path": "/ethereum", "kind": "status", "status": 429, "count": 1},
            {"path": "/ethereum", "kind": "cut", "count": 1},
        ]
        httpx.post(f"{server.url}/__replay__/faults", json=faults).raise_for_status()
        secret = {"ethereum_url": f"{server.url}/ethereum?token=s3cret", "ethereum_api_key": "s3cret"}
        (report,) = collect(server, warehouse, FIRST, FIRST, NAMES[:1], **secret)
        assert report.counts["retries"] == 2
        assert keys(warehouse, "uni2_pair") == ["000000000010:000001"]
        for table, column in (
            ("raw_records", "source_url"),
            ("http_validators", "url"),
            ("raw_documents", "source_url"),
        ):
            urls = [row[column] for row in rows_of(warehouse, table, column, column)]
            assert urls and all(url.startswith("ethereum:1/eth_") and "s3cret" not in url for url in urls)
        httpx.post(f"{server.url}/__replay__/faults", json={"path": "/ethereum", "kind": "status", "status": 500})
        with pytest.raises(CollectionFailedError, match=r"ethereum:1/eth_.*500"):
            collect(server, warehouse, SECOND, SECOND, NAMES[:1])
        with pytest.raises(DocumentError, match="SIGNALDELTA_ETHEREUM_URL"):
            collect(server, warehouse, FIRST, FIRST, NAMES[:1], ethereum_url=None)
