"""Jobs that users file, and what kept failing."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
# See docs/migrations.md.
phase = "expand"

_UP = """
CREATE TABLE signaldelta.jobs (
	job_id TEXT NOT NULL,
	user_id TEXT,
	tier TEXT NOT NULL,
	kind TEXT NOT NULL,
	input JSONB NOT NULL,
	input_hash TEXT NOT NULL CONSTRAINT ck_jobs_input_hash_sha256 CHECK (length(input_hash) = 64),
	idempotency_key TEXT,
	priority INTEGER NOT NULL,
	state TEXT DEFAULT 'queued' NOT NULL CONSTRAINT ck_jobs_state CHECK (state in ('queued', 'launched', 'running', 'complete', 'failed', 'canceled')),
	attempts INTEGER DEFAULT 0 NOT NULL,
	dagster_run_id TEXT,
	backfill_id TEXT,
	progress JSONB,
	result JSONB,
	reason TEXT,
	correlation_id TEXT,
	submitted_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	not_before TIMESTAMP WITH TIME ZONE,
	launched_at TIMESTAMP WITH TIME ZONE,
	started_at TIMESTAMP WITH TIME ZONE,
	cancel_requested_at TIMESTAMP WITH TIME ZONE,
	finished_at TIMESTAMP WITH TIME ZONE,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_jobs PRIMARY KEY (job_id),
	CONSTRAINT fk_jobs_user_id FOREIGN KEY(user_id) REFERENCES signaldelta.users (user_id)
);
COMMENT ON TABLE signaldelta.jobs IS 'What users asked to be done, how far it is and what came of it; Dagster does it.';
CREATE INDEX ix_jobs_unfinished ON signaldelta.jobs (job_id) WHERE finished_at IS NULL;
CREATE INDEX ix_jobs_user_id_job_id ON signaldelta.jobs (user_id, job_id);
CREATE UNIQUE INDEX uq_jobs_idempotency_key ON signaldelta.jobs (COALESCE(user_id, ''), idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE signaldelta.dead_letters (
	dead_letter_id TEXT NOT NULL,
	job_id TEXT,
	dagster_run_id TEXT,
	user_id TEXT,
	what TEXT NOT NULL,
	input JSONB NOT NULL,
	reason TEXT NOT NULL,
	attempts INTEGER NOT NULL,
	retry_command TEXT NOT NULL,
	died_at TIMESTAMP WITH TIME ZONE NOT NULL,
	retried_at TIMESTAMP WITH TIME ZONE,
	retried_as TEXT,
	CONSTRAINT pk_dead_letters PRIMARY KEY (dead_letter_id)
);
COMMENT ON TABLE signaldelta.dead_letters IS 'Work that failed for good: a job, or a run of Dagster''s own, with its input, the reason and how to try again.';
CREATE UNIQUE INDEX ix_dead_letters_dagster_run_id ON signaldelta.dead_letters (dagster_run_id) WHERE dagster_run_id IS NOT NULL;
CREATE UNIQUE INDEX ix_dead_letters_job_id ON signaldelta.dead_letters (job_id) WHERE job_id IS NOT NULL;
"""  # noqa: E501


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute("DROP TABLE signaldelta.dead_letters")
    op.execute("DROP TABLE signaldelta.jobs")
