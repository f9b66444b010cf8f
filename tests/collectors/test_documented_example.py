"""The page on collectors shows a whole one: taken from there as it stands, it collects over the replay server."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import date
from types import ModuleType

import pytest

from signaldelta_assets.collectors import base
from signaldelta_assets.warehouse import Warehouse
from tests.collectors.conftest import UNIVERSE, Run, rows_of
from tests.paths import ROOT, needs_data

NAME = "edgar/last_filing"
MODULE = "documented_collector"


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Iterator[ModuleType]:
    """The example as a module of its own, in a registry that is put back afterwards."""
    page = (ROOT / "docs" / "collectors.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if NAME in block]
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    module = ModuleType(MODULE)
    file = ROOT / "docs" / "collectors.md"
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, MODULE, module)
    exec(compile(code, str(file), "exec"), module.__dict__)
    # Its version is the hash of its source, which is on the page.
    monkeypatch.setattr(module.LastFilingCollector, "version", "documented")
    yield module


@pytest.mark.postgres
@pytest.mark.archive
@needs_data
def test_the_documented_collector_collects(documented: ModuleType, run: Run, warehouse: Warehouse) -> None:
    assert NAME in base.registered_collectors()
    report = run(NAME, date(2020, 1, 1), date(2027, 1, 1))
    rows = rows_of(warehouse, "raw_records", "entity_id, payload, partition_date", "entity_id")
    assert [row["entity_id"] for row in rows] == [entity.cik for entity in UNIVERSE]
    assert report.records_written == len(UNIVERSE) and report.records_quarantined == 0
    assert run(NAME, date(2020, 1, 1), date(2027, 1, 1)).records_written == 0
    assert run(NAME, date(2001, 1, 1), date(2001, 1, 2)).counts["outside_window"] == len(UNIVERSE)


def test_the_documented_parser_refuses_what_it_cannot_read(documented: ModuleType) -> None:
    for body in (b"<html>", b"{}", b'{"filings":{"recent":{"filingDate":[]}}}'):
        with pytest.raises(documented.RecordError, match="filingDate"):
            documented.newest(body, "x")


def test_the_registry_is_as_it_was() -> None:
    assert NAME not in base.registered_collectors()
