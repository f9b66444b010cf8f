"""What all processes of the API count requests by, and a limit that a key may have of its own."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
# See docs/migrations.md.
phase = "expand"

_UP = """
CREATE TABLE signaldelta.request_counts (
	scope TEXT NOT NULL,
	subject TEXT NOT NULL,
	window_end TIMESTAMP WITH TIME ZONE NOT NULL,
	used INTEGER NOT NULL,
	CONSTRAINT pk_request_counts PRIMARY KEY (scope, subject)
);
COMMENT ON TABLE signaldelta.request_counts IS 'How many requests a user, key or address has made in its window: what all processes of the API here share.';
ALTER TABLE signaldelta.api_keys ADD COLUMN requests_per_hour INTEGER;
"""  # noqa: E501


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute("ALTER TABLE signaldelta.api_keys DROP COLUMN requests_per_hour")
    op.execute("DROP TABLE signaldelta.request_counts")
