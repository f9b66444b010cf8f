"""A language model on loopback: OpenAI's chat completions and Anthropic's messages, answered by counting words.

It knows no language. Of the words that the system prompt offers it says the one that the text contains most often, the
last one where none occurs; so answers are the same on every machine. What it is made to say next, and how it
misbehaves, can be ordered: a text, or `{"kind": ..., "text": ...}` with one of `KINDS`. Answers come whole or, where
`stream` is asked for, in pieces of a word.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

_OFFERED = re.compile(r"one of these words and nothing else: ([\w, ]+)\.")
_WORD = re.compile(r"\w+")
# empty: no choices, or no content; silent: says nothing of tokens; malformed: JSON that breaks off; huge: a text of
# `bytes`; hang: nothing for `seconds`; cut: a stream that ends without its end, and an answer without its second half;
# refusal: the model declines; echo: an error of `status` that repeats the key; status: an error of `status`, with
# `retry_after`; mid: an error inside a stream; redirect: to elsewhere; drip: a byte now and then.
KINDS = ("say", "empty", "silent", "malformed", "huge", "hang", "cut", "refusal", "echo", "status", "mid", "redirect",
         "drip")  # fmt: skip


class ModelRoutes:
    """The routes of both protocols, and `POST /__replay__/model` with a list of texts to answer next."""

    def __init__(self) -> None:
        self._next: deque[dict[str, Any]] = deque()
        self.last: dict[str, Any] = {}

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/api.openai.com/v1/chat/completions", self.completions, methods=["POST"]),
            Route("/api.anthropic.com/v1/messages", self.messages, methods=["POST"]),
            Route("/__replay__/model", self.order, methods=["POST"]),
            Route("/__replay__/model", self.forget, methods=["DELETE"]),
            Route("/__replay__/model", self.asked, methods=["GET"]),
        ]

    async def order(self, request: Request) -> Response:
        given = [
            one if isinstance(one, dict) else {"kind": "say", "text": one} for one in json.loads(await request.body())
        ]
        wrong = [one["kind"] for one in given if one.get("kind") not in KINDS]
        if wrong:
            return JSONResponse({"error": f"kind: expected one of {', '.join(KINDS)}, found {wrong[0]!r}"}, 400)
        self._next.extend(given)
        return Response(status_code=204)

    async def forget(self, request: Request) -> Response:
        self._next.clear()
        return Response(status_code=204)

    async def asked(self, request: Request) -> Response:
        return JSONResponse(self.last)

    async def completions(self, request: Request) -> Response:
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return _openai_error(401, "invalid_api_key", "You didn't provide an API key.")
        body, wrong = _body(await request.body(), ("model", "messages"))
        if body is None:
            return _openai_error(400, "invalid_request_error", wrong)
        self.last = body
        texts = {message.get("role"): str(message.get("content")) for message in body["messages"]}
        order, text = self._answer(texts.get("system", ""), texts.get("user", ""))
        asked = sum(len(_WORD.findall(text)) for text in texts.values())
        key = request.headers["authorization"].removeprefix("Bearer ")
        wrong_answer = await _misbehave(order, key, _openai_error)
        if wrong_answer is not None:
            return wrong_answer
        kind, words = order["kind"], _pieces(text)
        reason = "content_filter" if kind == "refusal" else "stop"
        usage = {"prompt_tokens": asked, "completion_tokens": len(words), "total_tokens": asked + len(words)}
        head = {"id": "chatcmpl-replay", "created": 0, "model": f"{body['model']}-replay"}
        if body.get("stream"):
            chunk = head | {"object": "chat.completion.chunk"}
            events = [
                {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": word}}]} for word in words
            ]
            end = [{**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}]
            if (body.get("stream_options") or {}).get("include_usage") and kind != "silent":
                end.append({**chunk, "choices": [], "usage": usage})
            mid = {"error": {"message": f"overloaded {key}", "type": "server_error"}}
            said = [f"data: {json.dumps(event)}\n\n" for event in _kept(kind, events, end, mid)]
            return _stream(kind, said, "" if kind in ("cut", "mid") else "data: [DONE]\n\n")
        choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}}
        whole = head | {"object": "chat.completion", "choices": [] if kind == "empty" else [choice]}
        return _whole(kind, whole if kind == "silent" else whole | {"usage": usage})

    async def messages(self, request: Request) -> Response:
        # The key goes out as x-api-key up to the API version of 2023-06-01, as a bearer token since.
        if not (request.headers.get("x-api-key") or request.headers.get("authorization", "").startswith("Bearer ")):
            return _anthropic_error(401, "authentication_error", "x-api-key header is required")
        if not request.headers.get("anthropic-version"):
            return _anthropic_error(400, "invalid_request_error", "anthropic-version: header is required")
        body, wrong = _body(await request.body(), ("model", "messages", "max_tokens"))
        if body is None:
            return _anthropic_error(400, "invalid_request_error", wrong)
        if "temperature" in body and request.headers["anthropic-version"] >= "2026-10-21":
            return _anthropic_error(400, "invalid_request_error", "temperature: Extra inputs are not permitted")
        system, user = str(body.get("system", "")), str(body["messages"][-1].get("content"))
        self.last = body
        order, text = self._answer(system, user)
        key = request.headers.get("x-api-key") or request.headers["authorization"].removeprefix("Bearer ")
        wrong_answer = await _misbehave(order, key, _anthropic_error)
        if wrong_answer is not None:
            return wrong_answer
        kind, words = order["kind"], _pieces(text)
        reason = "refusal" if kind == "refusal" else "end_turn"
        asked = len(_WORD.findall(system + " " + user))
        usage = {} if kind == "silent" else {"usage": {"input_tokens": asked, "output_tokens": len(words)}}
        head = {"id": "msg_replay", "type": "message", "role": "assistant", "model": f"{body['model']}-replay"}
        if body.get("stream"):
            started: dict[str, Any] = {**head, "content": [], "stop_reason": None, "stop_sequence": None, **usage}
            block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            begin = [{"type": "message_start", "message": started}, block]
            events = [
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
                for word in words
            ]
            end = [{"type": "content_block_stop", "index": 0},
                   {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, **usage},
                   {"type": "message_stop"}]  # fmt: skip
            mid = {"type": "error", "error": {"type": "overloaded_error", "message": f"overloaded {key}"}}
            kept = [*begin, *_kept(kind, events, end, mid)]
            return _stream(kind, [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in kept], "")
        content = [] if kind == "empty" else [{"type": "text", "text": text}]
        return _whole(kind, {**head, "content": content, "stop_reason": reason, "stop_sequence": None, **usage})

    def _answer(self, system: str, text: str) -> tuple[dict[str, Any], str]:
        """Return the next order and the text it says."""
        order = self._next.popleft() if self._next else {"kind": "say"}
        if order["kind"] == "huge":
            return order, "x " * (order.get("bytes", 6 << 20) // 2)
        if order["kind"] == "empty":
            return order, ""
        if "text" in order:
            return order, order["text"]
        offered = _OFFERED.search(system)
        words = [word.strip() for word in offered.group(1).split(",")] if offered else ["?"]
        said = [word.lower() for word in _WORD.findall(text)]
        counted = {word: said.count(word) for word in words}
        return order, max(words, key=lambda word: (counted[word], word == words[-1]))


async def _misbehave(order: dict[str, Any], key: str, error: Any) -> Response | None:
    """Return the answer of an order that gives none of the protocol, None for the others; hang where it says so."""
    kind, status = order["kind"], order.get("status", 503)
    if kind == "hang":
        await asyncio.sleep(order.get("seconds", 30))
    if kind == "echo":
        refused: Response = error(status, "invalid_api_key", f"Incorrect API key provided: {key}")
        return refused
    if kind == "status":
        answer: Response = error(status, "overloaded_error", "try again later")
        if "retry_after" in order:
            answer.headers["retry-after"] = order["retry_after"]
        return answer
    if kind == "redirect":
        return Response(status_code=307, headers={"location": order["to"]})
    return None


def _pieces(text: str) -> list[str]:
    """Cut a text after its blanks, so that its pieces make it again; a huge one in a few."""
    return (
        re.findall(r"\S*\s*", text)[:-1]
        if len(text) < 10_000
        else [text[i : i + 65536] for i in range(0, len(text), 65536)]
    )


def _kept(kind: str, events: list[Any], end: list[Any], mid: Any) -> list[Any]:
    half = events[: max(len(events) // 2, 1)]
    return half if kind == "cut" else [*half, mid] if kind == "mid" else [*events, *end]


def _stream(kind: str, said: list[str], last: str) -> Response:
    async def body() -> AsyncIterator[str]:
        for number, event in enumerate(said):
            if kind == "malformed" and number == len(said) // 2:
                yield event.replace("}", "", 1)
                continue
            if kind == "drip":
                await asyncio.sleep(0.1)
            yield event
        yield last

    return StreamingResponse(body(), media_type="text/event-stream")


def _whole(kind: str, document: dict[str, Any]) -> Response:
    text = json.dumps(document)
    if kind == "malformed":
        return Response(text[: len(text) // 2], media_type="application/json")
    if kind not in ("cut", "drip"):
        return Response(text, media_type="application/json")

    async def body() -> AsyncIterator[str]:
        if kind == "cut":
            yield text[: len(text) // 2]
            return
        for letter in text:
            await asyncio.sleep(0.1)
            yield letter

    length = {"content-length": str(len(text))} if kind == "cut" else {}
    return StreamingResponse(body(), media_type="application/json", headers=length)


def _body(raw: bytes, required: tuple[str, ...]) -> tuple[dict[str, Any] | None, str]:
    try:
        body = json.loads(raw)
    except ValueError:
        return None, "the body is not JSON"
    missing = [name for name in required if not (isinstance(body, dict) and body.get(name))]
    return (None, f"{missing[0]}: field required") if missing else (body, "")


def _openai_error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": kind}}, status)


def _anthropic_error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"type": "error", "error": {"type": kind, "message": message}}, status)
