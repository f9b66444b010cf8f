ALTER TABLE signaldelta.backtest_runs
  ADD CONSTRAINT ck_backtest_runs_manifest_complete CHECK (coalesce(manifest->>'run_id' = run_id
    AND manifest->>'run_hash' = run_hash
    AND manifest->>'spec_hash' = spec_hash
    AND manifest->>'status' = status
    AND manifest->>'evaluation_hash' = evaluation_hash
    AND manifest->>'environment_hash' = environment_hash
    AND manifest->>'signal_definitions_hash' = definitions_hash
    AND manifest#>>'{scoring_model,hash}' = scoring_model_hash
    AND manifest#>>'{spec,scoring_model_hash}' = scoring_model_hash
    AND manifest#>>'{latency_model,hash}' = latency_model_hash
    AND manifest#>>'{spec,latency_model_hash}' = latency_model_hash
    AND manifest#>>'{evaluation_protocol,hash}' = protocol_hash
    AND manifest#>>'{spec,protocol_hash}' = protocol_hash
    AND manifest#>>'{snapshot,id}' = snapshot_id
    AND manifest#>>'{snapshot,hash}' = manifest#>>'{spec,snapshot_hash}'
    AND manifest#>>'{snapshot,hash}' ~ '^[0-9a-f]{64}$'
    AND manifest#>>'{dataset,hash}' ~ '^[0-9a-f]{64}$'
    AND manifest#>>'{hypothesis,family}' = hypothesis_family
    AND manifest#>>'{hypothesis,trial_number}' = trial_number::text
    AND jsonb_array_length(manifest->'inputs') > 0
    AND NOT jsonb_path_exists(manifest, '$.inputs[*] ? (!(@.file_hash like_regex "^[0-9a-f]{64}$" && @.content_hash like_regex "^[0-9a-f]{64}$"))')
    AND jsonb_array_length(manifest->'outputs') > 0
    AND NOT jsonb_path_exists(manifest, '$.outputs[*] ? (!(@.file_hash like_regex "^[0-9a-f]{64}$" && @.content_hash like_regex "^[0-9a-f]{64}$"))'), false));
