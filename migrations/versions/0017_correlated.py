"""An action's id and a job's question are found by an index, however long the log has grown."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
# See docs/migrations.md.
phase = "expand"

_COLUMNS = (
    ("user_activity", "correlation_id"),
    ("llm_usage_log", "correlation_id"),
    ("jobs", "correlation_id"),
    ("jobs", "dagster_run_id"),
    ("jobs", "input_hash"),
)


def upgrade() -> None:
    for table, column in _COLUMNS:
        where = f" WHERE {column} IS NOT NULL" if column != "input_hash" else ""
        op.execute(f"CREATE INDEX ix_{table}_{column} ON signaldelta.{table} ({column}){where}")


def downgrade() -> None:
    for table, column in _COLUMNS:
        op.execute(f"DROP INDEX signaldelta.ix_{table}_{column}")
