"""`signaldelta signals`: the catalogue as a table and as JSON, one signal, and its events where there is a database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from signaldelta_assets.cli.main import app
from signaldelta_assets.cli.tables import markdown
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import signals
from signaldelta_assets.warehouse.stores.reading import Window
from tests.extractors.make import at, definitions, index, run


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["signals", *arguments], env={"COLUMNS": "250"})
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SIGNALDELTA_DATABASE_URL", raising=False)
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_list_as_json_holds_all() -> None:
    listed = json.loads(said("list", "--json"))
    assert len(listed["signals"]) == 80 and listed["definitions_hash"] == definitions().hash
    few = json.loads(said("list", "--family", "F03", "--status", "v2.0", "--source", "filing_index", "--json"))
    assert [one["signal_id"] for one in few["signals"]] == ["S016", "S017", "S018", "S019"]


def test_the_list_as_a_table() -> None:
    text = said("list", "--family", "F13")
    assert "S078" in text and "3 signals, 0 active" in text and definitions().hash in text


def test_showing_a_signal_makes_no_database(home: Path) -> None:
    text = said("show", "S016")
    for part in ("late_periodic_notice", "CT-03:0.9", "repeat_bonus", "no database at hand", definitions().hash):
        assert part in text
    assert "waits for" in said("show", "S073") and "short_interest feed" in said("show", "S073")
    assert not home.exists(), "reading makes no state"


@pytest.mark.postgres
def test_events_are_counted_by_year(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", postgres_url)
    records = [index(f"n-{year}-{day}", at(f"{year}-03-{day:02d} 15:00"), "NT 10-K")
               for year, day in ((2023, 1), (2024, 1), (2024, 4))]  # fmt: skip
    window = Window(at("2023-01-01 00:00").date(), at("2025-01-01 00:00").date())
    made = run("S016", records).events
    with Warehouse(postgres_url) as warehouse:
        signals.write_events(warehouse, made, window, ["S016"], definitions().signal_hash("S016"))
        signals.write_events(warehouse, made[:2], window, ["S016"], definitions().signal_hash("S016"))
    shown = json.loads(said("show", "S016", "--json"))
    assert shown["events_by_year"] == {"2023": 1, "2024": 1}, "a withdrawn event no longer counts"
    assert shown["rule_hash"] and shown["params"]["repeat_bonus"] == 0.2
    summary = CliRunner().invoke(app, ["summary", "--markdown"])
    assert summary.exit_code == 0, summary.output
    lines = summary.stdout.splitlines()
    assert "| signal | entities | events | 2023 | 2024 |" in lines
    assert "| S016 late_periodic_notice | 1 | 2 | 1 | 1 |" in lines
    # An active signal without an event is there as well.
    assert "| S022 auditor_change | 0 | 0 |  |  |" in lines


def test_what_would_break_a_markdown_table_is_escaped() -> None:
    assert markdown(("a title", ("x", "y"), [("a|b", None)])).splitlines() == [
        "### A title", "", "| x | y |", "| --- | --- |", "| a\\|b |  |"]  # fmt: skip
