"""docs/api.md is true: its tables are the code's, it has every kind of problem, its commands are answered."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from pathlib import Path

import httpx
import pytest

from api import specification
from api.kinds import KINDS
from signaldelta_assets.warehouse.stores import users
from tests.paths import ROOT

pytestmark = [pytest.mark.postgres, pytest.mark.platform]


def test_the_tables_are_the_code_s() -> None:
    text = specification.PAGE.read_text()
    assert specification.page(text) == text, "make openapi"
    assert len(re.findall(r"^\| `urn:signaldelta:problem:", text, re.MULTILINE)) == len(KINDS)


def raised() -> set[str]:
    """Every kind of problem that the code names."""
    found = {"not-found", "method-not-allowed"}  # as Starlette's own errors are called
    for path in (ROOT / "api").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = {"ProblemError": 1, "_answer": 2}.get(node.func.id, -1)
                kind = node.args[place] if 0 <= place < len(node.args) else None
                if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
                    found.add(kind.value)
    tree = ast.parse((ROOT / "api/walls/patience.py").read_text())
    found |= {
        kind for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "_KINDS"  # type: ignore[attr-defined]
        for kind in ast.literal_eval(node.value).values()
    }  # fmt: skip
    # A refused change or job: its rule is the kind.
    stores = "".join(path.read_text() for path in Path(users.__file__).parent.glob("*.py"))
    rules = set(re.findall(r'Refused(?:Change|Job)Error\(\s*"([a-z-]+)"', stores))
    return found | (rules - {"subject-taken", "unknown-tier"})  # those two are of commands


def test_every_kind_of_problem_is_in_the_table_and_every_row_is_raised() -> None:
    assert raised() == set(KINDS)


def commands() -> list[str]:
    return re.findall(r"^    (curl .*)$", specification.PAGE.read_text(), re.MULTILINE)


def test_its_commands_are_answered(client: httpx.Client) -> None:
    """Each as it stands there, but for the address, a cursor and the id."""
    assert len(commands()) >= 4
    cursor = client.get("/api/v2/signals", params={"limit": 100}).json()["meta"]["next_cursor"]
    expected = json.loads(specification.PAGE.read_text().partition("```json\n")[2].partition("```")[0])
    statuses = []
    for command in commands():
        command = command.replace("localhost:8787", str(client.base_url).removeprefix("http://").rstrip("/"))
        words = shlex.split(command.replace("CURSOR", cursor).replace("$SIGNALDELTA_API_KEY", "none-is-asked"))
        words += ["-H", "X-Request-ID: docs-1", "-w", "\n%{http_code}"]
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout
        body, _, status = said.rpartition("\n")
        statuses.append(int(status))
        if statuses[-1] == 422:
            assert json.loads(body) == expected
    assert sorted(statuses) == [200] * (len(statuses) - 1) + [422]
