select
    collector_run_id,
    collector,
    collection_mode,
    window_start,
    window_end,
    status,
    started_at,
    finished_at,
    documents_read,
    records_written,
    records_known,
    records_quarantined,
    error
from {{ source('signaldelta', 'collector_runs') }}
