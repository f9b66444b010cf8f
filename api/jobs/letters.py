"""Dead letters as the API makes them: of jobs, and of runs of Dagster's own whose tries are used up."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Mapping
from typing import Any

from signaldelta_assets.jobs import ASSET_JOB, JOB_TAG, PARTITION_TAG
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import dead_letters
from signaldelta_assets.warehouse.stores.dead_letters import Letter

from .client import DagsterClient, DagsterError

log = logging.getLogger("signaldelta.api.jobs")

# How far back failed runs are looked for: longer than an API is away.
_BACK_SECONDS = 7 * 86_400
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_AGAIN = "dagster/will_retry"
# Dagster's clock and this one may differ.
_GRACE_SECONDS = 120


def of_job(row: Mapping[str, Any], reason: str) -> Letter:
    """Return the letter of a job that failed for good."""
    return Letter(
        what=row["kind"],
        input=row["input"],
        reason=reason,
        attempts=row["attempts"],
        retry_command=f"signaldelta jobs retry {row['job_id']}",
        job_id=row["job_id"],
        dagster_run_id=row["dagster_run_id"],
        user_id=row["user_id"],
    )


def of_run(run: Mapping[str, Any], reason: str) -> Letter:
    """Return the letter of a run that nobody filed as a job: a schedule's, a sensor's, a backfill's, a person's."""
    tags = run["tags"]
    assets = ["/".join(key["path"]) for key in run["assetSelection"] or ()]
    given: dict[str, Any] = {"job": run["jobName"], "assets": assets, "config": run["runConfigYaml"]}
    partition = "...".join(tags[name] for name in _RANGE if name in tags) or tags.get(PARTITION_TAG)
    if partition:
        given["partition"] = partition
    plain = assets and run["runConfigYaml"].strip() in ("", "{}")
    command = _materialize(assets, tags, partition) if plain else f"signaldelta jobs retry {run['runId']}"
    return Letter(
        what=f"run of {', '.join(assets[:3]) or run['jobName']}" if run["jobName"] == ASSET_JOB else run["jobName"],
        input=given,
        reason=reason,
        attempts=int(tags.get("dagster/retry_number", "0")) + 1,
        retry_command=command,
        dagster_run_id=run["runId"],
        died_at=run["endTime"],
    )


def _materialize(assets: list[str], tags: Mapping[str, str], partition: str | None) -> str:
    chosen = " or ".join(f'key:"{name}"' for name in assets)
    words = ["dagster", "asset", "materialize", "-w", "workspace.yaml", "--select", chosen]
    if partition is not None:
        words += ["--partition-range" if _RANGE[0] in tags else "--partition", partition]
    return shlex.join(words)


def used_up(run: Mapping[str, Any]) -> bool:
    """Whether a failed run will not be tried again by Dagster, and is not a job's."""
    tags = run["tags"]
    return JOB_TAG not in tags and tags.get(_AGAIN) != "true"


def sweep(warehouse: Warehouse, client: DagsterClient, since: float | None = None) -> int:
    """Keep a letter of every run that failed for good without being a job; return how many were new.

    since: when this was last done, seconds since 1970; None looks a week back.
    """
    new = 0
    for run in client.failed_runs(since - _GRACE_SECONDS if since else time.time() - _BACK_SECONDS):
        if used_up(run) and dead_letters.get(warehouse, run["runId"]) is None:
            new += dead_letters.bury(warehouse, of_run(run, _why(client, run["runId"]))) is not None
    return new


def _why(client: DagsterClient, run: str) -> str:
    """Why a run failed; where that cannot be read its letter says so, and the letters after it are kept."""
    try:
        return client.failure(run).words
    except DagsterError as error:
        if error.elsewhere:
            raise
        return f"it failed, and why cannot be read: {error}"
    except Exception as error:
        log.exception("run %s: why it failed cannot be read", run)
        return f"it failed, and why cannot be read: {type(error).__name__}"
