"""The dispatcher goes on where one job cannot be handled."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fastapi import Body, FastAPI

from api.jobs import DagsterClient, Dispatcher, letters
from signaldelta_assets.jobs import ATTEMPT_TAG, JOB_TAG
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import dead_letters, jobs
from tests.serving import serving

pytestmark = pytest.mark.postgres


def test_an_input_that_cannot_be_launched_ends_where_its_owner_sees_why(warehouse: Warehouse) -> None:
    damaged, _ = jobs.submit(warehouse, jobs.NewJob("snapshot", {"n": 1}, None, "research", 9), jobs.Limits())
    row = jobs.claim(warehouse, damaged["job_id"])
    assert row is not None
    Dispatcher(warehouse, DagsterClient("http://127.0.0.1:9"))._launch_one(row)  # where nothing listens
    ended = jobs.get(warehouse, damaged["job_id"])
    assert ended is not None and ended["state"] == "failed" and "KeyError: 'first'" in ended["reason"]
    letter = dead_letters.get(warehouse, damaged["job_id"])
    assert letter is not None and letter["reason"] == ended["reason"]


def test_a_run_that_cannot_be_read_keeps_no_other_job_waiting_and_is_read_again(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    launched = []
    for kind in ("rescore", "snapshot"):
        made, _ = jobs.submit(warehouse, jobs.NewJob(kind, {"n": kind}, None, "research", 9), jobs.Limits())
        row = jobs.claim(warehouse, made["job_id"])
        assert row is not None
        jobs.attach(warehouse, row, run=f"run-of-{row['job_id']}")
        launched.append(row["job_id"])
    unreadable, canceled = launched
    states = {unreadable: "SUCCESS", canceled: "CANCELED"}
    # What a Dagster of another version may say: nothing where a list was.
    events: list[dict[str, Any]] = [{"__typename": "ExecutionStepOutputEvent", "metadataEntries": None}]
    webserver = FastAPI()

    @webserver.post("/graphql")
    def answer(query: str = Body(), variables: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008
        if "logsForRun" in query:
            log = {"__typename": "EventConnection", "cursor": None, "hasMore": False, "events": events}
            return {"data": {"logsForRun": log}}
        if not query.startswith("query RunsOf"):
            return {"data": {"runsOrError": {"__typename": "Runs", "results": []}}}
        found = {}
        for name, wanted in variables.items():
            job = wanted["tags"][0]["value"]
            tags = [{"key": JOB_TAG, "value": job}, {"key": ATTEMPT_TAG, "value": "1"}]
            run = {"runId": f"run-of-{job}", "status": states[job], "creationTime": 1.0, "tags": tags}
            found[f"r{name[1:]}"] = {"__typename": "Runs", "results": [run]}
        return {"data": found}

    def state(job: str) -> str:
        row = jobs.get(warehouse, job)
        assert row is not None
        return str(row["state"])

    assert [row["job_id"] for row in jobs.under_way(warehouse)] == launched, "the one that cannot be read comes first"
    with serving(webserver) as url, caplog.at_level(logging.ERROR):
        dispatcher = Dispatcher(warehouse, DagsterClient(url))
        dispatcher.turn()
        assert (state(unreadable), state(canceled)) == ("launched", "canceled")
        told = jobs.get(warehouse, unreadable)
        assert told is not None and told["reason"] == "what became of it cannot be read now: TypeError"
        [line] = [record for record in caplog.records if "cannot be read" in record.getMessage()]
        assert unreadable in line.getMessage() and line.exc_info is not None
        events[0]["metadataEntries"] = []
        dispatcher.turn()
        told = jobs.get(warehouse, unreadable)
        assert told is not None and (told["state"], told["reason"]) == ("complete", None)
        dispatcher.stop()


def test_every_run_that_failed_is_kept_however_many_and_whatever_cannot_be_read_of_one(warehouse: Warehouse) -> None:
    """More than Dagster gives in one answer, and one of which it does not say why."""
    names = [f"failed-{number:04d}" for number in range(450)]
    unreadable, odd = names[7], names[8]
    webserver = FastAPI()

    @webserver.post("/graphql")
    def answer(query: str = Body(), variables: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008
        if "logsForRun" in query:
            if variables["run"] == unreadable:
                return {"data": {"logsForRun": {"__typename": "RunNotFoundError", "message": "no such run"}}}
            events = None if variables["run"] == odd else []
            log = {"__typename": "EventConnection", "cursor": None, "hasMore": False, "events": events}
            return {"data": {"logsForRun": log}}
        if not query.startswith("query Failed"):
            return {"data": {"runsOrError": {"__typename": "Runs", "results": []}}}
        # Newest first, after the cursor, as many as Dagster gives at once.
        after = variables.get("cursor")
        found = [name for name in reversed(names) if after is None or name < after][:200]
        run = {"jobName": "somebodys", "endTime": 1.0, "rootRunId": None, "runConfigYaml": "", "assetSelection": None}
        return {
            "data": {"runsOrError": {"__typename": "Runs", "results": [{"runId": n, "tags": [], **run} for n in found]}}
        }

    with serving(webserver) as url:
        client = DagsterClient(url)
        assert letters.sweep(warehouse, client) == len(names)
        assert letters.sweep(warehouse, client) == 0
        client.close()
    reasons = [(dead_letters.get(warehouse, name) or {})["reason"] for name in (unreadable, odd, names[0])]
    assert "no such run" in reasons[0] and reasons[1].startswith("it failed, and why cannot be read")
    assert reasons[2] == "it ended without saying why"
