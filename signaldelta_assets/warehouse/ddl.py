"""DDL made from the table registry: `migrations/schema.sql`, and the triggers that keep frozen tables frozen."""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, SetTableComment

from .migrations import head_revision
from .roles import READ_MODELS_SQL, REPLICATION, become_sql, roles_sql
from .tables import SCHEMA, metadata

# The replication may: it has the right to change rows only where they are copies of what is frozen at their home.
_REFUSE = f"""
CREATE FUNCTION {SCHEMA}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_user = '{REPLICATION}' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION '% on %.% refused: its rows are frozen', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation',
          HINT = 'write a new version or revision instead';
END
$$;
""".strip()

# A statement's rows are looked at together: each distinct value once, however many rows have it.
_REQUIRE_PARENTS = f"""
CREATE FUNCTION {SCHEMA}.require_parents() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  missing text;
  place int := 0;
BEGIN
  WHILE place < TG_NARGS LOOP
    EXECUTE format('SELECT child.value FROM (SELECT DISTINCT %I AS value FROM added) child '
                   'WHERE NOT EXISTS (SELECT FROM %I.%I parent WHERE parent.%I = child.value) LIMIT 1',
                   TG_ARGV[place], TG_TABLE_SCHEMA, TG_ARGV[place + 1], TG_ARGV[place + 2]) INTO missing;
    IF missing IS NOT NULL THEN
      RAISE EXCEPTION '%.%: % is not in %', TG_TABLE_NAME, TG_ARGV[place], missing, TG_ARGV[place + 1]
        USING ERRCODE = 'foreign_key_violation';
    END IF;
    place := place + 3;
  END LOOP;
  RETURN NULL;
END
$$;
""".strip()


def frozen_tables() -> list[Table]:
    """Return the tables whose rows may never change."""
    return [table for table in metadata.sorted_tables if table.info["frozen"]]


def _trigger(table: Table) -> str:
    # Per statement, so that an UPDATE that happens to match no row is refused too, and TRUNCATE with it.
    return (
        f"CREATE TRIGGER {table.name}_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON {SCHEMA}.{table.name}\n"
        f"  FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.refuse_change();"
    )


def _parents_trigger(table: Table) -> str:
    arguments = [
        text for name, parent in table.info["parents"].items() for text in (name, parent.table.name, parent.name)
    ]
    return (
        f"CREATE TRIGGER {table.name}_parents AFTER INSERT ON {SCHEMA}.{table.name}\n"
        "  REFERENCING NEW TABLE AS added FOR EACH STATEMENT\n"
        f"  EXECUTE FUNCTION {SCHEMA}.require_parents({', '.join(map(repr, arguments))});"
    )


def _stamp() -> str:
    # As Alembic keeps it: the migrations of this code are in.
    return (
        "CREATE TABLE public.alembic_version (\n"
        "\tversion_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY\n);\n"
        f"INSERT INTO public.alembic_version VALUES ('{head_revision()}');"
    )


def schema_sql() -> str:
    """Return the whole schema as SQL text for ``psql < schema.sql``: the same objects the migrations make.

    The database is both homes in one; `signaldelta db migrate` makes it one of two where the settings say so.
    """
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    parts = [roles_sql(), f"CREATE SCHEMA {SCHEMA};", _REFUSE, _REQUIRE_PARENTS]
    for table in metadata.sorted_tables:
        parts.append(str(CreateTable(table).compile(dialect=dialect)).strip() + ";")
        parts.append(str(SetTableComment(table).compile(dialect=dialect)).strip() + ";")
        for index in sorted(table.indexes, key=lambda item: str(item.name)):
            parts.append(str(CreateIndex(index).compile(dialect=dialect)).strip() + ";")
        if table.info["frozen"]:
            parts.append(_trigger(table))
        if table.info["parents"]:
            parts.append(_parents_trigger(table))
    parts += [become_sql("one"), READ_MODELS_SQL, _stamp()]
    lines = "\n\n".join(parts)
    return "\n".join(line.rstrip() for line in lines.splitlines()) + "\n"
