"""A small database to freeze: two entities, signals and labels over two months, and their raw records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.snapshots.world import World, build_world


@pytest.fixture
def world(fresh_postgres_url: str, tmp_path: Path) -> Iterator[World]:
    with Warehouse(fresh_postgres_url) as warehouse:
        yield build_world(warehouse, ArtifactStore(tmp_path / "artifacts"))
