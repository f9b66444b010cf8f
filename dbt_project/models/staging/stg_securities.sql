-- depends_on: {{ source('signaldelta', 'securities__polygon_tickers') }}
select
    entity_id,
    asset_class,
    cik,
    name,
    sic,
    primary_ticker,
    currency
from {{ source('signaldelta', 'securities') }}
