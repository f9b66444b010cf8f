"""dbt models as assets. The only place that imports dagster_dbt: it is slow to import and nothing else needs it."""
