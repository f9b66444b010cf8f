"""The database itself refuses a run whose manifest lacks a hash, or names another than its row."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text().replace("%", "%%"))


def downgrade() -> None:
    op.execute("ALTER TABLE signaldelta.backtest_runs DROP CONSTRAINT ck_backtest_runs_manifest_complete")
