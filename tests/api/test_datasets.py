"""Datasets over HTTP: their members page by page, and what distinguishes two of them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import labels
from signaldelta_assets.warehouse.stores.reading import Window
from tests.readside import HASH, INGESTED, T0, insert, label_row

pytestmark = [pytest.mark.postgres, pytest.mark.platform]

WINDOW = Window(date(2024, 1, 1), date(2025, 1, 1))


@pytest.fixture(scope="module")
def frozen(filled: Warehouse) -> tuple[labels.Dataset, labels.Dataset]:
    """Two versions; between them one label was corrected, one withdrawn and one added."""

    def put(number: int, **more: Any) -> dict[str, Any]:
        return label_row(number, T0 + timedelta(hours=number), T0 + timedelta(days=60), **more)

    insert(filled, "labeled_events", [put(901), put(902)])
    before = labels.freeze_dataset(filled, window=WINDOW, definitions_hash=HASH)
    later = INGESTED + timedelta(days=1)
    insert(
        filled,
        "labeled_events",
        [
            put(901, revision=2, ingest=later, confidence=0.5),
            put(902, revision=2, ingest=later, active=False),
            put(903, ingest=later),
        ],
    )
    return before, labels.freeze_dataset(filled, window=WINDOW, definitions_hash=HASH)


def pages(client: httpx.Client, path: str, limit: int) -> list[dict[str, Any]]:
    walked: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        response = client.get(path, params={"limit": limit} | ({"cursor": cursor} if cursor else {}))
        assert response.status_code == 200, response.text
        body = response.json()
        walked += body["data"]
        assert len(body["data"]) <= limit
        cursor = body["meta"]["next_cursor"]
        if cursor is None:
            return walked


def test_what_two_datasets_differ_in(client: httpx.Client, frozen: tuple[labels.Dataset, labels.Dataset]) -> None:
    before, after = frozen
    path = f"/api/v2/labels/datasets/{before.dataset_id}/diff/{after.dataset_hash}"
    response = client.get(path)
    body = response.json()
    assert {(one["change"], tuple(one["key"])) for one in body["data"]} == {
        ("changed", ("901",)),
        ("withdrawn", ("902",)),
        ("added", ("903",)),
    }
    (changed,) = (one for one in body["data"] if one["change"] == "changed")
    assert changed["fields"] == [{"field": "confidence", "before": 0.9, "after": 0.5}]
    own = body["meta"]["counts"]["EARNINGS_SURPRISE"]
    unchanged = before.event_type_distribution["EARNINGS_SURPRISE"] - 2
    assert own == {"added": 1, "withdrawn": 1, "changed": 1, "unchanged": unchanged}
    others = body["meta"]["counts"]["MNA_ANNOUNCEMENT"]
    assert others["unchanged"] == before.event_type_distribution["MNA_ANNOUNCEMENT"] > 0
    assert (body["meta"]["first"], body["meta"]["second"]) == (before.dataset_id, after.dataset_id)
    assert "immutable" in response.headers["cache-control"]
    assert pages(client, path, 1) == body["data"]
    # The other way round what was added is withdrawn, and a dataset differs from itself in nothing.
    back = client.get(f"/api/v2/labels/datasets/{after.dataset_id}/diff/{before.dataset_id}").json()
    assert {(one["change"], one["key"][0]) for one in back["data"]} == {
        ("changed", "901"), ("added", "902"), ("withdrawn", "903"),
    }  # fmt: skip
    same = client.get(f"/api/v2/labels/datasets/{after.dataset_id}/diff/{after.dataset_id}").json()
    assert same["data"] == [] and same["meta"]["counts"]["EARNINGS_SURPRISE"]["unchanged"] == unchanged + 2
    for first, second in ((before.dataset_id, "none"), ("none", before.dataset_id)):
        answer = client.get(f"/api/v2/labels/datasets/{first}/diff/{second}")
        assert answer.status_code == 404 and "'none'" in answer.json()["detail"]


def test_members_are_those_that_were_frozen(
    client: httpx.Client, frozen: tuple[labels.Dataset, labels.Dataset]
) -> None:
    for dataset in frozen:
        path = f"/api/v2/labels/datasets/{dataset.dataset_id}/members"
        members = pages(client, path, 7)
        assert members == client.get(path, params={"limit": 1000}).json()["data"]
        assert len(members) == dataset.event_count == len({row["label_id"] for row in members})
    revisions = {row["revision"] for row in members}
    assert revisions == {1, 2}
    listed = pages(client, "/api/v2/labels/datasets", 1)
    assert [row["dataset_id"] for row in listed][:2] == [frozen[1].dataset_id, frozen[0].dataset_id]
    assert client.get("/api/v2/labels/datasets/none/members").status_code == 404
