"""Letting a request in: who it is, whether one more is allowed, and a line in the log where it is not.

Order: the credential; then, in one transaction, whether this address has guessed too often, and the counts of the
address, the key and the user. A guesser learns nothing: right or wrong, the answer after too many guesses is the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from starlette.requests import Request

from ..problems import ProblemError
from .addresses import client_address, host_of, is_loopback
from .desk import Desk
from .principal import OPEN, Principal
from .resolving import RefusedCredentialError, Resolver, number
from .seen import Seen, seen_of
from .stores import Allowance, Asked, AuditLog, AuditLogError, Counted, RequestCounter
from .tokens import KeysUnavailableError

log = logging.getLogger("signaldelta.api.auth")

HOUR = 3600
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="signaldelta", ApiKey realm="signaldelta"'}
# Refusals for being too many are told once in so long for each caller, with how many they were.
_FOLD_SECONDS = 1.0


# What the steps of letting in ask: the keys of a prefix, or to be counted.
Question = str | Asked


@dataclass(frozen=True, slots=True)
class Limits:
    """What an address may do, whoever asks from it; a user's and a key's limits are their own.

    address_per_hour: requests, 0 for no limit. refused: wrong credentials in `refused_seconds`, and then none is
    looked at until those are over.
    """

    address_per_hour: int = 20_000
    refused: int = 60
    refused_seconds: int = 600


@dataclass
class Access:
    """The way in. `resolver` None: access is open, to this machine alone."""

    resolver: Resolver | None
    counter: RequestCounter | None = None
    audit: AuditLog | None = None
    limits: Limits = field(default_factory=Limits)
    _folded: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict, repr=False)
    _fold_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @cached_property
    def desk(self) -> Desk | None:
        """Where requests wait together; None where the stores cannot be asked for several at once."""
        if self.resolver is None or not hasattr(self.counter, "count_all"):
            return None
        return Desk(self)

    @classmethod
    def open(cls, audit: AuditLog | None = None) -> Access:
        """Everybody on this machine is an administrator; a request from anywhere else is refused."""
        return cls(None, audit=audit)

    def admit(self, request: Request) -> Principal:
        """Return who asks, having counted the request. Raises the problem (401, 403, 429, 503) where it is not let in.

        Asked again of the same request, it counts nothing and says the same. Blocks on the user store: call it in a
        thread. `Desk` does the same for several at once.
        """
        steps = self.steps(request)
        try:
            asked = next(steps)
            while True:
                asked = steps.send(self._answer(asked))
        except StopIteration as done:
            principal: Principal = done.value
            return principal

    def _answer(self, asked: Question) -> Any:
        if isinstance(asked, str):
            assert self.resolver is not None
            return self.resolver.users.keys_of_prefix(asked)
        assert self.counter is not None
        return self.counter.count(*asked)

    def steps(self, request: Request) -> Generator[Question, Any, Principal]:
        """What `admit` does, without asking the stores itself: it yields what is to be asked, and is sent the answer.

        So that one way to the store can serve the questions of many.
        """
        seen = seen_of(request.scope)
        if seen.admitted is not None:
            return seen.admitted
        if self.resolver is None:
            require_this_machine(
                request,
                "open access is for this machine alone",
                "This API is open to its own machine alone: it asks nobody who they are.",
            )
            seen.principal = seen.admitted = OPEN
            return OPEN
        address = client_address(request.scope)
        guesses = Allowance("refused", address, self.limits.refused, self.limits.refused_seconds)
        try:
            principal = yield from self.resolver.resolve(request.headers)
        except RefusedCredentialError as refusal:
            seen.reason, seen.owner = refusal.reason, refusal.user_id
            yield from self._count(seen, [guesses] if refusal.shown else self._of_address(address))
            raise _unauthenticated() from refusal
        except KeysUnavailableError as error:
            seen.reason = "identity provider unavailable"
            words = "The identity provider's keys cannot be had: no token can be judged."
            raise ProblemError(503, "identity-provider-unavailable", words, headers={"Retry-After": "10"}) from error
        seen.principal = principal
        allowances = self._of_address(address)
        if principal.counted_as is not None and principal.requests_per_hour is not None:
            allowances.append(Allowance("key", principal.counted_as, principal.requests_per_hour, HOUR))
        allowances.append(
            Allowance("user", principal.user_id or "", number(principal.entitlements, "requests_per_hour"), HOUR)
        )
        yield from self._count(seen, allowances, guesses)
        needed = "read" if request.method in _SAFE_METHODS else "write"
        if needed not in principal.scopes:
            seen.reason = f"scope {needed}"
            raise ProblemError(403, "forbidden", f"this key has not the scope {needed!r}")
        seen.admitted = principal
        return principal

    def _of_address(self, address: str) -> list[Allowance]:
        allowed = self.limits.address_per_hour
        return [Allowance("address", address, allowed, HOUR)] if allowed else []

    def _count(
        self, seen: Seen, allowances: Sequence[Allowance], barred: Allowance | None = None
    ) -> Generator[Asked, Sequence[Counted], None]:
        if self.counter is None:
            return
        # How many wrong ones are left is told to nobody.
        counted = yield (allowances, barred)
        seen.limited = True
        seen.counted = [one for one in counted if one.allowance.scope != "refused" or not one.within]
        if counted and not counted[-1].within:
            over = counted[-1]
            seen.reason = f"limit of the {over.allowance.scope}"
            words = {
                "refused": "too many wrong credentials from this address",
                "address": "too many requests from this address",
                "key": "too many requests with this key",
            }.get(over.allowance.scope, "too many requests of this user")
            wait = str(over.reset_seconds)
            raise ProblemError(429, "rate-limited", f"{words}: wait {wait} s", headers={"Retry-After": wait})

    def note_refusal(self, scope: Mapping[str, Any], route: str | None, status: int) -> None:
        """Keep a line of a request that was refused, or that would change something and was not noted otherwise.

        Refusals for being too many, and those that no limit holds, are one line a second for each caller and route,
        `times` their number; those of the last second are told with the next. A flood cannot fill the log. A log that
        cannot be written is an error in the process's own.
        """
        if self.audit is None:
            return
        seen = seen_of(scope)
        principal = seen.principal
        user_id = principal.user_id if principal else seen.owner
        detail: dict[str, Any] = {
            "method": scope["method"],
            "status": status,
            "address": client_address(scope),  # type: ignore[arg-type]
            "outcome": "refused" if status in (401, 403, 429) else "done" if status < 400 else "failed",
        }
        if seen.reason is not None:
            detail["reason"] = seen.reason
        if principal is not None:
            detail |= {"by": principal.by} | ({"key": principal.key_id} if principal.key_id else {})
        if status == 429 or (detail["outcome"] == "refused" and not seen.limited):
            times = self._fold((user_id or "", detail["address"], route or "", seen.reason or ""))
            if times == 0:
                return
            detail["times"] = times
        kind = "request.refused" if detail["outcome"] == "refused" else "request.change"
        try:
            self.audit.note(user_id, kind, route, detail)
        except AuditLogError:
            # The answer stands; the line goes to the log of the process.
            log.exception("not in the audit log: %s %s %s %s", kind, user_id, route, detail)

    def _fold(self, caller: tuple[str, ...]) -> int:
        """How many refusals of a caller are to be told now: this one and those since the last line; 0 for not yet."""
        now = time.monotonic()
        with self._fold_lock:
            told, waiting = self._folded.get(caller, (-_FOLD_SECONDS, 0))
            if now - told < _FOLD_SECONDS:
                self._folded[caller] = (told, waiting + 1)
                return 0
            if len(self._folded) > 10_000:
                self._folded.clear()
            self._folded[caller] = (now, 0)
            return waiting + 1


def _unauthenticated() -> ProblemError:
    # One answer for all: whether a key is unknown, revoked, expired, or its user's access was ended, is not told.
    words = "A valid bearer token or X-API-Key is needed."
    return ProblemError(401, "unauthenticated", words, headers=dict(_CHALLENGE))


def require_this_machine(request: Request, reason: str, words: str) -> None:
    """Raise the problem (403, `words`; `reason` for the log) for what comes from elsewhere: by address and name.

    The name: a page of another site can have its own name lead to this machine, and would read along.
    """
    address = client_address(request.scope)
    server = request.scope.get("server")
    far = not is_loopback(address)
    if not far and address != "local":
        far = not is_loopback(host_of(request.headers.get("host", ""))) or not is_loopback(str(server and server[0]))
    if far:
        seen_of(request.scope).reason = reason
        raise ProblemError(403, "forbidden", words)
