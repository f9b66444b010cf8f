select
    quarantine_id,
    collector_run_id,
    state,
    reason,
    ingest_time
from {{ source('signaldelta', 'quarantine_resolutions') }}
