"""The checks of frozen things report what they find: a damaged part, a later event, an input of elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signaldelta_assets.backtests import BacktestSpec
from signaldelta_assets.defs.backtests import check_run
from signaldelta_assets.defs.snapshots import check_frozen
from signaldelta_assets.snapshots import Snapshot
from signaldelta_assets.snapshots.parts import SUFFIX
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.backtests.runs.study import LATENCY
from tests.snapshots.world import World, build_world

pytestmark = [pytest.mark.platform, pytest.mark.postgres]
HASH = "a" * 64
ULID = "0" * 26


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root: Path = tmp_path_factory.mktemp("artifacts")
    with Warehouse(postgres_url) as warehouse:
        yield build_world(warehouse, ArtifactStore(root))


@pytest.fixture(scope="module")
def frozen(world: World) -> Snapshot:
    return world.freeze()


def test_a_part_touched_after_the_freeze_fails_the_check(world: World, frozen: Snapshot) -> None:
    good = check_frozen(world.store, frozen.manifest, LATENCY)
    assert good.passed and good.metadata["events_after_as_of"].value == 0
    part = next(part for part in frozen.manifest["parts"] if part["kind"] == "labeled_events")
    path = world.store.path(part["file_hash"], SUFFIX)
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    bad = check_frozen(world.store, frozen.manifest, LATENCY)
    path.write_bytes(data)
    assert not bad.passed and f"labeled_events/{part['stretch']}" in str(bad.metadata["error"].value)
    assert not check_frozen(world.store, {**frozen.manifest, "surprise": 1}, LATENCY).passed


def test_events_after_the_snapshots_moment_fail_the_check(world: World, frozen: Snapshot) -> None:
    early = {**frozen.manifest, "as_of": "2024-03-01T00:00:00+00:00"}
    found = check_frozen(world.store, early, LATENCY)
    assert not found.passed and 0 < found.metadata["events_after_as_of"].value < len(world.events)  # type: ignore[operator]


def _manifest(parts: list[dict[str, Any]]) -> dict[str, Any]:
    named = {"id": "x", "hash": HASH}
    spec = BacktestSpec(HASH, HASH, HASH, HASH, "f")
    inputs = [{**{k: part[k] for k in ("kind", "rows", "file_hash", "content_hash")}, "partition": part["stretch"]}
              for part in parts]  # fmt: skip
    output = {"name": "scores", "media_type": "x", "rows": 1, "size_bytes": 1, "file_hash": HASH, "content_hash": HASH}
    return {
        "schema": "signaldelta.backtest_manifest/1", "run_id": ULID, "run_hash": HASH, "spec_hash": spec.hash,
        "spec": spec.document, "status": "complete", "hypothesis": {"family": "f", "trial_number": 1},
        "snapshot": named, "dataset": named,
        "scoring_model": named, "latency_model": named, "evaluation_protocol": named, "signal_definitions_hash": HASH,
        "environment_hash": HASH, "inputs": inputs, "outputs": [output], "evaluation_hash": HASH,
    }  # fmt: skip


def test_a_run_that_read_something_else_fails_the_check(frozen: Snapshot) -> None:
    parts = frozen.manifest["parts"]
    assert check_run(_manifest(parts), frozen.manifest).passed
    assert not check_run(_manifest(parts[1:]), frozen.manifest).passed
    other = check_run(_manifest([{**parts[0], "content_hash": HASH}, *parts[1:]]), frozen.manifest)
    assert not other.passed and other.metadata["inputs_not_of_snapshot"].value == 2
    whole = _manifest(parts)
    del whole["environment_hash"]
    bare = check_run(whole, frozen.manifest)
    assert not bare.passed and "environment_hash" in str(bare.metadata["error"].value)
