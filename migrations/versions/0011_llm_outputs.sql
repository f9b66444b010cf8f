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
