"""Jobs: see them, follow them, end them; dead letters and trying them again. Filing them is in `filing`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import JSONResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import dead_letters
from signaldelta_assets.warehouse.stores import jobs as store

from .. import paging
from ..auth import Principal, PrincipalOf, require_tier
from ..auth.seen import seen_of
from ..dependencies import WarehouseOf, reads
from ..jobs import dagster_link, filing
from ..jobs.retrying import NotRetriedError, retry
from ..live import Feed, State
from ..names import PLAIN
from ..problems import ProblemError, not_found, responses
from ..reading import Router
from ..schemas.base import Meta
from ..schemas.jobs import DeadLetter, DeadLetterPage, Job, JobPage, KindName
from ..schemas.jobs import State as StateName

PATH = "/api/v2/platform/jobs"
router = Router(prefix="/platform/jobs", tags=["platform"], dependencies=[require_tier("free")])
_READS = reads("jobs", "users", "tier_entitlements", "api_keys")
_LETTERS = reads("dead_letters", "jobs", "users", "tier_entitlements", "api_keys")
# Whose jobs are which belongs into no cache.
NO_STORE = {"Cache-Control": "no-store"}
_REFUSED = {"idempotency-key-reused": 409, "no-jobs": 403}
_ENDED = ("complete", "failed", "canceled")
JobId = Annotated[str, PathParameter(pattern="^[0-9A-Z]{26}$", examples=["01HZFNS0V0QJ5Y8T1J3M8Z6K4D"])]


def shown(row: Mapping[str, Any], webserver: str | None) -> Job:
    """Return a job as its owner sees it."""
    at = f"{PATH}/{row['job_id']}"
    links = {"self": at, "events": f"{at}/events", "cancel": f"{at}/cancel"}
    return Job.model_validate({**row, "links": links | (dagster_link(row, webserver) if webserver else {})})


def answered(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `model` as JSON that no cache keeps."""
    return JSONResponse(model.model_dump(mode="json"), status, headers={**NO_STORE, **(headers or {})})


def taken(request: Request, row: Mapping[str, Any], new: bool) -> Response:
    """Return the answer to who filed a job, and let the dispatcher look."""
    wake(request)
    headers = {"Location": f"{PATH}/{row['job_id']}", "Retry-After": "2"}
    return answered(shown(row, _webserver(request)), 202 if new else 200, headers)


def refused(request: Request, error: store.RefusedJobError) -> ProblemError:
    """Return the problem of a job that is not taken in; the audit log has its reason."""
    seen_of(request.scope).reason = error.reason
    wait = {} if error.wait_seconds is None else {"Retry-After": str(error.wait_seconds)}
    return ProblemError(_REFUSED.get(error.reason, 429), error.reason, str(error), headers=wait)


def wake(request: Request) -> None:
    """Let the dispatcher look now, where this process has one."""
    dispatcher = request.app.state.dispatcher
    if dispatcher is not None:
        dispatcher.wake()


def make_feed(warehouse: Warehouse, webserver: str | None) -> Feed:
    """Return the one reader of the jobs that anybody follows."""

    def read(keys: frozenset[str]) -> dict[str, State]:
        return {
            key: State(shown(row, webserver).model_dump(mode="json"), row["state"], row["state"] in _ENDED)
            for key, row in store.several(warehouse, keys).items()
        }

    return Feed(read)


def _webserver(request: Request) -> str | None:
    url: str | None = request.app.state.dagster_url
    return url


def _owner(principal: Principal) -> str | None:
    """Whose jobs a principal sees: their own, '' for those of open access; None for everybody's."""
    return None if principal.is_admin else principal.user_id or ""


def _seen(row: dict[str, Any] | None, principal: Principal, what: str, name: str) -> dict[str, Any]:
    """The row, where it is the principal's or they are an administrator: another's is not there for them."""
    if row is None or _owner(principal) not in (None, row["user_id"] or ""):
        raise not_found(what, name)
    return row


@router.get("", response_model=JobPage, responses=responses(), openapi_extra=_READS, summary="List jobs")
def list_jobs(
    request: Request,
    principal: PrincipalOf,
    warehouse: WarehouseOf,
    state: Annotated[StateName | None, Query(examples=["running"])] = None,
    kind: Annotated[KindName | None, Query(examples=["backtest"])] = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Own jobs, newest first; an administrator sees everybody's."""
    asked = paging.question("platform/jobs", {"state": state, "kind": kind, "owner": _owner(principal)})
    after, _ = paging.decode(asked, cursor, (str,))
    rows = store.page(
        warehouse, limit + 1, owner=_owner(principal), state=state, kind=kind, before=after[0] if after else None
    )
    page, following = paging.cut(rows, limit, asked, ("job_id",))
    data = [shown(row, _webserver(request)) for row in page]
    return answered(JobPage(data=data, meta=Meta(limit=limit, next_cursor=following)))


@router.get(
    "/dead-letters",
    response_model=DeadLetterPage,
    responses=responses(),
    openapi_extra=_LETTERS,
    summary="List dead letters",
)
def list_dead_letters(
    principal: PrincipalOf,
    warehouse: WarehouseOf,
    waiting: Annotated[bool, Query(description="Those alone that were not tried again.", examples=[True])] = False,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Work that failed for good, newest first, with its input, the reason and a command that tries it again.

    Own jobs; an administrator sees everybody's, and runs that schedules, backfills or people started in Dagster.
    """
    owner = _owner(principal)
    asked = paging.question("platform/jobs/dead-letters", {"waiting": waiting, "owner": owner})
    after, _ = paging.decode(asked, cursor, (str,))
    rows = dead_letters.page(warehouse, limit + 1, owner=owner, waiting=waiting, before=after[0] if after else None)
    page, following = paging.cut(rows, limit, asked, ("dead_letter_id",))
    meta = Meta(limit=limit, next_cursor=following)
    return answered(DeadLetterPage(data=[DeadLetter.model_validate(row) for row in page], meta=meta))


@router.post(
    "/dead-letters/{dead_letter_id}/retry",
    response_model=Job,
    status_code=202,
    responses=responses(404, 409),
    openapi_extra=_LETTERS,
    summary="Try a dead letter again",
)
def retry_dead_letter(
    request: Request, principal: PrincipalOf, warehouse: WarehouseOf, dead_letter_id: JobId
) -> Response:
    """A new job with the letter's input; again, the same one. 409 for a run that was no job: its command tries it.

    Of the tier of now; 403 where its owner may not file such a job any more.
    """
    letter = _seen(dead_letters.get(warehouse, dead_letter_id), principal, "dead letter", dead_letter_id)
    try:
        if principal.is_admin:
            # An administrator's kindness is not counted against the owner.
            return taken(request, *retry(warehouse, letter, store.Limits()))
        if letter["job_id"] is not None and not filing.may_file(principal, letter["what"]):
            words = f"a job of the kind {letter['what']} is not this user's to file"
            seen_of(request.scope).reason = words
            raise ProblemError(403, "forbidden", words)
        priority = filing.priority_of(principal)
        limits = filing.limits_of(principal)
        return taken(request, *retry(warehouse, letter, limits, tier=principal.tier, priority=priority))
    except NotRetriedError as error:
        raise ProblemError(409, "not-a-job", str(error)) from error
    except store.RefusedJobError as error:
        raise refused(request, error) from error


@router.get("/{job_id}", response_model=Job, responses=responses(404), openapi_extra=_READS, summary="One job")
def get_job(request: Request, principal: PrincipalOf, warehouse: WarehouseOf, job_id: JobId) -> Response:
    """How far a job is and what came of it. Another user's is not found."""
    row = _seen(store.get(warehouse, job_id), principal, "job", job_id)
    ended = row["state"] in _ENDED
    return answered(shown(row, _webserver(request)), headers={} if ended else {"Retry-After": "2"})


def _feed(request: Request) -> Feed:
    feed: Feed = request.app.state.jobs_feed
    return feed


async def _followed(
    request: Request, principal: PrincipalOf, warehouse: WarehouseOf, job_id: JobId
) -> AsyncIterator[str]:
    """The id of a job that may be followed: told before the stream begins, for then no status can be told any more."""
    row = await run_in_threadpool(store.get, warehouse, job_id)
    _seen(row, principal, "job", job_id)
    with _feed(request).room(job_id, caller=principal.user_id):
        yield job_id


@router.get(
    "/{job_id}/events",
    response_class=EventSourceResponse,
    responses=responses(404),
    openapi_extra=_READS,
    summary="Follow a job",
)
async def follow_job(
    request: Request,
    followed: Annotated[str, Depends(_followed)],
    last_event_id: Annotated[str | None, Header(pattern=PLAIN, examples=["9b2f6c1d0e8a4f37"])] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: the job as it is now and whenever it changes, named by its state, until it has ended.

    A stream ends after a minute; browsers come again by themselves, with the last event's id, and miss nothing.
    """
    async for event in _feed(request).follow(followed, last_event_id):
        yield event


@router.post(
    "/{job_id}/cancel", response_model=Job, responses=responses(404), openapi_extra=_READS, summary="Cancel a job"
)
def cancel_job(request: Request, principal: PrincipalOf, warehouse: WarehouseOf, job_id: JobId) -> Response:
    """Cancels a job that waits, and asks for the end of one that runs; one that has ended stays as it is."""
    _seen(store.get(warehouse, job_id), principal, "job", job_id)
    row = store.cancel(warehouse, job_id)
    assert row is not None
    wake(request)
    return answered(shown(row, _webserver(request)))
