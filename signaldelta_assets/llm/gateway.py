"""LLMRequest in, LLMResponse out: routes by the tables, one after the other, each call bounded, paid for and logged."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import psycopg
from pydantic import SecretStr

from signaldelta_assets.correlation import correlation_id
from signaldelta_assets.settings import Settings, read_key
from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import routing
from signaldelta_assets.warehouse.stores.routing import Usage

from .clients import CallFailed, Client, Clients, Spoken
from .types import (
    DECLINES,
    Answer,
    BecomesJobError,
    LLMRequest,
    LLMResponse,
    NoRouteError,
    Question,
    Route,
    RoutesFailedError,
    Skipped,
)
from .usage import UsageLog

# What is done about a call that gave no answer, by the outcome that its row has: asked again at the same route, then
# the next route; the next route at once; or neither, where another model would only be asked until one pleases.
FAILURES: Mapping[str, Literal["again", "next", "end"]] = {
    "rate_limited": "again",  # 429
    "server_error": "again",  # 500 and up, 409, 425, an error within a stream
    "timeout": "again",  # 408, or no whole answer in time
    "unreachable": "again",  # no connection
    "cut": "again",  # the connection was lost, or a stream ended before its end
    "bad_answer": "next",  # not what the protocol says, without text, too large, a redirect
    "bad_key": "next",  # 401, 403
    "no_model": "next",  # 404
    "refused": "end",  # any other status of 400 and up: the question itself is refused
    "declined": "end",  # the model answered that it will not
}
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 8.0
# Who asks for more than this is not waited for: the next route is asked.
_LONGEST_RETRY_AFTER_SECONDS = 30.0

log = logging.getLogger(__name__)
_Got = TypeVar("_Got")


@dataclass(slots=True)
class _Call:
    """One request under way: its row as far as it is known, and what was set aside for it."""

    row: Usage
    route: Route
    request: LLMRequest
    began: float
    most: Decimal
    released: Decimal | None


class Gateway:
    """The one way to a language model. Safe in several threads; close it, or use it as a context manager.

    `key`: returns the secret that a `key_setting` names, None where there is none. `spool`: the folder of entries of
    the log that wait for its home. Nothing is opened or read before the first request.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        key: Callable[[str], SecretStr | None],
        spool: Path,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._warehouse, self._key, self._sleep = warehouse, key, sleep
        self._clients = Clients()
        self.usage = UsageLog(warehouse, spool)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to models. The warehouse belongs to who made it."""
        self._clients.close()

    def plan(self, use_case: str) -> tuple[list[Route], list[Skipped]]:
        """Return the routes that a request of `use_case` would try here, in order, and those it would not, and why.

        A use-case is as heavy as its first route. Raises `NoRouteError` and `BecomesJobError`.
        """
        place = self._warehouse.place
        try:
            chain = [Route.of(row) for row in routing.read_chain(self._warehouse, use_case)]
        except psycopg.OperationalError as error:
            raise NoRouteError(use_case, (), f"the routes cannot be read ({type(error).__name__})") from None
        if not chain:
            raise NoRouteError(use_case, (), "llm_fallback_chain has no row for it")
        first = next((route for route in chain if route.enabled), None)
        if place == "aws" and first is not None and first.weight_class == "heavy":
            raise BecomesJobError(use_case, first)
        usable, skipped = [], []
        for route in chain:
            why = self._why_not(route)
            if why is None:
                usable.append(route)
            else:
                skipped.append(Skipped(route.route_id, why))
        if not usable:
            raise NoRouteError(use_case, tuple(skipped))
        return usable, skipped

    def _why_not(self, route: Route) -> str | None:
        place = self._warehouse.place
        if not route.enabled:
            return "switched off"
        if place == "aws" and route.weight_class == "heavy":
            return "heavy, and offsite only"
        if place not in route.locations and not (place == "one" and route.locations):
            return f"served at {', '.join(route.locations) or 'no place'}, not at {place}"
        if route.key_setting is not None and self._key(route.key_setting) is None:
            return f"no key: {route.key_setting} is not set"
        return None

    def complete(self, request: LLMRequest) -> LLMResponse:
        """Return the whole answer. Raises `LlmError`: see its kinds in `types`."""
        return self.along(request, *self._routes(request))

    def _routes(self, request: LLMRequest) -> tuple[list[Route], list[Skipped]]:
        """`plan` for one request. What has to become a job is held against the budget before it is told to."""
        try:
            return self.plan(request.use_case)
        except BecomesJobError as error:
            if request.tier is not None:
                row, most = self._row(request, error.route), _most(request, error.route)
                _with_budget(request, partial(self.usage.require, row, request.tier, most))
            raise

    def along(self, request: LLMRequest, routes: list[Route], skipped: list[Skipped]) -> LLMResponse:
        """Return the answer by `routes`, whatever the tables say: for who has to have one certain model."""

        def ask(client: Client, question: Question, seconds: float) -> Answer:
            answer = client.complete(question, seconds)
            _unless_declined(answer)
            return answer

        answer, call, failed = self._first(request, routes, skipped, ask)
        return self._end(call, answer, tuple(skipped), failed)

    def stream(self, request: LLMRequest) -> LLMStream:
        """Return the answer in pieces. Use it as a context manager: closed before its end, the rest is not paid for.

        Until the first piece a failure is met as in `complete`; after it raises `RoutesFailedError` from the stream.
        """
        routes, skipped = self._routes(request)

        def ask(client: Client, question: Question, seconds: float) -> tuple[Spoken, str]:
            spoken = client.stream(question, seconds)
            try:
                return spoken, next(spoken)
            except BaseException:
                spoken.close()
                raise

        (spoken, first), call, failed = self._first(request, routes, skipped, ask)
        return LLMStream(self, call, spoken, first, tuple(skipped), failed)

    def _first(
        self,
        request: LLMRequest,
        routes: list[Route],
        skipped: list[Skipped],
        ask: Callable[[Client, Question, float], _Got],
    ) -> tuple[_Got, _Call, tuple[str, ...]]:
        """Return what `ask` first gives without failing, the call it was, and the failures before it."""
        until = None if request.deadline_seconds is None else time.monotonic() + request.deadline_seconds
        failures: list[str] = []
        outcomes: list[str] = []
        for route in routes:
            key = self._key(route.key_setting) if route.key_setting is not None else None
            making = time.monotonic()
            client = self._clients.get(route.protocol, route.base_url, key.get_secret_value() if key else None)
            if until is not None:
                # The first of a process imports the vendor's package, which takes seconds: no route's fault.
                until += time.monotonic() - making
            for attempt in range(1, route.attempts + 1):
                left = route.timeout_seconds if until is None else min(route.timeout_seconds, until - time.monotonic())
                if left <= 0:
                    failures.append(f"no time left of {request.deadline_seconds:g} s")
                    raise RoutesFailedError(request.use_case, tuple(failures), tuple(outcomes), tuple(skipped))
                call = self._begin(request, route)
                try:
                    return ask(client, request.question(route.model), left), call, tuple(failures)
                except CallFailed as error:
                    failed = error
                except StopIteration:
                    failed = CallFailed("bad_answer", "an answer without text", sent=True)
                except BaseException as error:
                    self._lose(call, CallFailed("cancelled", f"given up here: {type(error).__name__}", sent=True))
                    raise
                self._lose(call, failed)
                failures.append(f"{route.protocol} {route.model}: {failed.reason}")
                outcomes.append(failed.outcome)
                then = FAILURES[failed.outcome]
                if then == "end":
                    raise RoutesFailedError(request.use_case, tuple(failures), tuple(outcomes), tuple(skipped))
                if then == "next" or attempt == route.attempts:
                    break
                wait = _wait(attempt, failed.wait_seconds)
                if wait > _LONGEST_RETRY_AFTER_SECONDS or (until is not None and time.monotonic() + wait >= until):
                    break
                self._sleep(wait)
        raise RoutesFailedError(request.use_case, tuple(failures), tuple(outcomes), tuple(skipped))

    def _begin(self, request: LLMRequest, route: Route) -> _Call:
        """Set aside the most that the call can cost. Raises `BudgetExceededError`, `NoRouteError` without database."""
        row, most = self._row(request, route), _most(request, route)
        released, tier = None, request.tier
        if tier is not None and _with_budget(request, partial(self.usage.reserve, row, tier, most)):
            # The id of what was set aside is taken.
            row, released = replace(row, usage_id=new_ulid()), most
        return _Call(row, route, request, time.monotonic(), most, released)

    def _row(self, request: LLMRequest, route: Route) -> Usage:
        """What the log will say of a call, as far as it is known before."""
        return Usage(
            usage_id=new_ulid(),
            event_time=datetime.now(UTC),
            use_case=request.use_case,
            route_id=route.route_id,
            model=route.model,
            location=self._warehouse.place,
            user_id=request.user_id,
            correlation_id=correlation_id(),
            input_tokens=None,
            output_tokens=None,
            cost=None,
            latency_ms=0.0,
            outcome="",
            error=None,
        )

    def _end(self, call: _Call, answer: Answer, skipped: tuple[Skipped, ...], failed: tuple[str, ...]) -> LLMResponse:
        """Log an answer; return it. Tokens that the server does not tell are charged for at their most."""
        told = answer.input_tokens, answer.output_tokens
        used = (
            call.request.most_input_tokens if told[0] is None else told[0],
            len(answer.text.encode()) if told[1] is None else told[1],
        )
        # Of a stream it is known at its end only, when it has been said.
        outcome = "declined" if answer.stop_reason in DECLINES else "ok"
        error = "tokens not told: charged at their most" if None in told else None
        row = self._log(call, told, call.route.cost(*used), outcome, error)
        return LLMResponse(
            answer.text, row.route_id, answer.model, answer.stop_reason, *told, row.cost, row.latency_ms, row.usage_id,
            skipped, failed,
        )  # fmt: skip

    def _lose(self, call: _Call, failed: CallFailed) -> None:
        """Log a call without answer. What the server may have charged for it is not known: the most it can be."""
        told = failed.input_tokens, failed.output_tokens
        cost: Decimal | None = Decimal(0)
        if failed.sent:
            used = (call.request.most_input_tokens if told[0] is None else told[0],
                    call.request.max_tokens if told[1] is None else told[1])  # fmt: skip
            cost = call.route.cost(*used)
        self._log(call, told, cost, failed.outcome, failed.reason)

    def _stop(self, call: _Call, spoken: Spoken) -> None:
        """Log a stream that its reader ended: the tokens up to there, reckoned at their most where none were told."""
        told = spoken.told
        used = (
            call.request.most_input_tokens if told.input_tokens is None else told.input_tokens,
            min(len(told.text.encode()), call.request.max_tokens) if told.output_tokens is None else told.output_tokens,
        )
        self._log(call, used, call.route.cost(*used), "cancelled", "ended by its reader; tokens at their most")

    def _log(
        self,
        call: _Call,
        tokens: tuple[int | None, int | None],
        cost: Decimal | None,
        outcome: str,
        error: str | None,
    ) -> Usage:
        milliseconds = (time.monotonic() - call.began) * 1000
        row = replace(call.row, input_tokens=tokens[0], output_tokens=tokens[1], cost=cost, latency_ms=milliseconds,
                   outcome=outcome, error=error)  # fmt: skip
        log.info(
            "model %s by route %s for %s: %s in %.0f ms, correlation id %s",
            row.model, row.route_id, row.use_case, outcome, milliseconds, row.correlation_id,
        )  # fmt: skip
        self.usage.put(row, call.released)
        return row


def _most(request: LLMRequest, route: Route) -> Decimal:
    """Return the most that a call can cost."""
    return route.cost(request.most_input_tokens, request.max_tokens) or Decimal(0)


def _with_budget(request: LLMRequest, reckon: Callable[[], _Got]) -> _Got:
    """Return what `reckon` does. Raises `NoRouteError` where the database that the budget is in does not answer."""
    try:
        return reckon()
    except psycopg.OperationalError as error:
        raise NoRouteError(request.use_case, (), f"the budget cannot be read ({type(error).__name__})") from None


class LLMStream:
    """Pieces of an answer. `response` once it has been read to its end. Close it: what follows is then not said.

    Reading raises `RoutesFailedError` where the stream fails after its first piece: what was said cannot be taken back,
    so no other route is asked.
    """

    def __init__(
        self, gateway: Gateway, call: _Call, spoken: Spoken, first: str, skipped: tuple[Skipped, ...],
        failed: tuple[str, ...],
    ) -> None:  # fmt: skip
        self._gateway, self._call, self._spoken = gateway, call, spoken
        self._first: str | None = first
        self._skipped, self._failed = skipped, failed
        self._over = False
        self.response: LLMResponse | None = None

    @property
    def route_id(self) -> str:
        """The route that answers."""
        return self._call.route.route_id

    @property
    def model(self) -> str:
        """The model that says it answers, that of the route until it says so."""
        return self._spoken.told.model or self._call.route.model

    @property
    def usage_id(self) -> str:
        """The row of `llm_usage_log`, written at the end."""
        return self._call.row.usage_id

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._over:
            raise StopIteration
        if self._first is not None:
            first, self._first = self._first, None
            return first
        told = self._spoken.told
        try:
            return next(self._spoken)
        except StopIteration:
            self._over = True
            self._spoken.close()
            answer = Answer(told.text, told.model or self._call.route.model, told.stop_reason, told.input_tokens,
                            told.output_tokens)  # fmt: skip
            self.response = self._gateway._end(self._call, answer, self._skipped, self._failed)
            raise
        except CallFailed as error:
            failed = error
        self._over = True
        self._spoken.close()
        self._gateway._lose(self._call, failed)
        route = self._call.route
        reasons = (*self._failed, f"{route.protocol} {route.model}: {failed.reason}")
        raise RoutesFailedError(self._call.request.use_case, reasons, (failed.outcome,), self._skipped)

    def close(self) -> None:
        """End it. Ended before its end it is logged as cancelled, with the tokens up to here."""
        if not self._over:
            self._over = True
            self._spoken.close()
            self._gateway._stop(self._call, self._spoken)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_over", True):
            self.close()


def _unless_declined(answer: Answer) -> None:
    if answer.stop_reason in DECLINES:
        raise CallFailed(
            "declined", f"it declined ({answer.stop_reason})", sent=True,
            input_tokens=answer.input_tokens, output_tokens=answer.output_tokens,
        )  # fmt: skip


def _wait(attempt: int, asked: float | None) -> float:
    """Return the seconds before the next try: what the server asks for, else a growing share, drawn by lot.

    By lot (full jitter), so that those who failed together do not come back together.
    """
    if asked is not None:
        return asked
    longest = min(_FIRST_WAIT_SECONDS * 2 ** (attempt - 1), _LONGEST_WAIT_SECONDS)
    return float(longest * random.uniform(0.5, 1.0))


def open_gateway(settings: Settings, warehouse: Warehouse) -> Gateway:
    """Return the gateway of this deployment over `warehouse`: keys by the environment, the spool under its home."""
    return Gateway(warehouse, read_key, settings.home_dir / "llm-usage")
