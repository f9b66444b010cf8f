"""Faults as a client sees them, and the log of what was asked."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from signaldelta_assets.replay import FaultRule

LIST = "/data.sec.gov/submissions/CIK0009000001.json"


def _inject(client: httpx.Client, *rules: dict[str, Any]) -> None:
    assert client.post("/__replay__/faults", json=list(rules)).status_code == 201


@pytest.mark.parametrize("status", [429, 403, 500, 503])
def test_a_status_with_retry_after(client: httpx.Client, status: int) -> None:
    _inject(client, {"path": "submissions", "kind": "status", "status": status, "retry_after": "3", "count": 2})
    for _ in range(2):
        answer = client.get(LIST)
        assert (answer.status_code, answer.headers["retry-after"]) == (status, "3")
    assert client.get(LIST).status_code == 200
    assert client.get("/__replay__/faults").json()[0]["hits"] == 2


def test_only_the_matching_path_is_disturbed(client: httpx.Client) -> None:
    _inject(client, {"path": r"CIK0009000001\.json$", "kind": "status", "status": 503})
    assert client.get(LIST).status_code == 503
    assert client.get("/data.sec.gov/submissions/CIK0009000002.json").status_code == 200
    assert client.get("/__replay__/health").json() == {"status": "ok", "archive": "simulated"}


def test_a_cut_connection_is_an_error_of_the_transport(client: httpx.Client) -> None:
    _inject(client, {"path": "submissions", "kind": "cut", "after_bytes": 100, "count": 1})
    received = 0
    with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", LIST) as answer:
        assert answer.status_code == 200
        for part in answer.iter_raw():
            received += len(part)
    assert received == 100
    assert client.get(LIST).status_code == 200


def test_a_slow_body_arrives_whole_but_late(client: httpx.Client) -> None:
    whole = client.get(LIST).content
    _inject(client, {"path": "submissions", "kind": "slow", "delay_seconds": 0.4})
    start = time.monotonic()
    assert client.get(LIST).content == whole
    assert time.monotonic() - start >= 0.35
    with pytest.raises(httpx.ReadTimeout):
        client.get(LIST, timeout=0.02)


def test_a_slow_request_does_not_hold_up_others(client: httpx.Client) -> None:
    _inject(client, {"path": "submissions", "kind": "slow", "delay_seconds": 3})
    with client.stream("GET", LIST) as slow:
        assert slow.status_code == 200
        start = time.monotonic()
        assert client.get("/www.sec.gov/files/company_tickers.json").status_code == 200
        assert time.monotonic() - start < 2


def test_probability_is_drawn_from_a_seed() -> None:
    def draw(seed: int) -> list[bool]:
        rule = FaultRule("x", "status", probability=0.3, seed=seed)
        return [rule.fires("x") for _ in range(400)]

    assert draw(1) == draw(1) != draw(2)
    assert 80 < sum(draw(1)) < 160
    assert not any(FaultRule("x", "cut", probability=0).fires("x") for _ in range(50))


def test_rules_are_tried_in_order_and_can_be_cleared(client: httpx.Client) -> None:
    _inject(client, {"path": "submissions", "kind": "status", "status": 429, "count": 1})
    _inject(client, {"path": "submissions", "kind": "status", "status": 500})
    assert [client.get(LIST).status_code for _ in range(2)] == [429, 500]
    assert client.delete("/__replay__/faults").status_code == 204
    assert client.get(LIST).status_code == 200


@pytest.mark.parametrize(
    "rule",
    [
        {"path": "x", "kind": "explode"},
        {"path": "(", "kind": "cut"},
        {"path": "x", "kind": "status", "status": 200},
        {"path": "x", "kind": "slow", "probability": 2},
        {"kind": "cut"},
        {"path": "x", "kind": "cut", "colour": "red"},
    ],
)
def test_a_wrong_rule_is_refused_and_changes_nothing(client: httpx.Client, rule: dict[str, Any]) -> None:
    answer = client.post("/__replay__/faults", json=rule)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert client.get("/__replay__/faults").json() == []


def test_the_log_counts_and_keeps_no_key(client: httpx.Client) -> None:
    client.get("/api.polygon.io/v3/reference/splits", params={"apiKey": "very-secret", "ticker": "X"})
    _inject(client, {"path": "submissions", "kind": "status", "status": 429})
    client.get(LIST)
    client.get(LIST)
    answer = client.get("/__replay__/log")
    assert "very-secret" not in answer.text
    log = answer.json()
    assert log["by_host"] == {"api.polygon.io": 1, "data.sec.gov": 2}
    assert log["by_status"] == {"200": 1, "429": 2}
    assert [entry["fault"] for entry in log["entries"]] == [None, "status", "status"]
    assert log["entries"][0]["query"] == "ticker=X"
    times = [entry["at"] for entry in log["entries"]]
    assert times == sorted(times)
    assert client.get("/__replay__/log", params={"path": "splits"}).json()["requests"] == 1
    client.delete("/__replay__/log")
    assert client.get("/__replay__/log").json()["requests"] == 0


def test_a_garbled_answer_looks_like_one(client: httpx.Client) -> None:
    whole = client.get(LIST).content
    _inject(client, {"path": "submissions", "kind": "garble", "count": 1})
    answer = client.get(LIST)
    assert (answer.status_code, answer.content.startswith(b"<!DOCTYPE html>")) == (200, True)
    assert client.get(LIST).content == whole
