-- One row per run, evidence, slice and metric: a figure never without its interval, null, base rate and trial number.
-- Ranks compare like with like only: same snapshot and protocol, hence the same events, grid and horizon.
with base_rates as (
    select run_id, evidence, slice_kind, slice_value, value as base_rate
    from {{ ref('stg_backtest_metrics') }}
    where metric = 'base_rate'
),

families as (
    select hypothesis_family, count(*) as trials_of_family
    from {{ ref('stg_hypothesis_trials') }}
    group by hypothesis_family
),

figures as (
    select
        metrics.*,
        case
            when metrics.metric in ('false_positive_rate', 'brier', 'log_loss') then -1
            when metrics.metric in ('precision', 'recall', 'auc', 'average_precision', 'brier_skill') then 1
        end as better
    from {{ ref('stg_backtest_metrics') }} as metrics
)

select
    runs.run_id,
    runs.run_hash,
    runs.hypothesis_family,
    runs.trial_number,
    coalesce(families.trials_of_family, 0) as trials_of_family,
    runs.status,
    runs.snapshot_id,
    snapshots.snapshot_hash,
    runs.scoring_model_hash,
    runs.latency_model_hash,
    runs.protocol_hash,
    figures.evidence,
    figures.slice_kind,
    figures.slice_value,
    figures.metric,
    figures.value,
    figures.low,
    figures.high,
    figures.null_value,
    figures.value - figures.null_value as difference_from_null,
    figures.null_value < figures.low or figures.null_value > figures.high as null_outside_interval,
    base_rates.base_rate,
    figures.reason,
    -- A metric that has no better end, or a figure that does not exist, has no rank.
    case when figures.better is not null and figures.value is not null then
        rank() over (
            partition by
                runs.snapshot_id,
                runs.protocol_hash,
                figures.evidence,
                figures.slice_kind,
                figures.slice_value,
                figures.metric
            order by figures.better * figures.value desc nulls last
        )
    end as rank_among_comparable,
    runs.ingest_time
from figures
inner join {{ ref('stg_backtest_runs') }} as runs using (run_id)
inner join {{ ref('stg_backtest_snapshots') }} as snapshots using (snapshot_id)
left join families using (hypothesis_family)
left join base_rates using (run_id, evidence, slice_kind, slice_value)
