select
    hypothesis_family,
    trial_number,
    run_hash,
    ingest_time
from {{ source('signaldelta', 'hypothesis_trials') }}
