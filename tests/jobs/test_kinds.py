"""What kinds are to Dagster: specs that the API takes are those of the room, documents are valid, names are real."""

from __future__ import annotations

from typing import Any

import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.jobs import documents
from api.jobs.client import DagsterClient, RunLaunch, UnreachableError
from api.jobs.kinds import dagster_link, launch_of, result_of, tags_of
from api.jobs.letters import of_run, used_up
from api.schemas.jobs import AnswerRequest, BackfillRequest, BacktestRequest, RescoreRequest, SnapshotRequest
from signaldelta_assets.backtests import BacktestSpec, BacktestSpecError
from signaldelta_assets.jobs import JOB_TAG

HASH = "3f" * 32
SPEC = {
    "schema": "signaldelta.backtest_spec/1",
    "snapshot_hash": HASH,
    "scoring_model_hash": HASH,
    "latency_model_hash": HASH,
    "protocol_hash": HASH,
    "hypothesis_family": "mine",
}
INPUTS: dict[str, dict[str, Any]] = {
    "backtest": BacktestRequest.model_validate(SPEC).document(),
    "snapshot": SnapshotRequest.model_validate({"quarter": "2025-04-01"}).document(),
    "backfill": BackfillRequest.model_validate(
        {"assets": ["snapshots/evidence"], "first": "2025-01-01", "last": "2025-04-01"}
    ).document(),
    "rescore": RescoreRequest.model_validate(
        {"first": "2025-01-01T00:00:00Z", "last": "2025-01-01T05:00:00+00:00"}
    ).document(),
    "llm_answer": AnswerRequest.model_validate(
        {"use_case": "deep_research", "messages": [{"role": "user", "text": "why"}]}
    ).document(),
}


def row_of(kind: str, given_: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "job_id": "01HZFNS0V0QJ5Y8T1J3M8Z6K4D", "user_id": None, "tier": "research", "kind": kind, "attempts": 2,
        "input": INPUTS[kind] if given_ is None else given_, "priority": 3, "correlation_id": "request-1",
        "dagster_run_id": "run-1", "backfill_id": None,
    }  # fmt: skip


def test_every_document_is_valid_in_the_schema_that_is_installed() -> None:
    schema = create_schema().graphql_schema
    texts = {name: text for name, text in vars(documents).items() if name.isupper() and not name.startswith("_")}
    assert len(texts) == 11
    for name, text in (texts | {"runs_of": documents.runs_of(3)}).items():
        assert validate(schema, parse(text)) == [], name


_VALUES = [HASH, HASH.upper(), HASH[:-1], HASH + "\n", "mine", "", " ", "\t", " é ", "a\x00", "a" * 201, 3, None]
_FIELDS = [*SPEC, "extra"]


def _agree(document: dict[str, Any]) -> None:
    """What the API takes the room takes, as the same document; what it refuses beside that no row could hold."""
    try:
        spec: BacktestSpec | None = BacktestSpec.from_dict(document)
    except BacktestSpecError:
        spec = None
    try:
        taken: dict[str, Any] | None = BacktestRequest.model_validate(document).document()
    except ValidationError:
        taken = None
    if taken is not None:
        assert spec is not None and taken == spec.document
        wanted = launch_of(row_of("backtest", taken))
        assert isinstance(wanted, RunLaunch) and wanted.partition == ("backtest_specs", spec.hash)
    elif spec is not None:
        assert "\x00" in spec.hypothesis_family or len(spec.hypothesis_family) > 200


def test_each_field_of_a_spec_is_held_to_what_the_room_asks_of_it() -> None:
    _agree(SPEC)
    for field in _FIELDS:
        _agree({name: value for name, value in SPEC.items() if name != field})
        for value in _VALUES:
            _agree(SPEC | {field: value})


@given(st.dictionaries(st.sampled_from(_FIELDS), st.sampled_from(_VALUES), max_size=4))
def test_the_api_takes_no_spec_that_the_room_refuses_and_calls_each_the_same(changed: dict[str, Any]) -> None:
    _agree(SPEC | changed)


@pytest.mark.parametrize(
    ("model", "given_", "words"),
    [
        (SnapshotRequest, {}, "quarter, or first and last"),
        (SnapshotRequest, {"quarter": "2025-05-01"}, "first day of a quarter"),
        (SnapshotRequest, {"quarter": "2025-04-01", "first": "2025-01-01", "last": "2025-01-02"}, "not both"),
        (SnapshotRequest, {"first": "2025-02-01", "last": "2025-01-01"}, "not before the first"),
        (BackfillRequest, {"assets": [], "first": "2025-01-01", "last": "2025-01-02"}, "at least 1"),
        (BackfillRequest, {"assets": ["no such"], "first": "2025-01-01", "last": "2025-01-02"}, "pattern"),
        (BackfillRequest, {"assets": ["a/b"], "first": "2025-01-01", "last": "2036-01-02"}, "3660 days"),
        (RescoreRequest, {"first": "2025-01-01T00:30:00Z", "last": "2025-01-01T02:00:00Z"}, "full hour"),
        (RescoreRequest, {"first": "2025-01-01T00:00:00", "last": "2025-01-01T02:00:00Z"}, "timezone"),
        # Not one of UTC, whose hours are scored.
        (RescoreRequest, {"first": "2025-01-01T00:00:00+05:30", "last": "2025-01-01T02:00:00+05:30"}, "full hour"),
        (RescoreRequest, {"first": 1735689600, "last": 1735696800}, "expected a day as"),
        (SnapshotRequest, {"quarter": 1735689600}, "expected a day as"),
        (SnapshotRequest, {"first": 0, "last": 86400}, "expected a day as"),
        (BackfillRequest, {"assets": ["a/b"], "first": 0, "last": 86400}, "expected a day as"),
        (AnswerRequest, {"use_case": "x", "messages": [{"role": "assistant", "text": "a"}]}, "the user's"),
        (AnswerRequest, {"use_case": "x", "messages": [{"role": "user", "text": "a\x00"}]}, r"U\+0000"),
        (AnswerRequest, {"use_case": "x", "messages": [{"role": "user", "text": "a"}], "tier": "research"}, "Extra"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(model: Any, given_: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        model.model_validate(given_)


def test_the_same_hours_are_the_same_question_in_whatever_zone() -> None:
    asked = [
        RescoreRequest.model_validate({"first": first, "last": "2025-01-01T05:00:00Z"}).document()
        for first in ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00+00:00", "2025-01-01T05:30:00+05:30")
    ]
    assert asked == [{"first": "2025-01-01T00:00:00Z", "last": "2025-01-01T05:00:00Z"}] * 3


def test_prompts_are_in_no_run_and_results_hold_what_is_known_of_their_kind() -> None:
    asked = AnswerRequest.model_validate({"use_case": "x", "messages": [{"role": "user", "text": "private words"}]})
    wanted = launch_of(row_of("llm_answer", asked.document()))
    assert "private words" not in repr(wanted)
    said = {"run_hash": HASH, "run_id": "r", "evaluation": "{}", "status": "complete", "trial_number": 2}
    made = result_of(row_of("backtest"), said, "http://dagster")
    assert set(made) == {"run_hash", "run_id", "status", "trial_number", "links"}
    assert made["links"]["report"] == f"/api/v2/backtests/{HASH}/report"
    assert made["links"]["dagster"] == "http://dagster/runs/run-1"
    assert tags_of(row_of("rescore") | {"correlation_id": None}).keys().isdisjoint({"signaldelta/correlation_id"})


def test_the_password_in_dagsters_address_is_shown_to_nobody() -> None:
    """Links and reasons are read by whoever filed the job; the address is an operator's, and may need one."""
    address = "http://api:sesame@127.0.0.1:9"
    client = DagsterClient(address)
    with pytest.raises(UnreachableError) as refusal:
        client.require_code()
    client.close()
    assert "sesame" not in str(refusal.value) and "http://127.0.0.1:9 " in str(refusal.value)
    shown = [result_of(row_of("backtest"), {}, address), dagster_link(row_of("backtest"), address)]
    shown.append(dagster_link(row_of("backfill") | {"backfill_id": "b"}, "http://sesame@host:3000/dagster"))
    assert "sesame" not in repr(shown)
    assert shown[1:] == [{"dagster": "http://127.0.0.1:9/runs/run-1"}, {"dagster": "http://host:3000/dagster/runs/b/b"}]


def test_letters_of_runs_have_a_command_that_names_all_of_it() -> None:
    run = {
        "runId": "run-1", "jobName": "__ASSET_JOB", "endTime": 1.0, "runConfigYaml": "{}\n",
        "assetSelection": [{"path": ["raw", "polygon", "daily_bars"]}],
        "tags": {"dagster/partition": "2025-01-02", "dagster/retry_number": "2"},
    }  # fmt: skip
    letter = of_run(run, "why")
    assert letter.retry_command == (
        "dagster asset materialize -w workspace.yaml --select 'key:\"raw/polygon/daily_bars\"' --partition 2025-01-02"
    )
    assert (letter.attempts, letter.input["partition"]) == (3, "2025-01-02")
    configured = of_run(run | {"runConfigYaml": "ops: {}\n"}, "why")
    assert configured.retry_command == "signaldelta jobs retry run-1"
    ranged = {"dagster/asset_partition_range_start": "2025-01-02", "dagster/asset_partition_range_end": "2025-01-09"}
    assert of_run(run | {"tags": ranged}, "why").retry_command.endswith("--partition-range 2025-01-02...2025-01-09")
    assert used_up(run) and not used_up(run | {"tags": {"dagster/will_retry": "true"}})
    assert not used_up(run | {"tags": {JOB_TAG: "a job of ours"}})
