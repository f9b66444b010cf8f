"""The dispatcher goes on where one job cannot be handled."""

from __future__ import annotations

import pytest

from api.jobs import DagsterClient, Dispatcher
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import dead_letters, jobs

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
