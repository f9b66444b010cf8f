-- No ages: an age is right only at the moment of the build, so readers subtract from their own clock.
with records as (
    select
        collector,
        count(*) as records,
        max(event_time) as newest_event_time,
        max(observed_time) as newest_observed_time,
        max(ingest_time) as newest_ingest_time
    from {{ ref('stg_raw_records') }}
    group by collector
),

last_words as (
    select distinct on (quarantine_id) quarantine_id, state
    from {{ ref('stg_quarantine_resolutions') }}
    order by quarantine_id, ingest_time desc
),

quarantine as (
    select
        collector,
        count(*) as quarantined,
        count(*) filter (where last_words.state is distinct from 'resolved') as open_quarantined,
        max(ingest_time) as last_quarantined_at
    from {{ ref('stg_quarantined_records') }}
    left join last_words using (quarantine_id)
    group by collector
),

runs as (
    select
        collector,
        count(*) as runs,
        count(*) filter (where status = 'failed') as failed_runs,
        max(started_at) as last_started_at
    from {{ ref('stg_collector_runs') }}
    group by collector
),

collectors as (
    select collector from {{ ref('stg_collector_status') }}
    union
    select collector from runs
    union
    select collector from records
)

select
    collectors.collector,
    status.source_types,
    status.schedule,
    status.last_success_at,
    status.last_error_at,
    status.last_error,
    coalesce(status.consecutive_failures, 0) as consecutive_failures,
    runs.last_started_at,
    coalesce(runs.runs, 0) as runs,
    coalesce(runs.failed_runs, 0) as failed_runs,
    coalesce(records.records, 0) as records,
    records.newest_event_time,
    records.newest_observed_time,
    records.newest_ingest_time,
    coalesce(quarantine.quarantined, 0) as quarantined,
    coalesce(quarantine.open_quarantined, 0) as open_quarantined,
    quarantine.last_quarantined_at
from collectors
left join {{ ref('stg_collector_status') }} as status using (collector)
left join runs using (collector)
left join records using (collector)
left join quarantine using (collector)
