select
    dataset_id,
    version,
    dataset_hash,
    definitions_hash,
    as_of,
    window_start,
    window_end,
    event_count,
    parent_hash,
    ingest_time
from {{ source('signaldelta', 'labeled_event_datasets') }}
