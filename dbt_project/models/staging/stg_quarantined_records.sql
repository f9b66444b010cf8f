select
    quarantine_id,
    collector_run_id,
    collector,
    source_type,
    record,
    field,
    expected,
    found,
    source_url,
    ingest_time
from {{ source('signaldelta', 'quarantined_records') }}
