"""One error format for every route: RFC 9457 problem documents, each with the correlation id of its request."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import new_ulid

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger("signaldelta.api")


class FieldError(BaseModel):
    """What is wrong with one parameter."""

    field: str = Field(examples=["query.limit"])
    expected: str = Field(examples=["Input should be less than or equal to 1000"])
    found: str | None = Field(None, examples=["5000"])


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:signaldelta:problem:not-found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "backtest run: no run with id or hash '01J0'",
                    "instance": "/api/v2/backtests/01J0",
                    "request_id": "01JZZZZZZZZZZZZZZZZZZZZZZZ",
                    "errors": [],
                }
            ]
        }
    )

    type: str = Field(description="Names the kind of problem; stable.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="Path of the request.")
    request_id: str = Field(description="Correlation id, also in the header X-Request-ID and in the log.")
    errors: list[FieldError] = Field(default=[], description="The parameters that are wrong, where that is the cause.")


class ProblemError(HTTPException):
    """Raised by the rooms of the API; becomes a problem document.

    An HTTPException, because FastAPI hands on no other that comes up while a body is read.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        errors: list[FieldError] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers or {})
        self.status, self.kind, self.errors = status, kind, errors or []

    def __str__(self) -> str:
        return self.detail


class CarriedError(HTTPException):
    """Another error that came up while a body was read: FastAPI would take it for a fault of the body."""

    def __init__(self, error: Exception) -> None:
        super().__init__(500)
        self.error = error


def not_found(what: str, key: str) -> ProblemError:
    """Return the 404 for `what` under `key`."""
    return ProblemError(404, "not-found", f"{what}: nothing under {key!r}")


def bad_parameter(field: str, expected: str, found: object) -> ProblemError:
    """Return the 422 that names a query parameter, what it should be and what it is."""
    error = FieldError(field=f"query.{field}", expected=expected, found=str(found)[:200])
    return ProblemError(422, "invalid-request", f"query.{field}: expected {expected}", [error])


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI declarations of the problems that are this route's own: 404, 409.

    What follows from facts about a route, such as 401, 422 or 429, is added to all of them by `api.description`.
    """
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": HTTPStatus(code).phrase, "content": content} for code in statuses}


def request_id(request: Request) -> str:
    """Return the correlation id of `request`."""
    return str(getattr(request.state, "request_id", None) or new_ulid())


def answer(request: Request, error: ProblemError) -> Response:
    """Return the problem document of `error`, for who answers outside of the routes."""
    return _answer(request, error.status, error.kind, error.detail, error.errors, dict(error.headers or {}))


def _answer(
    request: Request, status: int, kind: str, detail: str, errors: list[FieldError], headers: dict[str, str]
) -> Response:
    problem = Problem(
        type=f"urn:signaldelta:problem:{kind}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        request_id=request_id(request),
        errors=errors,
    )
    # The id again: an unexpected error is answered outside the middleware that adds it.
    fixed = {"Cache-Control": "no-store", "X-Request-ID": problem.request_id}
    return Response(problem.model_dump_json(), status, media_type=MEDIA_TYPE, headers={**headers, **fixed})


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return answer(request, error)


async def _carried(request: Request, error: Exception) -> Response:
    assert isinstance(error, CarriedError)
    handlers = request.app.exception_handlers
    found: Response = next(handlers[kind] for kind in type(error.error).__mro__ if kind in handlers)(
        request, error.error
    )
    return found


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    methods_of = getattr(request.app.state, "methods_of", None)
    if error.status_code == 405 and methods_of is not None:
        # What matched first knows its own method alone.
        headers["Allow"] = ", ".join(methods_of(request.url.path))
    return _answer(request, error.status_code, kind, str(error.detail), [], headers)


def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldError(field=".".join(map(str, item["loc"])), expected=item["msg"], found=str(item.get("input"))[:200])
        for item in error.errors()
    ]
    detail = "; ".join(f"{item.field}: {item.expected}" for item in errors)
    return _answer(request, 422, "invalid-request", detail, errors, {})


def _database(request: Request, error: Exception) -> Response:
    log.error("request %s: database: %s", request_id(request), error)
    return _answer(request, 503, "database-unavailable", "The database cannot be reached.", [], {"Retry-After": "5"})


def _missing_table(request: Request, error: Exception) -> Response:
    log.error("request %s: %s", request_id(request), error)
    detail = "A table or read model this answer is read from is not there: migrate the database, then run dbt build."
    return _answer(request, 503, "not-built", detail, [], {})


def _own(request: Request, error: Exception) -> Response:
    # A home that went away says so by an error of ours, and nothing stored is wrong.
    if isinstance(error, psycopg.OperationalError):
        return _database(request, error)
    # Our errors name record, field, expected and found: that is the answer a person can act on.
    log.error("request %s: %s", request_id(request), error)
    return _answer(request, 500, "stored-data", str(error), [], {})


def unexpected(request: Request, error: Exception) -> Response:
    """Return the problem document of an error that nobody expected; the log has the error."""
    log.error("request %s failed", request_id(request), exc_info=error)
    return _answer(request, 500, "internal", "Unexpected error; the log has it under this request id.", [], {})


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(CarriedError, _carried)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(psycopg.OperationalError, _database)
    app.add_exception_handler(psycopg.errors.UndefinedTable, _missing_table)
    app.add_exception_handler(PoolTimeout, _database)
    app.add_exception_handler(SignalDeltaError, _own)
    app.add_exception_handler(Exception, unexpected)
