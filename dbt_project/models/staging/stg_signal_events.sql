-- Every extractor writes this one table; naming the other writers puts them all into the lineage.
-- depends_on: {{ source('signaldelta', 'iald_signals__ownership_events') }}
-- depends_on: {{ source('signaldelta', 'iald_signals__disclosure_events') }}
-- depends_on: {{ source('signaldelta', 'iald_signals__reporting_events') }}
-- depends_on: {{ source('signaldelta', 'iald_signals__earnings_events') }}
-- depends_on: {{ source('signaldelta', 'iald_signals__transactions_events') }}
-- depends_on: {{ source('signaldelta', 'iald_signals__governance_events') }}
-- depends_on: {{ source('signaldelta', 'iald_signals__market_events') }}
-- The latest revision of each event, by event_key: a correction of event_time changes the event_id. A withdrawn
-- event stays here with active = false; the marts leave it out.
select distinct on (event_key)
    event_key,
    event_id,
    revision,
    signal_id,
    family,
    entity_id,
    event_time,
    observed_time,
    ingest_time,
    strength_norm,
    direction,
    reliability,
    active,
    definitions_hash,
    content_hash
from {{ source('signaldelta', 'iald_signals') }}
order by event_key, revision desc, ingest_time desc, event_id
