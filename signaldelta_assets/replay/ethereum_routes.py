"""POST /ethereum: the JSON-RPC methods a log collector needs, with a provider's limits on ranges and results.

Hashes that were not recorded are null. Blocks and logs say what they are in an extra member `signaldelta`; a block
whose time lies between two anchors has `exact: false` there, how far it may be off (`error_seconds`), and must not date
a label to the second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .archive import ChainShelf, Log

_TAGS = ("latest", "safe", "finalized", "pending")


class RpcError(Exception):
    """An error of the protocol: code, message and optional data (EIP-1474)."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message} | ({"data": data} if data is not None else {})


class EthereumRoutes:
    """The route of one shelf. `max_range` is in blocks, `max_logs` in results per call, `max_batch` in calls."""

    def __init__(
        self, shelf: ChainShelf, max_range: int = 10_000, max_logs: int = 10_000, max_batch: int = 100
    ) -> None:
        self._shelf = shelf
        self._max_range, self._max_logs, self._max_batch = max_range, max_logs, max_batch
        self._methods: dict[str, Callable[[list[Any]], Any]] = {
            "eth_blockNumber": self._block_number,
            "eth_getBlockByNumber": self._block,
            "eth_getLogs": self._logs,
            "eth_call": self._call,
            "eth_chainId": lambda _: "0x1",
        }

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/ethereum", self.answer, methods=["POST"])]

    async def answer(self, request: Request) -> Response:
        try:
            asked = json.loads(await request.body())
        except ValueError:
            return JSONResponse(_failure(None, RpcError(-32700, "parse error")))
        if not isinstance(asked, list):
            return JSONResponse(self._one(asked))
        if not asked or len(asked) > self._max_batch:
            message = f"batch of {len(asked)}: expected 1 to {self._max_batch} calls"
            return JSONResponse(_failure(None, RpcError(-32600, message)))
        return JSONResponse([self._one(call) for call in asked])

    def _one(self, call: Any) -> dict[str, Any]:
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            return _failure(None, RpcError(-32600, "invalid request"))
        try:
            method = self._methods.get(call["method"])
            if method is None:
                raise RpcError(-32601, f"the method {call['method']} does not exist/is not available")
            return {"jsonrpc": "2.0", "id": call.get("id"), "result": method(call.get("params") or [])}
        except RpcError as error:
            return _failure(call.get("id"), error)

    def _head(self) -> int:
        head = self._shelf.head()
        if head is None:
            raise RpcError(-32000, "this archive holds no chain")
        return head

    def _number(self, value: Any) -> int:
        if value in _TAGS or value is None:
            return self._head()
        if value == "earliest":
            return 0
        try:
            return int(value, 16)
        except (TypeError, ValueError):
            raise RpcError(-32602, f"invalid block number {value!r}: expected hex or a tag") from None

    def _block_number(self, params: list[Any]) -> str:
        return hex(self._head())

    def _block(self, params: list[Any]) -> dict[str, Any] | None:
        number = self._number(params[0] if params else None)
        block = self._shelf.block(number)
        if block is None:
            return None
        hashes = list(self._shelf.transactions(number))
        full = len(params) > 1 and params[1] is True
        return {
            "number": hex(block.number),
            "hash": block.hash,
            "parentHash": None,
            "timestamp": hex(block.timestamp),
            "transactions": [{"hash": h, "blockNumber": hex(number)} for h in hashes] if full else hashes,
            "signaldelta": {
                "exact": block.exact,
                "source": block.source,
                "error_seconds": block.error_seconds,
                "transactions": "recorded pools only",
            },
        }

    def _logs(self, params: list[Any]) -> list[dict[str, Any]]:
        query = params[0] if params and isinstance(params[0], dict) else {}
        if "blockHash" in query:
            raise RpcError(-32000, "unknown block: no block hashes were recorded")
        first, last = self._number(query.get("fromBlock")), self._number(query.get("toBlock"))
        if first > last:
            raise RpcError(-32602, "invalid block range: fromBlock is after toBlock")
        if last - first + 1 > self._max_range:
            raise RpcError(-32602, f"eth_getLogs is limited to a {self._max_range:,} block range")
        addresses = query.get("address")
        wanted = None
        if addresses is not None:
            wanted = frozenset(a.lower() for a in ([addresses] if isinstance(addresses, str) else addresses))
        topics = query.get("topics") or []
        found = [log for log in self._shelf.logs(first, last, wanted) if _matches(log, topics)]
        if len(found) > self._max_logs:
            # As one large provider answers: the range that would have fitted comes with the refusal.
            end = max(found[self._max_logs].block - 1, first)
            message = f"query returned more than {self._max_logs} results. Try with this block range "
            message += f"[{hex(first)}, {hex(end)}]."
            raise RpcError(-32005, message, {"from": hex(first), "to": hex(end), "limit": self._max_logs})
        return [_on_the_wire(log) for log in found]

    def _call(self, params: list[Any]) -> str:
        call = params[0] if params and isinstance(params[0], dict) else {}
        data = call.get("data") or call.get("input") or ""
        answer = self._shelf.call(str(call.get("to", "")).lower(), data[:10].lower())
        if answer is None:
            raise RpcError(-32000, "execution reverted")
        return answer


def _matches(log: Log, topics: list[Any]) -> bool:
    """Topic filters by position: null matches anything, a list any of its members (EIP-1474)."""
    if len(topics) > len(log.topics):
        return False
    for own, wanted in zip(log.topics, topics, strict=False):
        if wanted is None:
            continue
        if own not in [topic.lower() for topic in ([wanted] if isinstance(wanted, str) else wanted)]:
            return False
    return True


def _on_the_wire(log: Log) -> dict[str, Any]:
    return {
        "address": log.address,
        "topics": list(log.topics),
        "data": log.data,
        "blockNumber": hex(log.block),
        "blockHash": log.block_hash,
        "transactionHash": log.transaction,
        "transactionIndex": None if log.transaction_index is None else hex(log.transaction_index),
        "logIndex": None if log.log_index is None else hex(log.log_index),
        "removed": log.removed,
    }


def _failure(identifier: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "error": error.body}
