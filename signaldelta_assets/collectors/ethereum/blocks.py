"""Collects `ethereum/blocks`: the headers of the blocks in which the collected events stand."""

from __future__ import annotations

from collections.abc import Iterator

from signaldelta_assets.contracts import PUBLISHER_ETHEREUM
from signaldelta_assets.errors import RecordError
from signaldelta_assets.warehouse.stores import raw

from ..base import ETHEREUM, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import UpstreamError
from .events import worth_writing
from .node import Node
from .pairs import PAIR
from .pool_events import PoolEventsCollector

BLOCK = "chain_block"


@register_collector
class BlocksCollector(Collector):
    """One record per block with a pair creation or an event of a pool. Its time is the authority of every label."""

    name = "ethereum/blocks"
    source_types = (BLOCK,)
    schema_version = "chain_block/1"
    schedule = Schedule("45 0 * * *", "UTC")
    upstream = ETHEREUM
    modules = (
        "signaldelta_assets.collectors.ethereum.events",
        "signaldelta_assets.collectors.ethereum.node",
        "signaldelta_assets.collectors.ethereum.parsers",
        "signaldelta_assets.collectors.ethereum.protocol",
        "signaldelta_assets.collectors.reading",
    )
    after = ("ethereum/pairs", "ethereum/pool_events")

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per day."""
        node, days = Node(context, window), list(window.days())
        sources = (PAIR, *PoolEventsCollector.source_types)
        for done, day in enumerate(days, 1):
            batch = Batch(done=done, total=len(days), text=str(day))
            try:
                numbers = raw.blocks_of_records(context.warehouse, sources, day)
                for fetched, header in node.headers(numbers).values() if numbers else ():
                    if isinstance(header, RecordError):
                        batch.quarantined.append(context.refuse(header, BLOCK, fetched, fetched.url, day))
                        continue
                    context.counts[f"times_{header.time['precision']}"] += 1
                    batch.records.append(
                        context.record(
                            fetched,
                            source_type=BLOCK,
                            entity_id=PUBLISHER_ETHEREUM,
                            natural_key=f"{header.number:012d}",
                            payload={"number": header.number, "hash": header.hash, "time": header.time},
                            event_time=header.moment,
                        )
                    )
            except UpstreamError as error:
                context.upstream_failed(error)
                continue
            if worth_writing(batch):
                yield batch
