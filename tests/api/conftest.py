"""A real server on a loopback port over a filled database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from api import Parts, create_app
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.readside import fill
from tests.serving import serving


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def filled(postgres_url: str, store: ArtifactStore) -> Iterator[Warehouse]:
    """The writer's warehouse over a database with rows of every kind."""
    with Warehouse(postgres_url) as opened:
        fill(opened, store, store.root)
        yield opened


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def app(postgres_url: str, store: ArtifactStore, reports: Path) -> FastAPI:
    return create_app(Parts(Warehouse(postgres_url), store, reports=reports))


@pytest.fixture(scope="module")
def client(app: FastAPI, filled: Warehouse) -> Iterator[httpx.Client]:
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as opened:
        yield opened
