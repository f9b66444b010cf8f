"""Filing jobs: backtests, snapshots, re-scores, backfills, answers of offsite models. 202 at once; Dagster does it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.responses import Response

from signaldelta_assets.jobs import Kind, newest_rescored
from signaldelta_assets.warehouse.stores import jobs as store

from .. import queries
from ..auth import PrincipalOf, require_admin, require_feature, require_tier
from ..dependencies import Reading, WarehouseOf, reads
from ..jobs import filing
from ..problems import FieldError, ProblemError, responses
from ..reading import Router
from ..schemas.jobs import (
    AnswerRequest,
    BackfillRequest,
    BacktestCheck,
    BacktestRequest,
    Job,
    RescoreRequest,
    SnapshotRequest,
)
from .jobs import answered, refused, taken

router = Router(dependencies=[require_tier("free")])
_READS = reads("jobs", "users", "tier_entitlements", "api_keys")
_SPEC = reads("documents", "backtest_snapshots", "labeled_event_datasets", "backtest_runs", "hypothesis_trials")
_TAKEN = responses(409) | {200: {"model": Job, "description": "The job that was filed before."}}
_FILED = "Location names the job; 200 with the job that is there for an Idempotency-Key that was used with this input, "
_FILED += "and, without a key, for equal input of one's own that is under way."
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="One's own name for this request: sent again, it files nothing new.",
        examples=["insider-buys-1"],
    ),
]


class Filing:
    """Takes one request's job in."""

    def __init__(self, request: Request, principal: PrincipalOf, warehouse: WarehouseOf, key: Key = None) -> None:
        self._request, self._principal, self._warehouse, self._key = request, principal, warehouse, key

    def take(self, kind: Kind, given: Mapping[str, Any]) -> Response:
        """Return the answer: the job, at 202 or 200. Raises the problem where it is not taken in."""
        wanted = filing.new_job(self._principal, kind, given, self._key)
        try:
            return taken(self._request, *store.submit(self._warehouse, wanted, filing.limits_of(self._principal)))
        except store.RefusedJobError as error:
            raise refused(self._request, error) from error


FilingOf = Annotated[Filing, Depends(Filing)]


def _invalid(errors: list[FieldError]) -> ProblemError:
    words = "; ".join(f"{error.field}: expected {error.expected}" for error in errors)
    return ProblemError(422, "invalid-request", words, errors)


@router.post(
    "/backtests",
    response_model=Job,
    status_code=202,
    responses=_TAKEN,
    openapi_extra=_SPEC,
    tags=["backtests"],
    summary="File a backtest",
    description="Runs a spec. Its hashes have to be stored here, else 422 names the field. A spec that has run already "
    "is given to a worker all the same, for the trial has to be counted where runs are: it ends with that run within "
    "seconds. " + _FILED,
)
def file_backtest(connection: Reading, filed: FilingOf, spec: BacktestRequest) -> Response:
    """Runs a spec."""
    missing = filing.missing_inputs(connection, spec.document())
    if missing:
        raise _invalid(missing)
    return filed.take("backtest", spec.document())


@router.post(
    "/backtests/check",
    response_model=BacktestCheck,
    responses=responses(),
    openapi_extra=_SPEC,
    tags=["backtests"],
    summary="Ask what a backtest would be",
)
def check_backtest(connection: Reading, spec: BacktestRequest) -> Response:
    """What filing this spec would come to: what is missing, which trial it would be, whether it ran. Runs nothing."""
    found = filing.prospect(connection, spec.document())
    missing = [error.model_dump() for error in found["missing"]]
    return answered(BacktestCheck.model_validate({**found, "missing": missing}))


@router.post(
    "/backtests/snapshots",
    response_model=Job,
    status_code=202,
    responses=_TAKEN,
    openapi_extra=_READS,
    tags=["backtests"],
    summary="File a snapshot",
    description="Freezes labels and evidence as they are known now, over a quarter and those before it or over any "
    "days; what is unchanged gives the snapshot that is there. " + _FILED,
)
def file_snapshot(filed: FilingOf, wanted: SnapshotRequest) -> Response:
    """Freezes what is known now."""
    return filed.take("snapshot", wanted.document())


@router.post(
    "/signals/rescores",
    dependencies=[require_feature(filing.FEATURE_OF["rescore"])],
    response_model=Job,
    status_code=202,
    responses=_TAKEN,
    openapi_extra=_READS,
    tags=["signals"],
    summary="File a re-score",
    description="Makes the live scores of past hours with the models of now; a score that is there stays. " + _FILED,
)
def file_rescore(filed: FilingOf, wanted: RescoreRequest) -> Response:
    """Makes live scores of past hours."""
    newest = newest_rescored(datetime.now(UTC))
    if wanted.last > newest:
        expected = f"an hour no later than {newest.isoformat()}: what is stored of an hour stays"
        raise _invalid([FieldError(field="body.last", expected=expected, found=wanted.last.isoformat())])
    return filed.take("rescore", wanted.document())


@router.post(
    "/platform/jobs/backfills",
    dependencies=[require_admin()],
    response_model=Job,
    status_code=202,
    responses=_TAKEN,
    openapi_extra=_READS,
    tags=["platform"],
    summary="File a backfill",
    description="Materializes a range of partitions of assets, as a backfill of Dagster's. 422 names what "
    "Dagster does not have; where it cannot be asked, the job says so later. " + _FILED,
)
def file_backfill(request: Request, filed: FilingOf, wanted: BackfillRequest) -> Response:
    """Materializes a range of partitions."""
    unknown = filing.unknown_partitions(request.app.state.dagster, wanted.document())
    if unknown:
        raise _invalid(unknown)
    return filed.take("backfill", wanted.document())


@router.post(
    "/platform/jobs/llm-answers",
    response_model=Job,
    status_code=202,
    responses=_TAKEN,
    openapi_extra=reads("jobs", "llm_fallback_chain", "users", "tier_entitlements", "api_keys"),
    tags=["platform"],
    summary="File a question for an offsite model",
    description="Asks a model by use-case where the heavy ones are; the answer is in the job's result, its cost counts "
    "against the tier's dollars of the day. " + _FILED,
)
def file_answer(connection: Reading, filed: FilingOf, wanted: AnswerRequest) -> Response:
    """Asks an offsite model."""
    known = queries.use_cases(connection)
    if wanted.use_case not in known:
        expected = f"one of {', '.join(known) or 'none: no use-case has a route'}"
        raise _invalid([FieldError(field="body.use_case", expected=expected, found=wanted.use_case)])
    return filed.take("llm_answer", wanted.document())
