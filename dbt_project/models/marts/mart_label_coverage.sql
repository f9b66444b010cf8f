-- A month without a label is a row with 0: what is missing must be seen, so the months come from a calendar.
with labels as (
    select
        labels.definitions_hash,
        labels.event_type,
        -- 'unknown' keeps a label whose entity is not in securities countable.
        coalesce(securities.asset_class, 'unknown') as asset_class,
        date_trunc('month', labels.event_time at time zone 'UTC')::date as month,
        labels.entity_id,
        labels.confidence
    from {{ ref('stg_labeled_events') }} as labels
    left join {{ ref('stg_securities') }} as securities using (entity_id)
    where labels.active
),

types as (
    select
        definitions_hash,
        event_type,
        min(month) as first_month,
        max(month) as last_month,
        count(*) as events_of_type
    from labels
    group by definitions_hash, event_type
),

months as (
    select
        types.definitions_hash,
        types.event_type,
        classes.asset_class,
        calendar.month::date as month,
        types.events_of_type
    from types
    inner join (select distinct definitions_hash, event_type, asset_class from labels) as classes
        using (definitions_hash, event_type)
    cross join lateral generate_series(types.first_month, types.last_month, interval '1 month') as calendar (month)
),

cells as (
    select
        definitions_hash,
        event_type,
        asset_class,
        month,
        count(*) as events,
        count(distinct entity_id) as entities,
        avg(confidence) as mean_confidence
    from labels
    group by definitions_hash, event_type, asset_class, month
)

select
    months.definitions_hash,
    months.event_type,
    months.asset_class,
    months.month,
    coalesce(cells.events, 0) as events,
    coalesce(cells.entities, 0) as entities,
    cells.mean_confidence,
    months.events_of_type,
    -- Fewer than 30 events: insufficient for evaluation (meta-plan, statistical thresholds).
    coalesce(cells.events, 0) < 30 as insufficient,
    months.events_of_type < 30 as type_insufficient
from months
left join cells using (definitions_hash, event_type, asset_class, month)
