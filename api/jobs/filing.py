"""Filing a job: whose limits hold, what has to be there before it is taken in, and what it would be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from psycopg import Connection

from signaldelta_assets.jobs import Kind
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse.stores.jobs import Limits, NewJob

from .. import queries
from ..auth import Principal
from ..auth.resolving import number
from ..problems import FieldError
from .client import DagsterClient, DagsterError

log = logging.getLogger("signaldelta.api.jobs")

# What filing a kind asks beside a tier with jobs: a feature of the tier, or an administrator.
FEATURE_OF: Mapping[str, str] = {"rescore": "rescores"}
ADMINISTRATORS = frozenset({"backfill"})

# What each field of a spec names.
_NAMED = {
    "snapshot_hash": "snapshot",
    "scoring_model_hash": "scoring_model",
    "latency_model_hash": "latency_model",
    "protocol_hash": "evaluation_protocol",
}


def limits_of(principal: Principal) -> Limits:
    """Return what a principal may file; where access is open, anything."""
    if principal.user_id is None:
        return Limits()
    given = principal.entitlements
    return Limits(per_day=number(given, "jobs_per_day"), queued=number(given, "jobs_queued"))


def new_job(principal: Principal, kind: Kind, given: Mapping[str, Any], key: str | None) -> NewJob:
    """Return the job that a principal asks for."""
    return NewJob(kind, given, principal.user_id, principal.tier, priority_of(principal), key)


def priority_of(principal: Principal) -> int:
    """Return how early a principal's jobs come; more comes first."""
    return 0 if principal.user_id is None else number(principal.entitlements, "job_priority")


def may_file(principal: Principal, kind: str) -> bool:
    """Whether a principal may file jobs of that kind, if their tier has any."""
    if kind in ADMINISTRATORS:
        return principal.is_admin
    feature = FEATURE_OF.get(kind)
    return feature is None or principal.by == "open" or principal.entitlements.get(feature) is True


def missing_inputs(connection: Connection[dict[str, Any]], spec: Mapping[str, Any]) -> list[FieldError]:
    """Return what a spec names that is not stored here, by field."""
    there = queries.spec_inputs(connection, [spec[name] for name in _NAMED])
    errors = []
    for name, kind in _NAMED.items():
        found = there.get(spec[name])
        if found is None or found["kind"] != kind:
            what = "nothing of that hash" if found is None else f"a {found['kind']} {found['name']!r}"
            words = f"the hash of a stored {kind.replace('_', ' ')}; found {what}"
            errors.append(FieldError(field=f"body.{name}", expected=words, found=spec[name]))
    return errors


def unknown_partitions(dagster: DagsterClient | None, given: Mapping[str, Any]) -> list[FieldError]:
    """Return what a backfill names that Dagster does not have; nothing where it cannot be asked now."""
    if dagster is None:
        return []
    try:
        faults = dagster.faults([name.split("/") for name in given["assets"]], given["first"], given["last"])
    except DagsterError as error:
        # The job waits for Dagster, as any other does, and is judged at its launch.
        log.info("a backfill is taken in without a look at its partitions: %s", error)
        return []
    return [FieldError(field=f"body.{one.field}", expected=one.expected, found=one.found) for one in faults]


def prospect(connection: Connection[dict[str, Any]], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what filing a spec would come to: what is missing, which trial it is, whether it ran already."""
    spec_hash = hash_document(spec)
    ran = queries.runs_of_spec(connection, spec_hash)
    trials = queries.trials_of(connection, spec["hypothesis_family"])
    snapshot = queries.spec_inputs(connection, [spec["snapshot_hash"]]).get(spec["snapshot_hash"])
    missing = missing_inputs(connection, spec)
    return {
        "spec_hash": spec_hash,
        "can_run": not missing,
        "missing": missing,
        "family_trials": trials,
        "trial_number": ran[0]["trial_number"] if ran else trials + 1,
        "labels": snapshot["labels"] if snapshot else None,
        "runs": ran,
    }
