"""Jobs of one op for what the API files and no partition stands for: days frozen, hours scored, a model asked."""

import time
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.jobs import ANSWER_JOB, FREEZE_JOB, RESCORE_JOB, job_op, newest_rescored
from signaldelta_assets.llm import LLMRequest, Message, open_gateway
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import jobs

from .describe import told
from .labels import DATASET_KEY
from .platform import Platform
from .scores import LIVE_KEY, score_hour
from .snapshots import SNAPSHOT_KEY, freeze_days

# Of the group `users`, what is allowed before an operator is told.
_COPIED_SECONDS = 60.0


class Days(dg.Config):
    """Which days are frozen (ISO 8601), both included."""

    first: str
    last: str
    include_interpolated: bool = False


class Hours(dg.Config):
    """Which full hours are scored (ISO 8601 with a zone), both included; the last is over."""

    first: str
    last: str


class Question(dg.Config):
    """The job whose question is asked: what it says is read from its row, and in no run's config."""

    job: str


def _said(metadata: dict[str, Any]) -> dg.Output[None]:
    return dg.Output(None, metadata=metadata)


def _job(warehouse: Warehouse, job_id: str) -> dict[str, Any]:
    """The job's row. Where this place has copies of users' rows alone, it may be on its way here."""
    deadline = time.monotonic() + _COPIED_SECONDS
    while (row := jobs.get(warehouse, job_id)) is None:
        if time.monotonic() > deadline:
            raise jobs.RefusedJobError("unknown", f"job {job_id}: there is none here")
        time.sleep(0.5)
    return row


def build_freezing() -> dg.JobDefinition:
    """Return the job that freezes any days, as `signaldelta snapshot freeze` does."""

    @dg.op(name=job_op(FREEZE_JOB), pool="heavy_cpu")
    def freeze(context: dg.OpExecutionContext, config: Days, platform: Platform) -> dg.Output[None]:
        first, last = date.fromisoformat(config.first), date.fromisoformat(config.last)
        with platform.warehouse() as warehouse:
            dataset, frozen = freeze_days(
                warehouse, platform.artifacts(), first, last, include_interpolated=config.include_interpolated
            )
        metadata = {
            "snapshot_id": frozen.snapshot_id,
            "snapshot_hash": frozen.snapshot_hash,
            "dataset_hash": dataset.dataset_hash,
        }
        for key in (DATASET_KEY, SNAPSHOT_KEY):
            context.log_event(dg.AssetObservation(key, metadata={**metadata, "days": f"{first} to {last}"}))
        return _said(metadata)

    @dg.job(name=FREEZE_JOB, description="Freeze what is known of any days as dataset and snapshot.")
    def job() -> None:
        freeze()

    return job


def build_rescoring() -> dg.JobDefinition:
    """Return the job that scores past hours, each by itself: what is stored stays, so it may end at any of them."""

    @dg.op(name=job_op(RESCORE_JOB))
    def rescore(context: dg.OpExecutionContext, config: Hours, platform: Platform) -> dg.Output[None]:
        first, last = datetime.fromisoformat(config.first), datetime.fromisoformat(config.last)
        newest = newest_rescored(platform.now())
        if last > newest:
            words = f"last: expected an hour no later than {newest.isoformat()}, found {last.isoformat()}"
            raise dg.Failure(words, allow_retries=False)
        total = int((last - first) / timedelta(hours=1)) + 1
        progress, definitions = told(context.log.info), load_definitions()
        scores = new = 0
        with platform.warehouse() as warehouse:
            for number in range(total):
                at = first + timedelta(hours=number)
                scored = score_hour(warehouse, definitions, at)
                scores, new = scores + len(scored.rows), new + scored.written
                progress(number + 1, total, f"scored {at.isoformat()}")
        metadata = {"hours": total, "scores": scores, "new": new}
        context.log_event(dg.AssetObservation(LIVE_KEY, metadata={**metadata, "first": config.first}))
        return _said(metadata)

    @dg.job(name=RESCORE_JOB, description="Score every entity at past hours, with the models of now.")
    def job() -> None:
        rescore()

    return job


def build_answering() -> dg.JobDefinition:
    """Return the job that asks a language model where the heavy ones are; its answer is its output's metadata."""

    @dg.op(name=job_op(ANSWER_JOB), pool="llm")
    def answer(context: dg.OpExecutionContext, config: Question, platform: Platform) -> dg.Output[None]:
        with platform.warehouse() as warehouse, open_gateway(platform.settings(), warehouse) as gateway:
            asked = _job(warehouse, config.job)
            given = asked["input"]
            request = LLMRequest(
                use_case=given["use_case"],
                system=given["system"],
                messages=tuple(Message(turn["role"], turn["text"]) for turn in given["messages"]),
                max_tokens=given["max_tokens"],
                user_id=asked["user_id"],
                tier=asked["tier"],
            )
            made = gateway.complete(request)
        return _said(
            {
                "text": made.text,
                "model": made.model,
                "route_id": made.route_id,
                "stop_reason": made.stop_reason or "",
                "usage_id": made.usage_id,
            }
        )

    @dg.job(name=ANSWER_JOB, description="Ask a language model by use-case, for a user of the API.")
    def job() -> None:
        answer()

    return job


@dg.definitions
def defs() -> dg.Definitions:
    """The three jobs."""
    return dg.Definitions(jobs=[build_freezing(), build_rescoring(), build_answering()])
