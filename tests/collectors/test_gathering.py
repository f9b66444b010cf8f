"""Batches are written together, an entity once per write, and what could not be written is not tried again."""

from __future__ import annotations

import pytest

from signaldelta_assets.collectors.base import Batch
from signaldelta_assets.collectors.runner import _Gathered
from signaldelta_assets.warehouse.stores.reference import SecurityRow


def _batch(*entities: str) -> Batch:
    return Batch(securities=[SecurityRow(entity_id=name, asset_class="equity", name=name) for name in entities])


def test_small_batches_are_one_write_and_an_entity_told_again_is_another() -> None:
    written: list[list[str]] = []
    gathered = _Gathered(lambda rows: written.append([row.entity_id for row in rows.securities]))
    for name in ("a", "b", "c"):
        gathered.add(_batch(name))
    assert written == []
    gathered.add(_batch("b"))
    gathered.write()
    assert written == [["a", "b", "c"], ["b"]]


def test_a_second_later_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("signaldelta_assets.collectors.runner.time.monotonic", lambda: now[0])
    written: list[int] = []
    gathered = _Gathered(lambda rows: written.append(len(rows.securities)))
    gathered.add(_batch("a"))
    now[0] += 1.5
    gathered.add(_batch("b"))
    gathered.add(_batch("c"))
    assert written == [2]


def test_what_could_not_be_written_is_not_tried_again() -> None:
    tried: list[int] = []

    def write(rows: Batch) -> None:
        tried.append(len(rows.securities))
        if rows.securities:
            raise RuntimeError("refused by the database")

    gathered = _Gathered(write)
    gathered.add(_batch("a"))
    with pytest.raises(RuntimeError):
        gathered.write()
    gathered.write()
    assert tried == [1, 0]
