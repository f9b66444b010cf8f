-- Every classifier writes this one table; naming the other writers puts them all into the lineage.
-- depends_on: {{ source('signaldelta', 'labeled_events__mna_announcement') }}
-- depends_on: {{ source('signaldelta', 'labeled_events__governance_collapse') }}
-- depends_on: {{ source('signaldelta', 'labeled_events__insider_trading_disclosure') }}
-- depends_on: {{ source('signaldelta', 'labeled_events__rug_pull') }}
-- depends_on: {{ source('signaldelta', 'labeled_events__sec_enforcement') }}
-- The latest revision of each label, by label_key: a correction of event_time changes the label_id. A withdrawn
-- label stays here with active = false; the marts leave it out.
select distinct on (label_key)
    label_key,
    label_id,
    revision,
    event_type,
    subtype,
    entity_id,
    event_time,
    time_precision,
    known_at,
    confidence,
    active,
    definitions_hash,
    ingest_time
from {{ source('signaldelta', 'labeled_events') }}
order by label_key, revision desc, ingest_time desc, label_id
