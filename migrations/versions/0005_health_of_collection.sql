ALTER TABLE signaldelta.collector_runs ADD COLUMN heartbeat_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE signaldelta.collector_runs ADD COLUMN progress_at TIMESTAMP WITH TIME ZONE;

CREATE INDEX ix_collector_runs_collector ON signaldelta.collector_runs (collector) WHERE status = 'running';

CREATE TABLE signaldelta.http_absences (
	url TEXT NOT NULL,
	first_absent_at TIMESTAMP WITH TIME ZONE NOT NULL,
	checked_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_http_absences PRIMARY KEY (url)
);

COMMENT ON TABLE signaldelta.http_absences IS 'Documents that never change once published and that the upstream does not have: when it first said so and when last. Asked again the more seldom the longer they have been missing.';

CREATE TABLE signaldelta.quarantine_resolutions (
	quarantine_id TEXT NOT NULL,
	collector_run_id TEXT NOT NULL,
	state TEXT NOT NULL CONSTRAINT ck_quarantine_resolutions_state CHECK (state in ('resolved','reopened')),
	reason TEXT NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_quarantine_resolutions PRIMARY KEY (quarantine_id, collector_run_id),
	CONSTRAINT fk_quarantine_resolutions_quarantine_id FOREIGN KEY(quarantine_id) REFERENCES signaldelta.quarantined_records (quarantine_id),
	CONSTRAINT fk_quarantine_resolutions_collector_run_id FOREIGN KEY(collector_run_id) REFERENCES signaldelta.collector_runs (collector_run_id)
);

COMMENT ON TABLE signaldelta.quarantine_resolutions IS 'Which run read without refusal what had been refused, or refused it again after that. A refusal is open unless the last word here is that it is resolved.';

CREATE TRIGGER quarantine_resolutions_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.quarantine_resolutions
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();
