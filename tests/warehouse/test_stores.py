"""Stores over a real database: what is written once, what is a revision, and what was known when."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import psycopg
import pytest

from signaldelta_assets.cli.tables import rejections
from signaldelta_assets.errors import RecordError
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import PoolLimits, Warehouse
from signaldelta_assets.warehouse.stores import documents, labels, raw, scores, signals
from signaldelta_assets.warehouse.stores.reading import Window
from tests.warehouse.examples import (
    DEFINITIONS,
    DEFINITIONS_DOCUMENT,
    START,
    labeled_event,
    put_raw,
    raw_record,
    score_sample,
    signal_event,
)

pytestmark = pytest.mark.postgres
MONTH = Window(date(2024, 3, 1), date(2024, 4, 1))


@pytest.fixture
def empty(fresh_postgres_url: str):
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


def _events(warehouse: Warehouse, as_of=None):
    return signals.read_events(warehouse, rules=[DEFINITIONS], window=MONTH, as_of=as_of)


def test_documents_are_named_by_their_canonical_bytes(warehouse: Warehouse) -> None:
    document = {"schema": "x/1", "half": 0.5, "tiny": 1e-7, "whole": 3}
    name = documents.put_document(warehouse, "latency_model", "first", document)
    assert name == hash_document(document) == documents.put_document(warehouse, "latency_model", "second", document)
    assert hash_document(documents.get_document(warehouse, name, "latency_model")) == name
    assert [row["name"] for row in documents.list_documents(warehouse, "latency_model")] == ["first"]
    with pytest.raises(documents.UnknownDocumentError, match="expected 'scoring_model', found 'latency_model'"):
        documents.get_document(warehouse, name, "scoring_model")
    with pytest.raises(documents.UnknownDocumentError, match="found 'latency_model'"):
        documents.put_document(warehouse, "scoring_model", "third", document)
    with pytest.raises(documents.UnknownDocumentError, match="no such"):
        documents.get_document(warehouse, "0" * 64)


def test_events_are_added_revised_withdrawn_and_left(empty: Warehouse) -> None:
    first = [signal_event(n) for n in range(4)]
    counts = signals.write_events(empty, first, MONTH, ["S001"], DEFINITIONS)
    assert (counts.inserted, counts.written) == (4, 4)
    before = empty.quiesce()
    assert signals.write_events(empty, first, MONTH, ["S001"], DEFINITIONS).unchanged == 4

    changed = [first[0], replace(first[1], strength_norm=0.75), first[2]]
    counts = signals.write_events(empty, changed, MONTH, ["S001"], DEFINITIONS)
    assert (counts.inserted, counts.revised, counts.withdrawn, counts.unchanged) == (0, 1, 1, 2)

    now = _events(empty)
    assert now["event_key"].to_pylist() == [event.event_key for event in changed]
    assert now["strength_norm"].to_pylist() == [0.5, 0.75, 0.5]
    assert now["raw_record_ids"].to_pylist() == [list(event.raw_record_ids) for event in changed]
    assert now["event_time"].to_pylist() == [event.event_time for event in changed]
    # What was known before the revision is still what was known before it.
    assert _events(empty, before)["content_hash"].to_pylist() == [event.content_hash for event in first]

    # A withdrawn event that is produced again comes back as a further revision.
    assert signals.write_events(empty, first, MONTH, ["S001"], DEFINITIONS).revised == 2
    assert dict(Counter(_events(empty)["revision"].to_pylist())) == {1: 2, 3: 2}


def test_an_event_that_moves_in_time_leaves_its_old_window(empty: Warehouse) -> None:
    old, new = signal_event(0), signal_event(0, event_time=START + timedelta(days=40))
    assert old.event_key == new.event_key and old.event_id != new.event_id
    april = Window(date(2024, 4, 1), date(2024, 5, 1))
    signals.write_events(empty, [old], MONTH, ["S001"], DEFINITIONS)
    assert signals.write_events(empty, [new], april, ["S001"], DEFINITIONS).revised == 1
    # The old window finds nothing to withdraw: the newest revision of the key is elsewhere.
    assert signals.write_events(empty, [], MONTH, ["S001"], DEFINITIONS).withdrawn == 0
    assert _events(empty).num_rows == 0
    april_events = signals.read_events(empty, rules=[DEFINITIONS], window=april)
    assert april_events["event_id"].to_pylist() == [new.event_id]


def test_other_signals_windows_and_definitions_are_left_alone(empty: Warehouse) -> None:
    other = [signal_event(1, signal_id="S002"), signal_event(2, event_time=START + timedelta(days=40))]
    signals.write_events(empty, other[:1], MONTH, ["S002"], DEFINITIONS)
    signals.write_events(empty, other[1:], Window(date(2024, 4, 1), date(2024, 5, 1)), ["S001"], DEFINITIONS)
    elder = hash_document({"elder": True})
    signals.write_events(empty, [signal_event(3, definitions_hash=elder)], MONTH, ["S001"], elder)
    assert signals.write_events(empty, [], MONTH, ["S001"], DEFINITIONS).written == 0


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (signal_event(1, signal_id="S002"), "signal_id"),
        (signal_event(1, event_time=START - timedelta(days=1)), "event_time"),
        (signal_event(1, definitions_hash="0" * 64), "definitions_hash"),
        (signal_event(1, active=False), "active"),
    ],
)
def test_events_that_do_not_belong_are_refused_by_field(warehouse: Warehouse, event, field: str) -> None:
    with pytest.raises(RecordError, match=f"field '{field}'"):
        signals.write_events(warehouse, [event], MONTH, ["S001"], DEFINITIONS)
    twice = [signal_event(1), signal_event(1, strength_norm=0.1)]
    with pytest.raises(RecordError, match="content_hash"):
        signals.write_events(warehouse, twice, MONTH, ["S001"], DEFINITIONS)


def test_concurrent_writers_of_one_window_write_each_revision_once(empty: Warehouse) -> None:
    versions = [[signal_event(n, strength_norm=0.1 * k) for n in range(50)] for k in range(1, 5)]
    failures: list[BaseException] = []

    def write(events) -> None:
        try:
            signals.write_events(empty, events, MONTH, ["S001"], DEFINITIONS)
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(events,)) for events in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with empty.read_pool().connection() as connection:
        revisions = connection.execute(
            "SELECT event_key, array_agg(revision ORDER BY revision) AS r FROM iald_signals GROUP BY 1"
        ).fetchall()
    assert len(revisions) == 50 and {tuple(row["r"]) for row in revisions} == {(1, 2, 3, 4)}
    assert len(set(_events(empty)["strength_norm"].to_pylist())) == 1, "one writer's version, whole"


def test_raw_records_come_back_as_they_were_written(empty: Warehouse) -> None:
    records = [raw_record(n, form=None if n == 1 else "4", event_time=None if n == 2 else START + timedelta(days=n))
               for n in range(3)]  # fmt: skip
    put_raw(empty, records)
    moment = empty.quiesce()
    put_raw(empty, [raw_record(9), raw_record(4, source_type="form_8k"), raw_record(5, entity_id="0000000002")])
    frame = raw.read_raw(empty, ["ownership"], date(2024, 1, 1), date(2026, 12, 31), as_of=moment)
    by_id = {record.raw_record_id: record for record in records}
    assert set(frame["raw_record_id"]) == set(by_id)
    assert str(frame["event_time"].dtype) == "datetime64[us, UTC]" == str(frame["observed_time"].dtype)
    for row in frame.to_dict("records"):
        record = by_id[row["raw_record_id"]]
        assert row["payload"] == record.payload and row["form"] == record.form
        assert row["observed_time"] == record.observed_time
        assert row["collector_version"] == record.collector_version and row["ingest_time"] <= moment
        assert (row["event_time"] == record.event_time) or (record.event_time is None and row["event_time"] is not row)
    # A record without event time lies in the partition of its observation.
    assert len(raw.read_raw(empty, ["ownership"], date(2024, 3, 1), date(2024, 3, 31), as_of=moment)) == 2
    assert len(raw.read_raw(empty, ["ownership"], date(2024, 1, 1), date(2024, 12, 31), entity_ids=["0000000002"])) == 1
    assert raw.read_raw(empty, ["split"], date(2024, 1, 1), date(2024, 12, 31)).empty
    coverage = raw.read_coverage(empty, None, MONTH).to_pylist()
    assert [(row["entity_id"], row["source_type"], row["records"]) for row in coverage] == [
        ("0000000001", "form_8k", 1), ("0000000001", "ownership", 3), ("0000000002", "ownership", 1)]  # fmt: skip


def test_labels_and_dataset_versions(empty: Warehouse) -> None:
    first = [labeled_event(n) for n in range(3)]
    assert labels.write_labels(empty, first, MONTH, ["MNA_ANNOUNCEMENT"], DEFINITIONS).inserted == 3
    whole = documents.put_document(empty, "signal_definitions", "active", DEFINITIONS_DOCUMENT)
    early = empty.quiesce()
    one = labels.freeze_dataset(empty, as_of=early, window=MONTH, definitions_hash=whole)
    assert (one.version, one.event_count, one.created) == (1, 3, True)
    assert one.coverage["MNA_ANNOUNCEMENT"]["insufficient_for_evaluation"] is True

    changed = [first[0], replace(first[1], confidence=0.75)]
    counts = labels.write_labels(empty, changed, MONTH, ["MNA_ANNOUNCEMENT"], DEFINITIONS)
    assert (counts.revised, counts.withdrawn, counts.unchanged) == (1, 1, 1)
    again = labels.freeze_dataset(empty, as_of=early, window=MONTH, definitions_hash=whole)
    assert (again.dataset_id, again.created) == (one.dataset_id, False)
    two = labels.freeze_dataset(empty, as_of=empty.quiesce(), window=MONTH, definitions_hash=whole)
    assert (two.version, two.event_count) == (2, 2) and two.dataset_hash != one.dataset_hash

    assert labels.read_dataset(empty, one.dataset_id)["confidence"].to_pylist() == [0.95, 0.95, 0.95]
    assert labels.read_dataset(empty, two.dataset_id)["confidence"].to_pylist() == [0.95, 0.75]
    assert labels.get_dataset(empty, 2).dataset_id == labels.get_dataset(empty, two.dataset_hash).dataset_id
    with pytest.raises(labels.UnknownDatasetError):
        labels.get_dataset(empty, 3)
    with pytest.raises(ValueError, match="as_of"):
        labels.freeze_dataset(empty, as_of=empty.quiesce() + timedelta(hours=1), window=MONTH, definitions_hash=whole)


def test_scores_are_kept_once_and_history_only_where_they_change(empty: Warehouse) -> None:
    model, latency = "a" * 64, "b" * 64
    hours = [START + timedelta(hours=n) for n in range(4)]
    rows = [scores.ScoreRow("E1", at, score_sample(m), "c" * 64)
            for at, m in zip(hours, (0.1, 0.1, 0.2, 0.1), strict=True)]  # fmt: skip
    hashes = {"scoring_model_hash": model, "latency_model_hash": latency, "definitions_hash": DEFINITIONS}
    assert scores.write_score_samples(empty, rows[:2], **hashes) == scores.ScoreCounts(2, 2, 1)
    assert scores.write_score_samples(empty, rows[:2], **hashes) == scores.ScoreCounts(2, 0, 0)
    assert scores.write_score_samples(empty, rows[1:], **hashes) == scores.ScoreCounts(3, 2, 2)
    with empty.read_pool().connection() as connection:
        history = connection.execute("SELECT at, magnitude FROM score_history ORDER BY at").fetchall()
    assert [(row["at"], row["magnitude"]) for row in history] == [(hours[0], 0.1), (hours[2], 0.2), (hours[3], 0.1)]


def test_history_is_of_the_samples_that_are_kept(empty: Warehouse) -> None:
    hours = [START + timedelta(hours=n) for n in range(3)]
    hashes = {"scoring_model_hash": "a" * 64, "latency_model_hash": "b" * 64, "definitions_hash": DEFINITIONS}

    def write(hour: int, magnitude: float, **other: str) -> scores.ScoreCounts:
        row = scores.ScoreRow("E1", hours[hour], score_sample(magnitude), "c" * 64)
        return scores.write_score_samples(empty, [row], **hashes | other)

    write(0, 0.1)
    write(2, 0.1)
    # The hour is scored again, from other evidence: the sample stands, and the history says what it says.
    assert write(2, 0.7) == scores.ScoreCounts(1, 0, 0)
    # Between two equal samples: there and back.
    assert write(1, 0.3) == scores.ScoreCounts(1, 1, 2)
    assert write(1, 0.3, latency_model_hash="d" * 64) == scores.ScoreCounts(1, 1, 1)
    assert write(1, 0.3, definitions_hash="e" * 64) == scores.ScoreCounts(1, 1, 1)
    with empty.read_pool().connection() as connection:
        history = connection.execute(
            "SELECT * FROM score_history WHERE latency_model_hash = %s AND definitions_hash = %s ORDER BY at",
            ("b" * 64, DEFINITIONS),
        ).fetchall()
    assert [(row["at"], row["magnitude"]) for row in history] == list(zip(hours, (0.1, 0.3, 0.1), strict=True))


def test_extraction_counts_are_of_the_last_time(empty: Warehouse) -> None:
    signals.write_counts(empty, "signal", "S001", MONTH, {"plan": 3, "routine": 1})
    signals.write_counts(empty, "signal", "S001", MONTH, {"plan": 2})
    with empty.read_pool().connection() as connection:
        rows = connection.execute("SELECT reason, rows FROM extraction_counts").fetchall()
    assert rows == [{"reason": "plan", "rows": 2}]


def test_extraction_counts_of_a_range_and_of_its_days_are_not_summed(empty: Warehouse) -> None:
    day, other = (Window(date(2024, 3, n), date(2024, 3, n + 1)) for n in (5, 6))
    for window in (day, other):
        signals.write_counts(empty, "signal", "S001", window, {"plan": 1})
    signals.write_counts(empty, "signal", "S002", day, {"plan": 7})
    assert rejections(empty)[2] == [("signal", "S001", "plan", 2), ("signal", "S002", "plan", 7)]
    # The range replaces its days; a day that is done again afterwards leaves the range as it is.
    signals.write_counts(empty, "signal", "S001", MONTH, {"plan": 2})
    signals.write_counts(empty, "signal", "S001", day, {"plan": 1})
    assert rejections(empty)[2] == [("signal", "S001", "plan", 2), ("signal", "S002", "plan", 7)]
    with empty.read_pool().connection() as connection:
        assert connection.execute("SELECT count(*) AS n FROM extraction_counts").fetchone() == {"n": 3}


@pytest.mark.postgres
def test_one_connection_reads_and_writes_by_turns(fresh_postgres_url: str) -> None:
    """A read may not write, and leaves a connection on which the next write may."""
    with Warehouse(fresh_postgres_url, limits=PoolLimits(size=1)) as single:
        for _ in range(2):
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), single.read_pool().connection() as connection:
                connection.execute("DELETE FROM rate_limits")
            with single.read_pool().connection() as connection:
                level = connection.execute("SHOW transaction_isolation").fetchone()
            assert level == {"transaction_isolation": "repeatable read"}
            with single.write_pool("collection").connection() as connection:
                connection.execute("DELETE FROM rate_limits")
                level = connection.execute("SHOW transaction_isolation").fetchone()
            assert level == {"transaction_isolation": "read committed"}
