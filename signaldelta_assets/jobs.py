"""What the API's jobs and the Dagster skin must call alike: kinds, Dagster's names for what runs them, tags of runs.

The skin makes its jobs and assets by these names and the API launches by them, without either importing the other; a
test compares them with the definitions. Constants, and what both hold a job to.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

Kind = Literal["backtest", "snapshot", "backfill", "rescore", "llm_answer"]
KINDS: tuple[Kind, ...] = ("backtest", "snapshot", "backfill", "rescore", "llm_answer")

# Where Dagster finds the definitions: `location_name` of workspace.yaml, and its own name for the one repository.
LOCATION, REPOSITORY = "signaldelta", "__repository__"
# The job that Dagster makes for assets that are chosen by key.
ASSET_JOB = "__ASSET_JOB"

RUN_ASSET, SNAPSHOT_ASSET = ("backtests", "run"), ("snapshots", "snapshot")
# The partitions of `RUN_ASSET`: hashes of specs.
SPEC_PARTITIONS = "backtest_specs"
# Jobs of one op each (`job_op`), whose config is the job's.
FREEZE_JOB, RESCORE_JOB, ANSWER_JOB = "freeze_days", "rescore_hours", "answer_offsite"

# Tags of a run: which job it is for, and which of its attempts.
JOB_TAG, ATTEMPT_TAG = "signaldelta/job_id", "signaldelta/attempt"
# Dagster's own.
PARTITION_TAG, PRIORITY_TAG, RETRIES_TAG = "dagster/partition", "dagster/priority", "dagster/max_retries"


def job_op(job: str) -> str:
    """Return what the one op of a job is called: no job and op may share a name."""
    return f"{job}_op"


def op_name(asset: tuple[str, ...]) -> str:
    """Return what Dagster calls the op of an asset: the key under which its config stands."""
    return "__".join(asset)


def newest_rescored(now: datetime) -> datetime:
    """Return the last full hour (UTC) that may be scored again: one whose own score has been made by now.

    What is stored of an hour stays. Scored before its time, it would have what was known then for ever.
    """
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
