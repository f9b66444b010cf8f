"""Jobs: what may be asked for, how far it is, what came of it; and dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, field_validator, model_validator

from ..moments import CalendarDay, Moment
from .base import WHOLE, Count, Document, Meta, Schema, Sha256, Text, Time, Ulid

_HASH = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of a stored one.", examples=["3f" * 32])
LONGEST_BACKFILL = timedelta(days=3660)
LONGEST_RESCORE = timedelta(days=92)
State = Literal["queued", "launched", "running", "complete", "failed", "canceled"]
KindName = Literal["backtest", "snapshot", "backfill", "rescore", "llm_answer"]


def _texts(given: Any) -> Iterator[str]:
    """Yield every text within what was sent, names of fields too."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, dict):
        for name, value in given.items():
            yield from _texts(name)
            yield from _texts(value)
    elif isinstance(given, list):
        for value in given:
            yield from _texts(value)


class _Request(Schema):
    """What is asked for: a field that is not understood is refused, or the job would claim to have used it."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, given: Any) -> Any:
        if any("\x00" in text for text in _texts(given)):
            raise ValueError("no text may hold the character U+0000")
        return given

    def document(self) -> dict[str, Any]:
        """The request as a job's input."""
        return self.model_dump(mode="json", by_alias=True)


class BacktestRequest(_Request):
    """A backtest spec by value: what is tested on what, each by its hash, and under which question."""

    schema_: Literal["signaldelta.backtest_spec/1"] = Field(alias="schema", examples=["signaldelta.backtest_spec/1"])
    snapshot_hash: Annotated[str, _HASH]
    scoring_model_hash: Annotated[str, _HASH]
    latency_model_hash: Annotated[str, _HASH]
    protocol_hash: Annotated[str, _HASH]
    hypothesis_family: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"\S",
        description="The question that the trial counts under.",
        examples=["insider-buys"],
    )


class SnapshotRequest(_Request):
    """A quarter (its first day) with the quarters before it, or any days; one of both."""

    quarter: CalendarDay | None = Field(None, description="First day of a quarter.", examples=["2025-04-01"])
    quarters: Annotated[int, Field(ge=1, le=80), WHOLE] = Field(
        4, description="Quarters in it, the named one the last.", examples=[4]
    )
    first: CalendarDay | None = Field(None, description="First day, where no quarter is named.", examples=[None])
    last: CalendarDay | None = Field(None, description="Last day, included.", examples=[None])
    include_interpolated: StrictBool = Field(False, description="Labels of interpolated time too.", examples=[False])

    @field_validator("quarter")
    @classmethod
    def _begins(cls, value: date | None) -> date | None:
        if value is not None and (value.day, value.month % 3) != (1, 1):
            raise ValueError("the first day of a quarter, such as 2025-04-01")
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.quarter is not None and (self.first, self.last) != (None, None):
            raise ValueError("quarter, or first and last: not both")
        if self.quarter is None and (self.first is None or self.last is None or self.last < self.first):
            raise ValueError("quarter, or first and last, the last not before the first")
        return self


class BackfillRequest(_Request):
    """Assets by their keys, all with the same kind of partitions, and the first and last of these."""

    assets: Annotated[
        list[Annotated[str, Field(pattern="^[a-z0-9_]+(/[a-z0-9_]+)+$")]],
        Field(min_length=1, max_length=100, examples=[["raw/polygon/daily_bars"]]),
    ]
    first: CalendarDay = Field(
        description="Key of the first partition: a day, or a quarter's first.", examples=["2025-01-01"]
    )
    last: CalendarDay = Field(description="Key of the last, included.", examples=["2025-01-31"])

    @model_validator(mode="after")
    def _range(self) -> Self:
        _ordered(self.first, self.last, LONGEST_BACKFILL)
        return self


class RescoreRequest(_Request):
    """Full hours (UTC) whose live scores are made again, with the models of now, over what could be known at each."""

    first: Moment = Field(description="The first hour.", examples=["2025-01-01T00:00:00Z"])
    last: Moment = Field(
        description="The last, included; its own score has been made.", examples=["2025-01-02T00:00:00Z"]
    )

    @model_validator(mode="after")
    def _range(self) -> Self:
        _ordered(self.first, self.last, LONGEST_RESCORE)
        for name in ("first", "last"):
            moment: datetime = getattr(self, name)
            if (moment.minute, moment.second, moment.microsecond) != (0, 0, 0):
                raise ValueError(f"{name}: a full hour")
        return self


def _ordered(first: Any, last: Any, longest: timedelta) -> None:
    if last < first or last - first > longest:
        raise ValueError(f"last: not before first, and at most {longest.days} days after it")


class Turn(Schema):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"] = Field(examples=["user"])
    text: str = Field(min_length=1, max_length=200_000, examples=["What do these filings have in common?"])


class AnswerRequest(_Request):
    """A question for a model that is served beside the workers."""

    use_case: str = Field(pattern="^[a-z0-9_]{1,60}$", examples=["deep_research"])
    system: str = Field("", max_length=50_000, examples=["Answer from the text alone."])
    messages: list[Turn] = Field(min_length=1, max_length=100)
    max_tokens: Annotated[int, Field(ge=1, le=32_000), WHOLE] = Field(1024, examples=[1024])

    @field_validator("messages")
    @classmethod
    def _asks(cls, value: list[Turn]) -> list[Turn]:
        if value and value[-1].role != "user":
            raise ValueError("the last one is the user's")
        return value


class Progress(Schema):
    """How far a job is, as its worker last told."""

    done: Count
    total: Count
    words: str = Field(examples=["scored 2024-03-01"])


class Job(Schema):
    """A job and what became of it."""

    job_id: Ulid
    kind: KindName = Field(examples=["backtest"])
    state: State = Field(examples=["running"])
    user_id: Annotated[str | None, Field(description="None where access is open.", examples=["01HZFNS0V0QJ5Y8T1J3M8Z"])]
    priority: int = Field(description="Of the tier; more comes first.", examples=[2])
    attempts: int = Field(description="Launches so far.", examples=[1])
    input: Document
    idempotency_key: Annotated[str | None, Field(examples=["insider-buys-1"])]
    progress: Progress | None
    result: Annotated[Document | None, Field(description="Of a complete job, with links.")]
    reason: Annotated[
        str | None, Field(description="Why it waits, failed or was canceled.", examples=["ended as was asked"])
    ]
    correlation_id: Annotated[str | None, Field(examples=["01JZZZZZZZZZZZZZZZZZZZZZZZ"])]
    submitted_at: Time
    launched_at: Time | None
    started_at: Time | None
    cancel_requested_at: Time | None
    finished_at: Time | None
    links: dict[str, str] = Field(examples=[{"self": "/api/v2/platform/jobs/01HZFNS0V0QJ5Y8T1J3M8Z6K4D"}])


class JobPage(Schema):
    """Jobs, newest first."""

    data: list[Job]
    meta: Meta


class DeadLetter(Schema):
    """Work that failed for good."""

    dead_letter_id: Ulid
    job_id: Annotated[
        str | None, Field(description="None: a run of Dagster's own.", examples=["01HZFNS0V0QJ5Y8T1J3M8Z6K4D"])
    ]
    dagster_run_id: Annotated[str | None, Field(examples=["5f0c2a94-6a3c-4d55-9d0e-0a1b2c3d4e5f"])]
    user_id: Annotated[str | None, Field(examples=["01HZFNS0V0QJ5Y8T1J3M8Z6K4D"])]
    what: str = Field(examples=["run of raw/polygon/daily_bars"])
    input: Document
    reason: str = Field(examples=["HTTP 503 after 6 tries"])
    attempts: int = Field(examples=[3])
    retry_command: str = Field(examples=["signaldelta jobs retry 01HZFNS0V0QJ5Y8T1J3M8Z6K4D"])
    died_at: Time
    retried_at: Time | None
    retried_as: Annotated[
        str | None, Field(description="The job or run that tried again.", examples=["01HZFQ6T5X8Y2M4N7P9R1S3T5V"])
    ]


class DeadLetterPage(Schema):
    """Dead letters, newest first."""

    data: list[DeadLetter]
    meta: Meta


class MissingInput(Schema):
    """A field of a spec that names nothing here."""

    field: str = Field(examples=["body.snapshot_hash"])
    expected: str = Field(examples=["the hash of a stored snapshot; found nothing of that hash"])
    found: Text


class RanAlready(Schema):
    """A run of the same spec."""

    run_id: Ulid
    run_hash: Sha256
    status: str = Field(examples=["complete"])
    trial_number: Count
    environment_hash: Sha256
    ingest_time: Time


class BacktestCheck(Schema):
    """What filing a spec would come to; nothing is run or counted by asking."""

    spec_hash: Sha256
    can_run: bool = Field(examples=[True])
    missing: list[MissingInput]
    family_trials: int = Field(description="Trials of the hypothesis family so far.", examples=[6])
    trial_number: int = Field(description="Which trial this is, or, where it ran already, was.", examples=[7])
    labels: Annotated[int | None, Field(description="Labeled events in the snapshot's dataset.", examples=[321])]
    runs: list[RanAlready] = Field(
        description="Runs of this spec, of each environment one: in the newest one's environment a job ends with that "
        "run, and counts no new trial."
    )
