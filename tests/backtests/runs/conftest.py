"""The synthetic world of the snapshot tests, once per module: runs only add to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.snapshots.world import World, build_world


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root: Path = tmp_path_factory.mktemp("artifacts")
    with Warehouse(postgres_url) as warehouse:
        yield build_world(warehouse, ArtifactStore(root))
