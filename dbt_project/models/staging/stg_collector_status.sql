select
    collector,
    source_types,
    schedule,
    last_run_id,
    last_success_at,
    last_error_at,
    last_error,
    consecutive_failures,
    last_record_at,
    last_event_time,
    updated_at
from {{ source('signaldelta', 'collector_status') }}
