"""The two code paths there are: OpenAI's chat completions, which most servers speak, and Anthropic's messages.

The vendors' own clients speak; here one call is one HTTP request, bounded in time and size, and whatever goes wrong
becomes a `CallFailed` that says what kind of failure it was, without a word of what the server said: an error may
repeat the key or the prompt. Retries are the gateway's, so that each request is a row of the log.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from typing import Protocol as Interface

from .types import Answer, Protocol, Question

VENDORS: dict[Protocol, str] = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
# Some hundred times what the longest answer has.
MOST_BYTES = 4 << 20
_KINDS = ("application/json", "text/event-stream")
_CODE = re.compile(r"[a-z][a-z_]{2,39}")
# A server that asks for no key still gets one: without, the clients would take the environment's and send that.
NO_KEY = "none"

# What happened, by the status of the answer; anything else of 400 and up is `refused`.
_OUTCOMES = {401: "bad_key", 403: "bad_key", 404: "no_model", 408: "timeout", 409: "server_error",
             425: "server_error", 429: "rate_limited"}  # fmt: skip


class CallFailed(Exception):
    """One request that gave no answer; raised within the room only.

    `outcome`: see `gateway.FAILURES`; `sent`: the server may have worked, and charged, for it; tokens where told.
    """

    def __init__(
        self,
        outcome: str,
        reason: str,
        *,
        sent: bool,
        wait_seconds: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.outcome, self.reason, self.sent, self.wait_seconds = outcome, reason, sent, wait_seconds
        self.input_tokens, self.output_tokens = input_tokens, output_tokens


class Unfit(Exception):
    """An answer that is not read on: more bytes than any model says, compressed, or of another kind."""


@dataclass(slots=True)
class Told:
    """What a stream has said about itself so far."""

    text: str = ""
    model: str | None = None
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class Spoken:
    """A stream of pieces of text. `told` is filled while they are read; close it to end the request."""

    def __init__(self, pieces: Iterator[str], told: Told, stop: Any) -> None:
        self._pieces, self.told, self._stop = pieces, told, stop

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = next(self._pieces)
        self.told.text += piece
        return piece

    def close(self) -> None:
        """End the request, whether it was read to its end or not."""
        with suppress(Exception):
            self._stop()


class Client(Interface):
    """One server and one key. Both methods raise `CallFailed` and nothing else of the wire."""

    def complete(self, question: Question, timeout_seconds: float) -> Answer:
        """Return the whole answer."""

    def stream(self, question: Question, timeout_seconds: float) -> Spoken:
        """Return the answer in pieces, as they come."""

    def close(self) -> None:
        """Close its connections."""


def open_client(protocol: Protocol, base_url: str | None, key: str | None) -> Client:
    """Return the client for a server; None as `base_url` is the vendor's own. Sends nothing."""
    # At level DEBUG they log whole requests, prompts included.
    for name in ("openai", "anthropic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    made = _OpenAI if protocol == "openai" else _Anthropic
    return made(base_url or VENDORS[protocol], key or NO_KEY)


def _bounded_http() -> Any:
    """Return the HTTP client below both SDKs: proxies as the environment says, no redirects, bounded answers.

    The timeout of a client is one of silence: a server that sends a byte now and then would hold it for ever, so the
    same number of seconds bounds the whole answer. A redirect would carry the key elsewhere.
    """
    import httpx2

    class Bounded(httpx2.SyncByteStream):
        """Bytes of a body, so many and so long."""

        def __init__(self, inner: Any, until: float) -> None:
            self._inner, self._until = inner, until

        def __iter__(self) -> Iterator[bytes]:
            left = MOST_BYTES
            for part in self._inner:
                left -= len(part)
                if left < 0:
                    raise Unfit("an answer too large")
                if time.monotonic() > self._until:
                    raise httpx2.ReadTimeout("the whole answer takes too long")
                yield part

        def close(self) -> None:
            self._inner.close()

    def begin(request: Any) -> None:
        request.extensions["signaldelta_began"] = time.monotonic()

    def bound(response: Any) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Unfit("a compressed answer")  # It was asked not to: what it unfolds to could be any size.
        kind = response.headers.get("content-type", _KINDS[0]).partition(";")[0].strip().lower()
        if response.is_success and kind not in _KINDS:
            raise Unfit("an answer of another content type")
        timeouts, began = response.request.extensions["timeout"], response.request.extensions["signaldelta_began"]
        until = began + timeouts["read"]
        timeouts["read"] = max(until - time.monotonic(), 0.001)
        response.stream = Bounded(response.stream, until)

    return httpx2.Client(
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"request": [begin], "response": [bound]},
    )


class _OpenAI:
    def __init__(self, base_url: str, key: str) -> None:
        import openai

        self._key = key
        self._client = openai.OpenAI(
            api_key=key, base_url=base_url, max_retries=0, http_client=_bounded_http(),
            default_headers={"Accept-Encoding": "identity"},
        )  # fmt: skip

    def _arguments(self, question: Question, timeout_seconds: float) -> dict[str, Any]:
        messages = [{"role": "system", "content": question.system}]
        messages += [{"role": message.role, "content": message.text} for message in question.messages]
        more = {} if question.temperature is None else {"temperature": question.temperature}
        return {"model": question.model, "messages": messages, "max_tokens": question.max_tokens,
                "timeout": timeout_seconds, **more}  # fmt: skip

    def complete(self, question: Question, timeout_seconds: float) -> Answer:
        try:
            made = self._client.chat.completions.create(**self._arguments(question, timeout_seconds))
            used = getattr(made, "usage", None)
            tokens = _tokens(used, "prompt_tokens", "completion_tokens")
            text = made.choices[0].message.content if made.choices else None
            return _answer(text, made.model, made.choices[0].finish_reason if made.choices else None, tokens)
        except Exception as error:  # noqa: BLE001
            _failed(error, self._key)

    def stream(self, question: Question, timeout_seconds: float) -> Spoken:
        arguments = self._arguments(question, timeout_seconds)
        told = Told()
        try:
            # Without, the tokens of a stream are not told.
            events = self._client.chat.completions.create(
                **arguments, stream=True, stream_options={"include_usage": True}
            )
            closed = events.close
        except Exception as error:  # noqa: BLE001
            _failed(error, self._key)

        def pieces() -> Iterator[str]:
            try:
                for event in events:
                    told.model = event.model or told.model
                    tokens = _tokens(event.usage, "prompt_tokens", "completion_tokens")
                    told.input_tokens, told.output_tokens = (
                        tokens[0] if tokens[0] is not None else told.input_tokens,
                        tokens[1] if tokens[1] is not None else told.output_tokens,
                    )
                    for choice in event.choices[:1]:
                        told.stop_reason = choice.finish_reason or told.stop_reason
                        if choice.delta.content:
                            yield choice.delta.content
            except Exception as error:  # noqa: BLE001
                _failed(error, self._key, told)
            _ended(told)

        return Spoken(pieces(), told, closed)

    def close(self) -> None:
        self._client.close()


class _Anthropic:
    def __init__(self, base_url: str, key: str) -> None:
        import anthropic

        self._key = key
        self._client = anthropic.Anthropic(
            api_key=key, base_url=base_url, max_retries=0, http_client=_bounded_http(),
            default_headers={"Accept-Encoding": "identity"},
        )  # fmt: skip

    def _arguments(self, question: Question, timeout_seconds: float) -> dict[str, Any]:
        messages = [{"role": message.role, "content": message.text} for message in question.messages]
        return {"model": question.model, "system": question.system, "messages": messages,
                "max_tokens": question.max_tokens, "timeout": timeout_seconds}  # fmt: skip

    def complete(self, question: Question, timeout_seconds: float) -> Answer:
        try:
            made = self._client.messages.create(**self._arguments(question, timeout_seconds))
            tokens = _tokens(getattr(made, "usage", None), "input_tokens", "output_tokens")
            texts = [block.text for block in made.content if block.type == "text"]
            return _answer("".join(texts) if texts else None, made.model, made.stop_reason, tokens)
        except Exception as error:  # noqa: BLE001
            _failed(error, self._key)

    def stream(self, question: Question, timeout_seconds: float) -> Spoken:
        told = Told()
        try:
            events = self._client.messages.create(**self._arguments(question, timeout_seconds), stream=True)
            closed = events.close
        except Exception as error:  # noqa: BLE001
            _failed(error, self._key)

        def pieces() -> Iterator[str]:
            whole = False
            try:
                for event in events:
                    if event.type == "message_start":
                        told.model = event.message.model
                        told.input_tokens, _ = _tokens(event.message.usage, "input_tokens", "output_tokens")
                    elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                        yield event.delta.text
                    elif event.type == "message_delta":
                        told.stop_reason = event.delta.stop_reason
                        _, told.output_tokens = _tokens(event.usage, "input_tokens", "output_tokens")
                    whole = whole or event.type == "message_stop"
            except Exception as error:  # noqa: BLE001
                _failed(error, self._key, told)
            _ended(told, whole=whole)

        return Spoken(pieces(), told, closed)

    def close(self) -> None:
        self._client.close()


def _tokens(usage: Any, *names: str) -> tuple[int | None, int | None]:
    found = [getattr(usage, name, None) for name in names]
    return tuple(one if isinstance(one, int) and one >= 0 else None for one in found)  # type: ignore[return-value]


def _answer(text: object, model: object, stop_reason: str | None, tokens: tuple[int | None, int | None]) -> Answer:
    if not isinstance(text, str) or not text:
        raise CallFailed(
            "bad_answer", "an answer without text", sent=True, input_tokens=tokens[0], output_tokens=tokens[1]
        )
    return Answer(text, str(model), stop_reason, *tokens)


def _ended(told: Told, *, whole: bool = True) -> None:
    """Refuse a stream that ended without saying that it was at its end."""
    if told.stop_reason is None or not whole:
        raise CallFailed("cut", "the stream ended before its end", sent=True, input_tokens=told.input_tokens)
    if not told.text:
        raise CallFailed(
            "bad_answer", "an answer without text", sent=True,
            input_tokens=told.input_tokens, output_tokens=told.output_tokens,
        )  # fmt: skip


def _failed(error: Exception, key: str, told: Told | None = None) -> NoReturn:
    """Raise the `CallFailed` for what a client raised, cut off from it: its message may repeat what was sent."""
    if isinstance(error, CallFailed):
        raise error
    outcome, reason, sent, wait = _judged(error, key)
    raise CallFailed(
        outcome, reason, sent=sent, wait_seconds=wait, input_tokens=told.input_tokens if told else None
    ) from None


def _judged(error: Exception, key: str) -> tuple[str, str, bool, float | None]:
    """Return (outcome, reason, whether the server may have worked on it, seconds it asks to wait)."""
    import httpx2

    kind = type(error).__name__
    chain: list[BaseException] = []
    inner: BaseException | None = error
    while inner is not None and inner not in chain:
        chain.append(inner)
        inner = inner.__cause__ or inner.__context__
    unfit = next((one for one in chain if isinstance(one, Unfit)), None)
    if unfit is not None:
        return "bad_answer", str(unfit), True, None
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 300:
        outcome = _OUTCOMES.get(status, "server_error" if status >= 500 else "refused")
        # A redirect: the address is wrong, not the question.
        outcome = "bad_answer" if status < 400 else outcome
        code = _code(error, key)
        return outcome, f"{status} {kind}{code}", False, _retry_after(error)
    if any(isinstance(one, httpx2.ConnectError | httpx2.ConnectTimeout) for one in chain):
        return "unreachable", f"{kind}: no connection", False, None
    if "Timeout" in kind or any(isinstance(one, httpx2.TimeoutException) for one in chain):
        return "timeout", f"{kind}: Timeout", True, None
    if any(isinstance(one, httpx2.TransportError) for one in chain):
        return "cut", f"{kind}: connection lost", True, None
    if hasattr(error, "body") and kind != "APIResponseValidationError":
        return "server_error", f"{kind} within the answer{_code(error, key)}", True, None
    return "bad_answer", f"{kind}: not what the protocol says", True, None


def _code(error: Exception, key: str) -> str:
    """Return the vendor's code of an error where it is one word of small letters: no key or prompt looks like that."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    found = (inner.get("code") or inner.get("type")) if isinstance(inner, dict) else None
    good = isinstance(found, str) and _CODE.fullmatch(found) and found not in key and key not in found
    return f" ({found})" if good else ""


def _retry_after(error: Exception) -> float | None:
    """Return the seconds that an answer asks to wait (RFC 9110 section 10.2.3: a number or a date)."""
    response = getattr(error, "response", None)
    given = response.headers.get("retry-after") if response is not None else None
    if given is None:
        return None
    with suppress(ValueError):
        return max(float(given), 0.0)
    with suppress(ValueError, TypeError):
        return max(float((parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds()), 0.0)
    return None


class Clients:
    """One client per server and key, made at first use and kept: making one takes longer than most answers' heads."""

    def __init__(self) -> None:
        self._made: dict[tuple[Protocol, str | None, str | None], Client] = {}
        self._lock = threading.Lock()

    def get(self, protocol: Protocol, base_url: str | None, key: str | None) -> Client:
        """Return the client."""
        name = (protocol, base_url, key)
        with self._lock:
            if name not in self._made:
                self._made[name] = open_client(protocol, base_url, key)
            return self._made[name]

    def close(self) -> None:
        """Close all."""
        with self._lock:
            for client in self._made.values():
                with closing(client):
                    pass
            self._made.clear()
