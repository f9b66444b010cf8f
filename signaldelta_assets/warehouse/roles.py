"""Who may do what in the database: the application writes the groups whose home it is, the replication all others.

The login of a deployment is a member of the application's role and takes it on every connection (`pools`). A
subscription belongs to the other role, which its worker logs in as, inside the server; it has no password. Neither owns
a table: only the owner changes the schema.
"""

from __future__ import annotations

from .tables import PLACES, SCHEMA, Place, metadata, written_at

APPLICATION = "signaldelta_app"
REPLICATION = "signaldelta_replication"


def roles_sql() -> str:
    """Return the statement that makes the roles where they are missing. They belong to the server, not to a database.

    `pg_monitor` lets the application see since when others' transactions run (`Warehouse.settled`) and how far
    readers of the log are. Granting it needs a superuser or its administrator: without, the statement warns.
    """
    return f"""
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['{APPLICATION}', '{REPLICATION}'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I', name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
      END;
    END IF;
  END LOOP;
  IF NOT (SELECT rolcanlogin FROM pg_roles WHERE rolname = '{REPLICATION}') THEN
    ALTER ROLE {REPLICATION} LOGIN;
  END IF;
  IF NOT pg_has_role('{APPLICATION}', 'pg_monitor', 'member') THEN
    GRANT pg_monitor TO {APPLICATION};
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'the roles {APPLICATION} and {REPLICATION} are not complete: %', SQLERRM
    USING HINT = 'let an administrator create them and grant pg_monitor to {APPLICATION}';
END
$$;
""".strip()


def grants_sql(place: Place) -> str:
    """Return the statements that give both roles what they may do at `place`, and take everything else from them."""
    if place not in PLACES:
        raise ValueError(f"place: expected one of {PLACES}, found {place!r}")
    lines = [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM {APPLICATION}, {REPLICATION};",
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {APPLICATION}, {REPLICATION};",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {APPLICATION}, {REPLICATION};",
    ]
    for table in metadata.sorted_tables:
        if written_at(table.info["group"], place):
            allowed = "INSERT" if table.info["frozen"] else "INSERT, UPDATE, DELETE"
            lines.append(f"GRANT {allowed} ON {SCHEMA}.{table.name} TO {APPLICATION};")
        else:
            # What was copied may be copied again (`replication.resync`), frozen or not.
            lines.append(f"GRANT INSERT, UPDATE, DELETE, TRUNCATE ON {SCHEMA}.{table.name} TO {REPLICATION};")
    lines.append(_PARTITIONS_SQL)
    return "\n".join(lines)


# A replicated row is put into its partition with the rights to that one. What the application writes names the table.
_PARTITIONS_SQL = f"""
DO $$
DECLARE
  part regclass;
BEGIN
  FOR part IN SELECT inhrelid FROM pg_inherits JOIN pg_class ON pg_class.oid = inhparent
      WHERE relkind = 'p' AND relnamespace = '{SCHEMA}'::regnamespace
        AND has_table_privilege('{REPLICATION}', inhparent, 'INSERT') LOOP
    EXECUTE format('GRANT INSERT, UPDATE, DELETE, TRUNCATE ON %s TO {REPLICATION}', part);
  END LOOP;
END
$$;
""".strip()


# Outside of the schema: what dbt makes may be read by the application, whenever it is made.
READ_MODELS_SQL = f"""
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {APPLICATION};
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {APPLICATION};
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT nspname FROM pg_namespace WHERE nspname IN ('staging', 'marts') LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO {APPLICATION}', name);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO {APPLICATION}', name);
  END LOOP;
END
$$;
""".strip()


def become_sql(place: Place) -> str:
    """Return the statements that make a migrated database `place`: its grants, and the row that says so."""
    return "\n".join(
        [
            grants_sql(place),
            f"INSERT INTO {SCHEMA}.this_home (place) VALUES ('{place}')",
            "  ON CONFLICT (single) DO UPDATE SET place = excluded.place, since = clock_timestamp()",
            "  WHERE this_home.place <> excluded.place;",
        ]
    )
