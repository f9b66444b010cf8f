"""Indexes over the rows that replaced another, by which the newest revisions are found."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INDEXES = (("iald_signals", "event_key"), ("labeled_events", "label_key"))


def upgrade() -> None:
    for table, key in _INDEXES:
        op.execute(
            f"CREATE INDEX ix_{table}_{key}_revision ON signaldelta.{table} ({key}, revision) WHERE revision > 1"
        )


def downgrade() -> None:
    for table, key in _INDEXES:
        op.execute(f"DROP INDEX signaldelta.ix_{table}_{key}_revision")
