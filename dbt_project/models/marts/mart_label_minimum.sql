-- The minimum viable dataset of the meta-plan (P09a) for equities. Pools have one type of event and mostly one event
-- each, so theirs asks for one type, and for as many events as entities.
with needed (asset_class, events, event_types, events_of_commonest_type, entities, months) as (
    values
    ('equity', 200, 3, 50, 100, 6),
    ('pool', 100, 1, 50, 100, 6)
),

labels as (
    select
        -- All types of one set of definitions count together; a rule of no stored definitions stands for itself.
        coalesce(rules.definitions_hash, labels.definitions_hash) as definitions_hash,
        labels.event_type,
        -- Only a pool is held against the minimum of pools.
        coalesce(securities.asset_class, 'unknown') as asset_class,
        case when securities.asset_class = 'pool' then 'pool' else 'equity' end as held_against,
        date_trunc('month', labels.event_time at time zone 'UTC') as month,
        labels.entity_id
    from {{ ref('stg_labeled_events') }} as labels
    left join {{ ref('stg_label_rules') }} as rules
        on labels.definitions_hash = rules.rule_hash and labels.event_type = rules.event_type
    left join {{ ref('stg_securities') }} as securities using (entity_id)
    where labels.active
),

of_type as (
    select
        definitions_hash,
        asset_class,
        event_type,
        count(*) as events
    from labels
    group by definitions_hash, asset_class, event_type
),

commonest as (
    select
        definitions_hash,
        asset_class,
        max(events) as events
    from of_type
    group by definitions_hash, asset_class
),

found as (
    select
        definitions_hash,
        asset_class,
        held_against,
        count(*) as events,
        count(distinct event_type) as event_types,
        count(distinct entity_id) as entities,
        count(distinct month) as months
    from labels
    group by definitions_hash, asset_class, held_against
)

select
    found.definitions_hash,
    found.asset_class,
    found.events,
    found.event_types,
    commonest.events as events_of_commonest_type,
    found.entities,
    found.months,
    needed.events as events_needed,
    needed.event_types as event_types_needed,
    needed.events_of_commonest_type as events_of_commonest_type_needed,
    needed.entities as entities_needed,
    needed.months as months_needed,
    (
        found.events >= needed.events
        and found.event_types >= needed.event_types
        and commonest.events >= needed.events_of_commonest_type
        and found.entities >= needed.entities
        and found.months >= needed.months
    ) as viable
from found
inner join commonest using (definitions_hash, asset_class)
inner join needed on found.held_against = needed.asset_class
