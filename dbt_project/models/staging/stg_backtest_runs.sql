select
    run_id,
    run_hash,
    spec_hash,
    snapshot_id,
    scoring_model_hash,
    latency_model_hash,
    protocol_hash,
    definitions_hash,
    environment_hash,
    hypothesis_family,
    trial_number,
    status,
    evaluation_hash,
    manifest_hash,
    ingest_time
from {{ source('signaldelta', 'backtest_runs') }}
