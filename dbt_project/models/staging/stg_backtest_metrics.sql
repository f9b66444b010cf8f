select
    run_id,
    evidence,
    slice_kind,
    slice_value,
    metric,
    value,
    low,
    high,
    null_value,
    reason
from {{ source('signaldelta', 'backtest_metrics') }}
