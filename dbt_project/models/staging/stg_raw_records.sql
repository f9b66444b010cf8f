-- Every collector writes this one table; naming the other writers puts them all into the lineage.
-- depends_on: {{ source('signaldelta', 'raw_records__edgar_daily_index') }}
-- depends_on: {{ source('signaldelta', 'raw_records__edgar_ownership') }}
-- depends_on: {{ source('signaldelta', 'raw_records__edgar_form_8k') }}
-- depends_on: {{ source('signaldelta', 'raw_records__edgar_companyfacts') }}
-- depends_on: {{ source('signaldelta', 'raw_records__edgar_litigation') }}
-- depends_on: {{ source('signaldelta', 'raw_records__edgar_current') }}
-- depends_on: {{ source('signaldelta', 'raw_records__edgar_roles') }}
-- depends_on: {{ source('signaldelta', 'raw_records__edgar_form_144') }}
-- depends_on: {{ source('signaldelta', 'raw_records__polygon_daily_bars') }}
-- depends_on: {{ source('signaldelta', 'raw_records__polygon_earnings') }}
-- depends_on: {{ source('signaldelta', 'raw_records__ethereum_pairs') }}
-- depends_on: {{ source('signaldelta', 'raw_records__ethereum_pool_events') }}
-- depends_on: {{ source('signaldelta', 'raw_records__ethereum_blocks') }}
-- depends_on: {{ source('signaldelta', 'raw_records__polygon_hourly_bars') }}
-- depends_on: {{ source('signaldelta', 'raw_records__polygon_dividends') }}
-- depends_on: {{ source('signaldelta', 'raw_records__polygon_tickers') }}
select
    raw_record_id,
    source_type,
    entity_id,
    natural_key,
    form,
    event_time,
    observed_time,
    ingest_time,
    partition_date,
    collection_mode,
    collector,
    collector_run_id
from {{ source('signaldelta', 'raw_records') }}
