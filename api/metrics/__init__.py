"""Metrics in Prometheus's text format: what this process counts, and what the deployment is like now.

A scrape asks the database at most once in `FRESH_SECONDS` and waits for it `WAIT_SECONDS` at most; where it does not
answer, what the process counts itself is served all the same, with `signaldelta_database_up` 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from signaldelta_assets.warehouse import Warehouse, head_revision

from ..status import Watching
from .families import BY_NAME, FAMILIES, Family, table
from .platform import FRESH_SECONDS, WAIT_SECONDS, Figures, Reading, folders_used, platform_metrics
from .requests import RequestMetrics, gauge, instance, pool_metrics

__all__ = ["BY_NAME", "FAMILIES", "FRESH_SECONDS", "WAIT_SECONDS", "Family", "Figures", "Metrics", "Reading", "table"]

SERVICE = "signaldelta-api"


class Metrics:
    """All metrics of one process of the API. `folders`: whose disks are told, by name."""

    def __init__(
        self, warehouse: Warehouse, watching: Watching, reading: Reading, folders: Mapping[str, Path] | None = None
    ) -> None:
        self.registry = CollectorRegistry()
        self.requests = RequestMetrics(self.registry)
        for standard in (ProcessCollector, PlatformCollector, GCCollector):
            standard(registry=self.registry)
        self.registry.register(_Deployment(warehouse, watching, reading, dict(folders or {})))

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return (body, media type): OpenMetrics where `accept` asks for it, else Prometheus's text format."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type


class _Deployment(Collector):
    """What is asked at a scrape, as the library asks for it."""

    def __init__(self, warehouse: Warehouse, watching: Watching, reading: Reading, folders: Mapping[str, Path]) -> None:
        self._warehouse, self._watching, self._reading, self._folders = warehouse, watching, reading, folders

    def describe(self) -> Iterator[Metric]:
        """Name nothing in advance: being registered must ask no database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Ask, within `WAIT_SECONDS` for all of it."""
        began = time.monotonic()
        self._reading.begin()
        view, _ = self._watching.view(WAIT_SECONDS)
        figures = self._reading.figures(max(WAIT_SECONDS - (time.monotonic() - began), 0.05))
        target, build = gauge("target_info"), gauge("signaldelta_build_info")
        target.add_metric([SERVICE, instance(), version("signaldelta")], 1)
        build.add_metric([version("signaldelta"), head_revision(), self._warehouse.place], 1)
        yield from (target, build)
        yield from pool_metrics(self._warehouse)
        if view is None:
            up = gauge("signaldelta_database_up")
            up.add_metric([self._warehouse.place], float(figures is not None))
            yield up
        yield from platform_metrics(figures, view)
        disks = gauge("signaldelta_disk_used_ratio")
        for name, part in folders_used(self._folders).items():
            disks.add_metric([name], part)
        took = gauge("signaldelta_scrape_seconds")
        took.add_metric([], time.monotonic() - began)
        yield from (disks, took)
