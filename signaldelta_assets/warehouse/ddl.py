"""DDL made from the table registry: `migrations/schema.sql`, and the triggers that keep frozen tables frozen."""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, SetTableComment

from .migrations import head_revision
from .roles import APPLICATION, READ_MODELS_SQL, REPLICATION, become_sql, roles_sql
from .tables import SCHEMA, metadata, split_tables

# Before there was EDGAR nothing is collected; years ahead a clock is wrong.
FIRST_PARTITION = "1993-01-01"
YEARS_AHEAD = 5
# Of whoever makes, moves or drops partitions.
PARTITIONS_LOCK = 0x5D_0003

# The replication may: it has the right to change rows only where they are copies of what is frozen at their home.
_REFUSE = f"""
CREATE FUNCTION {SCHEMA}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_user = '{REPLICATION}' THEN
    IF TG_LEVEL = 'STATEMENT' THEN
      RETURN NULL;
    ELSIF TG_OP = 'DELETE' THEN
      RETURN OLD;
    END IF;
    RETURN NEW;
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


# Which partitions there are to be. The application may call `ensure_partitions` and make nothing else.
_PARTITIONS = f"""
CREATE FUNCTION {SCHEMA}.partition_rules() RETURNS TABLE (of_table text, key text, every text, day text)
LANGUAGE sql IMMUTABLE AS $$
  VALUES {{rules}}
$$;

CREATE FUNCTION {SCHEMA}.ulid_at(moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + (of_epoch >> (45 - 5 * place) & 31)::int, 1),
                    '' ORDER BY place)
  FROM (SELECT floor(extract(epoch FROM moment) * 1000)::bigint AS of_epoch) AS given, generate_series(0, 9) AS place
$$;

CREATE FUNCTION {SCHEMA}.partition_periods(wanted text, first date, last date)
RETURNS TABLE (name text, start date, stop date, lower text, upper text, day text)
LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
  SELECT of_table || '_' || to_char(since, CASE every WHEN 'month' THEN 'YYYY_MM' ELSE 'YYYY' END),
         since::date, until::date,
         CASE WHEN rules.day IS NULL THEN since::text ELSE {SCHEMA}.ulid_at(since) END,
         CASE WHEN rules.day IS NULL THEN until::text ELSE {SCHEMA}.ulid_at(until) END,
         rules.day
  FROM {SCHEMA}.partition_rules() AS rules,
       generate_series(date_trunc(every, first::timestamptz), last::timestamptz, ('1 ' || every)::interval) AS since,
       LATERAL (SELECT since + ('1 ' || every)::interval AS until) AS following
  WHERE of_table = wanted
$$;

CREATE FUNCTION {SCHEMA}.make_partition(wanted text, name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  frozen record;
BEGIN
  EXECUTE format('CREATE TABLE {SCHEMA}.%I (LIKE {SCHEMA}.%I INCLUDING ALL)', name, wanted);
  -- The triggers of a statement fire for the table that it names, and it may name the partition.
  FOR frozen IN SELECT tgname FROM pg_trigger
      WHERE tgrelid = format('{SCHEMA}.%I', wanted)::regclass AND tgname = wanted || '_frozen' LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON {SCHEMA}.%I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.refuse_change()', frozen.tgname, name);
  END LOOP;
  EXECUTE format('GRANT SELECT ON {SCHEMA}.%I TO {APPLICATION}, {REPLICATION}', name);
  -- A replicated row is put into its partition with the rights to that.
  IF has_table_privilege('{REPLICATION}', format('{SCHEMA}.%I', wanted), 'INSERT') THEN
    EXECUTE format('GRANT INSERT, UPDATE, DELETE, TRUNCATE ON {SCHEMA}.%I TO {REPLICATION}', name);
  END IF;
END
$$;

CREATE FUNCTION {SCHEMA}.attach_partition(wanted text, name text, period date) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found record;
BEGIN
  SELECT * INTO STRICT found FROM {SCHEMA}.partition_periods(wanted, period, period);
  IF found.day IS NOT NULL THEN
    -- So that a question for days leaves the other partitions out.
    EXECUTE format('ALTER TABLE {SCHEMA}.%I ADD CONSTRAINT %I CHECK (%I >= %L AND %I < %L)',
                   name, 'ck_' || wanted || '_days', found.day, found.start, found.day, found.stop);
  END IF;
  EXECUTE format('ALTER TABLE {SCHEMA}.%I ATTACH PARTITION {SCHEMA}.%I FOR VALUES FROM (%L) TO (%L)',
                 wanted, name, found.lower, found.upper);
END
$$;

CREATE FUNCTION {SCHEMA}.ensure_partitions(wanted text, first date, last date) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
  period record;
  made text[] := '{{{{}}}}';
BEGIN
  IF NOT EXISTS (SELECT FROM {SCHEMA}.partition_rules() WHERE of_table = wanted) THEN
    RAISE EXCEPTION '% is not partitioned', wanted USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM pg_advisory_xact_lock({PARTITIONS_LOCK});
  -- What is outside of any sensible time stays in DEFAULT: a wrong date makes no partition.
  FOR period IN SELECT * FROM {SCHEMA}.partition_periods(
      wanted, greatest(first, DATE '{FIRST_PARTITION}'), least(last, current_date + {YEARS_AHEAD} * 366)) AS p
      WHERE NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(format('{SCHEMA}.%I', p.name))) LOOP
    BEGIN
      PERFORM {SCHEMA}.make_partition(wanted, period.name);
      PERFORM {SCHEMA}.attach_partition(wanted, period.name, period.start);
      made := made || period.name;
    EXCEPTION WHEN check_violation OR lock_not_available THEN
      -- DEFAULT has rows of the time or is read for long: rows go there, and the maintenance moves them.
      NULL;
    END;
  END LOOP;
  RETURN made;
EXCEPTION WHEN lock_not_available THEN
  RETURN '{{{{}}}}';
END
$$;

REVOKE ALL ON FUNCTION {SCHEMA}.make_partition(text, text), {SCHEMA}.attach_partition(text, text, date),
  {SCHEMA}.ensure_partitions(text, date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {SCHEMA}.ensure_partitions(text, date, date) TO {APPLICATION};
""".strip()


def partitions_sql() -> str:
    """Return the functions that make partitions, by the rules of the registry."""
    rules = []
    for table in split_tables():
        split = table.info["split"]
        values = (str(table.name), split.key, split.every, split.day)
        rules.append(f"({', '.join('NULL' if value is None else repr(value) for value in values)})")
    return _PARTITIONS.format(rules=", ".join(rules))


def _first_partitions(table: Table) -> str:
    lines = [
        f"SELECT {SCHEMA}.make_partition('{table.name}', '{table.name}_default');",
        f"ALTER TABLE {SCHEMA}.{table.name} ATTACH PARTITION {SCHEMA}.{table.name}_default DEFAULT;",
    ]
    if table.info["split"].day is not None:
        lines += [
            f"SELECT {SCHEMA}.make_partition('{table.name}', '{table.name}_undated');",
            f"ALTER TABLE {SCHEMA}.{table.name} ATTACH PARTITION {SCHEMA}.{table.name}_undated"
            " FOR VALUES FROM (MINVALUE) TO ('0000000001');",
        ]
    return "\n".join(lines)


def frozen_tables() -> list[Table]:
    """Return the tables whose rows may never change."""
    return [table for table in metadata.sorted_tables if table.info["frozen"]]


def _trigger(table: Table) -> str:
    # Per statement, so that an UPDATE that happens to match no row is refused too, and TRUNCATE with it.
    return (
        f"CREATE TRIGGER {table.name}_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON {SCHEMA}.{table.name}\n"
        f"  FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.refuse_change();"
    )


def _rows_trigger(table: Table) -> str:
    # PostgreSQL gives it to every partition, whoever makes it.
    return (
        f"CREATE TRIGGER {table.name}_frozen_rows BEFORE UPDATE OR DELETE ON {SCHEMA}.{table.name}\n"
        f"  FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.refuse_change();"
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
    parts = [roles_sql(), f"CREATE SCHEMA {SCHEMA};", _REFUSE, _REQUIRE_PARENTS, partitions_sql()]
    for table in metadata.sorted_tables:
        parts.append(str(CreateTable(table).compile(dialect=dialect)).strip() + ";")
        parts.append(str(SetTableComment(table).compile(dialect=dialect)).strip() + ";")
        for index in sorted(table.indexes, key=lambda item: str(item.name)):
            parts.append(str(CreateIndex(index).compile(dialect=dialect)).strip() + ";")
        if table.info["frozen"]:
            parts.append(_trigger(table))
        if table.info["frozen"] and table.info["split"]:
            parts.append(_rows_trigger(table))
        if table.info["parents"]:
            parts.append(_parents_trigger(table))
        if table.info["split"]:
            parts.append(_first_partitions(table))
    parts += [become_sql("one"), READ_MODELS_SQL, _stamp()]
    lines = "\n\n".join(parts)
    return "\n".join(line.rstrip() for line in lines.splitlines()) + "\n"
