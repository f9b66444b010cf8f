CREATE OR REPLACE FUNCTION signaldelta.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_user = 'signaldelta_replication' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION '% on %.% refused: its rows are frozen', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation',
          HINT = 'write a new version or revision instead';
END
$$;

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
