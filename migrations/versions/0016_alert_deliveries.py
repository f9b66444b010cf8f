"""Which messages of alerts each webhook has taken, so that processes send them once between them."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
# See docs/migrations.md.
phase = "expand"

_UP = """
CREATE TABLE signaldelta.alert_deliveries (
	alert_id TEXT NOT NULL,
	event TEXT NOT NULL CONSTRAINT ck_alert_deliveries_event CHECK (event in ('opened','worsened','closed')),
	channel TEXT NOT NULL,
	severity TEXT NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	attempts INTEGER DEFAULT '0' NOT NULL,
	next_attempt_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	claimed_until TIMESTAMP WITH TIME ZONE,
	delivered_at TIMESTAMP WITH TIME ZONE,
	given_up_at TIMESTAMP WITH TIME ZONE,
	last_error TEXT,
	CONSTRAINT pk_alert_deliveries PRIMARY KEY (alert_id, event, channel)
);
COMMENT ON TABLE signaldelta.alert_deliveries IS 'Which messages of alerts each webhook has taken, is still to take, or did not take within a day.';
CREATE INDEX ix_alert_deliveries_channel_next_attempt_at ON signaldelta.alert_deliveries (channel, next_attempt_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
"""  # noqa: E501


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute("DROP TABLE signaldelta.alert_deliveries")
