"""Frozen versions of the ground truth: the datasets, their members, and how two of them differ."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from psycopg import Connection

from .. import paging, queries
from ..auth import require_tier
from ..caching import answer
from ..dependencies import KnownAsOf, Reading, Viewing, reads
from ..formats import FormatOf, Origin, answer_rows, forms
from ..names import DatasetName
from ..paging import pinned_moment
from ..pointintime import known_by
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.base import Meta
from ..schemas.evidence import (
    Dataset,
    DatasetDiffMeta,
    DatasetDiffPage,
    DatasetMember,
    DatasetMemberPage,
    DatasetPage,
    FieldChange,
    LabelChange,
)

router = Router(prefix="/labels/datasets", tags=["labels"], dependencies=[require_tier("free")])


def _dataset(connection: Connection[dict[str, Any]], dataset: str) -> dict[str, Any]:
    row = queries.dataset(connection, dataset)
    if row is None:
        raise not_found("dataset", dataset)
    return row


@router.get(
    "",
    response_model=DatasetPage,
    responses=responses(),
    openapi_extra=reads("labeled_event_datasets"),
    summary="List datasets",
)
def list_datasets(
    request: Request,
    view: Viewing,
    known_as_of: KnownAsOf = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Frozen versions of the ground truth, newest first: those that were frozen by `known_as_of`."""
    asked = paging.question("datasets", {"known_as_of": known_as_of})
    after, pins = paging.decode(asked, cursor, (datetime, str))
    known = known_by(pinned_moment(pins, "known_as_of", known_as_of), view.settled)
    rows = queries.datasets_page(view.connection, known, after, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("ingest_time", "dataset_id"), {"known_as_of": known})
    body = DatasetPage(
        data=[Dataset.model_validate(row) for row in page], meta=Meta(limit=limit, next_cursor=following)
    )
    return answer(request, body)


@router.get(
    "/{dataset}",
    response_model=Dataset,
    responses=responses(404),
    openapi_extra=reads("labeled_event_datasets"),
    summary="One dataset",
)
def get_dataset(request: Request, connection: Reading, dataset: DatasetName) -> Response:
    """One dataset by id or hash; it never changes."""
    row = _dataset(connection, dataset)
    return answer(request, Dataset.model_validate(row), immutable=True)


@router.get(
    "/{dataset}/members",
    response_model=DatasetMemberPage,
    responses=forms(404),
    openapi_extra=reads("labeled_event_dataset_members", "labeled_events"),
    summary="Members of a dataset",
)
def list_dataset_members(
    request: Request,
    connection: Reading,
    form: FormatOf,
    dataset: DatasetName,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """The labels of a dataset in the revisions it froze, by label_id; it never changes."""
    row = _dataset(connection, dataset)
    asked = paging.question(f"datasets/{row['dataset_id']}/members", {})
    after, _ = paging.decode(asked, cursor, (str,))
    rows = queries.dataset_members_page(connection, row["dataset_id"], after[0] if after else None, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("label_id",))
    facts = {name: row[name] for name in ("dataset_hash", "definitions_hash", "as_of")}
    origin, meta = Origin(f"dataset_{row['dataset_id']}", facts), Meta(limit=limit, next_cursor=following)
    return answer_rows(request, form, DatasetMember, page, meta, origin, immutable=True)


@router.get(
    "/{first}/diff/{second}",
    response_model=DatasetDiffPage,
    responses=responses(404),
    openapi_extra=reads("labeled_event_dataset_members", "labeled_events"),
    summary="Compare two datasets",
)
def diff_datasets(
    request: Request,
    connection: Reading,
    first: DatasetName,
    second: DatasetName,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Labels added, withdrawn and changed from the first dataset to the second; it never changes."""
    ids = [_dataset(connection, name)["dataset_id"] for name in (first, second)]
    asked = paging.question(f"labels/datasets/{ids[0]}/diff/{ids[1]}", {})
    after, _ = paging.decode(asked, cursor, (int,))
    start = after[0] if after else 0
    diff = queries.dataset_diff(connection, *ids)
    page = diff.changes[start : start + limit]
    following = paging.encode(asked, (start + limit,)) if start + limit < len(diff.changes) else None
    changes = [
        LabelChange(
            change=one.change,
            event_type=one.event_type,
            entity_id=one.entity_id,
            key=list(one.key),
            event_time=one.event_time,
            fields=[FieldChange(field=name, before=before, after=now) for name, before, now in one.fields],
        )
        for one in page
    ]
    counts = {kind: dict(own) for kind, own in diff.counts.items()}
    meta = DatasetDiffMeta(limit=limit, next_cursor=following, first=ids[0], second=ids[1], counts=counts)
    return answer(request, DatasetDiffPage(data=changes, meta=meta), immutable=True)
