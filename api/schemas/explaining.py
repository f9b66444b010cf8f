"""What an explanation looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from .base import Schema, Ulid
from .jobs import State


class Fact(Schema):
    """One of the facts an explanation was made from, and its figures held against."""

    name: str = Field(examples=["half-life"])
    text: str = Field(examples=["720 hours"])


class ExplanationJob(Schema):
    """A job that an explanation waits for or comes of."""

    job_id: Ulid
    state: State = Field(examples=["queued"])
    links: dict[str, str] = Field(examples=[{"self": "/api/v2/platform/jobs/01HZFNS0V0QJ5Y8T1J3M8Z6K4D"}])

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> ExplanationJob:
        """The job of a row of `jobs`."""
        at = f"/api/v2/platform/jobs/{row['job_id']}"
        return cls(job_id=row["job_id"], state=row["state"], links={"self": at, "events": f"{at}/events"})


class Explanation(Schema):
    """An explanation in words. Every figure in it occurs in `facts`."""

    subject: str = Field(examples=["S001"])
    text: str = Field(examples=["S001 is the signal “insider opportunistic buy”; it counts for half after 720 hours."])
    made_by: Literal["model", "template"] = Field(examples=["template"])
    model: str | None = Field(None, description="The model whose words these are.", examples=["gpt-4o-mini"])
    why_template: Literal["off", "no_route", "becomes_job", "budget", "failed", "figures"] | None = Field(
        None,
        description="Why no model's words are shown: there is none or none with a key; it is offsite and asked by a "
        "job; today's budget; it failed; its answer had figures that the facts do not have.",
        examples=["no_route"],
    )
    job: ExplanationJob | None = Field(
        None,
        description="The job that asks a model offsite, or whose answer this is. Once it is complete, the same "
        "question has its answer.",
    )
    why_no_job: Literal["no-jobs", "queue-full", "day-limit", "read-only"] | None = Field(
        None,
        description="Why there is no job: the tier has none, or no more now; the key may only read.",
        examples=[None],
    )
    facts: list[Fact]


class ExplanationAnswer(Schema):
    """One explanation."""

    data: Explanation
