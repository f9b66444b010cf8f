"""What cannot be done ends with one line that says why, and a code that tells it from a difference found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from signaldelta_assets.cli.main import app
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.backtests.runs.study import MODEL, PROTOCOL, changed
from tests.snapshots.world import build_world

UNKNOWN = "0" * 64


@pytest.fixture(scope="module")
def snapshot(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A snapshot of a world; settings lead to its database for as long as this module runs."""
    with Warehouse(postgres_url) as warehouse:
        world = build_world(warehouse, ArtifactStore(tmp_path_factory.mktemp("artifacts")))
        return world.freeze().snapshot_hash


@pytest.fixture
def home(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path))
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", postgres_url)
    return tmp_path


def _refused(*arguments: str) -> str:
    result: Result = CliRunner().invoke(app, [*arguments])
    assert result.exit_code == 2 and result.stdout == "", result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.mark.postgres
@pytest.mark.parametrize(
    "arguments",
    [("run", UNKNOWN), ("show", UNKNOWN), ("report", UNKNOWN), ("verify", UNKNOWN), ("diff", UNKNOWN, UNKNOWN)],
)
def test_what_is_not_there_is_named(snapshot: str, home: Path, arguments: tuple[str, ...]) -> None:
    assert UNKNOWN in _refused("backtest", *arguments)


def test_a_signal_that_is_not_there_is_named() -> None:
    assert "signals.S999: expected a defined signal" in _refused("signals", "show", "S999")


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model", changed(MODEL, "magnitude.k", -1.0), "model.json: magnitude.k: expected"),
        ("protocol", changed(PROTOCOL, "horizon_hours", 0), "protocol.json: horizon_hours: expected"),
        ("latency", {"schema": "signaldelta.latency_model/1"}, "latency.json: default: expected"),
        ("model", "{", "model.json: expected a readable file of JSON"),
        ("protocol", [], "protocol.json: expected a JSON object, found 'list'"),
        ("latency", None, "latency.json: expected a readable file of JSON"),
    ],
)
def test_a_document_that_is_wrong_is_named_with_its_field(
    snapshot: str, home: Path, file: str, content: Any, said: str
) -> None:
    documents: dict[str, Any] = {"model": MODEL, "protocol": PROTOCOL, "latency": None}
    arguments = ["backtest", "add", "--snapshot", snapshot, "--hypothesis", "x"]
    for name, good in (documents | {file: content}).items():
        path = home / f"{name}.json"
        if good is not None:
            path.write_text(good if isinstance(good, str) else json.dumps(good))
        if name == file or good is not None:
            arguments += [f"--{name}", str(path)]
    assert said in _refused(*arguments)


@pytest.mark.parametrize("arguments", [("--show", "--now"), ("--show", "--by", "signal"), ("--json",)])
def test_an_option_that_would_be_ignored_is_refused(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["backtest", "ablate", UNKNOWN, *arguments])
    assert result.exit_code == 2 and "--show" in result.stderr
