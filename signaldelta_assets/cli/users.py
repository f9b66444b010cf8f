"""`signaldelta users|keys|routes`: who may use the API, their keys, and what each route asks of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from signaldelta_assets.warehouse import Warehouse

users = typer.Typer(no_args_is_help=True, help="Users of the API: make, list, change tier, disable.")
keys = typer.Typer(no_args_is_help=True, help="API keys: make, list, revoke.")
console = Console()

UserId = Annotated[str, typer.Argument(help="user_id; `users list` shows them.")]
# Of `warehouse.tables.users.TIERS`, which is imported only when a command runs.
Tier = Literal["free", "entry", "professional", "analyst", "research"]


@contextmanager
def _opened(changing: str | None = None) -> Iterator[Warehouse]:
    from signaldelta_assets.settings import load_settings
    from signaldelta_assets.warehouse import open_warehouse

    from .refusing import refusals

    with refusals(changing), open_warehouse(load_settings()) as warehouse:
        yield warehouse


@users.command("create")
def create_user(
    tier: Annotated[Tier, typer.Option()] = "free",
    admin: Annotated[bool, typer.Option("--admin", help="May act as an administrator.")] = False,
    email: Annotated[str | None, typer.Option()] = None,
    name: Annotated[str | None, typer.Option(help="As shown.")] = None,
    subject: Annotated[str | None, typer.Option(help="The identity provider's name for the user.")] = None,
) -> None:
    """Make a user and print the id."""
    from signaldelta_assets.warehouse.stores import users as store

    with _opened("users create") as warehouse:
        made = store.create_user(
            warehouse, tier=tier, admin=admin, email=email, name=name, subject=subject, actor=store.OPERATOR
        )
    print(made)


@users.command("list")
def list_users() -> None:
    """List all users with tier, state and number of live keys."""
    from signaldelta_assets.warehouse.stores import users as store

    with _opened() as warehouse:
        found = store.list_users(warehouse)
    shown = Table("user_id", "name", "email", "tier", "admin", "keys", "since", "disabled")
    for row in found:
        shown.add_row(
            row["user_id"], row["display_name"] or row["subject"] or "", row["email"] or "", row["tier"],
            "yes" if row["is_admin"] else "", str(row["keys"]), _day(row["created_at"]), _day(row["disabled_at"]),
        )  # fmt: skip
    _print(shown)


@users.command("set-tier")
def set_tier(user_id: UserId, tier: Tier) -> None:
    """Give a user another tier; it holds from the next request on."""
    from signaldelta_assets.warehouse.stores import users as store

    with _opened("users set-tier") as warehouse:
        store.set_tier(warehouse, user_id, tier, store.OPERATOR)


@users.command("disable")
def disable_user(user_id: UserId) -> None:
    """Let a user in no more, by key or token, from the next request on."""
    from signaldelta_assets.warehouse.stores import users as store

    with _opened("users disable") as warehouse:
        store.disable_user(warehouse, user_id, store.OPERATOR)


@keys.command("create")
def create_key(
    user_id: UserId,
    name: Annotated[str, typer.Option(help="What it is for.")] = "command line",
    scope: Annotated[list[str] | None, typer.Option(help="read, write or admin, several times; read if none.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; until revoked if none.")] = None,
    requests_per_hour: Annotated[int | None, typer.Option(min=1, help="Less than the user's tier gives.")] = None,
) -> None:
    """Make a key and print it: now and never again, for what is kept is its hash."""
    from api.auth import SCOPES, make_key
    from signaldelta_assets.warehouse.stores import users as store

    scopes = list(dict.fromkeys(scope or ["read"]))
    if not set(scopes) <= set(SCOPES):
        raise typer.BadParameter(f"--scope: expected some of {', '.join(SCOPES)}")
    made = make_key()
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    with _opened("keys create") as warehouse:
        key = store.NewKey(made.prefix, made.key_hash, name, scopes, expires, requests_per_hour)
        store.create_key(warehouse, user_id, key, store.OPERATOR)
    print(made.text)


@keys.command("list")
def list_keys(
    user: Annotated[str | None, typer.Option(help="Of this user alone.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Those whose prefix begins so.")] = None,
) -> None:
    """List keys, newest first: a key that turned up somewhere is found by its prefix, sd_PREFIX_..."""
    from signaldelta_assets.warehouse.stores import users as store

    with _opened() as warehouse:
        found = store.list_keys(warehouse, user, prefix)
    shown = Table("api_key_id", "prefix", "user_id", "name", "scopes", "live", "expires", "last used")
    for row in found:
        shown.add_row(
            row["api_key_id"], row["prefix"], row["user_id"], row["name"], " ".join(row["scopes"]),
            "yes" if row["live"] else "", _day(row["expires_at"]), _day(row["last_used_at"]),
        )  # fmt: skip
    _print(shown)


@keys.command("revoke")
def revoke_key(api_key_id: Annotated[str, typer.Argument(help="`keys list` shows them.")]) -> None:
    """End a key at once, in every process; exit code 2 where there is none."""
    from signaldelta_assets.warehouse.stores import users as store

    with _opened("keys revoke") as warehouse:
        if not store.revoke_key(warehouse, api_key_id, store.OPERATOR):
            raise store.RefusedChangeError("no-key", f"API key {api_key_id}: there is none")


def first_key(warehouse: Warehouse) -> str | None:
    """Make an administrator and their key where there is none; return its text, to be shown once. None otherwise."""
    from api.auth import SCOPES, make_key
    from signaldelta_assets.warehouse.stores import users as store

    made = make_key()
    key = store.NewKey(made.prefix, made.key_hash, "first start", SCOPES)
    return made.text if store.first_admin(warehouse, key) is not None else None


def show_routes(markdown: bool) -> None:
    """Print what every route asks of its caller. Opens nothing."""
    from pathlib import Path

    from api import Parts, create_app
    from api.routes import PREFLIGHT, route_table, routes_page
    from signaldelta_assets.warehouse import ArtifactStore, Warehouse

    app = create_app(Parts(Warehouse("postgresql://"), ArtifactStore(Path("artifacts"))))
    if markdown:
        print(routes_page(app), end="")
        return
    shown = Table("method", "route", "who", "limits", "entitlement", "why public")
    for row in [PREFLIGHT, *route_table(app)]:
        shown.add_row(row.method, row.path, row.auth, row.limit, row.entitlement, row.why)
    shown.columns[1].overflow = "fold"
    console.print(shown)


def _print(shown: Table) -> None:
    # What the next command is given has to be copied whole, however narrow the terminal.
    shown.columns[0].no_wrap = True
    console.print(shown)


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
