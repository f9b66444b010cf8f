CREATE OR REPLACE FUNCTION signaldelta.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_user = 'signaldelta_replication' THEN
    IF TG_LEVEL = 'STATEMENT' THEN
      RETURN NULL;
    ELSIF TG_OP = 'DELETE' THEN
      RETURN OLD;
    END IF;
    RETURN NEW;
  END IF;
  RAISE EXCEPTION '% on %.% refused: its rows are frozen', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation',
          HINT = 'write a new version or revision instead';
END
$$;

CREATE FUNCTION signaldelta.partition_rules() RETURNS TABLE (of_table text, key text, every text, day text)
LANGUAGE sql IMMUTABLE AS $$
  VALUES ('raw_records', 'raw_record_id', 'year', 'partition_date'), ('score_history', 'at', 'month', NULL), ('score_samples', 'at', 'month', NULL)
$$;

CREATE FUNCTION signaldelta.ulid_at(moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + (of_epoch >> (45 - 5 * place) & 31)::int, 1),
                    '' ORDER BY place)
  FROM (SELECT floor(extract(epoch FROM moment) * 1000)::bigint AS of_epoch) AS given, generate_series(0, 9) AS place
$$;

CREATE FUNCTION signaldelta.partition_periods(wanted text, first date, last date)
RETURNS TABLE (name text, start date, stop date, lower text, upper text, day text)
LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
  SELECT of_table || '_' || to_char(since, CASE every WHEN 'month' THEN 'YYYY_MM' ELSE 'YYYY' END),
         since::date, until::date,
         CASE WHEN rules.day IS NULL THEN since::text ELSE signaldelta.ulid_at(since) END,
         CASE WHEN rules.day IS NULL THEN until::text ELSE signaldelta.ulid_at(until) END,
         rules.day
  FROM signaldelta.partition_rules() AS rules,
       generate_series(date_trunc(every, first::timestamptz), last::timestamptz, ('1 ' || every)::interval) AS since,
       LATERAL (SELECT since + ('1 ' || every)::interval AS until) AS following
  WHERE of_table = wanted
$$;

CREATE FUNCTION signaldelta.make_partition(wanted text, name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  frozen record;
BEGIN
  EXECUTE format('CREATE TABLE signaldelta.%I (LIKE signaldelta.%I INCLUDING ALL)', name, wanted);
  -- The triggers of a statement fire for the table that it names, and it may name the partition.
  FOR frozen IN SELECT tgname FROM pg_trigger
      WHERE tgrelid = format('signaldelta.%I', wanted)::regclass AND tgname = wanted || '_frozen' LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.%I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change()', frozen.tgname, name);
  END LOOP;
  EXECUTE format('GRANT SELECT ON signaldelta.%I TO signaldelta_app, signaldelta_replication', name);
  -- A replicated row is put into its partition with the rights to that.
  IF has_table_privilege('signaldelta_replication', format('signaldelta.%I', wanted), 'INSERT') THEN
    EXECUTE format('GRANT INSERT, UPDATE, DELETE, TRUNCATE ON signaldelta.%I TO signaldelta_replication', name);
  END IF;
END
$$;

CREATE FUNCTION signaldelta.attach_partition(wanted text, name text, period date) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found record;
BEGIN
  SELECT * INTO STRICT found FROM signaldelta.partition_periods(wanted, period, period);
  IF found.day IS NOT NULL THEN
    -- So that a question for days leaves the other partitions out.
    EXECUTE format('ALTER TABLE signaldelta.%I ADD CONSTRAINT %I CHECK (%I >= %L AND %I < %L)',
                   name, 'ck_' || wanted || '_days', found.day, found.start, found.day, found.stop);
  END IF;
  EXECUTE format('ALTER TABLE signaldelta.%I ATTACH PARTITION signaldelta.%I FOR VALUES FROM (%L) TO (%L)',
                 wanted, name, found.lower, found.upper);
END
$$;

CREATE FUNCTION signaldelta.ensure_partitions(wanted text, first date, last date) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
  period record;
  made text[] := '{}';
BEGIN
  IF NOT EXISTS (SELECT FROM signaldelta.partition_rules() WHERE of_table = wanted) THEN
    RAISE EXCEPTION '% is not partitioned', wanted USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM pg_advisory_xact_lock(6094851);
  -- What is outside of any sensible time stays in DEFAULT: a wrong date makes no partition.
  FOR period IN SELECT * FROM signaldelta.partition_periods(
      wanted, greatest(first, DATE '1993-01-01'), least(last, current_date + 5 * 366)) AS p
      WHERE NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(format('signaldelta.%I', p.name))) LOOP
    BEGIN
      PERFORM signaldelta.make_partition(wanted, period.name);
      PERFORM signaldelta.attach_partition(wanted, period.name, period.start);
      made := made || period.name;
    EXCEPTION WHEN check_violation OR lock_not_available THEN
      -- DEFAULT has rows of the time or is read for long: rows go there, and the maintenance moves them.
      NULL;
    END;
  END LOOP;
  RETURN made;
EXCEPTION WHEN lock_not_available THEN
  RETURN '{}';
END
$$;

REVOKE ALL ON FUNCTION signaldelta.make_partition(text, text), signaldelta.attach_partition(text, text, date),
  signaldelta.ensure_partitions(text, date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION signaldelta.ensure_partitions(text, date, date) TO signaldelta_app;

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
)
 PARTITION BY RANGE (raw_record_id);

COMMENT ON TABLE signaldelta.raw_records IS 'The RawRecord envelope: one fact of one upstream document; the contract between collectors and extractors.';

CREATE INDEX ix_raw_records_ingest_time ON signaldelta.raw_records USING brin (ingest_time);

CREATE INDEX ix_raw_records_source_type_entity_id_natural_key ON signaldelta.raw_records (source_type, entity_id, natural_key);

CREATE INDEX ix_raw_records_source_type_partition_date ON signaldelta.raw_records (source_type, partition_date);

CREATE TRIGGER raw_records_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.raw_records
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TRIGGER raw_records_frozen_rows BEFORE UPDATE OR DELETE ON signaldelta.raw_records
  FOR EACH ROW EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TRIGGER raw_records_parents AFTER INSERT ON signaldelta.raw_records
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT
  EXECUTE FUNCTION signaldelta.require_parents('collector_run_id', 'collector_runs', 'collector_run_id', 'body_hash', 'raw_documents', 'body_hash');

SELECT signaldelta.make_partition('raw_records', 'raw_records_default');
ALTER TABLE signaldelta.raw_records ATTACH PARTITION signaldelta.raw_records_default DEFAULT;
SELECT signaldelta.make_partition('raw_records', 'raw_records_undated');
ALTER TABLE signaldelta.raw_records ATTACH PARTITION signaldelta.raw_records_undated FOR VALUES FROM (MINVALUE) TO ('0000000001');

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
)
 PARTITION BY RANGE (at);

COMMENT ON TABLE signaldelta.score_history IS 'The narrow series behind charts: a row where the score differs from the one before by the same models.';

CREATE TRIGGER score_history_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.score_history
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TRIGGER score_history_frozen_rows BEFORE UPDATE OR DELETE ON signaldelta.score_history
  FOR EACH ROW EXECUTE FUNCTION signaldelta.refuse_change();

SELECT signaldelta.make_partition('score_history', 'score_history_default');
ALTER TABLE signaldelta.score_history ATTACH PARTITION signaldelta.score_history_default DEFAULT;

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
)
 PARTITION BY RANGE (at);

COMMENT ON TABLE signaldelta.score_samples IS 'Live scores with their explanations, one per entity and hour.';

CREATE INDEX ix_score_samples_at ON signaldelta.score_samples (at);

CREATE TRIGGER score_samples_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.score_samples
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TRIGGER score_samples_frozen_rows BEFORE UPDATE OR DELETE ON signaldelta.score_samples
  FOR EACH ROW EXECUTE FUNCTION signaldelta.refuse_change();

SELECT signaldelta.make_partition('score_samples', 'score_samples_default');
ALTER TABLE signaldelta.score_samples ATTACH PARTITION signaldelta.score_samples_default DEFAULT;
