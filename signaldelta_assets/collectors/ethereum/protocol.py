"""The words of JSON-RPC: calls, the names under which answers are kept, errors and what to do about them. Pure.

The name of a call is also its id on the wire, so that an archived batch says by itself what each answer is to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from signaldelta_assets.errors import RecordError
from signaldelta_assets.versioning import canonical_json, sha256_hex

from ..reading import read_json

SELECTOR_DECIMALS = "0x313ce567"
# No provider agrees with another on codes: the words are what tells (EIP-1474 knows -32005 "limit exceeded" alone).
_RATE = re.compile(r"\brate\b|too many requests|request count|compute units|throughput|per second", re.IGNORECASE)
_RANGE = re.compile(
    r"block range|range limit|results|too (many|large|big)|response size|size exceeded|limited to|query timeout",
    re.IGNORECASE,
)
_SUGGESTED = re.compile(r"\[\s*(0x[0-9a-f]+)\s*,\s*(0x[0-9a-f]+)\s*\]", re.IGNORECASE)
_REVERTED = re.compile(r"revert|invalid opcode|out of gas|stack (under|over)flow", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `final` says that its answer will not change: it is then kept and never asked for again."""

    name: str
    method: str
    params: tuple[Any, ...]
    final: bool = False


@dataclass(frozen=True, slots=True)
class RpcError:
    """An error in an answer: code, message, data."""

    code: int
    message: str
    data: Any = None

    def __str__(self) -> str:
        return f"error {self.code}: {self.message}"

    @property
    def is_rate_limit(self) -> bool:
        """Whether the same call may succeed later. -32005 is both: of a range where it says so, else of the rate."""
        if self.code == 429 or _RATE.search(self.message):
            return True
        return self.code == -32005 and not self.is_about_range

    @property
    def is_about_range(self) -> bool:
        """Whether a narrower range of blocks may succeed."""
        return bool(_RANGE.search(self.message) or self._suggested() is not None)

    @property
    def is_revert(self) -> bool:
        """Whether the contract itself refused: it will again."""
        return self.code == 3 or bool(_REVERTED.search(self.message))

    def _suggested(self) -> int | None:
        to = self.data.get("to") if isinstance(self.data, dict) else None
        found = _SUGGESTED.search(self.message)
        text = to if isinstance(to, str) else found[2] if found else None
        return int(text, 16) if text is not None and re.fullmatch("0x[0-9a-fA-F]+", text) else None

    def narrowed(self, first: int, last: int) -> int | None:
        """Return the last block of a first part of the range to ask for instead; None where no part would help.

        The range that the upstream suggests, where it suggests one, else half.
        """
        if first >= last or not self.is_about_range:
            return None
        suggested = self._suggested()
        return suggested if suggested is not None and first <= suggested < last else (first + last) // 2


def block_call(number: int, final: bool) -> Call:
    """Ask for a header, without its transactions."""
    name = f"ethereum:1/eth_getBlockByNumber?block={number}"
    return Call(name, "eth_getBlockByNumber", (hex(number), False), final)


def logs_call(first: int, last: int, addresses: Sequence[str], topics: Sequence[str]) -> Call:
    """Ask for the logs of `addresses` whose first topic is one of `topics`, in blocks first to last, all final.

    The name has the addresses and topics as the first 16 digits of the SHA-256 of their canonical JSON: there may be
    a thousand.
    """
    digest = sha256_hex(canonical_json([list(addresses), list(topics)]))[:16]
    query = urlencode({"from": first, "to": last, "addresses": len(addresses), "filter": digest})
    condition = {"fromBlock": hex(first), "toBlock": hex(last), "address": list(addresses), "topics": [list(topics)]}
    return Call(f"ethereum:1/eth_getLogs?{query}", "eth_getLogs", (condition,), True)


def decimals_call(token: str) -> Call:
    """Ask a token for its decimals; they are constant in the standard (EIP-20)."""
    call = {"to": token, "data": SELECTOR_DECIMALS}
    return Call(f"ethereum:1/eth_call?to={token}&function=decimals", "eth_call", (call, "latest"), True)


CHAIN = Call("ethereum:1/eth_chainId", "eth_chainId", ())
HEAD = Call("ethereum:1/eth_blockNumber", "eth_blockNumber", ())


def on_the_wire(calls: Sequence[Call]) -> bytes:
    """Return the body of a batch."""
    return orjson.dumps(
        [{"jsonrpc": "2.0", "id": call.name, "method": call.method, "params": list(call.params)} for call in calls]
    )


def read_answers(body: bytes, record: str) -> dict[str, Any]:
    """Return the results or RpcErrors of a batch by the name of the call, in any order. Raises RecordError.

    One error for the whole batch, which some nodes send in place of a list, stands under the empty name.
    """
    document = read_json(body, record)
    answers: dict[str, Any] = {}
    for item in document if isinstance(document, list) else [document]:
        if not isinstance(item, dict) or not ("result" in item or "error" in item):
            raise RecordError(record, "body", "answers with a result or an error", type(item).__name__)
        refusal = item.get("error")
        value = item.get("result") if refusal is None else _error(refusal)
        answers[str(item["id"]) if item.get("id") is not None else ""] = value
    return answers


def rate_limited(body: bytes) -> str | None:
    """Return the words of a rate limit in an answer of status 200, None where there is none."""
    if b'"error"' not in body:
        return None
    try:
        answers = read_answers(body, "answer")
    except RecordError:
        return None
    return next((str(one) for one in answers.values() if isinstance(one, RpcError) and one.is_rate_limit), None)


def _error(error: Any) -> RpcError:
    row = error if isinstance(error, dict) else {"message": error}
    code = row.get("code")
    return RpcError(code if isinstance(code, int) else 0, str(row.get("message") or "")[:500], row.get("data"))
