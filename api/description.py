"""The OpenAPI document: what FastAPI makes of the routes, and what is true of all of them, said once for each.

Every status an operation can answer with follows from facts about it: whether it asks who calls, has parameters, or
has a body; what it says of itself (404, 409) comes from its router. Headers, tags, servers and links stand here.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .kinds import KINDS, kinds_of
from .names import PLAIN
from .problems import MEDIA_TYPE, Problem
from .routes import route_table

_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A Firebase ID token."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key of `POST /users/me/keys`."},
}
TAGS = {
    "signals": "Signal events as of a moment, the catalogue of signals, live scores.",
    "market": "Entities with their dated tickers and names.",
    "labels": "The ground truth: labels, their coverage, frozen datasets.",
    "backtests": "Runs, figures, alerts, files, the leaderboard; snapshots and documents they rest on.",
    "platform": "Collectors, explanations, and the state of the service itself.",
    "users": "Who asks, and their API keys.",
}
_REQUEST_ID = "01JZZZZZZZZZZZZZZZZZZZZZZZ"


def _header(description: str, example: Any, required: bool = False, kind: str = "string") -> dict[str, Any]:
    found = {"description": description, "schema": {"type": kind}, "example": example}
    return {**found, "required": True} if required else found


_EVERY = {"X-Request-ID": _header("Correlation id: the caller's own where it is safe.", _REQUEST_ID, required=True)}
_LIMITS = {
    "RateLimit-Limit": _header("Requests of the limit that is nearest to its end.", 500, kind="integer"),
    "RateLimit-Remaining": _header("How many of them are left.", 499, kind="integer"),
    "RateLimit-Reset": _header("Seconds until the window ends.", 3600, kind="integer"),
    "RateLimit-Policy": _header("Every limit that counts, with its window in seconds.", '"user";q=500;w=3600'),
}
_CACHED = {
    "ETag": _header("Strong: names the bytes. Weak (`W/`) where they are compressed on the way.", f'"{"3f" * 32}"'),
    "Cache-Control": _header("`immutable` for what never changes.", "no-cache"),
}
_OF_STATUS = {
    401: {"WWW-Authenticate": _header("What would do.", 'Bearer realm="signaldelta"', required=True)},
    415: {"Accept": _header("What is taken.", "application/json")},
    429: {"Retry-After": _header("Seconds to wait.", 120, required=True, kind="integer")},
    503: {"Retry-After": _header("Seconds to wait, where that is known.", 5, kind="integer")},
}
# Where an answer leads: (operation, where in the answer) -> (operation, its parameter). Only to what it names.
_LINKS = (
    ("list_runs", "/data/0/run_id", "get_run", "run"),
    ("list_runs", "/data/0/run_id", "list_metrics", "run"),
    ("list_runs", "/data/0/run_id", "list_alerts", "run"),
    ("list_runs", "/data/0/run_hash", "get_run_manifest", "run"),
    ("list_snapshots", "/data/0/snapshot_id", "get_snapshot", "snapshot"),
    ("list_datasets", "/data/0/dataset_id", "get_dataset", "dataset"),
    ("list_datasets", "/data/0/dataset_id", "list_dataset_members", "dataset"),
    ("list_documents", "/data/0/document_hash", "get_document", "document_hash"),
    ("list_signals", "/data/0/event_id", "get_signal", "event_id"),
    ("list_labels", "/data/0/label_id", "get_label", "label_id"),
    ("list_securities", "/data/0/entity_id", "get_security", "entity_id"),
    ("list_latest_scores", "/data/0/entity_id", "get_score", "entity_id"),
    ("create_key", "/api_key_id", "rotate_key", "api_key_id"),
    ("create_key", "/api_key_id", "revoke_key", "api_key_id"),
)


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of `app`, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=[{"name": name, "description": text} for name, text in TAGS.items()],
            servers=[{"url": "/", "description": "The host that serves this document."}],
        )
        schemas = made["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)  # ours are problems
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs") | {"Problem": problem}
        schemas["Problem"]["properties"]["type"]["examples"] = [_type(kind) for kind in KINDS]
        components = made["components"]
        components["securitySchemes"] = _SCHEMES
        components["headers"] = {**_EVERY, **_LIMITS, **_CACHED}
        statuses = sorted({status for found, _ in KINDS.values() for status in found})
        components["responses"] = {_name(status): _response(status) for status in statuses}
        rows = {(row.path, row.method.lower()): row for row in route_table(app)}
        for path, method, operation in operations(made):
            row = rows[path, method]
            needs = row.entitlement.split(", ") if row.entitlement else []
            operation["x-signaldelta"]["asks"] = {"who": row.auth, "needs": needs}
            _complete(operation, row.auth == "public")
        made["x-problem-types"] = {kind: list(statuses) for kind, (statuses, _) in KINDS.items()}
        _link(made)
        app.openapi_schema = made
    return app.openapi_schema


def operations(made: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (path, method, operation) of an OpenAPI document."""
    for path, item in made["paths"].items():
        for method, operation in item.items():
            if method in ("get", "put", "post", "delete", "options", "head", "patch", "trace"):
                yield path, method, operation


def _complete(operation: dict[str, Any], public: bool) -> None:
    operation["security"] = [] if public else [{name: []} for name in _SCHEMES]
    # Of the server, before any route.
    statuses = {400, 408, 414, 431}
    if not public:
        # 422: for a query parameter that the route does not have.
        statuses |= {401, 403, 422, 429, 500, 503}
    if "requestBody" in operation:
        statuses |= {413, 415}
    for parameter in operation.get("parameters", []):
        _plain(parameter["schema"])
    responses = operation["responses"]
    for code in {*responses, *map(str, statuses)}:
        if int(code) >= 400:
            responses[code] = _refusal(int(code), responses.get(code, {}))
            continue
        for media, body in responses[code].get("content", {}).items():
            if media == "text/event-stream":
                body.setdefault("example", 'event: state\ndata: {"text": "..."}\n\n')
        headers = [*_EVERY, *(() if public else _LIMITS)]
        if not public and int(code) in (200, 206) and operation.get("x-signaldelta", {}).get("cached", True):
            headers += _CACHED
        own = responses[code].get("headers", {})
        responses[code]["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers} | own
    operation["responses"] = dict(sorted(responses.items()))


def _plain(schema: dict[str, Any]) -> None:
    """Say of every text what `walls.text` asks of it."""
    for one in schema.get("anyOf", [schema]):
        if one.get("type") == "string" and not {"pattern", "format", "enum", "const"} & set(one):
            one["pattern"] = PLAIN


def _refusal(status: int, declared: dict[str, Any]) -> dict[str, Any]:
    """The problem of that status, beside what the route declares to answer with it otherwise (`/status`)."""
    shared = {"$ref": f"#/components/responses/{_name(status)}"}
    own = {
        media: body
        for media, body in declared.get("content", {}).items()
        # FastAPI's own form of a 422, which is never sent.
        if media != MEDIA_TYPE and not str(body.get("schema", {}).get("$ref", "")).endswith("/HTTPValidationError")
    }
    if not own:
        return shared
    common = _response(status)
    return {**declared, "headers": common["headers"], "content": own | common["content"]}


def _name(status: int) -> str:
    return HTTPStatus(status).name.title().replace("_", "")


def _response(status: int) -> dict[str, Any]:
    names = [*_EVERY, *(_LIMITS if status != HTTPStatus.BAD_REQUEST else ())]
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return {
        "description": f"{HTTPStatus(status).phrase}. {' '.join(KINDS[kind][1] for kind in kinds_of(status))}",
        "headers": headers | _OF_STATUS.get(status, {}),
        "content": {MEDIA_TYPE: _problem(status)},
    }


def _type(kind: str) -> str:
    return f"urn:signaldelta:problem:{kind}"


def _problem(status: int) -> dict[str, Any]:
    kinds = kinds_of(status)
    example = {
        "type": _type(kinds[0]),
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": KINDS[kinds[0]][1],
        "instance": "/api/v2/backtests",
        "request_id": _REQUEST_ID,
        "errors": [],
    }
    return {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}


def _link(made: dict[str, Any]) -> None:
    by_id = {operation["operationId"]: operation for _, _, operation in operations(made)}
    for source, pointer, target, parameter in _LINKS:
        for status, response in by_id[source]["responses"].items():
            if status.startswith("2"):
                response.setdefault("links", {})[target] = {
                    "operationId": target,
                    "parameters": {f"path.{parameter}": f"$response.body#{pointer}"},
                }
