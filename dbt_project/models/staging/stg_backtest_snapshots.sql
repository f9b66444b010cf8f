select
    snapshot_id,
    snapshot_hash,
    as_of,
    window_start,
    window_end,
    definitions_hash,
    dataset_id,
    ingest_time
from {{ source('signaldelta', 'backtest_snapshots') }}
