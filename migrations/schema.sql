DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['signaldelta_app', 'signaldelta_replication'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I', name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
      END;
    END IF;
  END LOOP;
  IF NOT (SELECT rolcanlogin FROM pg_roles WHERE rolname = 'signaldelta_replication') THEN
    ALTER ROLE signaldelta_replication LOGIN;
  END IF;
  IF NOT pg_has_role('signaldelta_app', 'pg_monitor', 'member') THEN
    GRANT pg_monitor TO signaldelta_app;
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'the roles signaldelta_app and signaldelta_replication are not complete: %', SQLERRM
    USING HINT = 'let an administrator create them and grant pg_monitor to signaldelta_app';
END
$$;

CREATE SCHEMA signaldelta;

CREATE FUNCTION signaldelta.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TABLE signaldelta.cascade_classifications (
	classification_id TEXT NOT NULL,
	entity_id TEXT NOT NULL,
	at TIMESTAMP WITH TIME ZONE NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	probabilities JSONB NOT NULL,
	top TEXT NOT NULL,
	margin DOUBLE PRECISION NOT NULL,
	states JSONB NOT NULL,
	families_short JSONB NOT NULL,
	rules_hash TEXT NOT NULL CONSTRAINT ck_cascade_classifications_rules_hash_sha256 CHECK (length(rules_hash) = 64),
	scoring_model_hash TEXT NOT NULL CONSTRAINT ck_cascade_classifications_scoring_model_hash_sha256 CHECK (length(scoring_model_hash) = 64),
	latency_model_hash TEXT NOT NULL CONSTRAINT ck_cascade_classifications_latency_model_hash_sha256 CHECK (length(latency_model_hash) = 64),
	CONSTRAINT pk_cascade_classifications PRIMARY KEY (classification_id)
);

COMMENT ON TABLE signaldelta.cascade_classifications IS 'Which chain an entity''s evidence speaks for, when that or a state changes, and daily.';

CREATE UNIQUE INDEX ix_cascade_classifications_entity_id_at_rules_hash_scor_9914 ON signaldelta.cascade_classifications (entity_id, at, rules_hash, scoring_model_hash, latency_model_hash);

CREATE TRIGGER cascade_classifications_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.cascade_classifications
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.cascade_events (
	cascade_event_id TEXT NOT NULL,
	episode_id TEXT NOT NULL,
	sequence INTEGER NOT NULL,
	entity_id TEXT NOT NULL,
	chain TEXT NOT NULL,
	kind TEXT NOT NULL,
	at TIMESTAMP WITH TIME ZONE NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	stage SMALLINT,
	sign SMALLINT CONSTRAINT ck_cascade_events_sign CHECK (sign in (-1,0,1)),
	late BOOLEAN NOT NULL,
	p DOUBLE PRECISION,
	p_unknown DOUBLE PRECISION,
	probability DOUBLE PRECISION,
	l_c DOUBLE PRECISION,
	ordering DOUBLE PRECISION,
	evidence JSONB NOT NULL,
	parent_episode_id TEXT,
	rules_hash TEXT NOT NULL CONSTRAINT ck_cascade_events_rules_hash_sha256 CHECK (length(rules_hash) = 64),
	scoring_model_hash TEXT NOT NULL CONSTRAINT ck_cascade_events_scoring_model_hash_sha256 CHECK (length(scoring_model_hash) = 64),
	latency_model_hash TEXT NOT NULL CONSTRAINT ck_cascade_events_latency_model_hash_sha256 CHECK (length(latency_model_hash) = 64),
	tempo_model_hash TEXT CONSTRAINT ck_cascade_events_tempo_model_hash_sha256 CHECK (length(tempo_model_hash) = 64),
	CONSTRAINT pk_cascade_events PRIMARY KEY (cascade_event_id)
);

COMMENT ON TABLE signaldelta.cascade_events IS 'Each change of an episode: activated, advanced, completed, abandoned, echoed, with its evidence.';

CREATE INDEX ix_cascade_events_entity_id_at ON signaldelta.cascade_events (entity_id, at);

CREATE UNIQUE INDEX ix_cascade_events_episode_id_sequence ON signaldelta.cascade_events (episode_id, sequence);

CREATE TRIGGER cascade_events_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.cascade_events
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.cascade_outcomes (
	outcome_id TEXT NOT NULL,
	episode_id TEXT NOT NULL,
	dataset_id TEXT NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	hit BOOLEAN,
	label_event_id TEXT,
	lead_seconds DOUBLE PRECISION,
	pending_until TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_cascade_outcomes PRIMARY KEY (outcome_id)
);

COMMENT ON TABLE signaldelta.cascade_outcomes IS 'What became of an episode by a dataset of labels; written by evaluation, never read by the state machine.';

CREATE UNIQUE INDEX ix_cascade_outcomes_episode_id_dataset_id ON signaldelta.cascade_outcomes (episode_id, dataset_id);

CREATE TRIGGER cascade_outcomes_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.cascade_outcomes
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

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

CREATE TABLE signaldelta.conductor_controls (
	control_id TEXT NOT NULL,
	scope TEXT NOT NULL,
	request TEXT NOT NULL,
	requested_by TEXT NOT NULL,
	reason TEXT,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_conductor_controls PRIMARY KEY (control_id)
);

COMMENT ON TABLE signaldelta.conductor_controls IS 'What users and operators asked of an activation, an account or all of them: pause, stop, halt, reset.';

CREATE INDEX ix_conductor_controls_scope_observed_time ON signaldelta.conductor_controls (scope, observed_time);

CREATE TRIGGER conductor_controls_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.conductor_controls
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.conductor_executions (
	execution_id TEXT NOT NULL,
	account TEXT NOT NULL,
	strategy_hash TEXT NOT NULL CONSTRAINT ck_conductor_executions_strategy_hash_sha256 CHECK (length(strategy_hash) = 64),
	slot TIMESTAMP WITH TIME ZONE NOT NULL,
	entity_id TEXT NOT NULL,
	decision JSONB NOT NULL,
	decision_hash TEXT NOT NULL CONSTRAINT ck_conductor_executions_decision_hash_sha256 CHECK (length(decision_hash) = 64),
	chain_hash TEXT NOT NULL CONSTRAINT ck_conductor_executions_chain_hash_sha256 CHECK (length(chain_hash) = 64),
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_conductor_executions PRIMARY KEY (execution_id),
	CONSTRAINT uq_conductor_executions_account_strategy_hash_slot_entity_id UNIQUE (account, strategy_hash, slot, entity_id)
);

COMMENT ON TABLE signaldelta.conductor_executions IS 'Every decision of a strategy with its hash, chained to the one before: the audit.';

CREATE TRIGGER conductor_executions_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.conductor_executions
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.conductor_positions (
	position_id TEXT NOT NULL,
	account TEXT NOT NULL,
	pass_at TIMESTAMP WITH TIME ZONE NOT NULL,
	entity_id TEXT NOT NULL,
	quantity BIGINT NOT NULL,
	cost NUMERIC NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_conductor_positions PRIMARY KEY (position_id),
	CONSTRAINT uq_conductor_positions_account_pass_at_entity_id UNIQUE (account, pass_at, entity_id)
);

COMMENT ON TABLE signaldelta.conductor_positions IS 'What an account held after each pass of the executor.';

CREATE TRIGGER conductor_positions_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.conductor_positions
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.conductor_strategies (
	strategy_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	strategy_hash TEXT NOT NULL CONSTRAINT ck_conductor_strategies_strategy_hash_sha256 CHECK (length(strategy_hash) = 64),
	document JSONB NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_conductor_strategies PRIMARY KEY (strategy_id),
	CONSTRAINT uq_conductor_strategies_user_id_strategy_hash UNIQUE (user_id, strategy_hash)
);

COMMENT ON TABLE signaldelta.conductor_strategies IS 'Strategy documents of users, each named by its hash: another document is another strategy.';

CREATE TRIGGER conductor_strategies_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.conductor_strategies
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

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

CREATE TABLE signaldelta.delivered_writes (
	write_id TEXT NOT NULL,
	from_place TEXT NOT NULL,
	delivered_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_delivered_writes PRIMARY KEY (write_id)
);

COMMENT ON TABLE signaldelta.delivered_writes IS 'Which of the other place''s refused writes were carried out here, noted in the same transaction: none twice.';

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

CREATE TABLE signaldelta.llm_model_routing (
	route_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	protocol TEXT NOT NULL CONSTRAINT ck_llm_model_routing_protocol CHECK (protocol in ('openai','anthropic')),
	base_url TEXT,
	model TEXT NOT NULL,
	weight_class TEXT NOT NULL CONSTRAINT ck_llm_model_routing_weight_class CHECK (weight_class in ('light','heavy')),
	locations TEXT[] NOT NULL CONSTRAINT ck_llm_model_routing_locations CHECK (locations <@ array['aws','offsite']),
	key_setting TEXT,
	timeout_seconds DOUBLE PRECISION NOT NULL,
	attempts SMALLINT NOT NULL,
	input_price NUMERIC NOT NULL,
	output_price NUMERIC NOT NULL,
	enabled BOOLEAN DEFAULT true NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_llm_model_routing PRIMARY KEY (route_id)
);

COMMENT ON TABLE signaldelta.llm_model_routing IS 'Models and where they are served: a further provider is a further row. Prices are US dollars per million tokens; `key_setting` names the setting that holds the key, never the key. Seeded.';

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

CREATE TABLE signaldelta.llm_usage_log (
	usage_id TEXT NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	use_case TEXT NOT NULL,
	route_id TEXT NOT NULL,
	model TEXT NOT NULL,
	location TEXT NOT NULL,
	user_id TEXT,
	correlation_id TEXT,
	input_tokens INTEGER,
	output_tokens INTEGER,
	cost NUMERIC,
	latency_ms DOUBLE PRECISION NOT NULL,
	outcome TEXT NOT NULL,
	error TEXT,
	CONSTRAINT pk_llm_usage_log PRIMARY KEY (usage_id)
);

COMMENT ON TABLE signaldelta.llm_usage_log IS 'Every call of a model: use-case, model, tokens, price in US dollars, latency, outcome.';

CREATE INDEX ix_llm_usage_log_correlation_id ON signaldelta.llm_usage_log (correlation_id) WHERE correlation_id IS NOT NULL;

CREATE INDEX ix_llm_usage_log_event_time ON signaldelta.llm_usage_log (event_time);

CREATE INDEX ix_llm_usage_log_user_id_event_time ON signaldelta.llm_usage_log (user_id, event_time);

CREATE TRIGGER llm_usage_log_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.llm_usage_log
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.misrouted_writes (
	write_id TEXT NOT NULL,
	refused_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	place TEXT NOT NULL,
	table_group TEXT NOT NULL,
	home TEXT NOT NULL,
	table_name TEXT NOT NULL,
	statement TEXT NOT NULL,
	correlation_id TEXT,
	reason TEXT NOT NULL,
	attempts INTEGER DEFAULT '0' NOT NULL,
	last_error TEXT,
	delivered_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_misrouted_writes PRIMARY KEY (write_id)
);

COMMENT ON TABLE signaldelta.misrouted_writes IS 'Writes that came to the wrong home, whole statements with their values: refused, and delivered by `signaldelta db recover`.';

CREATE INDEX ix_misrouted_writes_refused_at ON signaldelta.misrouted_writes (refused_at) WHERE delivered_at IS NULL;

CREATE TABLE signaldelta.operator_alerts (
	alert_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	severity TEXT NOT NULL CONSTRAINT ck_operator_alerts_severity CHECK (severity in ('warning','critical')),
	words TEXT NOT NULL,
	detail JSONB DEFAULT '{}' NOT NULL,
	opened_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	seen_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	closed_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_operator_alerts PRIMARY KEY (alert_id)
);

COMMENT ON TABLE signaldelta.operator_alerts IS 'What was wrong, since when, and until when: opened and closed by the watch.';

CREATE UNIQUE INDEX ix_operator_alerts_kind_subject ON signaldelta.operator_alerts (kind, subject) WHERE closed_at IS NULL;

CREATE INDEX ix_operator_alerts_opened_at ON signaldelta.operator_alerts (opened_at);

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

CREATE TABLE signaldelta.replication_positions (
	at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	lsn PG_LSN NOT NULL,
	CONSTRAINT pk_replication_positions PRIMARY KEY (at)
);

COMMENT ON TABLE signaldelta.replication_positions IS 'How far this place''s log was at a moment of its own clock: what turns a reader''s position into seconds.';

CREATE TABLE signaldelta.request_counts (
	scope TEXT NOT NULL,
	subject TEXT NOT NULL,
	window_end TIMESTAMP WITH TIME ZONE NOT NULL,
	used INTEGER NOT NULL,
	CONSTRAINT pk_request_counts PRIMARY KEY (scope, subject)
);

COMMENT ON TABLE signaldelta.request_counts IS 'How many requests a user, key or address has made in its window: what all processes of the API here share.';

CREATE TABLE signaldelta.research_progress (
	report_id TEXT NOT NULL,
	step TEXT NOT NULL,
	state TEXT NOT NULL CONSTRAINT ck_research_progress_state CHECK (state in ('waiting','running','complete','failed')),
	percent SMALLINT NOT NULL CONSTRAINT ck_research_progress_percent CHECK (percent between 0 and 100),
	message TEXT,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_research_progress PRIMARY KEY (report_id, step)
);

COMMENT ON TABLE signaldelta.research_progress IS 'How far a report in the making has got; a report that failed has no row in research_reports.';

CREATE TABLE signaldelta.research_reports (
	report_id TEXT NOT NULL,
	entity_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	as_of TIMESTAMP WITH TIME ZONE NOT NULL,
	requested_by TEXT,
	run_id TEXT,
	body JSONB NOT NULL,
	content_hash TEXT NOT NULL CONSTRAINT ck_research_reports_content_hash_sha256 CHECK (length(content_hash) = 64),
	llm_output_hashes TEXT[] DEFAULT '{}' NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_research_reports PRIMARY KEY (report_id)
);

COMMENT ON TABLE signaldelta.research_reports IS 'Finished reports, each with its hash and the hashes of the model answers it quotes.';

CREATE INDEX ix_research_reports_entity_id_as_of ON signaldelta.research_reports (entity_id, as_of);

CREATE TRIGGER research_reports_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.research_reports
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

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

CREATE TABLE signaldelta.tempo_baselines (
	baseline_id TEXT NOT NULL,
	tempo_model_hash TEXT NOT NULL CONSTRAINT ck_tempo_baselines_tempo_model_hash_sha256 CHECK (length(tempo_model_hash) = 64),
	as_of TIMESTAMP WITH TIME ZONE NOT NULL,
	subject TEXT NOT NULL,
	lens TEXT NOT NULL,
	scope TEXT NOT NULL,
	lens_key TEXT NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	n INTEGER NOT NULL,
	exposure DOUBLE PRECISION,
	rate DOUBLE PRECISION,
	typical DOUBLE PRECISION,
	u DOUBLE PRECISION,
	location DOUBLE PRECISION,
	scale DOUBLE PRECISION,
	n_obs INTEGER,
	value DOUBLE PRECISION,
	z DOUBLE PRECISION,
	status TEXT NOT NULL,
	CONSTRAINT pk_tempo_baselines PRIMARY KEY (baseline_id)
);

COMMENT ON TABLE signaldelta.tempo_baselines IS 'What is normal for a signal''s rate or a metric, by model, moment, lens and scope.';

CREATE UNIQUE INDEX ix_tempo_baselines_tempo_model_hash_as_of_subject_lens__c936 ON signaldelta.tempo_baselines (tempo_model_hash, as_of, subject, lens, scope, lens_key);

CREATE TRIGGER tempo_baselines_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.tempo_baselines
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.tempo_regimes (
	regime_id TEXT NOT NULL,
	tempo_model_hash TEXT NOT NULL CONSTRAINT ck_tempo_regimes_tempo_model_hash_sha256 CHECK (length(tempo_model_hash) = 64),
	session DATE NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	label TEXT NOT NULL,
	rank DOUBLE PRECISION NOT NULL,
	fall DOUBLE PRECISION NOT NULL,
	since DATE NOT NULL,
	CONSTRAINT pk_tempo_regimes PRIMARY KEY (regime_id)
);

COMMENT ON TABLE signaldelta.tempo_regimes IS 'The market''s regime by model and session.';

CREATE UNIQUE INDEX ix_tempo_regimes_tempo_model_hash_session ON signaldelta.tempo_regimes (tempo_model_hash, session);

CREATE TRIGGER tempo_regimes_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.tempo_regimes
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.tempo_structural_breaks (
	break_id TEXT NOT NULL,
	tempo_model_hash TEXT NOT NULL CONSTRAINT ck_tempo_structural_breaks_tempo_model_hash_sha256 CHECK (length(tempo_model_hash) = 64),
	entity_id TEXT NOT NULL,
	metric TEXT NOT NULL,
	break_session DATE NOT NULL,
	known_at TIMESTAMP WITH TIME ZONE NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	direction SMALLINT NOT NULL,
	u2 DOUBLE PRECISION NOT NULL,
	n1 INTEGER NOT NULL,
	n2 INTEGER NOT NULL,
	median_before DOUBLE PRECISION NOT NULL,
	median_after DOUBLE PRECISION NOT NULL,
	scale_before DOUBLE PRECISION NOT NULL,
	CONSTRAINT pk_tempo_structural_breaks PRIMARY KEY (break_id)
);

COMMENT ON TABLE signaldelta.tempo_structural_breaks IS 'Sessions at which a metric of an entity began to be another one, and when that could be known.';

CREATE UNIQUE INDEX ix_tempo_structural_breaks_tempo_model_hash_entity_id_m_e54d ON signaldelta.tempo_structural_breaks (tempo_model_hash, entity_id, metric, break_session);

CREATE TRIGGER tempo_structural_breaks_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.tempo_structural_breaks
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.this_home (
	single BOOLEAN DEFAULT true NOT NULL CONSTRAINT ck_this_home_single CHECK (single),
	place TEXT NOT NULL CONSTRAINT ck_this_home_place CHECK (place in ('aws','offsite','one')),
	since TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_this_home PRIMARY KEY (single)
);

COMMENT ON TABLE signaldelta.this_home IS 'Which place this database is: `one` is both homes in one server. One row.';

CREATE TABLE signaldelta.tier_entitlements (
	tier TEXT NOT NULL CONSTRAINT ck_tier_entitlements_tier CHECK (tier in ('free', 'entry', 'professional', 'analyst', 'research')),
	entitlement TEXT NOT NULL,
	value JSONB NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_tier_entitlements PRIMARY KEY (tier, entitlement)
);

COMMENT ON TABLE signaldelta.tier_entitlements IS 'What each tier gives: limits as numbers, features as true or false. Seeded.';

CREATE TABLE signaldelta.user_activity (
	activity_id TEXT NOT NULL,
	user_id TEXT,
	event_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT,
	detail JSONB DEFAULT '{}' NOT NULL,
	correlation_id TEXT,
	CONSTRAINT pk_user_activity PRIMARY KEY (activity_id)
);

COMMENT ON TABLE signaldelta.user_activity IS 'What users did and were refused: the audit log of requests.';

CREATE INDEX ix_user_activity_correlation_id ON signaldelta.user_activity (correlation_id) WHERE correlation_id IS NOT NULL;

CREATE INDEX ix_user_activity_ingest_time ON signaldelta.user_activity USING brin (ingest_time);

CREATE INDEX ix_user_activity_user_id_event_time ON signaldelta.user_activity (user_id, event_time);

CREATE TABLE signaldelta.users (
	user_id TEXT NOT NULL,
	subject TEXT,
	email TEXT,
	display_name TEXT,
	tier TEXT DEFAULT 'free' NOT NULL CONSTRAINT ck_users_tier CHECK (tier in ('free', 'entry', 'professional', 'analyst', 'research')),
	is_admin BOOLEAN DEFAULT false NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	disabled_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_users PRIMARY KEY (user_id),
	CONSTRAINT uq_users_subject UNIQUE (subject)
);

COMMENT ON TABLE signaldelta.users IS 'One row per user; `subject` is the identity provider''s name for it. Disabled, never deleted.';

CREATE TABLE signaldelta.api_keys (
	api_key_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	prefix TEXT NOT NULL,
	key_hash TEXT NOT NULL CONSTRAINT ck_api_keys_key_hash_sha256 CHECK (length(key_hash) = 64),
	name TEXT NOT NULL,
	scopes TEXT[] DEFAULT '{}' NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE,
	revoked_at TIMESTAMP WITH TIME ZONE,
	last_used_at TIMESTAMP WITH TIME ZONE,
	replaces TEXT,
	requests_per_hour INTEGER,
	CONSTRAINT pk_api_keys PRIMARY KEY (api_key_id),
	CONSTRAINT uq_api_keys_key_hash UNIQUE (key_hash),
	CONSTRAINT fk_api_keys_user_id FOREIGN KEY(user_id) REFERENCES signaldelta.users (user_id),
	CONSTRAINT fk_api_keys_replaces FOREIGN KEY(replaces) REFERENCES signaldelta.api_keys (api_key_id)
);

COMMENT ON TABLE signaldelta.api_keys IS 'API keys by the hash of their secret, which is shown once; found by prefix, revoked by a time.';

CREATE INDEX ix_api_keys_prefix ON signaldelta.api_keys (prefix);

CREATE INDEX ix_api_keys_user_id ON signaldelta.api_keys (user_id);

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

CREATE TABLE signaldelta.conductor_activations (
	activation_id TEXT NOT NULL,
	strategy_id TEXT NOT NULL,
	mode TEXT NOT NULL CONSTRAINT ck_conductor_activations_mode CHECK (mode in ('paper','live')),
	fraction NUMERIC NOT NULL,
	confirmations JSONB NOT NULL,
	event_time TIMESTAMP WITH TIME ZONE,
	observed_time TIMESTAMP WITH TIME ZONE NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_conductor_activations PRIMARY KEY (activation_id),
	CONSTRAINT fk_conductor_activations_strategy_id FOREIGN KEY(strategy_id) REFERENCES signaldelta.conductor_strategies (strategy_id)
);

COMMENT ON TABLE signaldelta.conductor_activations IS 'Which strategy a user set to work, in which mode and with what part of the capital.';

CREATE TRIGGER conductor_activations_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON signaldelta.conductor_activations
  FOR EACH STATEMENT EXECUTE FUNCTION signaldelta.refuse_change();

CREATE TABLE signaldelta.custom_cohorts (
	cohort_id TEXT NOT NULL,
	user_id TEXT,
	name TEXT NOT NULL,
	definition JSONB NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_custom_cohorts PRIMARY KEY (cohort_id),
	CONSTRAINT fk_custom_cohorts_user_id FOREIGN KEY(user_id) REFERENCES signaldelta.users (user_id)
);

COMMENT ON TABLE signaldelta.custom_cohorts IS 'Cohorts of entities by rule or list: a user''s own by ULID, the system''s (no user) by name. Those are seeded.';

CREATE INDEX ix_custom_cohorts_user_id ON signaldelta.custom_cohorts (user_id);

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

CREATE INDEX ix_jobs_correlation_id ON signaldelta.jobs (correlation_id) WHERE correlation_id IS NOT NULL;

CREATE INDEX ix_jobs_dagster_run_id ON signaldelta.jobs (dagster_run_id) WHERE dagster_run_id IS NOT NULL;

CREATE INDEX ix_jobs_input_hash ON signaldelta.jobs (input_hash);

CREATE INDEX ix_jobs_unfinished ON signaldelta.jobs (job_id) WHERE finished_at IS NULL;

CREATE INDEX ix_jobs_user_id_job_id ON signaldelta.jobs (user_id, job_id);

CREATE UNIQUE INDEX uq_jobs_idempotency_key ON signaldelta.jobs (COALESCE(user_id, ''), idempotency_key) WHERE idempotency_key IS NOT NULL;

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

CREATE TABLE signaldelta.llm_fallback_chain (
	use_case TEXT NOT NULL,
	position SMALLINT NOT NULL,
	route_id TEXT NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_llm_fallback_chain PRIMARY KEY (use_case, position),
	CONSTRAINT fk_llm_fallback_chain_route_id FOREIGN KEY(route_id) REFERENCES signaldelta.llm_model_routing (route_id)
);

COMMENT ON TABLE signaldelta.llm_fallback_chain IS 'Which model is asked first for a use-case, and which next where that one fails. Seeded.';

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

CREATE TABLE signaldelta.security_cohort_memberships (
	cohort_id TEXT NOT NULL,
	entity_id TEXT NOT NULL,
	valid_from DATE NOT NULL,
	valid_to DATE,
	source TEXT NOT NULL,
	ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_security_cohort_memberships PRIMARY KEY (cohort_id, entity_id, valid_from),
	CONSTRAINT fk_security_cohort_memberships_entity_id FOREIGN KEY(entity_id) REFERENCES signaldelta.securities (entity_id)
);

COMMENT ON TABLE signaldelta.security_cohort_memberships IS 'Which entities a cohort has, and when: worked out from its definition, which is written at the other home.';

CREATE INDEX ix_security_cohort_memberships_entity_id ON signaldelta.security_cohort_memberships (entity_id);

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

CREATE TABLE signaldelta.watchlist_items (
	user_id TEXT NOT NULL,
	entity_id TEXT NOT NULL,
	note TEXT,
	added_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_watchlist_items PRIMARY KEY (user_id, entity_id),
	CONSTRAINT fk_watchlist_items_user_id FOREIGN KEY(user_id) REFERENCES signaldelta.users (user_id)
);

COMMENT ON TABLE signaldelta.watchlist_items IS 'The entities a user follows.';

CREATE TABLE signaldelta.alert_configs (
	alert_config_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	entity_id TEXT,
	cohort_id TEXT,
	condition JSONB NOT NULL,
	channel TEXT NOT NULL,
	enabled BOOLEAN DEFAULT true NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_alert_configs PRIMARY KEY (alert_config_id),
	CONSTRAINT fk_alert_configs_user_id FOREIGN KEY(user_id) REFERENCES signaldelta.users (user_id),
	CONSTRAINT fk_alert_configs_cohort_id FOREIGN KEY(cohort_id) REFERENCES signaldelta.custom_cohorts (cohort_id)
);

COMMENT ON TABLE signaldelta.alert_configs IS 'When a user wants to be told, about an entity or a cohort, and by which channel.';

CREATE INDEX ix_alert_configs_user_id ON signaldelta.alert_configs (user_id);

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

REVOKE ALL ON ALL TABLES IN SCHEMA signaldelta FROM signaldelta_app, signaldelta_replication;
GRANT USAGE ON SCHEMA signaldelta TO signaldelta_app, signaldelta_replication;
GRANT SELECT ON ALL TABLES IN SCHEMA signaldelta TO signaldelta_app, signaldelta_replication;
GRANT INSERT, UPDATE, DELETE ON signaldelta.alert_deliveries TO signaldelta_app;
GRANT INSERT ON signaldelta.cascade_classifications TO signaldelta_app;
GRANT INSERT ON signaldelta.cascade_events TO signaldelta_app;
GRANT INSERT ON signaldelta.cascade_outcomes TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.collector_runs TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.collector_status TO signaldelta_app;
GRANT INSERT ON signaldelta.conductor_controls TO signaldelta_app;
GRANT INSERT ON signaldelta.conductor_executions TO signaldelta_app;
GRANT INSERT ON signaldelta.conductor_positions TO signaldelta_app;
GRANT INSERT ON signaldelta.conductor_strategies TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.dead_letters TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.delivered_writes TO signaldelta_app;
GRANT INSERT ON signaldelta.documents TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.extraction_counts TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.http_absences TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.http_validators TO signaldelta_app;
GRANT INSERT ON signaldelta.hypothesis_trials TO signaldelta_app;
GRANT INSERT ON signaldelta.iald_signals TO signaldelta_app;
GRANT INSERT ON signaldelta.labeled_event_datasets TO signaldelta_app;
GRANT INSERT ON signaldelta.labeled_events TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.llm_model_routing TO signaldelta_app;
GRANT INSERT ON signaldelta.llm_outputs TO signaldelta_app;
GRANT INSERT ON signaldelta.llm_usage_log TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.misrouted_writes TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.operator_alerts TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.rate_limits TO signaldelta_app;
GRANT INSERT ON signaldelta.raw_documents TO signaldelta_app;
GRANT INSERT ON signaldelta.raw_records TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.replication_positions TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.request_counts TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.research_progress TO signaldelta_app;
GRANT INSERT ON signaldelta.research_reports TO signaldelta_app;
GRANT INSERT ON signaldelta.score_history TO signaldelta_app;
GRANT INSERT ON signaldelta.score_samples TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.securities TO signaldelta_app;
GRANT INSERT ON signaldelta.tempo_baselines TO signaldelta_app;
GRANT INSERT ON signaldelta.tempo_regimes TO signaldelta_app;
GRANT INSERT ON signaldelta.tempo_structural_breaks TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.this_home TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.tier_entitlements TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.user_activity TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.users TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.api_keys TO signaldelta_app;
GRANT INSERT ON signaldelta.backtest_snapshots TO signaldelta_app;
GRANT INSERT ON signaldelta.clock_decisions TO signaldelta_app;
GRANT INSERT ON signaldelta.conductor_activations TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.custom_cohorts TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.jobs TO signaldelta_app;
GRANT INSERT ON signaldelta.labeled_event_dataset_members TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.llm_fallback_chain TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.pools TO signaldelta_app;
GRANT INSERT ON signaldelta.quarantined_records TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.security_cohort_memberships TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.security_identifiers TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.watchlist_items TO signaldelta_app;
GRANT INSERT, UPDATE, DELETE ON signaldelta.alert_configs TO signaldelta_app;
GRANT INSERT ON signaldelta.backtest_runs TO signaldelta_app;
GRANT INSERT ON signaldelta.quarantine_resolutions TO signaldelta_app;
GRANT INSERT ON signaldelta.backtest_alerts TO signaldelta_app;
GRANT INSERT ON signaldelta.backtest_artifacts TO signaldelta_app;
GRANT INSERT ON signaldelta.backtest_metrics TO signaldelta_app;
DO $$
DECLARE
  part regclass;
BEGIN
  FOR part IN SELECT inhrelid FROM pg_inherits JOIN pg_class ON pg_class.oid = inhparent
      WHERE relkind = 'p' AND relnamespace = 'signaldelta'::regnamespace
        AND has_table_privilege('signaldelta_replication', inhparent, 'INSERT') LOOP
    EXECUTE format('GRANT INSERT, UPDATE, DELETE, TRUNCATE ON %s TO signaldelta_replication', part);
  END LOOP;
END
$$;
INSERT INTO signaldelta.this_home (place) VALUES ('one')
  ON CONFLICT (single) DO UPDATE SET place = excluded.place, since = clock_timestamp()
  WHERE this_home.place <> excluded.place;

ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO signaldelta_app;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO signaldelta_app;
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT nspname FROM pg_namespace WHERE nspname IN ('staging', 'marts') LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO signaldelta_app', name);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO signaldelta_app', name);
  END LOOP;
END
$$;

CREATE TABLE public.alembic_version (
	version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY
);
INSERT INTO public.alembic_version VALUES ('0017');
