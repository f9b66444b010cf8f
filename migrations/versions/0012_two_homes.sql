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

CREATE TABLE signaldelta.delivered_writes (
	write_id TEXT NOT NULL,
	from_place TEXT NOT NULL,
	delivered_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_delivered_writes PRIMARY KEY (write_id)
);

COMMENT ON TABLE signaldelta.delivered_writes IS 'Which of the other place''s refused writes were carried out here, noted in the same transaction: none twice.';

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

CREATE TABLE signaldelta.replication_positions (
	at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	lsn PG_LSN NOT NULL,
	CONSTRAINT pk_replication_positions PRIMARY KEY (at)
);

COMMENT ON TABLE signaldelta.replication_positions IS 'How far this place''s log was at a moment of its own clock: what turns a reader''s position into seconds.';

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
	CONSTRAINT pk_api_keys PRIMARY KEY (api_key_id),
	CONSTRAINT uq_api_keys_key_hash UNIQUE (key_hash),
	CONSTRAINT fk_api_keys_user_id FOREIGN KEY(user_id) REFERENCES signaldelta.users (user_id),
	CONSTRAINT fk_api_keys_replaces FOREIGN KEY(replaces) REFERENCES signaldelta.api_keys (api_key_id)
);

COMMENT ON TABLE signaldelta.api_keys IS 'API keys by the hash of their secret, which is shown once; found by prefix, revoked by a time.';

CREATE INDEX ix_api_keys_prefix ON signaldelta.api_keys (prefix);

CREATE INDEX ix_api_keys_user_id ON signaldelta.api_keys (user_id);

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

CREATE TABLE signaldelta.llm_fallback_chain (
	use_case TEXT NOT NULL,
	position SMALLINT NOT NULL,
	route_id TEXT NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT pk_llm_fallback_chain PRIMARY KEY (use_case, position),
	CONSTRAINT fk_llm_fallback_chain_route_id FOREIGN KEY(route_id) REFERENCES signaldelta.llm_model_routing (route_id)
);

COMMENT ON TABLE signaldelta.llm_fallback_chain IS 'Which model is asked first for a use-case, and which next where that one fails. Seeded.';

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
