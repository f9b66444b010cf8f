"""A language model on loopback: OpenAI's chat completions and Anthropic's messages, answered by counting words.

It knows no language. Of the words that the system prompt offers it says the one that the text contains most often, the
last one where none occurs; so answers are the same on every machine. What it is made to say next, and how it
misbehaves, can be ordered.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_OFFERED = re.compile(r"one of these words and nothing else: ([\w, ]+)\.")
_WORD = re.compile(r"\w+")


class ModelRoutes:
    """The routes of both protocols, and `POST /__replay__/model` with a list of texts to answer next."""

    def __init__(self) -> None:
        self._next: deque[str] = deque()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/api.openai.com/v1/chat/completions", self.completions, methods=["POST"]),
            Route("/api.anthropic.com/v1/messages", self.messages, methods=["POST"]),
            Route("/__replay__/model", self.order, methods=["POST"]),
        ]

    async def order(self, request: Request) -> Response:
        self._next.extend(json.loads(await request.body()))
        return Response(status_code=204)

    async def completions(self, request: Request) -> Response:
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return _openai_error(401, "invalid_api_key", "You didn't provide an API key.")
        body, wrong = _body(await request.body(), ("model", "messages"))
        if body is None:
            return _openai_error(400, "invalid_request_error", wrong)
        texts = {message.get("role"): str(message.get("content")) for message in body["messages"]}
        answer = self._answer(texts.get("system", ""), texts.get("user", ""))
        asked = sum(len(_WORD.findall(text)) for text in texts.values())
        return JSONResponse(
            {
                "id": "chatcmpl-replay",
                "object": "chat.completion",
                "created": 0,
                "model": f"{body['model']}-replay",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}],
                "usage": {"prompt_tokens": asked, "completion_tokens": 1, "total_tokens": asked + 1},
            }
        )

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
        answer = self._answer(system, user)
        return JSONResponse(
            {
                "id": "msg_replay",
                "type": "message",
                "role": "assistant",
                "model": f"{body['model']}-replay",
                "content": [{"type": "text", "text": answer}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": len(_WORD.findall(system + " " + user)), "output_tokens": 1},
            }
        )

    def _answer(self, system: str, text: str) -> str:
        if self._next:
            return self._next.popleft()
        offered = _OFFERED.search(system)
        words = [word.strip() for word in offered.group(1).split(",")] if offered else ["?"]
        said = [word.lower() for word in _WORD.findall(text)]
        counted = {word: said.count(word) for word in words}
        return max(words, key=lambda word: (counted[word], word == words[-1]))


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
