ALTER TABLE signaldelta.raw_records
  DROP CONSTRAINT fk_raw_records_collector_run_id,
  DROP CONSTRAINT fk_raw_records_body_hash;

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

CREATE TRIGGER raw_records_parents AFTER INSERT ON signaldelta.raw_records
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT
  EXECUTE FUNCTION signaldelta.require_parents('collector_run_id', 'collector_runs', 'collector_run_id', 'body_hash', 'raw_documents', 'body_hash');
