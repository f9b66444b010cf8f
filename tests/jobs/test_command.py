"""`signaldelta jobs`: what an operator sees of jobs and dead letters, and what is tried again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from signaldelta_assets.cli import app
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import dead_letters, jobs

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def settings(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path))
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", postgres_url)
    monkeypatch.setenv("SIGNALDELTA_WEBSERVER_PORT", "9")
    # A console reads the width of its terminal once, when it is made; a narrow one cuts names short.
    monkeypatch.setattr("signaldelta_assets.cli.jobs.console", Console(width=250))


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["jobs", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_what_is_there_is_shown_canceled_and_tried_again(warehouse: Warehouse) -> None:
    waiting, _ = jobs.submit(warehouse, jobs.NewJob("rescore", {"n": 1}, None, "research", 0), jobs.Limits())
    failing, _ = jobs.submit(warehouse, jobs.NewJob("snapshot", {"n": 2}, None, "research", 0), jobs.Limits())
    row = jobs.claim(warehouse, failing["job_id"])
    assert row is not None
    command = f"signaldelta jobs retry {row['job_id']}"
    letter = dead_letters.bury(
        warehouse, dead_letters.Letter("snapshot", {"n": 2}, "too\nlate", 3, command, job_id=row["job_id"])
    )
    jobs.note_progress(warehouse, row, running=True, progress={"done": 1, "total": 2, "words": "half"})
    jobs.finish(warehouse, row, "failed", reason="too late")
    assert [one["job_id"] for one in json.loads(run("list", "--json"))] == [failing["job_id"], waiting["job_id"]]
    listed = run("list", "--state", "failed")
    assert failing["job_id"] in listed and "1/2 half" in listed and "too late" in listed
    assert waiting["job_id"] not in listed
    assert json.loads(run("show", waiting["job_id"]))["state"] == "queued"
    assert run("cancel", waiting["job_id"]) == f"{waiting['job_id']} canceled\n"
    dead = run("dead")
    assert f"again    {command}\n" in dead and "because  too late\n" in dead and "3 attempts\n" in dead
    again = run(*command.split()[2:]).strip()
    assert json.loads(run("show", again))["input"] == {"n": 2}
    assert run("retry", str(letter)).strip() == again, "once, by whichever name"
    assert json.loads(run("dead", "--json")) == [] and f"tried again as {again}" in run("dead", "--all")


def test_what_is_not_there_and_what_cannot_be_asked_ends_with_one_line(warehouse: Warehouse) -> None:
    for arguments in (("show", "X"), ("cancel", "X"), ("retry", "X")):
        said = run(*arguments, code=2)
        assert said.startswith("error: X: there is no job, or no dead letter, of that name") and said.count("\n") == 1
    dead_letters.bury(warehouse, dead_letters.Letter("run", {}, "why", 1, "", dagster_run_id="a-run"))
    assert "webserver does not answer at http://127.0.0.1:9" in run("retry", "a-run", code=2)
    assert json.loads(run("dead", "--json"))[0]["retried_at"] is None, "what did not start was not tried"
