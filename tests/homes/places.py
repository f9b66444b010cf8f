"""Two homes as real servers in a folder of their own, what breaks them, and how an operator learns of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.rows import dict_row

from signaldelta_assets.cli.environment import replay_environment
from signaldelta_assets.replay import SimulationPlan, simulate
from signaldelta_assets.settings import Settings
from signaldelta_assets.warehouse import (
    Place,
    embedded_server,
    migrate,
    migrate_homes,
    receiving,
    replication,
    stop_embedded,
    watch,
)
from signaldelta_assets.warehouse.copying import ReplicationError
from signaldelta_assets.warehouse.postgres import plain_url, restart_embedded
from tests.homes import comparing
from tests.homes.comparing import Prints
from tests.homes.work import Job
from tests.paths import ROOT
from tests.platform.deployment import serving, short_folder

PLAN = SimulationPlan(seed=7, entities=12, days=120, pools=2)
FOLDERS: dict[Place, str] = {"offsite": "postgres", "aws": "postgres-aws"}


@dataclass
class Outcome:
    """What came of a fault: what was lost, how long until all was well again, how the operator learned of it."""

    fault: str
    when: str
    lost: list[str]
    consistent_seconds: float
    words: str
    told_seconds: float
    notes: dict[str, Any] = field(default_factory=dict)


def segments(count: int) -> list[tuple[str, str]]:
    """The days of the archive in as many pieces, each with its first and last day."""
    days = (PLAN.end - PLAN.start).days + 1
    firsts = [PLAN.start + timedelta(days=days * place // count) for place in range(count + 1)]
    return [(a.isoformat(), (b - timedelta(days=1)).isoformat()) for a, b in pairwise(firsts)]


@dataclass
class Homes:
    """Two paired homes with an archive to collect from. `at` is the place whose processes do the work."""

    folder: Path
    urls: dict[Place, str]
    replay_url: str
    # Why no disk can be filled, None where offsite's database and artifacts are on small ones.
    roomy: str | None = None

    @property
    def state(self) -> Path:
        """The deployment's state directory."""
        return self.folder / "h"

    def settings(self, **more: Any) -> Settings:
        """The settings of a process at offsite."""
        return Settings(
            home=self.state, place="offsite", database_url=self.urls["offsite"], peer_database_url=self.urls["aws"],
            **more,
        )  # fmt: skip

    def variables(self, state: Path | None = None, url: str | None = None) -> dict[str, str]:
        """The environment of a process at offsite; or of one with a database that is both homes, at `url`."""
        state = state or self.state
        temporary = state / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        observed = datetime(PLAN.end.year, PLAN.end.month, PLAN.end.day, tzinfo=UTC) + timedelta(days=1)
        settings = self.settings().model_copy(update={"home": state})
        database = {"SIGNALDELTA_PLACE": "offsite", "SIGNALDELTA_DATABASE_URL": self.urls["offsite"],
                    "SIGNALDELTA_PEER_DATABASE_URL": self.urls["aws"]}  # fmt: skip
        if url is not None:
            database = {"SIGNALDELTA_DATABASE_URL": url}
        return {
            "SIGNALDELTA_HOME": str(state),
            **database,
            **(replay_environment(settings, self.replay_url) if self.replay_url else {}),
            "SIGNALDELTA_FIXED_CLOCK": observed.isoformat(),
            "SIGNALDELTA_FIRST_DAY": "2025-01-01",
            "TMPDIR": str(temporary),
        }

    def start(self, name: str, *arguments: Any, variables: dict[str, str] | None = None) -> Job:
        """Start a piece of work (`work`)."""
        return Job(name, arguments, variables or self.variables(), self.folder / "jobs")

    def rows(self, place: Place, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a query as the owner, each statement committed."""
        options = "-c search_path=signaldelta,public -c timezone=UTC"
        with psycopg.connect(
            plain_url(self.urls[place]), autocommit=True, row_factory=dict_row, options=options, connect_timeout=5
        ) as connection:
            cursor = connection.execute(query, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def count(self, place: Place, table: str, where: str = "true") -> int:
        """How many rows a table has."""
        return int(self.rows(place, f"SELECT count(*) AS n FROM {table} WHERE {where}")[0]["n"])

    # --- breaking ---------------------------------------------------------------------------------------------

    def kill_server(self, place: Place) -> None:
        """`kill -9` of a PostgreSQL: the postmaster and every process it has."""
        postmaster = int((self.state / FOLDERS[place] / "postmaster.pid").read_text().split()[0])
        parent = psutil.Process(postmaster)
        every = [parent, *parent.children(recursive=True)]
        for process in every:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(every, 10)

    def start_server(self, place: Place) -> None:
        """Start a PostgreSQL again, after which it recovers what was committed."""
        found = embedded_server(self.state / FOLDERS[place])
        assert found == self.urls[place], "its address changed"

    @contextmanager
    def full(self, what: str) -> Iterator[None]:
        """No space left where `what` is: `postgres` or `artifacts`; again some afterwards."""
        root = self.state / what
        filler = root / "filler"
        with filler.open("wb") as file:
            free = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize
            os.posix_fallocate(file.fileno(), 0, max(free - 8192, 1))
        try:
            yield
        finally:
            filler.unlink()

    # --- looking ----------------------------------------------------------------------------------------------

    def look(self) -> watch.View:
        """What `signaldelta status` at offsite looks at."""
        return watch.look(self.urls, "offsite")

    def told(self, of: str, since: float, seconds: float = 60.0) -> tuple[str, float]:
        """Wait until the operator is told something that contains `of`; the very words, and after how long."""
        while True:
            view = self.look()
            for trouble in view.troubles:
                if of in trouble.words:
                    return trouble.words, time.monotonic() - since
            assert time.monotonic() - since < seconds, f"not told of {of!r}: {[t.words for t in view.troubles]}"
            time.sleep(0.2)

    def settle(self, since: float, seconds: float = 60.0) -> float:
        """Wait until both homes have everything of each other; fail where they differ; how long it took."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                receiving.wait_until_received(self.urls, seconds)
                break
            except (psycopg.Error, ReplicationError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        took = time.monotonic() - since
        different = comparing.differences(comparing.of_home(self.urls["offsite"]), comparing.of_home(self.urls["aws"]))
        assert different == [], different
        return took

    def quiet(self, *but: str, seconds: float = 30.0) -> None:
        """Wait until nothing is wrong any more but what contains one of `but`."""
        deadline = time.monotonic() + seconds
        while left := [t.words for t in self.look().troubles if not any(word in t.words for word in but)]:
            assert time.monotonic() < deadline, left
            time.sleep(0.2)

    def stored(self) -> set[str]:
        """Every file of the artifact store and the archive, temporary ones too."""
        return {
            path.name
            for store in ("archive", "artifacts")
            for path in (self.state / store).rglob("*")
            if path.is_file() and path.name != "filler"
        }

    def orphans(self) -> list[str]:
        """Files that no row names, and rows whose file is missing."""
        named = {row["name"] for row in self.rows("offsite", (
            "SELECT body_hash AS name FROM raw_documents UNION SELECT file_hash FROM backtest_artifacts"
            " UNION SELECT part->>'file_hash' FROM backtest_snapshots, jsonb_array_elements(manifest->'parts') part"
        ))}  # fmt: skip
        return sorted(named ^ {name.partition(".")[0] or name for name in self.stored()})


def _server(folder: Path) -> str:
    url = embedded_server(folder)
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        # Processes are killed here, machines are not: what the system has been given is as good as on disk.
        for name, value in (("fsync", "off"), ("max_wal_size", "256MB"), ("wal_retrieve_retry_interval", "500ms")):
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    replication.configure(url)
    restart_embedded(folder)
    return embedded_server(folder)


def _small_disk(folder: Path, megabytes: int) -> str | None:
    """Mount a small disk on `folder`; return why that is not possible, None where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "there is no mount"
    return None if done.returncode == 0 else f"a small disk cannot be mounted here: {done.stderr.strip()}"


@contextmanager
def two_homes(*, replay: bool = True) -> Iterator[Homes]:
    """Two servers of this code's schema, paired, in a short folder; and an archive served to collect from."""
    with short_folder() as folder, contextlib.ExitStack() as stack:
        urls: dict[Place, str] = {}
        roomy: str | None = None
        for name, megabytes in (("postgres", 700), ("artifacts", 32)):
            roomy = roomy or _small_disk(folder / "h" / name, megabytes)
            if roomy is None:
                stack.callback(subprocess.run, ["umount", "-l", str(folder / "h" / name)], check=False)
        for place, name in FOLDERS.items():
            stack.callback(stop_embedded, folder / "h" / name)
            (folder / "h").mkdir(exist_ok=True)
            urls[place] = _server(folder / "h" / name)
        migrate_homes(urls, level=True)
        replication.pair(urls)
        url = ""
        if replay:
            simulate(PLAN, folder / "archive")
            url = stack.enter_context(serving(folder / "archive", folder))
        yield Homes(folder, urls, url, roomy)


@dataclass
class Reference:
    """What undisturbed work comes to, after each piece of it."""

    prints: dict[str, Prints]
    results: dict[str, Any]


PIECES = 4


def undisturbed(homes: Homes, backtests: int = 1) -> Reference:
    """Do all the work in a database of its own at aws' server, in the same pieces, and note what came of each."""
    with psycopg.connect(plain_url(homes.urls["aws"]), autocommit=True) as connection:
        connection.execute("CREATE DATABASE reference")
    url = homes.urls["aws"].replace("/postgres?", "/reference?")
    migrate(url)
    variables = homes.variables(homes.folder / "reference", url)
    found = Reference({}, {})
    first, last = PLAN.start.isoformat(), PLAN.end.isoformat()
    pieces: list[tuple[str, str, tuple[Any, ...]]] = [("history", "history", (first, ""))]
    pieces += [(f"collect {place}", "collect", days) for place, days in enumerate(segments(PIECES))]
    pieces += [("freeze", "freeze", (first, last))]
    for name, job, arguments in pieces:
        found.results[name] = homes.start(job, *arguments, variables=variables).result()
        found.prints[name] = comparing.of_work(url)
    for place in range(backtests):
        spec = found.results["freeze"]["specs"][place]
        found.results[f"backtest {place}"] = homes.start("backtest", spec, variables=variables).result()
        found.prints[f"backtest {place}"] = comparing.of_work(url)
    return found


@dataclass
class Link:
    """A TCP way to a home's socket that can be cut."""

    socket: str
    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The home by way of the link."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def open(self) -> None:
        """Start, on the same port as before."""
        ready = self.folder / "link.port"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-S", "-m", "tests.homes.proxy", self.socket, str(ready), str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        deadline = time.monotonic() + 20
        while not (ready.exists() and ready.read_text()):
            assert time.monotonic() < deadline and self.process.poll() is None, "the link did not open"
            time.sleep(0.02)
        self.port = int(ready.read_text())

    def freeze(self) -> None:
        """Swallow everything from now on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Refuse everything from now on."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None


def socket_of(url: str) -> str:
    """The Unix socket of an embedded server."""
    return url.partition("host=")[2] + "/.s.PGSQL.5432"


def day(text: str) -> date:
    """A day of the archive."""
    return date.fromisoformat(text)
