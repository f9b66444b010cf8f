-- A label carries the hash of its own type's rule; the definitions say which rules belong together.
select
    documents.document_hash as definitions_hash,
    rules.event_type,
    rules.rule ->> 'rule_hash' as rule_hash
from {{ source('signaldelta', 'documents') }} as documents
cross join lateral jsonb_each(documents.document -> 'labels') as rules (event_type, rule)
where documents.kind = 'signal_definitions' and rules.rule ->> 'rule_hash' is not null
