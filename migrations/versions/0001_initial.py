"""The first schema: collection, reference, models, signals, labels, backtests."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Frozen text of its own: a migration never changes when the registry of tables does.
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text().replace("%", "%%"))


def downgrade() -> None:
    op.execute("DROP SCHEMA signaldelta CASCADE")
