"""One function per fault: break it, see who is told, mend it, do the work again; return what came of it (`Outcome`).

They assert what must hold at every step; what is measured is in the outcome.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import (
    MigrationError,
    Place,
    Warehouse,
    WrongHomeError,
    WrongSchemaVersionError,
    current_revision,
    head_revision,
    migrate,
    migrate_homes,
    misrouted,
    replication,
    require_head,
    watch,
)
from signaldelta_assets.warehouse.postgres import plain_url
from signaldelta_assets.warehouse.stores import documents
from tests.homes import comparing
from tests.homes.places import PIECES, PLAN, Homes, Link, Outcome, Reference, segments, socket_of
from tests.homes.work import Job

WHOLE = (PLAN.start.isoformat(), PLAN.end.isoformat())
RUN_TABLES = ("backtest_runs", "backtest_metrics", "backtest_alerts", "backtest_artifacts", "hypothesis_trials")


@dataclass
class Course:
    """All the work of a deployment, piece by piece, each disturbed; held against what undisturbed work came to."""

    homes: Homes
    reference: Reference

    # --- the pieces -------------------------------------------------------------------------------------------

    def history(self) -> None:
        """What comes first, undisturbed."""
        self.homes.start("history", WHOLE[0], "").result()
        assert self.lost("history") == []

    def _job(self, piece: str) -> Job:
        name, _, place = piece.partition(" ")
        if name == "collect":
            return self.homes.start("collect", *segments(PIECES)[int(place)])
        if name == "freeze":
            return self.homes.start("freeze", *WHOLE)
        return self.homes.start("backtest", self.spec(int(place)))

    def spec(self, place: int) -> str:
        """A question about the snapshot."""
        return str(self.reference.results["freeze"]["specs"][place])

    def _amid(self, piece: str) -> Callable[[], bool]:
        """Whether a piece of work is in the middle of what it does."""
        homes = self.homes
        if piece.startswith("collect"):
            before = homes.count("offsite", "raw_records")
            return lambda: (
                homes.count("offsite", "raw_records") > before
                and homes.count("offsite", "collector_runs", "status = 'running'") == 1
            )
        if piece == "freeze":
            held = homes.stored()
            return lambda: any(name.endswith(".parquet") for name in homes.stored() - held)
        return lambda: any((homes.state / "tmp").glob("signaldelta-sandbox-*/*"))

    def lost(self, piece: str) -> list[str]:
        """What differs from undisturbed work after that piece, and what is left over in the stores."""
        prints = comparing.of_work(self.homes.urls["offsite"])
        return comparing.differences(prints, self.reference.prints[piece]) + self.homes.orphans()

    def _nothing_half_visible(self, piece: str) -> None:
        if piece == "freeze":
            assert self.homes.count("offsite", "backtest_snapshots") == 0
        if piece.startswith("backtest"):
            # Of each run all there is to be seen, and nothing of the one that was disturbed.
            place = int(piece.split()[1])
            before = self.reference.prints[f"backtest {place - 1}" if place else "freeze"]
            now = comparing.of_work(self.homes.urls["offsite"])
            assert {table: now[table] for table in RUN_TABLES} == {table: before[table] for table in RUN_TABLES}

    def _again(self, piece: str, since: float) -> float:
        """The same work once more; how long since the fault until both homes have it."""
        assert self._same(piece, self._job(piece).result())
        return self.homes.settle(since)

    def _same(self, piece: str, result: Any) -> bool:
        expected = self.reference.results[piece]
        if not piece.startswith("backtest"):
            return bool(result == expected)
        names = ("run", "status", "trial")
        return all(result[name] == expected[name] for name in names)

    # --- the faults -------------------------------------------------------------------------------------------

    def server_killed(self, piece: str, place: Place, *, finish: bool = True) -> Outcome:
        """`kill -9` of a home's PostgreSQL in the middle of a piece of work."""
        job = self._job(piece)
        job.when(self._amid(piece))
        since = time.monotonic()
        self.homes.kill_server(place)
        job.signal(signal.SIGCONT)
        words, told = self.homes.told(f"{place}: the database does not answer", since)
        said: dict[str, Any] = {}
        if place == "offsite" and not piece.startswith("backtest"):
            # What was under way ends with what happened, and no later than it would have waited for a connection.
            said = job.found(60)
            assert "HomeLostError: home 'offsite'" in said.get("error", ""), said
        self.homes.start_server(place)
        if not said:
            said = job.found()
            # Without its home it may end late, and then does; what it needs is back before that.
            assert self._same(piece, said.get("result")), said
        else:
            self._nothing_half_visible(piece)
        took = self._again(piece, since) if finish else self.homes.settle(since)
        lost = self.lost(piece) if finish else []
        notes = {"the work": said.get("error", "ended as if nothing had been")}
        return Outcome(f"kill -9 of PostgreSQL at {place}", piece, lost, took, words, told, notes)

    def worker_killed(self, piece: str, *, finish: bool = True, wait: bool = False) -> Outcome:
        """`kill -9` of the process that does a piece of work."""
        job = self._job(piece)
        job.when(self._amid(piece))
        since = time.monotonic()
        job.kill()
        self._nothing_half_visible(piece)
        words, told = self.homes.told("died: no heartbeat", since) if wait else ("", 0.0)
        if not finish:
            return Outcome("kill -9 of the worker", piece, [], 0.0, words, told)
        took = self._again(piece, since)
        if piece.startswith("collect"):
            dead = self.homes.rows("offsite", "SELECT error FROM collector_runs WHERE error LIKE 'superseded%'")
            assert len(dead) == 1 and self.homes.count("offsite", "collector_runs", "status = 'running'") == 0
        return Outcome("kill -9 of the worker", piece, self.lost(piece), took, words, told)

    def disk_full(self, piece: str, what: str, *, finish: bool = True) -> Outcome:
        """No space left for the database (`postgres`) or the artifact store while a piece of work writes there."""
        amid = self._amid(piece) if what == "postgres" else None
        job = self._job(piece)
        if amid is not None:
            job.when(amid)
        since = time.monotonic()
        with self.homes.full(what):
            if amid is not None:
                job.signal(signal.SIGCONT)
            said = job.found()
            assert "no space" in said.get("error", "").lower() or "HomeLostError" in said.get("error", ""), said
            try:
                view = self.homes.look()
                words = next((t.words for t in view.troubles if "collector" in t.words or "answer" in t.words), "")
            except AssertionError:
                words = ""
            told = time.monotonic() - since
        self._nothing_half_visible(piece)
        self.homes.start_server("offsite")
        took = self._again(piece, since) if finish else self.homes.settle(since)
        return Outcome(
            f"disk of {what} full", piece, self.lost(piece) if finish else [], took, words or said["error"], told,
            {"the work": said["error"]},
        )  # fmt: skip

    def two_at_once(self, piece: str = "backtest 0") -> Outcome:
        """Two processes run the backtest of one spec."""
        since = time.monotonic()
        before = self.homes.count("offsite", "backtest_runs")
        one, other = self._job(piece), self._job(piece)
        found = [one.result(), other.result()]
        assert sorted(result["created"] for result in found) == [False, True], found
        assert all(self._same(piece, result) for result in found), found
        after = self.homes.count("offsite", "backtest_runs"), self.homes.count("offsite", "hypothesis_trials")
        assert after == (before + 1, before + 1)
        took = self.homes.settle(since)
        return Outcome("two backtests of one spec at once", piece, self.lost(piece), took, "", 0.0)

    def launched_twice(self, piece: str) -> Outcome:
        """The same collection by two processes at once, and once more after it."""
        since = time.monotonic()
        one, other = self._job(piece), self._job(piece)
        one.result(), other.result()
        took = self._again(piece, since)
        return Outcome("the same run launched twice", piece, self.lost(piece), took, "", 0.0)


# --- the link between the homes -------------------------------------------------------------------------------------


def _write(homes: Homes, mark: str, count: int) -> None:
    """So many small transactions at offsite."""
    with Warehouse(homes.urls["offsite"], place="offsite") as warehouse:
        for place in range(count):
            documents.put_document(warehouse, "scoring_model", f"{mark} {place}", {"mark": mark, "place": place})


def by_way_of(homes: Homes, link: Link) -> dict[Place, str]:
    """Let aws read from offsite over a link; return the homes as aws knows them."""
    for group in replication.replicated_groups("offsite"):
        name = replication.name_of(group)
        homes.rows("aws", f"ALTER SUBSCRIPTION {name} CONNECTION '{replication._conninfo(link.url)}'")
    return {"aws": homes.urls["aws"], "offsite": link.url}


def directly(homes: Homes) -> None:
    """Let aws read from offsite as before."""
    for group in replication.replicated_groups("offsite"):
        name = replication.name_of(group)
        homes.rows("aws", f"ALTER SUBSCRIPTION {name} CONNECTION '{replication._conninfo(homes.urls['offsite'])}'")


def link_cut(homes: Homes, how: str) -> Outcome:
    """The link refuses (`refused`) or swallows (`swallowed`) everything while offsite writes, then works again."""
    link = Link(socket_of(homes.urls["offsite"]), homes.folder)
    link.open()
    try:
        by_way_of(homes, link)
        _write(homes, f"before {how}", 5)
        homes.settle(time.monotonic())
        since = time.monotonic()
        link.close() if how == "refused" else link.freeze()
        _write(homes, how, 200)
        words, told = homes.told("is not connected" if how == "refused" else " behind, allowed", since, 90)
        behind = {lag.group: lag for lag in homes.look().lags}["models"]
        assert behind.bytes and behind.bytes > 200 * 100, behind
        missing = homes.count("offsite", "documents") - homes.count("aws", "documents")
        assert missing == 200
        _write(homes, f"more {how}", 50)
        further = {lag.group: lag for lag in homes.look().lags}["models"]
        assert further.bytes is not None and further.bytes > behind.bytes
        healed = time.monotonic()
        link.open() if how == "refused" else link.thaw()
        took = homes.settle(healed)
        after = {lag.group: lag for lag in homes.look().lags}["models"]
        assert after.seconds == 0 and after.state == "streaming" and after.trouble is None, after
        directly(homes)
        homes.settle(time.monotonic())
        homes.quiet()
    finally:
        directly(homes)
        link.close()
    notes = {"bytes behind at most": further.bytes, "seconds are counted from": "the healing"}
    return Outcome(f"the link between the homes is cut: {how}", "writing", [], took, words, told, notes)


# --- delivered twice ------------------------------------------------------------------------------------------------


def replayed_from_an_older_position(homes: Homes, group: str = "models") -> Outcome:
    """A subscription is made anew from a slot that is behind what the reader has: every row of it arrives again."""
    name = replication.name_of(group)
    homes.settle(time.monotonic())
    homes.rows("offsite", "SELECT pg_copy_logical_replication_slot(%s, 'older')", name)
    _write(homes, "delivered twice", 3)
    _received(homes, name)
    since = time.monotonic()
    with replication.opened(homes.urls["aws"]) as reader, replication.opened(homes.urls["offsite"]) as home:
        replication._unsubscribe(reader, home, group)
        home.execute("SELECT pg_copy_logical_replication_slot('older', %s)", (name,))
        home.execute("SELECT pg_drop_replication_slot('older')")
        replication._subscribe(reader, group, homes.urls["offsite"], copy=False)
    words, told = homes.told(name, since)
    # Written meanwhile: it comes through when the group has been copied anew.
    _write(homes, "behind the one that stands in the way", 3)
    changed = replication.resync(homes.urls, group)
    took = homes.settle(since)
    homes.quiet("failed")
    notes = {"rows that `resync` had to write": sum(changed.values())}
    return Outcome("rows arrive that are there already", "replication", [], took, words, told, notes)


def _received(homes: Homes, name: str) -> None:
    deadline = time.monotonic() + 30
    while homes.rows("offsite", "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"
                     " AND confirmed_flush_lsn < pg_current_wal_lsn()", name):  # fmt: skip
        assert time.monotonic() < deadline
        homes.rows("offsite", "SELECT pg_logical_emit_message(true, 'signaldelta', 'wait')")
        time.sleep(0.3)


def reader_killed_during_the_first_copy(homes: Homes, *, durable: bool) -> Outcome:
    """`kill -9` of aws while it copies everything for the first time.

    Without `durable` as PostgreSQL does by itself: what the copy had finished may be forgotten while its slot is gone,
    which is what an operator has to be told then.
    """
    replication.unpair(homes.urls)
    for group in replication.replicated_groups("offsite"):
        tables = ", ".join(str(table) for table in replication.tables_of(group))
        homes.rows("aws", f"SET session_replication_role = replica; TRUNCATE {tables} CASCADE") if tables else None
    replication.pair(homes.urls)
    if not durable:
        # What the crash leaves behind: a table noted as copied, and the slot it was to catch up from is gone.
        name = replication.name_of("models")
        homes.settle(time.monotonic())
        homes.rows("aws", f"ALTER SUBSCRIPTION {name} DISABLE")
        homes.rows("aws", "UPDATE pg_subscription_rel SET srsubstate = 'f' WHERE srsubid ="
                   " (SELECT oid FROM pg_subscription WHERE subname = %s)", name)  # fmt: skip
        homes.rows("aws", f"ALTER SUBSCRIPTION {name} ENABLE")
    since = time.monotonic()
    homes.kill_server("aws")
    words, told = homes.told("aws: the database does not answer", since)
    homes.start_server("aws")
    if not durable:
        words, told = homes.told("does not get on", since)
        replication.resync(homes.urls, "models")
    took = homes.settle(since)
    homes.quiet()
    when = "the first copy" if durable else "the first copy, a slot of which is gone"
    return Outcome("kill -9 of PostgreSQL at aws", when, [], took, words, told)


def misrouted_twice(homes: Homes) -> Outcome:
    """Writes at the wrong home: recovered by two at once, after a crash between delivering and noting, and again."""
    since = time.monotonic()
    marks = [{"misrouted": place} for place in range(6)]
    with Warehouse(homes.urls["aws"], place="aws") as warehouse:
        for mark in marks:
            try:
                documents.put_document(warehouse, "scoring_model", "at the wrong home", mark)
            except WrongHomeError:
                continue
            raise AssertionError("a write at the wrong home was not refused")
    words, told = homes.told("came to the wrong home", since)
    # Carried out, and the process ended before it could note so.
    with psycopg.connect(plain_url(homes.urls["aws"]), row_factory=dict_row,
                         options="-c search_path=signaldelta") as connection:  # fmt: skip
        first = misrouted.waiting(connection)[0]
    assert misrouted._deliver(homes.urls["offsite"], first) == ("delivered", None)
    jobs = [homes.start("recover", homes.urls["aws"], homes.urls["offsite"], "aws") for _ in range(2)]
    outcomes = [outcome for job in jobs for outcome in job.result()]
    assert "failed" not in outcomes and outcomes.count("delivered") == 5, outcomes
    assert misrouted.recover(homes.urls["aws"], homes.urls["offsite"], "aws") == []
    hashes = [hash_document(mark) for mark in marks]
    held = homes.rows("offsite", "SELECT document_hash FROM documents WHERE document_hash = ANY(%s)", hashes)
    took = homes.settle(since)
    lost = sorted(set(hashes) - {row["document_hash"] for row in held})
    assert homes.count("offsite", "delivered_writes") == 6 and len(held) == 6
    homes.quiet()
    return Outcome("writes at the wrong home, recovered twice", "writing", lost, took, words, told,
                   {"what became of them": outcomes})  # fmt: skip


# --- migrations -----------------------------------------------------------------------------------------------------


def migration_fails(homes: Homes) -> list[Outcome]:
    """A step that fails at the second home, then a commit that does, on two databases of their own."""
    from alembic.script import ScriptDirectory

    from signaldelta_assets.warehouse.migrations import MIGRATIONS

    before = ScriptDirectory(str(MIGRATIONS)).get_revision("head").down_revision
    assert isinstance(before, str)
    urls: dict[Place, str] = {}
    for place, url in homes.urls.items():
        homes.rows(place, "CREATE DATABASE changing")
        urls[place] = url.replace("/postgres?", "/changing?")
    migrate_homes(urls, before)

    def run(place: Place, statement: str) -> None:
        with psycopg.connect(plain_url(urls[place]), autocommit=True) as connection:
            connection.execute(statement)

    def refused(of: str) -> str:
        try:
            migrate_homes(urls)
        except MigrationError as error:
            assert of in str(error), error
            assert {place: current_revision(url) for place, url in urls.items()} == dict.fromkeys(urls, before)
            return str(error)
        raise AssertionError("it did not fail")

    fail = (
        "CREATE FUNCTION public.fail() RETURNS {kind} LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not at this home'; END $$"
    )
    since = time.monotonic()
    run("offsite", fail.format(kind="event_trigger"))
    run("offsite", "CREATE EVENT TRIGGER fail ON ddl_command_start EXECUTE FUNCTION public.fail()")
    step = refused("nothing was changed at either home")
    run("offsite", "SET event_triggers = off; DROP EVENT TRIGGER fail; DROP FUNCTION public.fail()")
    first = time.monotonic() - since
    since = time.monotonic()
    run("offsite", fail.format(kind="trigger"))
    run("offsite", "CREATE CONSTRAINT TRIGGER fail AFTER UPDATE ON alembic_version DEFERRABLE INITIALLY DEFERRED"
                   " FOR EACH ROW EXECUTE FUNCTION public.fail()")  # fmt: skip
    commit = refused("aws was taken back to")
    second = time.monotonic() - since
    run("offsite", "DROP TRIGGER fail ON alembic_version; DROP FUNCTION public.fail()")
    # One home alone: no code runs against the two of them.
    migrate(urls["aws"], place="aws")
    try:
        require_head(urls["aws"], place="aws", peer_url=urls["offsite"])
        raise AssertionError("code runs against homes of two versions")
    except WrongSchemaVersionError as error:
        assert "schema versions differ" in str(error)
    since = time.monotonic()
    view = watch.look(urls, "aws")
    words = next(t.words for t in view.troubles if t.kind == "schema_version")
    assert words.startswith("offsite: schema version")
    told = time.monotonic() - since
    migrate_homes(urls, level=True)
    assert {current_revision(url) for url in urls.values()} == {head_revision()}
    level = time.monotonic() - since
    for place in urls:
        homes.rows(place, "DROP DATABASE changing WITH (FORCE)")
    return [
        Outcome("a migration fails at the second home", "migrating", [], first, step, 0.0),
        Outcome("a migration's commit fails at the second home", "migrating", [], second, commit, 0.0),
        Outcome("homes of two versions", "starting", [], level, words, told),
    ]


# --- clocks ---------------------------------------------------------------------------------------------------------


def clocks_apart(homes: Homes, set_offset: Callable[[Callable[[Any], float]], None], minutes: float = 7.0) -> Outcome:
    """One home says that its clock is minutes ahead. `set_offset` puts a function in the place of the watch's own.

    Exercised: the comparison, its words, and that neither replication nor what it is measured by minds. Not exercised:
    a server whose clock really is ahead.
    """
    asked = watch._clock_offset
    socket = homes.urls["aws"].partition("host=")[2]

    def ahead(connection: Any) -> float:
        return asked(connection) + (60 * minutes if connection.info.host == socket else 0.0)

    homes.quiet()
    set_offset(ahead)
    since = time.monotonic()
    words, told = homes.told("the clocks of", since)
    _write(homes, "with clocks apart", 5)
    took = homes.settle(since)
    assert [t.kind for t in homes.look().troubles] == ["clock_skew"]
    set_offset(asked)
    homes.quiet()
    return Outcome("the clocks of the homes are apart", "writing", [], took, words, told)
