ALTER TABLE signaldelta.securities ADD COLUMN listed_on DATE, ADD COLUMN delisted_on DATE;
ALTER TABLE signaldelta.security_identifiers
  ADD COLUMN ingest_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL;
UPDATE signaldelta.security_identifiers SET ingest_time = updated_at;
ALTER TABLE signaldelta.security_identifiers
  DROP COLUMN updated_at,
  DROP CONSTRAINT pk_security_identifiers,
  DROP CONSTRAINT ck_security_identifiers_kind,
  ADD COLUMN identifier_id TEXT DEFAULT (gen_random_uuid())::text NOT NULL,
  ADD COLUMN share_class TEXT DEFAULT '' NOT NULL,
  ADD COLUMN is_primary BOOLEAN DEFAULT false NOT NULL,
  ADD COLUMN as_of DATE,
  ADD COLUMN superseded_at TIMESTAMP WITH TIME ZONE,
  ADD CONSTRAINT ck_security_identifiers_kind CHECK (kind in ('ticker','name','figi','share_class_figi','exchange')),
  ADD CONSTRAINT pk_security_identifiers PRIMARY KEY (identifier_id);
CREATE INDEX ix_security_identifiers_entity_id_source ON signaldelta.security_identifiers (entity_id, source);
COMMENT ON TABLE signaldelta.security_identifiers IS 'Dated tickers, names, FIGIs and exchanges of an entity, by share class. An open end says that the source gives no date; superseded_at, that the source says something else since.';
