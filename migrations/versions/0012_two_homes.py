"""The tables of users, routing, research, intelligence and strategies, and what a home notes about itself."""

import re
from pathlib import Path

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
# See docs/migrations.md.
phase = "expand"

_SQL = Path(__file__).with_suffix(".sql")
_BEFORE = """CREATE OR REPLACE FUNCTION signaldelta.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on %.% refused: its rows are frozen', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation',
          HINT = 'write a new version or revision instead';
END
$$"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(_SQL.read_text().replace("%", "%%"))


def downgrade() -> None:
    for table in reversed(re.findall(r"CREATE TABLE (\S+)", _SQL.read_text())):
        op.execute(f"DROP TABLE {table}")
    op.execute(_BEFORE)
