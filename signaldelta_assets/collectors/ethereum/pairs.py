"""Collects `ethereum/pairs`: the Uniswap V2 pools created on a day, of which one side is a known quote token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import cached_property
from typing import Any

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.contracts import Pool
from signaldelta_assets.errors import RecordError
from signaldelta_assets.versioning import code_version
from signaldelta_assets.warehouse.stores.reference import SecurityRow

from ..base import ETHEREUM, Batch, CollectContext, Collector, Schedule, Window, register_collector
from ..transport import Fetched, UpstreamError
from .events import stamped, worth_writing
from .node import Node
from .parsers import FACTORY, TOPIC_PAIR_CREATED, LogEntry, is_removed, pair_created, parse_log

PAIR = "uni2_pair"


@register_collector
class PairsCollector(Collector):
    """PairCreated of the factory, by the day of its block; decimals as the tokens say them. Writes the pools too.

    A pair of which neither side is a quote token of the definitions has no price in anything: it is counted and left.
    """

    name = "ethereum/pairs"
    source_types = (PAIR,)
    schema_version = "uni2_pair/1"
    schedule = Schedule("15 0 * * *", "UTC")
    upstream = ETHEREUM
    modules = (
        "signaldelta_assets.collectors.ethereum.events",
        "signaldelta_assets.collectors.ethereum.node",
        "signaldelta_assets.collectors.ethereum.parsers",
        "signaldelta_assets.collectors.ethereum.protocol",
        "signaldelta_assets.collectors.reading",
    )

    @cached_property
    def quotes(self) -> dict[str, str]:
        """The quote tokens: address to symbol."""
        tables: Mapping[str, Any] = load_definitions().document["tables"]
        return {quote["address"]: symbol for symbol, quote in tables["quotes"].items()}

    @cached_property
    def version(self) -> str:
        """The SHA-256 of the sources and of the quote tokens, which decide which pairs are kept."""
        parameters = {"schema_version": self.schema_version, "quotes": self.quotes}
        return code_version([type(self).__module__, *self.modules], parameters)

    def collect(self, context: CollectContext, window: Window) -> Iterator[Batch]:
        """Yield one batch per day."""
        node, days = Node(context, window), list(window.days())
        for done, day in enumerate(days, 1):
            batch = Batch(done=done, total=len(days), text=str(day))
            try:
                self._day(context, node, day, batch)
            except UpstreamError as error:
                context.upstream_failed(error)
                continue
            if worth_writing(batch):
                yield batch

    def _day(self, context: CollectContext, node: Node, day: date, batch: Batch) -> None:
        span = node.blocks_of(day)
        if span is None:
            context.counts["days_without_final_blocks"] += 1
            return
        found: list[tuple[Fetched, LogEntry, dict[str, Any]]] = []
        for fetched, logs in node.logs(*span, [FACTORY], [TOPIC_PAIR_CREATED]):
            context.counts["logs_read"] += len(logs)
            for number, raw in enumerate(logs):
                if is_removed(raw):
                    context.counts["logs_removed"] += 1
                    continue
                try:
                    log = parse_log(raw, f"{span[0]}-{span[1]}:{number}")
                    payload = pair_created(log)
                except RecordError as error:
                    batch.quarantined.append(context.refuse(error, PAIR, fetched, fetched.url, day))
                    continue
                if self._quote(payload) is None:
                    context.counts["pairs_without_quote"] += 1
                    continue
                found.append((fetched, log, payload))
        decimals = node.decimals([payload[side] for _, _, payload in found for side in ("token0", "token1")])
        context.counts["tokens_without_decimals"] += sum(value is None for value in decimals.values())
        for _, _, payload in found:
            payload |= {"decimals0": decimals[payload["token0"]], "decimals1": decimals[payload["token1"]]}
        named = [(fetched, log, f"eth:{payload['pool']}", PAIR, payload) for fetched, log, payload in found]
        batch.records += stamped(context, node, day, named, batch)
        batch.securities += [self._security(record.payload) for record in batch.records]

    def _quote(self, payload: Mapping[str, Any]) -> str | None:
        return self.quotes.get(payload["token0"]) or self.quotes.get(payload["token1"])

    def _security(self, payload: Mapping[str, Any]) -> SecurityRow:
        return SecurityRow(
            entity_id=f"eth:{payload['pool']}",
            asset_class="pool",
            name=f"Uniswap V2 {payload['pool']}",
            currency=self._quote(payload) or "",
            pool=Pool(
                payload["token0"], payload["token1"], payload["decimals0"], payload["decimals1"], payload["block"]
            ),
        )
