"""Scores by month, raw records by year: the rows there are go into partitions; views on the tables are made again.

Publications keep the tables under their names. A subscription knows a table by its identity, which changes: after this
migration of two homes that are paired already, `signaldelta db resync` copies the groups collection and signals anew.
"""

from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
# The tables are replaced by partitioned ones of the same name and columns: nothing that code uses goes.
phase = "contract"
expanded_in = "0012"

_UP = Path(__file__).with_suffix(".sql")
_DOWN = Path(__file__).with_name("0013_partitions_down.sql")
_TABLES = ("raw_records", "score_history", "score_samples")
_BEFORE = "signaldelta_before"
# Views that read the tables, directly or through each other, those first that others read.
_VIEWS = """
WITH RECURSIVE readers AS (
  SELECT r.ev_class AS view, 1 AS depth FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY(
    ARRAY(SELECT to_regclass('signaldelta.' || name)::oid FROM unnest(CAST(:tables AS text[])) AS name))
  UNION
  SELECT r.ev_class, depth + 1 FROM readers JOIN pg_depend d ON d.refobjid = view JOIN pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND r.ev_class <> view)
SELECT view::regclass::text AS name, pg_get_viewdef(view) AS definition,
       obj_description(view, 'pg_class') AS comment
FROM readers GROUP BY view ORDER BY max(depth), 1
"""
_PUBLISHED = """
SELECT p.pubname, c.relname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
JOIN pg_class c ON c.oid = r.prrelid WHERE c.relnamespace = 'signaldelta'::regnamespace AND c.relname = ANY(:tables)
"""
_GRANTED = """
SELECT c.relname, g.privilege_type, pg_get_userbyid(g.grantee) AS role
FROM pg_class c, aclexplode(c.relacl) AS g
WHERE c.relnamespace = 'signaldelta'::regnamespace AND c.relname = ANY(:tables) AND g.grantee NOT IN (0, c.relowner)
"""


def _exchange(sql: Path, periods: bool) -> None:
    bind = op.get_bind()
    given = {"tables": list(_TABLES)}
    views = bind.execute(text(_VIEWS), given).all()
    published = bind.execute(text(_PUBLISHED), given).all()
    granted = bind.execute(text(_GRANTED), given).all()
    for view in reversed(views):
        op.execute(f"DROP VIEW {view.name}")
    op.execute(f"CREATE SCHEMA {_BEFORE}")
    for table in _TABLES:
        op.execute(f"ALTER TABLE signaldelta.{table} SET SCHEMA {_BEFORE}")
    bind.exec_driver_sql(sql.read_text().replace("%", "%%"))
    for table in _TABLES:
        day = "partition_date" if table == "raw_records" else "(at AT TIME ZONE 'UTC')::date"
        if periods:
            made = bind.exec_driver_sql(f"SELECT min({day}), max({day}) FROM {_BEFORE}.{table}").one()
            if made[0] is not None:
                bind.exec_driver_sql(f"SELECT signaldelta.ensure_partitions('{table}', '{made[0]}', '{made[1]}')")
        # Their parents were checked when they came; frozen refuses no INSERT.
        columns = ", ".join(
            row[0]
            for row in bind.exec_driver_sql(
                "SELECT quote_ident(attname) FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped"
                f" AND attrelid = 'signaldelta.{table}'::regclass ORDER BY attnum"
            )
        )
        op.execute(f"INSERT INTO signaldelta.{table} ({columns}) SELECT {columns} FROM {_BEFORE}.{table}")
    op.execute(f"DROP SCHEMA {_BEFORE} CASCADE")
    for table, right, role in granted:
        op.execute(f'GRANT {right} ON signaldelta.{table} TO "{role}"')
    for publication, table in published:
        op.execute(f"ALTER PUBLICATION {publication} ADD TABLE signaldelta.{table}")
    for view in views:
        bind.exec_driver_sql(f"CREATE VIEW {view.name} AS {view.definition}".replace("%", "%%"))
        if view.comment is not None:
            bind.exec_driver_sql(f"COMMENT ON VIEW {view.name} IS ".replace("%", "%%") + _literal(view.comment))


def _literal(words: str) -> str:
    return "'" + words.replace("'", "''").replace("%", "%%") + "'"


def upgrade() -> None:
    _exchange(_UP, periods=True)


def downgrade() -> None:
    _exchange(_DOWN, periods=False)
    for function in (
        "ensure_partitions(text, date, date)",
        "attach_partition(text, text, date)",
        "make_partition(text, text)",
        "partition_periods(text, date, date)",
        "ulid_at(timestamptz)",
        "partition_rules()",
    ):
        op.execute(f"DROP FUNCTION signaldelta.{function}")
