"""What a process counts itself: requests by their route's template, and the use of its connection pools."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from signaldelta_assets.warehouse import Warehouse

from ..correlation import Served
from .families import BY_NAME

# OpenTelemetry's advice for http.server.request.duration, in seconds.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
# Any other word may come as a method: each would be a series of its own.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


def _method(name: str) -> str:
    return name if name in _METHODS else "_OTHER"


class RequestMetrics:
    """Counts requests into `registry`: told by the middleware that has every one of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        duration = BY_NAME["http_server_request_duration_seconds"]
        active = BY_NAME["http_server_active_requests"]
        sent = BY_NAME["http_server_response_body_bytes"]
        self._duration = Histogram(duration.name, duration.words, duration.labels, registry=registry, buckets=_BUCKETS)
        self._active = Gauge(active.name, active.words, active.labels, registry=registry)
        self._sent = Counter(sent.name, sent.words, sent.labels, registry=registry)
        # Looked up once: as many as there are series.
        self._under_way = functools.cache(self._active.labels)
        self._took = functools.cache(self._duration.labels)
        self._bytes = functools.cache(self._sent.labels)

    def began(self, method: str) -> None:
        """Note that a request is under way."""
        self._under_way(_method(method)).inc()

    def ended(self, served: Served) -> None:
        """Note that it is over."""
        # A path as it was sent could be anything, and each a series: where no route matched there is one.
        route = served.route or ""
        self._under_way(_method(served.method)).dec()
        self._took(_method(served.method), route, str(served.status)).observe(served.seconds)
        self._bytes(route).inc(served.bytes)


def instance() -> str:
    """Return what tells this process from the others of its service."""
    return f"{socket.gethostname()}:{os.getpid()}"


def gauge(name: str) -> GaugeMetricFamily:
    """Return an empty gauge of that declared name."""
    family = BY_NAME[name]
    return GaugeMetricFamily(family.name, family.words, labels=family.labels)


def pool_metrics(warehouse: Warehouse) -> Iterator[Metric]:
    """Yield how the warehouse's pools stand."""
    count, most = gauge("db_client_connection_count"), gauge("db_client_connection_max")
    pending = gauge("db_client_connection_pending_requests")
    families = [BY_NAME[f"db_client_connection_{name}"] for name in ("timeouts", "wait_time_seconds")]
    timeouts, waited = (CounterMetricFamily(one.name, one.words, labels=one.labels) for one in families)
    for use in warehouse.pool_use():
        count.add_metric([use.pool, "idle"], use.idle)
        count.add_metric([use.pool, "used"], use.size - use.idle)
        most.add_metric([use.pool], use.most)
        pending.add_metric([use.pool], use.waiting)
        timeouts.add_metric([use.pool], use.timeouts)
        waited.add_metric([use.pool], use.waited_seconds)
    yield from (count, most, pending, timeouts, waited)
