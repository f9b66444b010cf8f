"""Absent documents, resolved refusals, and the heartbeat of runs."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text().replace("%", "%%"))


def downgrade() -> None:
    op.execute("DROP TABLE signaldelta.quarantine_resolutions, signaldelta.http_absences")
    op.execute("DROP INDEX signaldelta.ix_collector_runs_collector")
    op.execute("ALTER TABLE signaldelta.collector_runs DROP COLUMN heartbeat_at, DROP COLUMN progress_at")
