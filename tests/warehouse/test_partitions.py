"""Partitions: there before their rows, guarded as their table is, asked alone, and DEFAULT emptied unseen."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from api.queries import latest_score, latest_scores_page, score_history_page
from signaldelta_assets.contracts import RawRecord
from signaldelta_assets.warehouse import SCHEMA, PoolLimits, Warehouse, current_revision, migrate
from signaldelta_assets.warehouse.daemonlock import DaemonLock
from signaldelta_assets.warehouse.ddl import schema_sql
from signaldelta_assets.warehouse.partitions import ensure, ensure_ahead, guard, owner, partitions, settle
from signaldelta_assets.warehouse.roles import APPLICATION
from signaldelta_assets.warehouse.tables import split_tables
from tests.warehouse.examples import put_raw, raw_record

pytestmark = pytest.mark.postgres

HASHES = ("a" * 64, "b" * 64, "c" * 64)
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
# Twenty-four months of fifty entities, as the writers' own statement would bring them.
MONTHS, ENTITIES = 24, 50
FIRST, END = date(2023, 1, 1), datetime(2024, 12, 31, 23, 59, tzinfo=UTC)
_SCORES = """
INSERT INTO score_samples (entity_id, at, scoring_model_hash, latency_model_hash, definitions_hash, input_hash,
  evidence, effective_families, magnitude, lean, confidence, quality, diversity, ordering, n_events, legacy_score,
  verdict, chain_probabilities, family_deltas, top_contributors, ingest_time)
SELECT lpad(e::text, 10, '0'), at, %(a)s, %(b)s, %(c)s, %(a)s, 1, 1, 0.5, 0, 0.5, 1, 1, 1, 1, 50, 'watch', '{}', '{}',
  '[]', at + interval '5 minutes'
FROM generate_series(1, %(entities)s) AS e,
  generate_series(%(first)s::timestamptz, %(end)s::timestamptz, %(step)s::interval) AS at
"""


def put_scores(connection: psycopg.Connection[Any], first: datetime, end: datetime, step: str, entities: int) -> int:
    a, b, c = HASHES
    given = {"a": a, "b": b, "c": c, "first": first, "end": end, "step": step, "entities": entities}
    return connection.execute(_SCORES, given).rowcount


def plan(connection: psycopg.Connection[Any], ask: Any) -> list[dict[str, Any]]:
    """The scans of what `ask` asks through a connection: type, relation and whether they were carried out."""

    class Explaining:
        def execute(self, statement: Any, values: Any) -> Any:
            text = statement if isinstance(statement, str) else statement.as_string(connection)
            row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", values).fetchone()
            found = row["QUERY PLAN"] if isinstance(row, dict) else row[0]
            walk((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])
            return connection.execute(text, values)

    scans: list[dict[str, Any]] = []

    def walk(node: dict[str, Any]) -> None:
        if "Relation Name" in node:
            scans.append(node)
        for child in node.get("Plans", []):
            walk(child)

    ask(Explaining())
    return scans


def relations(scans: list[dict[str, Any]]) -> set[str]:
    assert {scan["Node Type"] for scan in scans} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, scans
    return {scan["Relation Name"] for scan in scans}


@pytest.fixture(scope="module")
def scores(postgres_url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection to a database with 200,000 scores over 24 months."""
    with Warehouse(postgres_url) as warehouse:
        ensure(warehouse, "score_samples", [date(2023 + month // 12, month % 12 + 1, 1) for month in range(MONTHS)])
    with owner(postgres_url) as connection:
        rows = put_scores(connection, datetime(2023, 1, 1, tzinfo=UTC), END, "263 minutes", ENTITIES)
        assert rows >= 199_000
        connection.execute("ANALYZE score_samples")
        yield connection


def test_the_latest_score_is_looked_up_in_the_last_partitions_alone(
    scores: psycopg.Connection[dict[str, Any]],
) -> None:
    scans = plan(scores, lambda on: latest_score(on, "0000000007", {}, END, NEVER))
    assert relations(scans) <= {"score_samples_2024_11", "score_samples_2024_12"}
    found = latest_score(scores, "0000000007", {}, END, NEVER)
    assert found is not None and END - timedelta(minutes=263) < found["at"] <= END
    # One whose last score is old is found as well, through indexes only.
    early = datetime(2023, 2, 1, tzinfo=UTC)
    put_scores(scores, early, early, "1 day", 51)  # the fifty-first has this one alone
    old = latest_score(scores, "0000000051", {}, END, NEVER)
    assert old is not None and old["at"] == early
    assert len(relations(plan(scores, lambda on: latest_score(on, "0000000051", {}, END, NEVER)))) > 2
    page, last = latest_scores_page(scores, {}, END, NEVER, None, 100)
    assert (len(page), last) == (51, None) and page[6] == found and page[50] == old
    relations(plan(scores, lambda on: latest_scores_page(on, {}, END, NEVER, None, 100)))


def test_a_bounded_history_touches_the_partitions_of_its_period_alone(
    scores: psycopg.Connection[dict[str, Any]],
) -> None:
    bounds = {"start": datetime(2023, 6, 10, tzinfo=UTC), "end": datetime(2023, 8, 2, tzinfo=UTC)}
    expected = {f"score_samples_2023_{month:02d}" for month in (6, 7, 8)}
    for descending in (False, True):

        def page(on: Any, after: Any = None, descending: bool = descending) -> Any:
            return score_history_page(on, "0000000007", bounds, END, NEVER, after, descending, 100)

        scans = plan(scores, page)
        assert relations(scans) == expected
        first = page(scores)
        after = tuple(
            first[-1][name] for name in ("at", "scoring_model_hash", "latency_model_hash", "definitions_hash")
        )
        second = page(scores, after)
        assert first[-1]["at"] != second[0]["at"] and (first[-1]["at"] > second[0]["at"]) is descending
        # A page further on leaves out what lies behind it.
        assert len(relations(plan(scores, lambda on, after=after, page=page: page(on, after)))) < len(expected) + 1


def test_raw_records_of_a_source_and_days_are_read_from_their_year(fresh_postgres_url: str) -> None:
    with Warehouse(fresh_postgres_url) as warehouse:
        ensure(warehouse, "raw_records", [date(year, 5, 5) for year in range(2019, 2026)])
        put_raw(warehouse, [raw_record(n, event_time=datetime(2019 + n % 7, 5, 5, tzinfo=UTC)) for n in range(700)])
    with owner(fresh_postgres_url) as connection:
        connection.execute("ANALYZE raw_records")
        connection.execute("SET enable_seqscan = off")  # a few hundred rows are cheaper to read whole
        question = "SELECT * FROM raw_records WHERE source_type = ANY(%s) AND partition_date BETWEEN %s AND %s"
        scans = plan(
            connection,
            lambda on: on.execute(question, (["ownership"], date(2021, 1, 1), date(2021, 12, 31))),
        )
        # Records without a moment in their id may be of any day.
        assert relations(scans) == {"raw_records_2021", "raw_records_undated", "raw_records_default"}
        names = {one.name for one in partitions(connection, "raw_records") if one.start is None}
        assert names == {"raw_records_undated", "raw_records_default"}
        row = connection.execute("SELECT count(*) AS n FROM raw_records_default").fetchone()
        assert row == {"n": 0}


def test_a_record_is_one_row_whatever_day_it_was_put_on(fresh_postgres_url: str) -> None:
    with Warehouse(fresh_postgres_url) as warehouse:
        for day in (date(2021, 3, 3), date(2024, 4, 4)):
            record: RawRecord = raw_record(1, event_time=None, fallback_date=day)
            assert record.partition_date == day
            if day.year == 2021:
                put_raw(warehouse, [record])
            else:
                with pytest.raises(psycopg.errors.UniqueViolation):
                    put_raw(warehouse, [record])


def test_every_partition_refuses_every_change_whoever_made_it(fresh_postgres_url: str) -> None:
    ensure_ahead(fresh_postgres_url, datetime(2024, 1, 1, tzinfo=UTC), years=1)
    with owner(fresh_postgres_url) as connection:
        for table in split_tables():
            low, high = ("2050-01-01", "2050-02-01") if table.info["split"].day is None else ("02", "03")
            connection.execute(
                f"CREATE TABLE {table.name}_by_hand PARTITION OF {table.name} FOR VALUES FROM ('{low}') TO ('{high}')"
            )
        put_scores(connection, datetime(2050, 1, 3, tzinfo=UTC), datetime(2050, 1, 3, tzinfo=UTC), "1 day", 1)
        for change in ("DELETE FROM", "UPDATE"):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="frozen"):
                connection.execute(f"{change} score_samples_by_hand {'SET lean = 1' if change == 'UPDATE' else ''}")
        assert sorted(guard(fresh_postgres_url)) == sorted(f"{table.name}_by_hand" for table in split_tables())
        assert guard(fresh_postgres_url) == []
        names = [one.name for table in split_tables() for one in partitions(connection, str(table.name))]
        assert len(names) > 30
        for name in names:
            for change in (f"TRUNCATE {name}", f"DELETE FROM {name}", f"UPDATE {name} SET entity_id = entity_id"):
                with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="frozen"):
                    connection.execute(change)


def test_the_application_may_make_partitions_and_nothing_else(fresh_postgres_url: str) -> None:
    with Warehouse(fresh_postgres_url) as warehouse:
        made = ensure(warehouse, "score_samples", [date(2024, 2, 3), date(2024, 2, 29), date(2024, 4, 1)])
        assert made == ["score_samples_2024_02", "score_samples_2024_04"]
        assert ensure(warehouse, "score_samples", [date(2024, 2, 3)]) == []
        # A wrong date makes none.
        assert ensure(warehouse, "score_samples", [date(1, 1, 1), date(9000, 1, 1)]) == []
        for statement in (
            "CREATE TABLE signaldelta.mine (a int)",
            "DROP TABLE score_samples_2024_02",
            "ALTER TABLE score_samples DETACH PARTITION score_samples_2024_02",
            "ALTER TABLE score_samples DISABLE TRIGGER ALL",
            "SET session_replication_role = replica",
            "INSERT INTO score_samples_2024_02 SELECT * FROM score_samples_2024_02",
            "DELETE FROM score_samples_2024_02",
            "SELECT signaldelta.make_partition('score_samples', 'mine')",
            "SELECT signaldelta.attach_partition('score_samples', 'mine', '2024-05-01')",
        ):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                warehouse.write_pool("signals").connection() as connection,
            ):
                connection.execute(statement)  # type: ignore[call-overload]
        with (
            pytest.raises(psycopg.errors.InvalidParameterValue, match="not partitioned"),
            warehouse.write_pool("signals").connection() as connection,
        ):
            connection.execute("SELECT signaldelta.ensure_partitions('iald_signals', '2024-01-01', '2024-01-01')")


def test_what_landed_in_default_is_moved_and_nobody_misses_it(fresh_postgres_url: str) -> None:
    first, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 31, tzinfo=UTC)
    counts: list[int] = []
    with owner(fresh_postgres_url) as writer:
        rows = put_scores(writer, first, end, "1 day", 3)
        put_scores(writer, datetime(1980, 1, 1, tzinfo=UTC), datetime(1980, 1, 1, tzinfo=UTC), "1 day", 1)
        with Warehouse(fresh_postgres_url) as warehouse:
            # Its rows are in DEFAULT, so that no partition can be made; they stay where they are.
            assert ensure(warehouse, "score_samples", [date(2024, 2, 1)]) == []
            done = threading.Event()
            old_is_open = threading.Event()

            def ask_again_and_again() -> None:
                counted = "SELECT count(*) AS n FROM score_samples WHERE at >= '2024-02-01' AND at < '2024-03-01'"
                everything = "SELECT count(*) AS n FROM score_samples"
                while not done.is_set():
                    # As readers do: one view of the database for several questions.
                    with warehouse.read_pool().connection() as reading:
                        for _ in range(3):
                            for statement in (counted, everything):
                                row = reading.execute(statement).fetchone()
                                assert row is not None
                                counts.append(int(row["n"]))
                            old_is_open.set()

            reader = threading.Thread(target=ask_again_and_again)
            reader.start()
            old_is_open.wait(10)
            moved = settle(fresh_postgres_url)
            done.set()
            reader.join()
        assert set(counts) == {29 * 3, rows + 1}
        assert [(one.table, one.rows, one.left) for one in moved] == [("score_samples", rows, 1)]
        assert moved[0].partitions == ("score_samples_2024_01", "score_samples_2024_02", "score_samples_2024_03")
        assert [(one.rows, one.left) for one in settle(fresh_postgres_url)] == [(0, 1)]
        held = writer.execute("SELECT count(*) AS n FROM score_samples_2024_02").fetchone()
        assert held == {"n": 29 * 3}
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            writer.execute("DELETE FROM score_samples_default")


def test_whoever_sees_the_database_as_it_was_before_is_waited_for(fresh_postgres_url: str) -> None:
    with owner(fresh_postgres_url) as writer, Warehouse(fresh_postgres_url) as warehouse:
        put_scores(writer, datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 9, tzinfo=UTC), "1 day", 1)
        outcome: list[Any] = []
        with warehouse.read_pool().connection() as reading:
            reading.execute("SELECT 1")  # from here on it sees this state
            mover = threading.Thread(target=lambda: outcome.append(settle(fresh_postgres_url)))
            mover.start()
            mover.join(1.0)
            assert mover.is_alive()
            asked = "SELECT count(*) AS n FROM score_samples WHERE at >= '2024-01-01' AND at < '2024-02-01'"
            assert reading.execute(asked).fetchone() == {"n": 9}
        mover.join(30)
        assert outcome[0][0].rows == 9
        assert writer.execute(asked).fetchone() == {"n": 9}


def test_the_migration_moves_rows_into_partitions_and_back(fresh_postgres_url: str) -> None:
    url = fresh_postgres_url
    with owner(url) as connection, Warehouse(url) as warehouse:
        put_scores(connection, datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 9, tzinfo=UTC), "1 day", 2)
        put_raw(warehouse, [raw_record(n, event_time=datetime(2020 + n % 3, 5, 5, tzinfo=UTC)) for n in range(9)])
        put_raw(warehouse, [raw_record(100, event_time=None)])
        connection.execute("CREATE SCHEMA staging")
        connection.execute("CREATE VIEW staging.scores AS SELECT entity_id, at FROM score_samples")
        connection.execute("CREATE VIEW staging.more AS SELECT entity_id, max(at) AS at FROM staging.scores GROUP BY 1")
        connection.execute("CREATE PUBLICATION p FOR TABLE score_samples WITH (publish_via_partition_root = true)")

        def state() -> tuple[Any, ...]:
            return tuple(
                connection.execute(statement).fetchall()  # type: ignore[call-overload]
                for statement in (
                    "SELECT * FROM raw_records ORDER BY 1",
                    "SELECT * FROM score_samples ORDER BY 1, 2",
                    "SELECT * FROM staging.more ORDER BY 1",
                    "SELECT tablename FROM pg_publication_tables",
                    f"SELECT has_table_privilege('{APPLICATION}', 'raw_records', 'INSERT') AS mine,"
                    f" has_table_privilege('{APPLICATION}', 'raw_records', 'DELETE') AS not_mine",
                )
            )

        before = state()
        assert before[4] == [{"mine": True, "not_mine": False}]
        migrate(url, "0012")
        assert current_revision(url) == "0012" and state() == before
        migrate(url)
        assert state() == before
        held = [one for table in split_tables() for one in partitions(connection, str(table.name))]
        assert {"raw_records_2020", "raw_records_2022", "score_samples_2024_01", "score_samples_2024_02"} <= {
            one.name for one in held
        }
        for name in ("score_samples_default", "raw_records_default"):
            assert connection.execute(f"SELECT count(*) AS n FROM {name}").fetchone() == {"n": 0}
        assert f"{SCHEMA}.ensure_partitions" in schema_sql()


def test_partitions_are_made_and_settled_while_a_daemon_holds_its_lock(fresh_postgres_url: str) -> None:
    """What keeps the partitions in order is itself run by the daemon."""
    lock = DaemonLock(fresh_postgres_url)
    lock.take()
    try:
        with Warehouse(fresh_postgres_url, limits=PoolLimits(lock_seconds=1)) as warehouse:
            assert ensure(warehouse, "score_samples", [date(2031, 5, 3)]) == ["score_samples_2031_05"]
        assert settle(fresh_postgres_url) == []
    finally:
        lock.release()
