CREATE SCHEMA signaldelta;

CREATE FUNCTION signaldelta.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on %.% refused: its rows are frozen', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation',
          HINT = 'write a new version or revision instead';
END
$$;

CREATE FUNCTION signaldelta.require_parents() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  missing text;
  place int := 0;
BEGIN
  WHILE place < TG_NARGS LOOP
    EXECUTE format('SELECT child.value FROM (SELECT DISTINCT %I AS value FROM added) child '
                   'WHERE NOT EXISTS (SELECT FROM %I.%I parent WHERE parent.%I = child.value) LIMIT 1',
                   TG_ARGV[place], TG_TABLE_SCHEMA, TG_ARGV[place + 1], TG_ARGV[place + 2]) INTO missing;
    IF missing IS NOT NULL THEN
      RAISE EXCEPTION '%.%: % is not in %', TG_TABLE_NAME, TG_ARGV[place], missing, TG_ARGV[place + 1]
        USING ERRCODE = 'foreign_key_violation';
    END IF;
    place := place + 3;
  END LOOP;
  RETURN NULL;
END
$$;

CREATE TABLE signaldelta.collector_runs (
	collector_run_id TEXT NOT NULL,
	collector TEXT NOT NULL,
	collector_version TEXT NOT NULL,
	collection_mode TEXT NOT NULL,
	window_start DATE NOT NULL,
	window_end DATE NOT NULL,
	status TEXT NOT NULL CONSTRAINT ck_collector_runs_status CHECK (status in ('running','complete','failed')),
	started_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	finished_at TIMESTAMP WITH TIME ZONE,
	documents_read INTEGER DEFAULT '0' NOT NULL,
	records_written INTEGER DEFAULT '0' NOT NULL,
	records_known INTEGER DEFAULT '0' NOT NULL,
	records_quarantined INTEGER DEFAULT '0' NOT NULL,
	counts JSONB DEFAULT '{}' NOT NULL,
	error TEXT,
	dagster_run_id TEXT,
	heartbeat_at TIMESTAMP WITH TIME ZONE,
	progress_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_collector_runs PRIMARY KEY (collector_run_id)
);

COMMENT ON TABLE signaldelta.collector_runs IS 'One row per execution of a collector: what it asked for, read, wrote and refused.';

CREATE INDEX ix_collector_runs_collector ON signaldelta.collector_runs (collector) WHERE status = 'running';

CREATE INDEX ix_collector_runs_collector_started_at ON signaldelta.collector_runs (collector, started_at);

CREATE TABLE signaldelta.collector_status (
	collector TEXT NOT NULL,
	source_types TEXT[] NOT NULL,
	schedule TEXT,
	last_run_id TEXT,
	last_success_at TIMESTAMP WITH TIME ZONE,
	last_error_at TIMESTAMP WITH TIME ZONE,
	last_error TEXT,
	consecutive_failures INTEGER DEFAULT '0' NOT NULL,
	last_record_at TIMESTAMP WITH TIME ZONE,
	last_event_time TIMESTAMP WITH TIME ZONE,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_collector_status PRIMARY KEY (collector)
);

COMMENT ON TABLE signaldelta.collector_status IS 'Freshness of each collector now: last success, last error, latest record.';

CREATE TABLE signaldelta.documents (
	document_hash TEXT NOT NULL CONSTRAINT ck_documents_document_hash_sha256 CHECK (length(document_hash) = 64),
	kind TEXT NOT NULL CONSTRAINT ck_documents_kind CHECK (kind in ('signal_definitions','scoring_model','latency_model','evaluation_protocol','environment','backtest_spec')),
	name TEXT NOT NULL,
	document JSONB NOT NULL,
	canonical BYTEA NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_documents PRIMARY KEY (document_hash)
);

COMMENT ON TABLE signaldelta.documents IS 'Signal definitions, scoring and latency models, evaluation protocols, environments and backtest specs: immutable JSON documents named by the SHA-256 of their canonical form.';

CREATE INDEX ix_documents_kind ON signaldelta.documents (kind);

CREATE TRIGGER documents_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.documents
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.extraction_counts (
	stage TEXT NOT NULL CONSTRAINT ck_extraction_counts_stage CHECK (stage in ('signal','label')),
	producer TEXT NOT NULL,
	partition_start DATE NOT NULL,
	partition_end DATE NOT NULL,
	reason TEXT NOT NULL,
	rows INTEGER NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_extraction_counts PRIMARY KEY (stage, producer, partition_start, partition_end, reason)
);

COMMENT ON TABLE signaldelta.extraction_counts IS 'Why records gave no signal or no label, counted per producer and window: nothing is dropped in silence.';

CREATE TABLE signaldelta.http_absences (
	url TEXT NOT NULL,
	first_absent_at TIMESTAMP WITH TIME ZONE NOT NULL,
	checked_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_http_absences PRIMARY KEY (url)
);

COMMENT ON TABLE signaldelta.http_absences IS 'Documents that never change once published and that the upstream does not have: when it first said so and when last. Asked again the more seldom the longer they have been missing.';

CREATE TABLE signaldelta.http_validators (
	url TEXT NOT NULL,
	etag TEXT,
	last_modified TEXT,
	body_hash TEXT NOT NULL CONSTRAINT ck_http_validators_body_hash_sha256 CHECK (length(body_hash) = 64),
	checked_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_http_validators PRIMARY KEY (url)
);

COMMENT ON TABLE signaldelta.http_validators IS 'ETag and Last-Modified of the last body of a URL, for conditional requests.';

CREATE TABLE signaldelta.hypothesis_trials (
	hypothesis_family TEXT NOT NULL,
	trial_number INTEGER NOT NULL,
	run_hash TEXT NOT NULL CONSTRAINT ck_hypothesis_trials_run_hash_sha256 CHECK (length(run_hash) = 64),
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_hypothesis_trials PRIMARY KEY (hypothesis_family, trial_number),
	CONSTRAINT uq_hypothesis_trials_hypothesis_family_run_hash UNIQUE (hypothesis_family, run_hash)
);

COMMENT ON TABLE signaldelta.hypothesis_trials IS 'How many times a question has been asked: the trials that multiplicity corrections count.';

CREATE TRIGGER hypothesis_trials_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.hypothesis_trials
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.iald_signals (
	event_id TEXT NOT NULL,
	revision INTEGER NOT NULL,
	event_key TEXT NOT NULL,
	signal_id TEXT NOT NULL,
	family TEXT NOT NULL,
	entity_id TEXT NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE NOT NULL,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	partition_date DATE NOT NULL,
	strength_norm DOUBLE PRECISION NOT NULL CONSTRAINT ck_iald_signals_strength_norm CHECK (strength_norm between 0 and 1),
	direction SMALLINT NOT NULL CONSTRAINT ck_iald_signals_direction CHECK (direction in (-1,0,1)),
	reliability DOUBLE PRECISION NOT NULL CONSTRAINT ck_iald_signals_reliability CHECK (reliability between 0 and 1),
	chain_affinity JSONB NOT NULL,
	frontier JSONB NOT NULL,
	raw_record_ids TEXT[] NOT NULL,
	attributes JSONB NOT NULL,
	active BOOLEAN NOT NULL,
	definitions_hash TEXT NOT NULL CONSTRAINT ck_iald_signals_definitions_hash_sha256 CHECK (length(definitions_hash) = 64),
	extractor_version TEXT NOT NULL,
	content_hash TEXT NOT NULL CONSTRAINT ck_iald_signals_content_hash_sha256 CHECK (length(content_hash) = 64),
	CONSTRAINT pk_iald_signals PRIMARY KEY (event_id, revision)
);

COMMENT ON TABLE signaldelta.iald_signals IS 'Signal events. Another content under the same event_key is a further revision; nothing is ever updated.';

CREATE INDEX ix_iald_signals_entity_id_event_time ON signaldelta.iald_signals (entity_id, event_time);

CREATE INDEX ix_iald_signals_event_key ON signaldelta.iald_signals (event_key);

CREATE INDEX ix_iald_signals_event_key_revision ON signaldelta.iald_signals (event_key, revision) WHERE revision > 1;

CREATE INDEX ix_iald_signals_event_time_event_id ON signaldelta.iald_signals (event_time, event_id);

CREATE INDEX ix_iald_signals_signal_id_partition_date ON signaldelta.iald_signals (signal_id, partition_date);

CREATE TRIGGER iald_signals_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.iald_signals
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.labeled_event_datasets (
	dataset_id TEXT NOT NULL,
	version INTEGER NOT NULL,
	dataset_hash TEXT NOT NULL CONSTRAINT ck_labeled_event_datasets_dataset_hash_sha256 CHECK (length(dataset_hash) = 64),
	definitions_hash TEXT NOT NULL CONSTRAINT ck_labeled_event_datasets_definitions_hash_sha256 CHECK (length(definitions_hash) = 64),
	as_of TIMESTAMP WITH TIME ZONE NOT NULL,
	window_start TIMESTAMP WITH TIME ZONE,
	window_end TIMESTAMP WITH TIME ZONE,
	event_count INTEGER NOT NULL,
	event_type_distribution JSONB NOT NULL,
	coverage JSONB NOT NULL,
	parent_hash TEXT CONSTRAINT ck_labeled_event_datasets_parent_hash_sha256 CHECK (length(parent_hash) = 64),
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	include_interpolated BOOLEAN DEFAULT false NOT NULL,
	interpolated_left_out INTEGER DEFAULT 0 NOT NULL,
	CONSTRAINT pk_labeled_event_datasets PRIMARY KEY (dataset_id),
	CONSTRAINT uq_labeled_event_datasets_dataset_hash UNIQUE (dataset_hash),
	CONSTRAINT uq_labeled_event_datasets_version UNIQUE (version)
);

COMMENT ON TABLE signaldelta.labeled_event_datasets IS 'Frozen versions of the ground truth: new labels make a new version.';

CREATE TRIGGER labeled_event_datasets_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.labeled_event_datasets
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.labeled_events (
	label_id TEXT NOT NULL,
	revision INTEGER NOT NULL,
	label_key TEXT NOT NULL,
	event_type TEXT NOT NULL,
	subtype TEXT NOT NULL,
	entity_id TEXT NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE NOT NULL,
	time_precision TEXT NOT NULL CONSTRAINT ck_labeled_events_time_precision CHECK (time_precision in ('second','day','interpolated')),
	known_at TIMESTAMP WITH TIME ZONE NOT NULL,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	confidence DOUBLE PRECISION NOT NULL CONSTRAINT ck_labeled_events_confidence CHECK (confidence between 0 and 1),
	raw_record_ids TEXT[] NOT NULL,
	source_url TEXT NOT NULL,
	classifier_version TEXT NOT NULL,
	definitions_hash TEXT NOT NULL CONSTRAINT ck_labeled_events_definitions_hash_sha256 CHECK (length(definitions_hash) = 64),
	attributes JSONB NOT NULL,
	active BOOLEAN NOT NULL,
	content_hash TEXT NOT NULL CONSTRAINT ck_labeled_events_content_hash_sha256 CHECK (length(content_hash) = 64),
	CONSTRAINT pk_labeled_events PRIMARY KEY (label_id, revision),
	CONSTRAINT ck_labeled_events_time_error CHECK (time_precision <> 'interpolated' or coalesce(jsonb_typeof(attributes->'time_error_seconds'), '') = 'number')
);

COMMENT ON TABLE signaldelta.labeled_events IS 'Ground truth: one row per labeled event and revision, with the records it rests on.';

CREATE INDEX ix_labeled_events_entity_id_event_time ON signaldelta.labeled_events (entity_id, event_time);

CREATE INDEX ix_labeled_events_event_type_event_time ON signaldelta.labeled_events (event_type, event_time);

CREATE INDEX ix_labeled_events_label_key ON signaldelta.labeled_events (label_key);

CREATE INDEX ix_labeled_events_label_key_revision ON signaldelta.labeled_events (label_key, revision) WHERE revision > 1;

CREATE TRIGGER labeled_events_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.labeled_events
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.llm_outputs (
	request_hash TEXT NOT NULL CONSTRAINT ck_llm_outputs_request_hash_sha256 CHECK (length(request_hash) = 64),
	output_hash TEXT NOT NULL CONSTRAINT ck_llm_outputs_output_hash_sha256 CHECK (length(output_hash) = 64),
	task TEXT NOT NULL,
	task_version TEXT NOT NULL CONSTRAINT ck_llm_outputs_task_version_sha256 CHECK (length(task_version) = 64),
	protocol TEXT NOT NULL,
	model TEXT NOT NULL,
	request BYTEA NOT NULL,
	output BYTEA NOT NULL,
	input_tokens INTEGER,
	output_tokens INTEGER,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_llm_outputs PRIMARY KEY (request_hash)
);

COMMENT ON TABLE signaldelta.llm_outputs IS 'The first answer of a model to each request, both as canonical JSON: what a repeat reads instead of asking.';

CREATE TRIGGER llm_outputs_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.llm_outputs
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.rate_limits (
	name TEXT NOT NULL,
	next_slot TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_rate_limits PRIMARY KEY (name)
);

COMMENT ON TABLE signaldelta.rate_limits IS 'The next free request slot of each upstream, shared by all processes.';

CREATE TABLE signaldelta.raw_documents (
	body_hash TEXT NOT NULL CONSTRAINT ck_raw_documents_body_hash_sha256 CHECK (length(body_hash) = 64),
	size_bytes BIGINT NOT NULL,
	media_type TEXT,
	source_url TEXT NOT NULL,
	http_status SMALLINT NOT NULL,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_raw_documents PRIMARY KEY (body_hash)
);

COMMENT ON TABLE signaldelta.raw_documents IS 'Every body received, archived under its SHA-256 before anything parsed it.';

CREATE TRIGGER raw_documents_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.raw_documents
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.raw_records (
	raw_record_id TEXT NOT NULL,
	source_type TEXT NOT NULL,
	entity_id TEXT NOT NULL,
	natural_key TEXT NOT NULL,
	form TEXT,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	partition_date DATE NOT NULL,
	collection_mode TEXT NOT NULL CONSTRAINT ck_raw_records_collection_mode CHECK (collection_mode in ('live','backfill')),
	collector TEXT NOT NULL,
	collector_version TEXT NOT NULL,
	collector_run_id TEXT NOT NULL,
	schema_version TEXT NOT NULL,
	payload_hash TEXT NOT NULL CONSTRAINT ck_raw_records_payload_hash_sha256 CHECK (length(payload_hash) = 64),
	payload JSONB NOT NULL,
	body_hash TEXT NOT NULL CONSTRAINT ck_raw_records_body_hash_sha256 CHECK (length(body_hash) = 64),
	source_url TEXT NOT NULL,
	CONSTRAINT pk_raw_records PRIMARY KEY (raw_record_id)
);

COMMENT ON TABLE signaldelta.raw_records IS 'The RawRecord envelope: one fact of one upstream document; the contract between collectors and extractors.';

CREATE INDEX ix_raw_records_ingest_time ON signaldelta.raw_records USING brin (ingest_time);

CREATE INDEX ix_raw_records_source_type_entity_id_natural_key ON signaldelta.raw_records (source_type, entity_id, natural_key);

CREATE INDEX ix_raw_records_source_type_partition_date ON signaldelta.raw_records (source_type, partition_date);

CREATE TRIGGER raw_records_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.raw_records
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TRIGGER raw_records_parents AFTER INSERT ON signaldelta.raw_records
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT
  EXECUTE FUNCTION signaldelta.require_parents('collector_run_id', 'collector_runs', 'collector_run_id', 'body_hash', 'raw_documents', 'body_hash');

CREATE TABLE signaldelta.score_history (
	entity_id TEXT NOT NULL,
	at TIMESTAMP WITH TIME ZONE NOT NULL,
	scoring_model_hash TEXT NOT NULL CONSTRAINT ck_score_history_scoring_model_hash_sha256 CHECK (length(scoring_model_hash) = 64),
	latency_model_hash TEXT NOT NULL CONSTRAINT ck_score_history_latency_model_hash_sha256 CHECK (length(latency_model_hash) = 64),
	definitions_hash TEXT NOT NULL CONSTRAINT ck_score_history_definitions_hash_sha256 CHECK (length(definitions_hash) = 64),
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	magnitude DOUBLE PRECISION NOT NULL,
	lean DOUBLE PRECISION NOT NULL,
	confidence DOUBLE PRECISION NOT NULL,
	legacy_score DOUBLE PRECISION NOT NULL,
	verdict TEXT NOT NULL,
	CONSTRAINT pk_score_history PRIMARY KEY (entity_id, at, scoring_model_hash, latency_model_hash, definitions_hash)
);

COMMENT ON TABLE signaldelta.score_history IS 'The narrow series behind charts: a row where the score differs from the one before by the same models.';

CREATE TRIGGER score_history_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.score_history
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.score_samples (
	entity_id TEXT NOT NULL,
	at TIMESTAMP WITH TIME ZONE NOT NULL,
	scoring_model_hash TEXT NOT NULL CONSTRAINT ck_score_samples_scoring_model_hash_sha256 CHECK (length(scoring_model_hash) = 64),
	latency_model_hash TEXT NOT NULL CONSTRAINT ck_score_samples_latency_model_hash_sha256 CHECK (length(latency_model_hash) = 64),
	definitions_hash TEXT NOT NULL CONSTRAINT ck_score_samples_definitions_hash_sha256 CHECK (length(definitions_hash) = 64),
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	input_hash TEXT NOT NULL CONSTRAINT ck_score_samples_input_hash_sha256 CHECK (length(input_hash) = 64),
	evidence DOUBLE PRECISION NOT NULL,
	effective_families DOUBLE PRECISION NOT NULL,
	magnitude DOUBLE PRECISION NOT NULL,
	lean DOUBLE PRECISION NOT NULL,
	confidence DOUBLE PRECISION NOT NULL,
	quality DOUBLE PRECISION NOT NULL,
	diversity DOUBLE PRECISION NOT NULL,
	ordering DOUBLE PRECISION NOT NULL,
	n_events INTEGER NOT NULL,
	legacy_score DOUBLE PRECISION NOT NULL,
	verdict TEXT NOT NULL,
	chain_probabilities JSONB NOT NULL,
	family_deltas JSONB NOT NULL,
	top_contributors JSONB NOT NULL,
	CONSTRAINT pk_score_samples PRIMARY KEY (entity_id, at, scoring_model_hash, latency_model_hash, definitions_hash)
);

COMMENT ON TABLE signaldelta.score_samples IS 'Live scores with their explanations, one per entity and hour.';

CREATE INDEX ix_score_samples_at ON signaldelta.score_samples (at);

CREATE TRIGGER score_samples_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.score_samples
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.securities (
	entity_id TEXT NOT NULL,
	asset_class TEXT NOT NULL,
	cik TEXT,
	name TEXT NOT NULL,
	sic TEXT,
	fiscal_year_end TEXT,
	primary_ticker TEXT,
	currency TEXT DEFAULT 'USD' NOT NULL,
	first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	listed_on DATE,
	delisted_on DATE,
	CONSTRAINT pk_securities PRIMARY KEY (entity_id)
);

COMMENT ON TABLE signaldelta.securities IS 'One row per entity: issuer CIK, or chain and contract address.';

CREATE TABLE signaldelta.backtest_snapshots (
	snapshot_id TEXT NOT NULL,
	snapshot_hash TEXT NOT NULL CONSTRAINT ck_backtest_snapshots_snapshot_hash_sha256 CHECK (length(snapshot_hash) = 64),
	as_of TIMESTAMP WITH TIME ZONE NOT NULL,
	window_start TIMESTAMP WITH TIME ZONE NOT NULL,
	window_end TIMESTAMP WITH TIME ZONE NOT NULL,
	definitions_hash TEXT NOT NULL CONSTRAINT ck_backtest_snapshots_definitions_hash_sha256 CHECK (length(definitions_hash) = 64),
	dataset_id TEXT NOT NULL,
	manifest JSONB NOT NULL,
	manifest_canonical BYTEA NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_backtest_snapshots PRIMARY KEY (snapshot_id),
	CONSTRAINT uq_backtest_snapshots_snapshot_hash UNIQUE (snapshot_hash),
	CONSTRAINT fk_backtest_snapshots_dataset_id FOREIGN KEY(dataset_id) REFERENCES signaldelta.labeled_event_datasets (dataset_id)
);

COMMENT ON TABLE signaldelta.backtest_snapshots IS 'Frozen, content-addressed copies of everything a run may read; the same content is the same snapshot.';

CREATE TRIGGER backtest_snapshots_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.backtest_snapshots
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.clock_decisions (
	body_hash TEXT NOT NULL CONSTRAINT ck_clock_decisions_body_hash_sha256 CHECK (length(body_hash) = 64),
	decider_version TEXT NOT NULL,
	entity_id TEXT NOT NULL,
	clock TEXT NOT NULL CONSTRAINT ck_clock_decisions_clock CHECK (clock in ('utc','eastern','undecided')),
	grounds JSONB NOT NULL,
	source_url TEXT NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_clock_decisions PRIMARY KEY (body_hash, decider_version),
	CONSTRAINT fk_clock_decisions_body_hash FOREIGN KEY(body_hash) REFERENCES signaldelta.raw_documents (body_hash)
);

COMMENT ON TABLE signaldelta.clock_decisions IS 'Which clock the acceptanceDateTime of a submissions file runs on, and on what evidence that was decided.';

CREATE TRIGGER clock_decisions_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.clock_decisions
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.labeled_event_dataset_members (
	dataset_id TEXT NOT NULL,
	label_id TEXT NOT NULL,
	revision INTEGER NOT NULL,
	content_hash TEXT NOT NULL CONSTRAINT ck_labeled_event_dataset_members_content_hash_sha256 CHECK (length(content_hash) = 64),
	CONSTRAINT pk_labeled_event_dataset_members PRIMARY KEY (dataset_id, label_id),
	CONSTRAINT fk_labeled_event_dataset_members_dataset_id FOREIGN KEY(dataset_id) REFERENCES signaldelta.labeled_event_datasets (dataset_id)
);

COMMENT ON TABLE signaldelta.labeled_event_dataset_members IS 'Which label, in which revision, belongs to a dataset version.';

CREATE TRIGGER labeled_event_dataset_members_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.labeled_event_dataset_members
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.pools (
	entity_id TEXT NOT NULL,
	token0 TEXT NOT NULL,
	token1 TEXT NOT NULL,
	decimals0 SMALLINT,
	decimals1 SMALLINT,
	created_block BIGINT,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_pools PRIMARY KEY (entity_id),
	CONSTRAINT fk_pools_entity_id FOREIGN KEY(entity_id) REFERENCES signaldelta.securities (entity_id)
);

COMMENT ON TABLE signaldelta.pools IS 'What does not change of a Uniswap V2 pool: its tokens in the contract''s order, their decimals, its creation.';

CREATE INDEX ix_pools_created_block ON signaldelta.pools (created_block);

CREATE TABLE signaldelta.quarantined_records (
	quarantine_id TEXT NOT NULL,
	collector_run_id TEXT NOT NULL,
	collector TEXT NOT NULL,
	source_type TEXT NOT NULL,
	record TEXT NOT NULL,
	field TEXT NOT NULL,
	expected TEXT NOT NULL,
	found TEXT,
	body_hash TEXT CONSTRAINT ck_quarantined_records_body_hash_sha256 CHECK (length(body_hash) = 64),
	source_url TEXT NOT NULL,
	partition_date DATE,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_quarantined_records PRIMARY KEY (quarantine_id),
	CONSTRAINT fk_quarantined_records_collector_run_id FOREIGN KEY(collector_run_id) REFERENCES signaldelta.collector_runs (collector_run_id)
);

COMMENT ON TABLE signaldelta.quarantined_records IS 'What was refused, with record, field, expectation and the hash of its archived bytes. The id is content-derived: refusing the same thing again adds nothing.';

CREATE INDEX ix_quarantined_records_collector_ingest_time ON signaldelta.quarantined_records (collector, ingest_time);

CREATE TRIGGER quarantined_records_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.quarantined_records
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.security_identifiers (
	entity_id TEXT NOT NULL,
	kind TEXT NOT NULL CONSTRAINT ck_security_identifiers_kind CHECK (kind in ('ticker','name','figi','share_class_figi','exchange')),
	value TEXT NOT NULL,
	source TEXT NOT NULL,
	valid_from DATE,
	valid_to DATE,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	identifier_id TEXT DEFAULT (gen_random_uuid())::text NOT NULL,
	share_class TEXT DEFAULT '' NOT NULL,
	is_primary BOOLEAN DEFAULT false NOT NULL,
	as_of DATE,
	superseded_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_security_identifiers PRIMARY KEY (identifier_id),
	CONSTRAINT fk_security_identifiers_entity_id FOREIGN KEY(entity_id) REFERENCES signaldelta.securities (entity_id)
);

COMMENT ON TABLE signaldelta.security_identifiers IS 'Dated tickers, names, FIGIs and exchanges of an entity, by share class. An open end says that the source gives no date; superseded_at, that the source says something else since.';

CREATE INDEX ix_security_identifiers_entity_id_source ON signaldelta.security_identifiers (entity_id, source);

CREATE INDEX ix_security_identifiers_kind_value ON signaldelta.security_identifiers (kind, value);

CREATE TABLE signaldelta.backtest_runs (
	run_id TEXT NOT NULL,
	run_hash TEXT NOT NULL CONSTRAINT ck_backtest_runs_run_hash_sha256 CHECK (length(run_hash) = 64),
	spec_hash TEXT NOT NULL CONSTRAINT ck_backtest_runs_spec_hash_sha256 CHECK (length(spec_hash) = 64),
	snapshot_id TEXT NOT NULL,
	scoring_model_hash TEXT NOT NULL CONSTRAINT ck_backtest_runs_scoring_model_hash_sha256 CHECK (length(scoring_model_hash) = 64),
	latency_model_hash TEXT NOT NULL CONSTRAINT ck_backtest_runs_latency_model_hash_sha256 CHECK (length(latency_model_hash) = 64),
	protocol_hash TEXT NOT NULL CONSTRAINT ck_backtest_runs_protocol_hash_sha256 CHECK (length(protocol_hash) = 64),
	definitions_hash TEXT NOT NULL CONSTRAINT ck_backtest_runs_definitions_hash_sha256 CHECK (length(definitions_hash) = 64),
	environment_hash TEXT NOT NULL CONSTRAINT ck_backtest_runs_environment_hash_sha256 CHECK (length(environment_hash) = 64),
	hypothesis_family TEXT NOT NULL,
	trial_number INTEGER NOT NULL,
	status TEXT NOT NULL CONSTRAINT ck_backtest_runs_status CHECK (status in ('complete','insufficient')),
	evaluation JSONB NOT NULL,
	evaluation_hash TEXT NOT NULL CONSTRAINT ck_backtest_runs_evaluation_hash_sha256 CHECK (length(evaluation_hash) = 64),
	manifest JSONB NOT NULL,
	manifest_canonical BYTEA NOT NULL,
	manifest_hash TEXT NOT NULL CONSTRAINT ck_backtest_runs_manifest_hash_sha256 CHECK (length(manifest_hash) = 64),
	dagster_run_id TEXT,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_backtest_runs PRIMARY KEY (run_id),
	CONSTRAINT ck_backtest_runs_manifest_complete CHECK (coalesce(manifest->>'run_id' = run_id AND manifest->>'run_hash' = run_hash AND manifest->>'spec_hash' = spec_hash AND manifest->>'status' = status AND manifest->>'evaluation_hash' = evaluation_hash AND manifest->>'environment_hash' = environment_hash AND manifest->>'signal_definitions_hash' = definitions_hash AND manifest#>>'{scoring_model,hash}' = scoring_model_hash AND manifest#>>'{spec,scoring_model_hash}' = scoring_model_hash AND manifest#>>'{latency_model,hash}' = latency_model_hash AND manifest#>>'{spec,latency_model_hash}' = latency_model_hash AND manifest#>>'{evaluation_protocol,hash}' = protocol_hash AND manifest#>>'{spec,protocol_hash}' = protocol_hash AND manifest#>>'{snapshot,id}' = snapshot_id AND manifest#>>'{snapshot,hash}' = manifest#>>'{spec,snapshot_hash}' AND manifest#>>'{snapshot,hash}' ~ '^[0-9a-f]{64}$' AND manifest#>>'{dataset,hash}' ~ '^[0-9a-f]{64}$' AND manifest#>>'{hypothesis,family}' = hypothesis_family AND manifest#>>'{hypothesis,trial_number}' = trial_number::text AND jsonb_array_length(manifest->'inputs') > 0 AND NOT jsonb_path_exists(manifest, '$.inputs[*] ? (!(@.file_hash like_regex "^[0-9a-f]{64}$" && @.content_hash like_regex "^[0-9a-f]{64}$"))') AND jsonb_array_length(manifest->'outputs') > 0 AND NOT jsonb_path_exists(manifest, '$.outputs[*] ? (!(@.file_hash like_regex "^[0-9a-f]{64}$" && @.content_hash like_regex "^[0-9a-f]{64}$"))'), false)),
	CONSTRAINT uq_backtest_runs_run_hash UNIQUE (run_hash),
	CONSTRAINT fk_backtest_runs_snapshot_id FOREIGN KEY(snapshot_id) REFERENCES signaldelta.backtest_snapshots (snapshot_id),
	CONSTRAINT fk_backtest_runs_scoring_model_hash FOREIGN KEY(scoring_model_hash) REFERENCES signaldelta.documents (document_hash),
	CONSTRAINT fk_backtest_runs_latency_model_hash FOREIGN KEY(latency_model_hash) REFERENCES signaldelta.documents (document_hash),
	CONSTRAINT fk_backtest_runs_protocol_hash FOREIGN KEY(protocol_hash) REFERENCES signaldelta.documents (document_hash),
	CONSTRAINT fk_backtest_runs_definitions_hash FOREIGN KEY(definitions_hash) REFERENCES signaldelta.documents (document_hash),
	CONSTRAINT fk_backtest_runs_environment_hash FOREIGN KEY(environment_hash) REFERENCES signaldelta.documents (document_hash)
);

COMMENT ON TABLE signaldelta.backtest_runs IS 'Backtest runs with their complete manifest; a run without one does not exist.';

CREATE INDEX ix_backtest_runs_snapshot_id ON signaldelta.backtest_runs (snapshot_id);

CREATE TRIGGER backtest_runs_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.backtest_runs
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

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

CREATE TABLE signaldelta.backtest_alerts (
	run_id TEXT NOT NULL,
	entity_id TEXT NOT NULL,
	alert_at TIMESTAMP WITH TIME ZONE NOT NULL,
	alert_score DOUBLE PRECISION NOT NULL,
	matched_event_time TIMESTAMP WITH TIME ZONE,
	matched_event_type TEXT,
	censored BOOLEAN NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_backtest_alerts PRIMARY KEY (run_id, entity_id, alert_at),
	CONSTRAINT fk_backtest_alerts_run_id FOREIGN KEY(run_id) REFERENCES signaldelta.backtest_runs (run_id)
);

COMMENT ON TABLE signaldelta.backtest_alerts IS 'Alert episodes of a run and the event each one matched.';

CREATE TRIGGER backtest_alerts_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.backtest_alerts
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.backtest_artifacts (
	run_id TEXT NOT NULL,
	name TEXT NOT NULL,
	file_hash TEXT NOT NULL CONSTRAINT ck_backtest_artifacts_file_hash_sha256 CHECK (length(file_hash) = 64),
	content_hash TEXT NOT NULL CONSTRAINT ck_backtest_artifacts_content_hash_sha256 CHECK (length(content_hash) = 64),
	media_type TEXT NOT NULL,
	rows BIGINT NOT NULL,
	size_bytes BIGINT NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_backtest_artifacts PRIMARY KEY (run_id, name),
	CONSTRAINT fk_backtest_artifacts_run_id FOREIGN KEY(run_id) REFERENCES signaldelta.backtest_runs (run_id)
);

COMMENT ON TABLE signaldelta.backtest_artifacts IS 'The Parquet files of a run, by the hash of their bytes and of their column buffers.';

CREATE TRIGGER backtest_artifacts_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.backtest_artifacts
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.backtest_metrics (
	run_id TEXT NOT NULL,
	evidence TEXT NOT NULL,
	slice_kind TEXT NOT NULL,
	slice_value TEXT NOT NULL,
	metric TEXT NOT NULL,
	value DOUBLE PRECISION,
	low DOUBLE PRECISION,
	high DOUBLE PRECISION,
	null_value DOUBLE PRECISION,
	reason TEXT,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_backtest_metrics PRIMARY KEY (run_id, evidence, slice_kind, slice_value, metric),
	CONSTRAINT fk_backtest_metrics_run_id FOREIGN KEY(run_id) REFERENCES signaldelta.backtest_runs (run_id)
);

COMMENT ON TABLE signaldelta.backtest_metrics IS 'Every figure of a run with its interval and null: per evidence set, event type and month.';

CREATE TRIGGER backtest_metrics_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.backtest_metrics
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();
