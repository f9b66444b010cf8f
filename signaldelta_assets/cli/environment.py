"""The environment that Dagster's own processes need: printed by `signaldelta env`, set by `demo` and `up`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection
from pathlib import Path

import httpx
import psycopg

from signaldelta_assets.collectors.universe import resolve_tickers
from signaldelta_assets.settings import Settings, load_settings
from signaldelta_assets.warehouse import ready_urls, sqlalchemy_url
from signaldelta_assets.warehouse.dbt import dbt_environment
from signaldelta_assets.warehouse.postgres import plain_url

PROJECT = Path(__file__).resolve().parents[2]
DAGSTER_SCHEMA = "dagster"
CONTACT = "SignalDelta replay replay@signaldelta.invalid"


def prepare(settings: Settings) -> dict[str, str]:
    """Start or find PostgreSQL, migrate it, make Dagster's schema; return the variables its processes need."""
    url, _ = ready_urls(settings)
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {DAGSTER_SCHEMA}")
    # Dagster commits once per event. On the embedded server its events need not wait for the disk: a crash loses
    # at most the last moment of a log whose truth is in our own tables. A server of yours keeps its own setting.
    fast = "" if settings.database_url else " -csynchronous_commit=off"
    state = settings.home_dir / "dagster"
    state.mkdir(parents=True, exist_ok=True)
    return {
        "SIGNALDELTA_HOME": str(settings.home_dir),
        "DAGSTER_HOME": str(PROJECT),
        "SIGNALDELTA_DAGSTER_URL": sqlalchemy_url(url, "psycopg2", options=f"-csearch_path={DAGSTER_SCHEMA}{fast}"),
        "SIGNALDELTA_DAGSTER_STATE": str(state),
        # A range of days is thousands of events: Dagster can write them in batches.
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        **dbt_environment(url),
    }


def replay_environment(settings: Settings, base_url: str, feeds: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that point every collector at a replay server, and write the archive's universe.

    feeds: of the archive's entities only those that it has all of these of.
    """
    with httpx.Client(base_url=base_url, timeout=120, headers={"User-Agent": CONTACT}) as client:
        offered = client.get("/__replay__/universe").raise_for_status().json()["entities"]
        offered = [row for row in offered if set(feeds) <= set(row.get("feeds", ()))]
        listed = client.get("/www.sec.gov/files/company_tickers.json")
    universe, unknown = resolve_tickers(offered, listed.json() if listed.is_success else {})
    if unknown:
        logging.getLogger(__name__).warning(
            "%d tickers of the archive have no issuer in company_tickers.json and are left out: %s ...",
            len(unknown),
            ", ".join(unknown[:10]),
        )
    target = settings.home_dir / "universe.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(universe, indent=1, sort_keys=True))
    return {
        "SIGNALDELTA_EDGAR_WWW_URL": f"{base_url}/www.sec.gov",
        "SIGNALDELTA_EDGAR_DATA_URL": f"{base_url}/data.sec.gov",
        "SIGNALDELTA_POLYGON_URL": f"{base_url}/api.polygon.io",
        "SIGNALDELTA_ETHEREUM_URL": f"{base_url}/ethereum",
        # An archive of our own on loopback: nobody to be fair to.
        "SIGNALDELTA_EDGAR_REQUESTS_PER_SECOND": "0",
        "SIGNALDELTA_POLYGON_REQUESTS_PER_SECOND": "0",
        "SIGNALDELTA_ETHEREUM_REQUESTS_PER_SECOND": "0",
        "SIGNALDELTA_EDGAR_CONTACT": CONTACT,
        "SIGNALDELTA_POLYGON_API_KEY": "replay",
        "SIGNALDELTA_UNIVERSE": str(target),
    }


def publish(settings: Settings, variables: dict[str, str]) -> Path:
    """Leave the variables of running services where `signaldelta env` of the same home finds them; return the file."""
    target = settings.home_dir / "environment.json"
    target.write_text(json.dumps(variables, indent=1, sort_keys=True))
    return target


def published(settings: Settings) -> dict[str, str]:
    """Return what running services of this home have published, nothing where none run."""
    target = settings.home_dir / "environment.json"
    variables: dict[str, str] = json.loads(target.read_text()) if target.exists() else {}
    return variables


def apply(variables: dict[str, str]) -> Settings:
    """Set `variables` in this process's environment; return the settings they give."""
    os.environ.update(variables)
    return load_settings()
