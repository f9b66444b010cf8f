"""Alembic from code: bring one home, or both together, to a version of the schema; say which version one has.

Both homes change in two transactions that are open at once: AWS first, then offsite, and neither is committed before
both are through. `docs/migrations.md` has the rules a migration keeps to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, pool, text
from sqlalchemy.exc import SQLAlchemyError

from signaldelta_assets.errors import SignalDeltaError

from .paths import MIGRATIONS
from .postgres import sqlalchemy_url
from .roles import READ_MODELS_SQL, become_sql, roles_sql
from .seeds import seeds_sql
from .tables import Place

# Alembic is imported where it is used: every process imports this module, few migrate.
if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

# The order in which the homes are changed. A reader gets its columns before a writer fills them only by the rules of
# expanding and contracting; the order decides which home is asked to undo when the other fails.
ORDER: tuple[Place, ...] = ("aws", "offsite")
_LOCK = 0x5D_0002
# With two homes there are readers and writers at both: a migration that cannot have its locks soon gives up whole.
_LOCK_TIMEOUT = "15s"


class WrongSchemaVersionError(SignalDeltaError):
    """A database whose schema is not the one this code, or the other home, has."""


class MigrationError(SignalDeltaError):
    """A migration that could not be carried out; says what state each home is in."""


def _config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = create_engine(
        sqlalchemy_url(url, "psycopg"), poolclass=pool.NullPool, connect_args={"connect_timeout": 10}
    )
    with engine.connect() as connection:
        yield connection


def _version(connection: Connection) -> str | None:
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _step(connection: Connection, revision: str, place: Place) -> None:
    """Bring a database to `revision`, up or down, and its rights to those of `place`; in the open transaction."""
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config(connection)
    found = _version(connection)
    stands = _place(connection)
    if stands not in (None, "one", place):
        raise WrongSchemaVersionError(
            f"place: the settings say {place!r}, the database says that it is {stands!r}; "
            "correct SIGNALDELTA_PLACE or the URL of the database"
        )
    scripts = ScriptDirectory.from_config(config)
    target = scripts.get_revision(revision).revision
    above = {step.revision for step in scripts.walk_revisions("base", target)}
    if found is not None and found not in above:
        command.downgrade(config, target)
    elif found != target:
        command.upgrade(config, target)
    if target == head_revision():
        for statements in filter(None, (become_sql(place), READ_MODELS_SQL, seeds_sql(place))):
            connection.exec_driver_sql(statements.replace("%", "%%"))


def migrate(url: str, revision: str = "head", *, place: Place = "one") -> None:
    """Apply the migrations up to `revision`, in one transaction, under a lock: safe to call from many processes.

    A database that is `one` becomes the `place` it is said to be; one of two homes stays what it is, or is refused.
    """
    with _connected(url) as connection:
        # Most calls find nothing to do, and need no right to do it.
        if _is_ready(connection, revision, place):
            return
        connection.rollback()
        with connection.begin():
            connection.exec_driver_sql(roles_sql().replace("%", "%%"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            _step(connection, revision, place)


def seed(url: str, place: Place = "one") -> int:
    """Add the seeds that are missing at `place`; return how many rows were added."""
    with _connected(url) as connection, connection.begin():
        added = 0
        for statement in seeds_sql(place).splitlines():
            added += connection.exec_driver_sql(statement.replace("%", "%%")).rowcount
        return added


def _is_ready(connection: Connection, revision: str, place: Place) -> bool:
    if revision != "head" or _version(connection) != head_revision():
        return False
    return _place(connection) == place


def _place(connection: Connection) -> str | None:
    """Return which place a database says that it is, None where it does not know of places yet."""
    if connection.execute(text("SELECT to_regclass('signaldelta.this_home')")).scalar() is None:
        return None
    found: str | None = connection.execute(text("SELECT place FROM signaldelta.this_home")).scalar()
    return found


def migrate_homes(urls: Mapping[Place, str], revision: str = "head", *, level: bool = False) -> None:
    """Bring both homes to `revision`, or neither.

    Both must be reachable and of one version before; `level` lets the one behind, such as a new one, catch up first.
    Where the second fails, the first is rolled back. Where only the last commit fails, the first is taken back to the
    version that both had. Raises `MigrationError`, which says what each home is left with.
    """
    before = {place: current_revision(urls[place]) for place in ORDER}
    if len(set(before.values())) > 1:
        if not level:
            raise WrongSchemaVersionError(
                f"schema versions differ: {_told(before)}; `signaldelta db migrate --level` brings them together"
            )
        newest = max(before.values(), key=lambda found: found or "")
        for place in ORDER:
            if before[place] != newest:
                _migrate_alone(urls[place], newest or "base", place)
                before[place] = newest
    with ExitStack() as stack:
        opened: dict[Place, Connection] = {}
        place = ORDER[0]
        try:
            for place in ORDER:
                opened[place] = stack.enter_context(_connected(urls[place]))
                opened[place].exec_driver_sql(roles_sql().replace("%", "%%"))
                opened[place].exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                opened[place].execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                found = _version(opened[place])
                if found != before[place]:
                    raise WrongSchemaVersionError(f"{place} was migrated meanwhile: now {found}")
                _step(opened[place], revision, place)
        except (SQLAlchemyError, SignalDeltaError) as error:
            for connection in opened.values():
                connection.rollback()
            raise MigrationError(
                f"migration failed at {place}, nothing was changed at either home ({_told(before)}): {error}"
            ) from error
        first, second = ORDER
        opened[first].commit()
        try:
            opened[second].commit()
        except SQLAlchemyError as error:
            _take_back(urls[first], before[first], first, second, error)


def _migrate_alone(url: str, revision: str, place: Place) -> None:
    with _connected(url) as connection, connection.begin():
        connection.exec_driver_sql(roles_sql().replace("%", "%%"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _step(connection, revision, place)


def _take_back(url: str, before: str | None, first: Place, second: Place, cause: Exception) -> None:
    from alembic import command

    try:
        with _connected(url) as connection, connection.begin():
            command.downgrade(_config(connection), before or "base")
    except SQLAlchemyError as error:
        raise MigrationError(
            f"{second} could not commit ({cause}) and {first}, which had, could not be taken back to {before}: {error}."
            " Their versions differ and code refuses to run; `signaldelta db migrate --level` once both answer"
        ) from error
    raise MigrationError(f"{second} could not commit; {first} was taken back to {before}: {cause}") from cause


def _told(versions: Mapping[Place, str | None]) -> str:
    return ", ".join(f"{place} {version or 'empty'}" for place, version in versions.items())


def head_revision() -> str:
    """Return the newest migration of this code."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None
    return head


def current_revision(url: str) -> str | None:
    """Return the migration a database stands at, None for an empty one."""
    with _connected(url) as connection:
        return _version(connection)


def require_head(url: str, *, place: Place = "one", peer_url: str | None = None) -> None:
    """Raise `WrongSchemaVersionError` unless a database has this code's schema and is the `place` it is taken for.

    With `peer_url` the other home must have the same version, where it answers: a cut link stops nobody.
    """
    with _connected(url) as connection:
        found, expected = _version(connection), head_revision()
        if found != expected:
            raise WrongSchemaVersionError(
                f"schema version: expected {expected}, found {found}; run `signaldelta db migrate`"
            )
        stands = _place(connection)
    if stands != place:
        raise WrongSchemaVersionError(
            f"place: the settings say {place!r}, the database says that it is {stands!r}; "
            "correct SIGNALDELTA_PLACE or SIGNALDELTA_DATABASE_URL"
        )
    if peer_url is not None:
        try:
            other = current_revision(peer_url)
        except SQLAlchemyError:
            return
        if other != found:
            raise WrongSchemaVersionError(
                f"schema versions differ: {place} {found}, the other home {other}; run `signaldelta db migrate`"
            )
