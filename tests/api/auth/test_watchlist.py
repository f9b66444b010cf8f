"""Watchlists: one's own, no longer than the tier gives whoever asks at once, and every change in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx
import pytest

from api import Parts, create_app
from api.accounts import required_access
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import users, watchlists
from tests.api.auth.test_service import new_key, new_user
from tests.readside import ENTITIES, fill
from tests.serving import serving

pytestmark = pytest.mark.postgres
LIST = "/api/v2/users/me/watchlist"


@pytest.fixture(scope="module")
def client(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    store = ArtifactStore(tmp_path_factory.mktemp("store"))
    with Warehouse(postgres_url) as filling:
        fill(filling, store, store.root)
    warehouse = Warehouse(postgres_url)
    app = create_app(Parts(warehouse, store, access=required_access(warehouse)))
    with serving(app) as url, httpx.Client(base_url=url, timeout=30) as opened:
        yield opened


def test_one_follows_changes_and_forgets(client: httpx.Client, warehouse: Warehouse) -> None:
    user_id = new_user(warehouse)
    mine, other = new_key(warehouse, user_id), new_key(warehouse, new_user(warehouse))
    added = client.put(f"{LIST}/{ENTITIES[0]}", headers=mine, json={"note": "after the split"})
    assert (added.status_code, added.json()["note"]) == (201, "after the split")
    assert added.headers["cache-control"] == "no-store"
    assert client.put(f"{LIST}/{ENTITIES[1]}", headers=mine).status_code == 201
    changed = client.put(f"{LIST}/{ENTITIES[0]}", headers=mine, json={"note": None})
    assert changed.status_code == 200 and changed.json() == added.json() | {"note": None}
    first = client.get(LIST, headers=mine, params={"limit": 1}).json()
    second = client.get(LIST, headers=mine, params={"limit": 1, "cursor": first["meta"]["next_cursor"]}).json()
    assert [row["entity_id"] for row in first["data"] + second["data"]] == sorted(ENTITIES[:2])
    assert second["meta"]["next_cursor"] is None

    # Another's list is not seen, not changed, and its cursor is no cursor of one's own.
    assert client.get(LIST, headers=other).json()["data"] == []
    assert client.get(LIST, headers=other, params={"cursor": first["meta"]["next_cursor"]}).status_code == 422
    assert client.delete(f"{LIST}/{ENTITIES[0]}", headers=other).status_code == 404
    assert client.delete(f"{LIST}/{ENTITIES[0]}", headers=mine).status_code == 204
    assert client.delete(f"{LIST}/{ENTITIES[0]}", headers=mine).status_code == 404
    assert [row["entity_id"] for row in client.get(LIST, headers=mine).json()["data"]] == [ENTITIES[1]]

    kinds = [(line["kind"], line["subject"]) for line in users.activity(warehouse, user_id)]
    assert [one for one in kinds if one[0].startswith("watchlist")] == [
        ("watchlist.removed", ENTITIES[0]), ("watchlist.changed", ENTITIES[0]),
        ("watchlist.added", ENTITIES[1]), ("watchlist.added", ENTITIES[0]),
    ]  # fmt: skip


def test_what_cannot_be_followed_is_refused(client: httpx.Client, warehouse: Warehouse) -> None:
    mine = new_key(warehouse, new_user(warehouse))
    assert client.put(f"{LIST}/9999999999", headers=mine).status_code == 404
    assert client.put(f"{LIST}/{ENTITIES[0]}", headers=mine, json={"notes": "x"}).status_code == 422
    assert client.put(f"{LIST}/{ENTITIES[0]}", headers=mine, json={"note": "x" * 501}).status_code == 422
    reader = new_key(warehouse, new_user(warehouse), "read")
    assert client.put(f"{LIST}/{ENTITIES[0]}", headers=reader).status_code == 403
    assert client.get(LIST).status_code == 401


def test_the_last_place_is_given_once(client: httpx.Client, warehouse: Warehouse) -> None:
    owner = new_user(warehouse, "entry")
    mine = new_key(warehouse, owner)
    with warehouse.write_pool("users").connection() as connection:
        connection.execute(
            "INSERT INTO watchlist_items (user_id, entity_id) SELECT %s, 'full-' || n FROM generate_series(1, 49) n",
            (owner,),
        )
    together = Barrier(4)

    def follow(entity_id: str) -> str:
        together.wait(10)
        try:
            watchlists.put_item(warehouse, owner, entity_id, None, users.OPERATOR)
        except users.RefusedChangeError as error:
            return error.reason
        return "followed"

    wanted = [f"wanted-{place}" for place in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for entity_id in wanted:
                watchlists.remove_item(warehouse, owner, entity_id, users.OPERATOR)
            assert Counter(pool.map(follow, wanted)) == {"followed": 1, "watchlist-limit": 3}
    refused = client.put(f"{LIST}/{ENTITIES[0]}", headers=mine)
    assert refused.status_code == 403 and refused.json()["type"].endswith("watchlist-limit")
    assert "50 places" in refused.json()["detail"]
    assert len(client.get(LIST, headers=mine, params={"limit": 1000}).json()["data"]) == 50
