"""What a route asks of its caller, as FastAPI dependencies that say so of themselves.

Each is made by a factory and carries its `Requirement`, which the list of routes is made from: what is shown is what is
enforced. They share one `admit` per request, however many a route has.
"""

# FastAPI reads the annotations of these functions as they are.
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from starlette.concurrency import run_in_threadpool

from ..problems import ProblemError
from .access import Access
from .principal import TIERS, Principal
from .seen import seen_of


@dataclass(frozen=True, slots=True)
class Requirement:
    """What is asked: nothing, for the reason `public`; or a principal of a tier, with a feature, an administrator."""

    public: str | None = None
    tier: str | None = None
    feature: str | None = None
    admin: bool = False


async def admit(request: Request) -> Principal:
    """The principal of the request, counted once: `request.app.state.access` decides.

    Keys are judged together with those of other requests; a token may have to wait for its issuer, and does so alone.
    """
    admitted = seen_of(request.scope).admitted
    if admitted is not None:
        return admitted
    access: Access = request.app.state.access
    if access.resolver is None:
        return access.admit(request)
    if access.desk is None or "authorization" in request.headers:
        return await run_in_threadpool(access.admit, request)
    return await access.desk.admit(request)


PrincipalOf = Annotated[Principal, Depends(admit)]


def require_tier(tier: str) -> Any:
    """A dependency: a principal of that tier or one above it, else 403. Raises ValueError for a tier there is not."""
    if tier not in TIERS:
        raise ValueError(f"tier: expected one of {TIERS}, found {tier!r}")

    async def check(request: Request) -> Principal:
        principal = await admit(request)
        if not principal.has_tier(tier):
            _refuse(request, f"the tier {tier} is needed; this user's is {principal.tier}")
        return principal

    return _declared(check, Requirement(tier=tier))


def require_feature(feature: str) -> Any:
    """A dependency: a principal whose tier has that feature, else 403. Where access is open, everybody has it."""

    async def check(request: Request) -> Principal:
        principal = await admit(request)
        if principal.by != "open" and principal.entitlements.get(feature) is not True:
            _refuse(request, f"the tier {principal.tier} has not the feature {feature!r}")
        return principal

    return _declared(check, Requirement(feature=feature))


def require_admin() -> Any:
    """A dependency: an administrator, by a token or a key with the scope `admin`, else 403."""

    async def check(request: Request) -> Principal:
        principal = await admit(request)
        if not principal.is_admin:
            _refuse(request, "an administrator is needed")
        return principal

    return _declared(check, Requirement(admin=True))


def public(reason: str) -> Any:
    """A dependency that lets everybody in, uncounted, and says why. Raises ValueError without a reason."""
    if not reason:
        raise ValueError("a public route says why it is public")

    async def check() -> None:
        return None

    return _declared(check, Requirement(public=reason))


def requirements_of(dependant: Dependant | None) -> list[Requirement]:
    """Return what a route's dependencies ask, in their order; empty where they say nothing."""
    return [] if dependant is None else [found for found in map(_requirement, _flat(dependant)) if found]


def _flat(dependant: Dependant) -> Iterator[Dependant]:
    for inner in dependant.dependencies:
        yield inner
        yield from _flat(inner)


def _requirement(dependant: Dependant) -> Requirement | None:
    return getattr(dependant.call, "requirement", None)


def _declared(check: Callable[..., Any], requirement: Requirement) -> Any:
    check.requirement = requirement  # type: ignore[attr-defined]
    return Depends(check)


def _refuse(request: Request, words: str) -> None:
    seen_of(request.scope).reason = words
    raise ProblemError(403, "forbidden", words)
