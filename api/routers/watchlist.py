"""What the user who asks follows."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from signaldelta_assets.warehouse.stores import watchlists

from .. import paging, queries
from ..auth import PrincipalOf, require_tier
from ..changing import NO_STORE, actor_of, changing, user_of
from ..dependencies import WarehouseOf, lent_connection, reads
from ..names import EntityName
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.base import Meta
from ..schemas.users import WatchlistItem, WatchlistPage, WatchRequest

router = Router(prefix="/users/me/watchlist", tags=["users"], dependencies=[require_tier("free")])
_READS = reads("watchlist_items", "users", "tier_entitlements", cached=False)


@router.get(
    "", response_model=WatchlistPage, responses=responses(409), openapi_extra=_READS, summary="List what one follows"
)
def list_watchlist(
    principal: PrincipalOf, warehouse: WarehouseOf, limit: paging.Limit = 100, cursor: paging.CursorText = None
) -> Response:
    """The entities on one's watchlist, by entity_id."""
    user_id = user_of(principal)
    asked = paging.question("watchlist", {"user": user_id})
    after, _ = paging.decode(asked, cursor, (str,))
    rows = watchlists.list_items(warehouse, user_id, after[0] if after else None, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("entity_id",))
    body = WatchlistPage(
        data=[WatchlistItem.model_validate(row) for row in page], meta=Meta(limit=limit, next_cursor=following)
    )
    return JSONResponse(body.model_dump(mode="json"), headers=NO_STORE)


@router.put(
    "/{entity_id}",
    response_model=WatchlistItem,
    responses=responses(404, 409) | {201: {"model": WatchlistItem, "description": "It was not followed before."}},
    openapi_extra=reads("watchlist_items", "securities", "users", "tier_entitlements", cached=False),
    summary="Follow an entity",
)
def put_watchlist_item(
    request: Request,
    principal: PrincipalOf,
    warehouse: WarehouseOf,
    entity_id: EntityName,
    wanted: WatchRequest | None = None,
) -> Response:
    """Follow a security, or change its note; 404 for one nobody knows, 403 where the tier has no more places."""
    user_id = user_of(principal)
    with lent_connection(warehouse) as connection:
        known = queries.security(connection, entity_id)
    if known is None:
        raise not_found("security", entity_id)
    note = wanted.note if wanted is not None else None
    with changing(request):
        row, new = watchlists.put_item(warehouse, user_id, entity_id, note, actor_of(request, principal))
    body = WatchlistItem.model_validate(row).model_dump(mode="json")
    return JSONResponse(body, 201 if new else 200, headers=NO_STORE)


@router.delete(
    "/{entity_id}",
    status_code=204,
    response_class=Response,
    responses=responses(404, 409),
    openapi_extra=_READS,
    summary="Follow an entity no longer",
)
def delete_watchlist_item(
    request: Request, principal: PrincipalOf, warehouse: WarehouseOf, entity_id: EntityName
) -> Response:
    """Takes it off one's watchlist; 404 where it was not on it."""
    with changing(request):
        if not watchlists.remove_item(warehouse, user_of(principal), entity_id, actor_of(request, principal)):
            raise not_found("entity on the watchlist", entity_id)
    return Response(status_code=204)
