"""Collectors: one class per upstream feed, over one HTTP transport (limits, retries, archive of raw bytes).

A new feed is one class with `@register_collector`, its schedule, and its module imported here. Parsers are pure;
what records mean is for the extractors, how they are stored for the warehouse.
"""

from . import edgar, ethereum, polygon
from .base import (
    Batch,
    CollectContext,
    Collector,
    Schedule,
    Window,
    register_collector,
    registered_collectors,
)
from .clock import Clock, FixedClock, SystemClock
from .limiter import Limiter, SharedLimiter, Unlimited
from .runner import CollectionFailedError, CollectorRunReport, observation_clock, open_transport, run_collector
from .transport import ALWAYS_FINAL, Fetched, Transport, Upstream, UpstreamError
from .universe import UniverseEntity, load_universe, parse_universe

__all__ = [
    "ALWAYS_FINAL",
    "Batch",
    "Clock",
    "CollectContext",
    "CollectionFailedError",
    "Collector",
    "CollectorRunReport",
    "Fetched",
    "FixedClock",
    "Limiter",
    "Schedule",
    "SharedLimiter",
    "SystemClock",
    "Transport",
    "UniverseEntity",
    "Unlimited",
    "Upstream",
    "UpstreamError",
    "Window",
    "edgar",
    "ethereum",
    "load_universe",
    "observation_clock",
    "open_transport",
    "parse_universe",
    "polygon",
    "register_collector",
    "registered_collectors",
    "run_collector",
]
