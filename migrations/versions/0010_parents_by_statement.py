"""Raw records name their run and body as before, checked per statement instead of row by row."""

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_KEYS = (("collector_run_id", "collector_runs"), ("body_hash", "raw_documents"))


def upgrade() -> None:
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text().replace("%", "%%"))


def downgrade() -> None:
    op.execute("DROP TRIGGER raw_records_parents ON signaldelta.raw_records")
    op.execute("DROP FUNCTION signaldelta.require_parents()")
    for column, table in _KEYS:
        op.execute(
            f"ALTER TABLE signaldelta.raw_records ADD CONSTRAINT fk_raw_records_{column}"
            f" FOREIGN KEY ({column}) REFERENCES signaldelta.{table} ({column})"
        )
