"""What dbt needs of the warehouse: its connection as environment variables, and `sources.yml` from the registry.

``python -m signaldelta_assets.warehouse.dbt > dbt_project/models/sources.yml`` writes the file again; a test compares.
"""

from __future__ import annotations

import sys
from typing import Any

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from .postgres import plain_url
from .tables import SCHEMA, metadata

# Which assets write a table: the lineage from the raw assets to the marts hangs on this map alone. A table with
# several writers is one dbt source per writer, all of the same relation (`source_names`). A layer alone, `signals`,
# stands for all its assets: which those are is the catalogue's to say.
SOURCE_ASSETS: dict[str, tuple[str, ...]] = {
    "raw_records": (
        "raw/edgar/submissions",
        "raw/edgar/daily_index",
        "raw/edgar/ownership",
        "raw/edgar/form_8k",
        "raw/edgar/companyfacts",
        "raw/edgar/litigation",
        "raw/edgar/current",
        "raw/edgar/roles",
        "raw/edgar/form_144",
        "raw/polygon/daily_bars",
        "raw/polygon/earnings",
        "raw/ethereum/pairs",
        "raw/ethereum/pool_events",
        "raw/ethereum/blocks",
        "raw/polygon/hourly_bars",
        "raw/polygon/dividends",
        "raw/polygon/tickers",
    ),
    "collector_runs": ("raw/edgar/submissions",),
    "collector_status": ("raw/edgar/submissions",),
    "quarantined_records": ("raw/edgar/submissions",),
    "quarantine_resolutions": ("raw/edgar/submissions",),
    "securities": ("raw/edgar/submissions", "raw/polygon/tickers"),
    # Of all that writes documents, the one below which everything that asks for rules stands anyhow.
    "documents": ("labels/earnings_surprise",),
    "iald_signals": ("signals",),
    "score_samples": ("scores/live",),
    "labeled_events": (
        "labels/earnings_surprise",
        "labels/mna_announcement",
        "labels/governance_collapse",
        "labels/insider_trading_disclosure",
        "labels/rug_pull",
        "labels/sec_enforcement",
    ),
    "labeled_event_datasets": ("labels/dataset",),
    "labeled_event_dataset_members": ("labels/dataset",),
    "backtest_snapshots": ("snapshots/snapshot",),
    "hypothesis_trials": ("backtests/run",),
    "backtest_runs": ("backtests/run",),
    "backtest_metrics": ("backtests/run",),
    "backtest_alerts": ("backtests/run",),
    "backtest_artifacts": ("backtests/run",),
}


def dbt_environment(url: str) -> dict[str, str]:
    """Return the variables that `dbt_project/profiles.yml` reads, for the database `url` names.

    A socket directory is a host like any other to libpq. Telemetry is off.
    """
    parts = conninfo_to_dict(plain_url(url))
    return {
        "SIGNALDELTA_PG_HOST": str(parts.get("host") or "localhost"),
        "SIGNALDELTA_PG_PORT": str(parts.get("port") or 5432),
        "SIGNALDELTA_PG_USER": str(parts.get("user") or "postgres"),
        "SIGNALDELTA_PG_PASSWORD": str(parts.get("password") or ""),
        "SIGNALDELTA_PG_DBNAME": str(parts.get("dbname") or "postgres"),
        "SIGNALDELTA_PG_SSLMODE": str(parts.get("sslmode") or "prefer"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def source_names(table: str) -> dict[str, str]:
    """Return the dbt source names of a registry table, each with the asset that writes it.

    The first has the table's own name; further writers follow as ``table__domain_noun``.
    """
    first, *others = SOURCE_ASSETS[table]
    return {table: first} | {f"{table}__{'_'.join(asset.split('/')[1:])}": asset for asset in others}


def _column_type(column: Any) -> str:
    return str(column.type.compile(dialect=postgresql.dialect())).lower()  # type: ignore[no-untyped-call]


def _source(name: str, asset: str, table: Table) -> dict[str, Any]:
    meta = {"dagster": {"asset_key": asset.split("/")}, "group": table.info["group"], "home": table.info["home"]}
    entry: dict[str, Any] = {"name": name, "description": table.info["why"], "config": {"meta": meta}}
    if name != table.name:
        return entry | {
            "identifier": str(table.name),
            "description": f"{table.info['why']} The part written by {asset}.",
        }
    columns = []
    for column in table.columns:
        item: dict[str, Any] = {"name": str(column.name), "data_type": _column_type(column)}
        if len(table.primary_key.columns) == 1 and column.primary_key:
            item["data_tests"] = ["unique", "not_null"]
        columns.append(item)
    return entry | {"columns": columns}


def sources_document() -> dict[str, Any]:
    """Return `sources.yml` as a document: the registry's tables that dbt reads, their columns, types and writers."""
    tables = [
        _source(name, asset, metadata.tables[f"{SCHEMA}.{table}"])
        for table in SOURCE_ASSETS
        for name, asset in source_names(table).items()
    ]
    description = "The shared schema, made from the table registry: write it again rather than edit it."
    return {
        "version": 2,
        "sources": [{"name": SCHEMA, "schema": SCHEMA, "description": description, "tables": tables}],
    }


if __name__ == "__main__":
    import yaml

    yaml.safe_dump(sources_document(), sys.stdout, sort_keys=False, width=120)
