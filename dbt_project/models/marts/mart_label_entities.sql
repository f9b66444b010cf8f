-- One entity with most labels of a type makes a study of that entity: its share is shown, not corrected.
with counted as (
    select
        definitions_hash,
        event_type,
        entity_id,
        count(*) as events
    from {{ ref('stg_labeled_events') }}
    where active
    group by definitions_hash, event_type, entity_id
)

select
    definitions_hash,
    event_type,
    entity_id,
    events,
    events::double precision / sum(events) over (partition by definitions_hash, event_type) as share,
    events = max(events) over (partition by definitions_hash, event_type) as is_commonest
from counted
