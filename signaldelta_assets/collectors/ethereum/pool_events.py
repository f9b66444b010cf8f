"""Collects `ethereum/pool_events`: Sync, Mint, Burn and the transfers of LP tokens of all known pools, by day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from signaldelta_assets.errors import RecordError
from signaldelta_assets.warehouse.stores import reference

from ..base import ETHEREUM, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import UpstreamError
from .events import Named, stamped, worth_writing
from .node import Node
from .parsers import POOL_LOGS, is_removed, kind_of, parse_log, pool_event

_PREFIX = "eth:"


@register_collector
class PoolEventsCollector(Collector):
    """Logs of the pools that `ethereum/pairs` found, in one pass over each day for many pools at a time.

    A day is asked for the pools created by its end: asking later, when there are more, gives the same records.
    """

    name = "ethereum/pool_events"
    source_types = ("uni2_sync", "uni2_mint", "uni2_burn", "uni2_lp_transfer")
    schema_version = "uni2_events/1"
    schedule = Schedule("30 0 * * *", "UTC")
    upstream = ETHEREUM
    modules = (
        "signaldelta_assets.collectors.ethereum.events",
        "signaldelta_assets.collectors.ethereum.node",
        "signaldelta_assets.collectors.ethereum.parsers",
        "signaldelta_assets.collectors.ethereum.protocol",
        "signaldelta_assets.collectors.reading",
    )
    after = ("ethereum/pairs",)

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per day."""
        node, days = Node(context, window), list(window.days())
        pools = reference.read_pools(context.warehouse)
        for done, day in enumerate(days, 1):
            batch = Batch(done=done, total=len(days), text=str(day))
            try:
                self._day(context, node, day, pools, batch)
            except UpstreamError as error:
                context.upstream_failed(error)
                continue
            if worth_writing(batch):
                yield batch

    def _day(
        self, context: CollectContext, node: Node, day: date, pools: Sequence[tuple[str, int]], batch: Batch
    ) -> None:
        span = node.blocks_of(day)
        if span is None:
            context.counts["days_without_final_blocks"] += 1
            return
        first, last = span
        # In the order of their creation: the same pools stand in the same group when others have come since.
        addresses = [entity_id.removeprefix(_PREFIX) for entity_id, created in pools if created <= last]
        size = context.chain.pools_per_request
        found: list[Named] = []
        for at in range(0, len(addresses), size):
            group = addresses[at : at + size]
            for fetched, logs in node.logs(first, last, group, list(POOL_LOGS)):
                context.counts["logs_read"] += len(logs)
                for number, raw in enumerate(logs):
                    if is_removed(raw):
                        context.counts["logs_removed"] += 1
                        continue
                    try:
                        log = parse_log(raw, f"{first}-{last}:{number}")
                        source_type, payload = pool_event(log)
                    except RecordError as error:
                        batch.quarantined.append(context.refuse(error, kind_of(raw), fetched, fetched.url, day))
                        continue
                    found.append((fetched, log, f"{_PREFIX}{log.address}", source_type, payload))
        batch.records += stamped(context, node, day, found, batch)
