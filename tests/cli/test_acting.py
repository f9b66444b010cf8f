"""A command that changes something has one id: in its rows, its log, what it refuses by, and before `trace`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from signaldelta_assets.cli import app
from signaldelta_assets.correlation import correlation_id
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import dead_letters, jobs, users

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def home(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path))
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", postgres_url)
    monkeypatch.delenv("SIGNALDELTA_CORRELATION_ID", raising=False)
    return tmp_path


def run(*arguments: str, identifier: str | None = None, code: int = 0) -> Result:
    env = {} if identifier is None else {"SIGNALDELTA_CORRELATION_ID": identifier}
    result = CliRunner().invoke(app, [*arguments], env=env)
    assert result.exit_code == code, result.output
    assert correlation_id() is None, "it ends with the command"
    return result


def lines(home: Path) -> list[dict[str, str]]:
    files = sorted((home / "logs").glob("command-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_what_a_user_is_given_is_found_by_the_id_that_was_given(warehouse: Warehouse, home: Path) -> None:
    asked = ("users", "create", "--tier", "research", "--email", "a@example.org")
    user = run(*asked, identifier="change-1").stdout.strip()
    key = run("keys", "create", user, identifier="change-1").stdout.strip()
    noted = [row["kind"] for row in users.activity(warehouse) if row["correlation_id"] == "change-1"]
    assert len(noted) == 2 and len(users.activity(warehouse)) == 2
    told = [(line["service"], line["correlation_id"], line["message"]) for line in lines(home)]
    assert told == [("command", "change-1", f"signaldelta {words} done") for words in ("users create", "keys create")]
    assert key not in json.dumps(lines(home)) and "a@example.org" not in json.dumps(lines(home))
    shown = run("trace", "change-1").stdout
    for kind in noted:
        assert kind in shown
    assert "command info: signaldelta keys create done" in shown


def test_a_retried_job_is_of_the_command_that_filed_it(warehouse: Warehouse, home: Path) -> None:
    made, _ = jobs.submit(warehouse, jobs.NewJob("snapshot", {"n": 2}, None, "research", 0), jobs.Limits())
    row = jobs.claim(warehouse, made["job_id"])
    assert row is not None
    letter = dead_letters.Letter("snapshot", {"n": 2}, "late", 3, "again", job_id=row["job_id"])
    dead_letters.bury(warehouse, letter)
    jobs.finish(warehouse, row, "failed", reason="late")
    again = jobs.get(warehouse, run("jobs", "retry", row["job_id"]).stdout.strip())
    assert again is not None and again["correlation_id"] == lines(home)[0]["correlation_id"]
    assert re.fullmatch("[0-9A-Z]{26}", again["correlation_id"])
    assert f"job {again['job_id']} (snapshot) submitted" in run("trace", again["correlation_id"]).stdout


def test_a_refusal_says_under_which_id_and_reading_has_none(home: Path) -> None:
    refused = run("jobs", "retry", "nothing", code=2)
    [line] = lines(home)
    assert refused.stderr.count("\n") == 1 and refused.stderr.endswith(f"(correlation id {line['correlation_id']})\n")
    assert line["message"].startswith("signaldelta jobs retry was refused: nothing: there is no job")
    assert "correlation id" not in run("jobs", "show", "nothing", code=2).stderr and len(lines(home)) == 1
    bad = run("users", "disable", "x", identifier="two words", code=2)
    assert "SIGNALDELTA_CORRELATION_ID" in bad.stderr and len(lines(home)) == 1
