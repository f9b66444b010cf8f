-- Per day of the event, not of availability: no latency model is chosen here, so this is no point-in-time view.
select
    signal_id,
    family,
    entity_id,
    (event_time at time zone 'UTC')::date as event_date,
    definitions_hash,
    count(*) as events,
    max(strength_norm) as strongest,
    avg(strength_norm) as mean_strength,
    avg(reliability) as mean_reliability,
    avg(direction::double precision) as mean_direction,
    min(event_time) as first_event_time,
    max(event_time) as last_event_time,
    max(revision) as highest_revision,
    max(ingest_time) as last_ingest_time
from {{ ref('stg_signal_events') }}
where active
group by signal_id, family, entity_id, event_date, definitions_hash
