"""A label's time has one of three precisions, an interpolated one its error; datasets say whether they hold such."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_UP = (
    "ALTER TABLE signaldelta.labeled_events ADD CONSTRAINT ck_labeled_events_time_precision "
    "CHECK (time_precision in ('second','day','interpolated'))",
    "ALTER TABLE signaldelta.labeled_events ADD CONSTRAINT ck_labeled_events_time_error "
    "CHECK (time_precision <> 'interpolated' "
    "or coalesce(jsonb_typeof(attributes->'time_error_seconds'), '') = 'number')",
    "ALTER TABLE signaldelta.labeled_event_datasets ADD COLUMN include_interpolated BOOLEAN DEFAULT false NOT NULL",
    "ALTER TABLE signaldelta.labeled_event_datasets ADD COLUMN interpolated_left_out INTEGER DEFAULT 0 NOT NULL",
)
_DOWN = (
    "ALTER TABLE signaldelta.labeled_event_datasets DROP COLUMN interpolated_left_out",
    "ALTER TABLE signaldelta.labeled_event_datasets DROP COLUMN include_interpolated",
    "ALTER TABLE signaldelta.labeled_events DROP CONSTRAINT ck_labeled_events_time_error",
    "ALTER TABLE signaldelta.labeled_events DROP CONSTRAINT ck_labeled_events_time_precision",
)


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWN:
        op.execute(statement)
