"""What a server does wrong, by protocol: what the caller gets, what is logged, how many calls are made."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from signaldelta_assets.llm import FAILURES, Gateway, LLMRequest, RoutesFailedError
from tests.llm.conftest import PROMPT, SECRET, Bench

pytestmark = pytest.mark.postgres

SAY = {"kind": "say", "text": "one two three four five six"}
HANG = {"kind": "hang", "seconds": 2}
LATER, HOUR = ({"kind": "status", "status": 429, "retry_after": seconds} for seconds in ("3", "3600"))
# name: what the first route does (two attempts), outcomes logged of a whole answer, and of a stream. `ok` at the end:
# the caller has an answer, by the spare route where the first gave none; without it, an error. A stream that breaks off
# after its first piece cannot be begun again. Then the seconds waited, at most.
MATRIX: dict[str, tuple[list[Any], list[str], list[str], int]] = {
    "429 once": ([LATER], ["rate_limited", "ok"], ["rate_limited", "ok"], 3),
    "429": ([{"kind": "status", "status": 429}] * 2, ["rate_limited"] * 2 + ["ok"], ["rate_limited"] * 2 + ["ok"], 1),
    "429, in an hour": ([HOUR], ["rate_limited", "ok"], ["rate_limited", "ok"], 0),
    "500": ([{"kind": "status", "status": 500}] * 2, ["server_error"] * 2 + ["ok"], ["server_error"] * 2 + ["ok"], 1),
    "529": ([{"kind": "status", "status": 529}] * 2, ["server_error"] * 2 + ["ok"], ["server_error"] * 2 + ["ok"], 1),
    "hang": ([HANG] * 2, ["timeout"] * 2 + ["ok"], ["timeout"] * 2 + ["ok"], 1),
    "drip": ([{**SAY, "kind": "drip"}] * 2, ["timeout"] * 2 + ["ok"], ["timeout"], 1),
    "cut": ([{**SAY, "kind": "cut"}] * 2, ["cut"] * 2 + ["ok"], ["cut"], 1),
    "malformed": ([{**SAY, "kind": "malformed"}], ["bad_answer", "ok"], ["bad_answer"], 0),
    "huge": ([{"kind": "huge"}], ["bad_answer", "ok"], ["bad_answer"], 0),
    "empty": ([{"kind": "empty"}], ["bad_answer", "ok"], ["bad_answer", "ok"], 0),
    "silent": ([{**SAY, "kind": "silent"}], ["ok"], ["ok"], 0),
    "redirect": ([{"kind": "redirect", "to": "/elsewhere"}], ["bad_answer", "ok"], ["bad_answer", "ok"], 0),
    "key echoed": ([{"kind": "echo", "status": 401}], ["bad_key", "ok"], ["bad_key", "ok"], 0),
    "key echoed within": ([{**SAY, "kind": "mid"}], ["ok"], ["server_error"], 0),
    "404": ([{"kind": "status", "status": 404}], ["no_model", "ok"], ["no_model", "ok"], 0),
    "400": ([{"kind": "echo", "status": 400}], ["refused"], ["refused"], 0),
    "refusal": ([{**SAY, "kind": "refusal"}], ["declined"], ["declined"], 0),
}  # fmt: skip


@pytest.fixture
def chains(bench: Bench) -> None:
    if not bench.sql("SELECT 1 FROM llm_model_routing WHERE route_id = 'spare'"):
        bench.route("spare", "openai", timeout_seconds=20)
        for protocol in ("openai", "anthropic"):
            bench.route(protocol, protocol, timeout_seconds=0.4)


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.usefixtures("chains", "nothing_told")
def test_misbehaviour(bench: Bench, gateway: Gateway, ask: Callable[..., LLMRequest], name: str, protocol: str) -> None:
    orders, whole, streamed, waited = MATRIX[name]
    for mode, outcomes in (("whole", whole), ("stream", streamed)):
        use_case = f"{name} {protocol} {mode}"
        bench.chain(use_case, protocol)
        bench.chain(use_case, "spare")
        if name not in ("hang", "drip"):
            # On a machine with much else to do, only those that mean to are slow.
            bench.sql("UPDATE llm_model_routing SET timeout_seconds = 20 WHERE route_id = %s", protocol)
        else:
            bench.sql("UPDATE llm_model_routing SET timeout_seconds = 0.4 WHERE route_id = %s", protocol)
        bench.forget()
        bench.order(*orders, *[SAY] * 2)
        before, bench.waits[:] = bench.calls(), []
        got, error = "", None
        try:
            if mode == "whole":
                got = gateway.complete(ask(use_case)).text
            else:
                with gateway.stream(ask(use_case)) as stream:
                    for piece in stream:
                        got += piece
        except RoutesFailedError as failed:
            error = failed
        assert bench.outcomes(use_case) == outcomes, error
        assert bench.calls() - before == len(outcomes)
        declined = outcomes == ["declined"]
        assert (error is None) == (outcomes[-1] == "ok" or (declined and mode == "stream"))
        assert got == SAY["text"] if outcomes[-1] == "ok" else not got or mode == "stream"
        if error is not None:
            assert error.outcomes[-1] == outcomes[-1]
            assert SECRET not in "".join(traceback.format_exception(error)) and PROMPT not in repr(error)
        rows = bench.logged(use_case)
        again = sum(FAILURES.get(one) == "again" for one in outcomes[:-1])
        assert sum(row["route_id"] == protocol for row in rows) == (2 if again == 2 else 1 + (name == "429 once"))
        assert len(bench.waits) == (waited > 0 and outcomes[-1] == "ok") and sum(bench.waits) <= max(waited, 0)
        if name == "429 once":
            assert bench.waits == [3.0]
        # What never reached a model costs nothing; what may have been worked on is reckoned at its most.
        for row in rows:
            free = row["outcome"] in ("rate_limited", "server_error", "bad_key", "no_model", "refused")
            free = (free and "within" not in row["error"]) or ("redirect" in name and row["outcome"] == "bad_answer")
            assert (row["cost"] == 0) == free, row


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@pytest.mark.usefixtures("nothing_told")
def test_another_content_type_and_no_connection(
    bench: Bench, gateway: Gateway, ask: Callable[..., LLMRequest], protocol: str
) -> None:
    bench.route(f"html-{protocol}", protocol, f"html {protocol}")
    bench.route(f"nowhere-{protocol}", protocol, f"html {protocol}", base_url="http://127.0.0.1:9")
    for mode in (gateway.complete, gateway.stream):
        bench.fault(kind="garble", count=1)
        with pytest.raises(RoutesFailedError) as raised:
            mode(ask(f"html {protocol}"))
        assert raised.value.outcomes == ("bad_answer", "unreachable", "unreachable")
    assert [row["cost"] == 0 for row in bench.logged(f"html {protocol}")] == [False, True, True] * 2
