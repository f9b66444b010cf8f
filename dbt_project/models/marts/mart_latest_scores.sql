-- One row per entity: its newest live score, and the newest written where several models scored the same moment.
select distinct on (scores.entity_id)
    scores.entity_id,
    securities.name,
    securities.primary_ticker,
    securities.asset_class,
    scores.at,
    scores.magnitude,
    scores.lean,
    scores.confidence,
    scores.magnitude * scores.confidence as alert_score,
    scores.evidence,
    scores.effective_families,
    scores.quality,
    scores.diversity,
    scores.ordering,
    scores.n_events,
    scores.legacy_score,
    scores.verdict,
    scores.scoring_model_hash,
    scores.latency_model_hash,
    scores.definitions_hash,
    scores.ingest_time
from {{ ref('stg_score_samples') }} as scores
left join {{ ref('stg_securities') }} as securities using (entity_id)
order by
    scores.entity_id,
    scores.at desc,
    scores.ingest_time desc,
    scores.scoring_model_hash,
    scores.latency_model_hash,
    scores.definitions_hash
