"""Fixtures every room may use: a migrated PostgreSQL database per test module, and a `Warehouse` over it.

With SIGNALDELTA_DATABASE_URL set, databases are created on that server (its role needs CREATEDB) and dropped
again; without it one embedded server runs for the session in a temporary directory.
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import pytest
from psycopg import sql

from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import Warehouse, embedded_server, migrate, stop_embedded

_TEMPLATE = "signaldelta_test_template"
# A short path: a Unix socket's may have only about 100 characters.
_IN_MEMORY, _PLENTY = "sdt-", 8 << 30

# Tests start processes by the hundred. Where byte code is not kept, each would compile over a thousand modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Modules and test functions stay until the end: while they are made and after that (`pytest_collection_finish`) nobody
# looks through them for garbage.
gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    """Several workers put their servers, deployments and stores into memory where there is plenty.

    What a store writes is to reach the disk before it counts, here by the thousand, and nothing of it is kept.
    """
    memory = Path("/dev/shm")
    if not config.getoption("numprocesses", None) or not os.access(memory, os.W_OK):
        return
    for left in memory.glob(f"{_IN_MEMORY}*"):
        if not psutil.pid_exists(int(left.name.removeprefix(_IN_MEMORY))):
            shutil.rmtree(left, ignore_errors=True)
    if min(psutil.virtual_memory().available, shutil.disk_usage(memory).free) < _PLENTY:
        return
    folder = memory / f"{_IN_MEMORY}{os.getpid()}"
    folder.mkdir()
    # Servers run as another user where tests run as root.
    folder.chmod(0o755)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["TMPDIR"], tempfile.tempdir = str(folder), None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of whole deployments come first: a file takes minutes, and begun last it would leave a worker idle.

    Asked not to reorder files by their numbers of tests (`make test`), xdist hands them out in this order.
    """
    items.sort(key=lambda item: item.path.parent.name != "platform")


def pytest_collection_finish() -> None:
    """Set apart what has been imported, and look for garbage in what the tests make."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """At the end of the process some libraries tell of everything that is still there."""
    gc.unfreeze()


def _database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _create(server: str, name: str, template: str | None = None) -> str:
    clause = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + clause)
    return _database(server, name)


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a running server, its maintenance database; nothing of ours is in it."""
    given = os.environ.get("SIGNALDELTA_DATABASE_URL")
    if given:
        yield given
        return
    # A short path of its own: a Unix socket's path may have only about 100 characters.
    with tempfile.TemporaryDirectory(prefix="sdpg-", ignore_cleanup_errors=True) as raw:
        data = Path(raw) / "pg"
        url = embedded_server(data)
        # Tests crash clients, never the server: there is nothing to keep, so nothing needs to reach the disk.
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url
        stop_embedded(data)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """Name of a migrated database that is only ever copied: migrating once is slow enough."""
    name = f"{_TEMPLATE}_{new_ulid().lower()}"
    migrate(_create(postgres_server, name))
    yield name
    _drop(postgres_server, name)


@pytest.fixture(scope="module")
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """URL of a fresh, migrated database for this test module."""
    name = f"signaldelta_test_{new_ulid().lower()}"
    yield _create(postgres_server, name, postgres_template)
    _drop(postgres_server, name)


@pytest.fixture
def fresh_postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """URL of a fresh, migrated database for one test."""
    name = f"signaldelta_test_{new_ulid().lower()}"
    yield _create(postgres_server, name, postgres_template)
    _drop(postgres_server, name)


@pytest.fixture
def make_postgres_url(postgres_server: str, postgres_template: str) -> Iterator[Callable[[], str]]:
    """Makes fresh, migrated databases, for a test that compares several; each call gives the URL of another."""
    names: list[str] = []

    def make() -> str:
        names.append(f"signaldelta_test_{new_ulid().lower()}")
        return _create(postgres_server, names[-1], postgres_template)

    yield make
    for name in names:
        _drop(postgres_server, name)


@pytest.fixture(scope="session")
def parsed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment's home in which dbt's models are parsed, once for all workers: it takes seconds."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "parsed"
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        patch.setenv("SIGNALDELTA_HOME", str(home))
        from signaldelta_assets.defs.dbt.models import project

        project()
    return home


@pytest.fixture
def warehouse(postgres_url: str) -> Iterator[Warehouse]:
    """A `Warehouse` over the module's database."""
    with Warehouse(postgres_url) as opened:
        yield opened


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of a database without any schema, for tests of migrations."""
    name = f"signaldelta_test_{new_ulid().lower()}"
    yield _create(postgres_server, name)
    _drop(postgres_server, name)
