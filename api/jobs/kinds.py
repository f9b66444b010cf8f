"""What each kind of job is to Dagster, and what its result says: pure, from a job's row to a launch and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from signaldelta_assets.correlation import RUN_TAG
from signaldelta_assets.jobs import (
    ANSWER_JOB,
    ASSET_JOB,
    ATTEMPT_TAG,
    FREEZE_JOB,
    JOB_TAG,
    PARTITION_TAG,
    PRIORITY_TAG,
    RESCORE_JOB,
    RETRIES_TAG,
    RUN_ASSET,
    SNAPSHOT_ASSET,
    SPEC_PARTITIONS,
    job_op,
    op_name,
)
from signaldelta_assets.versioning import hash_document

from .client import BackfillLaunch, RunLaunch, shown_address

_PREFIX = "/api/v2"
Row = Mapping[str, Any]


def tags_of(row: Row) -> dict[str, str]:
    """Return the tags of what is launched for a job's attempt: found again by them, whatever happened in between."""
    tags = {
        JOB_TAG: row["job_id"],
        ATTEMPT_TAG: str(row["attempts"]),
        PRIORITY_TAG: str(row["priority"]),
    }
    return tags | ({RUN_TAG: row["correlation_id"]} if row["correlation_id"] else {})


def launch_of(row: Row) -> RunLaunch | BackfillLaunch:
    """Return what to launch for a job."""
    given, tags = row["input"], tags_of(row)
    if row["kind"] == "backfill":
        # Its runs are Dagster's: the job is not tried again as a whole where one of a hundred days lost its worker.
        title = f"job {row['job_id']}"
        assets = [name.split("/") for name in given["assets"]]
        return BackfillLaunch(assets, given["first"], given["last"], tags, title)
    # Who launches tries again; were Dagster to as well, the tries would multiply.
    tags |= {RETRIES_TAG: "0"}
    if row["kind"] == "backtest":
        spec = hash_document(given)
        return RunLaunch(
            ASSET_JOB,
            tags | {PARTITION_TAG: spec},
            {"ops": {op_name(RUN_ASSET): {"config": {"spec": given}}}},
            assets=[RUN_ASSET],
            partition=(SPEC_PARTITIONS, spec),
        )
    if row["kind"] == "snapshot" and given.get("quarter") is not None:
        config = {"quarters": given["quarters"], "include_interpolated": given["include_interpolated"]}
        return RunLaunch(
            ASSET_JOB,
            tags | {PARTITION_TAG: given["quarter"]},
            {"ops": {op_name(SNAPSHOT_ASSET): {"config": config}}},
            assets=[SNAPSHOT_ASSET],
        )
    if row["kind"] == "snapshot":
        config = {name: given[name] for name in ("first", "last", "include_interpolated")}
        return RunLaunch(FREEZE_JOB, tags, _op(FREEZE_JOB, config))
    if row["kind"] == "rescore":
        return RunLaunch(RESCORE_JOB, tags, _op(RESCORE_JOB, given))
    # Prompts are read from the job's row by the worker: a run's config is shown to whoever may see Dagster.
    return RunLaunch(ANSWER_JOB, tags, _op(ANSWER_JOB, {"job": row["job_id"]}))


def _op(job: str, config: Mapping[str, Any]) -> dict[str, Any]:
    # What is absent is the op's own default: Dagster takes no null for it.
    return {"ops": {job_op(job): {"config": {name: value for name, value in config.items() if value is not None}}}}


# Of what a run says of itself, what its job's result holds.
_KEPT = {
    "backtest": ("run_id", "run_hash", "status", "trial_number"),
    "snapshot": ("snapshot_id", "snapshot_hash", "dataset_hash"),
    "rescore": ("hours", "scores", "new"),
    "llm_answer": ("text", "model", "route_id", "stop_reason", "usage_id"),
    "backfill": (),
}


def result_of(row: Row, said: Mapping[str, Any], webserver: str) -> dict[str, Any]:
    """Return a finished job's result: what its run said, and where to look. `webserver`: Dagster's address."""
    result: dict[str, Any] = {name: said[name] for name in _KEPT[row["kind"]] if name in said}
    links: dict[str, str] = {}
    if "run_hash" in result:
        at = f"{_PREFIX}/backtests/{result['run_hash']}"
        links |= {"run": at, "metrics": f"{at}/metrics", "manifest": f"{at}/manifest", "report": f"{at}/report"}
    if "snapshot_hash" in result:
        at = f"{_PREFIX}/backtests/snapshots/{result['snapshot_hash']}"
        links |= {"snapshot": at, "manifest": f"{at}/manifest"}
    if row["kind"] == "rescore":
        links["scores"] = f"{_PREFIX}/signals/scores"
    return result | {"links": links | dagster_link(row, webserver)}


def dagster_link(row: Row, webserver: str) -> dict[str, str]:
    """Return where Dagster's own pages show what works for a job; empty where nothing does yet."""
    webserver = shown_address(webserver)
    if row["backfill_id"]:
        return {"dagster": f"{webserver}/runs/b/{row['backfill_id']}"}
    return {"dagster": f"{webserver}/runs/{row['dagster_run_id']}"} if row["dagster_run_id"] else {}


def days_between(first: str, last: str) -> int:
    """Return how many days a range has, both included."""
    return (date.fromisoformat(last) - date.fromisoformat(first) + timedelta(days=1)).days
