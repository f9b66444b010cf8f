"""The JSON-RPC endpoint: logs against the recorded events, blocks and their exactness, batches, limits, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from signaldelta_assets.replay import SimulatedArchive
from signaldelta_assets.replay.recorded.chain import FACTORY, TOPIC_MINT, TOPIC_PAIR_CREATED, TOPIC_SYNC, TOPIC_TRANSFER


def _call(client: httpx.Client, method: str, *params: Any) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
    answer: dict[str, Any] = client.post("/ethereum", json=body).json()
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
    return answer


def _pool(simulated: SimulatedArchive) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    path = sorted((simulated.root / "onchain/uniswap_v2_sync_events").iterdir())[0]
    transfers = simulated.root / "onchain/uniswap_v2_lp_transfer_events" / path.name
    return path.stem, json.loads(path.read_text()), json.loads(transfers.read_text())


def _logs(client: httpx.Client, first: int, last: int, **more: Any) -> list[dict[str, Any]]:
    """Collect over ranges that the limit on results allows, as a collector has to."""
    answer = _call(client, "eth_getLogs", {"fromBlock": hex(first), "toBlock": hex(last), **more})
    if "error" not in answer:
        return list(answer["result"])
    assert answer["error"]["code"] == -32005
    assert answer["error"]["data"]["limit"] == 40
    middle = int(answer["error"]["data"]["to"], 16)
    assert first <= middle < last
    return _logs(client, first, middle, **more) + _logs(client, middle + 1, last, **more)


def test_logs_are_the_recorded_events_bit_for_bit(client: httpx.Client, simulated: SimulatedArchive) -> None:
    address, syncs, transfers = _pool(simulated)
    blocks = [event["blockNumber"] for event in syncs]
    found: list[dict[str, Any]] = []
    for start in range(min(blocks), max(blocks) + 1, 10_000):
        found += _logs(client, start, min(start + 9_999, max(blocks)), address=address)
    mine = [log for log in found if log["topics"][0] == TOPIC_SYNC]
    assert len(mine) == len(syncs)
    for log, event in zip(mine, syncs, strict=True):
        reserves = (int(log["data"][2:66], 16), int(log["data"][66:], 16))
        # Reserves go beyond 2**64: a float anywhere would show.
        assert reserves == (event["args"]["reserve0"], event["args"]["reserve1"])
        assert int(log["blockNumber"], 16) == event["blockNumber"]
        assert int(log["logIndex"], 16) == event["logIndex"]
        assert log["transactionHash"] == event["transactionHash"]
        assert log["removed"] is False
    assert max(max(event["args"].values()) for event in syncs) > 2**64
    moved = [log for log in found if log["topics"][0] == TOPIC_TRANSFER]
    assert [(int(log["topics"][1], 16), int(log["topics"][2], 16), int(log["data"], 16)) for log in moved] == [
        (int(e["args"]["from"], 16), int(e["args"]["to"], 16), e["args"]["value"]) for e in transfers
    ]
    assert [(log["blockNumber"], log["logIndex"]) for log in found] == [
        (log["blockNumber"], log["logIndex"])
        for log in sorted(found, key=lambda log: (int(log["blockNumber"], 16), int(log["logIndex"], 16)))
    ]


def test_topic_filters(client: httpx.Client, simulated: SimulatedArchive) -> None:
    address, _, transfers = _pool(simulated)
    block = transfers[0]["blockNumber"]
    sender = "0x" + "0" * 64

    def count(topics: list[Any], **more: Any) -> int:
        query = {"fromBlock": hex(block), "toBlock": hex(block), "topics": topics, **more}
        return len(_call(client, "eth_getLogs", query)["result"])

    assert count([], address=address) == 4
    assert count([TOPIC_MINT], address=address) == 1
    assert count([TOPIC_TRANSFER], address=[address.upper().replace("0X", "0x")]) == 2
    assert count([[TOPIC_SYNC, TOPIC_TRANSFER]], address=address) == 3
    assert count([None, sender], address=address) == 2
    assert count([TOPIC_SYNC, sender], address=address) == 0
    assert count([TOPIC_SYNC]) >= 1
    assert count([], address="0x" + "1" * 40) == 0


def test_pair_creations_and_tokens(client: httpx.Client, simulated: SimulatedArchive) -> None:
    table = json.loads((simulated.root / "onchain/uniswap_v2_meta/full_data_pool_dict.json").read_text())
    for address, pair in table.items():
        at = hex(pair["creation"])
        query = {"fromBlock": at, "toBlock": at, "address": FACTORY, "topics": [TOPIC_PAIR_CREATED]}
        (log,) = _call(client, "eth_getLogs", query)["result"]
        assert int(log["data"][2:66], 16) == int(address, 16)
        for selector, token, topic in (("0x0dfe1681", "token0", 1), ("0xd21220a7", "token1", 2)):
            answer = _call(client, "eth_call", {"to": address, "data": selector}, "latest")["result"]
            assert int(answer, 16) == int(pair[token], 16) == int(log["topics"][topic], 16)
            decimals = _call(client, "eth_call", {"to": pair[token], "input": "0x313ce567"}, "latest")["result"]
            assert int(decimals, 16) == 18
    assert _call(client, "eth_call", {"to": FACTORY, "data": "0x0dfe1681"}, "latest")["error"]["code"] == -32000


def test_a_block_says_whether_its_time_is_exact(tmp_path: Path, serve: Callable[[Path], httpx.Client]) -> None:
    (tmp_path / "onchain").mkdir()
    table = "block_number,unix_timestamp,source\n100,1000,a\n110,1130,inferred:pair_created\n120,1250,b\n"
    (tmp_path / "onchain/block_anchors.csv").write_text(table)
    client = serve(tmp_path)

    def block(number: int | str) -> Any:
        return _call(client, "eth_getBlockByNumber", number if isinstance(number, str) else hex(number), False)[
            "result"
        ]

    assert (int(block(100)["timestamp"], 16), block(100)["signaldelta"]["exact"]) == (1000, True)
    assert (int(block(110)["timestamp"], 16), block(110)["signaldelta"]["exact"]) == (1130, False)
    assert (int(block(105)["timestamp"], 16), block(105)["signaldelta"]["exact"]) == (1065, False)
    assert block(105)["signaldelta"]["source"] == "interpolated between 100 and 110"
    assert block(99) is None
    assert block(121) is None
    # Of an interpolated time how far it may be off, of an inferred one its distance from the exact ones besides.
    assert [block(number)["signaldelta"]["error_seconds"] for number in (100, 105, 110, 115)] == [0, 60, 89, 55]
    assert block("latest")["number"] == hex(120) == _call(client, "eth_blockNumber")["result"]
    assert block(100)["hash"] is None
    times = [int(block(number)["timestamp"], 16) for number in range(100, 121)]
    assert times == sorted(times)


def test_an_event_block_of_the_simulation_is_exact_and_names_its_transactions(
    client: httpx.Client, simulated: SimulatedArchive
) -> None:
    _, syncs, _ = _pool(simulated)
    block = _call(client, "eth_getBlockByNumber", hex(syncs[3]["blockNumber"]), True)["result"]
    assert block["signaldelta"]["exact"] is True
    assert syncs[3]["transactionHash"] in [transaction["hash"] for transaction in block["transactions"]]


def test_batches_keep_order_and_isolate_errors(client: httpx.Client) -> None:
    calls = [
        {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_mine", "params": []},
        {"jsonrpc": "2.0", "id": 3, "method": "eth_chainId"},
        "nonsense",
    ]
    first, second, third, fourth = client.post("/ethereum", json=calls).json()
    assert [first["id"], second["id"], third["id"], fourth["id"]] == [1, 2, 3, None]
    assert second["error"]["code"] == -32601
    assert third["result"] == "0x1"
    assert fourth["error"]["code"] == -32600
    assert client.post("/ethereum", json=[]).json()["error"]["code"] == -32600
    assert client.post("/ethereum", json=[calls[0]] * 101).json()["error"]["code"] == -32600
    assert client.post("/ethereum", content=b"{").json()["error"]["code"] == -32700


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"fromBlock": "0x100", "toBlock": hex(0x100 + 10_000)}, -32602),
        ({"fromBlock": "0x100", "toBlock": "0xff"}, -32602),
        ({"fromBlock": "soon"}, -32602),
        ({"blockHash": "0x" + "0" * 64}, -32000),
    ],
)
def test_bad_ranges_are_refused(client: httpx.Client, query: dict[str, str], code: int) -> None:
    assert _call(client, "eth_getLogs", query)["error"]["code"] == code


def test_the_widest_range_is_answered(client: httpx.Client) -> None:
    assert _call(client, "eth_getLogs", {"fromBlock": "0x100", "toBlock": hex(0x100 + 9_999)})["result"] == []
