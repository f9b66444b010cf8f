"""Frozen datasets: what names them, what is left out and counted, what differs between two, damage that is found."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from signaldelta_assets.cli.main import app
from signaldelta_assets.contracts import LabeledEvent, TimePrecision
from signaldelta_assets.errors import RecordError
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import IntegrityError, Warehouse
from signaldelta_assets.warehouse.stores import documents, labels
from signaldelta_assets.warehouse.stores.dataset_diff import diff_datasets
from signaldelta_assets.warehouse.stores.reading import Window
from tests.warehouse.examples import DEFINITIONS, DEFINITIONS_DOCUMENT, labeled_event

MONTH = Window(date(2024, 3, 1), date(2024, 4, 1))
TYPES = ["MNA_ANNOUNCEMENT"]


@pytest.fixture
def empty(fresh_postgres_url: str):
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


def interpolated(number: int, error: float = 90) -> LabeledEvent:
    made = labeled_event(number)
    return replace(made, time_precision=TimePrecision.INTERPOLATED, attributes={"time_error_seconds": error})


def frozen(warehouse: Warehouse, **more: object) -> labels.Dataset:
    whole = documents.put_document(warehouse, "signal_definitions", "active", DEFINITIONS_DOCUMENT)
    return labels.freeze_dataset(warehouse, window=MONTH, definitions_hash=whole, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [None, -1, "90", True, float("inf")])
def test_an_interpolated_label_says_its_error(error: object) -> None:
    with pytest.raises(RecordError, match=r"attributes\.time_error_seconds"):
        replace(labeled_event(1), time_precision="interpolated", attributes={"time_error_seconds": error})  # type: ignore[arg-type]
    assert interpolated(1).time_precision is TimePrecision.INTERPOLATED


@pytest.mark.postgres
def test_interpolated_labels_are_left_out_and_counted_unless_asked_for(empty: Warehouse) -> None:
    exact = [labeled_event(n) for n in range(3)]
    labels.write_labels(empty, exact, MONTH, TYPES, DEFINITIONS)
    before = frozen(empty)
    labels.write_labels(empty, [*exact, interpolated(5)], MONTH, TYPES, DEFINITIONS)
    without, with_it = frozen(empty), frozen(empty, include_interpolated=True)
    # A label that is not a member makes no new version.
    assert without.dataset_hash == before.dataset_hash and not without.created
    assert (with_it.event_count, with_it.include_interpolated, with_it.interpolated_left_out) == (4, True, 0)
    table = labels.read_labels(empty, rules=[DEFINITIONS], window=MONTH)
    rules = {"MNA_ANNOUNCEMENT": DEFINITIONS}
    document = labels.dataset_document(rules, table, include_interpolated=True)
    assert hash_document(document) == with_it.dataset_hash
    assert "include_interpolated" not in labels.dataset_document(rules, table)
    labels.write_labels(empty, [*exact[:2], interpolated(5)], MONTH, TYPES, DEFINITIONS)
    assert frozen(empty).interpolated_left_out == 1


@pytest.mark.postgres
def test_the_database_refuses_other_precisions_and_an_error_not_told(empty: Warehouse) -> None:
    labels.write_labels(empty, [labeled_event(1)], MONTH, TYPES, DEFINITIONS)
    copied = sql.SQL(
        "INSERT INTO labeled_events SELECT (jsonb_populate_record(e, %s::jsonb)).* FROM labeled_events AS e"
    )
    for change, constraint in (({"time_precision": "minute"}, "time_precision"),
                               ({"time_precision": "interpolated"}, "time_error")):  # fmt: skip
        writing = empty.write_pool("labels")
        with pytest.raises(psycopg.errors.CheckViolation, match=constraint), writing.connection() as connection:
            connection.execute(copied, (json.dumps({**change, "revision": 2}),))


@pytest.mark.postgres
def test_what_differs_between_two_datasets(
    empty: Warehouse, fresh_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels.write_labels(empty, [labeled_event(n) for n in range(4)], MONTH, TYPES, DEFINITIONS)
    one = frozen(empty)
    assert frozen(empty).dataset_id == one.dataset_id
    later = [labeled_event(0), replace(labeled_event(1), confidence=0.75, subtype="acquirer"), labeled_event(2),
             labeled_event(7)]  # fmt: skip
    labels.write_labels(empty, later, MONTH, TYPES, DEFINITIONS)
    two = frozen(empty)
    assert two.version == one.version + 1
    with empty.read_pool().connection() as connection:
        diff = diff_datasets(connection, one.dataset_id, two.dataset_id)
        back = diff_datasets(connection, two.dataset_id, one.dataset_id)
        none = diff_datasets(connection, one.dataset_id, one.dataset_id)
    found = {change.key[0]: (change.change, change.fields) for change in diff.changes}
    assert found == {
        "deal-1": ("changed", (("subtype", "target", "acquirer"), ("confidence", 0.95, 0.75))),
        "deal-3": ("withdrawn", ()),
        "deal-7": ("added", ()),
    }
    assert diff.counts == {"MNA_ANNOUNCEMENT": {"added": 1, "withdrawn": 1, "changed": 1, "unchanged": 2}}
    assert {change.key[0]: change.change for change in back.changes} == {
        "deal-1": "changed", "deal-3": "added", "deal-7": "withdrawn"}  # fmt: skip
    assert none.changes == () and none.counts["MNA_ANNOUNCEMENT"]["unchanged"] == 4

    # A label made again under other definitions is the same label.
    other = hash_document({"other": True})
    labels.write_labels(empty, [replace(label, definitions_hash=other) for label in later], MONTH, TYPES, other)
    document = {"signals": {}, "labels": {"MNA_ANNOUNCEMENT": {"rule_hash": other}}}
    whole = documents.put_document(empty, "signal_definitions", "other", document)
    again = labels.freeze_dataset(empty, window=MONTH, definitions_hash=whole)
    with empty.read_pool().connection() as connection:
        assert diff_datasets(connection, two.dataset_id, again.dataset_id).changes == ()

    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path))
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", fresh_postgres_url)
    told = CliRunner().invoke(app, ["labels", "diff", str(one.version), two.dataset_hash, "--json"])
    assert told.exit_code == 0, told.output
    body = json.loads(told.stdout)
    assert body["counts"] == diff.counts and len(body["changes"]) == 3
    listed = json.loads(CliRunner().invoke(app, ["labels", "datasets", "--json"]).stdout)
    assert [row["version"] for row in listed] == [3, 2, 1]
    missing = CliRunner().invoke(app, ["labels", "diff", "1", "99"])
    assert missing.exit_code == 2 and "no such version 99" in missing.stderr


@pytest.mark.postgres
def test_damage_to_a_dataset_is_found(empty: Warehouse, fresh_postgres_url: str) -> None:
    labels.write_labels(empty, [labeled_event(n) for n in range(3)], MONTH, TYPES, DEFINITIONS)
    one = frozen(empty)
    assert labels.verify_dataset(empty, one.version).dataset_hash == one.dataset_hash

    def forced(table: str, statement: str) -> None:
        with psycopg.connect(fresh_postgres_url, autocommit=True) as connection:
            connection.execute(f"ALTER TABLE signaldelta.{table} DISABLE TRIGGER ALL")
            connection.execute(statement)

    forced("labeled_events", "UPDATE signaldelta.labeled_events SET confidence = 0.5 WHERE label_key LIKE '%deal-1%'")
    with pytest.raises(IntegrityError, match="expected the content"):
        labels.verify_dataset(empty, one.version)
    forced("labeled_event_dataset_members",
           "DELETE FROM signaldelta.labeled_event_dataset_members WHERE label_id = "
           "(SELECT min(label_id) FROM signaldelta.labeled_event_dataset_members)")  # fmt: skip
    with pytest.raises(IntegrityError, match=r"of its 3 members, found .* of 2"):
        labels.verify_dataset(empty, one.version)
