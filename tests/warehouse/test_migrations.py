"""Migrations keep to the rules of expanding and contracting, and lead down as well as up."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import Script, ScriptDirectory
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from signaldelta_assets.warehouse import head_revision, migrate, require_head
from signaldelta_assets.warehouse.migrations import WrongSchemaVersionError, _config
from signaldelta_assets.warehouse.paths import MIGRATIONS
from signaldelta_assets.warehouse.postgres import sqlalchemy_url
from signaldelta_assets.warehouse.roles import roles_sql
from tests.warehouse.test_schema import _dump

# From before there were two homes.
LAST_WITHOUT_PHASE = "0011"
# What an expansion may not do, by the linter's names.
FORBIDDEN = {
    "adding-not-nullable-field",
    "adding-required-field",
    "adding-serial-primary-key-field",
    "ban-drop-column",
    "ban-drop-database",
    "ban-drop-not-null",
    "ban-drop-table",
    "ban-truncate-cascade",
    "changing-column-type",
    "constraint-missing-not-valid",
    "renaming-column",
    "renaming-table",
}


def steps() -> list[Script]:
    """The steps that say their phase, oldest first."""
    every = list(reversed(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())))
    return [step for step in every if step.revision > LAST_WITHOUT_PHASE]


def complaints(statements: str, folder: Path) -> set[str]:
    """The names of the linter's rules that a migration breaks, of those that count here."""
    file = folder / "step.sql"
    file.write_text(statements)
    linter = Path(sys.executable).parent / "squawk"
    done = subprocess.run(
        [str(linter), "--reporter", "json", "--assume-in-transaction", "--pg-version", "16.0", str(file)],
        capture_output=True, text=True,
    )  # fmt: skip
    found = {entry["rule_name"] for entry in json.loads(done.stdout)}
    assert "syntax-error" not in found, done.stdout
    return found & FORBIDDEN


@contextmanager
def caught(engine: Engine) -> Iterator[list[str]]:
    """Every statement that goes through an engine."""
    statements: list[str] = []

    def keep(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "alembic_version" not in statement and not statement.lstrip().upper().startswith("SELECT"):
            statements.append(statement.replace("%%", "%").rstrip().rstrip(";") + ";")

    event.listen(engine, "before_cursor_execute", keep)
    yield statements
    event.remove(engine, "before_cursor_execute", keep)


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.revision)
def test_a_step_says_its_phase(step: Script) -> None:
    phase = getattr(step.module, "phase", None)
    assert phase in ("expand", "contract"), f"{step.revision}: expected phase = 'expand' or 'contract', found {phase!r}"
    if phase == "contract":
        earlier = {other.revision for other in steps() if other.revision < step.revision}
        assert step.module.expanded_in in earlier | {LAST_WITHOUT_PHASE}
    assert step.module.downgrade.__code__.co_code != (lambda: None).__code__.co_code, "no way back"


@pytest.mark.postgres
def test_an_expansion_takes_nothing_away(empty_postgres_url: str, tmp_path: Path) -> None:
    engine = create_engine(sqlalchemy_url(empty_postgres_url, "psycopg"))
    with engine.connect() as connection:
        connection.exec_driver_sql(roles_sql().replace("%", "%%"))
        config = _config(connection)
        command.upgrade(config, LAST_WITHOUT_PHASE)
        for step in steps():
            with caught(engine) as statements:
                command.upgrade(config, step.revision)
            assert statements, step.revision
            if step.module.phase == "expand":
                assert complaints("\n".join(statements), tmp_path) == set(), step.revision
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("ALTER TABLE s.t ADD COLUMN c integer NOT NULL;", "adding-required-field"),
        ("ALTER TABLE s.t DROP COLUMN c;", "ban-drop-column"),
        ("ALTER TABLE s.t RENAME COLUMN c TO d;", "renaming-column"),
        ("ALTER TABLE s.t ALTER COLUMN c TYPE bigint;", "changing-column-type"),
        ("DROP TABLE s.t;", "ban-drop-table"),
        ("ALTER TABLE s.t RENAME TO u;", "renaming-table"),
        ("ALTER TABLE s.t ALTER COLUMN c SET NOT NULL;", "adding-not-nullable-field"),
        ("ALTER TABLE s.t ADD CONSTRAINT k CHECK (c > 0);", "constraint-missing-not-valid"),
    ],
)
def test_the_rules_would_catch_it(statement: str, rule: str, tmp_path: Path) -> None:
    assert rule in complaints(statement, tmp_path)
    assert (
        complaints("ALTER TABLE s.t ADD COLUMN c integer;\nCREATE TABLE s.u (a text PRIMARY KEY);", tmp_path) == set()
    )


def _described(url: str) -> str:
    """The schema without the names that the server gives to NOT NULL: they depend on what was there when."""
    return re.sub(r"CONSTRAINT \w+_not_null\d* NOT NULL", "NOT NULL", _dump(url))


@pytest.mark.postgres
def test_the_way_down_leads_where_it_came_from(empty_postgres_url: str) -> None:
    """Each step back leaves exactly what was there before it; `_take_back` rests on that."""
    engine = create_engine(sqlalchemy_url(empty_postgres_url, "psycopg"))
    dumps: dict[str, str] = {}
    revisions = [LAST_WITHOUT_PHASE, *(step.revision for step in steps())]
    for revision in revisions:
        with engine.begin() as connection:
            connection.exec_driver_sql(roles_sql().replace("%", "%%"))
            command.upgrade(_config(connection), revision)
        dumps[revision] = _described(empty_postgres_url)
    assert len(set(dumps.values())) == len(dumps)
    for revision in reversed(revisions[:-1]):
        with engine.begin() as connection:
            command.downgrade(_config(connection), revision)
        assert _described(empty_postgres_url) == dumps[revision], revision
    engine.dispose()


@pytest.mark.postgres
def test_a_database_taken_for_another_place_or_of_another_version_is_refused(empty_postgres_url: str) -> None:
    with pytest.raises(WrongSchemaVersionError, match=f"expected {head_revision()}, found None"):
        require_head(empty_postgres_url)
    migrate(empty_postgres_url, place="aws")
    require_head(empty_postgres_url, place="aws")
    for wrong in ("offsite", "one"):
        with pytest.raises(
            WrongSchemaVersionError, match=f"the settings say '{wrong}', the database says that it is 'aws'"
        ):
            require_head(empty_postgres_url, place=wrong)  # type: ignore[arg-type]
        with pytest.raises(WrongSchemaVersionError, match="the database says that it is 'aws'"):
            migrate(empty_postgres_url, place=wrong)  # type: ignore[arg-type]
