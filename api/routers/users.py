"""The user who asks, and their API keys. Every change is in the audit log, in the transaction that makes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path as PathParameter
from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from signaldelta_assets.warehouse.stores import users

from ..auth import KeyText, PrincipalOf, make_key, require_tier
from ..changing import NO_STORE, actor_of, changing, user_of
from ..dependencies import WarehouseOf, reads
from ..problems import FieldError, ProblemError, not_found, responses
from ..reading import Router
from ..schemas.users import Key, KeyList, KeyRequest, Me, NewKey, RotationRequest

router = Router(prefix="/users", tags=["users"], dependencies=[require_tier("free")])
_ME = reads("users", "tier_entitlements", "api_keys", cached=False)
_KEYS = reads("users", "tier_entitlements", "api_keys", "user_activity", cached=False)
KeyId = Annotated[str, PathParameter(pattern="^[0-9A-Z]{26}$", examples=["01HZFNS0V0QJ5Y8T1J3M8Z6K4D"])]


def _answer(model: BaseModel, status: int = 200) -> Response:
    return JSONResponse(model.model_dump(mode="json"), status, headers=NO_STORE)


def _new(row: dict[str, Any], made: KeyText) -> Response:
    return _answer(NewKey.model_validate(row | {"key": made.text}), 201)


@router.get("/me", response_model=Me, responses=responses(), openapi_extra=_ME, summary="Who asks")
def get_me(principal: PrincipalOf) -> Response:
    """The user, their tier and what it gives, and what this key or token may do."""
    return _answer(
        Me(
            user_id=principal.user_id,
            tier=principal.tier,
            is_admin=principal.is_admin,
            by=principal.by,
            scopes=sorted(principal.scopes),
            entitlements=dict(principal.entitlements),
        )
    )


@router.get("/me/keys", response_model=KeyList, responses=responses(409), openapi_extra=_KEYS, summary="List own keys")
def list_keys(
    principal: PrincipalOf,
    warehouse: WarehouseOf,
    prefix: Annotated[
        str | None,
        Query(pattern="^[0-9A-Za-z]{1,10}$", description="Those whose prefix begins so.", examples=["4fK2"]),
    ] = None,
) -> Response:
    """Own keys, revoked and expired ones too, newest first; never their secrets, which nobody has."""
    rows = users.list_keys(warehouse, user_of(principal), prefix)
    return _answer(KeyList(data=[Key.model_validate(row) for row in rows]))


@router.post(
    "/me/keys",
    response_model=NewKey,
    status_code=201,
    responses=responses(409),
    openapi_extra=_KEYS,
    summary="Make a key",
)
def create_key(request: Request, principal: PrincipalOf, warehouse: WarehouseOf, wanted: KeyRequest) -> Response:
    """A new key; its text is in this answer alone. 403 where the tier has no more keys, or for more than one has.

    Of a key with a limit of its own it gets that limit, or a lower one.
    """
    scopes = list(dict.fromkeys(wanted.scopes))
    own = principal.scopes - (set() if principal.is_admin else {"admin"})
    if not set(scopes) <= own:
        # A key makes no key that may do more than itself.
        raise ProblemError(403, "forbidden", f"scopes: expected some of {sorted(own)}, found {scopes}")
    if wanted.expires_at is not None and wanted.expires_at <= datetime.now(UTC):
        words = "a moment that is still to come"
        error = FieldError(field="body.expires_at", expected=words, found=wanted.expires_at.isoformat())
        raise ProblemError(422, "invalid-request", f"body.expires_at: expected {words}", [error])
    made, often = make_key(), wanted.requests_per_hour or principal.requests_per_hour
    if often is not None and often > (principal.requests_per_hour or often):
        words = f"requests_per_hour: expected at most {principal.requests_per_hour}, as this key has, found {often}"
        raise ProblemError(403, "forbidden", words)
    key = users.NewKey(made.prefix, made.key_hash, wanted.name, scopes, wanted.expires_at, often)
    with changing(request):
        row = users.create_key(warehouse, user_of(principal), key, actor_of(request, principal))
    return _new(row, made)


@router.post(
    "/me/keys/{api_key_id}/rotate",
    response_model=NewKey,
    status_code=201,
    responses=responses(404, 409),
    openapi_extra=_KEYS,
    summary="Rotate a key",
)
def rotate_key(
    request: Request,
    principal: PrincipalOf,
    warehouse: WarehouseOf,
    api_key_id: KeyId,
    wanted: RotationRequest | None = None,
) -> Response:
    """A new key in the place of this one, with its name, scopes and expiry; the old one works for the overlap."""
    made, user_id = make_key(), user_of(principal)
    overlap = (wanted or RotationRequest()).overlap_seconds
    with changing(request):
        key = users.NewKey(made.prefix, made.key_hash, "", ())
        allowed = sorted(principal.scopes - (set() if principal.is_admin else {"admin"}))
        row = users.rotate_key(
            warehouse, user_id, api_key_id, key, overlap, actor_of(request, principal), scopes=allowed
        )
        if row is None:
            raise not_found("API key", api_key_id)
    return _new(row, made)


@router.delete(
    "/me/keys/{api_key_id}",
    status_code=204,
    response_class=Response,
    responses=responses(404, 409),
    openapi_extra=_KEYS,
    summary="Revoke a key",
)
def revoke_key(request: Request, principal: PrincipalOf, warehouse: WarehouseOf, api_key_id: KeyId) -> Response:
    """Ends the key at once, in every process: the next request with it is refused."""
    with changing(request):
        actor = actor_of(request, principal)
        if not users.revoke_key(warehouse, api_key_id, actor, user_id=user_of(principal)):
            raise not_found("API key", api_key_id)
    return Response(status_code=204)
